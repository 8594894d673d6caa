//! Scripts that somebody else could change: refused, told of, and run again once that is mended. It needs no address
//! of its own, so it runs outside of a network namespace: in the user namespace that another user would need for one,
//! `/` belongs to nobody, and no script would be safe.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::world::World;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A world whose start is HERE/bin/start, which succeeds as soon as there is HERE/may-start.
fn world() -> World {
    let world = World::new();
    world.script(
        "bin/start",
        "echo $0 >> HERE/starts; test -e HERE/may-start",
    );
    chmod(&world.path("bin"), 0o755);
    world.config(
        "  script-security: strict\nkeepstart:\n  vip: 127.0.0.1\n  nic: lo\n  start: HERE/bin/start\n  \
         stop: 'true'\n  retry: {first: 50ms, longest: 50ms}\n",
    );
    world
}

fn why(world: &World) -> String {
    world.instance("default")["why"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_script_that_everybody_can_write_is_refused_until_it_is_mended() {
    let world = world();
    let script = world.path("bin/start");
    chmod(&script, 0o757);
    let fault = format!(
        "{} can be written by everybody (mode 0757)",
        script.display()
    );
    let said = world.keepstart(&["validate"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err
            .contains("will not be run (script-security: strict)"),
        "{said:?}"
    );
    assert!(said.err.contains(&fault), "{said:?}");
    assert_eq!(world.keepstart(&["validate", "--strict"]).code, 78);
    world.write("may-start", "");
    let daemon = world.daemon();
    world.until("the refusal is shown", || why(&world).contains(&fault));
    assert!(!world.exists("starts"));
    world.until("and told", || world.log().contains("will not be run"));
    let line = "script-security does not see all of stop in line 9";
    assert!(world.log().contains(line), "{}", world.log());
    assert_eq!(world.keepstart(&["reload"]).code, 0);
    world.until("told again", || {
        world.log().matches("will not be run").count() == 2
    });
    chmod(&script, 0o755);
    world.settles("default", "MASTER", "running");
    assert_eq!(world.keepstart(&["validate", "--strict"]).code, 0);
    daemon.end();
}

#[test]
fn a_directory_that_becomes_writable_is_refused_at_the_next_run() {
    let world = world();
    let daemon = world.daemon();
    world.until("it is run", || world.lines("starts").len() > 1);
    chmod(&world.path("bin"), 0o757);
    let fault = format!(
        "{} can be written by everybody (mode 0757)",
        world.path("bin").display()
    );
    world.until("the refusal is shown", || why(&world).contains(&fault));
    world.write("may-start", "");
    let runs = world.lines("starts").len();
    world.until("several refusals", || {
        let log = world.log();
        log.matches(&fault).count() > 3
    });
    assert_eq!(world.lines("starts").len(), runs);
    chmod(&world.path("bin"), 0o755);
    world.settles("default", "MASTER", "running");
    daemon.end();
}

#[test]
fn a_script_behind_a_link_is_judged_where_it_is() {
    let world = world();
    fs::rename(world.path("bin/start"), world.path("real")).unwrap();
    symlink("../real", world.path("bin/start")).unwrap();
    world.write("may-start", "");
    let daemon = world.daemon();
    world.settles("default", "MASTER", "running");
    let shown = world.path("bin/start").display().to_string();
    assert_eq!(world.lines("starts"), [shown], "$0 is the link");
    chmod(&world.path("real"), 0o757);
    let said = world.keepstart(&["validate", "--strict"]);
    let fault = format!(
        "{} can be written by everybody",
        world.path("real").display()
    );
    assert!(said.code == 78 && said.err.contains(&fault), "{said:?}");
    daemon.end();
}

#[test]
fn a_script_that_is_not_there_yet_is_warned_of_and_tried_until_it_is() {
    for (mode, why_not) in [
        (
            0o755,
            "cannot run HERE/drop/start: No such file or directory",
        ),
        (
            0o1777,
            "HERE/drop/start is not run, because HERE/drop/start is not there, and others can put a file of theirs there",
        ),
    ] {
        let world = World::new();
        world.write("drop/.keep", "");
        chmod(&world.path("drop"), mode);
        world.config(
            "  script-security: strict\nkeepstart:\n  vip: 127.0.0.1\n  nic: lo\n  start: HERE/drop/start\n  \
             stop: 'true'\n  retry: {first: 50ms, longest: 50ms}\n",
        );
        let here = world.here().display().to_string();
        let warning = format!("start: {here}/drop/start does not exist (yet)");
        let said = world.keepstart(&["validate"]);
        assert!(said.code == 0 && said.err.contains(&warning), "{said:?}");
        let daemon = world.daemon();
        world.until("the warning", || world.log().contains(&warning));
        let why_not = why_not.replace("HERE", &here);
        world.until("the reason", || why(&world).contains(&why_not));
        world.until("several attempts", || {
            world.log().matches(&why_not).count() > 3
        });
        world.script("drop/start", "true");
        world.settles("default", "MASTER", "running");
        daemon.end();
    }
}

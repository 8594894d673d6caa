//! Users and groups of the file, where what knows them is not up, or does not answer.

use nix::sched::{CloneFlags, unshare};

use crate::netns;
use crate::world::{Said, World, said};

fn config(world: &World, application: &str, instance: &str) {
    world.write(
        "config.yaml",
        &format!(
            "application: {{runtime-dir: HERE/run, state-dir: HERE/state, {application}}}\n\
             keepstart: {{vip: 127.0.0.1, start: 'true', stop: 'true', {instance}}}\n"
        ),
    );
}

/// Runs a command about `config.yaml` for so many seconds at most; 124 where it needs longer.
fn within(world: &World, seconds: u32, arguments: &[&str]) -> Said {
    let mut command = world.command_of("timeout".as_ref());
    command
        .arg(seconds.to_string())
        .arg(env!("CARGO_BIN_EXE_keepstart"))
        .arg("-c")
        .arg(world.path("config.yaml"))
        .args(arguments);
    said(command)
}

#[track_caller]
fn expect(said: &Said, code: i32, words: &str) {
    let heard = format!("{}{}", said.out, said.err);
    assert!(said.code == code && heard.contains(words), "{said:?}");
}

#[test]
fn somebody_unknown_may_be_known_later() {
    netns::run("accounts::somebody_unknown_may_be_known_later", || {
        let world = World::new();
        let no_user = "user: there is no user \"no-such-user\"";
        let no_group = "group: there is no group \"no-such-group\"";
        let no_readers = "control-readers: there is no group \"no-such-group\"";
        for (application, instance, fault) in [
            ("", "user: no-such-user", no_user),
            ("", "group: no-such-group", no_group),
            ("control-group: no-such-group", "", no_group),
            ("control-readers: no-such-group", "", no_readers),
        ] {
            config(&world, "", "user: daemon, group: daemon");
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            config(&world, application, instance);
            let validated = world.keepstart(&["validate"]);
            expect(&validated, 78, fault);
            // At its line and column.
            let line = if instance.is_empty() { 1 } else { 2 };
            expect(&validated, 78, &format!("config.yaml:{line}:"));
            let reload = world.keepstart(&["reload"]);
            expect(&reload, 78, fault);
            expect(&reload, 78, "the running configuration stays");
            let status = world.keepstart(&["status"]);
            expect(&status, 0, "MASTER");
            assert_eq!(status.err, "");
            daemon.end();
            for command in ["run", "start"] {
                let refused = world.keepstart(&[command]);
                expect(&refused, 75, fault);
                expect(&refused, 75, "this may pass by itself");
            }
            expect(&world.keepstart(&["status"]), 3, "no daemon runs");
        }
        // What somebody has to mend is not tried again.
        config(&world, "daemon: perhaps", "user: no-such-user");
        let refused = world.keepstart(&["run"]);
        expect(&refused, 78, no_user);
        expect(&refused, 78, "daemon: found");
    });
}

#[test]
fn a_directory_that_does_not_answer_keeps_nobody_from_his_daemon() {
    netns::run(
        "accounts::a_directory_that_does_not_answer_keeps_nobody_from_his_daemon",
        || {
            let world = World::new();
            config(&world, "control-group: adm", "user: daemon");
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            // Whoever asks for a user waits for somebody to write into this. Mounts are the calling thread's and its
            // children's.
            unshare(CloneFlags::CLONE_NEWNS).expect("make a mount namespace");
            let mut silence = world.command_of("sh".as_ref());
            let text =
                "mount --make-rprivate / && mkfifo \"$1\" && mount --bind \"$1\" /etc/passwd";
            silence.args(["-c", text, "sh"]).arg(world.path("silence"));
            let silenced = said(silence);
            assert_eq!(silenced.code, 0, "{silenced:?}");
            expect(&within(&world, 1, &["validate"]), 124, "");
            expect(&within(&world, 20, &["status"]), 0, "MASTER");
            expect(&within(&world, 20, &["audit"]), 0, "begun");
            // Its child is a zombie until the test looks, which `stop` takes for what it is.
            expect(&within(&world, 20, &["stop"]), 0, "stopped");
            drop(daemon);
        },
    );
}

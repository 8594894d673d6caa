//! `-c FILE` finds the daemon that was started with FILE, whatever has become of the file since.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;

use crate::netns;
use crate::world::{Said, World, is_alive};

/// A daemon of these directories, in the background; returns its process.
fn started(world: &World, place: &str) -> u32 {
    configured(world, place);
    let said = world.keepstart(&["start"]);
    assert_eq!(said.code, 0, "{said:?}");
    let status = world.status();
    u32::try_from(status["daemon"]["pid"].as_u64().unwrap()).unwrap()
}

fn configured(world: &World, place: &str) {
    let text = format!(
        "application: {{daemon: true, {place}}}\n\
         keepstart: {{vip: 127.0.0.1, start: 'true', stop: 'true'}}\n"
    );
    world.write("config.yaml", &text);
}

fn place(name: &str) -> String {
    format!("runtime-dir: HERE/{name}, state-dir: HERE/{name}, pidfile: HERE/{name}.pid")
}

#[track_caller]
fn expect(said: &Said, code: i32, words: &str) {
    let heard = format!("{}{}", said.out, said.err);
    assert!(said.code == code && heard.contains(words), "{said:?}");
}

#[test]
fn a_file_that_is_no_yaml_any_more_hides_no_daemon() {
    netns::run(
        "register::a_file_that_is_no_yaml_any_more_hides_no_daemon",
        || {
            let world = World::new();
            for (text, fault) in [
                ("application: {daemon: true\n  keepstart: [", "YAML"),
                (
                    "application: {daemon: true}\napplication: {}\nkeepstart: {}\n",
                    "application",
                ),
                ("", "document"),
            ] {
                let pid = started(&world, &place("run"));
                world.write("config.yaml", text);
                expect(&world.keepstart(&["status"]), 0, &format!("process {pid}"));
                expect(&world.keepstart(&["reload"]), 78, fault);
                expect(&world.keepstart(&["audit"]), 0, "begun");
                expect(&world.keepstart(&["stop"]), 0, &format!("process {pid}"));
                assert!(!is_alive(pid));
                // Nobody runs it, and where it would be cannot be read: that has to be said.
                assert_ne!(world.keepstart(&["status"]).code, 0);
            }
            let pid = started(&world, &place("run"));
            fs::remove_file(world.path("config.yaml")).unwrap();
            expect(&world.keepstart(&["status"]), 0, &format!("process {pid}"));
            expect(&world.keepstart(&["stop"]), 0, &format!("process {pid}"));
        },
    );
}

#[test]
fn other_directories_in_the_file_hide_no_daemon_and_let_no_second_one_in() {
    netns::run(
        "register::other_directories_in_the_file_hide_no_daemon_and_let_no_second_one_in",
        || {
            let world = World::new();
            fs::create_dir(world.path("work")).unwrap();
            let pid = started(&world, &place("one"));
            for (other, changed) in [
                (place("two"), "pidfile, runtime-dir, state-dir"),
                (
                    "workspace: HERE/work".into(),
                    "workspace, pidfile, runtime-dir",
                ),
            ] {
                configured(&world, &other);
                expect(&world.keepstart(&["status"]), 0, &format!("process {pid}"));
                let told = format!("a restart is needed for the change of {changed}");
                // Each time, until there was one: what counts is what runs, not what was read last.
                for _ in 0..2 {
                    expect(&world.keepstart(&["reload"]), 0, &told);
                }
                let running = format!("already running with pid {pid}");
                expect(&world.keepstart(&["start"]), 75, &running);
                expect(&world.keepstart(&["run"]), 75, &running);
            }
            configured(&world, &place("one"));
            let back = world.keepstart(&["reload"]);
            assert!(back.code == 0 && !back.out.contains("restart"), "{back:?}");
            expect(&world.keepstart(&["stop"]), 0, &format!("process {pid}"));
            assert!(!is_alive(pid));
            expect(&world.keepstart(&["stop"]), 0, "nothing to stop");
            expect(&world.keepstart(&["status"]), 3, "no daemon runs");
            let left: Vec<_> = fs::read_dir("/run/keepstart").unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        },
    );
}

#[test]
fn what_a_killed_daemon_has_left_is_not_believed() {
    netns::run(
        "register::what_a_killed_daemon_has_left_is_not_believed",
        || {
            let world = World::new();
            let killed = started(&world, &place("one"));
            let pid = rustix::process::Pid::from_raw(killed.cast_signed()).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            world.until("is gone", || !is_alive(killed));
            expect(&world.keepstart(&["status"]), 3, "no daemon runs");
            // Its place is another file's now.
            let text = world.read("config.yaml");
            configured(&world, &place("two"));
            world.write("other.yaml", &text);
            expect(&world.keepstart_of("other.yaml", &["start"]), 0, "started");
            expect(&world.keepstart(&["status"]), 3, "no daemon runs");
            expect(&world.keepstart(&["stop"]), 0, "nothing to stop");
            expect(&world.keepstart_of("other.yaml", &["status"]), 0, "MASTER");
            let second = started(&world, &place("two"));
            expect(&world.keepstart(&["stop"]), 0, &format!("process {second}"));
            expect(&world.keepstart_of("other.yaml", &["stop"]), 0, "stopped");
        },
    );
}

#[test]
fn a_link_that_leads_elsewhere_by_now_is_still_the_daemons_name() {
    netns::run(
        "register::a_link_that_leads_elsewhere_by_now_is_still_the_daemons_name",
        || {
            let world = World::new();
            let text = format!(
                "application: {{daemon: true, {}}}\nkeepstart: {{vip: 127.0.0.1, start: 'true', stop: 'true'}}\n",
                place("PLACE")
            );
            for release in ["one", "two"] {
                let file = format!("{release}/config.yaml");
                world.write(&file, &text.replace("PLACE", &format!("of-{release}")));
            }
            symlink(world.path("one"), world.path("current")).unwrap();
            let file = "current/config.yaml";
            expect(&world.keepstart_of(file, &["start"]), 0, "started");
            let pid = world.status_of(file)["daemon"]["pid"].clone();
            fs::remove_file(world.path("current")).unwrap();
            symlink(world.path("two"), world.path("current")).unwrap();
            assert_eq!(world.status_of(file)["daemon"]["pid"], pid);
            assert_eq!(world.status_of("one/config.yaml")["daemon"]["pid"], pid);
            expect(
                &world.keepstart_of("two/config.yaml", &["status"]),
                3,
                "no daemon",
            );
            expect(&world.keepstart_of(file, &["start"]), 75, &pid.to_string());
            expect(&world.keepstart_of(file, &["stop"]), 0, "stopped");
        },
    );
}

#[test]
fn a_reload_of_another_file_makes_it_the_daemons_own_unless_another_runs_it() {
    netns::run(
        "register::a_reload_of_another_file_makes_it_the_daemons_own_unless_another_runs_it",
        || {
            let world = World::new();
            let text = format!(
                "application: {{daemon: true, {}}}\nkeepstart: {{vip: 127.0.0.1, start: 'true', stop: 'true'}}\n",
                place("PLACE")
            );
            for release in ["one", "two", "three"] {
                let file = format!("{release}/config.yaml");
                world.write(&file, &text.replace("PLACE", &format!("of-{release}")));
            }
            let release = |release: &str| {
                let _ = fs::remove_file(world.path("current"));
                symlink(world.path(release), world.path("current")).unwrap();
            };
            let entries = || fs::read_dir("/run/keepstart").unwrap().count();
            let file = "current/config.yaml";
            release("one");
            expect(&world.keepstart_of(file, &["start"]), 0, "started");
            let pid = world.status_of(file)["daemon"]["pid"].clone();
            let of_one = entries();
            release("two");
            expect(&world.keepstart_of(file, &["reload"]), 0, "reloaded");
            assert_eq!(world.status_of("two/config.yaml")["daemon"]["pid"], pid);
            let second = world.keepstart_of("two/config.yaml", &["start"]);
            expect(&second, 75, &format!("already running with pid {pid}"));
            assert_eq!(entries(), of_one, "what it runs no more is not its own");

            expect(
                &world.keepstart_of("three/config.yaml", &["start"]),
                0,
                "started",
            );
            let of_two = entries();
            let other = world.status_of("three/config.yaml")["daemon"]["pid"].clone();
            release("three");
            let refused = world.keepstart_of(file, &["reload"]);
            expect(&refused, 78, &format!("already running with pid {other}"));
            assert!(refused.err.contains("the running configuration stays"));
            assert_eq!(entries(), of_two);
            for (file, of) in [
                (file, &pid),
                ("two/config.yaml", &pid),
                ("three/config.yaml", &other),
            ] {
                assert_eq!(world.status_of(file)["daemon"]["pid"], *of, "{file}");
            }
            expect(
                &world.keepstart_of("three/config.yaml", &["stop"]),
                0,
                "stopped",
            );
            expect(&world.keepstart_of(file, &["reload"]), 0, "reloaded");
            expect(&world.keepstart_of(file, &["stop"]), 0, "stopped");
            assert_eq!(entries(), 0);
        },
    );
}

//! Signals: the end in order, the end at once, a reload, and the state in the log.

use std::process::Stdio;

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::wait::wait_until;
use crate::world::{Daemon, PATIENCE, VIP, World, is_alive, ms, pause};

fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

/// On the MASTER, with a start script that runs until the file `go` is there; returns the script's process.
fn in_the_middle_of_a_start(world: &World, more: &str) -> (Daemon, u32) {
    world.service("while ! test -e HERE/go; do sleep 0.05; done");
    world.write(
        "config.yaml",
        &format!(
            "application:\n  runtime-dir: HERE/run\n  state-dir: HERE/state\n{more}keepstart:\n  vip: {VIP}\n  \
             start: HERE/start.sh\n  stop: HERE/stop.sh\n"
        ),
    );
    add_vip();
    let daemon = world.daemon();
    world.until("the start begins", || world.lines("hooks").len() == 1);
    let pid = world
        .read("hooks")
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap();
    (daemon, pid)
}

#[test]
fn term_waits_for_a_running_action() {
    netns::run("signals::term_waits_for_a_running_action", || {
        let world = World::new();
        let (mut daemon, _) = in_the_middle_of_a_start(&world, "");
        daemon.signal(Signal::TERM);
        world.until("it says so", || world.log().contains("ending:"));
        // While it waits it still answers, and begins nothing more.
        let instance = world.instance("default");
        assert_eq!(instance["job"]["action"], "start", "{instance:#}");
        ip(&format!("addr del {VIP}/32 dev lo"));
        pause(ms(200));
        assert!(
            daemon.child().try_wait().unwrap().is_none(),
            "{}",
            world.log()
        );
        world.write("go", "");
        assert!(daemon.ended().success());
        assert_eq!(world.ran("hooks"), ["start"]);
        assert!(world.exists("running"));
        // What was left undone is done by the next life.
        let daemon = world.daemon();
        world.settles("default", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks"), ["start", "stop"]);
        daemon.end();
    });
}

#[test]
fn term_waits_no_longer_than_stop_wait() {
    netns::run("signals::term_waits_no_longer_than_stop_wait", || {
        let world = World::new();
        let (daemon, pid) = in_the_middle_of_a_start(&world, "  stop-wait: 300ms\n");
        daemon.end();
        assert!(is_alive(pid), "left running");
        let daemon = world.daemon();
        let instance = world.instance("default");
        assert_eq!(instance["job"]["pid"], pid, "recorded: {instance:#}");
        world.write("go", "");
        world.settles("default", "MASTER", "running");
        world.ran("hooks");
        daemon.end();
    });
}

#[test]
fn a_second_term_ends_at_once() {
    netns::run("signals::a_second_term_ends_at_once", || {
        let world = World::new();
        let (mut daemon, pid) = in_the_middle_of_a_start(&world, "  stop-wait: 1h\n");
        daemon.signal(Signal::TERM);
        world.until("it says so", || world.log().contains("ending:"));
        daemon.signal(Signal::TERM);
        daemon.ended();
        assert!(is_alive(pid), "left running");
    });
}

#[test]
fn the_stop_command_waits_too() {
    netns::run("signals::the_stop_command_waits_too", || {
        let world = World::new();
        let (mut daemon, _) = in_the_middle_of_a_start(&world, "");
        let mut command = world.command();
        let mut stop = command
            .arg("-c")
            .arg(world.path("config.yaml"))
            .arg("stop")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        world.until("it is told", || world.log().contains("ending:"));
        pause(ms(200));
        assert!(
            stop.try_wait().unwrap().is_none(),
            "the command returned before the end"
        );
        world.write("go", "");
        assert!(daemon.ended().success());
        let mut ended = None;
        wait_until(
            PATIENCE,
            || {
                ended = stop.try_wait().unwrap();
                ended.is_some()
            },
            || "stop does not return".into(),
        );
        assert!(ended.unwrap().success());
    });
}

#[test]
fn on_exit_stop_stops() {
    netns::run("signals::on_exit_stop_stops", || {
        let world = World::new();
        for name in ["kept", "ended"] {
            world.service_named(name, "");
        }
        world.config(&format!(
            "instances:\n  kept: {{vip: {VIP}, start: HERE/start-kept.sh, stop: HERE/stop-kept.sh}}\n  \
             ended: {{vip: {VIP}, start: HERE/start-ended.sh, stop: HERE/stop-ended.sh, on-exit: stop}}\n"
        ));
        add_vip();
        let daemon = world.daemon();
        world.settles("kept", "MASTER", "running");
        world.settles("ended", "MASTER", "running");
        daemon.end();
        assert_eq!(world.ran("hooks-kept"), ["start"]);
        assert_eq!(world.ran("hooks-ended"), ["start", "stop"]);
        // The next life starts again what the end has stopped.
        let daemon = world.daemon();
        world.settles("ended", "MASTER", "running");
        world.settles("kept", "MASTER", "running");
        assert_eq!(world.ran("hooks-kept"), ["start"]);
        assert_eq!(world.ran("hooks-ended"), ["start", "stop", "start"]);
        daemon.end();
    });
}

#[test]
fn hup_reads_the_file_again() {
    netns::run("signals::hup_reads_the_file_again", || {
        let world = World::new();
        for name in ["same", "changed", "kept", "ended", "new"] {
            world.service_named(name, "");
        }
        let one = |name: &str, more: &str| {
            format!(
                "  {name}: {{vip: {VIP}, start: HERE/start-{name}.sh, stop: HERE/stop-{name}.sh{more}}}\n"
            )
        };
        let first = [
            one("same", ""),
            one("changed", ""),
            one("kept", ""),
            one("ended", ", on-remove: stop"),
        ];
        let first = format!("instances:\n{}", first.concat());
        world.config(&first);
        add_vip();
        let daemon = world.daemon();
        for name in ["same", "changed", "kept", "ended"] {
            world.settles(name, "MASTER", "running");
        }

        // A fault changes nothing.
        world.config(&first.replace("changed: {vip", "changed: {vpi"));
        daemon.signal(Signal::HUP);
        world.until("the fault is told", || world.log().contains("vpi"));
        for name in ["same", "changed", "kept", "ended"] {
            world.settles(name, "MASTER", "running");
        }

        // One is the same, one is for another address, two are gone, one is new.
        let second = [
            one("same", ""),
            one("changed", "").replace(VIP, "10.77.0.9"),
            one("new", ""),
        ];
        world.config(&format!("instances:\n{}", second.concat()));
        daemon.signal(Signal::HUP);
        world.until("it is done", || {
            world
                .log()
                .contains("1 added, 1 changed, 2 removed, 1 unchanged")
        });
        let left = "ended, kept removed; kept may run on (on-remove: keep); 1 unchanged";
        world.until("what runs on is told", || world.log().contains(left));
        world.settles("changed", "BACKUP", "stopped");
        world.settles("new", "MASTER", "running");
        world.until("the removed one is stopped", || {
            world.lines("hooks-ended").len() == 4
        });
        world.until("it is gone", || {
            world.status()["instances"].as_array().unwrap().len() == 3
        });
        assert_eq!(world.ran("hooks-same"), ["start"]);
        assert_eq!(world.ran("hooks-kept"), ["start"]);
        assert_eq!(world.ran("hooks-ended"), ["start", "stop"]);
        assert_eq!(world.ran("hooks-changed"), ["start", "stop"]);
        assert_eq!(world.ran("hooks-new"), ["start"]);

        // The same file once more disturbs nobody.
        daemon.signal(Signal::HUP);
        world.until("it is done", || {
            world
                .log()
                .contains("0 added, 0 changed, 0 removed, 3 unchanged")
        });
        pause(ms(300));
        assert_eq!(world.ran("hooks-same"), ["start"]);
        assert_eq!(world.ran("hooks-changed"), ["start", "stop"]);
        assert_eq!(world.ran("hooks-new"), ["start"]);
        daemon.end();
    });
}

#[test]
fn int_ends_it_too() {
    netns::run("signals::int_ends_it_too", || {
        let world = World::new();
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: 'true', stop: 'true'}}\n"
        ));
        let mut daemon = world.daemon();
        daemon.signal(Signal::INT);
        assert!(daemon.ended().success());
    });
}

#[test]
fn usr1_writes_the_state_into_the_log() {
    netns::run("signals::usr1_writes_the_state_into_the_log", || {
        let world = World::new();
        world.config(&format!(
            "instances:\n  web: {{vip: {VIP}, start: 'true', stop: 'true'}}\n  \
             db: {{vip: 10.77.0.2, start: 'true', stop: 'true'}}\n"
        ));
        add_vip();
        let daemon = world.daemon();
        world.settles("web", "MASTER", "running");
        world.settles("db", "BACKUP", "stopped");
        daemon.signal(Signal::USR1);
        world.until("the state", || world.log().matches("state: ").count() == 3);
        let log = world.log();
        let line = |name: &str| {
            log.lines()
                .find(|line| line.contains("state: ") && line.contains(name))
                .unwrap()
        };
        assert!(
            line("web").contains("MASTER") && line("web").contains("running"),
            "{}",
            line("web")
        );
        assert!(
            line("db").contains("BACKUP") && line("db").contains("stopped"),
            "{}",
            line("db")
        );
        let counted = line("counted so far");
        assert!(counted.contains("\"spawned\":1,"), "{counted}");
        daemon.end();
    });
}

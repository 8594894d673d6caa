//! The run record lost while a script of a killed daemon runs: the script is found by its environment, and what only
//! looks like it is left alone. And the directory of a living daemon removed.

use std::fs;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use crate::netns;
use crate::restart::{add_vip, del_vip, killed_in_the_middle_of_a_start, slow_world};
use crate::world::{Daemon, VIP, World, is_alive, ms, pause};

/// The new daemon runs nothing beside the script of the old one, of which it has no record.
fn waits_beside(world: &World, pid: u32) {
    world.until("the address is seen", || {
        world.instance("default")["role"] == "MASTER"
    });
    let instance = world.instance("default");
    assert_eq!(instance["job"]["pid"], pid, "{instance:#}\n{}", world.log());
    assert_eq!(instance["job"]["adopted"], true, "{instance:#}");
    assert_eq!(instance["next"]["kind"], "job-presumed", "{instance:#}");
    // Long enough for a second one to be begun, if it were.
    pause(ms(300));
    assert_eq!(world.lines("hooks").len(), 1, "{:?}", world.lines("hooks"));
    assert!(is_alive(pid));
}

fn is_waited_for_without(name: &'static str, lose: fn(&World)) {
    netns::run(name, || {
        let world = slow_world("");
        let pid = killed_in_the_middle_of_a_start(&world);
        lose(&world);
        let daemon = world.daemon();
        waits_beside(&world, pid);
        // The next life has a record again, and knows no better.
        daemon.kill();
        let daemon = world.daemon();
        waits_beside(&world, pid);
        world.write("go", "");
        world.settles("default", "MASTER", "running");
        assert_eq!(world.ran("hooks"), ["start", "start"]);
        daemon.end();
    });
}

#[test]
fn a_start_is_waited_for_whose_record_is_gone() {
    is_waited_for_without(
        "lost::a_start_is_waited_for_whose_record_is_gone",
        |world| fs::remove_file(world.path("run/run.json")).unwrap(),
    );
}

#[test]
fn a_start_is_waited_for_whose_record_is_damaged() {
    is_waited_for_without(
        "lost::a_start_is_waited_for_whose_record_is_damaged",
        |world| {
            fs::write(world.path("run/run.json"), b"\x00\xff{{{ not a record\n").unwrap();
        },
    );
}

#[test]
fn a_start_is_waited_for_whose_record_is_in_another_directory() {
    is_waited_for_without(
        "lost::a_start_is_waited_for_whose_record_is_in_another_directory",
        |world| {
            let file = world.read("config.yaml");
            world.write("config.yaml", &file.replace("/run\n", "/other\n"));
        },
    );
}

#[test]
fn what_outlives_the_time_of_a_lost_job_is_let_go_of_and_never_signalled() {
    netns::run(
        "lost::what_outlives_the_time_of_a_lost_job_is_let_go_of_and_never_signalled",
        || {
            let world = World::new();
            world.service("");
            world.script("hang.sh", "echo $$ > HERE/pid; exec sleep 1000");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  start: {{run: HERE/hang.sh, timeout: 4s, kill-after: 0}}\n  \
                 stop: HERE/stop.sh\n  start-cancel-after: 0\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.until("it hangs", || !world.read("pid").is_empty());
            let pid: u32 = world.read("pid").trim().parse().unwrap();
            daemon.kill();
            fs::remove_file(world.path("run/run.json")).unwrap();
            del_vip();
            let daemon = world.daemon();
            // A known start would be cancelled at once, because the role is gone.
            world.settles("default", "BACKUP", "stopped");
            assert_eq!(world.ran("hooks"), ["stop"]);
            let log = world.log();
            assert!(log.contains("may be start"), "{log}");
            assert!(log.contains("and left alone"), "{log}");
            assert!(is_alive(pid), "{log}");
            daemon.end();
        },
    );
}

#[test]
fn a_service_that_was_left_behind_is_not_waited_for() {
    netns::run(
        "lost::a_service_that_was_left_behind_is_not_waited_for",
        || {
            let world = World::new();
            world.service("setsid sleep 1000 & echo $! >> HERE/pids");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            daemon.kill();
            let pid: u32 = world.read("pids").trim().parse().unwrap();
            fs::remove_file(world.path("run/run.json")).unwrap();
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            assert_eq!(world.ran("hooks"), ["start", "start"]);
            let log = world.log();
            assert!(!log.contains("may be start"), "{log}");
            assert!(is_alive(pid));
            daemon.end();
        },
    );
}

#[test]
fn a_script_of_another_file_with_an_instance_of_the_same_name_is_not_taken_up() {
    netns::run(
        "lost::a_script_of_another_file_with_an_instance_of_the_same_name_is_not_taken_up",
        || {
            let world = World::new();
            world.service("");
            world.script("hang.sh", "echo $$ > HERE/pid; exec sleep 1000");
            let file = |name: &str, start: &str| {
                format!(
                    "application: {{runtime-dir: HERE/run-{name}, state-dir: HERE/state-{name}}}\n\
                     keepstart: {{vip: {VIP}, start: HERE/{start}, stop: HERE/stop.sh}}\n"
                )
            };
            world.write("other.yaml", &file("other", "hang.sh"));
            world.write("config.yaml", &file("own", "start.sh"));
            add_vip();
            let mut other = world.command();
            other
                .arg("-c")
                .arg(world.path("other.yaml"))
                .arg("run")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let _other = Daemon::of(other.spawn().unwrap());
            world.until("its start hangs", || !world.read("pid").is_empty());
            // It has no record, as each first daemon of a boot has none.
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            assert_eq!(world.ran("hooks"), ["start"]);
            daemon.end();
        },
    );
}

/// A daemon on the MASTER whose runtime directory is removed.
fn homeless_world() -> (World, Daemon) {
    let world = World::new();
    world.service("");
    world.script("stop.sh", "rm HERE/running");
    world.config(&format!(
        "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, debounce: 0}}\n"
    ));
    add_vip();
    let daemon = world.daemon();
    world.settles("default", "MASTER", "running");
    fs::remove_dir_all(world.path("run")).unwrap();
    (world, daemon)
}

/// Commands know that it lives, and their advice is good.
fn is_missed_and_comes_back(world: &World, daemon: Daemon) {
    let pid = daemon.pid();
    for (command, code) in [("status", 4), ("why", 69), ("reload", 69), ("stop", 69)] {
        let said = world.keepstart(&[command]);
        let told = said.err.contains(&format!("`kill {pid}`"));
        assert!(said.code == code && told, "{command}: {said:?}");
    }
    daemon.end();
    assert_eq!(world.keepstart(&["status"]).code, 3);
    let daemon = world.daemon();
    world.settles("default", "MASTER", "running");
    assert_eq!(world.ran("hooks"), ["start"], "it was known to run");
    daemon.end();
}

#[test]
fn a_daemon_whose_directory_is_removed_is_not_called_none() {
    netns::run(
        "lost::a_daemon_whose_directory_is_removed_is_not_called_none",
        || {
            let (world, daemon) = homeless_world();
            is_missed_and_comes_back(&world, daemon);
        },
    );
}

#[test]
fn a_daemon_whose_entry_is_removed_too_is_known_by_its_state_directory() {
    netns::run(
        "lost::a_daemon_whose_entry_is_removed_too_is_known_by_its_state_directory",
        || {
            let (world, daemon) = homeless_world();
            fs::remove_dir_all("/run/keepstart").unwrap();
            is_missed_and_comes_back(&world, daemon);
        },
    );
}

#[test]
fn output_that_is_lost_is_told_of_once() {
    netns::run("lost::output_that_is_lost_is_told_of_once", || {
        let (world, daemon) = homeless_world();
        // Each spawner thread may have made one file ahead.
        for _ in 0..4 {
            del_vip();
            world.until("it is stopped", || !world.exists("running"));
            add_vip();
            world.until("it runs again", || world.exists("running"));
        }
        world.until("it is told", || world.log().contains("print is lost"));
        let log = world.log();
        assert_eq!(log.matches("print is lost").count(), 1, "{log}");
        daemon.end();
    });
}

#[test]
fn a_full_disk_fails_no_script_that_speaks() {
    netns::run("lost::a_full_disk_fails_no_script_that_speaks", || {
        let world = World::new();
        world.script("start.sh", "set -e\necho is up\ntouch HERE/running");
        world.script("stop.sh", "set -e\necho is down\nrm -f HERE/running");
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
        ));
        let run = world.path("run");
        fs::create_dir(&run).unwrap();
        // The mounts of this thread and of what it starts.
        unshare(CloneFlags::CLONE_NEWNS).expect("make a mount namespace");
        let run_path = run.to_str().unwrap();
        for arguments in [
            &["--make-rprivate", "/"][..],
            &["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", run_path],
        ] {
            let status = Command::new("mount").args(arguments).status().unwrap();
            assert!(status.success(), "{arguments:?}");
        }
        let daemon = world.daemon();
        world.settles("default", "BACKUP", "stopped");
        let ballast = run.join("ballast");
        fs::write(&ballast, vec![b'x'; 1 << 20]).unwrap_err();
        let flip = || {
            add_vip();
            world.until("it runs", || world.exists("running"));
            del_vip();
            world.until("it is stopped", || !world.exists("running"));
        };
        // Each spawner thread may have made one file ahead; those after them find no room.
        for _ in 0..4 {
            flip();
        }
        let log = world.log();
        assert!(!log.contains("failed"), "{log}");
        assert!(log.contains("print is lost"), "{log}");
        assert!(log.contains("No space left"), "{log}");
        fs::remove_file(&ballast).unwrap();
        let heard = || world.log().matches("| is up").count();
        let before = heard();
        // A thread that has still to try again is one flip late.
        world.until("it is heard again", || {
            flip();
            heard() > before
        });
        daemon.end();
    });
}

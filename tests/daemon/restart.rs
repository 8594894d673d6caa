//! The daemon killed at any point and started again: a script of its earlier life is waited for, never doubled, and
//! the end is what the role wants.

use std::fs;

use crate::netns::{self, ip};
use crate::random::Random;
use crate::world::{VIP, World, is_alive, ms, pause};

pub(crate) fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

pub(crate) fn del_vip() {
    ip(&format!("addr del {VIP}/32 dev lo"));
}

/// A service whose start takes until the file `go` is there.
pub(crate) fn slow_world(more: &str) -> World {
    let world = World::new();
    world.service("while ! test -e HERE/go; do sleep 0.05; done");
    world.config(&format!(
        "keepstart:\n  vip: {VIP}\n  start: HERE/start.sh\n  stop: HERE/stop.sh\n{more}"
    ));
    world
}

/// Starts a daemon on the MASTER and kills it while its start script runs; returns that script's process.
pub(crate) fn killed_in_the_middle_of_a_start(world: &World) -> u32 {
    add_vip();
    let daemon = world.daemon();
    world.until("the start begins", || world.lines("hooks").len() == 1);
    let begun = world.read("hooks");
    let pid = begun.split_whitespace().nth(3).unwrap().parse().unwrap();
    daemon.kill();
    assert!(is_alive(pid), "the script outlives the daemon");
    pid
}

/// The new daemon waits for the script of the old one.
fn waits_for(world: &World, pid: u32) {
    let instance = world.instance("default");
    assert_eq!(instance["role"], "MASTER", "{instance:#}");
    assert_eq!(instance["job"]["pid"], pid, "{instance:#}\n{}", world.log());
    assert_eq!(instance["job"]["adopted"], true, "{instance:#}");
    assert_eq!(instance["job"]["action"], "start", "{instance:#}");
    // Its own reason, and its own age: it is older than the daemon that waits for it.
    assert_eq!(instance["job"]["reason"], "taken-up", "{instance:#}");
    let status = world.status();
    let age = status["instances"][0]["job"]["age_ms"].as_u64();
    assert!(age > status["daemon"]["uptime_ms"].as_u64(), "{status:#}");
    // Long enough for a second one to be begun, if it were.
    pause(ms(300));
    assert_eq!(world.lines("hooks").len(), 1, "{:?}", world.lines("hooks"));
    assert!(is_alive(pid));
}

fn is_waited_for_and_repeated(world: &World, pid: u32) {
    waits_for(world, pid);
    world.write("go", "");
    world.settles("default", "MASTER", "running");
    // How it ended nobody saw, so it is started again, but not beside itself.
    assert_eq!(world.ran("hooks"), ["start", "start"]);
}

#[test]
fn a_start_of_the_earlier_life_is_waited_for_and_repeated() {
    netns::run(
        "restart::a_start_of_the_earlier_life_is_waited_for_and_repeated",
        || {
            let world = slow_world("");
            let pid = killed_in_the_middle_of_a_start(&world);
            let daemon = world.daemon();
            is_waited_for_and_repeated(&world, pid);
            daemon.end();
        },
    );
}

#[test]
fn a_start_of_an_instance_that_only_a_reload_brings_back_is_waited_for() {
    netns::run(
        "restart::a_start_of_an_instance_that_only_a_reload_brings_back_is_waited_for",
        || {
            let world = slow_world("");
            let pid = killed_in_the_middle_of_a_start(&world);
            let file = world.read("config.yaml");
            world.config("instances: {}\n");
            let daemon = world.daemon();
            world.write("config.yaml", &file);
            assert_eq!(world.keepstart(&["reload"]).code, 0);
            world.until("the address is seen", || {
                world.instance("default")["role"] == "MASTER"
            });
            is_waited_for_and_repeated(&world, pid);
            daemon.end();
        },
    );
}

#[test]
fn a_start_of_the_earlier_life_is_waited_for_and_asked_about() {
    netns::run(
        "restart::a_start_of_the_earlier_life_is_waited_for_and_asked_about",
        || {
            let world = slow_world("  is-running: test -e HERE/running\n");
            let pid = killed_in_the_middle_of_a_start(&world);
            let daemon = world.daemon();
            waits_for(&world, pid);
            world.write("go", "");
            world.settles("default", "MASTER", "running");
            assert_eq!(
                world.ran("hooks"),
                ["start"],
                "it runs, so it is not started again"
            );
            daemon.end();
        },
    );
}

#[test]
fn a_start_whose_process_was_not_recorded_is_found() {
    netns::run(
        "restart::a_start_whose_process_was_not_recorded_is_found",
        || {
            let world = slow_world("");
            let pid = killed_in_the_middle_of_a_start(&world);
            // As if the daemon had died between the spawn and its record; on a slow machine it did.
            let record = world.read("run/run.json");
            let unrecorded: Vec<&str> = record
                .lines()
                .filter(|line| !line.contains("\"spawned\""))
                .collect();
            fs::write(world.path("run/run.json"), unrecorded.join("\n") + "\n").unwrap();
            let daemon = world.daemon();
            is_waited_for_and_repeated(&world, pid);
            daemon.end();
        },
    );
}

#[test]
fn a_start_of_the_earlier_life_has_its_old_deadline() {
    netns::run(
        "restart::a_start_of_the_earlier_life_has_its_old_deadline",
        || {
            let world = World::new();
            world.service("");
            world.script("hang.sh", "echo $$ > HERE/pid; exec sleep 1000");
            world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: {{run: HERE/hang.sh, timeout: 2s, kill-after: 1s}}\n  \
             stop: HERE/stop.sh\n  retry: {{first: 10m, longest: 10m}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.until("it hangs", || !world.read("pid").is_empty());
            let pid: u32 = world.read("pid").trim().parse().unwrap();
            daemon.kill();
            let daemon = world.daemon();
            world.until("it is ended", || !is_alive(pid));
            world.until("it is counted", || {
                world.instance("default")["last_job"]["result"] == "timed-out"
            });
            daemon.end();
        },
    );
}

#[test]
fn a_stop_is_due_when_the_role_went_while_no_daemon_ran() {
    netns::run(
        "restart::a_stop_is_due_when_the_role_went_while_no_daemon_ran",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            let epoch = world.instance("default")["epoch"].as_u64().unwrap();
            daemon.kill();
            del_vip();
            let daemon = world.daemon();
            world.settles("default", "BACKUP", "stopped");
            assert_eq!(world.ran("hooks"), ["start", "stop"]);
            assert!(world.instance("default")["epoch"].as_u64().unwrap() > epoch);
            daemon.end();
            // And nothing when nothing has changed.
            let daemon = world.daemon();
            world.settles("default", "BACKUP", "stopped");
            assert_eq!(world.ran("hooks"), ["start", "stop"]);
            daemon.end();
        },
    );
}

#[test]
fn a_nic_that_went_while_no_daemon_ran_is_missed() {
    netns::run(
        "restart::a_nic_that_went_while_no_daemon_ran_is_missed",
        || {
            let world = World::new();
            world.service("");
            let config = |nic: &str| {
                world.config(&format!(
                    "keepstart: {{nic: {nic}, vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
                ));
            };
            config("vrrp.51");
            ip("link add vrrp.51 type veth peer name v1");
            ip("link set vrrp.51 up");
            ip(&format!("addr add {VIP}/32 dev vrrp.51"));
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            daemon.kill();
            ip("link del vrrp.51");
            // The second life learns nothing of it, and hands on what it was told.
            for _ in 0..2 {
                let daemon = world.daemon();
                world.settles("default", "BACKUP", "stopped");
                assert_eq!(world.ran("hooks"), ["start", "stop"]);
                daemon.kill();
            }
            // A name that an edited file has misspelt was never there.
            config("vrrp.15");
            let daemon = world.daemon();
            world.settles("default", "UNKNOWN", "stopped");
            daemon.end();
        },
    );
}

#[test]
fn damaged_state_is_set_aside() {
    netns::run("restart::damaged_state_is_set_aside", || {
        let world = World::new();
        world.service("");
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
        ));
        world.daemon().end();
        fs::write(world.path("run/run.json"), b"\x00\xff{{{ not a record\n").unwrap();
        fs::write(world.path("state/epoch"), "nor an epoch\n").unwrap();
        let daemon = world.daemon();
        // It may be running, so on the BACKUP it is stopped.
        world.settles("default", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks"), ["stop"]);
        let log = world.log();
        assert!(log.contains("run.json") && log.contains("epoch"), "{log}");
        let aside = |directory: &str| fs::read_dir(world.path(directory)).unwrap().count();
        assert!(
            aside("run") >= 4 && aside("state") >= 2,
            "both are kept for a look"
        );
        daemon.end();
    });
}

#[test]
fn killed_at_any_moment_of_a_flapping_world() {
    netns::run("restart::killed_at_any_moment_of_a_flapping_world", || {
        let world = World::new();
        world.service("sleep 0.03");
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: HERE/start.sh\n  stop: HERE/stop.sh\n  debounce: 20ms\n  \
             retry: {{first: 50ms, longest: 200ms}}\n"
        ));
        let seed = Random::seed("KEEPSTART_KILLS_SEED");
        let mut random = Random::new(seed);
        let mut present = false;
        for round in 0..30 {
            let daemon = world.daemon_unready(|_| {});
            let moment = random.below(8);
            for _ in 0..moment {
                if present {
                    del_vip();
                } else {
                    add_vip();
                }
                present = !present;
                pause(ms(random.below(60)));
            }
            pause(ms(random.below(40)));
            daemon.kill();
            if round % 5 == 4 {
                let daemon = world.daemon();
                let (role, service) = if present {
                    ("MASTER", "running")
                } else {
                    ("BACKUP", "stopped")
                };
                world.settles("default", role, service);
                assert_eq!(
                    world.exists("running"),
                    present,
                    "seed {seed}, round {round}\n{}",
                    world.log()
                );
                world.ran("hooks");
                daemon.kill();
            }
        }
        assert!(
            world.ran("hooks").len() > 10,
            "seed {seed}: {:?}",
            world.lines("hooks")
        );
    });
}

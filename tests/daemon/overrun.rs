//! The kernel drops what does not fit into the receive buffer. The daemon hears that it did, reads anew, and ends
//! in the right state without a needless script.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::world::{Daemon, VIP, World};

/// Adds and deletes addresses that concern nobody: `events` notifications.
pub(crate) fn churn(events: u32) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(batch(events).as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// The same as `ip -batch` reads it.
pub(crate) fn batch(events: u32) -> String {
    let mut batch = String::new();
    for number in 0..events / 2 {
        let [_, _, high, low] = (number % 60_000).to_be_bytes();
        // Writing into a string has no way to fail.
        let _ = writeln!(
            batch,
            "addr add 10.99.{high}.{low}/32 dev lo\naddr del 10.99.{high}.{low}/32 dev lo"
        );
    }
    batch
}

/// Leaves a socket no room for a filter, so that it hears what concerns nobody too. Since Linux 6.8 each namespace
/// has its own limit.
pub(crate) fn forbid_filters() {
    std::fs::write("/proc/sys/net/core/optmem_max", "0").unwrap();
}

fn overruns(world: &World) -> u64 {
    world.status()["daemon"]["kernel"]["overruns"]
        .as_u64()
        .unwrap()
}

/// What happens to the VIP while the daemon is stopped, after the buffer is full.
fn unseen(world: &World, daemon: &Daemon, events: u32, change: impl FnOnce()) {
    let before = overruns(world);
    daemon.stop();
    churn(events);
    change();
    daemon.signal(Signal::CONT);
    world.until("the overrun is seen", || overruns(world) > before);
    world.until("all is known again", || {
        world.status()["daemon"]["kernel"]["synchronized"] == true
    });
}

fn the_cases(world: &World, daemon: &Daemon, events: u32) {
    let add = || ip(&format!("addr add {VIP}/32 dev lo"));
    let del = || ip(&format!("addr del {VIP}/32 dev lo"));
    let nothing = || {};
    unseen(world, daemon, events, nothing);
    world.settles("default", "BACKUP", "stopped");
    unseen(world, daemon, events, add);
    world.settles("default", "MASTER", "running");
    unseen(world, daemon, events, del);
    world.settles("default", "BACKUP", "stopped");
    unseen(world, daemon, events, || {
        add();
        del();
    });
    world.settles("default", "BACKUP", "stopped");
    // On the MASTER, deleted and added again: nothing that lasted.
    add();
    world.settles("default", "MASTER", "running");
    unseen(world, daemon, events, nothing);
    world.settles("default", "MASTER", "running");
    unseen(world, daemon, events, || {
        del();
        add();
    });
    world.settles("default", "MASTER", "running");
    assert_eq!(
        world.ran("hooks"),
        ["start", "stop", "start"],
        "{}",
        world.log()
    );
}

fn world_with_a_service() -> World {
    let world = World::new();
    world.service("");
    world.config(&format!(
        "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
    ));
    world
}

#[test]
fn with_a_small_buffer() {
    netns::run("overrun::with_a_small_buffer", || {
        forbid_filters();
        let world = world_with_a_service();
        let daemon = world.daemon_with(|command| {
            command.args(["--receive-buffer", "4096"]);
        });
        the_cases(&world, &daemon, 400);
        daemon.end();
    });
}

#[test]
fn as_shipped_after_two_hundred_thousand_events() {
    netns::run(
        "overrun::as_shipped_after_two_hundred_thousand_events",
        || {
            forbid_filters();
            let world = world_with_a_service();
            let daemon = world.daemon();
            the_cases(&world, &daemon, 200_000);
            // The audit finds nothing that the reading after the overrun had missed.
            assert_eq!(world.keepstart(&["audit"]).code, 0);
            world.settles("default", "MASTER", "running");
            assert_eq!(world.status()["daemon"]["kernel"]["audits_repaired"], 0);
            daemon.end();
        },
    );
}

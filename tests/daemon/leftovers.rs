//! What a script leaves running in the background: it outlives the daemon, whatever it prints and however the daemon
//! ends, and what it prints is read again.

use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::world::{VIP, World, is_alive, ms, pause};

/// A world whose start script leaves a service behind that prints for ever, and counts its lines in a file too.
fn talking_world() -> World {
    let world = World::new();
    world.script(
        "start.sh",
        "i=0\nwhile :; do i=$((i+1)); echo tick $i; echo $i > HERE/count; sleep 0.1; done &\necho $! >> HERE/pids",
    );
    world.config(&format!(
        "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: 'kill $(tail -1 HERE/pids)'}}\n"
    ));
    ip(&format!("addr add {VIP}/32 dev lo"));
    world
}

/// The greatest number of a tick that the log has.
fn ticks_told(world: &World) -> u64 {
    let log = world.log();
    let numbers = log.lines().filter_map(|line| {
        line.split("tick ")
            .nth(1)?
            .split(' ')
            .next()?
            .trim()
            .parse()
            .ok()
    });
    numbers.max().unwrap_or(0)
}

/// What the log says beside the last tick: `name=value` in the log's order.
fn labels_of_the_last_tick(world: &World) -> Vec<String> {
    let log = world.log();
    let last = log.lines().rfind(|line| line.contains("tick ")).unwrap();
    let labels = last.split(' ').filter(|word| word.contains('='));
    labels.map(str::to_owned).collect()
}

fn ticks(world: &World) -> u64 {
    world.read("count").trim().parse().unwrap_or(0)
}

/// It goes on by itself for some ticks.
fn goes_on(world: &World) {
    let before = ticks(world);
    world.until("it goes on", || ticks(world) >= before + 5);
}

fn is_followed(world: &World) {
    let now = ticks(world);
    world.until("its output is read", || ticks_told(world) > now);
}

#[test]
fn a_service_outlives_the_daemon() {
    netns::run("leftovers::a_service_outlives_the_daemon", || {
        let world = talking_world();
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        is_followed(&world);
        let pid: u32 = world.read("pids").trim().parse().unwrap();
        let labels = labels_of_the_last_tick(&world);
        let epoch = world.instance("default")["epoch"].as_u64().unwrap();
        assert_eq!(labels[0..2], ["role=MASTER", "action=start"], "{labels:?}");
        let transition = format!("transition=default/{epoch}");
        assert_eq!(
            labels[3..],
            [format!("epoch={epoch}"), transition],
            "{labels:?}"
        );

        daemon.kill();
        goes_on(&world);
        let daemon = world.daemon();
        is_followed(&world);
        // The next life knows still what caused it.
        assert_eq!(labels_of_the_last_tick(&world), labels);
        world.settles("default", "MASTER", "running");

        daemon.end();
        goes_on(&world);
        let daemon = world.daemon();
        is_followed(&world);
        world.settles("default", "MASTER", "running");
        assert_eq!(world.lines("pids"), [pid.to_string()], "started once");
        assert!(is_alive(pid));

        ip(&format!("addr del {VIP}/32 dev lo"));
        world.settles("default", "BACKUP", "stopped");
        world.until("it has ended", || !is_alive(pid));
        world.until("its output is gone", || {
            world.path("run/output").read_dir().unwrap().count() == 0
        });
        daemon.end();
    });
}

#[test]
fn what_it_prints_does_not_accumulate() {
    netns::run("leftovers::what_it_prints_does_not_accumulate", || {
        let world = World::new();
        world.script(
            "start.sh",
            "yes 'a line of what a service prints when it is chatty' &\necho $! > HERE/pid",
        );
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: 'kill $(cat HERE/pid)'}}\n"
        ));
        ip(&format!("addr add {VIP}/32 dev lo"));
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        let files = || {
            world
                .path("run/output")
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap())
        };
        let written = || files().map(|file| file.size()).sum::<u64>();
        let kept = || files().map(|file| file.blocks() * 512).sum::<u64>();
        // It prints as fast as it can. What is kept of it is what it printed since the last look.
        world.until("much is printed", || written() > 200_000_000);
        let mut least = u64::MAX;
        for _ in 0..20 {
            least = least.min(kept());
            pause(ms(20));
        }
        assert!(
            least < written() / 4,
            "{least} of {} bytes are kept",
            written()
        );
        ip(&format!("addr del {VIP}/32 dev lo"));
        world.settles("default", "BACKUP", "stopped");
        world.until("its output is gone", || files().count() == 0);
        daemon.signal(Signal::TERM);
    });
}

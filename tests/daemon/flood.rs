//! Tens of thousands of address events a second that concern nobody, while the VIP comes and goes
//! (`KEEPSTART_FLOOD_SECONDS` says for how long).

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::netns::{self, ip};
use crate::overrun::{batch, forbid_filters};
use crate::world::{VIP, World, ms, pause};

/// Addresses that come and go in a second.
const EVENTS_PER_SECOND: u32 = 50_000;

/// Into how many pieces a second of them is cut.
const PIECES: u32 = 10;

const FLIP_EVERY: Duration = ms(100);

fn seconds() -> u64 {
    let named = std::env::var("KEEPSTART_FLOOD_SECONDS");
    named.map_or(3, |text| text.parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a flood has a rate")]
fn now() -> Instant {
    Instant::now()
}

/// Begins to hand events to the kernel. `ip` writes them while the test goes on.
fn piece() -> Child {
    let mut ip = Command::new("ip");
    ip.args(["-batch", "-"]).stdin(Stdio::piped());
    let mut child = ip.spawn().unwrap();
    let text = batch(EVENTS_PER_SECOND / PIECES);
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    child
}

/// Runs `flips` within a flood, and says how many events that had.
fn within(flips: impl FnOnce()) -> u64 {
    let (done, events) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = now();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            for number in 1.. {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                assert!(piece().wait().unwrap().success());
                events.fetch_add(u64::from(EVENTS_PER_SECOND / PIECES), Ordering::SeqCst);
                let due = Duration::from_secs(1) * number / PIECES;
                pause(due.saturating_sub(now().duration_since(begun)));
            }
        });
        flips();
        done.store(true, Ordering::SeqCst);
        flood.join().unwrap();
    });
    let (events, span) = (events.into_inner(), now().duration_since(begun));
    println!("{events} events in {span:?}");
    events
}

fn world_of(debounce: &str) -> World {
    let world = World::new();
    world.service("");
    world.config(&format!(
        "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh{debounce}}}\n"
    ));
    world
}

/// Each flip has its script, and one, however many events of others there are.
fn none_missed_and_none_twice(world: &World) {
    let daemon = world.daemon();
    let mut flips = 0;
    let events = within(|| {
        let begun = now();
        while now().duration_since(begun) < Duration::from_secs(seconds()) {
            let (action, is_there) = [("add", true), ("del", false)][flips % 2];
            let flipped = now();
            ip(&format!("addr {action} {VIP}/32 dev lo"));
            flips += 1;
            // The next flip is for a daemon that has acted on this one; a busy machine may take its time.
            world.until("it is acted on", || {
                world.exists("running") == is_there && world.lines("hooks").len() == 2 * flips
            });
            pause(FLIP_EVERY.saturating_sub(now().duration_since(flipped)));
        }
    });
    let (role, service) = if flips % 2 == 1 {
        ("MASTER", "running")
    } else {
        ("BACKUP", "stopped")
    };
    world.settles("default", role, service);
    let expected: Vec<_> = ["start", "stop"].into_iter().cycle().take(flips).collect();
    assert_eq!(world.ran("hooks"), expected, "{events} events");
    assert!(flips > 2 && events > 0);
    let instance = world.instance("default");
    assert_eq!(instance["superseded"], 0, "{instance:#}");
    daemon.end();
}

#[test]
fn behind_the_filter() {
    netns::run("flood::behind_the_filter", || {
        none_missed_and_none_twice(&world_of(", debounce: 0"));
    });
}

#[test]
fn without_a_filter() {
    netns::run("flood::without_a_filter", || {
        forbid_filters();
        none_missed_and_none_twice(&world_of(", debounce: 0"));
    });
}

#[test]
fn held_back_it_ends_right_and_counts_what_was_overtaken() {
    netns::run(
        "flood::held_back_it_ends_right_and_counts_what_was_overtaken",
        || {
            let world = world_of("");
            let daemon = world.daemon();
            let mut flips = 0;
            within(|| {
                while flips < 10 * seconds() {
                    ip(&format!("addr add {VIP}/32 dev lo"));
                    pause(FLIP_EVERY);
                    ip(&format!("addr del {VIP}/32 dev lo"));
                    pause(FLIP_EVERY);
                    flips += 2;
                }
                ip(&format!("addr add {VIP}/32 dev lo"));
            });
            world.settles("default", "MASTER", "running");
            let ran = world.ran("hooks");
            let expected: Vec<_> = ["start", "stop"]
                .into_iter()
                .cycle()
                .take(ran.len())
                .collect();
            assert_eq!(ran, expected);
            assert_eq!(ran.len() % 2, 1, "{ran:?}");
            let instance = world.instance("default");
            let number = |field: &str| instance[field].as_u64().unwrap();
            // What was not acted on was counted. (Flips that were read together are none.)
            assert!(number("superseded") > 0, "{instance:#}");
            assert!(
                number("transitions") + 2 * number("superseded") <= flips + 2,
                "{flips} flips: {instance:#}"
            );
            daemon.end();
        },
    );
}

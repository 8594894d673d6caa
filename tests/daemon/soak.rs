//! A long life among flips, reloads, floods and scripts that fail, hang and talk too much, all at random
//! (`KEEPSTART_SOAK_SECONDS` says how long, `KEEPSTART_SOAK_SEED` which): nothing grows, nothing runs twice at once,
//! and whenever all is calm each service is where its role wants it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::overrun::churn;
use crate::random::Random;
use crate::wait::wait_until;
use crate::world::{Daemon, PATIENCE, World, children_of, count_of, ms, pause, proc_status};

const INSTANCES: usize = 6;

/// How often it is calm for a look, at least; in a long soak once a minute. The first ends the warm-up.
const CALMS_MIN: u32 = 3;

/// What a daemon may have more of in the end than after the warm-up: the ring of its last inputs and its timeline may
/// fill up until then, each to its bound.
const GROWTH_MAX_KB: u64 = 8 * 1024;

/// A script that has one of several faults, by its number, while it is not calm. The lock is free when its process
/// is gone, however it went.
const FAULTY: &str = "exec 9>>HERE/lock-NAME\nflock -n 9 || echo NAME $$ >> HERE/overlaps\necho >> HERE/runs\n\
    test -e HERE/calm || case $(($$ % 8)) in\n  0) exit 1;;\n  1) sleep 30;;\n  \
    2) seq 1 300;;\n  3) sleep 0.2;;\n  4) kill -9 $$;;\nesac\n";

fn soak_time() -> Duration {
    let named = std::env::var("KEEPSTART_SOAK_SECONDS");
    Duration::from_secs(named.map_or(15, |text| text.parse().unwrap()))
}

#[expect(clippy::disallowed_methods, reason = "a soak takes its time")]
fn now() -> Instant {
    Instant::now()
}

/// What a daemon has.
#[derive(Debug)]
struct Footprint {
    /// Its own: the program's text comes into memory as it is used.
    memory_kb: u64,
    descriptors: usize,
}

struct Soak {
    world: World,
    daemon: Daemon,
    random: Random,
    present: [bool; INSTANCES],
    with_guest: bool,
    flips: u64,
    reloads: u64,
}

impl Soak {
    fn begin() -> Self {
        let world = World::new();
        for number in 0..INSTANCES {
            for (action, effect) in [("start", "touch"), ("stop", "rm -f")] {
                let name = format!("i{number}");
                let body = format!("{FAULTY}{effect} HERE/running-NAME").replace("NAME", &name);
                world.script(&format!("{action}-{name}.sh"), &body);
            }
        }
        configure(&world, true, 0);
        Self {
            daemon: world.daemon(),
            world,
            random: Random::new(Random::seed("KEEPSTART_SOAK_SEED")),
            present: [false; INSTANCES],
            with_guest: true,
            flips: 0,
            reloads: 0,
        }
    }

    fn flip(&mut self) {
        let number = usize::try_from(self.random.below(INSTANCES as u64)).unwrap();
        let action = if self.present[number] { "del" } else { "add" };
        ip(&format!("addr {action} 10.77.0.{number}/32 dev lo"));
        self.present[number] = !self.present[number];
        self.flips += 1;
    }

    /// Something happens.
    fn step(&mut self) {
        match self.random.below(40) {
            0 => {
                self.with_guest = !self.with_guest;
                configure(&self.world, self.with_guest, self.random.below(100));
                assert_eq!(self.world.keepstart(&["reload"]).code, 0);
                self.reloads += 1;
            }
            1 => {
                self.world.write("config.yaml", "instances: {broken");
                self.daemon.signal(Signal::HUP);
                pause(ms(20));
                configure(&self.world, self.with_guest, 0);
            }
            2 => churn(2_000),
            3 => assert_eq!(self.world.keepstart(&["audit"]).code, 0),
            4 => {
                self.daemon.stop();
                self.flip();
                pause(ms(self.random.below(50)));
                self.daemon.signal(Signal::CONT);
            }
            5 => self.daemon.signal(Signal::USR2),
            6 => assert_eq!(self.world.keepstart(&["timeline"]).code, 0),
            7 => {
                let said = self.world.keepstart(&["why", "i0"]);
                assert!(matches!(said.code, 0 | 4), "{said:?}");
            }
            _ => self.flip(),
        }
        pause(ms(self.random.below(40)));
    }

    /// Nothing fails any more: it has to come to an end, and to the right one.
    fn calm(&self) -> Footprint {
        self.world.write("calm", "");
        for (number, present) in self.present.into_iter().enumerate() {
            let (role, service) = if present {
                ("MASTER", "running")
            } else {
                ("BACKUP", "stopped")
            };
            self.world.settles(&format!("i{number}"), role, service);
            let is_there = self.world.exists(&format!("running-i{number}"));
            assert_eq!(is_there, present, "i{number}\n{}", self.world.log());
        }
        assert_eq!(self.world.read("overlaps"), "");
        let pid = self.daemon.pid();
        let outputs = || count_of(&self.world.path("run/output").display().to_string());
        self.world.until("the output is gone", || outputs() == 0);
        let jobs = || children_of(pid);
        wait_until(PATIENCE, || jobs().is_empty(), || format!("{:?}", jobs()));
        let threads = || count_of(&format!("/proc/{pid}/task"));
        // A thread that stood in for one that was slow goes when it has had nothing to do for a while.
        wait_until(
            PATIENCE,
            || threads() <= 6,
            || format!("{} threads", threads()),
        );
        let memory = proc_status(pid, "RssAnon").unwrap();
        let found = Footprint {
            memory_kb: memory.split(' ').next().unwrap().parse().unwrap(),
            descriptors: count_of(&format!("/proc/{pid}/fd")),
        };
        let runs = self.world.lines("runs").len();
        println!(
            "{} flips, {} reloads, {runs} runs: {found:?}",
            self.flips, self.reloads
        );
        std::fs::remove_file(self.world.path("calm")).unwrap();
        std::fs::write(self.world.path("log"), "").unwrap();
        found
    }
}

fn configure(world: &World, with_guest: bool, debounce_ms: u64) {
    let mut text = "instances:\n".to_owned();
    for number in 0..INSTANCES {
        // A half of them go through the stage, a third are asked about.
        let umask = if number % 2 == 0 { "" } else { ", umask: 027" };
        let check = if number % 3 == 0 {
            format!("is-running: test -e HERE/running-i{number}, ")
        } else {
            String::new()
        };
        let command = |action: &str| {
            format!("{{run: HERE/{action}-i{number}.sh, timeout: 500ms, kill-after: 200ms{umask}}}")
        };
        // Writing into a string has no way to fail.
        let _ = writeln!(
            text,
            "  i{number}: {{vip: 10.77.0.{number}, start: {}, stop: {}, {check}debounce: {debounce_ms}ms, \
             retry: {{first: 20ms, longest: 200ms}}}}",
            command("start"),
            command("stop")
        );
    }
    if with_guest {
        text.push_str("  guest: {vip: 10.77.0.0, start: 'true', stop: 'true'}\n");
    }
    world.config(&text);
}

#[test]
fn a_long_life_at_random() {
    netns::run("soak::a_long_life_at_random", || {
        let mut soak = Soak::begin();
        let mut found = Vec::new();
        let minutes = u32::try_from(soak_time().as_secs() / 60).unwrap();
        let calms = CALMS_MIN.max(minutes);
        let each = soak_time() / calms;
        for _ in 0..calms {
            let begun = now();
            while now() < begun + each {
                soak.step();
            }
            found.push(soak.calm());
        }
        let [warm, .., found] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(soak.flips > 0 && soak.reloads > 0);
        assert!(
            found.memory_kb <= warm.memory_kb + GROWTH_MAX_KB,
            "{warm:?}, in the end {found:?}"
        );
        assert!(
            found.descriptors <= warm.descriptors,
            "{warm:?}, in the end {found:?}"
        );
        let status = soak.world.status();
        assert_eq!(
            status["daemon"]["counters"]["records_dropped"], 0,
            "{status:#}"
        );
        soak.daemon.end();
        // The daemon that was waited for has left nobody behind.
        let left = soak.world.marked();
        assert!(left.is_empty(), "{left:?}");
    });
}

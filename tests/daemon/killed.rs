//! The daemon killed at each point where it writes something down or makes a process, a thousand times in all
//! (`KEEPSTART_KILLS` says how often): started again it ends in what the roles want, nothing has run twice at once,
//! and no epoch has come again.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keepstart::kill_points;
use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::random::Random;
use crate::wait::wait_until;
use crate::world::{Daemon, PATIENCE, World, ms, pause, proc_status};

/// Of all points together.
const KILLS: usize = 1_000;

/// Worlds at a time: mostly they wait for scripts.
const WORLDS: usize = 8;

/// What each world has a service of: one whose script the daemon executes itself, one that goes through the stage.
const SERVICES: [&str; 2] = ["plain", "staged"];

/// Until a daemon that was locked out is started again.
const AGAIN: Duration = ms(50);

/// One world, in which the daemon is killed at one point again and again.
struct Round {
    world: World,
    point: (&'static str, &'static str),
    /// Makes its addresses its own.
    number: usize,
    random: Random,
    /// Whose address is there.
    present: [bool; SERVICES.len()],
    /// Whether the file has the instance that comes and goes.
    with_guest: bool,
    /// Another one after each kill, which has never seen its interface.
    guest: usize,
}

/// When a daemon dies.
enum Death {
    /// At the point, at this passage.
    Planned((&'static str, &'static str), u64),
    /// When the test is content.
    Unplanned,
}

impl Round {
    fn new(point: (&'static str, &'static str), number: usize, seed: u64) -> Self {
        let world = World::new();
        for name in SERVICES {
            world.service_named(name, "echo so far\nsleep 0.02");
        }
        let round = Self {
            world,
            point,
            number,
            random: Random::new(seed),
            present: [false; SERVICES.len()],
            with_guest: true,
            guest: 0,
        };
        round.configure();
        round
    }

    fn vip(&self, service: usize) -> String {
        format!("10.77.{}.{}", self.number, service + 1)
    }

    fn configure(&self) {
        let (plain, staged) = (self.vip(0), self.vip(1));
        let retry = "retry: {first: 20ms, longest: 100ms}";
        let guest = if self.with_guest {
            let name = format!("guest{}", self.guest);
            format!(
                "  {name}: {{nic: lo, vip: {plain}, start: 'true', stop: 'true', debounce: 0}}\n"
            )
        } else {
            String::new()
        };
        self.world.write(
            "config.yaml",
            &format!(
                "application: {{runtime-dir: HERE/run, state-dir: HERE/state, pidfile: HERE/pid}}\ninstances:\n  \
                 plain: {{vip: {plain}, start: HERE/start-plain.sh, stop: HERE/stop-plain.sh, debounce: 0, {retry}}}\n  \
                 staged: {{vip: {staged}, start: {{run: HERE/start-staged.sh, umask: 027}}, \
                 stop: HERE/stop-staged.sh, is-running: test -e HERE/running-staged, debounce: 10ms, {retry}}}\n  \
                 missing: {{vip: {plain}, start: HERE/missing.sh, stop: 'true', debounce: 0, {retry}}}\n{guest}"
            ),
        );
    }

    fn flip(&mut self, service: usize) {
        let action = if self.present[service] { "del" } else { "add" };
        ip(&format!("addr {action} {}/32 dev lo", self.vip(service)));
        self.present[service] = !self.present[service];
    }

    fn reload(&mut self, daemon: &Daemon) {
        // The file is only written while a daemon reads signals: one that begins may not find half of it.
        if catches(daemon, Signal::HUP) {
            self.with_guest = !self.with_guest;
            self.configure();
            daemon.signal(Signal::HUP);
        }
    }

    /// A daemon that lives until it dies where it is to.
    fn dies_at(&mut self, point: (&'static str, &'static str), passage: u64) {
        let mut daemon = self.begin(&Death::Planned(point, passage));
        let dies_at_its_end = matches!(point, ("sockets" | "pidfile" | "entry", "removed"));
        let flips = self.random.below(6);
        let mut step = 0;
        let mut status = None;
        wait_until(
            PATIENCE,
            || {
                status = daemon.child().try_wait().unwrap();
                if is_locked_out(status) {
                    pause(AGAIN);
                    daemon = self.begin(&Death::Planned(point, passage));
                    return false;
                }
                if status.is_some() {
                    return true;
                }
                step += 1;
                if dies_at_its_end && step > flips {
                    if catches(&daemon, Signal::TERM) {
                        daemon.signal(Signal::TERM);
                        status = Some(daemon.ended());
                        return true;
                    }
                } else if self.random.below(5) == 0 || point.0 == "forget" {
                    self.reload(&daemon);
                } else {
                    let service = usize::try_from(self.random.below(2)).unwrap();
                    self.flip(service);
                }
                pause(ms(self.random.below(40)));
                false
            },
            || format!("it never dies at {point:?}, {passage}"),
        );
        let signal = status.unwrap().signal();
        let log = self.world.log();
        assert_eq!(
            signal,
            Some(9),
            "at {point:?}, {passage}: {status:?}\n{log}"
        );
    }

    fn begin(&self, death: &Death) -> Daemon {
        std::fs::write(self.world.path("log"), "").unwrap();
        self.world.daemon_unready(|command| match death {
            Death::Planned((what, step), passage) => {
                command.env("KEEPSTART_TEST_KILL", format!("{what} {step} {passage}"));
            }
            Death::Unplanned => {}
        })
    }

    /// A daemon that is ready, and lives until the test is content.
    fn lives(&self) -> Daemon {
        let mut daemon = self.begin(&Death::Unplanned);
        self.world.until("ready", || {
            let status = daemon.child().try_wait().unwrap();
            if is_locked_out(status) {
                pause(AGAIN);
                daemon = self.begin(&Death::Unplanned);
            } else {
                assert_eq!(status, None, "{}", self.world.log());
            }
            self.world.log().contains("ready: ")
        });
        daemon
    }

    /// One kill, and what follows.
    fn kill(&mut self) {
        self.guest += 1;
        self.with_guest = true;
        self.configure();
        if self.point.0 == "earlier-job" {
            // That there is one.
            self.dies_at(("spawned", "after"), 1);
        }
        let passages = match self.point {
            ("lock" | "spare", _) => 2,
            (
                "run.json" | "epoch" | "entry" | "nic-seen" | "forget" | "sockets" | "pidfile"
                | "earlier-job",
                _,
            ) => 1,
            _ => 3,
        };
        let passage = 1 + self.random.below(passages);
        self.dies_at(self.point, passage);
        let daemon = self.lives();
        self.recovers();
        daemon.kill();
    }

    /// What runs is what the roles want.
    fn recovers(&self) {
        let is_right = |service: usize| {
            let name = SERVICES[service];
            let marks = self.world.lines(&format!("hooks-{name}")).len();
            marks.is_multiple_of(2)
                && self.world.exists(&format!("running-{name}")) == self.present[service]
        };
        let is_so = || (0..SERVICES.len()).all(is_right);
        wait_until(PATIENCE, is_so, || {
            format!(
                "after {:?} it is never right: {:?}\n{:?}\n{}",
                self.point,
                self.present,
                SERVICES.map(|name| self.world.lines(&format!("hooks-{name}"))),
                self.world.log()
            )
        });
    }

    /// The last life, which is an orderly one.
    fn end(self) {
        let daemon = self.lives();
        for (service, name) in SERVICES.into_iter().enumerate() {
            let (role, state) = if self.present[service] {
                ("MASTER", "running")
            } else {
                ("BACKUP", "stopped")
            };
            self.world.settles(name, role, state);
            let hooks = format!("hooks-{name}");
            self.world.ran(&hooks);
            let epoch = |line: &String| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
            let epochs: Vec<u64> = self.world.lines(&hooks).iter().map(epoch).collect();
            assert!(epochs.is_sorted(), "after {:?}: {epochs:?}", self.point);
        }
        daemon.end();
        for directory in ["run", "state"] {
            for entry in self.world.path(directory).read_dir().unwrap() {
                let name = entry.unwrap().file_name();
                let name = name.to_string_lossy();
                assert!(
                    !name.ends_with(".new") && !name.contains("damaged"),
                    "after {:?} there is {directory}/{name}",
                    self.point
                );
            }
        }
        assert!(!self.world.exists("pid"));
    }
}

/// Whether it has ended because of what the one before has not finished making: until it executes its program, such a
/// process has the locks. On a busy machine that takes a while, and whoever started the daemon starts it again.
fn is_locked_out(status: Option<ExitStatus>) -> bool {
    status.and_then(|status| status.code()) == Some(75)
}

/// Whether the daemon has come so far that a signal does not kill it.
fn catches(daemon: &Daemon, signal: Signal) -> bool {
    let mask = proc_status(daemon.pid(), "SigCgt").unwrap_or_default();
    let mask = u64::from_str_radix(&mask, 16).unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn killed_at_each_point() {
    netns::run("killed::killed_at_each_point", || {
        let points = kill_points::ALL;
        let kills = std::env::var("KEEPSTART_KILLS").map_or(KILLS, |text| text.parse().unwrap());
        let each = kills.div_ceil(points.len());
        let seed = Random::seed("KEEPSTART_KILLS_SEED");
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(point) = points.get(number) else {
                    return;
                };
                let mut round = Round::new(*point, number, seed + number as u64);
                for _ in 0..each {
                    round.kill();
                }
                round.end();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..WORLDS {
                scope.spawn(work);
            }
        });
    });
}

//! The daemon as a process: the processor time of one address event, with a `status --watch` attached. All sizes
//! run at once and take turns; what they need while nothing happens is measured first and taken away.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::SIZES;
use super::pure::{nobodys, somebodys};
use crate::support::clock::{MS, now_ns, sleep_until};
use crate::support::hook::{self, Flip, Reports};
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::stats::{ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, namespace, procfs, rounds};

/// Longer than the debounce window, for the sake of the size with one instance.
const TURN_MS: u64 = 260;
/// Events of nobody come as fast as the kernel makes them.
const NOBODYS_PER_ROUND: u32 = 20;
const HOOK_DEADLINE_MS: u64 = 10_000;
/// Logging, state files and watchers are done by then.
const SETTLE: Duration = Duration::from_secs(2);

struct Contestant {
    instances: u32,
    /// Ends before the daemon, and both before their directories.
    _watch: Process,
    daemon: Process,
    _places: Places,
    /// Bytes that the watcher has printed.
    watched: Arc<AtomicUsize>,
    route: Route,
    reports: Reports,
}

/// What a daemon used of a processor in some time.
struct Spent {
    cpu_ns: u64,
    elapsed_ns: u64,
}

impl Spent {
    fn per_second(&self) -> u64 {
        self.cpu_ns * 1_000 / (self.elapsed_ns / MS).max(1)
    }

    /// What it used for each event, beyond what it would have used anyway.
    fn per_event(&self, idle: &Self, events: u32) -> u64 {
        let anyway_ns = idle.per_second() * (self.elapsed_ns / MS) / 1_000;
        self.cpu_ns.saturating_sub(anyway_ns) / u64::from(events)
    }
}

impl Contestant {
    fn new(hook: &Path, instances: u32) -> anyhow::Result<Self> {
        let places = Places::make()?;
        let reports = Reports::make(places.disk().join("reports"))?;
        let vips: Vec<_> = (0..instances).map(somebodys).collect();
        let file = daemon::configure(&places, &vips, hook, reports.path(), None)?;
        let started = namespace::inside(|| Ok((daemon::start(&places, &file)?, Route::open()?)));
        let (daemon, route) = started?;
        let mut command = daemon::command(&file, &["status", "--watch"]);
        let mut watch = Process::start(command.stdout(Stdio::piped()))?;
        let stdout = watch
            .child()
            .stdout
            .take()
            .context("the watcher has no stdout")?;
        Ok(Self {
            instances,
            _watch: watch,
            daemon: daemon.process,
            _places: places,
            watched: count(stdout),
            route,
            reports,
        })
    }

    fn cpu_ns(&self) -> anyhow::Result<u64> {
        procfs::cpu_ns(self.daemon.pid())
    }

    fn flip_nobodys(&self) -> anyhow::Result<()> {
        for flip in [Flip::Gain, Flip::Loss] {
            for number in 0..NOBODYS_PER_ROUND / 2 {
                self.route.flip(nobodys(number), flip)?;
            }
        }
        Ok(())
    }

    /// Flips the VIP of the next instance and waits for its hook.
    fn flip_somebodys(&mut self, turn: u32) -> anyhow::Result<()> {
        let flip = if (turn / self.instances).is_multiple_of(2) {
            Flip::Gain
        } else {
            Flip::Loss
        };
        self.route.flip(somebodys(turn % self.instances), flip)?;
        self.reports
            .expect(flip, now_ns() + HOOK_DEADLINE_MS * MS)
            .map(drop)
    }
}

fn count(mut stdout: impl std::io::Read + Send + 'static) -> Arc<AtomicUsize> {
    let watched = Arc::new(AtomicUsize::new(0));
    let counter = watched.clone();
    thread::spawn(move || {
        let mut buffer = [0; 8_192];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            counter.fetch_add(length, Ordering::Relaxed);
        }
    });
    watched
}

pub(super) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let hook = hook::compile(places.disk())?;
    let make = |instances| Contestant::new(&hook, instances);
    let mut contestants = SIZES.into_iter().map(make).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(SETTLE);
    let rounds = u32::try_from(rounds::rounds(100))?;
    let idle = turns(&mut contestants, rounds, |_, _| Ok(()))?;
    let nobodys = turns(&mut contestants, rounds, |it, _| it.flip_nobodys())?;
    let watched: Vec<_> = contestants
        .iter()
        .map(|it| it.watched.load(Ordering::Relaxed))
        .collect();
    let somebodys = turns(&mut contestants, rounds, Contestant::flip_somebodys)?;
    for (contestant, before) in contestants.iter().zip(watched) {
        let told = contestant.watched.load(Ordering::Relaxed) > before;
        ensure!(
            told,
            "status --watch did not tell of {} instances",
            contestant.instances
        );
    }
    let per_event = |spent: &[Spent], events: u32| -> Vec<u64> {
        spent
            .iter()
            .zip(&idle)
            .map(|(spent, idle)| spent.per_event(idle, events))
            .collect()
    };
    let heading = [
        "processor time of the daemon",
        "instances",
        "µs",
        "÷ 1 instance",
    ];
    let mut table = Table::new(&heading);
    for (what, figures) in [
        (
            "an address of nobody",
            per_event(&nobodys, rounds * NOBODYS_PER_ROUND),
        ),
        ("a flip, its job and its end", per_event(&somebodys, rounds)),
        (
            "idle, a second",
            idle.iter().map(Spent::per_second).collect(),
        ),
    ] {
        let first = figures.first().copied().unwrap_or_default();
        for (contestant, ns) in contestants.iter().zip(figures) {
            let instances = contestant.instances.to_string();
            table.row([what.to_owned(), instances, us(ns), ratio(ns, first)]);
        }
    }
    say(
        "\nThe daemon as a process, with a `status --watch` attached; events beyond what it uses idle:\n",
    )?;
    table.print()
}

/// Lets the contestants take turns, and measures what their daemons use meanwhile.
fn turns(
    contestants: &mut [Contestant],
    rounds: u32,
    turn: impl Fn(&mut Contestant, u32) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Spent>> {
    let cpu_ns = |contestants: &[Contestant]| {
        contestants
            .iter()
            .map(Contestant::cpu_ns)
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let (begin_ns, before) = (now_ns(), cpu_ns(contestants)?);
    let step_ns = TURN_MS * MS / u64::try_from(contestants.len())?;
    let mut at_ns = begin_ns;
    for round in 0..rounds {
        for contestant in &mut *contestants {
            at_ns += step_ns;
            sleep_until(at_ns);
            turn(contestant, round)
                .with_context(|| format!("{} instances fail", contestant.instances))?;
        }
    }
    thread::sleep(SETTLE);
    let (elapsed_ns, after) = (now_ns() - begin_ns, cpu_ns(contestants)?);
    let spent = |(before, after): (u64, u64)| Spent {
        cpu_ns: after.saturating_sub(before),
        elapsed_ns,
    };
    Ok(before.into_iter().zip(after).map(spent).collect())
}

//! From the address change to the hook's first instruction: a floor, a shell loop, keepalived's own notify and
//! keepstart as shipped, in turns, each in a network namespace of its own. About two minutes. Prints
//! Markdown tables; fails where a contestant did not run its hook, whatever time it took.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::process::{getpriority_process, setpriority_process};

use crate::support::clock::{MS, now_ns, sleep_until};
use crate::support::hook::{Flip, Reports};
use crate::support::keepalived::Keepalived;
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::{Observer, Route};
use crate::support::stats::{Samples, ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, keepalived, namespace, rounds, shell};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Longer than the default debounce window, so that every gain comes out of the calm.
const CALM_MS: u64 = 260;
/// What a contestant does after its hook has begun must not disturb the next one's turn.
const REST_MS: u64 = 40;
/// A hook that has not begun after this never will.
const HOOK_DEADLINE_MS: u64 = 10_000;

/// What makes the VIP come and go, and tells when it did.
enum Lever {
    /// This bench does, and knows when it asked the kernel to.
    Route(Route),
    /// keepalived does; the time is that at which another listener heard of it.
    Keepalived {
        keepalived: Keepalived,
        observer: Observer,
    },
}

impl Lever {
    fn flip(&mut self, flip: Flip) -> anyhow::Result<u64> {
        match self {
            Self::Route(route) => route.flip(VIP, flip),
            Self::Keepalived {
                keepalived,
                observer,
            } => {
                keepalived.flip(flip)?;
                observer.expect(flip, now_ns() + HOOK_DEADLINE_MS * MS)
            }
        }
    }
}

type Take = fn(&mut Contestant) -> &mut Vec<u64>;

struct Contestant {
    name: &'static str,
    lever: Lever,
    reports: Reports,
    flipped_ns: u64,
    gains: Vec<u64>,
    losses: Vec<u64>,
    /// The process of a contestant whose lever does not own it.
    _process: Option<Process>,
}

impl Contestant {
    /// Makes a contestant in a new namespace: `start` gets the hook's FIFO.
    fn new(
        name: &'static str,
        reports: Reports,
        start: impl FnOnce(&Path) -> anyhow::Result<(Lever, Option<Process>)> + Send,
    ) -> anyhow::Result<Self> {
        let started = namespace::inside(|| start(reports.path()));
        let (lever, process) = started.with_context(|| format!("cannot start {name}"))?;
        let (gains, losses) = (Vec::new(), Vec::new());
        Ok(Self {
            name,
            lever,
            reports,
            flipped_ns: 0,
            gains,
            losses,
            _process: process,
        })
    }

    /// One measured flip.
    fn turn(&mut self, flip: Flip) -> anyhow::Result<u64> {
        sleep_until((now_ns() + REST_MS * MS).max(self.flipped_ns + CALM_MS * MS));
        let flipped_ns = self.lever.flip(flip)?;
        self.flipped_ns = now_ns();
        let report = self
            .reports
            .expect(flip, self.flipped_ns + HOOK_DEADLINE_MS * MS)?;
        Ok(report.at_ns.saturating_sub(flipped_ns))
    }

    fn measure(&mut self, flip: Flip) -> anyhow::Result<()> {
        let ns = self
            .turn(flip)
            .with_context(|| format!("{} fails", self.name))?;
        match flip {
            Flip::Gain => self.gains.push(ns),
            Flip::Loss => self.losses.push(ns),
        }
        Ok(())
    }

    /// Flips until the contestant is seen to listen, which a shell loop never tells; the VIP is absent then.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let mut heard = Vec::new();
            for flip in [Flip::Gain, Flip::Loss] {
                self.lever.flip(flip)?;
                while let Some(report) = self.reports.next(now_ns() + CALM_MS * MS)? {
                    heard.push(report.flip);
                }
            }
            if heard.ends_with(&[Flip::Gain, Flip::Loss]) {
                return Ok(());
            }
        }
        anyhow::bail!("{} does not listen", self.name)
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let mut contestants = contestants(&places)?;
    for contestant in &mut contestants {
        contestant.warm_up()?;
    }
    // So that this thread hears of keepalived's address as soon as keepalived itself can. Only root may.
    let niceness = getpriority_process(None)?;
    let _ = setpriority_process(None, -20);
    let measured = measure(&mut contestants, rounds::rounds(200));
    let _ = setpriority_process(None, niceness);
    measured?;
    print(contestants)
}

fn measure(contestants: &mut [Contestant], rounds: usize) -> anyhow::Result<()> {
    for _ in 0..rounds {
        for flip in [Flip::Gain, Flip::Loss] {
            for contestant in &mut *contestants {
                contestant.measure(flip)?;
            }
        }
        // Everybody follows everybody else in turn.
        contestants.rotate_left(1);
    }
    let turned = rounds % contestants.len();
    contestants.rotate_right(turned);
    for contestant in contestants {
        let more = contestant.reports.next(now_ns() + CALM_MS * MS)?;
        ensure!(
            more.is_none(),
            "{} ran a hook that nothing asked for",
            contestant.name
        );
    }
    Ok(())
}

fn contestants(places: &Places) -> anyhow::Result<Vec<Contestant>> {
    let directory = places.disk();
    let hook = &hook::compile(directory)?;
    let reports = |name: &str| Reports::make(directory.join(name));
    let route = |process| Ok((Lever::Route(Route::open()?), Some(process)));
    let mut contestants = vec![
        Contestant::new("floor: recv, posix_spawn", reports("floor")?, |reports| {
            route(floor::start(VIP, hook, reports, None)?)
        })?,
        Contestant::new("keepstart", reports("keepstart")?, |reports| {
            let file = daemon::configure(places, &[VIP], hook, reports, None)?;
            route(daemon::start(places, &file)?.process)
        })?,
        Contestant::new("`ip monitor` shell loop", reports("shell")?, |reports| {
            route(shell::start(VIP, hook, reports, None)?)
        })?,
    ];
    if keepalived::installed() {
        let name = "keepalived notify_master, notify_fault";
        contestants.push(Contestant::new(name, reports("keepalived")?, |reports| {
            let observer = Observer::open(VIP)?;
            let keepalived = Keepalived::start(directory, VIP, hook, reports)?;
            Ok((
                Lever::Keepalived {
                    keepalived,
                    observer,
                },
                None,
            ))
        })?);
    } else {
        say("keepalived is not installed: it is not measured.")?;
    }
    Ok(contestants)
}

fn print(mut contestants: Vec<Contestant>) -> anyhow::Result<()> {
    let tables: [(&str, Take); 2] = [
        (
            "gains (bar for keepstart: p50 ≤ 1.25 × floor, p99 ≤ 2 × floor)",
            |it| &mut it.gains,
        ),
        ("losses", |it| &mut it.losses),
    ];
    for (title, take) in tables {
        say(&format!(
            "\nFrom the address change to the hook's first instruction, {title}, µs:\n"
        ))?;
        let mut table = Table::new(&[
            "contestant",
            "flips",
            "p50",
            "p90",
            "p99",
            "max",
            "p50 ÷ floor",
            "p99 ÷ floor",
        ]);
        let mut floor = None;
        for contestant in &mut contestants {
            let samples = Samples::new(std::mem::take(take(contestant)));
            let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| samples.quantile(percent));
            let (floor_p50, floor_p99) = *floor.get_or_insert((p50, p99));
            let figures = [p50, p90, p99, max].map(us);
            let ratios = [ratio(p50, floor_p50), ratio(p99, floor_p99)];
            let first = [contestant.name.to_owned(), samples.count().to_string()];
            table.row(first.into_iter().chain(figures).chain(ratios));
        }
        table.print()?;
    }
    say(
        "keepalived decides by itself, so its time begins when another listener hears of the address.",
    )
}

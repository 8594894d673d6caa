//! Five hundred VIPs that come at once, as when a node takes everything over, beside one that comes alone.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::support::clock::{MS, now_ns, sleep_until};
use crate::support::hook::{Flip, Moment, Reports};
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::stats::{Samples, ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, hook, namespace, rounds};

const VIPS: u32 = 500;
/// What `starts-at-once` is without a word in the file.
const STARTS_AT_ONCE: usize = 16;
const HOOK_MS: u32 = 20;
const ROUNDS: usize = 10;
/// Everybody is calm again by then.
const CALM_MS: u64 = 1_000;
const ALL_DEADLINE_MS: u64 = 60_000;

struct Contestant {
    vips: Vec<Ipv4Addr>,
    first: Vec<u64>,
    all: Vec<u64>,
    at_once: usize,
    _daemon: Process,
    route: Route,
    reports: Reports,
    _places: Places,
}

impl Contestant {
    fn new(hook: &Path, vips: Vec<Ipv4Addr>) -> anyhow::Result<Self> {
        let places = Places::make()?;
        let reports = Reports::make(places.disk().join("reports"))?;
        let file = daemon::configure(&places, &vips, hook, reports.path(), Some(HOOK_MS))?;
        let started =
            namespace::inside(|| Ok((daemon::start(&places, &file)?.process, Route::open()?)));
        let (daemon, route) = started?;
        Ok(Self {
            vips,
            first: Vec::new(),
            all: Vec::new(),
            at_once: 0,
            _daemon: daemon,
            route,
            reports,
            _places: places,
        })
    }

    /// All of them come, or go; each hook must run once, and be through before this returns.
    fn turn(&mut self, flip: Flip) -> anyhow::Result<()> {
        sleep_until(now_ns() + CALM_MS * MS);
        let begin_ns = now_ns();
        for vip in &self.vips {
            self.route.flip(*vip, flip)?;
        }
        let until_ns = now_ns() + ALL_DEADLINE_MS * MS;
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        while ended.len() < self.vips.len() {
            let report = self.reports.next(until_ns)?;
            let report = report.with_context(|| {
                format!("{} of {} hooks were run", ended.len(), self.vips.len())
            })?;
            ensure!(
                report.flip == flip,
                "a {} hook was run",
                report.flip.action()
            );
            let of = match report.moment {
                Moment::Begin => &mut begun,
                Moment::End => &mut ended,
            };
            of.push(report.at_ns.saturating_sub(begin_ns));
        }
        ensure!(
            begun.len() == ended.len(),
            "{} hooks began, {} ended",
            begun.len(),
            ended.len()
        );
        if flip == Flip::Gain {
            self.first.extend(begun.iter().min());
            self.all.extend(begun.iter().max());
            self.at_once = self.at_once.max(most_at_once(begun, ended));
        }
        Ok(())
    }
}

/// How many ran at the same time at most.
fn most_at_once(begun: Vec<u64>, ended: Vec<u64>) -> usize {
    let begun = begun.into_iter().map(|at| (at, true));
    let ended = ended.into_iter().map(|at| (at, false));
    let mut moments: Vec<_> = begun.chain(ended).collect();
    moments.sort_unstable();
    let mut now = 0_usize;
    let counts = moments.into_iter().map(|(_, begins)| {
        now = if begins {
            now + 1
        } else {
            now.saturating_sub(1)
        };
        now
    });
    counts.max().unwrap_or(0)
}

pub(super) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let hook = hook::compile(places.disk())?;
    let first = Ipv4Addr::new(10, 99, 0, 1).to_bits();
    let vips = |count| {
        (0..count)
            .map(|number| Ipv4Addr::from_bits(first + number))
            .collect()
    };
    let make = |count| Contestant::new(&hook, vips(count));
    let mut contestants = [1, VIPS]
        .map(make)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds::rounds(ROUNDS).min(ROUNDS) {
        for contestant in &mut contestants {
            contestant.turn(Flip::Gain)?;
            contestant.turn(Flip::Loss)?;
        }
    }
    say(&format!(
        "\nVIPs that come at once, hooks of {HOOK_MS} ms, each run once (bar: at most {STARTS_AT_ONCE} at once):\n"
    ))?;
    let mut table = Table::new(&[
        "VIPs",
        "first hook, p50 µs",
        "÷ one VIP",
        "last hook begins, p50 µs",
        "most at once",
    ]);
    let mut alone = None;
    for it in contestants {
        ensure!(
            it.at_once <= STARTS_AT_ONCE,
            "{} starts ran at once",
            it.at_once
        );
        let [first, last] = [it.first, it.all].map(|ns| Samples::new(ns).quantile(50));
        let alone = *alone.get_or_insert(first);
        table.row([
            it.vips.len().to_string(),
            us(first),
            ratio(first, alone),
            us(last),
            it.at_once.to_string(),
        ]);
    }
    table.print()
}

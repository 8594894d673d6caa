//! A VIP that flaps: what was run too often, too late, side by side, or not at all. A floor, a shell loop and
//! keepstart, with a hook that takes 50 ms. About three minutes. Nothing here measures a time: each column
//! counts mistakes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::support::clock::{MS, now_ns, sleep_until};
use crate::support::hook::{Flip, Moment, Reports};
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, namespace, rounds, shell};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
const HOOK_MS: u32 = 50;
/// The default debounce window of keepstart.
const WINDOW_MS: u64 = 200;
/// Between the decision and the hook's first instruction lies an exec, which nobody can take back.
const EXEC_MS: u64 = 5;
/// A role that was held for this long deserves a hook.
const HELD_MS: u64 = 250;
/// Longer than the longest hold of keepstart (2 s) and a hook.
const QUIET_MS: u64 = 2_500;
/// A backlog that is not worked off by then is a contestant that hangs.
const QUIET_DEADLINE_MS: u64 = 120_000;

struct Contestant {
    name: &'static str,
    route: Route,
    reports: Reports,
    flips: Vec<Flipped>,
    runs: Vec<Run>,
    wrong_ends: usize,
    _process: Process,
}

/// A change of the VIP: it happened between the question to the kernel and its answer.
struct Flipped {
    asked_ns: u64,
    answered_ns: u64,
    flip: Flip,
}

struct Run {
    begin_ns: u64,
    /// Set when the hook's last report was read.
    end_ns: u64,
    flip: Flip,
}

/// Each column of the table.
#[derive(Default)]
struct Mistakes {
    duplicates: usize,
    overlaps: usize,
    stale: usize,
    missed: usize,
}

impl Contestant {
    fn new(
        name: &'static str,
        reports: Reports,
        start: impl FnOnce(&Path) -> anyhow::Result<Process> + Send,
    ) -> anyhow::Result<Self> {
        let started = namespace::inside(|| Ok((start(reports.path())?, Route::open()?)));
        let (process, route) = started.with_context(|| format!("cannot start {name}"))?;
        let (flips, runs) = (Vec::new(), Vec::new());
        Ok(Self {
            name,
            route,
            reports,
            flips,
            runs,
            wrong_ends: 0,
            _process: process,
        })
    }

    /// Flips until the contestant is seen to listen, which a shell loop never tells; the VIP is absent then.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            for flip in [Flip::Gain, Flip::Loss] {
                self.flip(flip)?;
                sleep_until(now_ns() + HELD_MS * MS);
            }
            self.read_until_quiet()?;
            if self.runs.last().is_some_and(|run| run.flip == Flip::Loss) {
                self.forget();
                return Ok(());
            }
        }
        anyhow::bail!("{} does not listen", self.name)
    }

    fn forget(&mut self) {
        let last = self.flips.pop();
        self.flips = last.into_iter().collect();
        self.runs.clear();
        self.wrong_ends = 0;
    }

    fn flip(&mut self, flip: Flip) -> anyhow::Result<()> {
        let asked_ns = self.route.flip(VIP, flip)?;
        let answered_ns = now_ns();
        self.flips.push(Flipped {
            asked_ns,
            answered_ns,
            flip,
        });
        Ok(())
    }

    fn flip_back(&mut self) -> anyhow::Result<()> {
        let back = self
            .flips
            .last()
            .map_or(Flip::Gain, |last| last.flip.back());
        self.flip(back)
    }

    /// Reads reports until no hook runs and none has begun for a while.
    fn read_until_quiet(&mut self) -> anyhow::Result<()> {
        let deadline_ns = now_ns() + QUIET_DEADLINE_MS * MS;
        let mut running = BTreeMap::new();
        loop {
            let Some(report) = self.reports.next(now_ns() + QUIET_MS * MS)? else {
                ensure!(running.is_empty(), "a hook of {} does not end", self.name);
                return Ok(());
            };
            ensure!(
                now_ns() < deadline_ns,
                "{} does not come to rest",
                self.name
            );
            match report.moment {
                Moment::Begin => running.insert(report.pid, report.at_ns),
                Moment::End => {
                    let begin = running.remove(&report.pid);
                    let begin_ns = begin.context("a hook ended that did not begin")?;
                    self.runs.push(Run {
                        begin_ns,
                        end_ns: report.at_ns,
                        flip: report.flip,
                    });
                    None
                }
            };
        }
    }

    /// One series of flips is over: is what runs what should?
    fn judge_end(&mut self) -> anyhow::Result<()> {
        self.read_until_quiet()?;
        self.runs.sort_by_key(|run| run.begin_ns);
        let ran = self.runs.last().map(|run| run.flip);
        let ran = ran.with_context(|| format!("{} ran no hook at all", self.name))?;
        self.wrong_ends += usize::from(self.flips.last().is_some_and(|last| last.flip != ran));
        Ok(())
    }

    fn mistakes(&self) -> Mistakes {
        let mut mistakes = Mistakes::default();
        let mut busy_until_ns = 0;
        for (number, run) in self.runs.iter().enumerate() {
            let before = number
                .checked_sub(1)
                .and_then(|before| self.runs.get(before));
            mistakes.duplicates += usize::from(before.is_some_and(|it| it.flip == run.flip));
            mistakes.overlaps += usize::from(run.begin_ns < busy_until_ns);
            mistakes.stale += usize::from(self.stale(run));
            busy_until_ns = busy_until_ns.max(run.end_ns);
        }
        let ends = self
            .flips
            .iter()
            .skip(1)
            .map(|next| next.asked_ns)
            .chain([u64::MAX]);
        // The first flip ended the warm-up.
        let held = self.flips.iter().zip(ends).skip(1);
        mistakes.missed = held
            .filter(|(flipped, end_ns)| self.missed(flipped, *end_ns))
            .count();
        mistakes
    }

    /// Whether the hook was begun for a role that had been lost for longer than is fair.
    fn stale(&self, run: &Run) -> bool {
        let before = self
            .flips
            .partition_point(|flipped| flipped.asked_ns <= run.begin_ns);
        let now = before.checked_sub(1).and_then(|last| self.flips.get(last));
        now.is_some_and(|now| {
            let allowed_ms = match run.flip {
                Flip::Gain => EXEC_MS,
                Flip::Loss => WINDOW_MS + EXEC_MS,
            };
            now.flip != run.flip && run.begin_ns > now.answered_ns + allowed_ms * MS
        })
    }

    /// Whether a role was held for long, and at its end the last hook was still that of the other role.
    fn missed(&self, flipped: &Flipped, end_ns: u64) -> bool {
        let held = end_ns.saturating_sub(flipped.answered_ns) >= HELD_MS * MS;
        let before = self.runs.partition_point(|run| run.begin_ns < end_ns);
        let last = before.checked_sub(1).and_then(|last| self.runs.get(last));
        held && last.is_none_or(|last| last.flip != flipped.flip)
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let mut contestants = contestants(&places)?;
    for contestant in &mut contestants {
        contestant.warm_up()?;
    }
    let flips = rounds::rounds(200);
    let heading = [
        "contestant",
        "flips",
        "hooks",
        "wrong ends",
        "duplicates",
        "overlaps",
        "stale",
        "missed",
    ];
    let mut slow = Table::new(&heading);
    series(&mut contestants, 300, flips)?;
    for contestant in &mut contestants {
        slow.row(row(contestant));
        contestant.forget();
    }
    let mut fast = Table::new(&heading);
    for contestant in &mut contestants {
        series(std::slice::from_mut(contestant), 20, flips)?;
        fast.row(row(contestant));
    }
    say(
        "\nMistakes with a flip every 300 ms and a hook of 50 ms (bar for keepstart: 0 everywhere):\n",
    )?;
    slow.print()?;
    say(
        "Mistakes with a flip every 20 ms and a hook of 50 ms (bar for keepstart: 0 everywhere):\n",
    )?;
    fast.print()?;
    say(&format!(
        "Wrong end: of four series, half of them ending with the VIP present, those whose last hook was the wrong \
         one.\nDuplicate: the action of the hook before. Overlap: begun while another hook ran.\n\
         Stale: a start whose VIP had been gone for more than {EXEC_MS} ms, or a stop whose VIP had been back for more \
         than {} ms.\nMissed: a role that lasted {HELD_MS} ms or longer, and at whose end the last hook was that of the other role.",
        WINDOW_MS + EXEC_MS
    ))
}

/// Four series of flips, which end with the VIP absent, present, present and absent.
fn series(contestants: &mut [Contestant], every_ms: u64, flips: usize) -> anyhow::Result<()> {
    let even = (flips / 4).next_multiple_of(2);
    for length in [even, even + 1, even, even + 1] {
        let begin_ns = now_ns();
        let step_ns = every_ms * MS / u64::try_from(contestants.len())?;
        let mut at_ns = begin_ns;
        for _ in 0..length {
            for contestant in &mut *contestants {
                at_ns += step_ns;
                sleep_until(at_ns);
                contestant.flip_back()?;
            }
        }
        for contestant in &mut *contestants {
            contestant.judge_end()?;
        }
    }
    Ok(())
}

fn row(contestant: &Contestant) -> Vec<String> {
    let Mistakes {
        duplicates,
        overlaps,
        stale,
        missed,
    } = contestant.mistakes();
    let flips = contestant.flips.len() - 1;
    let counts = [
        flips,
        contestant.runs.len(),
        contestant.wrong_ends,
        duplicates,
        overlaps,
        stale,
        missed,
    ];
    [contestant.name.to_owned()]
        .into_iter()
        .chain(counts.map(|it| it.to_string()))
        .collect()
}

fn contestants(places: &Places) -> anyhow::Result<Vec<Contestant>> {
    let directory = places.disk();
    let hook = &hook::compile(directory)?;
    let sleep_ms = Some(HOOK_MS);
    let reports = |name: &str| Reports::make(directory.join(name));
    Ok(vec![
        Contestant::new("floor: recv, posix_spawn", reports("floor")?, |reports| {
            floor::start(VIP, hook, reports, sleep_ms)
        })?,
        Contestant::new("keepstart", reports("keepstart")?, |reports| {
            let file = daemon::configure(places, &[VIP], hook, reports, sleep_ms)?;
            Ok(daemon::start(places, &file)?.process)
        })?,
        Contestant::new("`ip monitor` shell loop", reports("shell")?, |reports| {
            shell::start(VIP, hook, reports, sleep_ms)
        })?,
    ])
}

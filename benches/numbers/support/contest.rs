//! A contest in who runs the hook first: each contestant in a network namespace of its own, all in turns, so that
//! whatever else the machine does hits each of them alike.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::clock::{MS, now_ns, sleep_until};
use super::hook::{Flip, Reports};
use super::keepalived::Keepalived;
use super::namespace;
use super::process::Process;
use super::route::{Observer, Route};

/// The address that comes and goes.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Longer than the default debounce window, so that every gain comes out of the calm.
const CALM_MS: u64 = 260;
/// What a contestant does after its hook has begun must not disturb the next one's turn.
const REST_MS: u64 = 40;
/// A hook that has not begun after this never will.
const HOOK_DEADLINE_MS: u64 = 10_000;

/// What makes the VIP come and go, and tells when it did.
pub(crate) enum Lever {
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

/// Who takes part, and what was measured.
pub(crate) struct Contestant {
    /// Its name.
    pub(crate) name: &'static str,
    lever: Lever,
    reports: Reports,
    flipped_ns: u64,
    /// From the address change to the hook, in nanoseconds, where the address comes.
    pub(crate) gains: Vec<u64>,
    /// And where it goes.
    pub(crate) losses: Vec<u64>,
    /// The process of a contestant whose lever does not own it.
    _process: Option<Process>,
}

impl Contestant {
    /// Makes a contestant in a new namespace: `start` gets the hook's FIFO.
    pub(crate) fn new(
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
    pub(crate) fn warm_up(&mut self) -> anyhow::Result<()> {
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

/// So many gains and losses of each.
pub(crate) fn measure(contestants: &mut [Contestant], rounds: usize) -> anyhow::Result<()> {
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

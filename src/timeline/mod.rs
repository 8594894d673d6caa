//! The timeline: what became of each change of role, stage by stage, made of the machine's events alone. Pure: no
//! clock, no I/O; the service thread owns it and feeds it, so nothing here can delay the reactor.
//!
//! ```text
//! seen ─debounce─▶ decided ─wait─▶ ordered ─spawn─▶ first instruction ─run─▶ exited ─check─▶ verified
//! ```
//!
//! An entry's stages follow each other without a gap, so they add up to the whole. It is bounded in three ways:
//! [`ENTRIES_OF_INSTANCE_MAX`], [`ENTRIES_MAX`] and [`STAGES_MAX`]; where one is reached the oldest make room, and
//! are counted. It lives as long as the daemon: a restart begins it anew, the journal has what was before.

pub mod document;
mod entry;
mod sentence;
mod track;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::machine::Time;
use crate::machine::job::{JobId, Outcome};
use crate::machine::message::Event;
use crate::machine::reason::Reason;
use crate::machine::settings::InstanceName;

pub use entry::{Entry, Kind, Running, STAGES_MAX, Stage, State, Wait, What};
pub use sentence::span;

#[cfg(test)]
pub(crate) mod testing;

/// So many finished entries of one instance are kept.
pub const ENTRIES_OF_INSTANCE_MAX: usize = 32;

/// So many finished entries of all instances together: with ten thousand of them there is not room for each one's.
pub const ENTRIES_MAX: usize = 1_024;

/// What became of each change of role.
#[derive(Debug, Default)]
pub struct Timeline {
    began: Time,
    /// What goes on, by instance: at most a few entries each.
    tracks: BTreeMap<InstanceName, Track>,
    /// What is over, in the order of its end.
    kept: VecDeque<Arc<Entry>>,
    /// How many of `kept` are an instance's.
    counts: BTreeMap<InstanceName, usize>,
    /// How many had to make room.
    forgotten: u64,
    gaps: u64,
    gap: Option<Gap>,
}

/// A time of which something was lost, because events came faster than they could be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When that was found.
    pub at: Time,
    /// The same by the clock on the wall: milliseconds since 1970.
    pub unix_ms: u64,
}

/// What goes on with one instance.
#[derive(Debug, Default)]
struct Track {
    /// The present transition, or jobs without one, behind what it has overtaken and whose job still runs.
    open: Vec<Entry>,
    /// Changes that were over before they were believed, one after the other.
    flaps: Option<Entry>,
    /// The last is-running that served no entry: what it found may begin one.
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    job: JobId,
    reason: Reason,
    began: Time,
    ended: Option<(Outcome, Time)>,
}

/// The entries that an event has brought to their end.
pub type Finished = Vec<Arc<Entry>>;

impl Timeline {
    /// An empty one, for a daemon that begins now.
    pub fn new(began: Time) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }

    /// Since when it is kept.
    pub fn began(&self) -> Time {
        self.began
    }

    /// Takes in an event. `zero_unix_ms` is the beginning of the machine's time by the clock on the wall.
    pub fn take(&mut self, event: &Event, zero_unix_ms: u64) -> Finished {
        let mut over = Vec::new();
        if let Some(name) = event.instance().filter(|_| concerns(event)) {
            let track = self.tracks.entry(name.clone()).or_default();
            track.take(name, event, &mut over);
            if track.is_empty() {
                self.tracks.remove(name);
            }
        }
        over.into_iter()
            .map(|entry| self.keep(entry, zero_unix_ms))
            .collect()
    }

    /// The instance exists no more, and nothing is left to be done for it.
    pub fn gone(&mut self, name: &InstanceName, zero_unix_ms: u64) -> Finished {
        let track = self.tracks.remove(name).unwrap_or_default();
        let mut over: Vec<_> = track.flaps.into_iter().collect();
        for mut entry in track.open {
            let at = entry.until();
            entry.close(State::Over, at);
            over.push(entry);
        }
        over.into_iter()
            .map(|entry| self.keep(entry, zero_unix_ms))
            .collect()
    }

    /// Events were lost: what goes on may be over already, and what began may be missing.
    pub fn lose(&mut self, at: Time, zero_unix_ms: u64) -> Finished {
        self.gaps += 1;
        let unix_ms = unix_ms(at, zero_unix_ms);
        self.gap = Some(Gap { at, unix_ms });
        let mut over = Vec::new();
        for track in std::mem::take(&mut self.tracks).into_values() {
            over.extend(track.flaps);
            for mut entry in track.open {
                entry.close(State::Gap, at);
                over.push(entry);
            }
        }
        over.into_iter()
            .map(|entry| self.keep(entry, zero_unix_ms))
            .collect()
    }

    /// The entries of one instance or of all, by their beginning; those that go on have no time of day yet.
    pub fn entries(&self, of: Option<&InstanceName>) -> Vec<Arc<Entry>> {
        let is_meant = |entry: &&Arc<Entry>| of.is_none_or(|of| *of == entry.instance);
        let mut entries: Vec<_> = self.kept.iter().filter(is_meant).cloned().collect();
        let tracks = self
            .tracks
            .iter()
            .filter(|(name, _)| of.is_none_or(|of| of == *name));
        for (_, track) in tracks {
            let open = track.flaps.iter().chain(&track.open);
            entries.extend(open.cloned().map(Arc::new));
        }
        entries.sort_by_key(|entry| (entry.began, entry.epoch));
        entries
    }

    /// How many entries had to make room since the daemon's start.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How often events were lost, and when last.
    pub fn gaps(&self) -> (u64, Option<Gap>) {
        (self.gaps, self.gap)
    }

    fn keep(&mut self, mut entry: Entry, zero_unix_ms: u64) -> Arc<Entry> {
        entry.began_unix_ms = unix_ms(entry.began, zero_unix_ms);
        let entry = Arc::new(entry);
        let count = self.counts.get(&entry.instance).copied().unwrap_or(0);
        if count >= ENTRIES_OF_INSTANCE_MAX {
            let oldest = |kept: &Arc<Entry>| kept.instance == entry.instance;
            let oldest = self.kept.iter().position(oldest);
            self.forget(oldest);
        }
        if self.kept.len() >= ENTRIES_MAX {
            self.forget(Some(0));
        }
        *self.counts.entry(entry.instance.clone()).or_default() += 1;
        self.kept.push_back(entry.clone());
        entry
    }

    fn forget(&mut self, index: Option<usize>) {
        let Some(entry) = index.and_then(|index| self.kept.remove(index)) else {
            return;
        };
        self.forgotten += 1;
        if let Some(count) = self.counts.get_mut(&entry.instance) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.instance);
            }
        }
    }
}

/// The time of day of a machine's time.
pub fn unix_ms(at: Time, zero_unix_ms: u64) -> u64 {
    let since = u64::try_from(at.since_start().as_millis()).unwrap_or(u64::MAX);
    zero_unix_ms.saturating_add(since)
}

/// Whether an event is about a stage of anything.
fn concerns(event: &Event) -> bool {
    match event {
        Event::Transition { .. }
        | Event::Superseded { .. }
        | Event::JobStarted { .. }
        | Event::JobSpawned { .. }
        | Event::JobSignalled { .. }
        | Event::JobEnded { .. }
        | Event::RetryScheduled { .. }
        | Event::Adopted { .. }
        | Event::Settled { .. } => true,
        Event::Held { .. }
        | Event::Overrun { .. }
        | Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. }
        | Event::Alive { .. }
        | Event::Reloaded(_)
        | Event::EpochsExhausted { .. } => false,
    }
}

#[cfg(test)]
mod tests;

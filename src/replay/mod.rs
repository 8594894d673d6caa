//! Recordings lived through again: the machine of this keepstart is given what a daemon's was given, and decides
//! again. Pure but for the reading of lines; runs in the command that asks for it.
//!
//! `read` makes steps of lines, [`Player`] takes them, `say` has the words, `other` lives through the
//! same outside world with another configuration, and `compare` says what that would have changed.

mod compare;
mod other;
mod read;
mod say;
mod service;
mod table;

use std::sync::Arc;

use crate::machine::message::{Event, Output};
use crate::machine::{Machine, Time};
use crate::record::{Begin, Digest, Entry, Origin};

pub use compare::{Difference, differences};
pub use other::Other;
pub use read::{LINE_BYTES_MAX, ReadError, Reader, Told as Read};
pub use say::{Clock, sentence};

/// Something that was decided, or that was noticed on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// When, in the daemon's time.
    pub at: Time,
    /// What.
    pub event: Event,
}

impl Decision {
    /// An event at its time; `None` for the timeline's marks, which only say how far a decision has come.
    fn of(at: Time, event: Event) -> Option<Self> {
        let marks = matches!(event, Event::JobSpawned { .. } | Event::Settled { .. });
        (!marks).then_some(Self { at, event })
    }
}

/// Whether this machine decided what the recorded one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same.
    Same,
    /// Something else.
    Different,
    /// The daemon did not live to decide, so there is nothing to compare with.
    Unknown,
}

/// A recording that is being lived through.
#[derive(Debug)]
pub struct Player {
    machine: Machine,
    last: Time,
}

/// Time went backwards between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its time lies before that of the step before")]
pub struct Backwards;

impl Player {
    /// Takes up the state in which the recording begins, and what is decided with it.
    pub fn begin(origin: &Origin, begin: Begin, decisions: &mut Vec<Decision>) -> Self {
        let mut machine = begin.machine(origin.life);
        let at = machine.decided_at();
        while let Some(output) = machine.poll_output() {
            if let Output::Event(event) = output {
                decisions.extend(Decision::of(at, Arc::unwrap_or_clone(event)));
            }
        }
        Self { machine, last: at }
    }

    /// When the recording begins.
    pub fn time(&self) -> Time {
        self.last
    }

    /// Takes one step, as the reactor does; every output goes to `each`.
    ///
    /// # Errors
    ///
    /// The step lies before the last one.
    pub fn step(
        &mut self,
        entry: Entry,
        mut each: impl FnMut(Output),
    ) -> Result<Verdict, Backwards> {
        let Entry { at, input, decided } = entry;
        if at < self.last {
            return Err(Backwards);
        }
        self.last = at;
        match input {
            Some(input) => self.machine.handle(input, at),
            None => self.machine.handle_timeout(at),
        }
        let mut digest = Digest::default();
        while let Some(output) = self.machine.poll_output() {
            digest.add(&output);
            each(output);
        }
        Ok(match decided {
            Some(decided) if decided == digest => Verdict::Same,
            Some(_) => Verdict::Different,
            None => Verdict::Unknown,
        })
    }

    /// The same, of which only what people are told is kept.
    ///
    /// # Errors
    ///
    /// The step lies before the last one.
    pub fn decide(
        &mut self,
        entry: Entry,
        decisions: &mut Vec<Decision>,
    ) -> Result<Verdict, Backwards> {
        let at = entry.at;
        self.step(entry, |output| {
            if let Output::Event(event) = output {
                decisions.extend(Decision::of(at, Arc::unwrap_or_clone(event)));
            }
        })
    }
}

#[cfg(test)]
mod tests;

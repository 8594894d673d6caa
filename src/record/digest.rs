//! What the machine decided, as one number for each input: a replay that comes to another number has found where it
//! decides otherwise. Pure; called on the reactor's thread for every output, so it neither allocates nor
//! writes text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::job::{JobId, Outcome};
use crate::machine::message::{Event, Output};
use crate::machine::settings::InstanceName;

/// The decisions that followed from one input. Its form is a part of the format of recordings: it holds what is done,
/// to whom and when, but no wording and no reason, so that another version of keepstart comes to the same number
/// where it does the same. FNV-1a of 64 bits over the words below, zero where nothing was decided.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u64);

/// The text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is written as hexadecimal digits")]
pub struct BadDigest;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        let number = u64::from_str_radix(&text, 16).map_err(|_| BadDigest)?;
        Ok(Self(number))
    }
}

impl Digest {
    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Takes in the next output, if it is a decision.
    pub fn add(&mut self, output: &Output) {
        match output {
            Output::Event(event) => self.event(event),
            Output::Signal { job, signal, .. } => {
                self.text("signal").job(*job).text(signal.as_str());
            }
            Output::LetGo { job, .. } => {
                self.text("let-go").job(*job);
            }
            Output::Finished => {
                self.text("finished");
            }
            // A start is told as an event too; the rest follows from decisions or is how the kernel is asked.
            Output::Start(_)
            | Output::Watch(_)
            | Output::WatchUnits(_)
            | Output::Subscribe
            | Output::Dump
            | Output::ReserveEpochs { .. }
            | Output::Remember { .. }
            | Output::RememberNic { .. }
            | Output::Changed(_)
            | Output::Gone(_) => {}
        }
    }

    /// Whether an event is among what was decided: a sign of life is not, nor is how the kernel is followed.
    pub fn counts(event: &Event) -> bool {
        let mut digest = Self::default();
        digest.event(event);
        !digest.is_empty()
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Transition {
                instance,
                from,
                to,
                epoch,
                seen,
                ..
            } => {
                self.text("transition").name(instance).text(from.as_str());
                self.text(to.as_str()).number(*epoch);
                self.number(nanos(seen.since_start()));
            }
            Event::Held {
                instance,
                to,
                until,
                ..
            } => {
                self.text("held").name(instance).text(to.as_str());
                self.number(nanos(until.since_start()));
            }
            Event::Superseded {
                instance,
                to,
                total,
                ..
            } => {
                self.text("superseded").name(instance);
                self.text(to.as_str()).number(*total);
            }
            Event::RetryScheduled {
                instance,
                at,
                failures,
                ..
            } => {
                self.text("retry").name(instance);
                self.number(nanos(at.since_start()));
                self.number(u64::from(*failures));
            }
            Event::Reloaded(changes) => {
                self.text("reloaded");
                for names in [&changes.added, &changes.changed, &changes.removed] {
                    self.number(names.len() as u64);
                    for name in names {
                        self.name(name);
                    }
                }
            }
            Event::JobStarted { .. }
            | Event::JobEnded { .. }
            | Event::Adopted { .. }
            | Event::JobSignalled { .. } => self.about_job(event),
            // A signal is counted where it is sent.
            Event::Alive { .. }
            | Event::JobSpawned { .. }
            | Event::Settled { .. }
            | Event::EpochsExhausted { .. }
            | Event::Overrun { .. }
            | Event::Subscribed
            | Event::SubscriptionLost { .. }
            | Event::Synchronized { .. }
            | Event::DumpFailed { .. }
            | Event::AuditRepaired { .. } => {}
        }
    }

    fn about_job(&mut self, event: &Event) {
        if let Event::JobStarted {
            instance,
            job,
            action,
            epoch,
            role,
            ..
        } = event
        {
            self.text("begun").name(instance).job(*job);
            self.text(action.as_str())
                .text(role.as_str())
                .number(*epoch);
        }
        if let Event::JobEnded {
            instance,
            job,
            action,
            outcome,
            ..
        } = event
        {
            self.text("ended").name(instance).job(*job);
            self.text(action.as_str()).outcome(outcome);
        }
        if let Event::JobSignalled {
            instance,
            job,
            because,
            ..
        } = event
        {
            self.text("signalled").name(instance).job(*job);
            self.outcome(because);
        }
        if let Event::Adopted { instance, job, .. } = event {
            self.text("adopted").name(instance).job(*job);
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.text("done"),
            Outcome::Failed { code } => self.text("failed").number(u64::from(code.cast_unsigned())),
            Outcome::Killed { signal } => self
                .text("killed")
                .number(u64::from(signal.cast_unsigned())),
            Outcome::TimedOut { timeout } => self.text("timed-out").number(nanos(*timeout)),
            Outcome::Cancelled => self.text("cancelled"),
            Outcome::NotStarted { .. } => self.text("not-started"),
            Outcome::Unseen => self.text("unseen"),
            Outcome::UnitFailed { .. } => self.text("unit-failed"),
            Outcome::NotRunning { .. } => self.text("not-running"),
            Outcome::PartlyRunning { .. } => self.text("partly-running"),
        };
    }

    fn name(&mut self, name: &InstanceName) -> &mut Self {
        self.text(name.as_str())
    }

    fn job(&mut self, job: JobId) -> &mut Self {
        // The life is a random number, the same for all jobs of a recording.
        self.number(job.number)
    }

    /// A text and its end.
    fn text(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.word(u64::from(byte));
        }
        self.word(0xff)
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.word(number)
    }

    fn word(&mut self, word: u64) -> &mut Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let before = if self.0 == 0 { OFFSET } else { self.0 };
        // Zero stands for nothing.
        self.0 = ((before ^ word).wrapping_mul(PRIME)).max(1);
        self
    }
}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

//! The daemon's events as lines that a person reads: what was seen, decided, spawned and finished, in
//! milliseconds from the first of them. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::control::protocol::EventLine;
use crate::machine::Time;
use crate::machine::job::{Action, Outcome};
use crate::machine::message::Event;
use crate::timeline::document::EntryDocument;
use crate::timeline::{Entry, Kind, Timeline};

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Tale {
    /// When the step's first event was: all milliseconds count from it.
    origin: Option<Time>,
    /// What became of each change of role.
    timeline: Timeline,
    jobs: u32,
    superseded: u32,
}

impl Tale {
    /// The next step's milliseconds count from its own first event.
    pub(super) fn begin_step(&mut self) {
        self.origin = None;
    }

    /// The lines for one event; `said` is what its script has printed.
    pub(super) fn tell(&mut self, line: &EventLine, said: &[String]) -> Vec<String> {
        self.timeline.take(&line.event, zero_unix_ms(line));
        match &*line.event {
            Event::Transition {
                instance,
                from,
                to,
                epoch,
                cause,
                seen,
                decided,
            } => {
                let change = format!("{from} -> {to}, transition {instance}/{epoch}");
                let seen = self.stage(*seen, "seen", &cause.to_string());
                vec![seen, self.stage(*decided, "decided", &change)]
            }
            Event::Held { to, until, .. } => {
                let ms = until.since(line.at).as_millis();
                let text =
                    format!("{to} is not believed for another {ms} ms: the address has just moved");
                vec![self.stage(line.at, "held", &text)]
            }
            Event::Superseded { to, .. } => {
                self.superseded += 1;
                let text = format!("{to} is over before it began: nothing is run for it");
                vec![self.stage(line.at, "overtaken", &text)]
            }
            Event::JobEnded {
                action: Action::IsRunning,
                outcome,
                ended,
                ..
            } => {
                vec![self.stage(*ended, "checked", found(outcome))]
            }
            Event::JobStarted {
                action, reason, at, ..
            } if *action != Action::IsRunning => {
                vec![self.stage(*at, "queued", &format!("{action}, because {reason}"))]
            }
            Event::JobEnded {
                action,
                outcome,
                started,
                spawned,
                ended,
                ..
            } => {
                let spawned = spawned.unwrap_or(*started);
                self.ran(*action, outcome, spawned, *ended, said)
            }
            Event::JobStarted { .. }
            | Event::JobSpawned { .. }
            | Event::JobSignalled { .. }
            | Event::RetryScheduled { .. }
            | Event::Adopted { .. }
            | Event::Settled { .. }
            | Event::Overrun { .. }
            | Event::Subscribed
            | Event::SubscriptionLost { .. }
            | Event::Synchronized { .. }
            | Event::DumpFailed { .. }
            | Event::AuditRepaired { .. }
            | Event::Alive { .. }
            | Event::Reloaded { .. }
            | Event::EpochsExhausted { .. } => Vec::new(),
        }
    }

    /// A start or a stop.
    fn ran(
        &mut self,
        action: Action,
        outcome: &Outcome,
        spawned: Time,
        ended: Time,
        said: &[String],
    ) -> Vec<String> {
        self.jobs += 1;
        let mut lines = vec![self.stage(spawned, "spawned", &format!("{action}.sh"))];
        lines.extend(said.iter().map(|text| format!("               | {text}")));
        lines.push(self.stage(ended, "finished", &format!("{action}: {outcome}")));
        lines
    }

    /// One stage, so many milliseconds after the step's first.
    fn stage(&mut self, at: Time, stage: &str, text: &str) -> String {
        let origin = *self.origin.get_or_insert(at);
        format!("{:>8.1} ms  {stage:<9} {text}", millis(at.since(origin)))
    }

    /// The last change of role as `keepstart timeline` has it.
    pub(super) fn last_entry(&self, now: Time) -> Option<EntryDocument> {
        let entries = self.timeline.entries(None);
        let last = entries.last()?;
        Some(EntryDocument::of(last, now, 0))
    }

    /// What there was in all.
    pub(super) fn summary(&self) -> Vec<String> {
        let is_transition = |entry: &&Arc<Entry>| matches!(entry.kind, Kind::Transition { .. });
        let entries = self.timeline.entries(None);
        let transitions: Vec<_> = entries.iter().filter(is_transition).collect();
        let first = |entry: &&Arc<Entry>| entry.to_first_instruction();
        let mut spans: Vec<_> = transitions.iter().filter_map(first).collect();
        spans.sort_unstable();
        let mut lines = vec![format!(
            "In all: {} transitions, {} runs of start and stop, one after the other; {} change overtaken, \
             for which nothing ran.",
            transitions.len(),
            self.jobs,
            self.superseded
        )];
        if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
            lines.push(format!(
                "From the kernel's word to the running script: {:.1} to {:.1} ms.",
                millis(*first),
                millis(*last)
            ));
        }
        lines
    }
}

/// The beginning of the daemon's time by the clock on the wall.
fn zero_unix_ms(line: &EventLine) -> u64 {
    let since = u64::try_from(line.at.since_start().as_millis()).unwrap_or(u64::MAX);
    line.unix_ms.saturating_sub(since)
}

/// What is-running has found, in words.
fn found(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "is-running says: it runs",
        Outcome::Failed { .. } | Outcome::NotRunning { .. } => "is-running says: it does not run",
        Outcome::Killed { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled
        | Outcome::NotStarted { .. }
        | Outcome::UnitFailed { .. }
        | Outcome::PartlyRunning { .. }
        | Outcome::Unseen => "is-running gives no answer",
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;

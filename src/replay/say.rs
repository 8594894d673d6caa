//! Decisions as a person reads them: one line each, with the time of day and the time since the beginning. The same
//! decisions give the same bytes, so times of day are told in UTC. Pure.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::Decision;
use crate::machine::Time;
use crate::machine::job::{Action, Outcome};
use crate::machine::message::{Changes, Event};
use crate::machine::reason::InARow;
use crate::machine::settings::InstanceName;
use crate::record::Origin;

/// Turns the daemon's time into what people read.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    unix_ns: u64,
    begin: Time,
}

impl Clock {
    /// For a recording of this daemon that begins then.
    pub fn new(origin: &Origin, begin: Time) -> Self {
        Self {
            unix_ns: origin.unix_ns,
            begin,
        }
    }

    /// The time of day, to the microsecond.
    pub fn of_day(&self, at: Time) -> String {
        let since = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        let ns = i128::from(self.unix_ns.saturating_add(since));
        // Every u64 of nanoseconds lies before the year 2555.
        let stamp = Timestamp::from_nanosecond(ns).unwrap_or_default();
        format!("{stamp:.6}")
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(&self, at: Time) -> u64 {
        let since = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.unix_ns.saturating_add(since) / 1_000_000
    }

    /// Both times, in columns.
    pub fn columns(&self, at: Time) -> String {
        let since = at.since(self.begin);
        let relative = format!("+{}.{:06}", since.as_secs(), since.subsec_micros());
        format!("{} {relative:>14}", self.of_day(at))
    }

    /// A decision as a line.
    pub fn line(&self, decision: &Decision) -> String {
        let whose = decision.event.instance().map_or("-", InstanceName::as_str);
        let columns = self.columns(decision.at);
        format!("{columns}  {whose}: {}", sentence(decision))
    }
}

/// What was decided, in words.
pub fn sentence(decision: &Decision) -> impl fmt::Display {
    let at = decision.at;
    match &decision.event {
        Event::Transition {
            from,
            to,
            epoch,
            cause,
            seen,
            ..
        } => {
            let waited = waited(at.since(*seen));
            format!("{from} -> {to}, epoch {epoch}: {cause}{waited}")
        }
        Event::Held { to, until, .. } => {
            format!("{to} is held back for {} at most", Span(until.since(at)))
        }
        Event::Superseded { to, .. } => format!("{to} was overtaken and is not acted on"),
        Event::JobStarted {
            action,
            epoch,
            reason,
            job,
            ..
        } => format!(
            "{action} begins for epoch {epoch}: {reason} (job {})",
            job.number
        ),
        Event::JobSignalled {
            action,
            signal,
            because,
            job,
            ..
        } => {
            let signal = signal.as_str();
            format!("{action} is sent {signal}: {because} (job {})", job.number)
        }
        Event::JobEnded {
            action,
            outcome,
            started,
            ended,
            job,
            ..
        } => {
            let took = Span(ended.since(*started));
            format!(
                "{} after {took} (job {})",
                of_end(*action, outcome),
                job.number
            )
        }
        Event::RetryScheduled {
            at: then,
            action,
            failures,
            ..
        } => again(*action, then.since(at), *failures),
        Event::Adopted { action, job, .. } => {
            format!("{action} of the daemon's earlier life still runs and is waited for ({job})")
        }
        Event::EpochsExhausted { epoch, .. } => format!("epoch {epoch} is not on disk yet"),
        Event::Alive { role, .. } => format!("alive: {role}"),
        Event::JobSpawned { job, .. } => format!("the process of job {} exists", job.number),
        Event::Settled { .. } => "nothing is left to do".to_owned(),
        Event::Overrun { .. }
        | Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. } => of_kernel(&decision.event),
        Event::Reloaded(changes) => reloaded(changes),
    }
}

fn again(action: Action, wait: Duration, failures: u32) -> String {
    let row = InARow(failures);
    format!("{action} is tried again in {}{row}", Span(wait))
}

/// What was held back says for how long.
fn waited(span: Duration) -> String {
    if span.is_zero() {
        return String::new();
    }
    format!(", {} after it was seen", Span(span))
}

/// How the kernel is followed.
fn of_kernel(event: &Event) -> String {
    if let Event::SubscriptionLost { error } = event {
        return format!("the kernel's notifications are lost, addresses are polled: {error}");
    }
    if let Event::Synchronized { addresses } = event {
        return format!("the addresses are known: {addresses} of those in the file are here");
    }
    if let Event::DumpFailed { error, .. } = event {
        return format!("the addresses could not be read: {error}");
    }
    if let Event::AuditRepaired { differences } = event {
        return format!("the audit found {differences} changes that no notification had told");
    }
    if let Event::Overrun { .. } = event {
        return "the kernel dropped notifications; reading anew".into();
    }
    "the kernel's notifications are followed".into()
}

/// A question is answered also by failing.
fn of_end(action: Action, outcome: &Outcome) -> String {
    match (action, outcome) {
        (Action::IsRunning, Outcome::Done) => "is-running says yes".into(),
        (Action::IsRunning, Outcome::Failed { code }) if !matches!(code, 126 | 127) => {
            "is-running says no".into()
        }
        (_, outcome) => format!("{action} {outcome}"),
    }
}

fn reloaded(changes: &Changes) -> String {
    let Changes {
        added,
        changed,
        removed,
        left: _,
        unchanged,
    } = changes;
    format!(
        "configuration reloaded: {} added, {} changed, {} removed, {unchanged} unchanged",
        added.len(),
        changed.len(),
        removed.len()
    )
}

/// A span in a unit that fits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros < 1_000_000 {
            write!(f, "{}.{:03} ms", micros / 1000, micros % 1000)
        } else {
            let millis = self.0.as_millis();
            write!(f, "{}.{:03} s", millis / 1000, millis % 1000)
        }
    }
}

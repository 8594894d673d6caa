//! How an event of the machine is said in the log: the one place that chooses its level, words and fields.
//! Called on the reactor's thread; the log's queue never makes it wait.

use std::time::Duration;

use tracing::Level;

use crate::config::Faults;
use crate::machine::Time;
use crate::machine::job::{Action, JobId, Outcome, Role};
use crate::machine::message::Event;
use crate::machine::settings::InstanceName;
use crate::telemetry::MessageId;

/// Logs one event.
pub fn log(event: &Event, now: Time) {
    line_of(event, now).write();
}

/// Logs each warning of a configuration on a line of its own.
pub fn warnings(found: &Faults) {
    for line in found.to_string().lines() {
        tracing::warn!("{line}");
    }
}

/// Logs that a job's spawn has not come to its exec for `so_far`.
pub fn hanging_spawn(
    instance: &InstanceName,
    action: Action,
    job: JobId,
    (role, epoch): (Role, u64),
    so_far: Duration,
) {
    let text = format!(
        "{action} waits for {:.1} s for its program to be executed: its file is under a write lease, or on a \
         file server or disk that does not answer",
        so_far.as_secs_f64()
    );
    let line = Line::of(Level::WARN, instance, text);
    line.with(action, job).serving(role, epoch).write();
}

/// A line of the log before it is written.
struct Line<'a> {
    level: Level,
    text: String,
    instance: Option<&'a InstanceName>,
    role: Option<Role>,
    action: Option<Action>,
    job: Option<JobId>,
    epoch: Option<u64>,
    message_id: Option<MessageId>,
}

impl<'a> Line<'a> {
    fn new(level: Level, text: String) -> Self {
        Self {
            level,
            text,
            instance: None,
            role: None,
            action: None,
            job: None,
            epoch: None,
            message_id: None,
        }
    }

    fn of(level: Level, instance: &'a InstanceName, text: String) -> Self {
        Self {
            instance: Some(instance),
            ..Self::new(level, text)
        }
    }

    fn serving(self, role: Role, epoch: u64) -> Self {
        Self {
            role: Some(role),
            epoch: Some(epoch),
            ..self
        }
    }

    fn with(self, action: Action, job: JobId) -> Self {
        Self {
            action: Some(action),
            job: Some(job),
            ..self
        }
    }

    fn explained(self, message_id: MessageId) -> Self {
        Self {
            message_id: Some(message_id),
            ..self
        }
    }

    fn write(self) {
        let instance = self.instance.map(InstanceName::as_str);
        let role = self.role.map(Role::as_str);
        let action = self.action.map(Action::as_str);
        let job = self.job.map(|job| job.to_string());
        let job = job.as_deref();
        let epoch = self.epoch;
        // The transition that all of this is a consequence of.
        let transition = instance
            .zip(epoch)
            .map(|(name, epoch)| format!("{name}/{epoch}"));
        let transition = transition.as_deref();
        let text = self.text;
        let message_id = self.message_id.map(MessageId::number);
        // The level of an event is part of its type, so each has an event of its own.
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    $level, message_id, instance, role, action, job, epoch, transition, "{text}"
                )
            };
        }
        match self.level {
            Level::ERROR => event!(Level::ERROR),
            Level::WARN => event!(Level::WARN),
            Level::INFO => event!(Level::INFO),
            _ => event!(Level::DEBUG),
        }
    }
}

fn line_of(event: &Event, now: Time) -> Line<'_> {
    match event {
        Event::Transition {
            instance,
            to,
            epoch,
            ..
        } => Line::of(Level::INFO, instance, transition(event))
            .serving(*to, *epoch)
            .explained(MessageId::Transition),
        Event::Held {
            instance,
            to,
            until,
        } => {
            let left = millis(until.since(now));
            let text = format!("{to} is held back for {left:.0} ms, until the role is stable");
            Line::of(Level::DEBUG, instance, text)
        }
        Event::Superseded {
            instance,
            to,
            epoch,
            total,
        } => {
            let text = format!("{to} was overtaken and is not acted on ({total} so far)");
            Line {
                role: Some(*to),
                epoch: *epoch,
                ..Line::of(Level::INFO, instance, text)
            }
        }
        Event::JobStarted { .. }
        | Event::JobSignalled { .. }
        | Event::JobEnded { .. }
        | Event::Adopted { .. } => about_job(event),
        Event::RetryScheduled {
            instance,
            epoch,
            role,
            at,
            failures,
            outcome,
        } => {
            let left = at.since(now).as_secs_f64();
            let why = match outcome {
                Some(outcome) => format!("the last one {outcome}"),
                None => "is-running disagrees".to_owned(),
            };
            let text = format!("the next attempt is in {left:.1} s: {why} ({failures} in a row)");
            Line::of(Level::WARN, instance, text).serving(*role, *epoch)
        }
        Event::Alive {
            instance,
            role,
            epoch,
            ..
        } => Line::of(Level::INFO, instance, alive(event)).serving(*role, *epoch),
        Event::EpochsExhausted { instance, epoch } => Line {
            epoch: Some(*epoch),
            ..Line::of(
                Level::ERROR,
                instance,
                format!("epoch {epoch} is not on disk yet; after a power cut it may come again"),
            )
        },
        Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Overrun { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. }
        | Event::Reloaded { .. } => about_all(event),
    }
}

/// What concerns one job.
fn about_job(event: &Event) -> Line<'_> {
    if let Event::JobStarted {
        instance,
        job,
        action,
        command,
        epoch,
        role,
        reason,
        ..
    } = event
    {
        let text = format!("{action} {command}: {reason}");
        let line = Line::of(usual_level(*action), instance, text);
        return line.with(*action, *job).serving(*role, *epoch);
    }
    if let Event::JobEnded {
        instance,
        job,
        action,
        epoch,
        role,
        outcome,
        ..
    } = event
    {
        let line = Line {
            message_id: message_id_of(*action, outcome),
            ..Line::of(level_of(*action, outcome), instance, job_ended(event))
        };
        return line.with(*action, *job).serving(*role, *epoch);
    }
    if let Event::Adopted {
        instance,
        job,
        action,
        epoch,
        role,
        pid,
    } = event
    {
        let line = Line::of(Level::WARN, instance, adopted(*action, *pid));
        return line.with(*action, *job).serving(*role, *epoch);
    }
    if let Event::JobSignalled {
        instance,
        job,
        action,
        epoch,
        role,
        signal,
        because,
    } = event
    {
        let text = format!("{action} is sent {}: {because}", signal.as_str());
        let line = Line::of(Level::WARN, instance, text);
        return line.with(*action, *job).serving(*role, *epoch);
    }
    about_all(event)
}

/// What concerns no single instance.
fn about_all(event: &Event) -> Line<'_> {
    if let Event::Reloaded(changes) = event {
        let text = format!(
            "configuration reloaded: {} added, {} changed, {} removed, {} unchanged",
            changes.added.len(),
            changes.changed.len(),
            changes.removed.len(),
            changes.unchanged,
        );
        return Line::new(Level::INFO, text).explained(MessageId::Reloaded);
    }
    if let Event::Synchronized { addresses } = event {
        let text = format!("addresses are followed; {addresses} of those in the file are here");
        return Line::new(Level::INFO, text);
    }
    if let Event::SubscriptionLost { error } = event {
        let text = format!("the kernel's notifications are lost, addresses are polled: {error}");
        return Line::new(Level::ERROR, text);
    }
    if let Event::Overrun { total } = event {
        let text = format!("the kernel dropped notifications ({total} times so far); reading anew");
        return Line::new(Level::WARN, text).explained(MessageId::Resynchronized);
    }
    if let Event::DumpFailed { error, failures } = event {
        let text = format!("addresses could not be read ({failures} times in a row): {error}");
        return Line::new(Level::WARN, text);
    }
    if let Event::AuditRepaired { differences } = event {
        let text = format!("the audit found {differences} changes that no notification had told");
        return Line::new(Level::ERROR, text);
    }
    Line::new(
        Level::DEBUG,
        "the kernel's notifications are followed".into(),
    )
}

fn transition(event: &Event) -> String {
    let Event::Transition {
        from,
        to,
        cause,
        seen,
        decided,
        ..
    } = event
    else {
        return String::new();
    };
    let held = millis(decided.since(*seen));
    format!("{from} -> {to}: {cause} (decided {held:.1} ms after it was seen)")
}

fn job_ended(event: &Event) -> String {
    let Event::JobEnded {
        action,
        outcome,
        started,
        spawned,
        ended,
        ..
    } = event
    else {
        return String::new();
    };
    let took = millis(ended.since(*started));
    match spawned {
        Some(at) => {
            let spawn = millis(at.since(*started));
            format!(
                "{action} {outcome}; it took {took:.1} ms (its process was there after {spawn:.1} ms)"
            )
        }
        None => format!("{action} {outcome}; it took {took:.1} ms"),
    }
}

fn adopted(action: Action, pid: u32) -> String {
    format!("{action} of the daemon's earlier life still runs as process {pid} and is waited for")
}

fn alive(event: &Event) -> String {
    let Event::Alive {
        role,
        since,
        knowledge,
        transitions,
        last_action,
        last_check,
        at,
        ..
    } = event
    else {
        return String::new();
    };
    let jobs = last_action.iter().chain(last_check);
    let told = jobs.map(|job| format!("{} {} s ago", job.said(), at.since(job.ended).as_secs()));
    let told: Vec<_> = told.collect();
    let last = if told.is_empty() {
        "no job yet".to_owned()
    } else {
        told.join("; ")
    };
    let for_s = at.since(*since).as_secs();
    format!(
        "alive: {role} for {for_s} s, the service is {knowledge}; {transitions} transitions; {last}"
    )
}

/// is-running is asked often, and is of interest only to those who look for it.
fn usual_level(action: Action) -> Level {
    match action {
        Action::Start | Action::Stop => Level::INFO,
        Action::IsRunning => Level::DEBUG,
    }
}

fn level_of(action: Action, outcome: &Outcome) -> Level {
    match (action, outcome) {
        // The shell's statuses for what it cannot execute or find: no answer, so nothing goes on until it is mended.
        (Action::IsRunning, Outcome::Failed { code: 126 | 127 }) => Level::WARN,
        (_, Outcome::Done) | (Action::IsRunning, Outcome::Failed { .. } | Outcome::Cancelled) => {
            usual_level(action)
        }
        (_, _) => Level::WARN,
    }
}

/// Which text of the catalog explains the end of a job, if any: is-running answers by failing, but one that
/// hangs is a fault.
fn message_id_of(action: Action, outcome: &Outcome) -> Option<MessageId> {
    match outcome {
        Outcome::TimedOut { .. } => Some(MessageId::TimedOut),
        Outcome::Failed { .. } | Outcome::Killed { .. } | Outcome::NotStarted { .. } => {
            (action != Action::IsRunning).then_some(MessageId::ActionFailed)
        }
        Outcome::Done | Outcome::Cancelled | Outcome::Unseen => None,
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;

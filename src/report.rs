//! How an event of the machine is said in the log: the one place that chooses its level, words and fields.
//! Called on the reactor's thread; the log's queue never makes it wait.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::config::Faults;
use crate::machine::Time;
use crate::machine::job::{Action, JobId, LastJob, Outcome, Role};
use crate::machine::message::{Changes, Event};
use crate::machine::reason::{InARow, why_again};
use crate::machine::settings::InstanceName;
use crate::source::netlink::Filter;
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
    let line = Line {
        level: Level::WARN,
        text,
        ..Line::new(Some(instance))
    };
    line.with(action, job).serving(role, epoch).write();
}

/// Logs that a process is no longer waited for that was only presumed to be this job.
pub fn let_go(instance: &InstanceName, action: Action, job: JobId, pid: Option<u32>) {
    let pid = pid.map_or_else(String::new, |pid| format!(" {pid}"));
    let text = format!(
        "process{pid} is still there after the time that {action} may take: it is taken for what {action} has left \
         running, and left alone"
    );
    let line = Line {
        level: Level::WARN,
        text,
        ..Line::new(Some(instance))
    };
    line.with(action, job).write();
}

/// Logs that the kernel takes no filter on notifications.
pub fn filter_missing(filter: &Filter) {
    let line = Line {
        level: Level::WARN,
        text: filter.to_string(),
        ..Line::new(None)
    };
    line.write();
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
    /// Without its words and their weight.
    fn new(instance: Option<&'a InstanceName>) -> Self {
        Self {
            level: Level::INFO,
            text: String::new(),
            instance,
            role: None,
            action: None,
            job: None,
            epoch: None,
            message_id: None,
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

/// What is said of an event, in three answers. Each is given for every event, so a new one is not forgotten in any.
fn line_of(event: &Event, now: Time) -> Line<'_> {
    let (level, message_id) = weight_of(event);
    Line {
        level,
        message_id,
        text: words_of(event, now),
        ..about(event)
    }
}

/// How much it matters, and which text of the catalog explains it.
fn weight_of(event: &Event) -> (Level, Option<MessageId>) {
    match event {
        Event::Transition { .. } => (Level::INFO, Some(MessageId::Transition)),
        Event::Reloaded(_) => (Level::INFO, Some(MessageId::Reloaded)),
        Event::Overrun { .. } => (Level::WARN, Some(MessageId::Resynchronized)),
        Event::JobStarted { action, .. } => (usual_level(*action), None),
        Event::JobEnded {
            action, outcome, ..
        } => (level_of(*action, outcome), message_id_of(*action, outcome)),
        Event::Held { .. }
        | Event::JobSpawned { .. }
        | Event::Settled { .. }
        | Event::Subscribed => (Level::DEBUG, None),
        Event::Superseded { .. } | Event::Alive { .. } | Event::Synchronized { .. } => {
            (Level::INFO, None)
        }
        Event::JobSignalled { .. }
        | Event::RetryScheduled { .. }
        | Event::Adopted { .. }
        | Event::DumpFailed { .. } => (Level::WARN, None),
        Event::EpochsExhausted { .. }
        | Event::SubscriptionLost { .. }
        | Event::AuditRepaired { .. } => (Level::ERROR, None),
    }
}

/// Whose it is, and what it serves.
fn about(event: &Event) -> Line<'_> {
    let line = Line::new(event.instance());
    match event {
        Event::JobStarted {
            role,
            epoch,
            action,
            job,
            ..
        }
        | Event::JobSpawned {
            role,
            epoch,
            action,
            job,
            ..
        }
        | Event::JobSignalled {
            role,
            epoch,
            action,
            job,
            ..
        }
        | Event::JobEnded {
            role,
            epoch,
            action,
            job,
            ..
        }
        | Event::Adopted {
            role,
            epoch,
            action,
            job,
            ..
        } => line.serving(*role, *epoch).with(*action, *job),
        Event::Transition {
            to: role, epoch, ..
        }
        | Event::RetryScheduled { role, epoch, .. }
        | Event::Settled { role, epoch, .. }
        | Event::Alive { role, epoch, .. } => line.serving(*role, *epoch),
        Event::Superseded { to, epoch, .. } => Line {
            role: Some(*to),
            epoch: *epoch,
            ..line
        },
        Event::EpochsExhausted { epoch, .. } => Line {
            epoch: Some(*epoch),
            ..line
        },
        Event::Held { .. }
        | Event::Overrun { .. }
        | Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. }
        | Event::Reloaded(_) => line,
    }
}

/// What happened, in words.
#[rustfmt::skip]
fn words_of(event: &Event, now: Time) -> String {
    match event {
        Event::Transition { from, to, cause, seen, decided, .. } => {
            let held = millis(decided.since(*seen));
            format!("{from} -> {to}: {cause} (decided {held:.1} ms after it was seen)")
        }
        Event::Held { to, until, .. } => {
            let left = millis(until.since(now));
            format!("{to} is held back for {left:.0} ms, until the role is stable")
        }
        Event::Superseded { to, total, .. } => {
            format!("{to} was overtaken and is not acted on ({total} so far)")
        }
        Event::JobStarted { action, command, reason, .. } => {
            format!("{action} {command}: {reason}")
        }
        Event::JobSpawned { action, pid, .. } => format!("{action} runs as process {pid}"),
        Event::JobSignalled { action, signal, because, .. } => {
            format!("{action} is sent {}: {because}", signal.as_str())
        }
        Event::JobEnded { action, outcome, started, spawned, ended, .. } => {
            let took = millis(ended.since(*started));
            let spawn = spawn_in_words(*started, *spawned);
            format!("{action} {outcome}; it took {took:.1} ms{spawn}")
        }
        Event::RetryScheduled { at, action, failures, outcome, .. } => {
            let left = at.since(now).as_secs_f64();
            let why = why_again(*action, outcome.as_ref());
            format!("{action} is tried again in {left:.1} s, because {why}{}", InARow(*failures))
        }
        Event::Adopted { action, pid, .. } => {
            format!("{action} of the daemon's earlier life still runs as process {pid} and is waited for")
        }
        Event::Settled { role, knowledge, .. } => {
            format!("nothing is left to do: {role}, and the service is {knowledge}")
        }
        Event::Alive { role, since, knowledge, transitions, last_action, last_check, at, .. } => {
            let for_s = at.since(*since).as_secs();
            let last = last_in_words(last_action.iter().chain(last_check).map(Arc::as_ref), *at);
            format!("alive: {role} for {for_s} s, the service is {knowledge}; {transitions} transitions; {last}")
        }
        Event::EpochsExhausted { epoch, .. } => {
            format!("epoch {epoch} is not on disk yet; after a power cut it may come again")
        }
        Event::Overrun { total } => {
            format!("the kernel dropped notifications ({total} times so far); reading anew")
        }
        Event::Subscribed => "the kernel's notifications are followed".to_owned(),
        Event::SubscriptionLost { error } => {
            format!("the kernel's notifications are lost, addresses are polled: {error}")
        }
        Event::Synchronized { addresses } => {
            format!("addresses are followed; {addresses} of those in the file are here")
        }
        Event::DumpFailed { error, failures } => {
            format!("addresses could not be read ({failures} times in a row): {error}")
        }
        Event::AuditRepaired { differences } => {
            format!("the audit found {differences} changes that no notification had told")
        }
        Event::Reloaded(changes) => changes_in_words(changes),
    }
}

fn spawn_in_words(started: Time, spawned: Option<Time>) -> String {
    spawned.map_or_else(String::new, |at| {
        let after = millis(at.since(started));
        format!(" (its process was there after {after:.1} ms)")
    })
}

/// What came of the last start or stop and of the last is-running.
fn last_in_words<'a>(jobs: impl Iterator<Item = &'a LastJob>, at: Time) -> String {
    let told = jobs.map(|job| format!("{} {} s ago", job.said(), at.since(job.ended).as_secs()));
    let told: Vec<_> = told.collect();
    if told.is_empty() {
        "no job yet".to_owned()
    } else {
        told.join("; ")
    }
}

fn changes_in_words(changes: &Changes) -> String {
    format!(
        "configuration reloaded: {} added, {} changed, {} removed, {} unchanged",
        changes.added.len(),
        changes.changed.len(),
        changes.removed.len(),
        changes.unchanged,
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
    match outcome {
        Outcome::Done | Outcome::NotRunning { .. } | Outcome::PartlyRunning { .. } => {
            usual_level(action)
        }
        // 126 and 127 are the shell's for what it cannot execute or find: no answer, so nothing goes on until it is
        // mended.
        Outcome::Failed { code: 126 | 127 }
        | Outcome::Killed { .. }
        | Outcome::TimedOut { .. }
        | Outcome::NotStarted { .. }
        | Outcome::UnitFailed { .. }
        | Outcome::Unseen => Level::WARN,
        Outcome::Failed { .. } | Outcome::Cancelled => match action {
            Action::Start | Action::Stop => Level::WARN,
            Action::IsRunning => usual_level(action),
        },
    }
}

/// Which text of the catalog explains the end of a job, if any: is-running answers by failing, but one that
/// hangs is a fault.
fn message_id_of(action: Action, outcome: &Outcome) -> Option<MessageId> {
    match outcome {
        Outcome::TimedOut { .. } => Some(MessageId::TimedOut),
        Outcome::Failed { .. }
        | Outcome::Killed { .. }
        | Outcome::NotStarted { .. }
        | Outcome::UnitFailed { .. } => {
            (action != Action::IsRunning).then_some(MessageId::ActionFailed)
        }
        Outcome::Done
        | Outcome::Cancelled
        | Outcome::Unseen
        | Outcome::NotRunning { .. }
        | Outcome::PartlyRunning { .. } => None,
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;

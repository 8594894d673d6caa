//! The status document: what `status` says of the daemon and of each instance, made for people's scripts.
//! Pure: made from the machine's views and the time at which the answer is given.
//!
//! Fields are only ever added. Ages and spans are milliseconds and were true when the answer was made.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::why;
use crate::bus::Counters;
use crate::machine::Time;
use crate::machine::job::{Action, JobId, Knowledge, LastJob, Means, Outcome, Role};
use crate::machine::reason::{Next, Reason};
use crate::machine::settings::{InstanceName, Release};
use crate::machine::view::{InstanceView, JobView, KernelView};
use crate::scheduling::Standing;
use crate::source::netlink::Filter;

/// Whether what is said is known to be true now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The reactor has just shown that it is alive.
    Fresh,
    /// It does not answer: this is what it said last.
    Stale,
}

impl Freshness {
    /// Whether it is stale.
    pub fn is_stale(self) -> bool {
        match self {
            Self::Fresh => false,
            Self::Stale => true,
        }
    }
}

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// How long ago it began to read what it goes by of that file.
    #[serde(default)]
    pub config_age_ms: Option<u64>,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Whether the reactor does not answer, so that everything here may be out of date.
    pub stale: bool,
    /// How the kernel is followed; `None` before the first word of the reactor.
    pub kernel: Option<KernelStatus>,
    /// Which notifications wake the daemon; `None` while none come.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// How many instances it has.
    pub instances: usize,
    /// How many connections the control socket has.
    pub connections: usize,
    /// Log records that found the log's queue full.
    pub log_dropped: u64,
    /// Updates that found the queue to the service thread full; the whole was fetched after each.
    pub updates_dropped: u64,
    /// Messages that systemd did not take.
    #[serde(default)]
    pub systemd_refused: u64,
    /// What the daemon's threads have counted since its start.
    #[serde(default)]
    pub counters: Counters,
    /// Real-time threads; `None`: the file asks for none.
    #[serde(default)]
    pub realtime: Option<Standing>,
}

/// How the kernel is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Whether notifications come; otherwise addresses are dumped every `sleep`.
    pub subscribed: bool,
    /// Whether the addresses are known.
    pub synchronized: bool,
    /// What the system said when the notifications ceased.
    pub error: Option<String>,
    /// The age of the last complete dump.
    pub dump_age_ms: Option<u64>,
    /// Complete dumps.
    pub dumps: u64,
    /// Failed or interrupted dumps.
    pub dumps_failed: u64,
    /// How often the kernel dropped notifications.
    pub overruns: u64,
    /// Audits that found what no notification had told.
    pub audits_repaired: u64,
    /// Notifications taken in.
    pub events: u64,
}

impl KernelStatus {
    /// The kernel's status at `now`.
    pub fn of(view: &KernelView, now: Time) -> Self {
        Self {
            subscribed: view.subscribed,
            synchronized: view.synchronized,
            error: view.error.clone(),
            dump_age_ms: view.dumped_at.map(|at| millis(now.since(at))),
            dumps: view.dumps,
            dumps_failed: view.dumps_failed,
            overruns: view.overruns,
            audits_repaired: view.audits_repaired,
            events: view.events,
        }
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: InstanceName,
    /// Its role.
    pub role: Role,
    /// Since when.
    pub role_age_ms: u64,
    /// What the source says, as a sentence.
    pub cause: String,
    /// Since when it says so.
    pub cause_age_ms: u64,
    /// What is known of the service.
    pub service: Knowledge,
    /// Since when.
    pub service_age_ms: u64,
    /// The job that runs.
    pub job: Option<JobStatus>,
    /// The job before, of either kind.
    pub last_job: Option<LastJobStatus>,
    /// The last start or stop.
    #[serde(default)]
    pub last_action: Option<LastJobStatus>,
    /// The last is-running.
    #[serde(default)]
    pub last_check: Option<LastJobStatus>,
    /// What happens next.
    pub next: NextStatus,
    /// All of it in one sentence.
    pub why: String,
    /// Counts its transitions over all restarts.
    pub epoch: u64,
    /// Counts them in this life of the daemon.
    pub transitions: u64,
    /// Changes that were overtaken before they were acted on.
    pub superseded: u64,
    /// Whether the configuration no longer has it and only its job is waited for.
    pub leaving: bool,
    /// What becomes of the service when the daemon ends; `None`: an older daemon does not tell.
    #[serde(default)]
    pub on_exit: Option<Release>,
    /// Whether the reactor does not answer, so that this may be out of date.
    pub stale: bool,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its name, as the script sees it in `KEEPSTART_JOB`.
    pub id: JobId,
    /// Which action.
    pub action: Action,
    /// Why it runs.
    pub reason: Reason,
    /// For how long.
    pub age_ms: u64,
    /// Its process, once it exists.
    pub pid: Option<u32>,
    /// Who carries it out.
    #[serde(default)]
    pub means: Means,
    /// Whether an earlier life of the daemon began it.
    pub adopted: bool,
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastJobStatus {
    /// Its name.
    pub id: JobId,
    /// Which action.
    pub action: Action,
    /// Why it was run.
    pub reason: Reason,
    /// What became of it, as a clause.
    pub outcome: String,
    /// What became of it, as a word.
    pub result: ResultKind,
    /// The exit status of a failed job, the signal of a killed one.
    pub code: Option<i32>,
    /// How long ago it ended.
    pub age_ms: u64,
    /// How long it took, from the decision to the end.
    pub duration_ms: u64,
}

/// What became of a job, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultKind {
    /// Exit status 0.
    Done,
    /// Another exit status.
    Failed,
    /// A signal that the daemon did not send.
    Killed,
    /// It took longer than its timeout.
    TimedOut,
    /// The role had turned against it.
    Cancelled,
    /// It could not be started.
    NotStarted,
    /// Nobody saw how it ended.
    Unseen,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStatus {
    /// As a word.
    pub kind: NextKind,
    /// As a clause.
    pub what: String,
    /// When, where that is known.
    pub in_ms: Option<u64>,
}

/// What happens next, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextKind {
    /// Nothing: what runs is what the role wants.
    Nothing,
    /// Nothing, because the role is UNKNOWN.
    Held,
    /// A gain of the role is believed.
    GainHeld,
    /// A loss of the role is believed.
    LossHeld,
    /// The running job ends, or is told to.
    JobRuns,
    /// A process that may be a job of an earlier life ends, or is let go of.
    JobPresumed,
    /// The running job is cancelled.
    JobOverdue,
    /// The running job, told to end, is killed.
    JobEnding,
    /// A start gets its place.
    WaitsForPlace,
    /// The failed attempt is made again.
    Retry,
    /// Nothing, because the daemon ends.
    Ending,
}

impl InstanceStatus {
    /// The instance's status at `now`.
    pub fn of(view: &InstanceView, now: Time, freshness: Freshness) -> Self {
        let ended = |job: &LastJob| last_job_status(job, now);
        let mut status = Self {
            name: view.name.clone(),
            role: view.role,
            role_age_ms: millis(now.since(view.role_since)),
            cause: view.cause.to_string(),
            cause_age_ms: millis(now.since(view.cause_since)),
            service: view.knowledge,
            service_age_ms: millis(now.since(view.knowledge_since)),
            job: view.job.as_ref().map(|job| job_status(job, now)),
            last_job: view.last_job().map(ended),
            last_action: view.last_action.as_deref().map(ended),
            last_check: view.last_check.as_deref().map(ended),
            next: next_status(&view.next, now),
            why: String::new(),
            epoch: view.epoch,
            transitions: view.transitions,
            superseded: view.superseded,
            leaving: view.leaving,
            on_exit: Some(view.settings.on_exit),
            stale: freshness.is_stale(),
        };
        status.why = why::sentence(&status);
        status
    }

    /// What is known of the service in a word or two; while a start or stop works on it, what was known before is not.
    pub fn service_word(&self) -> String {
        match self.job.as_ref().map(|job| job.action) {
            Some(Action::Start) => "starting".into(),
            Some(Action::Stop) => "stopping".into(),
            Some(Action::IsRunning) | None => self.service.to_string(),
        }
    }

    /// The same, `span` later, if nothing has happened since.
    pub fn grow_older(&mut self, span: Duration) {
        let span = millis(span);
        let ages = [
            &mut self.role_age_ms,
            &mut self.cause_age_ms,
            &mut self.service_age_ms,
        ];
        let job = self.job.as_mut().map(|job| &mut job.age_ms);
        let ended = [
            &mut self.last_job,
            &mut self.last_action,
            &mut self.last_check,
        ];
        let ended = ended.into_iter().flatten().map(|job| &mut job.age_ms);
        for age in ages.into_iter().chain(job).chain(ended) {
            *age = age.saturating_add(span);
        }
        if let Some(in_ms) = &mut self.next.in_ms {
            *in_ms = in_ms.saturating_sub(span);
        }
        self.why = why::sentence(self);
    }
}

fn job_status(job: &JobView, now: Time) -> JobStatus {
    JobStatus {
        id: job.job,
        action: job.action,
        reason: job.reason,
        age_ms: millis(now.since(job.started)),
        pid: job.pid,
        means: job.means,
        adopted: job.adopted,
    }
}

fn last_job_status(job: &LastJob, now: Time) -> LastJobStatus {
    let (result, code) = match &job.outcome {
        Outcome::Done => (ResultKind::Done, None),
        Outcome::Failed { code } => (ResultKind::Failed, Some(*code)),
        Outcome::Killed { signal } => (ResultKind::Killed, Some(*signal)),
        Outcome::TimedOut { .. } => (ResultKind::TimedOut, None),
        Outcome::Cancelled => (ResultKind::Cancelled, None),
        Outcome::NotStarted { .. } => (ResultKind::NotStarted, None),
        Outcome::Unseen => (ResultKind::Unseen, None),
        Outcome::UnitFailed { .. } | Outcome::NotRunning { .. } | Outcome::PartlyRunning { .. } => {
            (ResultKind::Failed, None)
        }
    };
    LastJobStatus {
        id: job.job,
        action: job.action,
        reason: job.reason,
        outcome: job.outcome.to_string(),
        result,
        code,
        age_ms: millis(now.since(job.ended)),
        duration_ms: millis(job.ended.since(job.started)),
    }
}

fn next_status(next: &Next, now: Time) -> NextStatus {
    let (kind, at) = match next {
        Next::Content { .. } => (NextKind::Nothing, None),
        Next::HeldByUnknown { stop_at } => (NextKind::Held, *stop_at),
        Next::GainHeld { until } => (NextKind::GainHeld, Some(*until)),
        Next::LossHeld { until } => (NextKind::LossHeld, Some(*until)),
        Next::JobRuns { deadline } => (NextKind::JobRuns, Some(*deadline)),
        Next::JobPresumed { until } => (NextKind::JobPresumed, Some(*until)),
        Next::JobOverdue { cancel_at } => (NextKind::JobOverdue, Some(*cancel_at)),
        Next::JobEnding { kill_at } => (NextKind::JobEnding, *kill_at),
        Next::WaitsForPlace { .. } => (NextKind::WaitsForPlace, None),
        Next::RetryAt { at, .. } => (NextKind::Retry, Some(*at)),
        Next::Ending => (NextKind::Ending, None),
    };
    NextStatus {
        kind,
        what: next.to_string(),
        in_ms: at.map(|at| millis(at.since(now))),
    }
}

/// A span in whole milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

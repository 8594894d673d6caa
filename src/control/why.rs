//! Status as sentences: the one that says why an instance is as it is, and spans of time as people say
//! them. Pure; the daemon uses it for its answers and the command line to bring them up to date.

use std::fmt;
use std::time::Duration;

use super::status::{InstanceStatus, JobStatus, LastJobStatus, NextKind, ResultKind};
use crate::machine::job::{Action, Knowledge, Means, NOT_EXECUTABLE, Role};

/// What the source says, what follows from it, what is known, what was done and what comes next, in one
/// sentence: `192.0.2.10 is on lo, so the role is MASTER and the service shall run here; it is running;
/// start done 2m ago (took 1.2s); is-running said yes 20s ago; nothing is left to do`.
pub fn sentence(status: &InstanceStatus) -> String {
    let mut clauses = vec![role_clause(status), service_clause(status).to_owned()];
    clauses.extend(job_clauses(status));
    clauses.push(next_clause(status));
    if status.stale {
        clauses.push(
            "but the daemon's reactor does not answer, so all this may be out of date".into(),
        );
    }
    clauses.join("; ")
}

fn role_clause(status: &InstanceStatus) -> String {
    let (cause, role) = (&status.cause, status.role);
    if status.leaving {
        return format!("the configuration no longer has this instance ({cause}, {role})");
    }
    match (status.next.kind, role) {
        (NextKind::GainHeld, _) => {
            format!("{cause}, but that has changed a moment ago, so the role stays {role} for now")
        }
        (NextKind::LossHeld, _) => {
            format!("{cause}, but hold-on-loss keeps the role {role} for now")
        }
        (_, Role::Master) => {
            format!("{cause}, so the role is MASTER and the service shall run here")
        }
        (_, Role::Backup) => {
            format!("{cause}, so the role is BACKUP and the service shall not run here")
        }
        (_, Role::Unknown) => format!("{cause}, so the role is UNKNOWN and nothing is started"),
    }
}

fn service_clause(status: &InstanceStatus) -> &'static str {
    match status.job.as_ref().map(|job| job.action) {
        Some(Action::Start) => return "it is being started",
        Some(Action::Stop) => return "it is being stopped",
        Some(Action::IsRunning) | None => {}
    }
    match status.service {
        Knowledge::Running => "it is running",
        Knowledge::Stopped => "it is stopped",
        Knowledge::Maybe => "whether it runs is not known",
        Knowledge::Partly => "it is partly running",
    }
}

/// The rule by which a process is waited for that may be a job.
pub const PRESUMED: &str = "the record of what ran is lost or torn, and a process has the environment of a job: \
    nothing is run beside it until it ends, or until the job's timeout; it is never signalled";

/// A job without a process for longer than this is said to hang in its exec.
const EXEC_HANGS_AFTER_MS: u64 = 1_000;

/// The job that runs, and what came of the last start or stop and of the last is-running; of the kind that runs, the
/// one before is of no interest any more.
fn job_clauses(status: &InstanceStatus) -> Vec<String> {
    let runs = status.job.as_ref();
    let is_other = |last: &&LastJobStatus| {
        runs.is_none_or(|job| job.action.changes_service() != last.action.changes_service())
    };
    let both = status.last_action.iter().chain(&status.last_check);
    let ended = both
        .filter(is_other)
        .map(|job| format!("{}, asked for because {}", last_job(job), job.reason));
    let mut clauses: Vec<_> = runs.map(running).into_iter().chain(ended).collect();
    if clauses.is_empty() {
        clauses.push("nothing has been run since the daemon started".into());
    }
    clauses
}

fn running(job: &JobStatus) -> String {
    let age = Span::ms(job.age_ms);
    let whose = if job.adopted {
        " of the daemon's earlier life"
    } else {
        ""
    };
    let (action, reason) = (job.action, &job.reason);
    match job.pid {
        Some(pid) => {
            format!("{action}{whose} has been running as process {pid} for {age} because {reason}")
        }
        None if job.means == Means::Systemd => {
            format!("systemd has been asked for {action} {age} ago because {reason}")
        }
        // A spawn takes about a millisecond; what takes this long waits inside the kernel's exec.
        None if job.age_ms >= EXEC_HANGS_AFTER_MS => format!(
            "{action} was ordered {age} ago because {reason}, and its program has not been \
             executed yet: its file is under a write lease or on a file server that does not answer"
        ),
        None => format!("{action}{whose} has been running for {age} because {reason}"),
    }
}

/// What came of a job, when, and how long a start or stop took: `start done 2m ago (took 1.2s)`, `is-running said yes
/// 2m ago`.
pub fn last_job(job: &LastJobStatus) -> String {
    let age = Span::ms(job.age_ms);
    match (job.action, job.result) {
        (Action::IsRunning, ResultKind::Done) => format!("is-running said yes {age} ago"),
        (Action::IsRunning, ResultKind::Failed)
            if !job.code.is_some_and(|code| NOT_EXECUTABLE.contains(&code)) =>
        {
            format!("is-running said no {age} ago")
        }
        (Action::IsRunning, _) => format!("is-running {} {age} ago", job.outcome),
        (action @ (Action::Start | Action::Stop), _) => {
            let took = Span::ms(job.duration_ms);
            format!("{action} {} {age} ago (took {took})", job.outcome)
        }
    }
}

fn next_clause(status: &InstanceStatus) -> String {
    let next = &status.next;
    match (next.kind, next.in_ms) {
        (NextKind::Nothing, _) => "nothing is left to do".into(),
        (NextKind::JobRuns, Some(in_ms)) => {
            format!(
                "next: {} (its timeout is over in {})",
                next.what,
                Span::ms(in_ms)
            )
        }
        (_, Some(in_ms)) => format!("next, in {}: {}", Span::ms(in_ms), next.what),
        (_, None) => format!("next: {}", next.what),
    }
}

/// A span as people say it: `35ms`, `3.4s`, `34s`, `3m12s`, `2h5m`, `3d4h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// A span of so many milliseconds.
    pub fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, seconds) = (self.0.as_millis(), self.0.as_secs());
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        let two = |big: u64, unit: char, small: u64, small_unit: char| {
            if small == 0 {
                format!("{big}{unit}")
            } else {
                format!("{big}{unit}{small}{small_unit}")
            }
        };
        let text = match seconds {
            0 => format!("{ms}ms"),
            1..10 => format!("{seconds}.{}s", ms % 1000 / 100),
            10..60 => format!("{seconds}s"),
            60..3600 => two(minutes, 'm', seconds % 60, 's'),
            3600..86_400 => two(hours, 'h', minutes % 60, 'm'),
            86_400.. => two(days, 'd', hours % 24, 'h'),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests;

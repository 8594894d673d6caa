//! A spawn that goes on: how long it takes, what has been made of that, and the signals for a process that is not the
//! action yet. Changed under the spawners' lock; signalling a process waits for nothing.

use std::sync::Arc;
use std::time::Instant;

use rustix::process::Pid;

use super::super::now;
use super::super::process::signal_group;
use crate::machine::job::{Action, Job, JobId, JobSignal, Role};
use crate::machine::settings::InstanceSettings;

/// A spawn that has not come to its exec yet.
pub(super) struct Spawn {
    pub(super) job: JobId,
    pub(super) action: Action,
    pub(super) instance: Arc<InstanceSettings>,
    pub(super) serves: (Role, u64),
    pub(super) since: Instant,
    pub(super) pace: Pace,
    /// What is known to exist before the spawn has come to its end.
    pub(super) process: Option<Pid>,
    /// To be sent once there is a process.
    pub(super) wanted: Option<JobSignal>,
    /// The last signal that the process was sent.
    pub(super) signalled: Option<JobSignal>,
}

/// What has been made of the time that a spawn takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// Nothing.
    Healthy,
    /// It hangs, and another thread may stand in for its own.
    Hung,
    /// That has been told to people, too.
    Told,
}

impl Spawn {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            job: job.id,
            action: job.action,
            instance: Arc::clone(&job.settings),
            serves: (job.role, job.epoch),
            since: now(),
            pace: Pace::Healthy,
            process: None,
            wanted: None,
            signalled: None,
        }
    }

    /// Signals the process, now or when it is known. The stronger signal stays: after a KILL nobody is left to take
    /// a TERM.
    pub(super) fn signal(&mut self, signal: JobSignal) {
        if self.wanted != Some(JobSignal::Kill) {
            self.wanted = Some(signal);
        }
        self.deliver();
    }

    /// Notes the process, or that its number may soon be another's.
    pub(super) fn set_process(&mut self, process: Option<Pid>) {
        self.process = process;
        self.deliver();
    }

    fn deliver(&mut self) {
        if let Some(pid) = self.process
            && let Some(signal) = self.wanted.take()
            && signal_group(pid, signal).is_ok()
        {
            self.signalled = Some(signal);
        }
    }

    /// Notes its pace; whether that is slower than what was known.
    pub(super) fn slows_to(&mut self, pace: Pace) -> bool {
        let slower = self.pace < pace;
        self.pace = self.pace.max(pace);
        slower
    }
}

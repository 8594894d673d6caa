//! How long a spawn takes, and what has been made of that. Pure but for the clock at its beginning.

use std::sync::Arc;
use std::time::Instant;

use super::super::now;
use crate::machine::job::{Action, Job, JobId, Role};
use crate::machine::settings::InstanceSettings;

/// A spawn that has not come to its exec yet.
pub(super) struct Spawn {
    pub(super) job: JobId,
    pub(super) action: Action,
    pub(super) instance: Arc<InstanceSettings>,
    pub(super) serves: (Role, u64),
    pub(super) since: Instant,
    pub(super) pace: Pace,
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
        }
    }

    /// Notes its pace; whether that is slower than what was known.
    pub(super) fn slows_to(&mut self, pace: Pace) -> bool {
        let slower = self.pace < pace;
        self.pace = self.pace.max(pace);
        slower
    }
}

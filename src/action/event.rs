//! What the executor tells of its jobs. Data only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::machine::job::{Action, Exit, JobId, Role};
use crate::machine::settings::InstanceName;
use crate::machine::unit::UnitName;

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// Its main process exists. Not told of adopted jobs.
    Spawned {
        /// Which job.
        job: JobId,
        /// The process, which leads a group of the same number.
        pid: u32,
        /// When its exec had succeeded.
        at: Instant,
    },
    /// It has ended. Told once of every job that was submitted or adopted.
    Ended {
        /// Which job.
        job: JobId,
        /// How its main process ended.
        exit: Exit,
        /// When that was seen.
        at: Instant,
    },
    /// Its spawn has taken a second and goes on: its file is under a write lease, or on a file server that does
    /// not answer. Told at most once of a job, and before it is spawned.
    Hangs {
        /// Which job.
        job: JobId,
        /// Which action.
        action: Action,
        /// Whose.
        instance: InstanceName,
        /// The role and the epoch that it serves.
        serves: (Role, u64),
        /// How long it has taken so far.
        so_far: Duration,
    },
    /// These units were seen to change their states, or may have changed them unseen.
    UnitsChanged(BTreeSet<UnitName>),
}

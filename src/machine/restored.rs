//! What a restart of the daemon knows of its instances from before. Pure data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job::{Action, JobId, Knowledge, Outcome, Role};
use super::message::Event;
use super::reason::Reason;
use super::settings::InstanceName;
use super::time::Time;

/// What a restart knows of an instance from before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// What was known of the service in this boot; `None`: nothing was.
    pub knowledge: Option<Knowledge>,
    /// A job of an earlier life whose process is still there.
    pub adopted: Option<Adopted>,
    /// A job of an earlier life was running and has ended unseen.
    pub interrupted: bool,
    /// The interface of the file that was seen last in this boot.
    #[serde(default)]
    pub nic_seen: Option<String>,
    /// The last epoch that may have been used.
    pub epoch: u64,
    /// The last epoch that is reserved on disk for this life.
    pub epoch_reserved: u64,
}

impl Restored {
    /// Whether a start or stop of an earlier life has left its mark, or is about to.
    pub(super) fn in_doubt(&self) -> bool {
        let acts = |adopted: &Adopted| adopted.action.changes_service();
        self.interrupted || self.adopted.as_ref().is_some_and(acts)
    }
}

/// How sure it is that a process is the job that it was taken up as.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// The record says that it was in flight.
    #[default]
    Recorded,
    /// Its environment says so, where the record does not tell of the process; but a service that the script has left
    /// behind may have the same. Nothing is run beside it while it may still be the job; but it is never signalled, and
    /// when its time is up it is let go of.
    Presumed,
}

/// A job that an earlier life of the daemon began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its name.
    pub job: JobId,
    /// Which action.
    pub action: Action,
    /// The role that it serves.
    pub role: Role,
    /// The epoch that it serves.
    pub epoch: u64,
    /// Why it was begun.
    pub reason: Reason,
    /// Its process.
    pub pid: u32,
    /// How sure that is.
    #[serde(default)]
    pub identity: Identity,
    /// When it was handed to the executor of that life.
    pub started: Time,
    /// When it has to be told to end.
    pub deadline: Time,
}

impl Adopted {
    /// That it is still running.
    pub(super) fn event(&self, instance: &InstanceName) -> Event {
        Event::Adopted {
            instance: instance.clone(),
            job: self.job,
            action: self.action,
            role: self.role,
            epoch: self.epoch,
            reason: self.reason,
            pid: self.pid,
            started: self.started,
        }
    }

    /// That it has ended, where no instance has a say in it: nobody saw how.
    pub(super) fn ended(&self, instance: &InstanceName, now: Time) -> Event {
        Event::JobEnded {
            instance: instance.clone(),
            job: self.job,
            action: self.action,
            epoch: self.epoch,
            role: self.role,
            outcome: Outcome::Unseen,
            started: self.started,
            spawned: None,
            ended: now,
        }
    }
}

/// Restored instances by name.
pub type RestoredMap = BTreeMap<InstanceName, Restored>;

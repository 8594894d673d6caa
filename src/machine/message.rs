//! What goes into the machine and what comes out of it. Pure data, all of it serializable, so that what a
//! daemon lived through can be written down and lived through again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::job::{
    Action, Exit, InstanceId, Job, JobId, JobSignal, Knowledge, LastJob, Outcome, Role,
};
use super::kernel::{KernelDump, KernelEvent, Watched};
use super::reason::{Cause, Reason};
pub use super::restored::{Adopted, Identity, Restored, RestoredMap};
use super::settings::{InstanceName, Settings};
use super::time::Time;
use super::unit::UnitName;

/// One thing that happened outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// The notification socket is open: all that happens from now on will be told.
    Subscribed,
    /// The notification socket is lost or could not be opened.
    SubscriptionLost {
        /// What the system said.
        error: String,
    },
    /// All that one wake-up read from the notification socket.
    Kernel(Vec<KernelEvent>),
    /// The kernel dropped notifications (ENOBUFS), or the source had to; what was queued has been discarded.
    Overrun,
    /// The dump that was asked for.
    Dumped(KernelDump),
    /// The dump that was asked for could not be had.
    DumpFailed {
        /// What the system said.
        error: String,
    },
    /// The job's process exists.
    Spawned {
        /// Which job.
        job: JobId,
        /// Its process.
        pid: u32,
    },
    /// The job's process has ended.
    Ended {
        /// Which job.
        job: JobId,
        /// How.
        exit: Exit,
    },
    /// Of these units something was seen to change, or may have changed unseen. Only a hint, which may come late,
    /// twice or never: what has become of the services is asked.
    UnitsChanged(BTreeSet<UnitName>),
    /// The epochs of these instances up to and including this one are on disk as used: all that one write noted.
    EpochsReserved(Vec<(InstanceId, u64)>),
    /// A new configuration, already checked. An ending daemon takes none.
    Reload(Settings),
    /// An operator wants an audit, of one instance or of all. An ending daemon makes none.
    Audit(Option<InstanceName>),
    /// The daemon is to end: no new action begins (but those of `on-exit: stop`).
    Shutdown,
}

/// One thing to be done outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// From now on, only this needs to be told or dumped.
    Watch(Watched),
    /// From now on these are the units whose changes are to be told. Not told at all while there never was one.
    WatchUnits(BTreeSet<UnitName>),
    /// Open the notification socket; answer with `Subscribed` or `SubscriptionLost`.
    Subscribe,
    /// Dump links and addresses; answer with `Dumped` or `DumpFailed`. At most one is asked for at a time.
    Dump,
    /// Run this; answer with `Spawned` (unless it could not be) and `Ended`.
    Start(Box<Job>),
    /// Signal the job's process group; what a job without processes makes of it, it knows itself.
    Signal {
        /// Which job.
        job: JobId,
        /// With what.
        signal: JobSignal,
        /// What the job will be counted as.
        because: Outcome,
    },
    /// A process that is only presumed to be this job has outlived the job's time: it is no longer waited for, and left
    /// alone. No answer.
    LetGo {
        /// Which job.
        job: JobId,
        /// Whose.
        instance: InstanceName,
        /// Which action.
        action: Action,
        /// The process; `None` for none that is known.
        pid: Option<u32>,
    },
    /// Note on disk that epochs up to this one may have been used; answer with `EpochsReserved`.
    ReserveEpochs {
        /// Whose.
        instance: InstanceId,
        /// The instance's name.
        name: InstanceName,
        /// The last one.
        through: u64,
    },
    /// Remember this over a restart of the daemon.
    Remember {
        /// Whose.
        name: InstanceName,
        /// What is known of the service; `None`: the instance is gone with its service, forget it.
        knowledge: Option<Knowledge>,
    },
    /// Remember over a restart of the daemon that this interface, which the file names, has been there: once for each
    /// that it comes to name.
    RememberNic {
        /// Whose.
        name: InstanceName,
        /// The interface, as the file names it.
        nic: String,
    },
    /// Tell people. Shared, because those who are told come after one another.
    Event(Arc<Event>),
    /// The view of this instance has changed.
    Changed(InstanceId),
    /// This instance exists no more.
    Gone(InstanceId),
    /// The shutdown is complete: no job runs.
    Finished,
}

/// What people are told: in the log, the timeline, the event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A role has changed for good.
    Transition {
        /// Whose.
        instance: InstanceName,
        /// From this role.
        from: Role,
        /// To this one.
        to: Role,
        /// The epoch that begins with it; `NAME/EPOCH` is the transition's id.
        epoch: u64,
        /// What the source said.
        cause: Cause,
        /// When the source was seen saying it first.
        seen: Time,
        /// When it was believed.
        decided: Time,
    },
    /// A change of role is held back.
    Held {
        /// Whose.
        instance: InstanceName,
        /// To this role.
        to: Role,
        /// When the source was seen saying it.
        seen: Time,
        /// Until then at the latest.
        until: Time,
    },
    /// A change of role was overtaken before it was believed.
    Superseded {
        /// Whose.
        instance: InstanceName,
        /// The role that was not taken.
        to: Role,
        /// Its epoch, where it was believed and not yet acted on.
        epoch: Option<u64>,
        /// When the source was seen saying it first.
        seen: Time,
        /// When it was overtaken.
        at: Time,
        /// How often that has happened.
        total: u64,
    },
    /// A job was handed to the executor.
    JobStarted {
        /// Whose.
        instance: InstanceName,
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// What is run.
        command: String,
        /// The epoch it serves.
        epoch: u64,
        /// The role it serves.
        role: Role,
        /// Why.
        reason: Reason,
        /// When.
        at: Time,
    },
    /// A job's process exists: its program has begun.
    JobSpawned {
        /// Whose.
        instance: InstanceName,
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// The epoch it serves.
        epoch: u64,
        /// The role it serves.
        role: Role,
        /// Its process.
        pid: u32,
        /// When.
        at: Time,
    },
    /// A job is told to end.
    JobSignalled {
        /// Whose.
        instance: InstanceName,
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// The epoch it serves.
        epoch: u64,
        /// The role it serves.
        role: Role,
        /// The signal.
        signal: JobSignal,
        /// What it will be counted as.
        because: Outcome,
        /// When.
        at: Time,
    },
    /// A job has ended.
    JobEnded {
        /// Whose.
        instance: InstanceName,
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// The epoch it served.
        epoch: u64,
        /// The role it served.
        role: Role,
        /// What became of it.
        outcome: Outcome,
        /// When it was handed to the executor.
        started: Time,
        /// When its process existed.
        spawned: Option<Time>,
        /// When it ended.
        ended: Time,
    },
    /// Something failed and will be tried again.
    RetryScheduled {
        /// Whose.
        instance: InstanceName,
        /// The epoch that the next attempt serves.
        epoch: u64,
        /// The role that it serves.
        role: Role,
        /// When.
        at: Time,
        /// Which action that is.
        action: Action,
        /// Failures in a row.
        failures: u32,
        /// How the last one ended; `None`: is-running disagreed with a successful action.
        outcome: Option<Outcome>,
    },
    /// A job of an earlier life of the daemon is still running and is waited for.
    Adopted {
        /// Whose.
        instance: InstanceName,
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// The epoch it serves.
        epoch: u64,
        /// The role it serves.
        role: Role,
        /// Why it was begun.
        reason: Reason,
        /// Its process.
        pid: u32,
        /// When it was handed to the executor of that life.
        started: Time,
    },
    /// What runs is what the role wants, after a transition, a start, a stop or a failure: all of that is complete.
    Settled {
        /// Whose.
        instance: InstanceName,
        /// The role.
        role: Role,
        /// The epoch that began with it.
        epoch: u64,
        /// What is known of the service.
        knowledge: Knowledge,
        /// When.
        at: Time,
    },
    /// The kernel dropped notifications; the addresses are dumped anew.
    Overrun {
        /// How often that has happened.
        total: u64,
    },
    /// The kernel's notifications are followed.
    Subscribed,
    /// The kernel's notifications are not available; the addresses are dumped regularly.
    SubscriptionLost {
        /// What the system said.
        error: String,
    },
    /// The addresses are known: the first dump, and each that ends a time in which notifications were lost or
    /// the table was not believed.
    Synchronized {
        /// How many watched addresses are there.
        addresses: u32,
    },
    /// A dump failed.
    DumpFailed {
        /// What the system said.
        error: String,
        /// How many in a row.
        failures: u32,
    },
    /// An audit's dump differed from what the notifications had told.
    AuditRepaired {
        /// How many links and addresses differed.
        differences: u32,
    },
    /// The regular sign of life.
    Alive {
        /// Whose.
        instance: InstanceName,
        /// The role.
        role: Role,
        /// The epoch that began with it.
        epoch: u64,
        /// Since when.
        since: Time,
        /// What is known of the service.
        knowledge: Knowledge,
        /// Transitions since the daemon began.
        transitions: u64,
        /// Its last job. In boxes, so that rare events make no other one larger.
        last_job: Option<Box<LastJob>>,
        /// Its last start or stop.
        last_action: Option<Arc<LastJob>>,
        /// Its last is-running.
        last_check: Option<Arc<LastJob>>,
        /// Now.
        at: Time,
    },
    /// A new configuration is in force.
    Reloaded(Changes),
    /// The epochs on disk are used up, and the disk has not answered since the transition before either; after a
    /// power cut numbers may come again.
    EpochsExhausted {
        /// Whose.
        instance: InstanceName,
        /// The epoch that is not on disk.
        epoch: u64,
    },
}

impl Event {
    /// The instance that it is about; `None`: it is about the daemon as a whole and how it follows the kernel.
    pub fn instance(&self) -> Option<&InstanceName> {
        match self {
            Self::Transition { instance, .. }
            | Self::Held { instance, .. }
            | Self::Superseded { instance, .. }
            | Self::JobStarted { instance, .. }
            | Self::JobSpawned { instance, .. }
            | Self::JobSignalled { instance, .. }
            | Self::JobEnded { instance, .. }
            | Self::RetryScheduled { instance, .. }
            | Self::Adopted { instance, .. }
            | Self::Settled { instance, .. }
            | Self::Alive { instance, .. }
            | Self::EpochsExhausted { instance, .. } => Some(instance),
            Self::Overrun { .. }
            | Self::Subscribed
            | Self::SubscriptionLost { .. }
            | Self::Synchronized { .. }
            | Self::DumpFailed { .. }
            | Self::AuditRepaired { .. }
            | Self::Reloaded { .. } => None,
        }
    }
}

/// What a new configuration has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// New instances.
    pub added: Vec<InstanceName>,
    /// Instances with another definition.
    pub changed: Vec<InstanceName>,
    /// Instances that are no longer there.
    pub removed: Vec<InstanceName>,
    /// Those of them whose services may run on, with nobody to look after them.
    #[serde(default)]
    pub left: Vec<InstanceName>,
    /// How many stayed as they were.
    pub unchanged: u32,
}

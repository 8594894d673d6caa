//! What can be seen of the machine from outside: values without a lifeline to it. Pure data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::job::{Action, InstanceId, JobId, Knowledge, LastJob, Means, Role};
use super::reason::{Cause, Next, Reason};
use super::settings::{InstanceName, InstanceSettings};
use super::time::Time;

/// One instance, as it is at `at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its number.
    pub id: InstanceId,
    /// Its name.
    pub name: InstanceName,
    /// Its definition.
    pub settings: Arc<InstanceSettings>,
    /// When this view was made.
    pub at: Time,
    /// Its role.
    pub role: Role,
    /// Since when.
    pub role_since: Time,
    /// What the source says now.
    pub cause: Cause,
    /// Since when it says so.
    pub cause_since: Time,
    /// Counts its transitions over all restarts.
    pub epoch: u64,
    /// Counts them in this life of the daemon.
    pub transitions: u64,
    /// Changes of role and wishes that were overtaken before they were acted on.
    pub superseded: u64,
    /// What is known of the service.
    pub knowledge: Knowledge,
    /// Since when.
    pub knowledge_since: Time,
    /// The job that runs.
    pub job: Option<JobView>,
    /// The last start or stop.
    pub last_action: Option<Arc<LastJob>>,
    /// The last is-running.
    pub last_check: Option<Arc<LastJob>>,
    /// What happens next, and why.
    pub next: Next,
    /// Whether the instance was removed and is only waited for.
    pub leaving: bool,
}

impl InstanceView {
    /// The job before, of either kind.
    pub fn last_job(&self) -> Option<&LastJob> {
        LastJob::later(self.last_action.as_deref(), self.last_check.as_deref())
    }
}

/// A running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its name.
    pub job: JobId,
    /// Which action.
    pub action: Action,
    /// Why it runs.
    pub reason: Reason,
    /// When it was handed to the executor.
    pub started: Time,
    /// Its process, once it exists.
    pub pid: Option<u32>,
    /// Who carries it out.
    pub means: Means,
    /// Whether an earlier life of the daemon began it.
    pub adopted: bool,
}

/// How the kernel is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelView {
    /// Whether notifications come; otherwise addresses are dumped regularly.
    pub subscribed: bool,
    /// What the system said when they ceased.
    pub error: Option<String>,
    /// Whether the address table can be trusted.
    pub synchronized: bool,
    /// The last complete dump.
    pub dumped_at: Option<Time>,
    /// How often the kernel dropped notifications.
    pub overruns: u64,
    /// Complete dumps.
    pub dumps: u64,
    /// Failed or interrupted dumps.
    pub dumps_failed: u64,
    /// Audit dumps that differed from what had been told.
    pub audits_repaired: u64,
    /// Kernel events taken in.
    pub events: u64,
}

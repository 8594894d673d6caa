//! The records of the run log and the state that they add up to. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::job::{Action, JobId, Knowledge, Role};
use crate::machine::message::Identity;
use crate::machine::reason::Reason;
use crate::machine::settings::InstanceName;

/// A job that was begun and of which no end is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InFlight {
    /// Its name.
    pub job: JobId,
    /// Whose it is.
    pub instance: InstanceName,
    /// Which action.
    pub action: Action,
    /// The role that it serves; UNKNOWN in a record of a daemon that did not note it.
    #[serde(default)]
    pub role: Role,
    /// The epoch that it serves.
    pub epoch: u64,
    /// Why it runs.
    #[serde(default = "unnoted")]
    pub reason: Reason,
    /// When it has to be told to end, on `CLOCK_MONOTONIC`. That clock counts from the boot and is the same for
    /// all processes of it, so the number holds for the next daemon; and it is the clock that the machine's
    /// deadlines run on, so a suspended host takes nothing from a script's time.
    pub deadline_monotonic: Duration,
    /// How long it may run in all.
    pub timeout: Duration,
    /// How sure it is that the process is the job.
    #[serde(default, skip_serializing_if = "is_recorded")]
    pub identity: Identity,
    /// Its process; `None`: the daemon was killed before it could note it, or there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_recorded(identity: &Identity) -> bool {
    *identity == Identity::Recorded
}

/// The reason of a job in a record of a daemon that did not note it.
fn unnoted() -> Reason {
    Reason::Adopted
}

impl InFlight {
    /// When it was begun, on `CLOCK_MONOTONIC`.
    pub fn started_monotonic(&self) -> Duration {
        self.deadline_monotonic.saturating_sub(self.timeout)
    }
}

/// A process that a later one of the same number cannot be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks after the boot: field 22 of `/proc/PID/stat`, proc(5).
    pub start_ticks: u64,
}

/// One line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Record {
    Intent(InFlight),
    Spawned {
        job: JobId,
        #[serde(flatten)]
        process: Process,
    },
    NotSpawned {
        job: JobId,
    },
    Ended {
        job: JobId,
    },
    Knowledge {
        instance: InstanceName,
        knowledge: Knowledge,
    },
    NicSeen {
        instance: InstanceName,
        nic: String,
    },
    Forget {
        instance: InstanceName,
    },
}

impl Record {
    /// What it is called in the file.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Intent(_) => "intent",
            Self::Spawned { .. } => "spawned",
            Self::NotSpawned { .. } => "not-spawned",
            Self::Ended { .. } => "ended",
            Self::Knowledge { .. } => "knowledge",
            Self::NicSeen { .. } => "nic-seen",
            Self::Forget { .. } => "forget",
        }
    }
}

/// What is known from earlier lives of the daemon in this boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunState {
    /// The jobs without a known end.
    pub in_flight: BTreeMap<JobId, InFlight>,
    /// Whether the record of this boot was lost: then an instance of which nothing is known may be running.
    pub damaged: bool,
    pub(super) noted: BTreeMap<InstanceName, Knowledge>,
    /// The interface of the file that was seen last, of each instance; bounded by the names that the file ever had.
    pub(super) nics_seen: BTreeMap<InstanceName, String>,
}

impl RunState {
    /// What is known of an instance's service; `None`: nothing has been done with it in this boot.
    pub fn knowledge(&self, instance: &InstanceName) -> Option<Knowledge> {
        let is_changing =
            |job: &InFlight| job.instance == *instance && job.action.changes_service();
        if self.in_flight.values().any(is_changing) {
            return Some(Knowledge::Maybe);
        }
        let unknown = self.damaged.then_some(Knowledge::Maybe);
        self.noted.get(instance).copied().or(unknown)
    }

    /// The interface that was seen last of those that the file has named for an instance.
    pub fn nic_seen(&self, instance: &InstanceName) -> Option<&str> {
        self.nics_seen.get(instance).map(String::as_str)
    }

    /// The instances that anything is noted of; one may come twice.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &InstanceName> {
        self.noted
            .keys()
            .chain(self.in_flight.values().map(|job| &job.instance))
            .chain(self.nics_seen.keys())
    }

    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Intent(job) => {
                self.in_flight.insert(job.job, job);
            }
            Record::Spawned { job, process } => {
                if let Some(job) = self.in_flight.get_mut(&job) {
                    job.process = Some(process);
                }
            }
            Record::NotSpawned { job } => {
                self.in_flight.remove(&job);
            }
            Record::Ended { job } => {
                let ended = self.in_flight.remove(&job);
                if let Some(job) = ended.filter(|job| job.action.changes_service()) {
                    self.noted.insert(job.instance, Knowledge::Maybe);
                }
            }
            Record::Knowledge {
                instance,
                knowledge,
            } => {
                self.noted.insert(instance, knowledge);
            }
            Record::NicSeen { instance, nic } => {
                self.nics_seen.insert(instance, nic);
            }
            // Its interface has been there all the same, should the instance come back.
            Record::Forget { instance } => {
                self.noted.remove(&instance);
            }
        }
    }

    /// The shortest list of records that add up to this state.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let noted = self
            .noted
            .iter()
            .map(|(instance, knowledge)| Record::Knowledge {
                instance: instance.clone(),
                knowledge: *knowledge,
            });
        let nics = self
            .nics_seen
            .iter()
            .map(|(instance, nic)| Record::NicSeen {
                instance: instance.clone(),
                nic: nic.clone(),
            });
        let in_flight = self.in_flight.values().cloned().map(Record::Intent);
        noted.chain(nics).chain(in_flight)
    }
}

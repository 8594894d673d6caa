//! Jobs: one run of one action, from the wish to the outcome. Pure data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::settings::{ActionSettings, InstanceSettings};
use super::time::Time;

/// The role of an instance, in keepalived's words.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// No trustworthy answer, or none any longer. Starts nothing.
    #[default]
    Unknown,
    /// The role is elsewhere: nothing shall run here.
    Backup,
    /// The role is here: the service shall run here.
    Master,
}

impl Role {
    /// The role in capitals, as scripts get it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which of an instance's actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Brings the service up.
    Start,
    /// Takes it down.
    Stop,
    /// Asks whether it is up.
    IsRunning,
}

impl Action {
    /// The action's name as it stands in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::IsRunning => "is-running",
        }
    }

    /// Whether running it may change what is known of the service; a question changes nothing.
    pub fn changes_service(self) -> bool {
        match self {
            Self::Start | Self::Stop => true,
            Self::IsRunning => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The number of an instance inside one life of the machine; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// The lowest and the highest, for ranges.
    pub(super) const ENDS: [Self; 2] = [Self(0), Self(u32::MAX)];
}

/// The name of a job, unique over all daemons and restarts: a random number of this life of the daemon and
/// a counter. Written `4f3a9c1e-17`; scripts see it as `KEEPSTART_JOB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    /// The life of the daemon.
    pub life: u32,
    /// The job in it, from 1.
    pub number: u64,
}

/// The text is not a job's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job is written as eight hexadecimal digits, '-', and a number")]
pub struct BadJobId;

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.life, self.number)
    }
}

impl std::str::FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let (life, number) = text.split_once('-').ok_or(BadJobId)?;
        if life.len() != 8 {
            return Err(BadJobId);
        }
        Ok(Self {
            life: u32::from_str_radix(life, 16).map_err(|_| BadJobId)?,
            number: number.parse().map_err(|_| BadJobId)?,
        })
    }
}

impl TryFrom<String> for JobId {
    type Error = BadJobId;

    fn try_from(text: String) -> Result<Self, BadJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

/// All that is needed to run an action once. The executor adds nothing of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub instance: InstanceId,
    /// The definition that was in force when it was decided.
    pub settings: Arc<InstanceSettings>,
    /// Which action.
    pub action: Action,
    /// What is run, and for how long.
    pub command: Arc<ActionSettings>,
    /// The role it serves.
    pub role: Role,
    /// The role before.
    pub previous_role: Role,
    /// Counts the transitions of this instance, over all restarts.
    pub epoch: u64,
    /// Why it is run.
    pub reason: Reason,
}

/// How a process ended, as the executor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was adopted from an earlier life of the daemon: that it has ended is known, how is not.
    Unseen,
    /// It could not be started.
    NotStarted(String),
    /// systemd did not do what was asked of a unit, for this reason.
    UnitFailed(String),
    /// None of the units runs; their states in words.
    NotRunning(String),
    /// The units neither all run nor are all stopped; their states in words.
    PartlyRunning(String),
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Exit status 0.
    Done,
    /// Another exit status.
    Failed {
        /// The status, 1 to 255.
        code: i32,
    },
    /// A signal that the daemon did not send.
    Killed {
        /// Its number, signal(7).
        signal: i32,
    },
    /// It was ended because it took longer than its timeout.
    TimedOut {
        /// That timeout.
        timeout: Duration,
    },
    /// It was ended because the role had turned against it.
    Cancelled,
    /// It could not be started.
    NotStarted {
        /// What the system said.
        error: String,
    },
    /// It ended while nobody was there to see how.
    Unseen,
    /// systemd did not do what was asked of a unit.
    UnitFailed {
        /// The unit, and what systemd said.
        error: String,
    },
    /// None of the units runs.
    NotRunning {
        /// Their states in words.
        found: String,
    },
    /// The units neither all run nor are all stopped.
    PartlyRunning {
        /// Their states in words.
        found: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed { code } => write!(f, "failed with exit status {code}"),
            Self::Killed { signal } => write!(f, "killed by signal {signal}"),
            Self::TimedOut { timeout } => write!(f, "timed out after {timeout:?}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::NotStarted { error } => write!(f, "could not be started: {error}"),
            Self::Unseen => f.write_str("ended with a status that nobody saw"),
            Self::UnitFailed { error } => write!(f, "failed: {error}"),
            Self::NotRunning { found } | Self::PartlyRunning { found } => {
                write!(f, "found that {found}")
            }
        }
    }
}

impl Outcome {
    /// The outcome as the end of a sentence about the job: `it failed with exit status 1`, `it was cancelled`.
    pub fn predicate(&self) -> String {
        match self {
            Self::Done | Self::Killed { .. } | Self::Cancelled => format!("was {self}"),
            Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::NotStarted { .. }
            | Self::Unseen
            | Self::UnitFailed { .. }
            | Self::NotRunning { .. }
            | Self::PartlyRunning { .. } => self.to_string(),
        }
    }
}

/// is-running could not be asked: the shell did not find or could not execute it (POSIX sh, exit status).
pub const NOT_EXECUTABLE: [i32; 2] = [126, 127];

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastJob {
    /// Its name.
    pub job: JobId,
    /// Which action.
    pub action: Action,
    /// Why it was run.
    pub reason: Reason,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was handed to the executor.
    pub started: Time,
    /// When its process existed.
    pub spawned: Option<Time>,
    /// When it ended.
    pub ended: Time,
}

impl LastJob {
    /// The one that ended last.
    pub(super) fn later<'a>(action: Option<&'a Self>, check: Option<&'a Self>) -> Option<&'a Self> {
        action.into_iter().chain(check).max_by_key(|job| job.ended)
    }

    /// What came of it: `start done`, `is-running said yes`.
    pub fn said(&self) -> String {
        match (self.action, &self.outcome) {
            (Action::IsRunning, Outcome::Done) => "is-running said yes".into(),
            (Action::IsRunning, Outcome::Failed { code }) if !NOT_EXECUTABLE.contains(code) => {
                "is-running said no".into()
            }
            (action, outcome) => format!("{action} {outcome}"),
        }
    }
}

/// A signal for a job's process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobSignal {
    /// SIGTERM: please end.
    Term,
    /// SIGKILL.
    Kill,
}

impl JobSignal {
    /// The signal's name, signal(7).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }
}

/// Who carries a job out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A process of its own.
    #[default]
    Process,
    /// systemd, which is asked to; the daemon has no process for it.
    Systemd,
}

/// What is known of the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knowledge {
    /// It runs.
    Running,
    /// It does not run.
    Stopped,
    /// It may run: an action failed, was cut short, or ended unseen.
    Maybe,
    /// It was seen to be neither: some of its units run, or one is between its states. On the MASTER it is yet to
    /// be started, on the BACKUP yet to be stopped.
    Partly,
}

impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Maybe => "maybe running",
            Self::Partly => "partly running",
        })
    }
}

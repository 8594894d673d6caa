//! Why: every role, job and idleness has a reason from here, and every reason is a sentence. Pure data.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::job::{Action, Knowledge, Outcome, Role};
use super::kernel::ShortName;
use super::time::Time;

/// Why the sources say the role that they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// No complete dump of the kernel's addresses has been read yet.
    NotLookedYet,
    /// The addresses could neither be followed nor dumped for too long.
    KernelSilent,
    /// The interface of the file has not existed since the daemon began.
    NicNeverSeen {
        /// Its name in the file.
        nic: String,
    },
    /// The interface of the file is not there (any more, or the file calls this BACKUP).
    NicAbsent {
        /// Its name in the file.
        nic: String,
    },
    /// The addresses that make a MASTER are there.
    VipPresent {
        /// The first of them.
        address: IpAddr,
        /// The name of the link that carries it.
        link: ShortName,
    },
    /// An address that is needed is not there.
    VipAbsent {
        /// The first that is missing.
        address: IpAddr,
    },
    /// An address that is needed is on this node, but on no interface of the name in the file.
    VipElsewhere {
        /// That address.
        address: IpAddr,
        /// The name.
        nic: String,
    },
    /// Any one of several addresses would do, and none is there.
    NoVipPresent {
        /// The first of them.
        addresses: Vec<IpAddr>,
        /// How many more there are.
        more: usize,
    },
    /// An address that is needed is there, but not usable (IPv6 `tentative` or `dadfailed`).
    VipUnusable {
        /// That address.
        address: IpAddr,
    },
}

impl Cause {
    /// The role that the source says by it.
    pub fn says(&self) -> Role {
        match self {
            Self::NotLookedYet | Self::KernelSilent | Self::NicNeverSeen { .. } => Role::Unknown,
            Self::VipPresent { .. } => Role::Master,
            Self::NicAbsent { .. }
            | Self::VipAbsent { .. }
            | Self::VipElsewhere { .. }
            | Self::NoVipPresent { .. }
            | Self::VipUnusable { .. } => Role::Backup,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedYet => f.write_str("the kernel's addresses have not been read yet"),
            Self::KernelSilent => f.write_str("the kernel's addresses can no longer be read"),
            Self::NicNeverSeen { nic } => write!(f, "no interface {nic} has been seen yet"),
            Self::NicAbsent { nic } => write!(f, "there is no interface {nic}"),
            Self::VipPresent { address, link } => write!(f, "{address} is on {}", link.as_str()),
            Self::VipAbsent { address } => write!(f, "{address} is not here"),
            Self::VipElsewhere { address, nic } => {
                write!(f, "{address} is on this node, but not on {nic}")
            }
            Self::NoVipPresent { addresses, more } => none_of(addresses, *more, f),
            Self::VipUnusable { address } => {
                write!(
                    f,
                    "{address} is tentative or failed duplicate address detection"
                )
            }
        }
    }
}

/// `neither 10.0.0.1 nor 10.0.0.2 is here`, `none of 10.0.0.1, 10.0.0.2, 10.0.0.3 and 7 more is here`.
fn none_of(addresses: &[IpAddr], more: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let ([one, other], 0) = (addresses, more) {
        return write!(f, "neither {one} nor {other} is here");
    }
    f.write_str("none of ")?;
    for (index, address) in addresses.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{address}")?;
    }
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    f.write_str(" is here")
}

/// Why a job is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The instance has just been taken up, at start-up or by a reload.
    TakenUp,
    /// The role has changed to MASTER.
    RoleGained,
    /// The role has changed to BACKUP.
    RoleLost,
    /// The service was found stopped on the MASTER.
    FoundStopped,
    /// The service was found running on the BACKUP.
    FoundRunning,
    /// An action has ended, and is-running says what came of it.
    Verify,
    /// An attempt failed; this is the next.
    Retry,
    /// The regular audit.
    Audit,
    /// An operator asked for an audit.
    AuditWanted,
    /// A unit of the service was seen to change its state.
    UnitChanged,
    /// The role has been UNKNOWN for longer than `unknown-stop-after`.
    UnknownTooLong,
    /// A job of an earlier life of the daemon ended unseen.
    Adopted,
    /// The daemon is ending and the file says to stop the service then.
    DaemonEnds,
    /// A reload removed the instance and the file said to stop the service then.
    InstanceRemoved,
}

impl Reason {
    /// The reason as a clause.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TakenUp => "the instance was taken up",
            Self::RoleGained => "the role was gained",
            Self::RoleLost => "the role was lost",
            Self::FoundStopped => "it was found stopped on the MASTER",
            Self::FoundRunning => "it was found running on the BACKUP",
            Self::Verify => "the action before is verified",
            Self::Retry => "the attempt before failed",
            Self::Audit => "the audit is due",
            Self::AuditWanted => "an operator asked for an audit",
            Self::UnitChanged => "a unit has changed its state",
            Self::UnknownTooLong => "the role has been UNKNOWN for too long",
            Self::Adopted => "a job of the daemon's earlier life ended unseen",
            Self::DaemonEnds => "the daemon ends",
            Self::InstanceRemoved => "the instance was removed from the configuration",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an instance does next, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "next")]
pub enum Next {
    /// Nothing: what runs is what the role wants.
    Content {
        /// The role.
        role: Role,
        /// What is known of the service.
        knowledge: Knowledge,
    },
    /// Nothing while the role is UNKNOWN: what runs is held.
    HeldByUnknown {
        /// When it will be stopped after all (`unknown-stop-after`).
        stop_at: Option<Time>,
    },
    /// A gain of the role is held back until it has been stable.
    GainHeld {
        /// When it is believed if nothing changes.
        until: Time,
    },
    /// A loss of the role is held back, as the file says (`hold-on-loss`).
    LossHeld {
        /// When it is believed if nothing changes.
        until: Time,
    },
    /// A job is running, and after it the state is looked at again.
    JobRuns {
        /// When it is told to end.
        deadline: Time,
    },
    /// A process is there that may be a job of an earlier life: nothing is run beside it.
    JobPresumed {
        /// When it is let go of.
        until: Time,
    },
    /// A job is running that the role has turned against.
    JobOverdue {
        /// When it is cancelled.
        cancel_at: Time,
    },
    /// A job was told to end and has not yet.
    JobEnding {
        /// When its process group is killed; `None`: it has been.
        kill_at: Option<Time>,
    },
    /// A start waits for one of the `starts-at-once` places.
    WaitsForPlace {
        /// How many starts wait before it at most.
        before: u32,
    },
    /// The last attempt failed.
    RetryAt {
        /// When the next is made.
        at: Time,
        /// Which action that is.
        action: Action,
        /// Failures in a row.
        failures: u32,
        /// How the last one ended; `None`: is-running disagreed with a successful action.
        outcome: Option<Outcome>,
    },
    /// The daemon is ending: no new action begins.
    Ending,
}

/// Why an action is tried again, as a clause; without an outcome is-running disagreed with a successful action.
pub fn why_again(action: Action, outcome: Option<&Outcome>) -> String {
    match (action, outcome) {
        (_, Some(outcome)) => format!("it {}", outcome.predicate()),
        (Action::Start, None) => "is-running does not find it running".into(),
        (Action::Stop | Action::IsRunning, None) => "is-running finds it still running".into(),
    }
}

/// How many failures there were in a row, in parentheses; nothing of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InARow(pub u32);

impl fmt::Display for InARow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            failures => write!(f, " ({failures} failures in a row)"),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { role, knowledge } => {
                write!(
                    f,
                    "nothing: the role is {role} and the service is {knowledge}"
                )
            }
            Self::HeldByUnknown { stop_at: None } => {
                f.write_str("nothing: the role is UNKNOWN, so what runs is held")
            }
            Self::HeldByUnknown { stop_at: Some(_) } => {
                f.write_str("stop, unless the role becomes known first")
            }
            Self::GainHeld { .. } => {
                f.write_str("MASTER, once the role has been stable for the debounce window")
            }
            Self::LossHeld { .. } => f.write_str("BACKUP, once hold-on-loss is over"),
            Self::JobRuns { .. } => f.write_str("look again when the running job ends"),
            Self::JobPresumed { .. } => f.write_str(
                "look again when the process ends that may be a job of an earlier life, or when its time is up",
            ),
            Self::JobOverdue { .. } => {
                f.write_str("cancel the running job, because the role has turned against it")
            }
            Self::JobEnding { kill_at: Some(_) } => {
                f.write_str("kill the running job, which was told to end")
            }
            Self::JobEnding { kill_at: None } => {
                f.write_str("look again when the killed job is gone")
            }
            Self::WaitsForPlace { before } => {
                write!(
                    f,
                    "start, when one of the places for starts is free (at most {before} before it)"
                )
            }
            Self::RetryAt {
                action,
                failures,
                outcome,
                ..
            } => {
                let why = why_again(*action, outcome.as_ref());
                write!(f, "{action} again, because {why}{}", InARow(*failures))
            }
            Self::Ending => f.write_str("nothing: the daemon is ending"),
        }
    }
}

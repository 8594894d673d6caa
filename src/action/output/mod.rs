//! What jobs print: one regular file for each job, written by the job and read by the disk thread.
//!
//! Why a file, and never a pipe or a socket:
//! - Nobody is blocked. A pipe that is not read fast enough stops the script, and with it the failover.
//! - Nobody is killed. What a script leaves in the background may print for years; with a pipe it would get
//!   SIGPIPE at its first line after the end of the daemon that held the other end.
//! - It outlives the daemon: the next life reads on where this one stopped.
//!
//! It stays small although it only grows: the reader punches a hole behind itself (fallocate(2)), so the disk
//! holds what is not yet read. While no daemon runs it grows by what is written; that is the price.
//!
//! The writer's open file description holds `flock(LOCK_SH)` from before the spawn. It is shared by every
//! process that inherits the descriptor and goes with the last of them, so a `LOCK_EX` that succeeds tells, in
//! any life of the daemon, that none of them is left.
//!
//! The file is made ahead of the job and gets its name right after the spawn, so that neither open(2) nor
//! rename(2) stands between the order and the exec. It has some room from then on, and where the disk has none the
//! output goes nowhere: a full disk fails no script that only speaks.

mod files;
mod follower;
mod held;
mod holders;
mod lines;
mod room;
mod spare;
mod stage;
mod unsaid;
mod watch;

use super::environment::{
    ACTION_VARIABLE, EPOCH_VARIABLE, INSTANCE_VARIABLE, JOB_VARIABLE, ROLE_VARIABLE,
};
use crate::machine::job::{Action, Job, JobId, Role};

pub(super) use spare::{LostOutputs, OutputFate, Spare, make_room};

pub use follower::{OutputCounters, OutputError, OutputFollower, OutputLine};
pub use held::HasStarted;
pub use room::LogRoom;

/// The name of an output file, `INSTANCE.ACTION.ROLE-EPOCH.JOB`: all that is needed to label its lines, in this
/// life of the daemon and the next. At most 134 bytes, of the 255 that a name may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutputName {
    pub(super) instance: String,
    pub(super) action: Action,
    /// The role and the epoch that the job serves.
    pub(super) serves: Option<(Role, u64)>,
    pub(super) job: JobId,
}

impl OutputName {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            instance: job.settings.name.to_string(),
            action: job.action,
            serves: Some((job.role, job.epoch)),
            job: job.id,
        }
    }

    /// Read from the right, because only the instance's name may have dots. Without ROLE-EPOCH it is the name
    /// that an older daemon gave; what that left running goes on printing.
    fn parse(name: &str) -> Option<Self> {
        let (rest, job) = name.rsplit_once('.')?;
        let (before, last) = rest.rsplit_once('.')?;
        let ((instance, action), serves) = match parse_serves(last) {
            Some(serves) => (before.rsplit_once('.')?, Some(serves)),
            None => ((before, last), None),
        };
        let action = [Action::Start, Action::Stop, Action::IsRunning]
            .into_iter()
            .find(|known| known.as_str() == action)?;
        if instance.is_empty() {
            return None;
        }
        Some(Self {
            instance: instance.to_owned(),
            action,
            serves,
            job: job.parse().ok()?,
        })
    }

    /// The name of the job that a process with this environment belongs to.
    pub(super) fn among(variables: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value)
        };
        let [instance, action, job] = [INSTANCE_VARIABLE, ACTION_VARIABLE, JOB_VARIABLE].map(get);
        let [role, epoch] = [ROLE_VARIABLE, EPOCH_VARIABLE].map(get);
        Self::parse(&format!(
            "{}.{}.{}-{}.{}",
            instance?, action?, role?, epoch?, job?
        ))
    }

    pub(super) fn file_name(&self) -> String {
        let Self {
            instance,
            action,
            serves,
            job,
        } = self;
        match serves {
            Some((role, epoch)) => format!("{instance}.{action}.{role}-{epoch}.{job}"),
            None => format!("{instance}.{action}.{job}"),
        }
    }
}

/// `ROLE-EPOCH`; no action is written so.
fn parse_serves(text: &str) -> Option<(Role, u64)> {
    let (role, epoch) = text.split_once('-')?;
    let role = [Role::Unknown, Role::Backup, Role::Master]
        .into_iter()
        .find(|known| known.as_str() == role)?;
    Some((role, epoch.parse().ok()?))
}

#[cfg(test)]
mod tests;

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
//! The file is made under its final name just before the spawn. One made ahead would have to be renamed, and
//! rename(2) takes as long as open(2) does; and a crash between the two would leave a file without a name.

mod files;
mod follower;
mod holders;
mod lines;
mod spare;
mod stage;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::machine::job::{Action, Job, JobId};

pub(super) use spare::{Spare, make_room};

pub use follower::{OutputCounters, OutputError, OutputFollower, OutputLine};

/// How often a file is made anew when the follower unlinks it between its making and its locking.
const CREATE_ATTEMPTS: u32 = 3;

/// The name of an output file, `INSTANCE.ACTION.JOB`: all that is needed to label its lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutputName {
    instance: String,
    action: Action,
    job: JobId,
}

impl OutputName {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            instance: job.settings.name.to_string(),
            action: job.action,
            job: job.id,
        }
    }

    /// Read from the right, because only the instance's name may have dots.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(3, '.');
        let job = parts.next()?.parse().ok()?;
        let action = parts.next()?;
        let action = [Action::Start, Action::Stop, Action::IsRunning]
            .into_iter()
            .find(|known| known.as_str() == action)?;
        let instance = parts.next().filter(|instance| !instance.is_empty())?;
        Some(Self {
            instance: instance.to_owned(),
            action,
            job,
        })
    }

    fn file_name(&self) -> String {
        format!("{}.{}.{}", self.instance, self.action, self.job)
    }

    /// Makes the file and locks it for its writers. It is opened for appending, so that both streams, and all
    /// processes, write behind one another, and so that the reader may truncate it.
    pub(super) fn create(&self, directory: &Path) -> io::Result<File> {
        let path = directory.join(self.file_name());
        for _ in 0..CREATE_ATTEMPTS {
            let file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            // The follower may find the file before it is locked and take it for one that everybody has
            // left. Its own lock does not last, and what it has unlinked has no links.
            let locked = flock(&file, FlockOperation::NonBlockingLockShared);
            if locked.is_ok() && file.metadata()?.nlink() > 0 {
                return Ok(file);
            }
            let _ = fs::remove_file(&path);
        }
        Err(io::Error::from(io::ErrorKind::WouldBlock))
    }

    /// Removes the file of a job that never ran.
    pub(super) fn remove(&self, directory: &Path) {
        // What stays behind is found empty by the follower, which tries again.
        let _ = fs::remove_file(directory.join(self.file_name()));
    }
}

#[cfg(test)]
mod tests;

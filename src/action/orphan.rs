//! Finds the process of a job that an earlier life of the daemon began. Called at start-up, before the reactor
//! runs; reads `/proc` and signals nothing.

use std::os::fd::OwnedFd;

use super::environment::{JOB_VARIABLE, variables_of};
use super::process::{ProcessStart, ProcessStat, open_pidfd};
use crate::machine::job::JobId;
use crate::processes;

/// What is written down of a job that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanRecord {
    /// Its name.
    pub job: JobId,
    /// Its process; `None` where the daemon died between the intent and the record of the pid.
    pub process: Option<(u32, ProcessStart)>,
}

/// A job's main process that is still there.
#[derive(Debug)]
pub struct Orphan {
    /// Its number, which is its group's too.
    pub pid: u32,
    /// When it began.
    pub start: ProcessStart,
    /// Becomes readable when it ends. `None` when descriptors were scarce (EMFILE).
    pub pidfd: Option<OwnedFd>,
}

/// Finds the job's main process if it is still there.
///
/// A recorded process is either there, with the same start, or it has ended: then no other is looked for,
/// because what it left in the background has the same environment and is not the job. Without a record every
/// process that we may read is asked for `KEEPSTART_JOB`. A spawn that hung in its exec when the daemon died is
/// not found: until the exec it has no environment of its own.
pub fn find_orphan(record: &OrphanRecord) -> Option<Orphan> {
    let (pid, start) = match record.process {
        Some(process) => process,
        None => find_by_environment(record.job)?,
    };
    // Opened before the look: a process that is the right one after it was so when it was opened, and whoever
    // gets its number later is not taken for it.
    let pidfd = open_pidfd(pid);
    ProcessStat::read(pid)
        .is_ok_and(|stat| !stat.ended && stat.start == start)
        .then_some(Orphan { pid, start, pidfd })
}

/// One pass over `/proc`; of most processes only `stat` is read. The main process of a job leads its group, but
/// no session: that tells it from a daemon that its script has made. Of several the oldest is the job.
fn find_by_environment(job: JobId) -> Option<(u32, ProcessStart)> {
    let wanted = (JOB_VARIABLE.to_owned(), job.to_string());
    processes::all()
        .ok()?
        .filter_map(|pid| Some((pid, ProcessStat::read(pid).ok()?)))
        .filter(|(pid, stat)| !stat.ended && stat.group == *pid && stat.session != *pid)
        .filter(|(pid, _)| variables_of(*pid).is_ok_and(|all| all.contains(&wanted)))
        .map(|(pid, stat)| (pid, stat.start))
        .min_by_key(|(pid, start)| (*start, *pid))
}

#[cfg(test)]
mod tests;

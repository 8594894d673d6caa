//! Finds the process of a job that an earlier life of the daemon began. Called at start-up, before the reactor
//! runs; reads `/proc` and signals nothing.

use std::fs;
use std::io::{self, Read};

use super::environment::JOB_VARIABLE;
use super::process::{ProcessStart, ProcessStat};
use crate::machine::job::JobId;

/// The most that is read of a process's environment, in bytes. The kernel allows an environment and arguments
/// of some megabytes together (execve(2)); ours stand behind whatever sorts before `KEEPSTART_`.
const ENVIRONMENT_MAX: u64 = 4 * 1024 * 1024;

/// What is written down of a job that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanRecord {
    /// Its name.
    pub job: JobId,
    /// Its process; `None` where the daemon died between the intent and the record of the pid.
    pub process: Option<(u32, ProcessStart)>,
}

/// A job's main process that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Its number, which is its group's too.
    pub pid: u32,
    /// When it began.
    pub start: ProcessStart,
}

/// Finds the job's main process if it is still there.
///
/// A recorded process is either there, with the same start, or it has ended: then no other is looked for,
/// because what it left in the background has the same environment and is not the job. Without a record every
/// process that we may read is asked for `KEEPSTART_JOB`. A spawn that hung in its exec when the daemon died is
/// not found: until the exec it has no environment of its own.
pub fn find_orphan(record: &OrphanRecord) -> Option<Orphan> {
    match record.process {
        Some((pid, start)) => ProcessStat::read(pid)
            .is_ok_and(|stat| !stat.ended && stat.start == start)
            .then_some(Orphan { pid, start }),
        None => find_by_environment(record.job),
    }
}

/// One pass over `/proc`; of most processes only `stat` is read. The main process of a job leads its group, but
/// no session: that tells it from a daemon that its script has made. Of several the oldest is the job.
fn find_by_environment(job: JobId) -> Option<Orphan> {
    let wanted = format!("{JOB_VARIABLE}={job}");
    let processes = fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, ProcessStat::read(pid).ok()?)))
        .filter(|(pid, stat)| !stat.ended && stat.group == *pid && stat.session != *pid)
        .filter(|(pid, _)| has_variable(*pid, wanted.as_bytes()).unwrap_or(false))
        .map(|(pid, stat)| Orphan {
            pid,
            start: stat.start,
        })
        .min_by_key(|orphan| (orphan.start, orphan.pid))
}

fn has_variable(pid: u32, wanted: &[u8]) -> io::Result<bool> {
    let mut environment = Vec::new();
    fs::File::open(format!("/proc/{pid}/environ"))?
        .take(ENVIRONMENT_MAX)
        .read_to_end(&mut environment)?;
    Ok(environment
        .split(|&byte| byte == 0)
        .any(|variable| variable == wanted))
}

#[cfg(test)]
mod tests;

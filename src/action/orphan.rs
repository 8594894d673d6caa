//! Finds the processes of jobs that an earlier life of the daemon began. Called at start-up, before the reactor
//! runs; reads `/proc` and signals nothing.
//!
//! A recorded process is either there, with the same start, or it has ended. Without a record of it the environment
//! tells, and that is handed down to whatever a script starts, so it is read with these questions:
//!
//! | question | what it keeps out |
//! |---|---|
//! | does it lead its group, and no session? | children in the script's group; daemons that it has made (`setsid`) |
//! | is `KEEPSTART_CONFIG` this daemon's? | scripts of a daemon of another file with an instance of the same name |
//! | same pid namespace and same root? | those of a container, whose file may have the same path |
//! | does it belong to the daemon's user, or the action's? | whoever else sets such an environment |
//! | is it the oldest of its job? | what the script itself began in groups of their own (`set -m`) |
//! | is its job the newest of the instance? | what earlier jobs have left: an instance has one job at a time |
//!
//! What is left is the script, or, where that has ended, a service which it began under job control. These two cannot
//! be told apart: they have the same environment, session, parent, output and perhaps program, and what only the script
//! has, its number, is what the record has lost. So who gets it from here may wait for it, and must not signal it. A
//! spawn that hung in its exec when the daemon died is not found: until the exec it has no environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use super::environment::{DaemonName, variables_of};
use super::output::OutputName;
use super::process::{ProcessStart, ProcessStat, open_pidfd, user_of};
use crate::machine::job::{Action, JobId, Role};
use crate::machine::settings::InstanceName;
use crate::processes;

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

/// The process of this number if it is still the one that began then.
pub fn find_process(pid: u32, start: ProcessStart) -> Option<Orphan> {
    // Opened before the look: a process that is the right one after it was so when it was opened, and whoever
    // gets its number later is not taken for it.
    let pidfd = open_pidfd(pid);
    ProcessStat::read(pid)
        .is_ok_and(|stat| !stat.ended && stat.start == start)
        .then_some(Orphan { pid, start, pidfd })
}

/// A process that says of itself that it is a job of this daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The job's name.
    pub job: JobId,
    /// Whose it is.
    pub instance: InstanceName,
    /// Which action.
    pub action: Action,
    /// The role that it serves, and the epoch.
    pub serves: (Role, u64),
    /// The process.
    pub pid: u32,
    /// When that began.
    pub start: ProcessStart,
}

/// The oldest process of each job.
#[derive(Debug, Default)]
pub struct Candidates(BTreeMap<JobId, Candidate>);

impl Candidates {
    /// Goes through all processes once; of most only `stat` is read. `may_own` says whether a job of this instance and
    /// action may run as this user.
    pub fn look(daemon: &DaemonName, may_own: impl Fn(&InstanceName, Action, u32) -> bool) -> Self {
        let mut oldest = BTreeMap::<JobId, Candidate>::new();
        let all = processes::all().into_iter().flatten();
        for found in all.filter_map(|pid| candidate(pid, daemon)) {
            let user = user_of(found.pid);
            if !user.is_ok_and(|user| may_own(&found.instance, found.action, user)) {
                continue;
            }
            let age = |one: &Candidate| (one.start, one.pid);
            match oldest.get(&found.job) {
                Some(known) if age(known) <= age(&found) => {}
                Some(_) | None => drop(oldest.insert(found.job, found)),
            }
        }
        Self(oldest)
    }

    /// That of a job.
    pub fn of(&self, job: JobId) -> Option<&Candidate> {
        self.0.get(&job)
    }

    /// That of the newest job of each instance.
    pub fn newest(&self) -> impl Iterator<Item = &Candidate> {
        let mut newest = BTreeMap::<&InstanceName, &Candidate>::new();
        for one in self.0.values() {
            let known = newest.entry(&one.instance).or_insert(one);
            if known.start < one.start {
                *known = one;
            }
        }
        newest.into_values()
    }
}

fn candidate(pid: u32, daemon: &DaemonName) -> Option<Candidate> {
    let stat = ProcessStat::read(pid).ok()?;
    if stat.ended || stat.group != pid || stat.session == pid {
        return None;
    }
    let variables = variables_of(pid).ok()?;
    if !daemon.is_among(&variables) || !is_in_our_world(pid) {
        return None;
    }
    let OutputName {
        instance,
        action,
        serves,
        job,
    } = OutputName::among(&variables)?;
    Some(Candidate {
        job,
        instance: InstanceName::new(&instance).ok()?,
        action,
        serves: serves?,
        pid,
        start: stat.start,
    })
}

/// Whether a path means the same to a process as to this one, and it was not made in a container.
fn is_in_our_world(pid: u32) -> bool {
    let is_same = |what: &str| {
        let identity = |whose: &str| {
            let found = fs::metadata(format!("/proc/{whose}/{what}")).ok()?;
            Some((found.dev(), found.ino()))
        };
        identity(&pid.to_string()).is_some_and(|theirs| identity("self") == Some(theirs))
    };
    is_same("ns/pid") && is_same("root")
}

#[cfg(test)]
mod tests;

//! Processes as the kernel signals them: process groups, ends. Called by the executor, the spawners and the search for
//! orphans; no call in here waits.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    test_kill_process, test_kill_process_group, waitid,
};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::SIGCHLD;

use crate::machine::job::{Exit, JobSignal};
use crate::processes;

pub use crate::processes::ProcessStart;
pub(super) use crate::processes::ProcessStat;

/// When PID 1 began; `None` where it may not be looked at (`hidepid`, proc(5)).
pub fn init_start() -> Option<ProcessStart> {
    ProcessStat::read(1).ok().map(|stat| stat.start)
}

/// For how long a process that began then has been there. The time in which the system was suspended counts too.
pub fn age_of(start: ProcessStart) -> Duration {
    let since_boot = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    let ticks_per_second = clock_ticks_per_second().max(1);
    let began = Duration::from_secs(start.0 / ticks_per_second)
        + Duration::from_secs(start.0 % ticks_per_second)
            / u32::try_from(ticks_per_second).unwrap_or(u32::MAX);
    since_boot.saturating_sub(began)
}

/// The user of a process: the real one, which a program that is set-user-ID keeps (`/proc/PID/status`, proc(5)).
pub(super) fn user_of(pid: u32) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next())
        .and_then(|uid| uid.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Whose child a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// Ours: it stays a zombie, and its number its own, until it is reaped here.
    Child,
    /// Somebody else's: how it ends is told to its parent, not to us.
    Stranger,
}

/// How the process has ended; `None` while it runs. Reaps a child, so it must not be asked again.
pub(super) fn take_exit(pid: Pid, kinship: Kinship) -> Option<Exit> {
    match kinship {
        Kinship::Child => match waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        ) {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unseen,
            }),
            // ECHILD: something else in this process has reaped it. That it has ended is all we know.
            Err(_) => Some(Exit::Unseen),
        },
        Kinship::Stranger => is_gone(pid).then_some(Exit::Unseen),
    }
}

/// Whether nothing has the number any more. A process that has ended and is not reaped is not gone.
pub(super) fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(Errno::SRCH)
}

/// A descriptor that becomes readable when the process ends (`pidfd_open(2)`); `None` where there is no such process
/// or descriptors are scarce (EMFILE). The caller knows whose the number is.
pub(super) fn open_pidfd(pid: u32) -> Option<OwnedFd> {
    to_pid(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
}

/// Whether the process of this pidfd has ended, reaped or not (`pidfd_open(2)`: it is then readable).
pub(super) fn has_ended(pidfd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether a process group has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// At least one, perhaps a zombie, perhaps one that may not be signalled by us.
    Populated,
    /// None: the number may be given to another process from now on.
    Empty,
}

/// Asks without sending anything.
pub(super) fn group_state(group: Pid) -> Group {
    match test_kill_process_group(group) {
        Err(Errno::SRCH) => Group::Empty,
        Ok(()) | Err(_) => Group::Populated,
    }
}

/// Those of the groups that have a zombie and nobody alive. One pass over `/proc`, of which it reads each
/// process's `stat`. A group of which nothing can be seen (`hidepid`, proc(5)) is not one of them.
pub(super) fn groups_of_zombies(groups: Vec<Pid>) -> Vec<Pid> {
    let Ok(processes) = processes::all() else {
        return Vec::new();
    };
    let (mut dead, mut alive) = (BTreeSet::new(), BTreeSet::new());
    for stat in processes.filter_map(|pid| ProcessStat::read(pid).ok()) {
        let found = if stat.ended { &mut dead } else { &mut alive };
        found.insert(stat.group);
    }
    let only_dead = |group: &Pid| {
        let group = group.as_raw_nonzero().get().cast_unsigned();
        dead.contains(&group) && !alive.contains(&group)
    };
    groups.into_iter().filter(only_dead).collect()
}

/// Signals every member. A group that is already empty is no error.
pub(super) fn signal_group(group: Pid, signal: JobSignal) -> Result<(), Errno> {
    let signal = match signal {
        JobSignal::Term => Signal::TERM,
        JobSignal::Kill => Signal::KILL,
    };
    match kill_process_group(group, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reaps members of the group that are children of this process, as they become where the daemon is PID 1 of
/// a container or a child subreaper: unreaped, they would keep the group populated for ever.
pub(super) fn reap_inherited(group: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(group)), options) {}
}

/// Sees to it that children stay until they are reaped.
///
/// A parent that ignored SIGCHLD hands that down through execve(2), and then the kernel forgets how children
/// ended (waitpid(2), notes). A handler of any kind ends the ignoring; one is set only in that case, because
/// it interrupts system calls.
pub(super) fn keep_children() -> io::Result<()> {
    let ignored = fs::read_to_string("/proc/self/status")?
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    if ignored & (1 << (SIGCHLD - 1)) != 0 {
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
    }
    Ok(())
}

/// A pid of the kernel as rustix wants it.
pub(super) fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// What an error says, without the number that Rust appends: the texts stand in logs that people compare.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;

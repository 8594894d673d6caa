//! Who holds a lock that could not be had. Reads `/proc`, at the start of a daemon or of a command only, and
//! signals nobody.
//!
//! The lock belongs to the open file, and a process that is being made shares its parent's until it has executed
//! its program (fork(2), flock(2)). Where that hangs and the daemon is killed meanwhile, the lock outlives the
//! daemon, and so it should: the script may begin at any moment, and a new daemon would run it a second time
//! beside itself. So the lock is not broken; people are told which process it is.
//!
//! People are told to kill it, so only what the kernel says counts: who holds a lock and who took it stands in
//! `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5); the number is translated into the reader's PID namespace by
//! `locks_translate_pid` of `fs/locks.c`). Where anything is in doubt, the holder is a daemon.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::processes::{self, ProcessStat};

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A daemon, or who is taken for one. `None`: it has not written its number yet.
    Daemon(Option<u32>),
    /// A process that an ended daemon was making.
    Unborn {
        /// The daemon that has ended.
        daemon: u32,
        /// The process.
        process: u32,
    },
}

impl Holder {
    /// Finds out who holds the file in which the number `written` stands. The number is a hint where to look
    /// first, and what is told where nothing more can be found out: a daemon that has just taken the lock has
    /// not written its own yet, and one in another PID namespace writes one that means another process here.
    pub(super) fn of(path: &Path, written: Option<u32>) -> Self {
        let Ok(file) = LockedFile::at(path) else {
            return Self::Daemon(written);
        };
        let all = processes::all().into_iter().flatten();
        let found = written.into_iter().chain(all).find_map(|process| {
            let share = file.share_of(process).ok()??;
            Some((process, share))
        });
        let Some((process, share)) = found else {
            return Self::Daemon(written);
        };
        let Some(taker) = share.taker.or(written) else {
            return Self::Daemon(None);
        };
        let inherits = taker != process && share.until_exec == UntilExec::Yes;
        if inherits && !file.may_be_held_by(taker) {
            Self::Unborn {
                daemon: taker,
                process,
            }
        } else {
            Self::Daemon(Some(taker))
        }
    }
}

/// As the end of a sentence that begins with what could not be done.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(None) => write!(f, "already running"),
            Self::Daemon(Some(pid)) => write!(f, "already running with pid {pid}"),
            Self::Unborn { daemon, process } => write!(
                f,
                "the daemon with pid {daemon} has ended, but process {process}, of which it was making a script, \
                 still hangs in its exec and holds the lock: the script's file is under a write lease, or on a \
                 file server that does not answer; wait for that, or end it with `kill -9 {process}`"
            ),
        }
    }
}

/// Whether a descriptor is closed by execve(2), as all of a daemon's are: then who did not open the file, and has
/// it, is one that has not executed its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UntilExec {
    Yes,
    No,
}

/// A process's part in a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// Who took the lock: this process, or one whose open files it got. `None` where the kernel cannot tell any
    /// more, or not in this PID namespace.
    taker: Option<u32>,
    until_exec: UntilExec,
}

/// A file that is locked, as `/proc` names it.
struct LockedFile<'a> {
    path: &'a Path,
    /// `MAJOR:MINOR:INODE`, as in /proc/locks. On a file system that shows programs another device than the
    /// kernel's own (btrfs), no holder is found.
    identity: String,
}

impl<'a> LockedFile<'a> {
    fn at(path: &'a Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let (device, inode) = (found.dev(), found.ino());
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let identity = format!("{major:02x}:{minor:02x}:{inode}");
        Ok(Self { path, identity })
    }

    /// A process's part in the lock; fails where there is no such process or it may not be looked into. The links
    /// are read and not followed: what they name may be on a file server that does not answer. Only their last
    /// name is compared, because another mount namespace has the file in another place.
    fn share_of(&self, pid: u32) -> io::Result<Option<Share>> {
        let name = self.path.file_name();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
        let of_that_name = descriptors
            .filter(|one| fs::read_link(one.path()).is_ok_and(|target| target.file_name() == name));
        let mut shares = of_that_name.filter_map(|one| {
            let number = one.file_name();
            let text =
                fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_str()?)).ok()?;
            self.share_in(&text)
        });
        Ok(shares.next())
    }

    /// What an fdinfo says of the lock.
    fn share_in(&self, fdinfo: &str) -> Option<Share> {
        let taker = fdinfo.lines().find_map(|line| {
            // `lock: 1: FLOCK ADVISORY WRITE 4711 08:01:815 0 EOF`
            let fields: Vec<_> = line.strip_prefix("lock:")?.split_whitespace().collect();
            match fields[..] {
                [_, "FLOCK", _, "WRITE", taker, identity, ..] if identity == self.identity => {
                    taker.parse::<u32>().ok()
                }
                _ => None,
            }
        })?;
        let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
        let until_exec = match flags {
            Some(flags) if flags & OFlags::CLOEXEC.bits() != 0 => UntilExec::Yes,
            Some(_) | None => UntilExec::No,
        };
        Some(Share {
            taker: Some(taker).filter(|taker| *taker != 0),
            until_exec,
        })
    }

    /// Whether the process holds the lock, as far as can be seen.
    fn may_be_held_by(&self, pid: u32) -> bool {
        match self.share_of(pid) {
            Ok(share) => share.is_some(),
            Err(_) => is_alive(pid),
        }
    }
}

/// When a process began, in clock ticks after the boot; `None`: it is not there, or hidden.
pub(in crate::state) fn start_of(pid: u32) -> Option<u64> {
    ProcessStat::read(pid).ok().map(|stat| stat.start.0)
}

/// Whether the process has not ended: one that only waits for its parent to look holds nothing.
fn is_alive(pid: u32) -> bool {
    ProcessStat::read(pid).is_ok_and(|stat| !stat.ended)
}

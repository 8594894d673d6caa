//! Who holds a lock that could not be had. Reads `/proc`, at the start of a daemon or of a command only, and
//! signals nobody.
//!
//! The lock belongs to the open file, and a process that is being made shares its parent's until it has executed
//! its program (fork(2), flock(2)). Where that hangs and the daemon is killed meanwhile, the lock outlives the
//! daemon, and so it should: the script may begin at any moment, and a new daemon would run it a second time
//! beside itself. So the lock is not broken; people are told which process it is.

use std::fmt;
use std::fs;
use std::path::Path;

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A daemon. `None`: it has not written its number yet.
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
    /// Finds out who holds the file in which the number `written` stands. Processes that may not be looked into
    /// are taken for what the file says they are.
    pub(super) fn of(path: &Path, written: Option<u32>) -> Self {
        let Some(daemon) = written else {
            return Self::Daemon(None);
        };
        let Ok(path) = fs::canonicalize(path) else {
            return Self::Daemon(written);
        };
        if has_open(daemon, &path).unwrap_or_else(|| is_alive(daemon)) {
            return Self::Daemon(written);
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id())
            .find(|pid| has_open(*pid, &path) == Some(true))
            .map_or(Self::Daemon(written), |process| Self::Unborn {
                daemon,
                process,
            })
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

/// Whether the process has the file open; `None` where there is no such process or it may not be looked into.
/// The links are read and not followed: what they name may be on a file server that does not answer.
fn has_open(pid: u32, path: &Path) -> Option<bool> {
    let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(descriptors.any(|one| fs::read_link(one.path()).is_ok_and(|target| target == path)))
}

/// Whether the process has not ended: one that only waits for its parent to look holds nothing (proc(5), `stat`).
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, fields)| fields);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

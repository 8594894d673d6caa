//! The daemons that ordinary users run, as root finds them: root's commands look here last. Runs on the thread of a
//! command, once for each connection; asks nobody and sends nothing.
//!
//! What these users have written is a claim. It leads root to a process only where the kernel says the same: the
//! entry is in a directory of the user's that nobody else can write, the lock beside it is held, by the process that
//! it names, which is the user's and began when it says. Who connects has the last word: the socket has to be that
//! process's too (`SO_PEERCRED`, unix(7)). So a user can show root his own processes and nobody else's, and root is
//! told whose they are.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::{Entry, Holder, Lock, ROOT, directories_of, is_trusted, known_by, lock_of, read};

/// Where systemd-logind keeps a directory for each user who is logged in.
const LOGGED_IN: &str = "/run/user";

/// More users than this are not looked at: each costs some microseconds.
const USERS_MAX: usize = 1_000;

/// A daemon of somebody who is not root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theirs {
    /// What it says of itself.
    pub entry: Entry,
    /// Whose it is.
    pub uid: u32,
}

impl Theirs {
    /// Whether what stands at the place of its socket is a socket of this user's: root connects to nothing else on his
    /// word.
    pub fn has_a_socket(&self) -> bool {
        fs::symlink_metadata(self.entry.control_socket())
            .is_ok_and(|found| found.file_type().is_socket() && found.uid() == self.uid)
    }

    /// Whether the kernel says of the process and of the lock what the entry says.
    fn is_true(&self, lock: &Path) -> bool {
        let pid = self.entry.pid;
        let holds = Lock::holder(lock).is_ok_and(|found| found == Some(Holder::Daemon(Some(pid))));
        holds && self.entry.is_seen() && user_of(pid) == Some(self.uid)
    }
}

/// The daemons of the file that ordinary users run: its owner, the owner of its directory, who may be all that is left
/// of one that has gone, and whoever is logged in.
pub fn of_others(config_file: &Path) -> Vec<Theirs> {
    let names: Vec<_> = known_by(config_file).collect();
    let mut found: Vec<Theirs> = Vec::new();
    for uid in users(config_file) {
        for directory in directories_of(uid) {
            if !is_trusted(&directory, uid) {
                continue;
            }
            for path in &names {
                let entry = read(&directory, path).map(|entry| Theirs { entry, uid });
                let lock = lock_of(&directory, path);
                found.extend(
                    entry.filter(|theirs| !found.contains(theirs) && theirs.is_true(&lock)),
                );
            }
        }
    }
    found
}

fn users(config_file: &Path) -> BTreeSet<u32> {
    let file = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    let owners = [
        fs::metadata(&file),
        fs::symlink_metadata(&file),
        fs::metadata(file.parent().unwrap_or(Path::new("/"))),
    ];
    let owners = owners.into_iter().flatten().map(|found| found.uid());
    let logged_in = fs::read_dir(LOGGED_IN).into_iter().flatten().flatten();
    let logged_in = logged_in.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = owners.chain(logged_in.take(USERS_MAX));
    all.filter(|uid| *uid != ROOT).collect()
}

/// The effective user of a process.
fn user_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

//! Where the daemon of a file is, whatever the file says by now: an entry in a directory that everybody knows, under
//! a name that follows from the file's path alone. Written by the daemon at its start, renewed when it reads the file
//! again and removed at its end, read by each command at its start; nothing is asked of the environment.
//!
//! ```text
//! root    /run/keepstart/NAME.daemon, NAME.lock
//! others  /run/user/UID/keepstart/…, where systemd-logind has made that, and /tmp/keepstart-UID/…
//! ```
//!
//! An entry is only worth what the lock beside it says: the daemon holds that until its process ends, so what a
//! killed one has left is not believed. The lock also keeps two daemons from running one file from different places.
//! Two directories for ordinary users, because logind removes its own when the user has logged out everywhere, and
//! the other may be private to a service. The entries of root and one's own are believed, of nobody else; root finds
//! those of ordinary users by `others`, which takes nothing on their word.
//!
//! A file is known by its canonical path, and by the path that it was named with too: a link may by now lead to
//! another file, or nowhere.

mod others;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directories::{self, DirectoryError, Links, Wanted};
use super::files::{self, Durability};
use super::lock::{Holder, Lock, LockError, start_of};
use super::paths;
use crate::kill_points;

pub use others::{Theirs, of_others};

const ROOT: u32 = 0;

const ROOTS_DIRECTORY: &str = "/run/keepstart";

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The file that it runs, one of the paths that it is known by.
    config: PathBuf,
    /// Its process.
    pub pid: u32,
    /// When that began, in clock ticks after the boot; `None` where it may not be read.
    start_ticks: Option<u64>,
    runtime_dir: PathBuf,
}

impl Entry {
    /// The socket that commands talk to.
    pub fn control_socket(&self) -> PathBuf {
        paths::control_socket_in(&self.runtime_dir)
    }

    /// The socket of those who may only read.
    pub fn status_socket(&self) -> PathBuf {
        paths::status_socket_in(&self.runtime_dir)
    }

    /// Where it has its files of this boot.
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// The lock of its runtime directory.
    pub fn lock(&self) -> PathBuf {
        paths::lock_in(&self.runtime_dir)
    }

    /// Whether its process is seen. One of somebody else's may be hidden (`hidepid`, proc(5)).
    pub fn is_seen(&self) -> bool {
        self.start_ticks.is_some() && start_of(self.pid) == self.start_ticks
    }

    /// Whether the number has passed to another process.
    fn is_another_by_now(&self) -> bool {
        let now = start_of(self.pid);
        now.is_some() && self.start_ticks.is_some() && now != self.start_ticks
    }
}

/// Why a daemon has no entry.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The directory cannot be used.
    #[error("{} cannot be used: {why}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The lock cannot be had.
    #[error(transparent)]
    Lock(LockError),
    /// The entry cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The entry.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A daemon's entries, and their locks; dropped when it ends.
#[derive(Debug, Default)]
pub struct Registration {
    /// Whose daemon it is, and where; `None`: one that is never entered.
    daemon: Option<Daemon>,
    held: Vec<Held>,
}

#[derive(Debug, Clone)]
struct Daemon {
    uid: u32,
    runtime_dir: PathBuf,
}

#[derive(Debug)]
struct Held {
    config: PathBuf,
    lock: Lock,
    entry: PathBuf,
}

impl Registration {
    /// Enters this process as the daemon of the file. What keeps it from being entered anywhere is no reason not to
    /// run, and is given back; a daemon that is entered is one.
    ///
    /// # Errors
    ///
    /// A daemon of this file runs already.
    pub fn enter(
        config_file: &Path,
        uid: u32,
        runtime_dir: &Path,
    ) -> Result<(Self, Vec<RegisterError>), LockError> {
        let runtime_dir = runtime_dir.to_owned();
        let mut registration = Self {
            daemon: Some(Daemon { uid, runtime_dir }),
            held: Vec::new(),
        };
        let (renewed, troubles) = registration.renewal(config_file).enter()?;
        registration.take_in(renewed);
        Ok((registration, troubles))
    }

    /// What it takes to enter the daemon anew before it reads the file again: a link may lead elsewhere by now.
    pub fn renewal(&self, config_file: &Path) -> Renewal {
        Renewal {
            config_file: config_file.to_owned(),
            daemon: self.daemon.clone(),
            held: self.held.iter().map(|held| held.entry.clone()).collect(),
        }
    }

    /// From now on the daemon is known by the paths of the renewal, and by no other.
    pub fn take_in(&mut self, mut renewed: Renewed) {
        let is_gone = |held: &mut Held| !renewed.names.contains(&held.config);
        self.held.extract_if(.., is_gone).for_each(Held::remove);
        self.held.append(&mut renewed.new);
    }
}

impl Held {
    fn remove(self) {
        // What cannot be removed is not believed either, when the lock is free.
        let _ = fs::remove_file(self.entry);
        kill_points::pass("entry", "removed");
        let _ = self.lock.remove();
    }
}

/// A daemon that is about to be entered. The disk of the file may not answer, so this may go to another thread.
#[derive(Debug)]
pub struct Renewal {
    config_file: PathBuf,
    daemon: Option<Daemon>,
    /// The entries that it has.
    held: Vec<PathBuf>,
}

/// A daemon that has been entered. What is new in it goes, unless [`Registration::take_in`] has it.
#[derive(Debug)]
pub struct Renewed {
    /// All that the file is known by.
    names: Vec<PathBuf>,
    new: Vec<Held>,
}

impl Renewal {
    /// Enters the daemon by all the paths that the file is known by now. What keeps it from that is given back.
    ///
    /// # Errors
    ///
    /// Another daemon is entered by one of them.
    pub fn enter(self) -> Result<(Renewed, Vec<RegisterError>), LockError> {
        let names = known_by(&self.config_file).collect();
        let new = Vec::new();
        let mut renewed = Renewed { names, new };
        let Some(Daemon { uid, runtime_dir }) = &self.daemon else {
            return Ok((renewed, Vec::new()));
        };
        if let Some(holder) = roots(&self.config_file, *uid) {
            let path = PathBuf::from(ROOTS_DIRECTORY);
            return Err(LockError::Held { path, holder });
        }
        let mut is_entered = false;
        let mut troubles = Vec::new();
        for directory in directories_of(*uid) {
            if let Err(trouble) = make(&directory, *uid) {
                let why = in_words(&trouble);
                troubles.push(RegisterError::Directory {
                    path: directory,
                    why,
                });
                continue;
            }
            for path in &renewed.names {
                if self.held.contains(&entry_of(&directory, path)) {
                    is_entered = true;
                    continue;
                }
                match enter_one(&directory, path.clone(), runtime_dir) {
                    Ok(held) => renewed.new.push(held),
                    Err(RegisterError::Lock(held @ LockError::Held { .. })) => return Err(held),
                    Err(trouble) => troubles.push(trouble),
                }
            }
        }
        if is_entered || !renewed.new.is_empty() {
            troubles.clear();
        }
        Ok((renewed, troubles))
    }
}

impl Renewed {
    /// Whether the file is still known by what the daemon has been entered by.
    pub fn is_of(&self, config_file: &Path) -> bool {
        known_by(config_file).eq(self.names.iter().cloned())
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        self.new.drain(..).for_each(Held::remove);
    }
}

/// Removes the entries at an orderly end, and where the daemon came to nothing.
impl Drop for Registration {
    fn drop(&mut self) {
        self.held.drain(..).for_each(Held::remove);
    }
}

/// The daemons of the file that are entered and have not ended: the user's own first, then root's.
pub fn find(config_file: &Path, uid: u32) -> Vec<Entry> {
    let own = directories_of(uid).into_iter().map(|dir| (dir, uid));
    let roots = directories_of(ROOT).into_iter().map(|dir| (dir, ROOT));
    let mut names: Vec<_> = known_by(config_file).collect();
    // Who was started by the very name that is asked for comes before who runs what it leads to by now.
    names.reverse();
    let mut found: Vec<Entry> = Vec::new();
    for (directory, owner) in own.chain(roots) {
        if !is_trusted(&directory, owner) {
            continue;
        }
        let entries = names.iter().filter_map(|path| read(&directory, path));
        for entry in entries {
            if !found.contains(&entry) {
                found.push(entry);
            }
        }
    }
    found
}

/// Root's daemon of the file, where somebody else asks. Its lock is not for others to look at, who could take it: its
/// process has to be seen.
fn roots(config_file: &Path, uid: u32) -> Option<Holder> {
    let directory = Path::new(ROOTS_DIRECTORY);
    let is_asked_for = uid != ROOT && is_trusted(directory, ROOT);
    let mut entries = known_by(config_file).filter_map(|path| read(directory, &path));
    let seen = is_asked_for.then(|| entries.find(Entry::is_seen))??;
    Some(Holder::Daemon(Some(seen.pid)))
}

/// The paths that a file is known by. One that has gone is known by where it would be.
fn known_by(config_file: &Path) -> impl Iterator<Item = PathBuf> {
    let named = std::path::absolute(config_file).ok();
    let gone = || {
        let named = named.as_ref()?;
        Some(
            fs::canonicalize(named.parent()?)
                .ok()?
                .join(named.file_name()?),
        )
    };
    let canonical = fs::canonicalize(config_file).ok().or_else(gone);
    let other = named.filter(|named| Some(named) != canonical.as_ref());
    canonical.into_iter().chain(other)
}

/// Where the entries of a user's daemons are.
fn directories_of(uid: u32) -> Vec<PathBuf> {
    if uid == ROOT {
        return vec![ROOTS_DIRECTORY.into()];
    }
    let logind = PathBuf::from(format!("/run/user/{uid}"));
    let is_theirs = fs::symlink_metadata(&logind).is_ok_and(|found| found.uid() == uid);
    let logind = is_theirs.then(|| logind.join("keepstart"));
    let tmp = format!("/tmp/keepstart-{uid}").into();
    logind.into_iter().chain([tmp]).collect()
}

fn make(directory: &Path, uid: u32) -> Result<(), DirectoryError> {
    // Root's is the one that its daemons have their own in, and everybody may look into.
    let wanted = if uid == ROOT {
        Wanted::shared(directory, Links::Refused)
    } else {
        Wanted::own(directory, Links::Refused)
    };
    directories::make(&wanted, None, uid)?;
    directories::judge(&Wanted::own(directory, Links::Refused), uid)
}

/// Without the advice to name another directory, because here there is no other.
fn in_words(trouble: &DirectoryError) -> String {
    match trouble {
        DirectoryError::Make { source, .. } => source.to_string(),
        DirectoryError::Symlink { .. } => "it is a symbolic link".into(),
        DirectoryError::ForeignOwner { owner, .. } => format!("it belongs to user {owner}"),
        DirectoryError::TooOpen { mode, .. } => format!("others may write into it ({mode:03o})"),
    }
}

fn is_trusted(directory: &Path, owner: u32) -> bool {
    directories::judge(&Wanted::own(directory, Links::Refused), owner).is_ok()
}

fn enter_one(directory: &Path, config: PathBuf, runtime_dir: &Path) -> Result<Held, RegisterError> {
    let lock = Lock::acquire(&lock_of(directory, &config)).map_err(RegisterError::Lock)?;
    let path = entry_of(directory, &config);
    let pid = std::process::id();
    let entry = Entry {
        config: config.clone(),
        pid,
        start_ticks: start_of(pid),
        runtime_dir: runtime_dir.to_owned(),
    };
    let written = serde_json::to_vec(&entry)
        .map_err(io::Error::from)
        .and_then(|bytes| files::replace(&path, &bytes, Durability::ThisBoot))
        // For members of `control-group`, whatever the umask says.
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o644)));
    match written {
        Ok(()) => Ok(Held {
            config,
            lock,
            entry: path,
        }),
        Err(source) => Err(RegisterError::Write { path, source }),
    }
}

/// The entry of a daemon that has not ended, as far as can be seen.
fn read(directory: &Path, config: &Path) -> Option<Entry> {
    let is_held = match Lock::holder(&lock_of(directory, config)) {
        Ok(holder) => holder.is_some(),
        // Root's is not for others to look at: then the process decides, here and when it answers.
        Err(LockError::Io { source, .. }) => source.kind() == io::ErrorKind::PermissionDenied,
        Err(LockError::Held { .. } | LockError::NotAPidfile { .. }) => false,
    };
    if !is_held {
        return None;
    }
    let bytes = files::read(&entry_of(directory, config)).ok()??;
    let entry: Entry = serde_json::from_slice(&bytes).ok()?;
    // Two names that are the same by chance lead nobody to a stranger's daemon.
    let fits = entry.config == *config && !entry.is_another_by_now();
    fits.then_some(entry)
}

fn lock_of(directory: &Path, config: &Path) -> PathBuf {
    directory.join(paths::name_of(config) + ".lock")
}

fn entry_of(directory: &Path, config: &Path) -> PathBuf {
    directory.join(paths::name_of(config) + ".daemon")
}

#[cfg(test)]
mod tests;

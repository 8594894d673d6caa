//! Makes the directories of a daemon, judges those that are there, and finds out who else could put others in
//! their place. Runs at the daemon's start, and once in a command that finds a daemon in `/tmp`; holds nothing.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::trust::{self, Fault, Trouble, Trusted};

/// What is wrong with a directory. Each sentence names the directory and the way out.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be made or looked at.
    #[error("cannot make the directory {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a symbolic link.
    #[error("{} is a symbolic link, which is not followed there: remove it, or {NAME_ANOTHER}", path.display())]
    Symlink {
        /// The directory.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error("{} belongs to user {owner}, not to user {expected}: remove it, or {NAME_ANOTHER}", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This process's user.
        expected: u32,
    },
    /// Others may write into it.
    #[error("{} may be written by others (mode {mode:03o}, expected 700): chmod it, or {NAME_ANOTHER}", path.display())]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

const NAME_ANOTHER: &str =
    "name another with `runtime-dir` or `state-dir` in the section `application`";

impl DirectoryError {
    /// Whether there is no such directory.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Make { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Symlink { .. } | Self::ForeignOwner { .. } | Self::TooOpen { .. } => false,
        }
    }
}

/// Somebody else can put other directories in the place of a daemon's, and so hide it from its commands, have it
/// forget what it knows, and have it write elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}, who can replace this daemon's {} in it and so mislead the daemon: set `runtime-dir` and \
     `state-dir` to directories that only root can write, such as /run/keepstart-NAME and /var/lib/keepstart-NAME",
    fault.said(), place.display()
)]
pub struct Interference {
    /// What is not in safe hands.
    pub fault: Fault,
    /// What of the daemon is in it.
    pub place: PathBuf,
}

/// Whether a link in the last place is followed; what is behind one is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Followed,
    Refused,
}

/// Whose directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This daemon's: nobody else gets in.
    Own,
    /// Several daemons', perhaps of several users: everybody gets through.
    Shared,
}

/// A directory that is to be there.
#[derive(Debug)]
pub(super) struct Wanted {
    path: PathBuf,
    links: Links,
    whose: Whose,
}

impl Wanted {
    /// One that is this daemon's alone.
    pub(super) fn own(path: &Path, links: Links) -> Self {
        Self {
            path: path.to_owned(),
            links,
            whose: Whose::Own,
        }
    }

    /// One in which several daemons have theirs.
    pub(super) fn shared(path: &Path, links: Links) -> Self {
        Self {
            whose: Whose::Shared,
            ..Self::own(path, links)
        }
    }

    fn make_error(&self) -> impl Fn(io::Error) -> DirectoryError {
        |source| DirectoryError::Make {
            path: self.path.clone(),
            source,
        }
    }
}

/// Makes a directory of `uid`'s, if it is not there, and judges it. What it is in is made as well, but for the
/// workspace: a workspace that is not there is a misspelt one.
pub(super) fn make(
    wanted: &Wanted,
    workspace: Option<&Path>,
    uid: u32,
) -> Result<(), DirectoryError> {
    let error = wanted.make_error();
    let path = &wanted.path;
    if let Some(parent) = path.parent().filter(|parent| Some(*parent) != workspace) {
        let mut builder = DirBuilder::new();
        builder
            .mode(0o755)
            .recursive(true)
            .create(parent)
            .map_err(&error)?;
    }
    if let Some((parent, name)) = path.parent().zip(path.file_name()) {
        make_in(parent, name, wanted.whose).map_err(|errno| error(errno.into()))?;
    }
    judge(wanted, uid)
}

/// Makes a directory, if there is nothing of that name. By descriptors: whoever owns the directory above, the
/// workspace, could put a link in the place of a path before its mode is changed.
fn make_in(parent: &Path, name: &OsStr, whose: Whose) -> Result<(), Errno> {
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, directory | OFlags::PATH, Mode::empty())?;
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        // Whatever the umask says: without this the group of the control socket would stand before a closed door.
        Ok(()) if whose == Whose::Shared => {
            let made =
                rustix::fs::openat(&parent, name, directory | OFlags::NOFOLLOW, Mode::empty())?;
            rustix::fs::fchmod(made, Mode::from_raw_mode(0o755))
        }
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Refuses what is not a directory, or not in safe hands. Who can write into one that is shared is for
/// [`interference`] to tell.
pub(super) fn judge(wanted: &Wanted, uid: u32) -> Result<(), DirectoryError> {
    let error = wanted.make_error();
    let path = &wanted.path;
    let mut flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if wanted.links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOTDIR) if path.is_symlink() => {
            return Err(DirectoryError::Symlink { path: path.clone() });
        }
        opened => opened.map_err(|errno| error(errno.into()))?,
    };
    let found = rustix::fs::fstat(opened).map_err(|errno| error(errno.into()))?;
    if wanted.whose == Whose::Shared {
        return Ok(());
    }
    if found.st_uid != uid {
        return Err(DirectoryError::ForeignOwner {
            path: path.clone(),
            owner: found.st_uid,
            expected: uid,
        });
    }
    let mode = found.st_mode & 0o777;
    if mode & 0o022 != 0 {
        return Err(DirectoryError::TooOpen {
            path: path.clone(),
            mode,
        });
    }
    Ok(())
}

/// Adds who else than root and `uid` could replace a directory on the way to `place`, which is there: each
/// directory above once.
pub(super) fn interference(
    place: &Path,
    uid: u32,
    found: &mut Vec<Interference>,
) -> Result<(), DirectoryError> {
    let real = fs::canonicalize(place).map_err(|source| DirectoryError::Make {
        path: place.to_owned(),
        source,
    })?;
    let Some(above) = real.parent() else {
        return Ok(());
    };
    for fault in trust::inspect(above, Trusted::root_and(uid)) {
        // What may not be looked at is not a sign of anybody.
        let is_seen = !matches!(fault.trouble, Trouble::Unseen(_));
        let is_known = found
            .iter()
            .any(|known| known.fault.component == fault.component);
        if is_seen && !is_known {
            let place = place.to_owned();
            found.push(Interference { fault, place });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

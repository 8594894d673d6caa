//! Makes the control sockets, for their owner, a group, or everybody, in the daemon's directories. Runs on the service
//! thread, once, at the daemon's start; holds nothing.
//!
//! There is one socket for those who may steer, and one for those who may only read, if there are any: so the kernel
//! itself looks who may connect, with all of a user's groups. Of a connection it tells one group only (unix(7),
//! `SO_PEERCRED`).
//!
//! Root may have its socket in a workspace that belongs to somebody else, who can put other directories and links
//! in the place of root's at any moment. So modes and groups are changed by descriptors, of what has been looked
//! at, and never by path.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;
use tokio::net::UnixListener;

use crate::config::Readers;
use crate::machine::process::Group;

/// Who may connect to a socket, beside its owner and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Owner,
    /// The members of a group.
    Group(u32),
    /// All users.
    Everybody,
}

impl Access {
    /// Of those who may steer.
    pub fn of_group(group: Option<&Group>) -> Self {
        group.map_or(Self::Owner, |group| Self::Group(group.gid))
    }

    /// Of those who may read.
    pub fn of_readers(readers: &Readers) -> Self {
        match readers {
            Readers::Everyone => Self::Everybody,
            Readers::Group(group) => Self::Group(group.gid),
        }
    }

    /// Of both. Two groups are let through a directory as everybody is: what is in there has modes of its own.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Owner, one) | (one, Self::Owner) => one,
            (Self::Group(one), Self::Group(two)) if one == two => self,
            (Self::Group(_) | Self::Everybody, Self::Group(_) | Self::Everybody) => Self::Everybody,
        }
    }
}

/// Makes a socket. Must be called inside a runtime.
///
/// A socket file that is there already is a dead daemon's, because the caller holds the daemon's lock, and
/// is replaced. For others than the owner, the daemon's own directory (0700 until then) is opened as well: to all of
/// `through`, who are those of every socket in it.
///
/// # Errors
///
/// Something else than a socket is in the way, a directory is not this user's alone, or the system refuses.
pub fn bind(path: &Path, access: Access, through: Access) -> io::Result<UnixListener> {
    let own = own_directories(path)?;
    let (Some(directory), Some(name)) = (own.last(), path.file_name()) else {
        return Err(refusal("the path has no directory or no name"));
    };
    remove(directory, name)?;
    // Until the next lines the umask alone protects the socket; the directory does so before and after.
    let listener = UnixListener::bind(path)?;
    // Where the path led elsewhere meanwhile, nothing is here, because nobody else can write here.
    let socket = open_in(directory, name, OFlags::PATH | OFlags::NOFOLLOW)?;
    if !is_socket(&rustix::fs::fstat(&socket)?) {
        return Err(refusal("something else has taken the socket's place"));
    }
    match access {
        Access::Owner => allow(&socket, None, 0o600)?,
        Access::Group(gid) => allow(&socket, Some(gid), 0o660)?,
        Access::Everybody => allow(&socket, None, 0o666)?,
    }
    for directory in &own {
        open_to(directory, through)?;
    }
    Ok(listener)
}

/// Removes the socket of an earlier daemon, whose readers have no right any more.
///
/// # Errors
///
/// The system refuses, or something else than a socket is there.
pub fn unbind(path: &Path) -> io::Result<()> {
    let own = own_directories(path)?;
    let (Some(directory), Some(name)) = (own.last(), path.file_name()) else {
        return Ok(());
    };
    remove(directory, name)
}

fn remove(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) if is_socket(&there) => {
            Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
        }
        Ok(_) => {
            let message = "something is there that is not a socket";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        }
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The directories above the socket that belong to the daemon, the one it is in last: in a workspace
/// (`WORKSPACE/.keepstart/HASH/BOOT/`) also the one above. Root follows no link on the way from `.keepstart` on.
fn own_directories(socket: &Path) -> io::Result<Vec<OwnedFd>> {
    let links = if rustix::process::geteuid().is_root() {
        OFlags::NOFOLLOW
    } else {
        OFlags::empty()
    };
    let flags = OFlags::DIRECTORY | OFlags::PATH | links;
    let parent = socket.parent().unwrap_or(Path::new("/"));
    let above = parent.parent();
    let home = above
        .and_then(Path::parent)
        .filter(|home| home.file_name() == Some(OsStr::new(".keepstart")));
    let own = match (home, above.and_then(Path::file_name), parent.file_name()) {
        (Some(home), Some(hash), Some(boot)) => {
            let home = open_in(rustix::fs::CWD, home.as_os_str(), flags)?;
            let above = open_in(home, hash, flags)?;
            let parent = open_in(&above, boot, flags)?;
            vec![above, parent]
        }
        _ => vec![open_in(rustix::fs::CWD, parent.as_os_str(), flags)?],
    };
    for directory in &own {
        let found = rustix::fs::fstat(directory)?;
        if found.st_uid != rustix::process::geteuid().as_raw() || found.st_mode & 0o022 != 0 {
            return Err(refusal("the directory is not this user's alone"));
        }
    }
    Ok(own)
}

fn open_in(directory: impl AsFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn is_socket(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Socket
}

/// Lets others through a directory that is closed to them, but not look into it. A group that an earlier start let
/// through gives way to this start's.
fn open_to(directory: &OwnedFd, through: Access) -> io::Result<()> {
    let found = rustix::fs::fstat(directory)?;
    match (found.st_mode & 0o777, through) {
        (0o700 | 0o710, Access::Group(gid)) => allow(directory, Some(gid), 0o710),
        (0o700 | 0o710, Access::Everybody) => allow(directory, None, 0o711),
        (_, Access::Owner | Access::Group(_) | Access::Everybody) => Ok(()),
    }
}

/// Gives what a descriptor stands for to a group, with a mode. The descriptor may be one of `O_PATH`, which fchmod(2)
/// refuses; its link in `/proc` leads to the same file, whatever is in the file's place by now (open(2)).
fn allow(file: &OwnedFd, gid: Option<u32>, mode: u32) -> io::Result<()> {
    if let Some(gid) = gid {
        let gid = Some(Gid::from_raw(gid));
        rustix::fs::chownat(file, "", None, gid, AtFlags::EMPTY_PATH)?;
    }
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::chmod(link, Mode::from_raw_mode(mode))?)
}

fn refusal(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests;

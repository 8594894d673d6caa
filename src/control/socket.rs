//! Makes the control socket, for its owner or a group, in the daemon's directories. Runs on the service thread, once,
//! at the daemon's start; holds nothing.
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

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `control-group` names nobody.
    #[error("there is no group {0} (`control-group`)")]
    NoGroup(String),
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes the socket for its owner alone, or for the members of `group` (a name or a number) too. Must be
/// called inside a runtime.
///
/// A socket file that is there already is a dead daemon's, because the caller holds the daemon's lock, and
/// is replaced. For a group, the daemon's own directory (0700 until then) is opened to its members as
/// well.
///
/// # Errors
///
/// The group does not exist, something else than a socket is in the way, a directory is not this user's alone, or
/// the system refuses.
pub fn bind(path: &Path, group: Option<&str>) -> Result<UnixListener, BindError> {
    let gid = group.map(group_id).transpose()?;
    let own = own_directories(path)?;
    let (Some(directory), Some(name)) = (own.last(), path.file_name()) else {
        return Err(refusal("the path has no directory or no name").into());
    };
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) if is_socket(&there) => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(io::Error::from)?;
        }
        Ok(_) => {
            let message = "something is there that is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message).into());
        }
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(io::Error::from(errno).into()),
    }
    // Until the next lines the umask alone protects the socket; the directory does so before and after.
    let listener = UnixListener::bind(path)?;
    // Where the path led elsewhere meanwhile, nothing is here, because nobody else can write here.
    let socket = open_in(directory, name, OFlags::PATH | OFlags::NOFOLLOW)?;
    if !is_socket(&rustix::fs::fstat(&socket).map_err(io::Error::from)?) {
        return Err(refusal("something else has taken the socket's place").into());
    }
    match gid {
        None => allow(&socket, None, 0o600)?,
        Some(gid) => {
            allow(&socket, Some(gid), 0o660)?;
            for directory in &own {
                open_to_group(directory, gid)?;
            }
        }
    }
    Ok(listener)
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

/// Lets the members of a group through a directory that is closed to everybody else, but not look into it.
fn open_to_group(directory: &OwnedFd, gid: u32) -> io::Result<()> {
    let mode = rustix::fs::fstat(directory)?.st_mode & 0o777;
    if matches!(mode, 0o700 | 0o710) {
        allow(directory, Some(gid), 0o710)?;
    }
    Ok(())
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

/// The number of a group. May ask the name service, so it is for the start of the daemon only.
fn group_id(group: &str) -> Result<u32, BindError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let found = nix::unistd::Group::from_name(group).map_err(io::Error::from)?;
    found
        .map(|found| found.gid.as_raw())
        .ok_or_else(|| BindError::NoGroup(group.to_owned()))
}

#[cfg(test)]
mod tests;

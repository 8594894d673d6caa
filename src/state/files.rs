//! Small files that are read whole, replaced whole, or set aside when they are no good. Called by the owners
//! of those files at start-up and by the disk thread; holds no state.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::kill_points;

/// How many unreadable versions of one file are kept for inspection; a further one replaces the oldest.
const SET_ASIDE_MAX: u32 = 5;

/// A larger file is none of ours: ten thousand instances need about eight megabytes.
pub(super) const READ_BYTES_MAX: u64 = 64 << 20;

/// Something about a state file that an operator has to be told; the daemon goes on.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// A file could not be understood and was renamed.
    #[error("{} is not usable ({why}) and is set aside as {}", path.display(), moved_to.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where it is now.
        moved_to: PathBuf,
    },
    /// A file could not be understood, and not be renamed either.
    #[error("{} is not usable ({why}) and cannot be set aside", path.display())]
    Stuck {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Why it could not be renamed.
        source: io::Error,
    },
    /// The new file could not be written; it is tried again with the next record.
    #[error("cannot write {}", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whether a file has to survive the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It means nothing after a reboot: the page cache is enough.
    ThisBoot,
    /// It must be on disk before anyone relies on it.
    Disk,
}

/// Reads a regular file of at most [`READ_BYTES_MAX`] bytes; `None` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // O_NONBLOCK keeps a FIFO of that name from holding the start up; it means nothing to a regular file.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(Some(bytes))
}

/// Puts a file with these bytes in the place of `path`: whoever looks sees the old one or the new one, whole.
/// Returns the new file, open for appending.
pub(super) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<File> {
    // One daemon at a time owns the directory, so one fixed name is enough, and what a killed daemon left
    // under it is never more than one file.
    let fresh = with_suffix(path, ".new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let replaced = write_new(&fresh, bytes, durability).and_then(|file| {
        kill_points::pass(kind_of(path), "written");
        fs::rename(&fresh, path)?;
        kill_points::pass(kind_of(path), "renamed");
        Ok(file)
    });
    if replaced.is_err() {
        // On a full file system the unfinished file would take the space that the next attempt needs.
        let _ = fs::remove_file(&fresh);
    } else if durability == Durability::Disk {
        // The new name is in the directory, and the directory has to reach the disk too, fsync(2).
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    }
    replaced
}

fn write_new(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    kill_points::pass(kind_of(path), "made");
    file.write_all(bytes)?;
    if durability == Durability::Disk {
        file.sync_all()?;
    }
    Ok(file)
}

/// What a file is called among the points at which tests kill.
fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match name.strip_suffix(".new").unwrap_or(name) {
        "epoch" => "epoch",
        // An entry of the register is named after the file that its daemon runs.
        name if name.ends_with(".daemon") => "entry",
        _ => "run.json",
    }
}

/// Renames a file that cannot be used to `NAME.damaged-<n>`, and says so.
pub(super) fn set_aside(path: &Path, why: String) -> Finding {
    let name = |n: u32| with_suffix(path, &format!(".damaged-{n}"));
    let modified = |path: &PathBuf| fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let moved_to = (1..=SET_ASIDE_MAX)
        .map(name)
        // A free name counts as the oldest; among equals the first is taken.
        .min_by_key(|path| modified(path).unwrap_or(SystemTime::UNIX_EPOCH))
        .unwrap_or_else(|| name(1));
    let path = path.to_owned();
    match fs::rename(&path, &moved_to) {
        Ok(()) => Finding::SetAside {
            path,
            why,
            moved_to,
        },
        Err(source) => Finding::Stuck { path, why, source },
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;

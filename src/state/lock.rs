//! The locks that make a daemon the only one of its configuration: the lock file in its runtime directory and
//! the pidfile that people and other programs see. Taken at start-up, held until the process ends; nothing is
//! ever waited for longer than a tenth of a second.
//!
//! The kernel frees flock(2) locks when the last descriptor of the open file is closed, however the process
//! dies, so a pid in a file never decides anything: a file that nobody locks is stale, whatever runs under
//! the number in it.

mod holder;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::kill_points;

pub use holder::Holder;
pub(super) use holder::start_of;

/// How often a lock is tried: a program that asks who holds it has it for some microseconds, and a daemon
/// that has just taken it needs as long to write its pid.
const ATTEMPTS: u32 = 5;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest content of a file that may be a pidfile, in bytes: a pid has at most seven digits, and some
/// programs pad them.
const PIDFILE_BYTES_MAX: u64 = 32;

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{holder} ({} is locked)", path.display())]
    Held {
        /// The locked file.
        path: PathBuf,
        /// Who that is.
        holder: Holder,
    },
    /// There is a file of that name which no daemon can have written; it is not overwritten.
    #[error("{} exists and is not a pidfile: {why}", path.display())]
    NotAPidfile {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// The system refused.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A locked file with this process's pid in it. Dropping it frees the lock and leaves the file.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    unwritten: Option<Unwritten>,
}

/// A lock that was taken and has no pid in it, because the file system is full. It keeps others out as any; who holds
/// it they ask the kernel.
#[derive(Debug, thiserror::Error)]
#[error("cannot write this process's number into {}", path.display())]
pub struct Unwritten {
    path: PathBuf,
    source: io::Error,
}

impl Lock {
    /// Takes the lock of the runtime directory.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        Self::acquire_with(path, 0o600)
    }

    /// Why the pid is not in the file, if it is not; told once.
    pub fn take_unwritten(&mut self) -> Option<Unwritten> {
        self.unwritten.take()
    }

    /// Who holds the lock at `path`, if somebody does.
    pub fn holder(path: &Path) -> Result<Option<Holder>, LockError> {
        let attempt = open(path, OpenOptions::new().read(true)).and_then(|mut file| {
            match file.try_lock_shared() {
                Ok(()) => Ok(None),
                Err(TryLockError::WouldBlock) => {
                    Ok(Some(Holder::of(path, read_pid(&mut file)?.pid())))
                }
                Err(TryLockError::Error(error)) => Err(error),
            }
        });
        match attempt {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map_err(|source| io_error(path, source)),
        }
    }

    /// Removes the file and frees the lock, unless another file has taken its place meanwhile.
    pub(super) fn remove(self) -> Result<(), LockError> {
        let path = &self.path;
        let io = |source| io_error(path, source);
        if self.is_at_its_path().map_err(io)? {
            fs::remove_file(path).map_err(io)?;
        }
        Ok(())
    }

    fn acquire_with(path: &Path, mode: u32) -> Result<Self, LockError> {
        let mut pid = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                thread::sleep(PAUSE);
            }
            match Self::attempt(path, mode)? {
                Attempt::Taken(mut lock) => {
                    kill_points::pass("lock", "made");
                    lock.number()?;
                    kill_points::pass("lock", "written");
                    return Ok(lock);
                }
                Attempt::Held(by) => pid = by,
                Attempt::Vanished => {}
            }
        }
        Err(LockError::Held {
            path: path.to_owned(),
            holder: Holder::of(path, pid),
        })
    }

    fn attempt(path: &Path, mode: u32) -> Result<Attempt, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(mode);
        let mut file = open(path, &mut options).map_err(|source| {
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                not_a_pidfile(path, "it is a symbolic link")
            } else {
                io_error(path, source)
            }
        })?;
        let io = |source| io_error(path, source);
        if !file.metadata().map_err(io)?.is_file() {
            return Err(not_a_pidfile(path, "it is not a regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Attempt::Held(read_pid(&mut file).map_err(io)?.pid()));
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let lock = Self {
            file,
            path: path.to_owned(),
            unwritten: None,
        };
        // Between the open and the lock the holder may have ended and removed the file: a lock on a file
        // without a name keeps nobody out.
        if !lock.is_at_its_path().map_err(io)? {
            return Ok(Attempt::Vanished);
        }
        match read_pid(&mut &lock.file).map_err(io)? {
            Content::Foreign => Err(not_a_pidfile(path, "it contains something else")),
            Content::Empty | Content::Pid(_) => Ok(Attempt::Taken(lock)),
        }
    }

    /// A full file system is no reason not to run, and a daemon that ends for it would not be started again.
    fn number(&mut self) -> Result<(), LockError> {
        let Err(source) = self.write_pid() else {
            return Ok(());
        };
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if !full.contains(&source.kind()) {
            return Err(io_error(&self.path, source));
        }
        let path = self.path.clone();
        self.unwritten = Some(Unwritten { path, source });
        Ok(())
    }

    fn write_pid(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file
            .write_all(format!("{}\n", std::process::id()).as_bytes())
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        let mine = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (mine.dev(), mine.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The pidfile of the configuration (`application.pidfile`), readable by everyone.
#[derive(Debug)]
pub struct Pidfile(Lock);

impl Pidfile {
    /// Takes the pidfile: a stale one is overwritten, one that a running process has locked is not.
    pub fn create(path: &Path) -> Result<Self, LockError> {
        Lock::acquire_with(path, 0o644).map(Self)
    }

    /// See [`Lock::take_unwritten`].
    pub fn take_unwritten(&mut self) -> Option<Unwritten> {
        self.0.take_unwritten()
    }

    /// Removes the file at an orderly end, unless another file has taken its place meanwhile.
    pub fn remove(self) -> Result<(), LockError> {
        self.0.remove()
    }
}

enum Attempt {
    Taken(Lock),
    Held(Option<u32>),
    Vanished,
}

/// What stands in a file that should hold a pid.
enum Content {
    Empty,
    Pid(u32),
    Foreign,
}

impl Content {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            Self::Empty | Self::Foreign => None,
        }
    }
}

/// Symbolic links are refused: a daemon of root may have its pidfile in a directory of another user, who could
/// have it truncate any file. `O_NONBLOCK` keeps a FIFO of that name from blocking.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
}

fn read_pid(file: &mut (impl Read + Seek)) -> io::Result<Content> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(PIDFILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let too_long = bytes.len() as u64 > PIDFILE_BYTES_MAX;
    Ok(match std::str::from_utf8(&bytes).map(str::trim) {
        Ok("") if !too_long => Content::Empty,
        Ok(text) if !too_long => text.parse().map_or(Content::Foreign, Content::Pid),
        Ok(_) | Err(_) => Content::Foreign,
    })
}

fn io_error(path: &Path, source: io::Error) -> LockError {
    LockError::Io {
        path: path.to_owned(),
        source,
    }
}

fn not_a_pidfile(path: &Path, why: &'static str) -> LockError {
    LockError::NotAPidfile {
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;

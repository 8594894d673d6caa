//! What tells the follower that a file has changed: inotify(7), where it can be had. Disk thread only; waits for
//! nothing.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::follower::OutputError;
use super::stage::News;

/// What could not be had is tried again after this.
pub(super) const AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Buffer for events, in bytes; at 16 bytes and a name each, some tens of them.
const EVENT_BUFFER_SIZE: usize = 8 * 1024;

/// Events read at once, so that a busy directory cannot hold the owner.
const EVENTS_MAX: usize = 4096;

/// What has been heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The files that have changed, each once, with the weightiest news.
    pub(super) news: BTreeMap<String, News>,
    /// The kernel has dropped events.
    pub(super) overflown: bool,
}

/// The watch of one directory.
pub(super) struct Watch {
    directory: PathBuf,
    /// `None`: it cannot be had.
    inotify: Option<OwnedFd>,
    /// When it is tried again.
    again_at: Option<Instant>,
    /// What has not been told yet.
    trouble: Option<OutputError>,
}

impl Watch {
    /// Begins to watch, if it can.
    pub(super) fn new(directory: &Path, now: Instant) -> Self {
        let mut watch = Self {
            directory: directory.to_owned(),
            inotify: None,
            again_at: None,
            trouble: None,
        };
        watch.begin(now);
        watch
    }

    fn begin(&mut self, now: Instant) {
        match open(&self.directory) {
            Ok(inotify) => {
                self.inotify = Some(inotify);
                self.again_at = None;
            }
            Err(source) => {
                // The first failure of a row is told.
                if self.again_at.replace(now + AGAIN_AFTER).is_none() {
                    self.trouble = Some(OutputError::Watch {
                        path: self.directory.clone(),
                        source: source.into(),
                    });
                }
            }
        }
    }

    /// Tries again what could not be had, if it is time; says whether it was.
    pub(super) fn try_again(&mut self, now: Instant) -> bool {
        let is_due = self.again_at.is_some_and(|at| at <= now);
        if is_due {
            self.begin(now);
        }
        is_due
    }

    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    pub(super) fn trouble(&mut self) -> Option<OutputError> {
        self.trouble.take()
    }

    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Reads what there is to hear.
    pub(super) fn read(&self) -> Heard {
        let mut heard = Heard::default();
        let Some(inotify) = &self.inotify else {
            return heard;
        };
        let mut buffer = [MaybeUninit::uninit(); EVENT_BUFFER_SIZE];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        for _ in 0..EVENTS_MAX {
            // The error is EAGAIN: there is nothing more.
            let Ok(event) = reader.next() else { break };
            heard.overflown |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let Some(name) = event.file_name().and_then(|name| name.to_str().ok()) else {
                continue;
            };
            let told = if event.events().contains(ReadFlags::CLOSE_WRITE) {
                News::Closed
            } else {
                News::Changed
            };
            match heard.news.get_mut(name) {
                Some(known) => *known = told.max(*known),
                None => {
                    heard.news.insert(name.to_owned(), told);
                }
            }
        }
        heard
    }

    /// As after a [`Watch::new`] that could have none.
    #[cfg(test)]
    pub(super) fn lose(&mut self, again_at: Instant) {
        self.inotify = None;
        self.again_at = Some(again_at);
    }
}

fn open(directory: &Path) -> Result<OwnedFd, Errno> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // A file gets its name here once its job's process exists, which may have written into it by then. It cannot
    // have closed it for good: the spawner closes its own descriptor after the naming.
    let wanted =
        WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
    inotify::add_watch(&inotify, directory, wanted)?;
    Ok(inotify)
}

#[cfg(test)]
mod tests;

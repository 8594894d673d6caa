//! The follower: owns the directory of output files and reads them as they grow. It belongs to the disk thread,
//! waits for nothing itself, and tells its owner when to come back; `watch` says which files have changed, `removal`
//! ends what nobody writes any more.

mod counters;
mod removal;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::{Resource, getrlimit};

use super::super::now;
use super::OutputName;
use super::files::{CHUNK_SIZE, OutputFile};
use super::held::{HasStarted, Held};
use super::lines::ChunkEnd;
use super::room::{LogRoom, Room};
use super::stage::{News, Stage};
use super::unsaid::Unsaid;
use super::watch::{AGAIN_AFTER, Watch};
use crate::machine::job::{Action, JobId, Role};

pub use counters::OutputCounters;

/// Files followed at once; each takes a descriptor. Further ones are counted, grow unread, and are taken up at
/// a later write when there is room.
///
/// Where the process may have fewer descriptors (`RLIMIT_NOFILE`, getrlimit(2)) half of those are for files: the
/// rest is for processes, spawns, clients and sockets, without which there is no failover. The limit is not
/// raised: scripts inherit it, those that call select(2) fail above 1024, and `posix_spawn(3)` has no way to give
/// a child another one. To close idle files and open them anew is no way out either: each close would be told to
/// the follower itself as that of a writer.
const FOLLOWED_MAX: usize = 4096;

/// Rounds of events in one drain. More than one, because punching a hole is itself told as a modification, and
/// that event should not wake the owner once more.
const ROUNDS_MAX: u32 = 4;

/// What keeps the follower from its work.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The directory is not there and could not be made, or cannot be read.
    #[error("cannot make or read the output directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No inotify instance or watch is left, inotify(7). The follower goes on without.
    #[error(
        "cannot watch the output directory {path}, so what scripts print is logged with a delay of up to \
         {AGAIN_AFTER:?} (it is tried again; raise the sysctl fs.inotify.max_user_instances or max_user_watches)"
    )]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// One line that a job has printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLine<'a> {
    /// Whose job.
    pub instance: &'a str,
    /// Which action.
    pub action: Action,
    /// Its name.
    pub job: JobId,
    /// The role and the epoch that it serves; `None`: a daemon that did not note them began it.
    pub serves: Option<(Role, u64)>,
    /// The line without its end: UTF-8, at most 4 KiB before control characters were escaped.
    pub text: &'a str,
}

struct Followed {
    file: OutputFile,
    stage: Stage,
}

/// Follows the output files of one directory. See the file's head.
pub struct OutputFollower {
    directory: PathBuf,
    /// Files that are not looked at before the start of their job has been told.
    held: Held,
    room: Room,
    /// What could not be said of files that have gone.
    unsaid: Unsaid,
    watch: Watch,
    files: BTreeMap<String, Followed>,
    /// Files that were not read to their end for want of time.
    unfinished: BTreeSet<String>,
    buffer: Box<[u8]>,
    followed_max: usize,
    counters: OutputCounters,
}

impl OutputFollower {
    /// Makes the directory (mode 0700) if it is not there, begins to watch it, and takes up the files that an
    /// earlier life of the daemon left in it. The parent directory must exist. Where it cannot be watched the files
    /// are only looked at from time to time, because a late log is no reason for a daemon not to start.
    pub fn open(directory: &Path) -> Result<Self, OutputError> {
        let path = || directory.to_owned();
        let unreadable = |source| OutputError::Directory {
            path: path(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unreadable(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut follower = Self {
            directory: directory.to_owned(),
            held: Held::default(),
            room: Room::new(Box::new(|| usize::MAX)),
            unsaid: Unsaid::default(),
            watch: Watch::new(directory, now()),
            files: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            buffer: vec![0; CHUNK_SIZE].into(),
            followed_max: followed_max(getrlimit(Resource::Nofile).current),
            counters: OutputCounters::default(),
        };
        follower.take_up_all().map_err(unreadable)?;
        Ok(follower)
    }

    /// Readable when a drain has something to do; `None`: nothing tells, and only time passes.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_fd()
    }

    /// Tells nothing of a job before `has_started` says that its start has been told, or some time has passed. A file
    /// that is not looked at just grows on the disk, so this costs no memory and blocks nobody.
    pub fn hold_until(&mut self, has_started: HasStarted) {
        self.held = Held::until(has_started);
    }

    /// Tells no more than the log has room for; `room` is asked before each file.
    pub fn keep_within(&mut self, room: LogRoom) {
        self.room = Room::new(room);
    }

    /// Whether anything is held back: come again when another start has been told.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What keeps it from its work, to be told once.
    pub fn trouble(&mut self) -> Option<OutputError> {
        self.watch.trouble()
    }

    /// Reads what the files have gained and tells it line by line. Never blocks; the work of one call is bounded.
    /// Gives back when it wants to be called again even if [`as_fd`](Self::as_fd) is not readable by then.
    pub fn drain(&mut self, sink: &mut dyn FnMut(OutputLine<'_>)) -> Option<Instant> {
        let now = now();
        if self.watch.try_again(now) {
            self.counters.failures += u64::from(self.take_up_all().is_err());
        }
        let unfinished = std::mem::take(&mut self.unfinished).into_iter();
        let mut news: BTreeMap<_, _> = unfinished.map(|name| (name, News::Closed)).collect();
        for (name, held) in self.held.all() {
            news.entry(name).or_insert(held);
        }
        self.visit_all(news, now, sink);
        for _ in 0..ROUNDS_MAX {
            let news = self.read_events();
            if news.is_empty() {
                break;
            }
            self.visit_all(news, now, sink);
        }
        self.try_locks(now, sink);
        self.look_for_holders(now, sink);
        let mut tell = |name: &OutputName, text: &str| sink(line(name, text));
        self.unsaid.say(&self.room, now, &mut tell);
        for followed in self.files.values_mut() {
            let OutputFile { name, budget, .. } = &mut followed.file;
            if budget.say_at().is_some_and(|at| at <= now) {
                if self.room.has_room_for_last_words() {
                    budget.say(now, &mut |text| sink(line(name, text)));
                } else {
                    budget.postpone(now);
                }
            }
        }
        if self.unfinished.is_empty() {
            self.next_deadline(now)
        } else {
            Some(now)
        }
    }

    /// Tells all that a job has printed by its end, which has come, and what was left out of it. To be called after
    /// a [`drain`](Self::drain) that followed the end.
    pub fn finish(&mut self, job: JobId, sink: &mut dyn FnMut(OutputLine<'_>)) {
        let now = now();
        let files = self.files.iter();
        let names: Vec<String> = files
            .filter(|(_, followed)| followed.file.name.job == job)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            for _ in 0..ROUNDS_MAX {
                if !self.unfinished.remove(&name) {
                    break;
                }
                self.visit(&name, News::Closed, now, sink);
            }
            // A last line without an end is the job's last word, even if what it left behind goes on to print.
            self.read(&name, ChunkEnd::Final, now, sink);
            if let Some(followed) = self.files.get_mut(&name) {
                let OutputFile { name, budget, .. } = &mut followed.file;
                if self.room.has_room_for_last_words() {
                    budget.say_last(&mut |text| sink(line(name, text)));
                }
            }
        }
    }

    /// What has been counted.
    pub fn counters(&self) -> OutputCounters {
        OutputCounters {
            last_words_lost: self.unsaid.dropped(),
            files: u64::try_from(self.files.len()).unwrap_or(u64::MAX),
            ..self.counters
        }
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let deadlines = self.files.values().flat_map(|followed| {
            let look_at = match followed.stage {
                Stage::Closing { look_at, .. }
                | Stage::Left { look_at }
                | Stage::Held { look_at } => Some(look_at),
                Stage::Written => None,
            };
            [look_at, followed.file.budget.say_at()]
        });
        let others = self
            .watch
            .again_at()
            .into_iter()
            .chain(self.held.until_at())
            .chain(self.unsaid.again_at(now));
        deadlines.flatten().chain(others).min()
    }

    fn read_events(&mut self) -> BTreeMap<String, News> {
        let heard = self.watch.read();
        if heard.overflown {
            self.counters.overflows += 1;
            self.counters.failures += u64::from(self.take_up_all().is_err());
        }
        heard.news
    }

    /// Marks every file of the directory for a visit.
    fn take_up_all(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                self.unfinished.insert(name);
            }
        }
        Ok(())
    }

    /// Visits the files that do not wait for the start of their job to be told. They share the room.
    fn visit_all(
        &mut self,
        mut news: BTreeMap<String, News>,
        now: Instant,
        sink: &mut dyn FnMut(OutputLine<'_>),
    ) {
        news.retain(|name, news| {
            self.files.contains_key(name) || !self.held.hold(name, *news, now)
        });
        self.room.share_among(news.len());
        for (name, news) in news {
            self.visit(&name, news, now, sink);
        }
    }

    fn visit(
        &mut self,
        name: &str,
        news: News,
        now: Instant,
        sink: &mut dyn FnMut(OutputLine<'_>),
    ) {
        if !self.files.contains_key(name) && !self.take_up(name, now) {
            return;
        }
        let Some(followed) = self.files.get_mut(name) else {
            return;
        };
        followed.stage = followed.stage.after(news, &followed.file, now);
        let end = match followed.stage {
            Stage::Left { .. } => ChunkEnd::Final,
            Stage::Written | Stage::Closing { .. } | Stage::Held { .. } => ChunkEnd::Open,
        };
        let is_check = followed.file.name.action == Action::IsRunning;
        let more = self.read(name, end, now, sink);
        if more {
            self.unfinished.insert(name.to_owned());
        } else if is_check && end == ChunkEnd::Final {
            self.remove(name, now, sink);
        }
    }

    /// Begins to follow a file; says whether it does.
    fn take_up(&mut self, name: &str, now: Instant) -> bool {
        let Some(parsed) = OutputName::parse(name) else {
            return false;
        };
        if self.files.len() >= self.followed_max {
            if self.counters.refusals == 0 {
                tracing::warn!(
                    "the output of more than {} processes cannot be followed; that of others grows unread until \
                     one of them ends (the limit on open files, LimitNOFILE= or `ulimit -n`, allows no more)",
                    self.followed_max
                );
            }
            self.counters.refusals += 1;
            return false;
        }
        match OutputFile::open(&self.directory, parsed, now) {
            Ok(file) => {
                let stage = Stage::Written;
                self.files.insert(name.to_owned(), Followed { file, stage });
                true
            }
            Err(error) => {
                // The last event of a file that has been unlinked comes after that.
                self.counters.failures += u64::from(error.kind() != io::ErrorKind::NotFound);
                false
            }
        }
    }

    /// Reads a file; says whether there is more.
    fn read(
        &mut self,
        name: &str,
        end: ChunkEnd,
        now: Instant,
        sink: &mut dyn FnMut(OutputLine<'_>),
    ) -> bool {
        let Some(followed) = self.files.get_mut(name) else {
            return false;
        };
        let mut tell = |name: &OutputName, text: &str| sink(line(name, text));
        let within = (&mut self.buffer[..], self.room.share());
        let read = followed.file.read(end, now, within, &mut tell);
        let Ok(visit) = read else {
            self.counters.failures += 1;
            return false;
        };
        self.counters.lines += visit.lines;
        self.counters.lines_left_out += visit.lines_left_out;
        self.counters.bytes_left_out += visit.bytes_left_out;
        self.counters.truncations += u64::from(visit.truncated);
        visit.more
    }
}

/// How many files may be followed where the process may have so many descriptors.
fn followed_max(descriptors: Option<u64>) -> usize {
    let half = descriptors.map_or(u64::MAX, |limit| limit / 2);
    usize::try_from(half).map_or(FOLLOWED_MAX, |half| half.min(FOLLOWED_MAX))
}

fn line<'a>(name: &'a OutputName, text: &'a str) -> OutputLine<'a> {
    OutputLine {
        instance: &name.instance,
        action: name.action,
        job: name.job,
        serves: name.serves,
        text,
    }
}

#[cfg(test)]
mod tests;

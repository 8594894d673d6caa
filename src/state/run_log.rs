//! The run record of this boot, `run.json`: what is known of each service, and the jobs in flight. Shared by
//! the spawner threads, which note an intent before a spawn and the process after it, and the disk thread,
//! which notes the rest. Nothing is synced, because the file means nothing after a reboot: in the runtime
//! directory, which is in memory, a write never waits for a disk. With a workspace it is where the workspace is.
//!
//! JSON Lines: a header, then one record per line, each appended by one write(2), half a microsecond of work.
//! What the kernel has taken survives `kill -9`. A line without its end was being written when the daemon was
//! killed, and what it announces had not begun. The file is rewritten (temporary file and rename) when it has
//! grown.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::boot::BootId;
use super::files::{self, Durability, Finding};
use crate::kill_points;
use crate::machine::job::{JobId, Knowledge};
use crate::machine::settings::InstanceName;

mod record;

use record::Record;
pub use record::{InFlight, Process, RunState};

/// The version of the format; another one is set aside.
const VERSION: u32 = 1;

/// Below this size, in bytes, the file is never rewritten.
const COMPACT_BYTES_MIN: u64 = 64 << 10;

/// The file is rewritten when it is this many times as long as when it was rewritten last.
const COMPACT_FACTOR: u64 = 4;

/// The first line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    version: u32,
    boot: BootId,
    /// See [`SystemStart::init_start_ticks`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init_start_ticks: Option<u64>,
    /// Whether an unusable file of this boot has been set aside: then an instance without a record may run.
    #[serde(default)]
    damaged: bool,
}

/// What a record is good for: every process that it tells of is gone when the system has been started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemStart {
    /// The boot of the kernel.
    pub boot: BootId,
    /// When PID 1 started, in clock ticks after the boot (proc_pid_stat(5), field 22): a container that is
    /// started again has a new one in the same boot. `None` where it may not be read; then the boot decides.
    pub init_start_ticks: Option<u64>,
}

impl SystemStart {
    fn is_that_of(&self, header: &Header) -> bool {
        let inits = self.init_start_ticks.zip(header.init_start_ticks);
        self.boot == header.boot && inits.is_none_or(|(ours, theirs)| ours == theirs)
    }
}

/// A record that could not be written. The log remembers it and writes all it knows with the next one.
#[derive(Debug, thiserror::Error)]
#[error("cannot record the state of this boot in {}", path.display())]
pub struct RunLogError {
    path: PathBuf,
    source: io::Error,
}

/// The open run record.
///
/// The mutex is held for one write: some microseconds, or now and then the few milliseconds of a
/// rewrite. The spawner threads need an order between their writes and those of
/// the disk thread that is the same in the file as in memory, which a queue to the disk thread could only
/// give them by an answer, that is, two more changes of thread before each spawn.
#[derive(Debug)]
pub struct RunLog {
    inner: Mutex<Inner>,
    found: Found,
}

/// What there was when the record was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A record that tells of every job of earlier lives that may still run.
    Whole,
    /// None, or a damaged one: jobs may run of which it does not tell. It was never written, was removed, or is
    /// where an earlier life of the daemon had its directory.
    Lost,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    start: SystemStart,
    /// All that the file should say.
    state: RunState,
    /// `None`: the file lacks something and is rewritten with the next record.
    file: Option<File>,
    /// The length of the file.
    bytes: u64,
    /// The length at which it is rewritten.
    compact_at_bytes: u64,
}

impl RunLog {
    /// Opens the record at `path`, in the daemon's own directory and under its lock. Always succeeds: what
    /// went wrong is found, and the findings are for the log.
    ///
    /// A record of another start of the system is forgotten quietly. One that cannot be read, or that another
    /// version wrote, is set aside, and every instance may then be running.
    pub fn open(path: &Path, start: &SystemStart) -> (Self, RunState, Vec<Finding>) {
        let mut findings = Vec::new();
        let read = match files::read(path) {
            Ok(Some(bytes)) => parse(&bytes, start).map(|state| (state, Found::Whole)),
            Ok(None) => Ok((RunState::default(), Found::Lost)),
            Err(error) => Err(damaged(RunState::default(), error.to_string())),
        };
        let (state, found) = read.unwrap_or_else(|damage| {
            findings.push(files::set_aside(path, damage.why));
            (damage.rest, Found::Lost)
        });
        let mut inner = Inner {
            path: path.to_owned(),
            start: start.clone(),
            state: state.clone(),
            file: None,
            bytes: 0,
            compact_at_bytes: 0,
        };
        if let Err(RunLogError { path, source }) = inner.rewrite() {
            findings.push(Finding::NotWritten { path, source });
        }
        let log = Self {
            inner: Mutex::new(inner),
            found,
        };
        (log, state, findings)
    }

    /// What there was when it was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Notes a job that is about to be spawned, or one of an earlier life that is not in the record.
    pub fn intent(&self, job: InFlight) -> Result<(), RunLogError> {
        self.lock().append(Record::Intent(job))
    }

    /// Notes the process of a job.
    pub fn spawned(&self, job: JobId, process: Process) -> Result<(), RunLogError> {
        self.lock().append(Record::Spawned { job, process })
    }

    /// Notes that a job could not be spawned after all: what was known of the service holds.
    pub fn not_spawned(&self, job: JobId) -> Result<(), RunLogError> {
        self.lock().append(Record::NotSpawned { job })
    }

    /// Notes that a job has ended. After a start or stop the service may be running until [`Self::knowledge`]
    /// says more, so this comes first of the two.
    pub fn ended(&self, job: JobId) -> Result<(), RunLogError> {
        self.lock().append_or_rewrite(Record::Ended { job })
    }

    /// Notes what is known of a service.
    pub fn knowledge(
        &self,
        instance: InstanceName,
        knowledge: Knowledge,
    ) -> Result<(), RunLogError> {
        self.lock().append_or_rewrite(Record::Knowledge {
            instance,
            knowledge,
        })
    }

    /// Notes that the interface which the file names for an instance has been seen.
    pub fn nic_seen(&self, instance: InstanceName, nic: String) -> Result<(), RunLogError> {
        self.lock()
            .append_or_rewrite(Record::NicSeen { instance, nic })
    }

    /// Writes all that is known where the file, or its directory, has been removed: for the end of the daemon, whose
    /// record the next one begins with.
    pub fn keep(&self) -> Result<(), RunLogError> {
        let mut inner = self.lock();
        if inner.is_at_its_path() {
            return Ok(());
        }
        inner.rewrite()
    }

    /// Notes that an instance is gone.
    pub fn forget(&self, instance: InstanceName) -> Result<(), RunLogError> {
        self.lock().append_or_rewrite(Record::Forget { instance })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked in here left at worst a file that lacks a record.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Appends, and rewrites the file when it has grown: for the disk thread, which has the time.
    fn append_or_rewrite(&mut self, record: Record) -> Result<(), RunLogError> {
        self.append(record)?;
        if self.bytes < self.compact_at_bytes {
            return Ok(());
        }
        self.rewrite().inspect_err(|_| {
            // The old file is still whole; it is tried again when as much has been added.
            self.compact_at_bytes = self.bytes + COMPACT_BYTES_MIN;
        })
    }

    fn append(&mut self, record: Record) -> Result<(), RunLogError> {
        let line = line_of(&record);
        let kind = record.kind();
        self.state.apply(record);
        if !self.is_at_its_path() {
            // What is written into a file without a name reaches nobody.
            self.file = None;
        }
        kill_points::pass(kind, "before");
        kill_points::pass_torn(kind, "torn", || {
            let half = line.get(..line.len() / 2).unwrap_or_default();
            let _ = self.file.as_mut().map(|file| file.write_all(half));
        });
        let written = self.file.as_mut().map(|file| file.write_all(&line));
        if let Some(Ok(())) = written {
            kill_points::pass(kind, "after");
            self.bytes += line.len() as u64;
            return Ok(());
        }
        // The file lacks this record or an earlier one, or ends in a piece of it.
        self.file = None;
        self.rewrite()
    }

    /// Whether the open file still has a name: one look at its inode, far less work than the write.
    fn is_at_its_path(&self) -> bool {
        let named = |file: &File| file.metadata().is_ok_and(|found| found.nlink() > 0);
        self.file.as_ref().is_some_and(named)
    }

    /// Writes a new file of all that is known, and appends to that one from now on.
    fn rewrite(&mut self) -> Result<(), RunLogError> {
        let header = Header {
            version: VERSION,
            boot: self.start.boot.clone(),
            init_start_ticks: self.start.init_start_ticks,
            damaged: self.state.damaged,
        };
        let mut bytes = line_of(&header);
        for record in self.state.records() {
            bytes.extend(line_of(&record));
        }
        let replace = || files::replace(&self.path, &bytes, Durability::ThisBoot);
        let replaced = replace().or_else(|error| match self.path.parent() {
            // Somebody has removed the directory. Its parents are another's business.
            Some(directory) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(directory)?;
                replace()
            }
            Some(_) | None => Err(error),
        });
        let file = replaced.map_err(|source| RunLogError {
            path: self.path.clone(),
            source,
        })?;
        self.file = Some(file);
        self.bytes = bytes.len() as u64;
        self.compact_at_bytes = COMPACT_BYTES_MIN.max(self.bytes * COMPACT_FACTOR);
        Ok(())
    }
}

/// A file that is not what this daemon writes, and what could be read of it all the same.
struct Damage {
    why: String,
    rest: RunState,
}

/// What was known of the services is no longer certain. The jobs are kept: whether their processes are there
/// is checked anyway before anything is done with them. So are the interfaces: what has been there has been there.
fn damaged(read: RunState, why: String) -> Damage {
    let rest = RunState {
        damaged: true,
        in_flight: read.in_flight,
        nics_seen: read.nics_seen,
        ..RunState::default()
    };
    Damage { why, rest }
}

fn parse(bytes: &[u8], start: &SystemStart) -> Result<RunState, Damage> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    let header = lines
        .next()
        .map(|(_, line)| serde_json::from_slice::<Header>(line));
    let header = match header {
        // Only a whole file is ever given the name, so even the first record finds a whole header.
        Some(Ok(header)) if bytes.contains(&b'\n') => header,
        Some(Ok(_)) | None => return Err(damaged(RunState::default(), "it has no header".into())),
        Some(Err(error)) => {
            return Err(damaged(RunState::default(), format!("its header: {error}")));
        }
    };
    if !start.is_that_of(&header) {
        return Ok(RunState::default());
    }
    if header.version != VERSION {
        let why = format!("its version is {}, not {VERSION}", header.version);
        return Err(damaged(RunState::default(), why));
    }
    let mut state = RunState {
        damaged: header.damaged,
        ..RunState::default()
    };
    let mut fault = None;
    for (at, line) in lines.filter(|(_, line)| line.ends_with(b"\n")) {
        match serde_json::from_slice(line) {
            Ok(record) => state.apply(record),
            Err(error) if fault.is_none() => fault = Some(format!("line {}: {error}", at + 1)),
            Err(_) => {}
        }
    }
    match fault {
        None => Ok(state),
        Some(why) => Err(damaged(state, why)),
    }
}

fn line_of(value: &impl Serialize) -> Vec<u8> {
    // Our records are maps with text keys, and a vector takes every byte: serialization has no way to fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;

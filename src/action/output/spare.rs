//! An output file made ahead of its job, so that between the order and the exec no file is made or renamed. Each
//! spawner thread has one of its own; it makes the next when the job before has been told.
//!
//! A daemon that is killed between a spawn and the naming leaves a file that its job writes into and nobody
//! reads. The next one finds the writer, whose environment has the name.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use super::OutputName;
use super::holders::held;
use crate::action::environment::variables_of;
use crate::kill_points;
use crate::machine::job::Job;

/// Room on the disk that each file has from the beginning, in bytes: on a disk that is full by then a script can still
/// say what scripts usually say. One whose `echo` fails may end there, or seem to have failed.
const ROOM: u64 = 16 * 1024;

/// Where spare files wait: beside the output directory, because there every file belongs to a job.
fn waiting_room(output_directory: &Path) -> PathBuf {
    output_directory.with_file_name("output-spare")
}

/// Makes the place where spare files wait, and clears it of what an earlier life of the daemon left in it. What
/// is named here the [`OutputFollower`](super::OutputFollower) finds or hears of.
pub(in crate::action) fn make_room(output_directory: &Path) {
    let room = waiting_room(output_directory);
    // Without it there is no spare file, which is counted with each job.
    let _ = DirBuilder::new().mode(0o700).create(&room);
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(&room).into_iter().flatten().flatten() {
        let unused = File::open(entry.path())
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
        if unused {
            let _ = fs::remove_file(entry.path());
        } else if let Ok(name) = entry.file_name().into_string() {
            written.insert(name);
        }
    }
    if !written.is_empty() {
        for (file, pid) in held(&written) {
            let variables = variables_of(pid).ok();
            let Some(name) = variables.and_then(|all| OutputName::among(&all)) else {
                tracing::warn!(
                    "process {pid} prints into {}, and whose it is cannot be told: its output is not followed",
                    room.join(file).display()
                );
                continue;
            };
            let followed = output_directory.join(name.file_name());
            if let Err(error) = fs::rename(room.join(&file), &followed) {
                tracing::warn!(
                    "what process {pid} prints cannot be followed, because its file cannot be renamed to {}: {error}",
                    followed.display()
                );
            }
        }
    }
}

/// Where a job's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::action) enum OutputFate {
    /// Into its file.
    Kept,
    /// Nowhere, because no file could be made: a full disk must not stop a failover.
    Lost,
}

/// The outputs that went nowhere, of all threads.
#[derive(Debug, Default)]
pub(in crate::action) struct LostOutputs {
    /// How many.
    pub(in crate::action) count: u64,
    /// Whether the last one did.
    failing: bool,
}

impl LostOutputs {
    /// Takes in what became of the next one. Returns whether it is the first of a series that is lost.
    pub(in crate::action) fn note(&mut self, fate: OutputFate) -> bool {
        let fails = match fate {
            OutputFate::Kept => false,
            OutputFate::Lost => true,
        };
        self.count += u64::from(fails);
        let failed = std::mem::replace(&mut self.failing, fails);
        fails && !failed
    }
}

/// The spare file of one spawner thread.
pub(in crate::action) struct Spare {
    output_directory: PathBuf,
    life: u32,
    thread: u32,
    /// How many have been made.
    made: u64,
    file: Option<(PathBuf, File)>,
    /// Why there is none, or why the last one could not be named.
    trouble: Option<io::Error>,
}

impl Spare {
    /// Has none yet. `thread` is the thread's number, which no other has in this life of the daemon.
    pub(in crate::action) fn new(output_directory: &Path, life: u32, thread: u32) -> Self {
        Self {
            output_directory: output_directory.to_owned(),
            life,
            thread,
            made: 0,
            file: None,
            trouble: None,
        }
    }

    /// Tells that what this job prints is not read. For the first of a series; all of them are counted.
    pub(in crate::action) fn tell_lost(&self, job: &Job) {
        let error = self.trouble.as_ref().map(ToString::to_string);
        tracing::error!(
            instance = job.settings.name.as_str(),
            action = job.action.as_str(),
            job = %job.id,
            "what {} and later scripts print is lost, because no file for it can be made in {}: {}; if the directory \
             was removed, restart the daemon",
            job.action,
            self.output_directory.display(),
            error.unwrap_or_default()
        );
    }

    /// Makes one if there is none. May wait for a disk.
    pub(in crate::action) fn prepare(&mut self) {
        if self.file.is_none() {
            self.made += 1;
            // Other daemons have spare files too, and a look through /proc sees all of them.
            let name = format!("{:08x}.{}.{}", self.life, self.thread, self.made);
            let path = waiting_room(&self.output_directory).join(name);
            match make(&path) {
                Ok(file) => self.file = Some((path, file)),
                Err(error) => self.trouble = Some(error),
            }
            kill_points::pass("spare", "made");
        }
    }

    /// The file for the next job's output, locked for its writers; `None` where none can be made.
    pub(in crate::action) fn file(&mut self) -> Option<&File> {
        self.prepare();
        self.file.as_ref().map(|(_, file)| file)
    }

    /// Gives the file to the job whose process has it now. One that cannot be renamed stays where it is, for the
    /// next daemon to name.
    pub(in crate::action) fn hand_over(&mut self, name: &OutputName) -> OutputFate {
        // Closed after the renaming: the follower learns by that in its own directory who has let go of the file.
        let Some((path, _file)) = self.file.take() else {
            return OutputFate::Lost;
        };
        match fs::rename(path, self.output_directory.join(name.file_name())) {
            Ok(()) => OutputFate::Kept,
            Err(error) => {
                self.trouble = Some(error);
                OutputFate::Lost
            }
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            let _ = fs::remove_file(path);
        }
    }
}

/// The file is opened for appending, so that both streams, and all processes, write behind one another, and so
/// that the reader may truncate it.
fn make(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    flock(&file, FlockOperation::NonBlockingLockShared)?;
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => {
            // An empty file would take room too. Where even that fails, the next daemon clears it away.
            let _ = fs::remove_file(path);
            Err(error.into())
        }
        // Whatever else it is, as a file system that cannot promise room: the file itself is good.
        Ok(()) | Err(_) => Ok(file),
    }
}

#[cfg(test)]
mod tests;

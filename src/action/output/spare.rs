//! An output file made ahead of its job, so that between the order and the exec there is one rename and no
//! open. Each spawner thread has one of its own; it makes the next when the job before has been told.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::OutputName;

/// Where spare files wait: beside the output directory, because there every file belongs to a job.
fn waiting_room(output_directory: &Path) -> PathBuf {
    output_directory.with_file_name("output-spare")
}

/// Makes the place where spare files wait and removes what an earlier life of the daemon left in it: a spare
/// file has its job's name before the job's process exists, so nobody writes into one that is found here.
pub(in crate::action) fn make_room(output_directory: &Path) {
    let room = waiting_room(output_directory);
    // Without it the files are made when they are needed.
    let _ = DirBuilder::new().mode(0o700).create(&room);
    for entry in fs::read_dir(&room).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

/// The spare file of one spawner thread.
pub(in crate::action) struct Spare {
    output_directory: PathBuf,
    path: PathBuf,
    file: Option<File>,
}

impl Spare {
    /// Makes the first one. `thread` is the thread's number, which no other has at the same time.
    pub(in crate::action) fn new(output_directory: &Path, thread: u32) -> Self {
        let mut spare = Self {
            output_directory: output_directory.to_owned(),
            path: waiting_room(output_directory).join(thread.to_string()),
            file: None,
        };
        spare.prepare();
        spare
    }

    /// Makes one if there is none. May wait for a disk.
    pub(in crate::action) fn prepare(&mut self) {
        if self.file.is_none() {
            self.file = make(&self.path).ok();
        }
    }

    /// The output file of a job, under its name and locked for its writers.
    pub(in crate::action) fn take(&mut self, name: &OutputName) -> io::Result<File> {
        let path = self.output_directory.join(name.file_name());
        match self.file.take() {
            Some(file) if fs::rename(&self.path, path).is_ok() => Ok(file),
            Some(_) | None => name.create(&self.output_directory),
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn make(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    flock(&file, FlockOperation::NonBlockingLockShared)?;
    Ok(file)
}

//! The directories of one daemon or of one bench, which vanish with it.

use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

/// A file system in memory on every Linux machine, as /run is, and writable for everybody.
const MEMORY: &str = "/dev/shm";

/// One directory of each kind.
pub(crate) struct Places {
    disk: TempDir,
    memory: TempDir,
}

impl Places {
    /// Makes them.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let disk = tempfile::tempdir().context("cannot make a directory")?;
        let memory = tempfile::tempdir_in(MEMORY);
        let memory = memory.with_context(|| format!("cannot make a directory in {MEMORY}"))?;
        Ok(Self { disk, memory })
    }

    /// For all that may be slow: programs, logs, states.
    pub(crate) fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// For what is in /run where a distribution installs the daemon.
    pub(crate) fn memory(&self) -> &Path {
        self.memory.path()
    }
}

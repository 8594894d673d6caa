//! The epochs: one counter of transitions per instance that only grows, over restarts and reboots. The file
//! holds how far each is reserved; it is written by the disk thread, ahead of need, and synced, so that no
//! disk write lies between an event and its hook. The reactor thread never calls this.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::boot::BootId;
use super::files::{self, Durability, Finding};
use crate::kill_points;
use crate::machine::settings::InstanceName;

/// How many epochs are reserved at a time.
pub const BLOCK: u64 = crate::machine::EPOCH_BLOCK;

/// The version of the format; another one is set aside.
const VERSION: u32 = 1;

/// Epochs per second of the clock in a counter that had to begin anew. No counter that began at zero grows by
/// a million a second, so no number above `seconds since 1970 << 20` has been used; and until the year 2242 it
/// fits into the 53 bits that readers of JSON can be trusted with.
const BITS_PER_SECOND: u32 = 20;

/// The file as it stands on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    version: u32,
    /// The boot that wrote it.
    boot: BootId,
    /// What counts as used for an instance that is not listed.
    #[serde(default)]
    floor: u64,
    /// The last reserved epoch of each instance that has ever had one, configured or not.
    instances: BTreeMap<InstanceName, u64>,
}

/// A reservation that could not be written: none of it counts.
#[derive(Debug, thiserror::Error)]
#[error("cannot reserve epochs in {}", path.display())]
pub struct EpochsError {
    path: PathBuf,
    source: io::Error,
}

/// The counters, as they are on disk.
#[derive(Debug)]
pub struct Epochs {
    path: PathBuf,
    content: Content,
}

impl Epochs {
    /// Reads the file at `path`, in the daemon's own directory and under its lock. Writes nothing, and always
    /// succeeds: a file that cannot be used is set aside and reported, and the counters go on from `now`,
    /// the time of day.
    ///
    /// After a reboot every counter skips one more block: the machine does not wait for a reservation, so the
    /// last one may have been in use when the power failed before it had reached the disk.
    pub fn open(path: &Path, boot: &BootId, now: SystemTime) -> (Self, Option<Finding>) {
        let fresh = |floor| Content {
            version: VERSION,
            boot: boot.clone(),
            floor,
            instances: BTreeMap::new(),
        };
        let read = match files::read(path) {
            Ok(None) => Ok(fresh(0)),
            Ok(Some(bytes)) => parse(&bytes),
            Err(error) => Err(error.to_string()),
        };
        let (mut content, finding) = match read {
            Ok(content) => (content, None),
            Err(why) => (fresh(unused(now)), Some(files::set_aside(path, why))),
        };
        if content.boot != *boot {
            content.boot = boot.clone();
            for counter in content.instances.values_mut().chain([&mut content.floor]) {
                *counter = counter.saturating_add(BLOCK);
            }
        }
        let path = path.to_owned();
        (Self { path, content }, finding)
    }

    /// The last epoch of an instance that may have been used.
    pub fn last_used(&self, instance: &InstanceName) -> u64 {
        let listed = self.content.instances.get(instance).copied();
        listed.unwrap_or(self.content.floor)
    }

    /// The instances that have ever had an epoch.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &InstanceName> {
        self.content.instances.keys()
    }

    /// Writes to disk that the epochs of these instances may be used up to and including the number beside
    /// each; returns when they are there. One write for all; a number below an earlier one changes nothing.
    pub fn reserve_many<'a>(
        &mut self,
        through: impl IntoIterator<Item = (&'a InstanceName, u64)>,
    ) -> Result<(), EpochsError> {
        let mut content = self.content.clone();
        for (instance, through) in through {
            let used = self.last_used(instance);
            let counter = content.instances.entry(instance.clone()).or_insert(used);
            *counter = through.max(*counter);
        }
        let replaced = serde_json::to_vec(&content)
            .map_err(io::Error::from)
            .and_then(|bytes| files::replace(&self.path, &bytes, Durability::Disk));
        replaced.map_err(|source| EpochsError {
            path: self.path.clone(),
            source,
        })?;
        kill_points::pass("epoch", "synced");
        self.content = content;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<Content, String> {
    let content: Content = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if content.version == VERSION {
        Ok(content)
    } else {
        Err(format!("its version is {}, not {VERSION}", content.version))
    }
}

/// A number that no counter has reached.
fn unused(now: SystemTime) -> u64 {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap_or(Duration::ZERO).as_secs() << BITS_PER_SECOND
}

#[cfg(test)]
mod tests;

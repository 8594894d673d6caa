//! The directories that a start makes, taken back where it comes to nothing, so that a file that never ran leaves
//! nothing behind. On the main thread, before the daemon's other threads begin or after they have ended.

use std::fs;
use std::path::PathBuf;

use super::lock::Lock;
use super::paths::Paths;

/// Those of a daemon's directories that were not there when this was made; each after what is in it.
#[derive(Debug)]
pub struct Absent(Vec<PathBuf>);

impl Absent {
    /// Looks which of them are not there.
    pub fn of(paths: &Paths) -> Self {
        let runtime = paths.runtime_dir().to_owned();
        let directories = [paths.output_dir(), runtime, paths.state_dir().to_owned()];
        let mut absent: Vec<_> = directories.into();
        absent.retain(|path| fs::symlink_metadata(path).is_err());
        Self(absent)
    }

    /// Removes those that have nothing in them but the locks of a daemon that has ended. What else is there is worth
    /// keeping: a log, epochs.
    pub fn remove(self) {
        for directory in self.0 {
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            let inside: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            let is_lock = |path: &PathBuf| path.ends_with("lock") || path.ends_with("state.lock");
            if !inside.iter().all(is_lock) {
                continue;
            }
            for path in inside {
                // One that somebody holds by now keeps the directory.
                if let Ok(lock) = Lock::acquire(&path) {
                    let _ = lock.remove();
                }
            }
            let _ = fs::remove_dir(&directory);
        }
    }
}

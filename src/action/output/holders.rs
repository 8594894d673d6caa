//! Who still has a file open: a look through `/proc/*/fd`. Disk thread only.
//!
//! The lock of an output file tells of everybody who inherited its descriptor. A program that was told to log
//! to `/dev/stdout` opens the file once more, and that descriptor has no lock: unlinked under its writer, the
//! file would fill the disk where nobody sees it. So a file whose lock is free is looked for here before it is
//! unlinked. This costs some milliseconds on a machine with many processes; it is done once for all files that
//! wait for it, and not for is-running, which leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process;

use crate::processes;

/// Those of the file names that some other process has open, with one such process. Processes that we may not
/// read are not seen.
pub(super) fn held(names: &BTreeSet<String>) -> BTreeMap<String, u32> {
    let mut held = BTreeMap::new();
    let Ok(processes) = processes::all() else {
        return held;
    };
    let own_program = fs::read_link("/proc/self/exe").ok();
    for pid in processes.filter(|pid| *pid != process::id()) {
        let directory = Path::new("/proc").join(pid.to_string());
        let Ok(descriptors) = fs::read_dir(directory.join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            // The link is read and not followed: a stat of what it names may wait for a file server. A job's
            // id makes the last part of the name unique, whatever root directory the process has.
            if let Ok(target) = fs::read_link(descriptor.path())
                && let Some(name) = target.file_name().and_then(|name| name.to_str())
                && names.contains(name)
                // A child of this process has all of its descriptors until it has executed its program, the
                // follower's own among them. It does not hold them, and no close would ever tell of it.
                // Nor does a process that ends: it has no program any more, and closes all that it has.
                && fs::read_link(directory.join("exe"))
                    .is_ok_and(|program| Some(&program) != own_program.as_ref())
            {
                held.insert(name.to_owned(), pid);
            }
        }
    }
    held
}

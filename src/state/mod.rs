//! What outlives the process: where the files of a daemon are, the lock that makes it the only one, the run
//! record of this boot and the epochs of all boots. Called at start-up and shutdown, by the disk thread and
//! (the run record's one write before and after a spawn) by the spawner threads; never by the reactor thread.

mod absent;
pub mod boot;
pub mod directories;
pub mod epochs;
mod files;
pub mod lock;
pub mod paths;
pub mod register;
pub mod run_log;

pub use absent::Absent;
pub use boot::BootId;
pub use epochs::Epochs;
pub use files::Finding;
pub use lock::{Holder, Lock, LockError, Pidfile};
pub use paths::{Caller, Paths, PathsError};
pub use register::Registration;
pub use run_log::{Found, InFlight, RunLog, RunLogError, RunState, SystemStart};

use crate::machine::message::{Restored, RestoredMap};
use crate::machine::settings::InstanceName;

/// What the machine is told at start, from the two files: of the `configured` instances, and of all others that
/// anything is noted of, because a reload may bring them back.
///
/// `adopted` and `interrupted` are left unset: whether a job of `run.in_flight` still has a process is for
/// the executor to find out, and it fills them in.
pub fn restore<'a>(
    configured: impl IntoIterator<Item = &'a InstanceName>,
    run: &RunState,
    epochs: &Epochs,
) -> RestoredMap {
    let restored = |name: &InstanceName| {
        let epoch = epochs.last_used(name);
        Restored {
            knowledge: run.knowledge(name),
            adopted: None,
            interrupted: false,
            nic_seen: run.nic_seen(name).map(str::to_owned),
            epoch,
            // What an earlier life reserved counts as used; this life has reserved nothing yet.
            epoch_reserved: epoch,
        }
    };
    let configured = configured.into_iter().cloned();
    let noted = run.instances().chain(epochs.instances()).cloned();
    let restored = |name: InstanceName| {
        let one = restored(&name);
        (name, one)
    };
    configured.chain(noted).map(restored).collect()
}

#[cfg(test)]
mod tests;

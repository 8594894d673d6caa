//! Jobs out: runs scripts, watches them, and follows what they print; has systemd start and stop units. It decides
//! nothing: which job runs, for
//! how long, and what its end means is the machine's business.
//!
//! ```text
//!              submit, signal, adopt                          posix_spawn
//!   reactor ──▶ Executor ──▶ queue (stop, start, is-running) ──▶ spawner threads ──▶ process group
//!           ◀──          ◀── replies: pid and pidfd          ◀──                        │
//!               Spawned, Ended ◀── pidfds, one for each main process ◀──────────────────┤
//!                                                                                       ▼
//!   disk thread ◀── OutputFollower ◀── inotify ◀────────────────────── one regular file for each job
//! ```
//!
//! [`Executor`] lives on the reactor thread and makes no call that can wait. [`OutputFollower`] reads and
//! unlinks files, so it lives on a thread where waiting for a disk harms nobody.

mod counters;
mod ends;
mod environment;
mod event;
mod executor;
mod launch;
mod orphan;
mod output;
mod process;
mod runner;
mod spawn;
mod spawner;
mod stage;
#[cfg(test)]
mod testing;
#[cfg(feature = "units")]
mod units;
mod zombies;

use std::time::Instant;

use crate::machine::job::Job;

pub use counters::ExecutorCounters;
pub use environment::{DaemonName, inherited_environment};
pub use event::ExecEvent;
pub use executor::{Executor, ExecutorError, ExecutorOptions};
pub use orphan::{Candidate, Candidates, Orphan, find_process};
pub use output::{HasStarted, LogRoom, OutputCounters, OutputError, OutputFollower, OutputLine};
pub use process::{ProcessStart, age_of, init_start};
pub use runner::Runner;
pub use stage::staged;
#[cfg(feature = "units")]
pub use units::look_at_units;

/// Writes down which processes exist, so that a later life of the daemon finds them.
///
/// All calls are made on a spawner thread, first `intent`, then `spawned`, `not_spawned`, or these two, and the reactor
/// hears of the process only after they have returned. They may wait for a disk: that delays this job only.
pub trait JobRecorder: Send + Sync {
    /// The job's process is about to be made.
    fn intent(&self, job: &Job);

    /// The process exists. It leads a process group of its own, whose number is `pid`.
    fn spawned(&self, job: &Job, pid: u32, started: ProcessStart);

    /// No action came of the intent, and the process, if one was told of, has ended.
    fn not_spawned(&self, job: &Job);
}

/// The time of spawns and ends, on the clock that the reactor uses.
#[expect(
    clippy::disallowed_methods,
    reason = "the moment of a spawn or an end is known only here, next to the system call"
)]
fn now() -> Instant {
    Instant::now()
}

//! Whose turn it is in the log: what a job prints stands between the line of its start and the line of its end.
//! Shared by the reactor, which tells of starts and ends, and the disk thread, which tells what was printed. Neither
//! ever waits here; each looks, and is woken when the other has moved on.
//!
//! ```text
//!   reactor   start told ──────────────────▶           end seen, not yet told ──▶ … ──▶ end told
//!   disk                  output held ──▶ output told            output read to its end ──▲
//! ```
//!
//! Nothing of it lies between the kernel's event and the script: a start is told when its process exists, as before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::machine::job::JobId;

/// How long one waits for the other at most: a log in the wrong order is better than none. Only a thread that hangs
/// is as slow.
pub const TURN_MAX: Duration = Duration::from_millis(100);

/// How far both have come.
#[derive(Debug)]
pub(super) struct Turns {
    /// The life of the daemon: of jobs of earlier ones no start is told.
    life: u32,
    /// The starts of all jobs of this life up to this number have been told, or never will be.
    started: AtomicU64,
    /// Of so many ends, in the order in which they were handed over, the output has been told.
    read: AtomicU64,
    /// The disk thread holds something back until a start is told.
    holds: AtomicBool,
    news: Notify,
}

impl Turns {
    pub(super) fn new(life: u32) -> Self {
        Self {
            life,
            started: AtomicU64::new(0),
            read: AtomicU64::new(0),
            holds: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    /// The start of a job has been told. Says whether the disk thread waits for that.
    pub(super) fn start(&self, job: JobId) -> bool {
        self.started.fetch_max(job.number, Ordering::SeqCst);
        self.holds.swap(false, Ordering::SeqCst)
    }

    /// Whether the start of a job has been told.
    pub(super) fn has_started(&self, job: JobId) -> bool {
        job.life != self.life || job.number <= self.started.load(Ordering::SeqCst)
    }

    /// The disk thread is about to look at starts, and wants to be woken at the next one; or it does not any longer.
    pub(super) fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
    }

    /// The output of the next jobs that have ended has been told.
    pub(super) fn end(&self, jobs: u64) {
        self.read.fetch_add(jobs, Ordering::SeqCst);
        self.news.notify_one();
    }

    /// Of how many ends the output has been told.
    pub(super) fn ended(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }

    /// Pends until that may be more.
    pub(super) async fn moved(&self) {
        self.news.notified().await;
    }
}

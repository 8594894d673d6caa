//! What the executor counts, for `status` and the log. Pure data, filled in on the reactor thread.

use serde::{Deserialize, Serialize};

/// What the executor has counted since it was made; `spawns_hanging`, `threads` and `waiting` as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutorCounters {
    /// Jobs taken over, without those refused.
    pub submitted: u64,
    /// Jobs refused because too many were there.
    pub refused: u64,
    /// Processes made.
    pub spawned: u64,
    /// Jobs of which no process came.
    pub not_started: u64,
    /// Jobs ended, however.
    pub ended: u64,
    /// Signals that could not be sent.
    pub signals_failed: u64,
    /// Processes that are looked after by a timer, because the kernel had no descriptor left for a pidfd.
    pub unwatched: u64,
    /// Jobs whose output went nowhere, because no file could be made for it.
    pub outputs_lost: u64,
    /// Spawns that were called hung.
    pub spawns_hung: u64,
    /// Spawns that have not come to their exec for more than 30 ms.
    pub spawns_hanging: u64,
    /// Threads that could not be made.
    pub threads_failed: u64,
    /// Threads that are there.
    pub threads: u64,
    /// Jobs that wait for a thread.
    pub waiting: u64,
}

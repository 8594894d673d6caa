//! What the follower counts, for `status`. Pure data.

use serde::{Deserialize, Serialize};

/// What has been counted since the follower was made, and `files` as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputCounters {
    /// Lines told.
    pub lines: u64,
    /// Lines read and not told, because a file said too much too fast.
    pub lines_left_out: u64,
    /// Bytes skipped unread, because a file grew faster than it was read.
    pub bytes_left_out: u64,
    /// Files that their writers truncated.
    pub truncations: u64,
    /// Times that the kernel dropped events; every file was then looked at.
    pub overflows: u64,
    /// Reads, openings and removals that failed.
    pub failures: u64,
    /// Times that a file was not taken up for want of room.
    pub refusals: u64,
    /// Files that have gone without their last words, because the log had no room for them for too long.
    pub last_words_lost: u64,
    /// Files that are followed.
    pub files: u64,
}

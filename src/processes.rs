//! The list of all processes, and what the kernel says of each: the one place that goes through `/proc`, and that reads
//! `/proc/PID/stat`. On whatever thread asks; no call in here waits.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// All processes that may be seen, in no order; fails where there is no `/proc`. To list them costs some
/// microseconds for each, so nothing on the way to a script does.
pub fn all() -> io::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// When a process began, in clock ticks since the boot (field 22 of `/proc/PID/stat`, proc(5)).
///
/// A pid and its start name a process for the whole boot: the number may come again, the pair does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessStart(pub u64);

/// What is needed of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Whether it has ended and only waits to be reaped: state Z or X, and no thread is left but the first, which is
    /// in that state while others go on.
    pub ended: bool,
    /// Whether it is stopped, by a signal or by a debugger.
    pub stopped: bool,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it began.
    pub start: ProcessStart,
}

impl ProcessStat {
    /// Reads the file; fails where there is no such process.
    pub fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The second field is the program's name in parentheses and may hold anything, parentheses and spaces
    /// too; so counting begins after the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(text.get(name_end + 1..)?)
            .ok()?
            .split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(13)?.parse().ok()?;
        let start = ProcessStart(fields.nth(1)?.parse().ok()?);
        Some(Self {
            ended: matches!(state, "Z" | "X") && threads <= 1,
            stopped: matches!(state, "T" | "t"),
            group,
            session,
            start,
        })
    }
}

#[cfg(test)]
mod tests;

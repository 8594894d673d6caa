//! One output file: where its reader stands, and what it gives back to the disk. Disk thread only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, SeekFrom, fallocate, flock, seek};
use rustix::io::Errno;

use super::OutputName;
use super::lines::{Budget, ChunkEnd, Cut, Fate, LAST_WORDS, LINE_MAX, cut, whole_lines};
use crate::kill_points;

/// What is read at once, in bytes. Many times `LINE_MAX`, so every full chunk holds a line or a piece of one.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;

/// More than this unread, in bytes, and the reader skips: a script may write faster than anybody logs.
const BACKLOG_MAX: u64 = 256 * 1024;

/// What it does not skip, in bytes: the last words are the interesting ones.
const BACKLOG_KEPT: u64 = 64 * 1024;

/// Chunks read in one visit, so that one file does not keep the others waiting. A backlog that was just not
/// skipped fits.
const CHUNKS_MAX: u32 = 5;

/// A hole is punched from a multiple of this, in bytes. The kernel gives a block back only if one call covers
/// it all, so each call begins where the block of the last one began; no block is larger than this.
const BLOCK_MAX: u64 = 64 * 1024;

/// What a visit to a file came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) lines: u64,
    pub(super) lines_left_out: u64,
    pub(super) bytes_left_out: u64,
    /// The writer had truncated the file.
    pub(super) truncated: bool,
    /// There is more to read.
    pub(super) more: bool,
}

/// How what has been read is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freeing {
    /// By a hole that ends where the reader stands.
    Punch,
    /// By emptying the file when all of it is read, where the file system knows no holes. What is written
    /// between the last look and the truncation is lost.
    Truncate,
}

pub(super) struct OutputFile {
    pub(super) name: OutputName,
    pub(super) budget: Budget,
    file: File,
    /// The first byte that has not been told: always the beginning of a line or of a piece of one, so that
    /// nothing has to be kept in memory for an unfinished line.
    position: u64,
    freeing: Freeing,
}

impl OutputFile {
    /// Opens a file where its last reader stopped: at its first byte that is not in a hole. In the block that
    /// the last hole ends in, what was read is zeros; the reader passes over those.
    pub(super) fn open(directory: &Path, name: OutputName, now: Instant) -> io::Result<Self> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(no_follow)
            .open(directory.join(name.file_name()))?;
        let position = data_after(&file, 0)?;
        Ok(Self {
            name,
            budget: Budget::new(now),
            file,
            position,
            freeing: Freeing::Punch,
        })
    }

    /// Whether everybody who inherited the descriptor of the file has closed it.
    pub(super) fn is_left(&self) -> bool {
        let free = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if free {
            // Unlocking a lock that is held cannot fail.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
        free
    }

    /// Reads on and tells lines, within the budget and at most `share` of them. `end` says whether a last line without
    /// an end is told.
    pub(super) fn read(
        &mut self,
        end: ChunkEnd,
        now: Instant,
        (buffer, mut share): (&mut [u8], usize),
        tell: &mut dyn FnMut(&OutputName, &str),
    ) -> io::Result<Visit> {
        let mut visit = Visit::default();
        if let Some(rest) = share.checked_sub(LAST_WORDS) {
            self.budget.say(now, &mut |text| tell(&self.name, text));
            share = rest;
        }
        let size = self.file.metadata()?.len();
        if self.is_rewritten(size)? {
            visit.truncated = true;
            self.position = 0;
        }
        let start = self.position;
        if size - self.position > BACKLOG_MAX {
            visit.bytes_left_out = self.skip_backlog(size, buffer)?;
            self.budget.skip(visit.bytes_left_out, now);
        }
        visit.more = true;
        for _ in 0..CHUNKS_MAX {
            let length = self.file.read_at(buffer, self.position)?;
            let chunk = buffer.get(..length).unwrap_or_default();
            let end = if length < CHUNK_SIZE {
                end
            } else {
                ChunkEnd::Open
            };
            let taken = match chunk.iter().position(|&byte| byte != 0) {
                Some(0) => {
                    let told = &mut |text: &str| tell(&self.name, text);
                    Self::tell_lines(
                        &mut self.budget,
                        chunk,
                        end,
                        (now, &mut share),
                        &mut visit,
                        told,
                    )
                }
                Some(zeros) => to_u64(zeros),
                None if length == 0 => 0,
                None => data_after(&self.file, self.position + to_u64(length))? - self.position,
            };
            self.position += taken;
            if taken == 0 {
                visit.more = false;
                break;
            }
        }
        if self.position > start {
            kill_points::pass("output", "read");
            self.free(start)?;
        }
        Ok(visit)
    }

    /// Whether the writer has truncated the file since the last visit, and perhaps filled it again past the
    /// reader's place: before that place stand only zeros, because a hole was punched there.
    fn is_rewritten(&self, size: u64) -> io::Result<bool> {
        if size <= self.position || self.position == 0 || self.freeing == Freeing::Truncate {
            return Ok(size < self.position);
        }
        let mut before = [0];
        self.file.read_exact_at(&mut before, self.position - 1)?;
        Ok(before != [0])
    }

    /// Tells the whole lines of a chunk; gives back how many bytes they take.
    fn tell_lines(
        budget: &mut Budget,
        chunk: &[u8],
        end: ChunkEnd,
        (now, share): (Instant, &mut usize),
        visit: &mut Visit,
        tell: &mut dyn FnMut(&str),
    ) -> u64 {
        let mut text = String::new();
        let mut taken = 0;
        while let Some(rest) = chunk.get(taken..) {
            if budget.is_silent()
                && let Some(lines) = whole_lines(rest).and_then(|length| rest.get(..length))
            {
                visit.lines_left_out += budget.leave_out(lines, now);
                taken += lines.len();
                continue;
            }
            let Some(first) = cut(rest, end) else { break };
            taken += first.taken;
            match budget.take_line(&first, &mut text, share, now) {
                Fate::Told => {
                    tell(&text);
                    visit.lines += 1;
                }
                Fate::LeftOut => visit.lines_left_out += 1,
            }
        }
        to_u64(taken)
    }

    /// Moves to a beginning of a line in the last part of the file; gives back how many bytes that leaves out.
    fn skip_backlog(&mut self, size: u64, buffer: &mut [u8]) -> io::Result<u64> {
        let from = self.position;
        self.position = size - BACKLOG_KEPT;
        let length = self.file.read_at(buffer, self.position)?;
        let within = buffer.get(..length.min(LINE_MAX)).unwrap_or_default();
        if let Some(Cut { taken, .. }) = cut(within, ChunkEnd::Open) {
            self.position += to_u64(taken);
        }
        Ok(self.position - from)
    }

    /// Gives back what has been read since `start`.
    fn free(&mut self, start: u64) -> io::Result<()> {
        if self.freeing == Freeing::Punch {
            let from = start - start % BLOCK_MAX;
            let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.file, mode, from, self.position - from) {
                Ok(()) => return Ok(()),
                // Whatever the error: what is not zero must not be taken for written anew.
                Err(_) => self.freeing = Freeing::Truncate,
            }
        }
        if self.file.metadata()?.len() == self.position {
            self.file.set_len(0)?;
            self.position = 0;
        }
        Ok(())
    }
}

/// The first byte at or after `from` that is not in a hole; the file's end where there is none.
fn data_after(file: &File, from: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(position) => Ok(position),
        Err(Errno::NXIO) => Ok(file.metadata()?.len().max(from)),
        // A file system that knows no holes.
        Err(Errno::INVAL) => Ok(from),
        Err(error) => Err(error.into()),
    }
}

/// A length in memory as a length in a file.
fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

//! From bytes to lines that may be logged, and how many of them. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The longest line, in bytes; a longer one is told in pieces.
pub(super) const LINE_MAX: usize = 4096;

/// What stands at the end of a piece that the next one continues.
const CONTINUED: &str = " [...]";

/// The first line of a chunk of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    /// Without its end.
    pub(super) line: &'a [u8],
    /// How many bytes it takes, its end included.
    pub(super) taken: usize,
    /// Whether the rest of the line follows as another.
    pub(super) rest: Rest,
}

/// What comes after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The next line.
    NewLine,
    /// More of the same line.
    SameLine,
}

/// What the end of a chunk means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkEnd {
    /// More may follow: a line without an end is not told yet.
    Open,
    /// Nothing follows: such a line is the last.
    Final,
}

/// Cuts the first line off; `None` where none is complete.
pub(super) fn cut(chunk: &[u8], end: ChunkEnd) -> Option<Cut<'_>> {
    let within = chunk.get(..LINE_MAX).unwrap_or(chunk);
    if let Some(length) = within.iter().position(|&byte| byte == b'\n') {
        let line = within.get(..length)?;
        return Some(Cut {
            line: line.strip_suffix(b"\r").unwrap_or(line),
            taken: length + 1,
            rest: Rest::NewLine,
        });
    }
    if within.len() < LINE_MAX {
        return (end == ChunkEnd::Final && !chunk.is_empty()).then_some(Cut {
            line: chunk,
            taken: chunk.len(),
            rest: Rest::NewLine,
        });
    }
    let length = character_boundary(within);
    Some(Cut {
        line: within.get(..length)?,
        taken: length,
        rest: Rest::SameLine,
    })
}

/// The beginning of a line whose end is known.
fn first_piece(line: &[u8]) -> Cut<'_> {
    cut(line, ChunkEnd::Final).unwrap_or(Cut {
        line: &[],
        taken: 0,
        rest: Rest::NewLine,
    })
}

/// How many bytes of the chunk are whole lines; `None` where there is no end of a line.
pub(super) fn whole_lines(chunk: &[u8]) -> Option<usize> {
    Some(chunk.iter().rposition(|&byte| byte == b'\n')? + 1)
}

/// A length at most that of the bytes that does not tear a UTF-8 character.
fn character_boundary(bytes: &[u8]) -> usize {
    let is_continuation = |&&byte: &&u8| byte & 0b1100_0000 == 0b1000_0000;
    let torn = bytes.iter().rev().take(3).take_while(is_continuation);
    let last = bytes.len() - 1 - torn.count();
    let width = match bytes.get(last) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(_) | None => 1,
    };
    if last + width > bytes.len() {
        last
    } else {
        bytes.len()
    }
}

/// Writes the line as text that harms no terminal and no log: bytes that are not UTF-8 are replaced; control
/// characters, and those that turn the direction of writing, are escaped; tabs stay.
pub(super) fn render(cut: &Cut<'_>, text: &mut String) {
    text.clear();
    for character in String::from_utf8_lossy(cut.line).chars() {
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let breaks = matches!(character, '\u{2028}' | '\u{2029}');
        if character != '\t' && (character.is_control() || turns || breaks) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    if cut.rest == Rest::SameLine {
        text.push_str(CONTINUED);
    }
}

/// Lines that a file may have told at once, where the log has room for them. What is left out here has its last lines
/// told later: the last line of a script that fails is the one that people look for.
pub(super) const BURST_LINES: u32 = 400;

/// Lines that a file may have told in a second for longer.
const LINES_PER_SECOND: u32 = 200;

/// How long a file that has said too much is silent, so that what is left out is one piece and said once.
const SILENCE: Duration = Duration::from_secs(1);

/// Of what is left out the last lines are told all the same: a script's last words are the interesting ones.
const LAST_LINES: usize = 5;

/// The most lines in which what was left out is said.
pub(super) const LAST_WORDS: usize = LAST_LINES + 1;

/// How much of a file may be told, and what was not.
#[derive(Debug)]
pub(super) struct Budget {
    lines: u32,
    filled_at: Instant,
    left_out: Option<LeftOut>,
}

/// What was not told.
#[derive(Debug)]
struct LeftOut {
    since: Instant,
    /// Lines that were read.
    lines: u64,
    /// Bytes that were not even read.
    bytes_unread: u64,
    last: VecDeque<String>,
}

impl LeftOut {
    fn remember(&mut self, cut: &Cut<'_>) {
        let mut line = if self.last.len() < LAST_LINES {
            String::new()
        } else {
            self.last.pop_front().unwrap_or_default()
        };
        render(cut, &mut line);
        self.last.push_back(line);
    }

    fn tell(&self, tell: &mut dyn FnMut(&str)) {
        let told = u64::try_from(self.last.len()).unwrap_or(u64::MAX);
        match (self.lines - told, self.bytes_unread) {
            (0, 0) => {}
            (lines, 0) => tell(&format!("[keepstart: {lines} lines left out]")),
            (0, bytes) => tell(&format!("[keepstart: {bytes} bytes left out]")),
            (lines, bytes) => tell(&format!(
                "[keepstart: {lines} lines and {bytes} bytes more left out]"
            )),
        }
        for line in &self.last {
            tell(line);
        }
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is to be told.
    Told,
    /// It is counted, and perhaps told later as one of the last.
    LeftOut,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: BURST_LINES,
            filled_at: now,
            left_out: None,
        }
    }

    /// Takes a line in; its text is in `text` if it is to be told.
    /// `share` is how many the log has room for.
    pub(super) fn take_line(
        &mut self,
        cut: &Cut<'_>,
        text: &mut String,
        share: &mut usize,
        now: Instant,
    ) -> Fate {
        self.earn(now);
        if self.left_out.is_none()
            && let (Some(lines), Some(rest)) = (self.lines.checked_sub(1), share.checked_sub(1))
        {
            self.lines = lines;
            *share = rest;
            render(cut, text);
            return Fate::Told;
        }
        let left_out = self.left_out(now);
        left_out.lines += 1;
        left_out.remember(cut);
        Fate::LeftOut
    }

    /// Whether every line is left out until that has been said.
    pub(super) fn is_silent(&self) -> bool {
        self.left_out.is_some()
    }

    /// Leaves whole lines out at once; gives back how many. Only the last are looked at one by one: in a flood
    /// the reader must be faster than the writer.
    pub(super) fn leave_out(&mut self, lines: &[u8], now: Instant) -> u64 {
        // A split has one part more than there are ends.
        let ends = lines.split(|&byte| byte == b'\n').skip(1).count();
        let count = u64::try_from(ends).unwrap_or(u64::MAX);
        let left_out = self.left_out(now);
        left_out.lines += count;
        let ended = lines.strip_suffix(b"\n").unwrap_or(lines);
        let last: Vec<&[u8]> = ended
            .rsplit(|&byte| byte == b'\n')
            .take(LAST_LINES)
            .collect();
        for line in last.into_iter().rev() {
            left_out.remember(&first_piece(line));
        }
        count
    }

    /// Counts bytes that were skipped.
    pub(super) fn skip(&mut self, bytes: u64, now: Instant) {
        if bytes > 0 {
            self.left_out(now).bytes_unread += bytes;
        }
    }

    /// When what was left out is to be said.
    pub(super) fn say_at(&self) -> Option<Instant> {
        let left_out = self.left_out.as_ref()?;
        Some(left_out.since + SILENCE)
    }

    /// Says what was left out, if it is time.
    pub(super) fn say(&mut self, now: Instant, tell: &mut dyn FnMut(&str)) {
        if self.say_at().is_some_and(|at| at <= now) {
            self.say_last(tell);
        }
    }

    /// It is time to say what was left out, and there is no room: some time later.
    pub(super) fn postpone(&mut self, now: Instant) {
        if let Some(left_out) = &mut self.left_out {
            left_out.since = now;
        }
    }

    /// Says what was left out, whatever the time.
    pub(super) fn say_last(&mut self, tell: &mut dyn FnMut(&str)) {
        if let Some(left_out) = self.left_out.take() {
            left_out.tell(tell);
        }
    }

    fn earn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let earned = elapsed.as_millis() * u128::from(LINES_PER_SECOND) / 1000;
        if earned > 0 {
            let lines = u128::from(self.lines).saturating_add(earned);
            self.lines = u32::try_from(lines).map_or(BURST_LINES, |lines| lines.min(BURST_LINES));
            self.filled_at = now;
        }
    }

    fn left_out(&mut self, now: Instant) -> &mut LeftOut {
        self.left_out.get_or_insert(LeftOut {
            since: now,
            lines: 0,
            bytes_unread: 0,
            last: VecDeque::new(),
        })
    }
}

#[cfg(test)]
mod tests;

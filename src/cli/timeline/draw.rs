//! A timeline as a person reads it: for each entry what it was and what became of it, and for each of its stages a
//! figure and a bar to scale. Pure.
//!
//! ```text
//! web/7  2026-11-03 14:03:12.345  BACKUP -> MASTER: 192.0.2.10 is on eth0
//!   MASTER took 0.9 ms to the start's first instruction, 1.2 s in all
//!   debounce      0.0 ms  |
//!   spawn         0.9 ms  |
//!   start          1.2 s  ##################################################
//!   is-running   12.0 ms                                                   |
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::out::{Out, Paint};
use crate::cli::status::render::wrap;
use crate::control::client::TimelineAnswer;
use crate::timeline::document::{
    EntryDocument, EntryKind, EntryState, StageDocument, StageKind, StageResult,
};
use crate::timeline::span;

/// What is drawn on.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Canvas {
    /// What paints.
    pub(in crate::cli) out: Out,
    /// How many characters a line has.
    pub(in crate::cli) width: usize,
    /// With what.
    pub(in crate::cli) glyphs: Glyphs,
    /// Whose time of day is shown.
    pub(in crate::cli) zone: TimeZone,
}

/// What bars are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Glyphs {
    /// Blocks of Unicode.
    Blocks,
    /// Characters that everything shows.
    Plain,
}

impl Glyphs {
    /// A cell of a stage's bar.
    fn cell(self, stage: StageKind) -> char {
        match (self, stage) {
            (Self::Blocks, StageKind::Debounce) => '░',
            (Self::Blocks, StageKind::Wait | StageKind::Folded) => '·',
            (Self::Blocks, StageKind::Spawn) => '▒',
            (Self::Blocks, StageKind::Run) => '█',
            (Self::Blocks, StageKind::End) => '╳',
            (Self::Blocks, StageKind::Check) => '▓',
            (Self::Plain, StageKind::Debounce) => ':',
            (Self::Plain, StageKind::Wait | StageKind::Folded) => '.',
            (Self::Plain, StageKind::Spawn) => '+',
            (Self::Plain, StageKind::Run) => '#',
            (Self::Plain, StageKind::End) => 'x',
            (Self::Plain, StageKind::Check) => '=',
        }
    }

    /// The bar of a stage that is shorter than half a cell.
    fn sliver(self) -> char {
        match self {
            Self::Blocks => '▏',
            Self::Plain => '|',
        }
    }

    fn arrow(self) -> &'static str {
        match self {
            Self::Blocks => "→",
            Self::Plain => "->",
        }
    }
}

/// The column of the stages' names.
const NAME_WIDTH: usize = 10;
/// The column of their figures.
const FIGURE_WIDTH: usize = 9;
/// A bar has at least so many cells, however narrow the terminal is.
const BAR_MIN: usize = 12;
/// And at most so many: further apart, a bar and the remark behind it are hard to bring together.
const BAR_MAX: usize = 60;

/// All of it.
pub(in crate::cli) fn timeline(answer: &TimelineAnswer, canvas: &Canvas) -> String {
    let mut text = String::new();
    let head = &answer.timeline;
    let since = canvas.time(head.since_unix_ms);
    if let Some(at) = head.last_gap_unix_ms {
        let line = format!(
            "a gap: more happened at once than could be taken in, last at {} ({} so far); \
             entries of then may be missing",
            canvas.time(at),
            head.gaps
        );
        text.push_str(&canvas.out.paint(Paint::Warn, &canvas.wrapped(&line)));
        text.push_str("\n\n");
    }
    for document in &answer.entries {
        text.push_str(&entry(document, canvas));
        text.push('\n');
    }
    if answer.entries.is_empty() {
        let _ = writeln!(text, "nothing has happened since {since}");
    } else {
        text.push_str(&canvas.legend());
    }
    let mut about = format!("the timeline begins with the daemon's start at {since}");
    if head.forgotten > 0 {
        let _ = write!(about, "; {} older entries had to make room", head.forgotten);
    }
    if head.kept > head.entries {
        let (shown, kept) = (head.entries, head.kept);
        let _ = write!(about, "; the last {shown} of {kept} are shown (--last)");
    }
    about.push_str("; the journal has all: journalctl KEEPSTART_INSTANCE=NAME");
    text.push_str(&canvas.out.paint(Paint::Dim, &canvas.wrapped(&about)));
    text.push('\n');
    text
}

/// One entry: two lines, and one for each of its stages where there are several.
pub(in crate::cli) fn entry(entry: &EntryDocument, canvas: &Canvas) -> String {
    let name = match (&entry.kind, &entry.id) {
        (EntryKind::Transition, Some(id)) => id.clone(),
        (EntryKind::Transition | EntryKind::Unbelieved | EntryKind::Jobs, _) => {
            entry.instance.to_string()
        }
    };
    let change = match (entry.kind, entry.from) {
        (EntryKind::Transition, Some(from)) => {
            format!("{from} {} {}", canvas.glyphs.arrow(), entry.role)
        }
        (EntryKind::Transition | EntryKind::Unbelieved, _) => entry.role.to_string(),
        (EntryKind::Jobs, _) => format!("as {}", entry.role),
    };
    let mut text = format!(
        "{}  {}  {change}: {}\n",
        canvas.out.paint(Paint::Bold, &name),
        canvas.time(entry.began_unix_ms),
        entry.cause
    );
    let headline = match entry.retry_in_ms {
        Some(ms) => {
            let left = span(Duration::from_millis(ms));
            format!("{}; the next attempt is in {left}", entry.headline)
        }
        None => entry.headline.clone(),
    };
    text.push_str("  ");
    text.push_str(&match paint_of(entry) {
        Some(paint) => canvas.out.paint(paint, &headline),
        None => headline,
    });
    text.push('\n');
    if entry.stages.len() > 1 {
        text.push_str(&rows(entry, canvas));
    }
    text
}

fn paint_of(entry: &EntryDocument) -> Option<Paint> {
    match entry.state {
        EntryState::Settled => Some(Paint::Good),
        EntryState::Open | EntryState::Overtaken | EntryState::Gap => Some(Paint::Warn),
        EntryState::Retrying => Some(Paint::Bad),
        EntryState::Superseded | EntryState::Over => None,
    }
}

fn rows(entry: &EntryDocument, canvas: &Canvas) -> String {
    let remarks: Vec<_> = entry.stages.iter().map(remark).collect();
    let longest = remarks.iter().map(|text| text.chars().count()).max();
    let beside = 2 + NAME_WIDTH + 1 + FIGURE_WIDTH + 2 + 2 + longest.unwrap_or(0);
    let cells = canvas.width.saturating_sub(beside).clamp(BAR_MIN, BAR_MAX);
    let mut text = String::new();
    for (stage, remark) in entry.stages.iter().zip(remarks) {
        let figure = span(Duration::from_micros(stage.took_us));
        let bar = bar(stage, entry.took_us, cells, canvas.glyphs);
        let padding = cells.saturating_sub(bar.chars().count());
        let bar = match paint_of_stage(stage) {
            Some(paint) => canvas.out.paint(paint, &bar),
            None => bar,
        };
        let name = name(stage);
        let row = format!(
            "  {name:<NAME_WIDTH$} {figure:>FIGURE_WIDTH$}  {bar}{}  {remark}",
            " ".repeat(padding)
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn name(stage: &StageDocument) -> &'static str {
    match (stage.stage, stage.action) {
        (StageKind::Debounce, _) => "debounce",
        (StageKind::Wait, _) => "wait",
        (StageKind::Spawn, _) => "spawn",
        (StageKind::Run | StageKind::Check, Some(action)) => action.as_str(),
        (StageKind::Run, None) => "run",
        (StageKind::Check, None) => "is-running",
        (StageKind::End, _) => "end",
        (StageKind::Folded, _) => "...",
    }
}

/// What a stage's name and figure do not say.
fn remark(stage: &StageDocument) -> String {
    let plain = match stage.stage {
        StageKind::Debounce | StageKind::Spawn | StageKind::Run => {
            matches!(stage.result, None | Some(StageResult::Done))
        }
        StageKind::Wait | StageKind::End | StageKind::Check | StageKind::Folded => false,
    };
    match (stage.open, plain) {
        (true, _) => format!("{} ...", stage.what),
        (false, true) => String::new(),
        (false, false) => stage.what.clone(),
    }
}

fn paint_of_stage(stage: &StageDocument) -> Option<Paint> {
    match (stage.stage, stage.result) {
        (_, Some(StageResult::Failed | StageResult::TimedOut | StageResult::NotStarted)) => {
            Some(Paint::Bad)
        }
        (_, Some(StageResult::Cancelled | StageResult::Unseen)) => Some(Paint::Warn),
        (StageKind::Run | StageKind::Check, Some(StageResult::Done)) => Some(Paint::Good),
        (StageKind::Debounce | StageKind::Wait | StageKind::Folded, _) => Some(Paint::Dim),
        (StageKind::Spawn | StageKind::Run | StageKind::End | StageKind::Check, _) => None,
    }
}

/// Blanks up to where the stage begins, and its cells: what is shorter than half a cell is seen all the same.
fn bar(stage: &StageDocument, whole_us: u64, cells: usize, glyphs: Glyphs) -> String {
    let cell_of = |us: u64| {
        let scaled = u128::from(us) * cells as u128 * 2 / u128::from(whole_us.max(1));
        // The nearest border between two cells.
        usize::try_from(scaled.div_ceil(2)).map_or(cells, |cell| cell.min(cells))
    };
    let begin = cell_of(stage.at_us);
    let end = cell_of(stage.at_us.saturating_add(stage.took_us));
    if end > begin {
        let cell = glyphs.cell(stage.stage).to_string();
        return " ".repeat(begin) + &cell.repeat(end - begin);
    }
    let begin = begin.min(cells.saturating_sub(1));
    format!("{}{}", " ".repeat(begin), glyphs.sliver())
}

impl Canvas {
    /// A time of day, with its date.
    fn time(&self, unix_ms: u64) -> String {
        let since = i64::try_from(unix_ms).ok();
        let time = since.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        time.map_or_else(
            || "?".to_owned(),
            |time| {
                time.to_zoned(self.zone.clone())
                    .strftime("%Y-%m-%d %H:%M:%S%.3f")
                    .to_string()
            },
        )
    }

    /// In lines that fit.
    fn wrapped(&self, text: &str) -> String {
        wrap(text, 0, Some(self.width))
    }

    /// What the bars are made of.
    fn legend(&self) -> String {
        let of = |stage, name| format!("{} {name}", self.glyphs.cell(stage));
        let kinds = [
            of(StageKind::Debounce, "debounce"),
            of(StageKind::Wait, "wait"),
            of(StageKind::Spawn, "spawn"),
            of(StageKind::Run, "start/stop"),
            of(StageKind::End, "told to end"),
            of(StageKind::Check, "is-running"),
            format!("{} too short for the scale", self.glyphs.sliver()),
        ];
        let line = format!("{}, each entry with a scale of its own", kinds.join(", "));
        self.out.paint(Paint::Dim, &self.wrapped(&line)) + "\n"
    }
}

#[cfg(test)]
mod tests;

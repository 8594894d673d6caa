//! What is wrong with a file, and where: the faults that a person reads, and the list that collects them while
//! the file is checked. Pure data; reads nothing, decides nothing.

use std::cell::OnceCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The most faults that are told in full; of the others only the number is given. A generated file of 10,000
/// instances with one misspelt key would otherwise scroll the first fault away.
pub const TOLD_MAX: usize = 100;

/// The most findings whose text is kept until they are put in the order of the file. What comes after them is
/// only counted: a file of 16 MiB cannot fill the memory with sentences.
const KEPT_MAX: usize = 1_000;

/// A place in a file as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// One fault or warning: `file:line:column: what is wrong, what was expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as the person named it.
    pub file: Arc<Path>,
    /// Where; `None` where the fault is the whole file's (it is missing, or a directory).
    pub position: Option<Position>,
    /// What is wrong, what was expected, and a guess at what was meant.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Faults or warnings in the order of the file; displayed one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// At most [`TOLD_MAX`] of them.
    pub list: Vec<Fault>,
    /// How many more there are.
    pub more: usize,
}

impl Faults {
    /// The one fault of a file that cannot be read at all.
    pub(super) fn of_file(file: &Path, message: String) -> Self {
        let fault = Fault {
            file: file.into(),
            position: None,
            message,
        };
        Self {
            list: vec![fault],
            more: 0,
        }
    }

    /// Adds those of another file, of which as many are told as there is room for.
    pub(super) fn append(&mut self, mut others: Self) {
        let room = TOLD_MAX.saturating_sub(self.list.len());
        let untold = others.list.len().saturating_sub(room);
        others.list.truncate(room);
        self.list.append(&mut others.list);
        self.more += untold + others.more;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes others in, in the order of the file.
    pub fn merge(&mut self, others: Self) {
        self.list.extend(others.list);
        self.list.sort_by_key(|fault| fault.position);
        self.more += others.more + self.list.len().saturating_sub(TOLD_MAX);
        self.list.truncate(TOLD_MAX);
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// A file that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{faults}")]
pub struct LoadError {
    /// What is wrong.
    pub faults: Faults,
    /// What mends it.
    pub mended_by: MendedBy,
}

impl LoadError {
    /// A file that somebody has to change.
    pub(super) fn lasting(faults: Faults) -> Self {
        Self {
            faults,
            mended_by: MendedBy::Hand,
        }
    }
}

/// What mends a file that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MendedBy {
    /// Somebody has to change it.
    Hand,
    /// Perhaps only time: all that is wrong is that users or groups in it are not known, and what knows them may not be
    /// up yet.
    Time,
}

/// A place in the text, in bytes from its start. The size limit of a file keeps it far below 4 GiB.
pub(super) type Offset = u32;

/// Faults or warnings under way: in the order in which the checks find them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<(Offset, String)>,
    left_out: usize,
}

impl Findings {
    pub(super) fn add(&mut self, at: Offset, message: String) {
        self.add_late(at, || message);
    }

    /// Adds a finding whose message is only made if it is kept.
    pub(super) fn add_late(&mut self, at: Offset, message: impl FnOnce() -> String) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push((at, message()));
        } else {
            self.left_out += 1;
        }
    }

    /// Adds all of other findings.
    pub(super) fn append(&mut self, others: Self) {
        for (at, message) in others.kept {
            self.add(at, message);
        }
        self.left_out += others.left_out;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Puts them in the order of the file, and lines and columns to them.
    pub(super) fn finish(mut self, lines: &Lines<'_>, file: &Path) -> Faults {
        let file: Arc<Path> = file.into();
        self.kept.sort_by_key(|&(at, _)| at);
        let more = self.kept.len().saturating_sub(TOLD_MAX) + self.left_out;
        self.kept.truncate(TOLD_MAX);
        let told = self.kept.into_iter().map(|(at, message)| Fault {
            file: Arc::clone(&file),
            position: Some(lines.position(at)),
            message,
        });
        Faults {
            list: told.collect(),
            more,
        }
    }
}

/// Where the lines of a text begin. Found on first use, because a file without faults never asks.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: OnceCell<Vec<usize>>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            starts: OnceCell::new(),
        }
    }

    pub(super) fn position(&self, at: Offset) -> Position {
        let at = self.text.floor_char_boundary(at as usize);
        let starts = self.starts.get_or_init(|| {
            let after_breaks = self.text.match_indices('\n').map(|(index, _)| index + 1);
            std::iter::once(0).chain(after_breaks).collect()
        });
        let line = starts.partition_point(|&start| start <= at);
        let start = line.checked_sub(1).and_then(|index| starts.get(index));
        let before = self.text.get(start.copied().unwrap_or(0)..at);
        Position {
            line,
            column: before.unwrap_or_default().chars().count() + 1,
        }
    }
}

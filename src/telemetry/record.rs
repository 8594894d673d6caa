//! One log record: an event's values, made text and owned, and bounded in size. Made on the thread that logs.
//! Pure but for the time, which it is given.

use std::cell::OnceCell;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The longest message, in bytes; the rest is cut. A message and the other fields together always fit into one
/// datagram for the journal, and a full queue of the longest records into a few megabytes.
const MESSAGE_BYTES_MAX: usize = 6 << 10;

/// The longest value of any other field, in bytes.
const VALUE_BYTES_MAX: usize = 512;

/// The most other fields; further ones are left out.
const OTHERS_MAX: usize = 8;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    /// The number of a [`super::MessageId`], which only the journal shows.
    pub(super) message_id: Option<u128>,
    /// The fields that are the same everywhere in the daemon, by [`COMMON`].
    pub(super) common: [Option<String>; COMMON.len()],
    /// Those of [`FIGURES`], in the order of the event.
    pub(super) figures: Vec<(&'static str, String)>,
    /// All others, in the order of the event.
    pub(super) others: Vec<(&'static str, String)>,
    pub(super) source: Source,
    pub(super) thread: Arc<ThreadName>,
}

/// Where in the sources a record is made; empty and 0 where that is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) module: &'static str,
}

/// Who makes a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ThreadName {
    pub(super) name: String,
    /// The kernel's number of the thread.
    pub(super) number: u32,
}

thread_local! {
    /// Made once a thread, so that no record costs a system call for it.
    static THREAD: OnceCell<Arc<ThreadName>> = const { OnceCell::new() };
}

fn this_thread() -> Arc<ThreadName> {
    let make = || {
        let number = rustix::thread::gettid().as_raw_nonzero().get();
        Arc::new(ThreadName {
            name: std::thread::current()
                .name()
                .unwrap_or("unnamed")
                .to_owned(),
            number: number.unsigned_abs(),
        })
    };
    // Only a thread that is ending has no place for it any more.
    let kept = THREAD.try_with(|thread| thread.get_or_init(make).clone());
    kept.unwrap_or_else(|_| make())
}

/// The names of the common fields: in an event, and in the journal behind `KEEPSTART_`.
pub(super) const COMMON: [&str; 6] = ["instance", "role", "action", "job", "epoch", "transition"];

/// Figures that only the journal shows: elsewhere the message has them.
const FIGURES: [&str; 3] = ["took_us", "first_instruction_us", "stages_us"];

/// The field of an event that holds the number of a [`super::MessageId`].
const MESSAGE_ID: &str = "message_id";

impl Record {
    /// A record without fields.
    pub(super) fn new(time: SystemTime, level: Level, target: &'static str, text: String) -> Self {
        Self {
            time,
            level,
            target,
            message: text,
            message_id: None,
            common: Default::default(),
            figures: Vec::new(),
            others: Vec::new(),
            source: Source::default(),
            thread: this_thread(),
        }
    }

    /// The record of an event.
    pub(super) fn of(event: &Event<'_>, time: SystemTime) -> Self {
        let metadata = event.metadata();
        let mut record = Self::new(time, *metadata.level(), metadata.target(), String::new());
        record.source = Source {
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
            module: metadata.module_path().unwrap_or_default(),
        };
        event.record(&mut record);
        record
    }

    /// The instance that it is about.
    pub(super) fn instance(&self) -> Option<&str> {
        let [instance, ..] = &self.common;
        instance.as_deref()
    }

    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        if name == "message" {
            self.message = bounded(MESSAGE_BYTES_MAX, value);
            return;
        }
        let common = COMMON.iter().zip(&mut self.common);
        if let Some((_, slot)) = common.into_iter().find(|(common, _)| **common == name) {
            *slot = Some(bounded(VALUE_BYTES_MAX, value));
        } else if FIGURES.contains(&name) {
            self.figures.push((name, bounded(VALUE_BYTES_MAX, value)));
        } else if self.others.len() < OTHERS_MAX {
            self.others.push((name, bounded(VALUE_BYTES_MAX, value)));
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == MESSAGE_ID {
            self.message_id = Some(value);
        } else {
            self.take(field, format_args!("{value}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // The causes say what a person can do something about; a message often names only the attempt.
        self.take(field, format_args!("{}", Chain(value)));
    }
}

/// An error and its causes, with colons between them.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |cause| cause.source());
        // An error can be its own cause only by a mistake, which must not become an endless log line.
        causes.take(8).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Formats at most `bytes_max` bytes, and "…" where there were more. What is cut off is not even stored.
fn bounded(bytes_max: usize, value: fmt::Arguments<'_>) -> String {
    let mut bounded = Bounded {
        text: String::new(),
        left: bytes_max,
    };
    // An error is either the end of the room or that of a value that cannot be formatted, and then what was
    // formatted so far is all there is.
    let _ = bounded.write_fmt(value);
    bounded.text
}

struct Bounded {
    text: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let fits = part.floor_char_boundary(self.left);
        let (kept, cut) = part.split_at(fits);
        self.text.push_str(kept);
        self.left -= fits;
        if cut.is_empty() {
            return Ok(());
        }
        self.text.push('…');
        self.left = 0;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests;

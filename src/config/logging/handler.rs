//! One handler of a `dictConfig` mapping: its class and what that class is given. Pure; what it finds is told as
//! a fault in `notes`, of which the caller's caller makes warnings.

mod values;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

pub(super) use self::values::{FACILITIES, truth};
use self::values::{address, encoding, facility, mode, when, whole};
use super::classes::{CLASSES, COMMON, Class, WITHOUT_MEANING};
use super::level::{Level, level};
use super::mapping::tell_of_filters;
use crate::config::application::path;
use crate::config::section::{Notes, Section};
use crate::config::tree::{Entry, Node, Value};
use crate::config::value::{any_text, count};

/// Where the lines of a handler go, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// Where.
    pub output: Output,
    /// It takes records from this level.
    pub level: Level,
    /// The name of its formatter; `None`: the line is the message alone.
    pub formatter: Option<String>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To one of the process's own streams.
    Standard(Standard),
    /// To a file.
    File(File),
    /// To a syslog daemon.
    Syslog {
        /// Where it listens.
        address: Syslog,
        /// The number of the facility, below 24.
        facility: u8,
    },
    /// To the journal, with its fields; the formatter has no meaning.
    Journal,
    /// Nowhere.
    Null,
}

/// A stream of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// File descriptor 1.
    Out,
    /// File descriptor 2.
    Error,
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syslog {
    /// A Unix datagram socket.
    Unix(PathBuf),
    /// A UDP port.
    Udp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// A log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute.
    pub path: PathBuf,
    /// What becomes of what is in it.
    pub mode: Mode,
    /// When it is opened.
    pub opening: Opening,
    /// What becomes of it when it is old or long.
    pub keeping: Keeping,
}

/// What becomes of what is in the file when the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It stays (`a`).
    Append,
    /// It is thrown away (`w`).
    Truncate,
}

/// When the file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At once.
    AtOnce,
    /// With the first record (`delay`).
    Delayed,
}

/// What becomes of a log file when it is old or long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing (`FileHandler`).
    Plain,
    /// It is opened again when it was replaced (`WatchedFileHandler`).
    Watched,
    /// `RotatingFileHandler`.
    BySize {
        /// No file grows to this length, in bytes; 0: it grows.
        bytes_max: u64,
        /// How many `.1`, `.2`, … there are; 0: it grows.
        backups: u32,
    },
    /// `TimedRotatingFileHandler`.
    ByTime {
        /// The unit.
        when: When,
        /// How many of them.
        interval: NonZeroU32,
        /// How many old files stay; 0: all.
        backups: u32,
        /// Whose midnight, and whose time is in the name.
        zone: Zone,
    },
}

/// The unit of a rotation by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `S`.
    Seconds,
    /// `M`.
    Minutes,
    /// `H`.
    Hours,
    /// `D`: 24 hours.
    Days,
    /// `midnight`.
    Midnight,
    /// `W0` to `W6`: the midnight that ends this day, 0 is Monday.
    Weekday(u8),
}

/// Whose time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// That of this machine.
    Local,
    /// UTC (`utc: true`).
    Utc,
}

impl When {
    /// As it is written in the file.
    pub(super) fn written(self) -> String {
        match self {
            Self::Seconds => "S".into(),
            Self::Minutes => "M".into(),
            Self::Hours => "H".into(),
            Self::Days => "D".into(),
            Self::Midnight => "midnight".into(),
            Self::Weekday(day) => format!("W{day}"),
        }
    }
}

/// Every key that a handler may have, of whatever class.
pub(super) fn keys() -> Vec<&'static str> {
    let mut keys = COMMON.to_vec();
    keys.extend(CLASSES.iter().flat_map(|(_, _, keys)| keys.iter()));
    keys.retain(|key| !WITHOUT_MEANING.contains(key));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Reads one entry of `handlers:`, which messages call `name`.
pub(super) fn read(
    entry: &Entry<'_>,
    name: &str,
    base: &Path,
    notes: &mut Notes<'_>,
) -> Option<Handler> {
    let known = keys();
    let section = Section::open(&entry.value, entry.at, name, &known, notes)?;
    tell_of_filters(&section, notes);
    let class = class(&section, notes);
    let own = CLASSES.iter().find(|(_, known, _)| *known == class);
    let (class_name, own) = own.map_or(("", [].as_slice()), |(name, _, keys)| (name, keys));
    for key in known
        .iter()
        .filter(|key| !COMMON.contains(key) && !own.contains(key))
    {
        if let (Some(_), Some(at)) = (section.get(key), section.key_at(key)) {
            let message = format!("{name}: {key} has no meaning for a {class_name}");
            notes.faults.add(at, message);
        }
    }
    let output = match class {
        Class::Stream => Output::Standard(stream(&section, notes)),
        Class::File | Class::Watched | Class::Rotating | Class::Timed => {
            file(class, &section, base, notes)
        }
        Class::Syslog => syslog(&section, notes),
        Class::Journal => Output::Journal,
        Class::Null => Output::Null,
    };
    let formatter = section.read("formatter", notes, |node| {
        any_text(node, "the name of a formatter")
    });
    Some(Handler {
        output,
        level: section.read("level", notes, level).unwrap_or(Level::NOTSET),
        formatter: formatter.filter(|name| !name.is_empty()),
    })
}

/// The class; of one that is unknown, the nearest by what it is given.
fn class(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Class {
    let nearest = || {
        let has = |key| section.get(key).is_some();
        match () {
            () if has("filename") && has("when") => (Class::Timed, "TimedRotatingFileHandler"),
            () if has("filename") && has("maxBytes") => (Class::Rotating, "RotatingFileHandler"),
            () if has("filename") => (Class::File, "FileHandler"),
            () if has("address") => (Class::Syslog, "SysLogHandler"),
            () => (Class::Stream, "StreamHandler (to stderr)"),
        }
    };
    let node = section.get("()").or(section.get("class"));
    if let Some(Node {
        value: Value::Text(text),
        ..
    }) = node
    {
        let (path, word) = text.rsplit_once('.').unwrap_or(("", text));
        let known = CLASSES.iter().find(|(name, ..)| *name == word);
        let place = path.trim_start_matches("ext://");
        if let Some(&(_, class, _)) = known
            && (matches!(place, "" | "logging" | "logging.handlers" | "handlers")
                || class == Class::Journal)
        {
            return class;
        }
    }
    let (class, instead) = nearest();
    let name = &section.name;
    let message = match node {
        Some(node) => format!(
            "{name}: found {}, which is not one of Python's handlers that are known here; it is taken for a {instead}",
            node.value.describe()
        ),
        None => format!("{name}: class is missing; it is taken for a {instead}"),
    };
    notes
        .faults
        .add(node.map_or(section.at, |node| node.at), message);
    class
}

fn stream(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Standard {
    let read = |node: &Node<'_>| match node.value.as_text() {
        Some(text) if text.ends_with("sys.stdout") => Ok(Standard::Out),
        Some(text) if text.ends_with("sys.stderr") => Ok(Standard::Error),
        Some(_) | None => Err(format!(
            "found {}, expected ext://sys.stdout or ext://sys.stderr; it is stderr",
            node.value.describe()
        )),
    };
    section
        .read("stream", notes, read)
        .unwrap_or(Standard::Error)
}

fn file(class: Class, section: &Section<'_, '_>, base: &Path, notes: &mut Notes<'_>) -> Output {
    let filename = section.required(
        "filename",
        "the path of the log file (stderr is taken)",
        notes,
    );
    let filename = filename.and_then(|_| section.read("filename", notes, |node| path(node, base)));
    let Some(path) = filename else {
        return Output::Standard(Standard::Error);
    };
    section.read("encoding", notes, encoding);
    let mode = section.read("mode", notes, mode).unwrap_or(Mode::Append);
    let delay = section.read("delay", notes, truth).unwrap_or(false);
    let backups = section.read("backupCount", notes, whole).unwrap_or(0);
    let keeping = match class {
        Class::Watched => Keeping::Watched,
        Class::Rotating => Keeping::BySize {
            bytes_max: section.read("maxBytes", notes, whole).unwrap_or(0),
            backups: backups.try_into().unwrap_or(u32::MAX),
        },
        Class::Timed => Keeping::ByTime {
            when: section.read("when", notes, when).unwrap_or(When::Hours),
            interval: section
                .read("interval", notes, count)
                .unwrap_or(NonZeroU32::MIN),
            backups: backups.try_into().unwrap_or(u32::MAX),
            zone: match section.read("utc", notes, truth) {
                Some(true) => Zone::Utc,
                Some(false) | None => Zone::Local,
            },
        },
        Class::File | Class::Stream | Class::Syslog | Class::Journal | Class::Null => {
            Keeping::Plain
        }
    };
    let rotates = matches!(keeping, Keeping::BySize { bytes_max: 1.., .. });
    Output::File(File {
        path,
        // What rotates is appended to, whatever the mode says.
        mode: if rotates { Mode::Append } else { mode },
        opening: if delay {
            Opening::Delayed
        } else {
            Opening::AtOnce
        },
        keeping,
    })
}

fn syslog(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Output {
    let socktype = |node: &Node<'_>| {
        let word = node.value.as_text();
        let is_datagram = matches!(node.value, Value::Integer(2))
            || word.is_some_and(|word| word.ends_with("SOCK_DGRAM"));
        let found = node.value.describe();
        is_datagram
            .then_some(())
            .ok_or_else(|| format!("found {found}, but only datagrams are sent"))
    };
    section.read("socktype", notes, socktype);
    let local = || Syslog::Udp {
        host: "localhost".into(),
        port: 514,
    };
    Output::Syslog {
        address: section
            .read("address", notes, address)
            .unwrap_or_else(local),
        facility: section.read("facility", notes, facility).unwrap_or(1),
    }
}

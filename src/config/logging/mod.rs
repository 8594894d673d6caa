//! The `logging:` section as plain data, in both forms that Python's `logging.config` takes: a mapping for
//! `dictConfig`, and the path of a logging.conf for `fileConfig`. Pure but for `read_file`, which runs on the
//! thread of whoever loads a configuration.
//!
//! The way of a section: `ini` and `literal` take a logging.conf apart, `conf` makes the same tree of it that the
//! YAML file has, `mapping`, `handler` and `format` make a [`Plan`] of either, `written` goes the way back.
//!
//! Nothing in here is ever a fault: a daemon that guards a service does not stay away because of its log. What
//! has no meaning is a warning with its place, and the nearest thing that has one is taken.

mod classes;
mod conf;
mod format;
mod handler;
mod ini;
mod level;
mod literal;
mod mapping;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::format::{Align, Field, Format, Kind, Piece, Sign, Spec, Style};
pub use self::handler::{
    File, Handler, Keeping, Mode, Opening, Output, Standard, Syslog, When, Zone,
};
pub use self::level::Level;
pub(super) use self::written::written;

use super::account::Lookup;
use super::application::path;
use super::fault::{Faults, Findings, Lines};
use super::read;
use super::section::Notes;
use super::tree::{Node, Value};

/// The logger of nearly all records.
pub const CORE: &str = "keepstart";
/// The old name of [`CORE`].
pub const ALIAS: &str = "keepserver";
/// The logger of starting, stopping and daemonizing, where it is configured.
pub const APPLICATION: &str = "appserver";
/// The logger of what scripts print is the child of the core's with this name.
pub const SCRIPT: &str = "script";

/// A `logging:` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The logging.conf it stands in; `None`: in the configuration file itself.
    pub file: Option<PathBuf>,
    /// What it says; `None` where the file was not read, or could not be.
    pub plan: Option<Plan>,
}

/// What a section says, with every name resolved and every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How lines look, by name.
    pub formatters: BTreeMap<String, Formatter>,
    /// Where lines go, by name; each names a formatter of this plan, or none.
    pub handlers: BTreeMap<String, Handler>,
    /// The configured loggers, by name.
    pub loggers: BTreeMap<String, Logger>,
    /// The parent of all loggers.
    pub root: Logger,
}

/// How a line looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formatter {
    /// The line, without its end.
    pub format: Format,
    /// The time within it, for strftime(3); `None`: Python's own way, `2026-11-03 14:54:56,007`.
    pub datefmt: Option<String>,
}

/// One logger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logger {
    /// What it lets through; [`Level::NOTSET`]: what its parent does.
    pub level: Level,
    /// The names of its handlers.
    pub handlers: Vec<String>,
    /// Whether its parent's handlers get its records too.
    pub propagation: Propagation,
}

/// Whether records go on to the handlers of the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They do.
    On,
    /// They do not.
    Off,
}

impl Plan {
    /// The name of the core's logger: its alias where only that is configured.
    pub fn core_name(&self) -> &'static str {
        let only_alias = self.loggers.contains_key(ALIAS) && !self.loggers.contains_key(CORE);
        if only_alias { ALIAS } else { CORE }
    }

    /// The name of the logger of what scripts print.
    pub fn script_name(&self) -> String {
        format!("{}.{SCRIPT}", self.core_name())
    }

    /// The handlers that get the records of a logger, in Python's order, and the level from which it lets them
    /// through.
    pub fn route(&self, name: &str) -> (Level, Vec<&str>) {
        let mut level = Level::NOTSET;
        let mut handlers = Vec::new();
        let mut goes_on = true;
        for logger in self.line_of(name) {
            if level == Level::NOTSET {
                level = logger.level;
            }
            if goes_on {
                handlers.extend(logger.handlers.iter().map(String::as_str));
                goes_on = logger.propagation == Propagation::On;
            }
        }
        (level, handlers)
    }

    /// A logger and its ancestors that are configured, up to the root.
    fn line_of(&self, name: &str) -> Vec<&Logger> {
        let names = std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0));
        let configured = names.filter_map(|name| self.loggers.get(name));
        configured.chain(std::iter::once(&self.root)).collect()
    }
}

/// The mappings of the section, each under the name that keepstart.yaml(5) has for it, with its keys.
pub(super) fn known_keys() -> [(&'static str, Vec<&'static str>); 4] {
    [
        ("logging", mapping::KEYS.to_vec()),
        ("a formatter", mapping::FORMATTER_KEYS.to_vec()),
        ("a handler", handler::keys()),
        ("a logger", mapping::LOGGER_KEYS.to_vec()),
    ]
}

/// Reads the section of the configuration file; a path in it is relative to `base`. Its file is not opened here.
pub(super) fn section(node: &Node<'_>, base: &Path, notes: &mut Notes<'_>) -> Option<Logging> {
    as_warnings(notes, |notes| match &node.value {
        Value::Null => None,
        Value::Mapping(_) => Some(Logging {
            file: None,
            plan: mapping::plan(node, "logging", base, notes),
        }),
        Value::Text(_)
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Tagged(_) => match path(node, base) {
            Ok(file) => Some(Logging {
                file: Some(file),
                plan: None,
            }),
            Err(message) => {
                let message = format!("logging: {message} (of a logging.conf), or a mapping");
                notes.faults.add(node.at, message);
                None
            }
        },
    })
}

/// Reads a logging.conf; paths in it are relative to `base`. Reads the disk.
pub(super) fn read_file(file: &Path, base: &Path) -> (Option<Plan>, Faults) {
    let unread = |error: String| (None, Faults::of_file(file, error));
    let bytes = match read::bounded(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            return unread(format!("{error}; the log goes where it goes without it"));
        }
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse_conf(text, file, base),
        Err(_) => unread("is not UTF-8; the log goes where it goes without it".into()),
    }
}

/// Checks the text of a logging.conf as if `file` held it. Never touches the disk.
pub fn parse_conf(text: &str, file: &Path, base: &Path) -> (Option<Plan>, Faults) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut notes = Notes {
        units: Vec::new(),
        grounds: Vec::new(),
        lines: Lines::new(text),
        faults: Findings::default(),
        unknown: Findings::default(),
        lookup: Lookup::Leave,
        warnings: Findings::default(),
        scripts: Vec::new(),
    };
    let tree = conf::tree(text, &mut notes);
    let plan = tree.and_then(|tree| mapping::plan(&tree, "logging", base, &mut notes));
    (plan, notes.faults.finish(&notes.lines, file))
}

/// Does something whose faults are only warnings.
fn as_warnings<'t, T>(notes: &mut Notes<'t>, read: impl FnOnce(&mut Notes<'t>) -> T) -> T {
    let faults = std::mem::take(&mut notes.faults);
    let done = read(notes);
    let found = std::mem::replace(&mut notes.faults, faults);
    notes.warnings.append(found);
    done
}

#[cfg(test)]
mod tests;

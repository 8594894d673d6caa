//! A `dictConfig` mapping, checked and turned into a plan. Pure; everything it finds is told as a fault in
//! `notes`, of which its caller makes warnings.

use std::collections::BTreeMap;
use std::path::Path;

use super::format::{Format, Style};
use super::handler::{self, Handler};
use super::level::{Level, level};
use super::{ALIAS, APPLICATION, CORE, Formatter, Logger, Plan, Propagation, SCRIPT};
use crate::config::fault::Offset;
use crate::config::section::{Notes, Section, named};
use crate::config::tree::{Entry, Node, Value, quoted};
use crate::config::value::{any_text, boolean, choice};

pub(super) const KEYS: [&str; 8] = [
    "version",
    "disable_existing_loggers",
    "incremental",
    "formatters",
    "filters",
    "handlers",
    "loggers",
    "root",
];
pub(super) const FORMATTER_KEYS: [&str; 7] = [
    "format", "datefmt", "style", "validate", "defaults", "class", "()",
];
pub(super) const LOGGER_KEYS: [&str; 4] = ["level", "handlers", "propagate", "filters"];

const STYLES: [(&str, Style); 3] = [
    ("%", Style::Percent),
    ("{", Style::Brace),
    ("$", Style::Dollar),
];

/// Reads the whole mapping, which messages call `name`.
pub(super) fn plan(
    node: &Node<'_>,
    name: &str,
    base: &Path,
    notes: &mut Notes<'_>,
) -> Option<Plan> {
    let section = Section::open(node, node.at, name, &KEYS, notes)?;
    section.read("version", notes, version);
    if section.read("incremental", notes, boolean) == Some(true)
        && let Some(at) = section.key_at("incremental")
    {
        let message = "incremental: nothing is configured yet; the section is taken as a whole";
        notes.faults.add(at, message.into());
    }
    // Whatever it says: loggers that the section does not name have nothing else that would be disabled.
    section.read("disable_existing_loggers", notes, boolean);
    if let (Some(_), Some(at)) = (section.get("filters"), section.key_at("filters")) {
        let message = "filters: they are Python code; every record passes";
        notes.faults.add(at, message.into());
    }
    let mut parts = Parts {
        name,
        base,
        formatters: BTreeMap::new(),
        handlers: BTreeMap::new(),
    };
    for entry in entries(&section, "formatters", notes) {
        let formatter = formatter(entry, &parts, notes);
        parts.formatters.insert(entry.key.clone().into(), formatter);
    }
    for entry in entries(&section, "handlers", notes) {
        let name = format!("{name}.handlers.{}", entry.key);
        if let Some(handler) = handler::read(entry, &name, parts.base, notes) {
            let handler = parts.with_formatter(handler, entry, notes);
            parts.handlers.insert(entry.key.clone().into(), handler);
        }
    }
    let named_loggers = entries(&section, "loggers", notes);
    let mut loggers = BTreeMap::new();
    for entry in &named_loggers {
        let name = format!("{name}.loggers.{}", entry.key);
        let logger = logger((&entry.value, entry.at), name, &parts, Level::NOTSET, notes);
        loggers.insert(entry.key.clone().into(), logger);
    }
    let mut root = match section.get("root").zip(section.key_at("root")) {
        Some(root) => logger(root, format!("{name}.root"), &parts, Level::WARNING, notes),
        None => no_logger(Level::WARNING),
    };
    // It has no parent.
    root.propagation = Propagation::On;
    let plan = Plan {
        formatters: parts.formatters,
        handlers: parts.handlers,
        loggers,
        root,
    };
    tell_of_silence(&plan, &section, &named_loggers, notes);
    Some(plan)
}

/// What later parts of the section look up in earlier ones.
struct Parts<'a> {
    name: &'a str,
    base: &'a Path,
    formatters: BTreeMap<String, Formatter>,
    handlers: BTreeMap<String, Handler>,
}

impl Parts<'_> {
    /// The handler with a formatter that is there, or with none.
    fn with_formatter(
        &self,
        mut handler: Handler,
        entry: &Entry<'_>,
        notes: &mut Notes<'_>,
    ) -> Handler {
        let missing = |name: &&String| !self.formatters.contains_key(*name);
        if let Some(formatter) = handler.formatter.as_ref().filter(missing) {
            let (found, name) = (
                quoted(formatter),
                format!("{}.handlers.{}", self.name, entry.key),
            );
            let message =
                format!("{name}: there is no formatter {found}; its lines are the messages alone");
            notes.faults.add(entry.at, message);
            handler.formatter = None;
        }
        handler
    }
}

fn version(node: &Node<'_>) -> Result<(), String> {
    if let Value::Integer(1) = node.value {
        return Ok(());
    }
    let found = node.value.describe();
    Err(format!(
        "found {found}, expected 1; it is read as if it were"
    ))
}

/// The entries of one part, none where it is absent.
fn entries<'a, 't>(
    section: &Section<'a, 't>,
    key: &str,
    notes: &mut Notes<'_>,
) -> Vec<&'a Entry<'t>> {
    let node = section.get(key);
    let name = format!("{}.{key}", section.name);
    node.and_then(|node| named(node, &name, notes))
        .unwrap_or_default()
}

fn formatter(entry: &Entry<'_>, parts: &Parts<'_>, notes: &mut Notes<'_>) -> Formatter {
    if let Value::Null = entry.value.value {
        return Formatter::default();
    }
    let name = format!("{}.formatters.{}", parts.name, entry.key);
    let Some(section) = Section::open(&entry.value, entry.at, name, &FORMATTER_KEYS, notes) else {
        return Formatter::default();
    };
    for key in ["class", "()"] {
        let known = |class: &str| class.trim_start_matches("ext://") == "logging.Formatter";
        if let Some(node) = section.get(key)
            && !matches!(&node.value, Value::Text(class) if known(class))
        {
            let (name, found) = (&section.name, node.value.describe());
            let message = format!(
                "{name}: found {found}, but Python classes do not run here; it formats as logging.Formatter would"
            );
            notes.faults.add(node.at, message);
        }
    }
    let not_empty = |node: &Node<'_>| any_text(node, "a text").map(Some);
    let text = section.read("format", notes, not_empty).flatten();
    let datefmt = section.read("datefmt", notes, not_empty).flatten();
    let style = section.read("style", notes, |node| choice(node, &STYLES));
    let style = style.unwrap_or(Style::Percent);
    let format = match text.filter(|text| !text.is_empty()) {
        Some(text) => {
            let at = section.get("format").map_or(entry.at, |node| node.at);
            let (format, odd) = Format::parse(&text, style);
            for message in odd {
                notes.faults.add(at, format!("format: {message}"));
            }
            format
        }
        None => Format::default(),
    };
    Formatter {
        format,
        datefmt: datefmt.filter(|text| !text.is_empty()),
    }
}

fn no_logger(level: Level) -> Logger {
    Logger {
        level,
        handlers: Vec::new(),
        propagation: Propagation::On,
    }
}

fn logger(
    (node, at): (&Node<'_>, Offset),
    name: String,
    parts: &Parts<'_>,
    default: Level,
    notes: &mut Notes<'_>,
) -> Logger {
    let mut logger = no_logger(default);
    if let Value::Null = node.value {
        return logger;
    }
    let Some(section) = Section::open(node, at, name, &LOGGER_KEYS, notes) else {
        return logger;
    };
    tell_of_filters(&section, notes);
    if let Some(level) = section.read("level", notes, level) {
        logger.level = level;
    }
    if section.read("propagate", notes, handler::truth) == Some(false) {
        logger.propagation = Propagation::Off;
    }
    let named = match section.get("handlers") {
        None => &[],
        Some(Node {
            value: Value::List(list),
            ..
        }) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    for one in named {
        let name = one.value.as_text();
        if let Some(name) = name.filter(|name| parts.handlers.contains_key(*name)) {
            // A logger has each handler once, however often it is named.
            if !logger.handlers.iter().any(|known| known == name) {
                logger.handlers.push(name.into());
            }
            continue;
        }
        let found = name.map_or_else(|| one.value.describe(), quoted);
        let message = format!(
            "{}.handlers: there is no handler {found}; the others are used",
            section.name
        );
        notes.faults.add(one.at, message);
    }
    logger
}

/// Reports the filters of a handler or logger, which would be Python code.
pub(super) fn tell_of_filters(section: &Section<'_, '_>, notes: &mut Notes<'_>) {
    if let (Some(_), Some(at)) = (section.get("filters"), section.key_at("filters")) {
        let message = format!(
            "{}: its filters are left out; every record passes",
            section.name
        );
        notes.faults.add(at, message);
    }
}

/// Reports loggers that never log, and records that have no handler.
fn tell_of_silence(
    plan: &Plan,
    section: &Section<'_, '_>,
    loggers: &[&Entry<'_>],
    notes: &mut Notes<'_>,
) {
    let script = plan.script_name();
    let is_known = |name: &str| [plan.core_name(), APPLICATION, &script].contains(&name);
    for entry in loggers {
        if !is_known(&entry.key) {
            let hint = if entry.key == ALIAS {
                format!("; all of them have {CORE}, which is configured too")
            } else {
                format!("; there are {CORE} (or {ALIAS}), {APPLICATION} and {CORE}.{SCRIPT}")
            };
            let found = quoted(&entry.key);
            notes.faults.add(
                entry.at,
                format!("loggers: no record has the logger {found}{hint}"),
            );
        }
    }
    if plan.route(plan.core_name()).1.is_empty() {
        let message = format!(
            "{}: no handler gets the records of {}; they go where they go without this section",
            section.name,
            plan.core_name()
        );
        notes.faults.add(section.at, message);
    }
}

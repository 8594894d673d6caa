//! An action as it is written: a string, a list, or a mapping around either. Pure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::application::{path, resolve};
use super::fault::Offset;
use super::instance::environment;
use super::process;
use super::section::{Notes, Section};
use super::tree::{Node, Value, quoted};
use super::units;
use super::value::{duration, text};
use crate::machine::job::Action;
use crate::machine::process::ProcessSettings;
use crate::machine::settings::{ActionSettings, Command};
use crate::machine::unit::UnitName;

/// The keys of the long form. `unit` stands in place of `run`.
pub(super) const KEYS: [&str; 12] = [
    "run",
    "unit",
    "timeout",
    "kill-after",
    "user",
    "group",
    "umask",
    "working-directory",
    "nice",
    "limits",
    "environment",
    "environment-from",
];

const START_TIMEOUT: Duration = Duration::from_secs(90);
const IS_RUNNING_TIMEOUT: Duration = Duration::from_secs(10);
const KILL_AFTER: Duration = Duration::from_secs(10);

/// The shortest timeout: no process can even begin in less.
const TIMEOUT_LEAST: Duration = Duration::from_millis(1);

pub(super) const EXPECTED: &str =
    "a path, a shell command, or a list of a program and its arguments";

/// What makes a string more than one plain path: what a shell splits at, replaces or interprets.
const SHELL_CHARACTERS: &str = "|&;<>()$`\\\"'*?[]#~={}!^%";

/// What an action takes from the daemon or its instance, unless it says something else itself.
pub(super) struct Places<'a> {
    /// The directory relative paths are relative to.
    pub(super) base: &'a Path,
    /// The directory the actions run in.
    pub(super) working_directory: Option<&'a Path>,
    /// What their processes are beyond that.
    pub(super) process: Arc<ProcessSettings>,
}

/// What an action runs, and where the action stands.
pub(super) struct Script {
    pub(super) at: Offset,
    pub(super) action: Action,
    pub(super) settings: Arc<ActionSettings>,
    /// Where the program would be that is looked up in `PATH`, if relative paths and not that were meant.
    pub(super) beside: Option<PathBuf>,
}

/// Reads one action.
pub(super) fn read(
    node: &Node<'_>,
    action: Action,
    owner: &str,
    places: &Places<'_>,
    notes: &mut Notes<'_>,
) -> Option<Arc<ActionSettings>> {
    let mut settings = with_defaults(action, Command::Shell(String::new()), places);
    let run = if let Value::Mapping(_) = node.value {
        let name = format!("{owner}.{action}");
        let section = Section::open(node, node.at, name, &KEYS, notes)?;
        let timeout = section.read("timeout", notes, |node| duration(node, TIMEOUT_LEAST));
        settings.timeout = timeout.unwrap_or(settings.timeout);
        let kill_after = section.read("kill-after", notes, |node| duration(node, Duration::ZERO));
        settings.kill_after = kill_after.unwrap_or(settings.kill_after);
        if let Some(unit) = section.get("unit") {
            if let Some(at) = section.get("run").and(section.key_at("run")) {
                let message =
                    format!("run stands beside unit in {owner}.{action}, expected one of the two");
                notes.faults.add(at, message);
            }
            settings.run = Command::Units(units::read(unit, action, notes)?);
            return Some(Arc::new(settings));
        }
        let directory = section.read("working-directory", notes, |node| path(node, places.base));
        settings.working_directory = directory.or(settings.working_directory);
        settings.process = process::read(&section, &places.process, notes);
        let own = environment(&section, notes);
        if !own.is_empty() {
            Arc::make_mut(&mut settings.process).environment = own.into_iter().collect();
        }
        section.required("run", EXPECTED, notes)?
    } else {
        node
    };
    settings.run = command(run, action, places.base, notes)?;
    let beside = bare_name(&settings.run).map(|name| places.base.join(name));
    let settings = Arc::new(settings);
    notes.scripts.push(Script {
        at: run.at,
        action,
        settings: Arc::clone(&settings),
        beside,
    });
    Some(settings)
}

/// An action of the units of an instance.
pub(super) fn of_units(
    units: &[UnitName],
    action: Action,
    places: &Places<'_>,
) -> Arc<ActionSettings> {
    Arc::new(with_defaults(
        action,
        Command::Units(units.to_vec()),
        places,
    ))
}

fn with_defaults(action: Action, run: Command, places: &Places<'_>) -> ActionSettings {
    ActionSettings {
        run,
        timeout: match action {
            Action::Start | Action::Stop => START_TIMEOUT,
            Action::IsRunning => IS_RUNNING_TIMEOUT,
        },
        kill_after: KILL_AFTER,
        working_directory: places.working_directory.map(Path::to_path_buf),
        process: places.process.clone(),
    }
}

fn command(node: &Node<'_>, action: Action, base: &Path, notes: &mut Notes<'_>) -> Option<Command> {
    if let Value::List(items) = &node.value {
        return argv(items, node.at, action, base, notes);
    }
    let line = text(node, EXPECTED)
        .map_err(|message| notes.faults.add(node.at, format!("{action}: {message}")))
        .ok()?;
    // `true` and `false` get here in quotes only, and are commands.
    if ["yes", "no", "on", "off"].contains(&line.to_ascii_lowercase().as_str()) {
        let message =
            format!("{action}: found {line}, which is a boolean in YAML 1.1, expected {EXPECTED}");
        notes.faults.add(node.at, message);
        return None;
    }
    Some(if is_plain_path(&line) {
        Command::File(resolve(base, &line))
    } else {
        Command::Shell(line)
    })
}

fn argv(
    items: &[Node<'_>],
    at: Offset,
    action: Action,
    base: &Path,
    notes: &mut Notes<'_>,
) -> Option<Command> {
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        let word = if words.is_empty() {
            text(item, "the program")
        } else {
            super::value::any_text(item, "an argument")
        };
        match word {
            Ok(word) => words.push(word),
            Err(message) => notes.faults.add(item.at, format!("{action}: {message}")),
        }
    }
    let Some(program) = words.first_mut() else {
        if items.is_empty() {
            let message =
                format!("{action}: found an empty list, expected a program and its arguments");
            notes.faults.add(at, message);
        }
        return None;
    };
    if program.contains('/') {
        match resolve(base, program).into_os_string().into_string() {
            Ok(path) => *program = path,
            Err(path) => {
                let path = quoted(&path.to_string_lossy());
                let message =
                    format!("{action}: the path {path} is not UTF-8, expected one that is");
                notes.faults.add(at, message);
            }
        }
    }
    Some(Command::Argv(words))
}

/// The program of a command, where it is a mere name.
fn bare_name(run: &Command) -> Option<&str> {
    let first = match run {
        Command::Shell(line) => line.split_whitespace().next()?,
        Command::Argv(words) => words.first()?,
        Command::File(_) | Command::Units(_) => return None,
    };
    let special = |c: char| c == '/' || SHELL_CHARACTERS.contains(c);
    (!first.contains(special)).then_some(first)
}

/// Whether a string is one plain path, which is executed without a shell.
pub(super) fn is_plain_path(line: &str) -> bool {
    let special = |c: char| c.is_whitespace() || c.is_control() || SHELL_CHARACTERS.contains(c);
    line.contains('/') && !line.contains(special)
}

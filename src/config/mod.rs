//! What a person writes: one YAML file, read, checked, and turned into settings without a gap, or refused with
//! every fault at its line and column.
//!
//! The way of a file: `read` takes at most 16 MiB of text, `tree` makes values with places of it, `application`,
//! `instance` and [`logging`] check them and fill in the defaults, `account` asks for the users and groups that they
//! name (but for an [`outline()`]), `scripts` warns of what the file names and the disk lacks. [`effective()`] goes the
//! way back. [`load`], [`Scripts::look`] and `account` may wait for a disk or the name service, so the reactor's thread
//! never calls them; all else is pure.

mod account;
mod action;
mod actions;
mod application;
mod effective;
mod fault;
mod grounds;
mod instance;
mod keys;
pub mod logging;
mod outline;
mod process;
mod read;
mod scripts;
mod section;
mod tree;
mod units;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::application::{Application, Daemon, LogLevel, Readers};
pub use self::effective::effective;
pub use self::fault::{Fault, Faults, LoadError, MendedBy, Position, TOLD_MAX};
pub use self::grounds::Grounds;
pub use self::instance::Pace;
pub use self::keys::known_keys;
pub use self::logging::Logging;
pub use self::outline::{Outline, outline};
pub use self::read::FILE_SIZE_MAX;
pub use self::scripts::Scripts;
pub use self::section::did_you_mean;
pub use self::units::Units;

use self::account::Lookup;
use self::action::Places;
use self::fault::{Findings, Lines, Offset};
use self::instance::{FORCE_TEST_CYCLE, Instance, SLEEP};
use self::read::ReadError;
use self::section::{Notes, Section, WHOLE, named};
use self::tree::{Node, Value, quoted};
use crate::machine::process::ProcessSettings;
use crate::machine::settings::{InstanceName, Settings};

const KEYS: [&str; 4] = ["application", "keepstart", "instances", "logging"];

/// The name of the instance in the `keepstart:` section.
pub const DEFAULT_INSTANCE: &str = "default";

/// A checked file, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file. Absolute when it was loaded; symbolic links are not followed.
    pub file: PathBuf,
    /// The daemon as a process.
    pub application: Application,
    /// A `logging:` section, if there is one.
    pub logging: Option<Logging>,
    /// What the machine needs.
    pub settings: Settings,
    /// How often each instance is looked at, as the file says it; the same names as in `settings`.
    pub paces: BTreeMap<InstanceName, Pace>,
}

/// A file that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is odd in it.
    pub warnings: Faults,
    /// What it names that nobody has looked at.
    pub scripts: Scripts,
    /// The units that it names: nobody has asked systemd about them.
    pub units: Units,
    /// What the daemon itself needs, and nobody has looked at.
    pub grounds: Grounds,
}

/// Reads and checks a file. Reads the disk, but never looks at the scripts, which may be on a file server that
/// does not answer: that is [`Scripts::look`].
///
/// Relative paths in the file are relative to its `workspace`, and without one (as a relative workspace itself)
/// to the directory the file is in, as `path` names it: so every command, started anywhere, means the same.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    load_with(path, Lookup::Ask)
}

fn load_with(path: &Path, lookup: Lookup) -> Result<Loaded, LoadError> {
    let refuse = |message| LoadError::lasting(Faults::of_file(path, message));
    let absolute = std::path::absolute(path).map_err(|error| {
        refuse(format!(
            "the directory that it is relative to is unknown: {error}"
        ))
    })?;
    if absolute.to_str().is_none() {
        return Err(refuse("its path is not UTF-8, expected one that is".into()));
    }
    let bytes = read::bounded(path).map_err(|error| {
        if matches!(error, ReadError::Missing) && path.is_relative() {
            return refuse(format!("{error}: looked for {}", absolute.display()));
        }
        refuse(error.to_string())
    })?;
    let text = read::text(&bytes, path)?;
    let checked = Checked::new(text, path, absolute, lookup)?;
    Ok(checked.finish(path))
}

/// As [`load`], with the logging.conf that the file may name: for whoever logs by it.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub fn load_with_logging(path: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = load(path)?;
    read_logging(&mut loaded);
    Ok(loaded)
}

/// As [`load_with_logging`], with a look at the scripts and at what the daemon itself needs, for as long as that takes.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub fn load_with_scripts(path: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = load(path)?;
    loaded.warnings.merge(loaded.grounds.look());
    loaded.warnings.merge(loaded.scripts.look());
    read_logging(&mut loaded);
    Ok(loaded)
}

/// Reads the logging.conf, where the file names one.
fn read_logging(loaded: &mut Loaded) {
    let config = &mut loaded.config;
    let home = config.file.parent().unwrap_or(Path::new(""));
    let base = config.application.workspace.as_deref().unwrap_or(home);
    if let Some(Logging {
        file: Some(file),
        plan,
    }) = &mut config.logging
    {
        let (found, warnings) = logging::read_file(file, base);
        *plan = found;
        loaded.warnings.append(warnings);
    }
}

/// Checks a text as if `file_name` held it. Asks only for the users and groups that the text names; relative paths
/// are resolved against the directory of `file_name`, which should be absolute.
///
/// # Errors
///
/// Everything that is wrong with the text.
pub fn parse(text: &str, file_name: &Path) -> Result<Loaded, LoadError> {
    let checked = Checked::new(text, file_name, file_name.to_path_buf(), Lookup::Ask)?;
    Ok(checked.finish(file_name))
}

/// A faultless file, and what the warnings need.
struct Checked<'t> {
    config: Config,
    notes: Notes<'t>,
}

impl<'t> Checked<'t> {
    fn new(text: &'t str, shown: &Path, file: PathBuf, lookup: Lookup) -> Result<Self, LoadError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut notes = Notes {
            lines: Lines::new(text),
            faults: Findings::default(),
            unknown: Findings::default(),
            lookup,
            scripts: Vec::new(),
            units: Vec::new(),
            grounds: Vec::new(),
            warnings: Findings::default(),
        };
        let config = match tree::parse(text) {
            Ok(root) => check(&root, file, &mut notes),
            Err(malformed) => {
                notes.faults.add(malformed.at, malformed.message);
                None
            }
        };
        match config {
            Some(config) if notes.faults.is_empty() && notes.unknown.is_empty() => {
                Ok(Self { config, notes })
            }
            Some(_) | None => {
                let mended_by = if notes.faults.is_empty() {
                    MendedBy::Time
                } else {
                    MendedBy::Hand
                };
                notes.faults.append(notes.unknown);
                let faults = notes.faults.finish(&notes.lines, shown);
                Err(LoadError { faults, mended_by })
            }
        }
    }

    fn finish(self, shown: &Path) -> Loaded {
        let lines = &self.notes.lines;
        let security = self.config.application.script_security;
        Loaded {
            config: self.config,
            scripts: Scripts::new(self.notes.scripts, security, lines, shown),
            units: Units::new(self.notes.units, lines, shown),
            grounds: Grounds::new(self.notes.grounds, lines, shown),
            warnings: self.notes.warnings.finish(lines, shown),
        }
    }
}

/// Checks the whole tree. What it returns is only good if `notes` holds no fault; `None` comes with one.
fn check(root: &Node<'_>, file: PathBuf, notes: &mut Notes<'_>) -> Option<Config> {
    if let Value::Null = root.value {
        let message = "a file without a document, expected a mapping with keepstart or instances";
        notes.faults.add(root.at, message.into());
        return None;
    }
    let top = Section::open(root, 0, WHOLE, &KEYS, notes)?;
    let keys_are_known = notes.faults.is_empty();
    let home = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let (application, starts_at_once) = match top.get("application") {
        Some(node) => application::read(node, &home, notes),
        None => (Application::default(), application::STARTS_AT_ONCE),
    };
    let workspace = application.workspace.as_deref();
    let places = Places {
        base: workspace.unwrap_or(&home),
        working_directory: workspace,
        process: Arc::new(ProcessSettings {
            script_security: application.script_security,
            ..ProcessSettings::default()
        }),
    };
    if top.get("keepstart").is_none() && top.key_at("instances").is_none() && keys_are_known {
        // A misspelt key is reported already, and its own fault says more.
        let message = "no instance, expected a section keepstart (one VIP) or instances \
                       (name: {vip: …, start: …, stop: …})";
        let at = top.key_at("keepstart").unwrap_or(top.at);
        notes.faults.add(at, message.into());
    }
    let mut instances = instances(&top, &places, notes)?;
    scripts::warn_twins(&instances, &mut notes.warnings);
    units::refuse_twins(&instances, notes);
    instances.sort_by(|a, b| a.settings.name.cmp(&b.settings.name));
    let audits = instances
        .iter()
        .map(|instance| instance.settings.audit_every);
    let sleeps = instances.iter().map(|instance| instance.pace.sleep);
    let settings = Settings {
        starts_at_once,
        poll_every: sleeps.min().unwrap_or(SLEEP),
        audit_every: audits.min().unwrap_or(SLEEP * FORCE_TEST_CYCLE.get()),
        instances: instances.iter().map(|i| Arc::clone(&i.settings)).collect(),
    };
    let pace_of = instances.iter().map(|i| (i.settings.name.clone(), i.pace));
    Some(Config {
        paces: pace_of.collect(),
        logging: top
            .get("logging")
            .and_then(|node| logging::section(node, places.base, notes)),
        file,
        application,
        settings,
    })
}

/// Reads the `keepstart:` section and the entries of `instances:`.
fn instances(
    top: &Section<'_, '_>,
    places: &Places<'_>,
    notes: &mut Notes<'_>,
) -> Option<Vec<Instance>> {
    let mut found = Vec::new();
    let single = top.get("keepstart").zip(top.key_at("keepstart"));
    if let Some((node, at)) = single {
        let name = InstanceName::new(DEFAULT_INSTANCE).ok()?;
        found.extend(instance::read(name, "keepstart", at, node, places, notes));
    }
    // With nothing under it, `instances:` is as empty as `instances: {}`.
    if let Some(node) = top.get("instances") {
        for entry in named(node, "instances", notes)? {
            let taken = single.filter(|_| entry.key == DEFAULT_INSTANCE);
            found.extend(one(entry, taken.map(|(_, at)| at), places, notes));
        }
    }
    Some(found)
}

/// Reads one entry of `instances:`; `taken` is where its name was given away already.
fn one(
    entry: &tree::Entry<'_>,
    taken: Option<Offset>,
    places: &Places<'_>,
    notes: &mut Notes<'_>,
) -> Option<Instance> {
    if let Some(first) = taken {
        let line = notes.lines.position(first).line;
        let message = format!(
            "the name \"{DEFAULT_INSTANCE}\" belongs to the section keepstart in line {line}, expected another name"
        );
        notes.faults.add(entry.at, message);
    }
    let section_name = format!("instances.{}", entry.key);
    match InstanceName::new(&entry.key) {
        Ok(name) => instance::read(name, &section_name, entry.at, &entry.value, places, notes),
        Err(error) => {
            let found = quoted(&entry.key);
            notes
                .faults
                .add(entry.at, format!("instances: found {found}; {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;

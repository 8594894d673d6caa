//! Warnings about actions, never refusals: a script that is not there (yet) or that somebody else could change, two
//! instances that do the same.
//! [`Scripts::look`] asks the disk, and waits as long as a file server does; it runs on the thread of whoever
//! has the time. All else is pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::action::Script;
use super::fault::{Fault, Faults, Findings, Lines, Position, TOLD_MAX};
use super::instance::Instance;
use crate::machine::job::Action;
use crate::machine::process::ScriptSecurity;
use crate::machine::settings::Command;
use crate::machine::unit::UnitName;
use crate::trust::{self, Trusted};

/// What the actions of a configuration run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// The configuration, as it was named.
    named_in: Arc<Path>,
    /// What becomes of scripts that are not in safe hands, as the file says it.
    security: Option<ScriptSecurity>,
    /// The files, each with the user that runs it, and the action and the place that name it first.
    list: BTreeMap<(PathBuf, Option<u32>), (Action, Position)>,
    /// The first line for the shell, of which at most the first word is judged, and how many there are.
    lines: Option<(Action, Position, usize)>,
    /// Programs that are looked up in `PATH`, by where they would be if they were not.
    bare: BTreeMap<PathBuf, (Action, Position, Words)>,
}

/// Whether a program stands alone in its string: then `./` before it is all that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    One,
    Several,
}

impl Scripts {
    /// Those of a file that has been read.
    pub(super) fn new(
        scripts: Vec<Script>,
        security: Option<ScriptSecurity>,
        lines: &Lines<'_>,
        named_in: &Path,
    ) -> Self {
        let mut list = BTreeMap::new();
        let mut bare = BTreeMap::new();
        let mut shell: Option<(Action, Position, usize)> = None;
        for Script {
            at,
            action,
            settings,
            beside,
        } in scripts
        {
            if let Some(path) = beside {
                let words = match &settings.run {
                    Command::Shell(line) if line.split_whitespace().count() > 1 => Words::Several,
                    Command::Shell(_) | Command::Argv(_) | Command::File(_) | Command::Units(_) => {
                        Words::One
                    }
                };
                bare.entry(path)
                    .or_insert_with(|| (action, lines.position(at), words));
            }
            if let Command::Shell(_) = settings.run {
                let first = || (action, lines.position(at), 0);
                shell.get_or_insert_with(first).2 += 1;
            }
            if let Some(path) = settings.run.file() {
                let user = settings.process.user.as_ref().map(|user| user.uid);
                list.entry((path.to_owned(), user))
                    .or_insert_with(|| (action, lines.position(at)));
            }
        }
        Self {
            named_in: named_in.into(),
            security,
            list,
            lines: shell,
            bare,
        }
    }

    /// What of the actions nobody judges, in a sentence; `None` where everything is judged, or nothing is to be.
    pub fn unjudged(&self) -> Option<String> {
        let (action, Position { line, .. }, count) = self.lines?;
        if trust::security(self.security) == ScriptSecurity::Off {
            return None;
        }
        let of_lines = match count {
            1 => "it is a line".to_owned(),
            _ => format!("it is one of {count} lines"),
        };
        Some(format!(
            "script-security does not see all of {action} in line {line}: {of_lines} for the shell, of which only the \
             first word is looked at, where it is an absolute path"
        ))
    }

    /// Looks at each, and gives a warning for each that could not be run now. Never call it where the wait for a
    /// file server that does not answer would matter.
    pub fn look(&self) -> Faults {
        let mut odd = Faults {
            list: Vec::new(),
            more: 0,
        };
        let security = trust::security(self.security);
        for ((path, user), (action, position)) in &self.list {
            for trouble in troubles(path, security, Trusted::for_user(*user)) {
                if odd.list.len() == TOLD_MAX {
                    odd.more += 1;
                    continue;
                }
                odd.list.push(Fault {
                    file: self.named_in.clone(),
                    position: Some(*position),
                    message: format!("{action}: {} {trouble}", path.display()),
                });
            }
        }
        odd.list.sort_by_key(|fault| fault.position);
        odd.merge(self.look_beside());
        odd
    }

    /// Names that are looked up in `PATH`, where a file of that name stands where relative paths lead.
    fn look_beside(&self) -> Faults {
        let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
        let found = self.bare.iter().filter(|(path, _)| is_file(path));
        let told = found.map(|(path, (action, position, words))| Fault {
            file: self.named_in.clone(),
            position: Some(*position),
            message: beside(path, *action, *words),
        });
        let mut odd = Faults::default();
        odd.merge(Faults {
            list: told.collect(),
            more: 0,
        });
        odd
    }
}

fn beside(path: &Path, action: Action, words: Words) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    let meant = match words {
        Words::One => format!("./{name}"),
        Words::Several => path.display().to_string(),
    };
    format!(
        "{action}: {name} is looked up in PATH and not in {directory}, where a file of that name is: write {meant} \
         if that is meant"
    )
}

/// What would keep a script from being run, or had better keep it.
fn troubles(path: &Path, security: ScriptSecurity, trusted: Trusted) -> Vec<String> {
    if let Some(trouble) = trouble(path) {
        return vec![trouble];
    }
    let consequence = match security {
        ScriptSecurity::Strict => "will not be run (script-security: strict)",
        ScriptSecurity::Warn => "is not in safe hands (script-security: warn)",
        ScriptSecurity::Off => return Vec::new(),
    };
    let mut troubles: Vec<String> = trust::inspect(path, trusted)
        .iter()
        .map(|fault| format!("{consequence}: {fault}"))
        .collect();
    if let Some(interpreter) = trust::interpreter_of(path) {
        let name = interpreter.display();
        let faults = trust::inspect(&interpreter, trusted);
        troubles.extend(faults.iter().map(|fault| {
            format!("has the interpreter {name}, which is not in safe hands: {fault}")
        }));
    }
    troubles
}

fn trouble(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some("does not exist (yet)".into())
        }
        Err(error) => Some(format!("cannot be looked at: {error}")),
        Ok(metadata) if metadata.is_dir() => Some("is a directory, expected a script".into()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Some("is not executable (chmod +x)".into())
        }
        Ok(_) => None,
    }
}

/// Adds a warning for each instance with the VIP, the nic and the start of another.
pub(super) fn warn_twins(instances: &[Instance], warnings: &mut Findings) {
    let mut first = BTreeMap::new();
    for instance in instances {
        let settings = &instance.settings;
        let mut addresses = settings.role.addresses.clone();
        addresses.sort();
        let start: (u8, Vec<&str>) = match &settings.start.run {
            Command::File(path) => (0, path.to_str().into_iter().collect()),
            Command::Shell(line) => (1, vec![line.as_str()]),
            Command::Argv(words) => (2, words.iter().map(String::as_str).collect()),
            Command::Units(units) => (3, units.iter().map(UnitName::as_str).collect()),
        };
        match first.entry((addresses, settings.role.nic.as_deref(), start)) {
            Entry::Vacant(vacant) => {
                vacant.insert(&settings.name);
            }
            Entry::Occupied(other) => {
                let (name, other) = (&settings.name, other.get());
                let message =
                    format!("instance {name} has the same vip, nic and start as instance {other}");
                warnings.add(instance.at, message);
            }
        }
    }
}

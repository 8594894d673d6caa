//! Warnings about actions, never refusals: a script that is not there (yet), two instances that do the same.
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
use crate::machine::settings::Command;

/// The files that the actions of a configuration run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// The configuration, as it was named.
    named_in: Arc<Path>,
    /// Each with the action and the place that name it first.
    list: BTreeMap<PathBuf, (Action, Position)>,
}

impl Scripts {
    /// Those of a file that has been read.
    pub(super) fn new(scripts: Vec<Script>, lines: &Lines<'_>, named_in: &Path) -> Self {
        let mut list = BTreeMap::new();
        for script in scripts {
            list.entry(script.path)
                .or_insert_with(|| (script.action, lines.position(script.at)));
        }
        Self {
            named_in: named_in.into(),
            list,
        }
    }

    /// Looks at each, and gives a warning for each that could not be run now. Never call it where the wait for a
    /// file server that does not answer would matter.
    pub fn look(&self) -> Faults {
        let mut odd = Faults {
            list: Vec::new(),
            more: 0,
        };
        for (path, (action, position)) in &self.list {
            let Some(trouble) = trouble(path) else {
                continue;
            };
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
        odd.list.sort_by_key(|fault| fault.position);
        odd
    }
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

//! Warnings about actions, never refusals: a script that is not there (yet), two instances that do the same.
//! [`warn`] asks the disk; it runs on the thread of whoever loads a configuration.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::action::Script;
use super::fault::Findings;
use super::instance::Instance;
use crate::machine::settings::Command;

/// Adds a warning for each script that could not be run now. A file that many actions name is looked at once,
/// and named where it stands first.
pub(super) fn warn(scripts: &[Script], warnings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for script in scripts {
        seen.entry(&script.path).or_insert(script);
    }
    for (path, script) in seen {
        if let Some(trouble) = trouble(path) {
            let (action, path) = (script.action, path.display());
            warnings.add(script.at, format!("{action}: {path} {trouble}"));
        }
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

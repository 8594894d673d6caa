//! Looks at the files that actions run, and for systemd units in what they say.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::super::facts::{Script, ScriptState, UsedUnit};
use super::super::units;
use super::ask;
use crate::machine::job::Action;
use crate::machine::settings::{Command, InstanceName, InstanceSettings};
use crate::trust::{Trusted, inspect};

/// How much of a script is read: what it starts stands near its beginning.
const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

const ACTIONS: [Action; 3] = [Action::Start, Action::Stop, Action::IsRunning];

/// Each file that the actions run, with all who run it. `user` is the daemon's.
pub(super) fn of(instances: &[Arc<InstanceSettings>], user: Option<u32>) -> Vec<Script> {
    let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let mut scripts: Vec<Script> = Vec::new();
    for instance in instances {
        for action in ACTIONS {
            let Some(settings) = instance.command(action) else {
                continue;
            };
            let Some(path) = settings.run.file() else {
                continue;
            };
            let using = (instance.name.clone(), action);
            let own = settings.process.user.as_ref().map(|own| own.uid);
            let trusted = Trusted::root_and(own.unwrap_or(user));
            match scripts.iter_mut().find(|script| script.path == path) {
                Some(known) => known.used.push(using),
                None => scripts.push(look(path.to_owned(), using, trusted)),
            }
        }
    }
    scripts
}

fn look(path: PathBuf, using: (InstanceName, Action), trusted: Trusted) -> Script {
    let looked = path.clone();
    let seen = ask::within("it cannot be looked at", move || {
        (
            state(&looked),
            fs::canonicalize(&looked).ok(),
            inspect(&looked, trusted),
        )
    });
    let (state, resolved, weak) = match seen {
        Ok((state, resolved, weak)) => (state, resolved, Ok(weak)),
        Err(why) => (ScriptState::Unseen(why.clone()), None, Err(why)),
    };
    // Of what is not there nothing more has to be said.
    let weak = if state == ScriptState::Missing {
        Ok(Vec::new())
    } else {
        weak
    };
    Script {
        path,
        used: vec![using],
        state,
        resolved,
        weak,
    }
}

fn state(path: &Path) -> ScriptState {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return ScriptState::Missing,
        Err(error) => return ScriptState::Unseen(format!("it cannot be looked at: {error}")),
    };
    if !metadata.is_file() {
        return ScriptState::NotAFile;
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return ScriptState::NotExecutable;
    }
    if statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        return ScriptState::OnNoexec;
    }
    match interpreter(path) {
        Some(interpreter) if !interpreter.exists() => ScriptState::NoInterpreter(interpreter),
        Some(_) | None => ScriptState::Executable,
    }
}

/// The program that the first line of a script names, execve(2).
fn interpreter(path: &Path) -> Option<PathBuf> {
    let start = beginning(path)?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    let first = words.into_iter().find(|word| !word.is_empty())?;
    Some(Path::new(std::ffi::OsStr::from_bytes(first)).to_owned())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // A pipe of that name would be waited for.
    let file = path.is_file().then(|| File::open(path))?.ok()?;
    file.take(SCRIPT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The systemd units that actions start and stop, in the commands themselves and in the scripts they name.
pub(super) fn units(instances: &[Arc<InstanceSettings>]) -> Vec<UsedUnit> {
    let mut found = Vec::new();
    for instance in instances {
        for action in [Action::Start, Action::Stop] {
            let Some(settings) = instance.command(action) else {
                continue;
            };
            let mut names = match &settings.run {
                Command::File(_) => Vec::new(),
                Command::Units(units) => units.iter().map(ToString::to_string).collect(),
                Command::Shell(line) => units::in_text(line),
                Command::Argv(words) => units::in_text(&words.join(" ")),
            };
            names.extend(settings.run.file().map(units_of_file).unwrap_or_default());
            for name in names {
                let unit = UsedUnit {
                    name,
                    instance: instance.name.clone(),
                    action,
                };
                if !found.contains(&unit) {
                    found.push(unit);
                }
            }
        }
    }
    found
}

/// The units that the text of a script names; none, where it is no script or cannot be read.
pub(super) fn units_of_file(path: &Path) -> Vec<String> {
    let path = path.to_owned();
    let read = ask::within("a script", move || beginning(&path));
    let text = read.ok().flatten().filter(|bytes| bytes.starts_with(b"#!"));
    text.map(|bytes| units::in_text(&String::from_utf8_lossy(&bytes)))
        .unwrap_or_default()
}

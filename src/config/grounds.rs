//! What the daemon itself stands on: the workspace, the directory of the pidfile. It does not start without them, and
//! says so then; [`Grounds::look`] tells it before, as warnings, because the file may be checked on another machine
//! than its own. Asks the disk, on the thread of whoever has the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use rustix::io::Errno;

use super::fault::{Fault, Faults, Lines, Offset, Position};

/// One thing that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// The directory that the daemon runs in.
    Workspace(PathBuf),
    /// The file that it writes its process id into.
    Pidfile(PathBuf),
}

/// All that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// The configuration, as it was named.
    named_in: Arc<Path>,
    list: Vec<(Position, Ground)>,
}

impl Grounds {
    pub(super) fn new(grounds: Vec<(Offset, Ground)>, lines: &Lines<'_>, named_in: &Path) -> Self {
        let placed = grounds
            .into_iter()
            .map(|(at, ground)| (lines.position(at), ground));
        Self {
            named_in: named_in.into(),
            list: placed.collect(),
        }
    }

    /// Looks at each, and gives a warning for each that is not there now.
    pub fn look(&self) -> Faults {
        let mut odd = Faults::default();
        let mut absent: Option<&Path> = None;
        for (position, ground) in &self.list {
            let trouble = match ground {
                Ground::Workspace(path) => {
                    let trouble = workspace(path);
                    absent = trouble.is_some().then_some(path);
                    trouble
                }
                // Of what is in a workspace that is not there, enough is said.
                Ground::Pidfile(path) if absent.is_some_and(|absent| path.starts_with(absent)) => {
                    None
                }
                Ground::Pidfile(path) => pidfile(path),
            };
            odd.list.extend(trouble.map(|message| Fault {
                file: self.named_in.clone(),
                position: Some(*position),
                message,
            }));
        }
        odd
    }
}

fn workspace(path: &Path) -> Option<String> {
    let shown = path.display();
    let what = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => "is not a directory".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be looked at: {error}"),
    };
    Some(format!(
        "workspace: {shown} {what}, and the daemon does not start without it"
    ))
}

fn pidfile(path: &Path) -> Option<String> {
    let directory = path.parent()?;
    let shown = directory.display();
    match rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => None,
        Err(Errno::NOENT) => Some(format!(
            "pidfile: the directory {shown} does not exist, and the daemon does not start without it"
        )),
        Err(errno) => {
            let user = rustix::process::getuid().as_raw();
            let error = std::io::Error::from(errno);
            Some(format!(
                "pidfile: user {user} cannot write into {shown}, nor could a daemon of his: {error}"
            ))
        }
    }
}

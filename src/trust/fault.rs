//! What is wrong with a component of a path, in words, with what mends it. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A component of a path that is not in safe hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The component, with all links on the way to it resolved.
    pub component: PathBuf,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// What is wrong with a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It belongs to somebody who is not trusted.
    Owner {
        /// Who.
        uid: u32,
    },
    /// The same of a directory. It may be his home, and is not to be taken from him.
    DirectoryOwner {
        /// Who.
        uid: u32,
    },
    /// It is a link that its owner can replace, in a sticky directory.
    LinkOwner {
        /// Who.
        uid: u32,
    },
    /// Others than its owner can write it.
    Writable {
        /// The group that can, or those in its access control list.
        group: Option<u32>,
        /// Whether everybody can.
        everybody: bool,
        /// Its permissions.
        mode: u32,
    },
    /// An access control list lets others than its owner and root's group write it, or may do so.
    Acl,
    /// It is not there, in a sticky directory where others can put their own in its place.
    Missing,
    /// It cannot be looked at.
    Unseen(Errno),
}

impl Fault {
    /// The command that mends it; `None` where none would, or none should: see [`Self::advice`].
    pub fn remedy(&self) -> Option<String> {
        let command = match self.trouble {
            Trouble::Owner { .. } => "chown root",
            Trouble::LinkOwner { .. } => "chown -h root",
            Trouble::Writable {
                group: Some(_),
                everybody: true,
                ..
            } => "chmod go-w",
            Trouble::Writable {
                everybody: true, ..
            } => "chmod o-w",
            Trouble::Writable { .. } => "chmod g-w",
            Trouble::Acl => "setfacl -m m::r-x",
            Trouble::DirectoryOwner { .. } | Trouble::Missing | Trouble::Unseen(_) => return None,
        };
        Some(format!("{command} {}", as_word(&self.component)))
    }

    /// What to do where no command should be run blindly.
    pub fn advice(&self) -> Option<String> {
        match self.trouble {
            Trouble::DirectoryOwner { uid } => Some(format!(
                "move what is run into a directory of root's, or run it as that user (`user: {uid}`)"
            )),
            Trouble::Owner { .. }
            | Trouble::LinkOwner { .. }
            | Trouble::Writable { .. }
            | Trouble::Acl
            | Trouble::Missing
            | Trouble::Unseen(_) => None,
        }
    }

    /// What is wrong, without the remedy: `/opt/web can be written by everybody (mode 0777)`.
    pub fn said(&self) -> String {
        let component = self.component.display();
        match self.trouble {
            Trouble::Owner { uid } | Trouble::DirectoryOwner { uid } => {
                format!("{component} belongs to user {uid}")
            }
            Trouble::LinkOwner { uid } => {
                format!("{component} is a link of user {uid}, who can replace it")
            }
            Trouble::Writable {
                group,
                everybody,
                mode,
            } => {
                let whose = match (group, everybody) {
                    (_, true) => "everybody".to_owned(),
                    (Some(gid), false) => format!("group {gid}"),
                    (None, false) => "others".to_owned(),
                };
                format!("{component} can be written by {whose} (mode {mode:04o})")
            }
            Trouble::Acl => {
                format!("{component} can be written by others, in its access control list")
            }
            Trouble::Missing => {
                format!("{component} is not there, and others can put a file of theirs there")
            }
            Trouble::Unseen(errno) => {
                let error = std::io::Error::from(errno);
                format!("{component} cannot be looked at: {error}")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said())?;
        match (self.remedy(), self.advice()) {
            (Some(remedy), _) => write!(f, "; mend it with `{remedy}`"),
            (None, Some(advice)) => write!(f, "; {advice}"),
            (None, None) => Ok(()),
        }
    }
}

/// A path as a shell takes it back.
fn as_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

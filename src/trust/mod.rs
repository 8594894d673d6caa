//! Whether a file that is run is in safe hands: walks its path from `/` and says which component somebody else can
//! change, and how that is mended. Asks the disk and waits as long as a file server does, so it runs on spawner
//! threads, on the threads that look at scripts, and in commands; never on the reactor's.
//!
//! A component is in safe hands where root owns it (or one more user, where the caller trusts one) and nobody else
//! can write it. Root's group may write too. A sticky directory that everybody may write (`/tmp`) is no fault, but
//! what the path takes in it must be there, and owned by someone trusted: others can neither remove nor replace that.
//! Symbolic links are resolved; what one says never changes, so only the directory that it is in counts.
//!
//! Access control lists need no reading: where one lets somebody write, its mask stands in the mode's group bits
//! (acl(5)). Only root's group, which may have them, makes them ambiguous, and then the list is looked for.
//!
//! There are two walks, of one judgement. [`inspect`] goes by descriptors, resolves links, and finds all faults.
//! [`is_safe`] stands in the way of each failover, where every system call costs a microsecond: it asks for each
//! component once, by its path from `/`. That is as good, as long as it answers yes: in a directory that it has
//! found safe only someone trusted can put something else in the place of what it asks for next. Where it is not
//! sure, because there is a link or a fault, [`inspect`] has the word.
//!
//! Not seen: what a file server or a user's own file system tells of a file but does not keep to, and what a script
//! reads or runs itself.

mod fault;
mod interpreter;
mod walk;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Stat, lstat};
use rustix::process::geteuid;

use crate::machine::process::ScriptSecurity;

pub use fault::{Fault, Trouble};
pub use interpreter::interpreter_of;
pub use walk::inspect;

/// Who may own and write the components of a path: root, and perhaps one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trusted {
    also: Option<u32>,
}

impl Trusted {
    /// Only root.
    pub const ROOT: Self = Self { also: None };

    /// Root and the user that runs the file: he could do himself whatever he could make it do.
    pub fn root_and(uid: u32) -> Self {
        Self {
            also: (uid != 0).then_some(uid),
        }
    }

    /// Root and the user that an action runs as; `None`: the user of this process.
    pub fn for_user(uid: Option<u32>) -> Self {
        Self::root_and(uid.unwrap_or_else(|| geteuid().as_raw()))
    }

    fn includes(self, uid: u32) -> bool {
        uid == 0 || self.also == Some(uid)
    }
}

/// What becomes of scripts that are not in safe hands, given what the file says.
pub fn security(given: Option<ScriptSecurity>) -> ScriptSecurity {
    given.unwrap_or_else(|| {
        if is_root() {
            ScriptSecurity::Strict
        } else {
            // What a user runs as himself can do no more than he can.
            ScriptSecurity::Off
        }
    })
}

/// Whether this process is root, so that what it runs could be anybody's way to root.
///
/// Not root is who has only the name of it: in a user namespace that does not map the owner of `/`, everything
/// outside belongs to nobody, and no path would be safe (user_namespaces(7)).
fn is_root() -> bool {
    geteuid().is_root() && (is_everybody_mapped() || lstat("/").is_ok_and(|root| root.st_uid == 0))
}

fn is_everybody_mapped() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether every component of an absolute path without links is certainly in safe hands. See the file's head.
pub fn is_safe(path: &Path, trusted: Trusted) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let Some(components) = bytes.strip_prefix(b"/") else {
        return false;
    };
    if !stands_safe(b"/", trusted) {
        return false;
    }
    let mut end = 0;
    for component in components.split(|&byte| byte == b'/') {
        end += 1 + component.len();
        let is_plain = !matches!(component, b"" | b"." | b"..");
        if !is_plain
            || !bytes
                .get(..end)
                .is_some_and(|so_far| stands_safe(so_far, trusted))
        {
            return false;
        }
    }
    true
}

fn stands_safe(path: &[u8], trusted: Trusted) -> bool {
    lstat(OsStr::from_bytes(path)).is_ok_and(|found| match judge(&found, trusted) {
        Judgement::Safe => FileType::from_raw_mode(found.st_mode) != FileType::Symlink,
        Judgement::AskAcl | Judgement::Faulty(_) => false,
    })
}

/// What mode and owner say of a component.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Safe,
    /// Root's group may write it; whether others may as well is in its access control list.
    AskAcl,
    Faulty(Trouble),
}

fn judge(found: &Stat, trusted: Trusted) -> Judgement {
    let mode = found.st_mode & 0o7777;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !trusted.includes(found.st_uid) {
        // Somebody else's link is of no use to him in a directory that he cannot write; of other directories only
        // the sticky ones are walked on through without a fault, and there he could replace it.
        let uid = found.st_uid;
        return Judgement::Faulty(match kind {
            FileType::Directory => Trouble::DirectoryOwner { uid },
            FileType::RegularFile
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Trouble::Owner { uid },
        });
    }
    let is_sticky_directory = kind == FileType::Directory && mode & 0o1000 != 0;
    if kind == FileType::Symlink || is_sticky_directory {
        // The mode of a link means nothing.
        return Judgement::Safe;
    }
    let group = (mode & 0o020 != 0 && found.st_gid != 0).then_some(found.st_gid);
    let everybody = mode & 0o002 != 0;
    if group.is_some() || everybody {
        return Judgement::Faulty(Trouble::Writable {
            group,
            everybody,
            mode,
        });
    }
    if mode & 0o020 != 0 {
        return Judgement::AskAcl;
    }
    Judgement::Safe
}

#[cfg(test)]
mod tests;

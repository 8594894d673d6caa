//! Users and groups of the file, as the machine knows them. Asks the name service, which may wait for a server that
//! does not answer: so this is done when a file is read, on the thread that reads it, and never when a script is run.
//! Who joins a group later is in it after the next reload.

use std::ffi::CString;

use nix::unistd::{self, Gid, Uid, getgrouplist};

use super::tree::{Node, quoted};
use super::value::text;
use crate::machine::process::{Group, User};

/// Reads a user, by name or number.
pub(super) fn user(node: &Node<'_>) -> Result<User, String> {
    let written = text(node, "the name or number of a user")?
        .trim()
        .to_owned();
    let asked = match written.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(&written),
    };
    let found = asked
        .map_err(|error| format!("cannot ask for the user {}: {error}", quoted(&written)))?
        .ok_or_else(|| format!("there is no user {} on this machine", quoted(&written)))?;
    let groups = groups_of(&found)
        .map_err(|error| format!("cannot ask for the groups of {}: {error}", quoted(&written)))?;
    let utf8 = |what: &str, text: Option<&str>| {
        let refusal = || format!("the {what} of {} is not UTF-8", quoted(&written));
        text.map(str::to_owned).ok_or_else(refusal)
    };
    Ok(User {
        name: found.name,
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
        groups,
        home: utf8("home directory", found.dir.to_str())?,
        shell: utf8("shell", found.shell.to_str())?,
        written,
    })
}

/// The supplementary groups of a user, sorted, without the primary one.
fn groups_of(user: &unistd::User) -> Result<Vec<u32>, nix::Error> {
    let name = CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
    let mut groups: Vec<u32> = getgrouplist(&name, user.gid)?
        .into_iter()
        .map(Gid::as_raw)
        .filter(|gid| *gid != user.gid.as_raw())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

/// Reads a group, by name or number.
pub(super) fn group(node: &Node<'_>) -> Result<Group, String> {
    let written = text(node, "the name or number of a group")?
        .trim()
        .to_owned();
    if let Ok(gid) = written.parse() {
        return Ok(Group { written, gid });
    }
    let found = unistd::Group::from_name(&written)
        .map_err(|error| format!("cannot ask for the group {}: {error}", quoted(&written)))?
        .ok_or_else(|| format!("there is no group {} on this machine", quoted(&written)))?;
    let gid = found.gid.as_raw();
    Ok(Group { written, gid })
}

//! Users and groups of the file, as the machine knows them. Asks the name service, which may wait for a server that
//! does not answer: so this is done when a file is read to be run or checked, on the thread that reads it, and never
//! when a script is run or a command only looks for its daemon. Who joins a group later is in it after the next reload.
//!
//! One that is not known is no fault of the text: at boot the directory that knows him may not be up yet.

use std::ffi::CString;

use nix::unistd::{self, Gid, Uid, getgrouplist};

use super::section::{Notes, Section};
use super::tree::quoted;
use super::value::text;
use crate::machine::process::{Group, User};

/// Whether users and groups are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// They are.
    Ask,
    /// They are left out of what is read.
    Leave,
}

/// Reads the user of a key.
pub(super) fn user(section: &Section<'_, '_>, key: &str, notes: &mut Notes<'_>) -> Option<User> {
    let text = section.read(key, notes, |node| {
        text(node, "the name or number of a user")
    })?;
    found(section, key, notes, || find_user(text.trim()))
}

/// Reads the group of a key.
pub(super) fn group(section: &Section<'_, '_>, key: &str, notes: &mut Notes<'_>) -> Option<Group> {
    let text = section.read(key, notes, |node| {
        text(node, "the name or number of a group")
    })?;
    named_group(section, key, text.trim(), notes)
}

/// The group that stands as `written` in the value of a key.
pub(super) fn named_group(
    section: &Section<'_, '_>,
    key: &str,
    written: &str,
    notes: &mut Notes<'_>,
) -> Option<Group> {
    found(section, key, notes, || find_group(written))
}

/// Asks for somebody, if anybody is to be asked for.
fn found<T>(
    section: &Section<'_, '_>,
    key: &str,
    notes: &mut Notes<'_>,
    find: impl FnOnce() -> Result<T, String>,
) -> Option<T> {
    match notes.lookup {
        Lookup::Leave => return None,
        Lookup::Ask => {}
    }
    let at = section.get(key)?.at;
    find()
        .map_err(|message| notes.unknown.add(at, format!("{key}: {message}")))
        .ok()
}

fn find_user(written: &str) -> Result<User, String> {
    let asked = match written.parse() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(written),
    };
    let found = asked
        .map_err(|error| format!("cannot ask for the user {}: {error}", quoted(written)))?
        .ok_or_else(|| format!("there is no user {} on this machine", quoted(written)))?;
    let groups = groups_of(&found)
        .map_err(|error| format!("cannot ask for the groups of {}: {error}", quoted(written)))?;
    let utf8 = |what: &str, text: Option<&str>| {
        let refusal = || format!("the {what} of {} is not UTF-8", quoted(written));
        text.map(str::to_owned).ok_or_else(refusal)
    };
    Ok(User {
        name: found.name,
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
        groups,
        home: utf8("home directory", found.dir.to_str())?,
        shell: utf8("shell", found.shell.to_str())?,
        written: written.to_owned(),
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

fn find_group(written: &str) -> Result<Group, String> {
    let written = written.to_owned();
    // A number is good without a name.
    if let Ok(gid) = written.parse() {
        return Ok(Group { written, gid });
    }
    let found = unistd::Group::from_name(&written)
        .map_err(|error| format!("cannot ask for the group {}: {error}", quoted(&written)))?
        .ok_or_else(|| format!("there is no group {} on this machine", quoted(&written)))?;
    let gid = found.gid.as_raw();
    Ok(Group { written, gid })
}

//! The names of systemd units, checked as systemd.unit(5) has them. Pure.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const LENGTH_MAX: usize = 255;

/// What a unit can be that somebody can start and stop.
const KINDS: [&str; 9] = [
    "service",
    "target",
    "socket",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
];

/// What a unit can be that comes and goes by itself.
const KINDS_OF_OTHERS: [&str; 2] = ["device", "scope"];

/// The whole name of a unit that can be started: `nginx.service`, `postgresql@15-main.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(Arc<str>);

/// Why a text is not the name of a unit that can be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnitName {
    /// A character that no name has, or none at all.
    #[error(
        "the name of a unit has letters, digits, ':', '-', '_', '.', '\\' and '@', at most 255 in all"
    )]
    Characters,
    /// A pattern.
    #[error("a pattern; here each unit stands by its own name")]
    Pattern,
    /// A template.
    #[error("a template; an instance of it has a name between '@' and the dot")]
    Template,
    /// A unit that systemd makes by itself.
    #[error("a unit of a kind that nobody can start")]
    Kind,
}

impl UnitName {
    /// Checks and takes a name. One without a kind is that of a service, as for systemctl(1).
    pub fn new(name: &str) -> Result<Self, BadUnitName> {
        if name.contains(['*', '?', '[']) {
            return Err(BadUnitName::Pattern);
        }
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        let whole = match kind {
            Some(kind) if KINDS_OF_OTHERS.contains(&kind) => return Err(BadUnitName::Kind),
            Some(kind) if KINDS.contains(&kind) => name.to_owned(),
            Some(_) | None => format!("{name}.service"),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let (prefix, _) = whole.rsplit_once('.').unwrap_or((&whole, ""));
        let begins = !prefix.is_empty() && !prefix.starts_with('@');
        if !begins || whole.len() > LENGTH_MAX || !whole.chars().all(allowed) {
            return Err(BadUnitName::Characters);
        }
        if prefix.ends_with('@') {
            return Err(BadUnitName::Template);
        }
        Ok(Self(whole.into()))
    }

    /// The whole name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UnitName {
    type Error = BadUnitName;

    fn try_from(name: String) -> Result<Self, BadUnitName> {
        Self::new(&name)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0.as_ref().into()
    }
}

#[cfg(test)]
mod tests;

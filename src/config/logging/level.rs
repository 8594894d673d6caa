//! Python's levels: numbers, some of which have names. Pure.

use std::borrow::Cow;

use crate::config::section::did_you_mean;
use crate::config::tree::{Node, Value};

/// A level by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u32);

impl Level {
    /// Of a logger: ask the parent. Of a handler: everything.
    pub const NOTSET: Self = Self(0);
    /// Below Python's levels: everything on the way.
    pub const TRACE: Self = Self(5);
    /// Why things happen.
    pub const DEBUG: Self = Self(10);
    /// What happens.
    pub const INFO: Self = Self(20);
    /// What is about to fail.
    pub const WARNING: Self = Self(30);
    /// What failed.
    pub const ERROR: Self = Self(40);
    /// Nothing in this daemon is.
    pub const CRITICAL: Self = Self(50);

    /// The name that is printed, as Python's `getLevelName` has it.
    pub fn name(self) -> Cow<'static, str> {
        let canonical = NAMES.iter().find(|&&(_, level)| level == self);
        match canonical {
            Some(&(name, _)) => name.into(),
            None => format!("Level {}", self.0).into(),
        }
    }
}

/// The names, those that are printed first.
const NAMES: [(&str, Level); 9] = [
    ("CRITICAL", Level::CRITICAL),
    ("ERROR", Level::ERROR),
    ("WARNING", Level::WARNING),
    ("INFO", Level::INFO),
    ("DEBUG", Level::DEBUG),
    ("TRACE", Level::TRACE),
    ("NOTSET", Level::NOTSET),
    ("FATAL", Level::CRITICAL),
    ("WARN", Level::WARNING),
];

/// Reads a level: a name in any case, or a number.
pub(super) fn level(node: &Node<'_>) -> Result<Level, String> {
    let (word, number) = match &node.value {
        Value::Text(text) => (text.trim(), text.trim().parse().ok()),
        Value::Integer(number) => ("", Some(*number)),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => ("", None),
    };
    let numbered = number
        .and_then(|number| u32::try_from(number).ok())
        .map(Level);
    let named = || {
        let mut names = NAMES.iter();
        names.find(|(name, _)| name.eq_ignore_ascii_case(word))
    };
    numbered
        .or_else(|| named().map(|&(_, level)| level))
        .ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name);
            let found = node.value.describe();
            let hint = did_you_mean(&word.to_uppercase(), &known).unwrap_or_default();
            format!(
                "found {found}, expected one of {} or a number{hint}",
                known.join(", ")
            )
        })
}

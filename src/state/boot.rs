//! The identity of this boot of the kernel. Read once at start, by whichever thread starts the daemon.

use std::fmt;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// Where the kernel shows it, random(4).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// A boot of this kernel: 36 characters, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower-case hexadecimal
/// digits. Everything that was running in another boot is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(String);

/// The text does not have the shape of a boot id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a boot id is a UUID in lower-case hexadecimal digits")]
pub struct BadBootId;

/// The kernel's boot id cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the boot id from {BOOT_ID_FILE}")]
pub struct BootIdError(#[source] io::Error);

impl BootId {
    /// The boot that is running.
    pub fn current() -> Result<Self, BootIdError> {
        let text = fs::read_to_string(BOOT_ID_FILE).map_err(BootIdError)?;
        Self::parse(text.trim_end())
            .map_err(|error| BootIdError(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Takes a text that has the shape of a boot id.
    pub fn parse(text: &str) -> Result<Self, BadBootId> {
        let fits = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadBootId)
        }
    }

    /// The first eight digits: enough to tell a few boots apart in the name of a directory, where every byte
    /// counts (unix(7) allows a socket's path 107 of them). The files in it bear the whole id.
    pub fn short(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// Whether a name has the shape of a short id.
    pub fn is_short(name: &str) -> bool {
        name.len() == 8
            && name
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BootId {
    type Error = BadBootId;

    fn try_from(text: String) -> Result<Self, BadBootId> {
        Self::parse(&text)
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests;

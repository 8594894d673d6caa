//! Readers of what the classes of handlers are given. Pure; each says what it found, what was expected, and what is
//! taken instead.

use std::path::PathBuf;

use super::{Mode, Syslog, When};
use crate::config::tree::{Node, Value, quoted};
use crate::config::value::{boolean, text};

pub(super) fn address(node: &Node<'_>) -> Result<Syslog, String> {
    const EXPECTED: &str =
        "expected a path such as /dev/log, or [host, port]; localhost, port 514, is taken";
    if let Some(path) = node.value.as_text().filter(|path| !path.is_empty()) {
        return Ok(Syslog::Unix(PathBuf::from(path)));
    }
    if let Value::List(list) = &node.value
        && let [host, port] = list.as_slice()
        && let Ok(host) = text(host, "a host")
        && let Ok(port) = whole(port)
        && let Ok(port) = u16::try_from(port)
    {
        return Ok(Syslog::Udp { host, port });
    }
    Err(format!("found {}, {EXPECTED}", node.value.describe()))
}

/// The names of the facilities in the order of their numbers, as Python has them; syslog(3).
pub(in crate::config::logging) const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

pub(super) fn facility(node: &Node<'_>) -> Result<u8, String> {
    let number = match &node.value {
        Value::Text(text) => {
            let word = text.rsplit_once("LOG_").map_or(&**text, |(_, word)| word);
            let word = word.to_ascii_lowercase();
            let word = if word == "solcron" {
                "solaris-cron"
            } else {
                &word
            };
            FACILITIES.iter().position(|name| *name == word)
        }
        Value::Integer(number) => usize::try_from(*number).ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    };
    number
        .filter(|number| *number < FACILITIES.len())
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| {
            let found = node.value.describe();
            format!(
                "found {found}, expected one of {}; it is user",
                FACILITIES.join(", ")
            )
        })
}

pub(super) fn mode(node: &Node<'_>) -> Result<Mode, String> {
    match node.value.as_text() {
        Some("a" | "at" | "a+") => Ok(Mode::Append),
        Some("w" | "wt" | "w+") => Ok(Mode::Truncate),
        Some(_) | None => Err(format!(
            "found {}, expected a or w; the file is appended to",
            node.value.describe()
        )),
    }
}

pub(super) fn encoding(node: &Node<'_>) -> Result<(), String> {
    let word = text(node, "an encoding")?
        .to_ascii_lowercase()
        .replace('_', "-");
    if matches!(&*word, "utf-8" | "utf8" | "ascii" | "us-ascii" | "locale") {
        return Ok(());
    }
    Err(format!(
        "found {}; the file is written in utf-8",
        quoted(&word)
    ))
}

pub(super) fn when(node: &Node<'_>) -> Result<When, String> {
    let word = text(node, "a unit of time")?.to_ascii_uppercase();
    let day = word.strip_prefix('W').and_then(|day| day.parse().ok());
    match &*word {
        "S" => Ok(When::Seconds),
        "M" => Ok(When::Minutes),
        "H" => Ok(When::Hours),
        "D" => Ok(When::Days),
        "MIDNIGHT" => Ok(When::Midnight),
        _ => day
            .filter(|day| *day < 7)
            .map(When::Weekday)
            .ok_or_else(|| {
                let found = node.value.describe();
                format!(
                    "found {found}, expected S, M, H, D, midnight or W0 (Monday) to W6; it is H"
                )
            }),
    }
}

/// Reads a boolean, also as 0 or 1.
pub(in crate::config::logging) fn truth(node: &Node<'_>) -> Result<bool, String> {
    match node.value {
        Value::Integer(number) => Ok(number != 0),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => boolean(node),
    }
}

/// Reads a whole number from 0, also where it is written as `1e6`.
pub(super) fn whole(node: &Node<'_>) -> Result<u64, String> {
    let number = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.trim().replace('_', "").parse().ok(),
        Value::Float(number) if number.fract() == 0.0 => format!("{number:.0}").parse().ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    };
    number.ok_or_else(|| {
        let found = node.value.describe();
        format!("found {found}, expected a whole number from 0; it is 0")
    })
}

//! The keys that say what the process of an action is, has and may: the same in an instance and in an action, where
//! they hold for that action only. Pure but for the user database; see `account`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account;
use super::section::{Notes, Section, did_you_mean, named};
use super::tree::{Node, Value, quoted};
use super::value::{any_text, choice, integer};
use crate::machine::process::{EnvironmentFrom, Limit, ProcessSettings, Resource};

/// What a limit looks like.
const A_LIMIT: &str = "expected a number, \"infinity\", or two of them as SOFT:HARD \
                       (with K, M or G for 1024, 1024² or 1024³)";

/// Reads the keys over what holds without them.
pub(super) fn read(
    section: &Section<'_, '_>,
    without: &Arc<ProcessSettings>,
    notes: &mut Notes<'_>,
) -> Arc<ProcessSettings> {
    let mut process = (**without).clone();
    if let Some(user) = account::user(section, "user", notes) {
        process.user = Some(user);
        // The group that was meant for another user is not meant for this one.
        process.group = None;
    }
    let group = account::group(section, "group", notes);
    process.group = group.or(process.group);
    process.umask = section.read("umask", notes, umask).or(process.umask);
    process.nice = section.read("nice", notes, nice).or(process.nice);
    process.limits.extend(limits(section, notes));
    let from = section.read("environment-from", notes, |node| {
        let words = [
            ("daemon", EnvironmentFrom::Daemon),
            ("none", EnvironmentFrom::None),
        ];
        choice(node, &words)
    });
    process.environment_from = from.unwrap_or(process.environment_from);
    if process == **without {
        return Arc::clone(without);
    }
    Arc::new(process)
}

fn umask(node: &Node<'_>) -> Result<u32, String> {
    let digits = match &node.value {
        Value::Text(text) => Some(text.trim()),
        Value::Integer(0) => Some("00"),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    };
    // A number without the leading zero would be decimal to some readers and octal to others.
    let octal = digits
        .filter(|digits| digits.starts_with('0'))
        .and_then(|digits| u32::from_str_radix(digits, 8).ok());
    octal.filter(|mask| *mask <= 0o777).ok_or_else(|| {
        let found = node.value.describe();
        format!("found {found}, expected octal digits with a leading zero, such as 022 or 0077")
    })
}

fn nice(node: &Node<'_>) -> Result<i32, String> {
    integer(node)
        .filter(|number| (-20..=19).contains(number))
        .ok_or_else(|| {
            let found = node.value.describe();
            format!("found {found}, expected a whole number from -20 (first) to 19 (last)")
        })
}

fn limits(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> BTreeMap<Resource, Limit> {
    let mut limits = BTreeMap::new();
    let Some(node) = section.get("limits") else {
        return limits;
    };
    let name = format!("{}.limits", section.name);
    for entry in named(node, &name, notes).unwrap_or_default() {
        let limit = limit(&entry.value);
        match (resource(&entry.key), limit) {
            (Ok(resource), Ok(limit)) => {
                if limits.insert(resource, limit).is_some() {
                    let message = format!("limits: {} stands here twice", resource.as_str());
                    notes.faults.add(entry.at, message);
                }
            }
            (Err(message), _) => notes.faults.add(entry.at, message),
            (Ok(_), Err(message)) => {
                let message = format!("limits: {}: {message}", entry.key);
                notes.faults.add(entry.value.at, message);
            }
        }
    }
    limits
}

/// By its name in limits.conf(5), systemd.exec(5) (`LimitNOFILE`) or setrlimit(2) (`RLIMIT_NOFILE`).
fn resource(key: &str) -> Result<Resource, String> {
    let lower = key.to_ascii_lowercase();
    let prefixes = ["rlimit_", "rlimit-", "limit-", "limit"];
    let bare = prefixes
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    let mut all = Resource::ALL.into_iter();
    all.find(|resource| resource.as_str() == bare)
        .ok_or_else(|| {
            let known = Resource::ALL.map(Resource::as_str);
            let hint = did_you_mean(bare, &known)
                .unwrap_or_else(|| format!(", expected one of {}", known.join(", ")));
            format!("limits: there is no limit {}{hint}", quoted(key))
        })
}

fn limit(node: &Node<'_>) -> Result<Limit, String> {
    let wrong = || format!("found {}, {A_LIMIT}", node.value.describe());
    let text = any_text(node, "a limit").map_err(|_| wrong())?;
    let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
    let limit = Limit {
        soft: amount(soft.trim()).map_err(|()| wrong())?,
        hard: amount(hard.trim()).map_err(|()| wrong())?,
    };
    let exceeds = match (limit.soft, limit.hard) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(soft), Some(hard)) => soft > hard,
    };
    if exceeds {
        let found = node.value.describe();
        return Err(format!(
            "found {found}, but what holds cannot be more than what it can be raised to"
        ));
    }
    Ok(limit)
}

/// A number, perhaps with a unit, or none for no limit; an error where it is neither.
fn amount(text: &str) -> Result<Option<u64>, ()> {
    if ["infinity", "unlimited", "-1"].contains(&text.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..) {
        Some("") => 1,
        Some("K" | "k") => 1 << 10,
        Some("M" | "m") => 1 << 20,
        Some("G" | "g") => 1 << 30,
        Some(_) | None => return Err(()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    let number: u64 = digits.parse().map_err(|_| ())?;
    // The largest number is the kernel's word for no limit.
    let amount = number.checked_mul(unit).filter(|value| *value < u64::MAX);
    amount.map(Some).ok_or(())
}

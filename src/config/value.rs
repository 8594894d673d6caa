//! Readers of single values: times, whole numbers, booleans, words, addresses. Pure; each says what it found
//! and what was expected, its caller knows where.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::section::did_you_mean;
use super::tree::{Node, Value, quoted};

/// The longest time a file can ask for: ten years. Sums of such times stay far from every overflow.
pub(super) const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

const A_TIME: &str = "expected a time such as 2 (seconds), 0.5, 500ms or 1m30s";

/// The units of a time, longest first, in nanoseconds.
const UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Reads a time of at least `least`, which is zero where "at once" has a meaning.
pub(super) fn duration(node: &Node<'_>, least: Duration) -> Result<Duration, String> {
    let found = || node.value.describe();
    let negative = || format!("found {}, a negative time; {A_TIME}", found());
    let time = match &node.value {
        Value::Integer(seconds) if *seconds < 0 => return Err(negative()),
        Value::Float(seconds) if *seconds < 0.0 => return Err(negative()),
        Value::Text(text) if text.trim_start().starts_with('-') => return Err(negative()),
        Value::Integer(seconds) => u64::try_from(*seconds)
            .ok()
            .map_or(Duration::MAX, Duration::from_secs),
        Value::Float(seconds) if seconds.is_nan() => {
            return Err(format!("found {}, {A_TIME}", found()));
        }
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX),
        Value::Text(text) => {
            parse_duration(text.trim()).ok_or_else(|| format!("found {}, {A_TIME}", found()))?
        }
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Mapping(_) | Value::Tagged(_) => {
            return Err(format!("found {}, {A_TIME}", found()));
        }
    };
    if time > LONGEST {
        return Err(format!("found {}, expected at most ten years", found()));
    }
    if time < least {
        let least = write_duration(least);
        let why = if time.is_zero() {
            "zero has no meaning here"
        } else {
            "which is too short"
        };
        return Err(format!(
            "found {}, {why}; expected at least {least}",
            found()
        ));
    }
    Ok(time)
}

/// `2`, `1.5`, `500ms`, `1m30s`: numbers with units, the longer unit first; a number alone is seconds. What is
/// longer than `Duration` holds is the longest there is.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut nanoseconds: u128 = 0;
    let mut units = UNITS.as_slice();
    let mut rest = text;
    loop {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(number_end)?;
        let unit_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let alone = unit.is_empty() && tail.is_empty() && rest.len() == text.len();
        let unit = if alone { "s" } else { unit };
        let index = units.iter().position(|&(name, _)| name == unit)?;
        let &(_, scale) = units.get(index)?;
        units = units.get(index + 1..)?;
        nanoseconds = nanoseconds.saturating_add(scaled(number, scale)?);
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
    let fraction = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, fraction))
}

/// A decimal number times `scale`, rounded down; without floating point, so that 0.1s is 0.1s.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    // PyYAML reads 010 as eight and other readers as ten: such a number is refused.
    let ambiguous = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    if ambiguous || number.is_empty() || number == "." || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let places = u32::try_from(fraction.len()).ok()?;
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    Some(whole * scale + fraction * scale / 10_u128.pow(places))
}

/// Writes a time so that [`duration`] reads the same time again.
pub(super) fn write_duration(time: Duration) -> String {
    let (seconds, fraction) = (time.as_secs(), time.subsec_nanos());
    match (seconds, fraction) {
        (0, 0) => "0s".into(),
        (0, nanos) if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        (_, 1..) => format!(
            "{}s",
            format!("{seconds}.{fraction:09}").trim_end_matches('0')
        ),
        (_, 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (_, 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (_, 0) => format!("{seconds}s"),
    }
}

/// A whole number, as a number or as text, where there is one that fits.
pub(super) fn integer<T: FromStr + TryFrom<i128>>(node: &Node<'_>) -> Option<T> {
    match &node.value {
        Value::Integer(number) => T::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    }
}

/// Reads a whole number from 1.
pub(super) fn count(node: &Node<'_>) -> Result<NonZeroU32, String> {
    let text_number = |text: &str| text.trim().parse::<i128>().ok();
    let number = match &node.value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => text_number(text).filter(|_| !text.trim().starts_with('0')),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => None,
    };
    let why = match number {
        Some(0) => ", zero has no meaning here;",
        Some(_) | None => ",",
    };
    number
        .and_then(|number| u32::try_from(number).ok())
        .and_then(NonZeroU32::new)
        .ok_or_else(|| {
            let found = node.value.describe();
            format!(
                "found {found}{why} expected a whole number from 1 to {}",
                u32::MAX
            )
        })
}

/// Reads a boolean, also in the words of YAML 1.1, which `PyYAML` reads.
pub(super) fn boolean(node: &Node<'_>) -> Result<bool, String> {
    let word = match &node.value {
        Value::Bool(value) => return Ok(*value),
        Value::Text(text) => text.trim().to_ascii_lowercase(),
        Value::Null
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => String::new(),
    };
    match word.as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(format!(
            "found {}, expected true or false (yes, no, on, off)",
            node.value.describe()
        )),
    }
}

/// Reads a text that is not empty and can be handed to a program.
pub(super) fn text(node: &Node<'_>, expected: &str) -> Result<String, String> {
    let text = any_text(node, expected)?;
    if text.trim().is_empty() {
        return Err(format!("found an empty text, expected {expected}"));
    }
    Ok(text)
}

/// Reads a text that may be empty. A whole number is taken as text; a fraction (1.50 is 1.5) or a boolean, which
/// would not come out as it was written, has to stand in quotes.
pub(super) fn any_text(node: &Node<'_>, expected: &str) -> Result<String, String> {
    match &node.value {
        Value::Text(text) if text.contains('\0') => {
            Err("found a text with a NUL character, which no program can be given".into())
        }
        Value::Text(text) => Ok(text.clone().into_owned()),
        Value::Integer(number) => Ok(number.to_string()),
        found @ (Value::Bool(_) | Value::Float(_)) => Err(format!(
            "found {}, expected {expected}; if it is meant as text, write it in quotes",
            found.describe()
        )),
        found @ (Value::Null | Value::List(_) | Value::Mapping(_) | Value::Tagged(_)) => {
            Err(format!("found {}, expected {expected}", found.describe()))
        }
    }
}

/// Reads one word of a few.
pub(super) fn choice<T: Copy>(node: &Node<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
    let written = match &node.value {
        Value::Text(text) => text.trim(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => "",
    };
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(written))
        .map(|&(_, value)| value)
        .ok_or_else(|| {
            let found = node.value.describe();
            let hint = did_you_mean(written, &known).unwrap_or_default();
            format!("found {found}, expected one of {}{hint}", known.join(", "))
        })
}

/// Reads the address of a VIP.
pub(super) fn address(node: &Node<'_>) -> Result<IpAddr, String> {
    const EXPECTED: &str = "expected an IPv4 or IPv6 address such as 10.0.0.1 or 2001:db8::1";
    let Value::Text(text) = &node.value else {
        return Err(format!("found {}, {EXPECTED}", node.value.describe()));
    };
    let text = text.trim();
    let found = quoted(text);
    let hint = match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            format!("found {found}, which no interface can hold; {EXPECTED}")
        }
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_canonical();
            format!(
                "found {found}, an IPv4-mapped address, which the kernel does not use; expected {v4}"
            )
        }
        Ok(address) => return Ok(address),
        Err(_) => return Err(explain_bad_address(text, &found, EXPECTED)),
    };
    Err(hint)
}

fn explain_bad_address(text: &str, found: &str, expected: &str) -> String {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    if let Some((address, _)) = text
        .split_once('/')
        .filter(|(before, _)| is_address(before))
    {
        return format!(
            "found {found} with a prefix length, but addresses are compared whole; expected {address}"
        );
    }
    if let Some((address, zone)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        let zone = quoted(zone);
        return format!(
            "found {found} with an interface, which stands under nic; expected {address} and nic: {zone}"
        );
    }
    let octets = || text.split([':', '-']);
    let is_octet = |octet: &str| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit());
    if octets().count() == 6 && octets().all(is_octet) {
        return format!("found {found}, a hardware (MAC) address; {expected}");
    }
    let is_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(trouble) = ipv4_trouble(text).filter(|_| text.chars().all(is_label)) {
        return format!("found {found}, {trouble}; {expected}");
    }
    if text.chars().all(is_label) && text.contains(|c: char| c.is_ascii_alphabetic()) {
        return format!("found {found}, a name, and names are not looked up; {expected}");
    }
    format!("found {found}, {expected}")
}

/// What keeps a text from being an IPv4 address that looks as if it was meant as one: it begins with a number and has
/// four parts, or nothing but numbers.
fn ipv4_trouble(text: &str) -> Option<String> {
    const NTH: [&str; 4] = ["first", "second", "third", "fourth"];
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_meant = parts.first().is_some_and(is_number)
        && (parts.len() == NTH.len() || (parts.len() > 1 && parts.iter().all(is_number)));
    if !is_meant {
        return None;
    }
    if parts.len() != NTH.len() {
        let count = parts.len();
        return Some(format!(
            "which has {count} numbers where an IPv4 address has four"
        ));
    }
    NTH.iter().zip(parts).find_map(|(nth, part)| {
        let trouble = match part.parse::<u8>() {
            _ if part.is_empty() => "is empty".to_owned(),
            _ if part.len() > 1 && part.starts_with('0') && is_number(&part) => {
                format!("({part}) begins with a zero, which some programs read as octal")
            }
            Ok(_) => return None,
            Err(_) => format!("({part}) is not a number from 0 to 255"),
        };
        Some(format!("whose {nth} part {trouble}"))
    })
}

#[cfg(test)]
mod tests;

//! A log record as a line for a person. Pure.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use tracing::Level;

use super::OUTPUT_TARGET;
use super::record::{COMMON, Record};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For eyes on a terminal: the time of day, in colours.
    Coloured,
    /// For eyes on a terminal that wants no colours.
    Terminal,
    /// For a file that is read later: with the date.
    File,
}

/// The whole line with its end. Control characters are escaped: what a script prints must not be able to move
/// the cursor of whoever reads the log, or to look like another line.
///
/// Times are in UTC and say so with a `Z`: the offset of the local time changes under a running process, and
/// the standard library does not know it.
pub(super) fn line(record: &Record, style: Style) -> String {
    let mut line = String::with_capacity(128);
    let (dim, level_colour, reset) = match style {
        Style::Coloured => ("\x1b[2m", colour(record.level), "\x1b[0m"),
        Style::Terminal | Style::File => ("", "", ""),
    };
    line.push_str(dim);
    match style {
        Style::Coloured | Style::Terminal => push_time_of_day(&mut line, record.time),
        Style::File => push_date_and_time(&mut line, record.time),
    }
    let level = record.level.as_str();
    // Writing into a string has no way to fail.
    let _ = write!(line, "{reset} {level_colour}{level:>5}{reset} ");
    push_body(&mut line, record, dim, reset);
    line.push('\n');
    line
}

/// What a line says: the message with its instance and all fields.
pub(super) fn body(record: &Record) -> String {
    let mut body = String::with_capacity(96);
    push_body(&mut body, record, "", "");
    body
}

fn push_body(line: &mut String, record: &Record, dim: &str, reset: &str) {
    if let Some(instance) = record.instance() {
        push_escaped(line, instance);
        line.push_str(": ");
    }
    if record.target == OUTPUT_TARGET {
        // A script may print what looks like the daemon's own words.
        line.push_str("| ");
    }
    push_escaped(line, &record.message);
    for (name, value) in COMMON.iter().zip(&record.common).skip(1) {
        if let Some(value) = value {
            push_field(line, dim, name, value, reset);
        }
    }
    for (name, value) in &record.others {
        push_field(line, dim, name, value, reset);
    }
}

fn push_field(line: &mut String, dim: &str, name: &str, value: &str, reset: &str) {
    line.push(' ');
    line.push_str(dim);
    line.push_str(name);
    line.push('=');
    if value.is_empty() || value.contains([' ', '"', '=']) {
        let _ = write!(line, "{value:?}");
    } else {
        push_escaped(line, value);
    }
    line.push_str(reset);
}

fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => line.push(c),
            // The separators end a line for some readers, and the others turn the order of what is read around.
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                line.extend(c.escape_default());
            }
            c => line.push(c),
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn push_time_of_day(line: &mut String, time: SystemTime) {
    let since = since_1970(time);
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let (seconds, millis) = (seconds % 60, since.subsec_millis());
    let _ = write!(line, "{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z");
}

fn push_date_and_time(line: &mut String, time: SystemTime) {
    let (year, month, day) = date(since_1970(time).as_secs() / 86_400);
    let _ = write!(line, "{year:04}-{month:02}-{day:02}T");
    push_time_of_day(line, time);
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar.
fn date(day: u64) -> (u64, u64, u64) {
    // Years that begin in March have their leap day at the end, so the lengths of the months before it are
    // always the same: 153 days in every five of them. Day 0 is the first of March of the year 0.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 {
        (month + 3, year)
    } else {
        (month - 9, year + 1)
    };
    (400 * era + year, month, day)
}

#[cfg(test)]
mod tests;

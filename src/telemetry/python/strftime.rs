//! Local time, and strftime(3) as Python's `time.strftime` has it in the C locale. Runs on the log thread.

use std::fmt::Write;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// What `datefmt` is not given for.
const DEFAULT: &str = "%Y-%m-%d %H:%M:%S";

/// The conversions that mean here what they mean to the C library.
const COMMON: &str = "aAbBCdDeFgGhHIjklmMnpPRsStTuUVwWyYzZ";

/// What local time is.
#[derive(Debug, Clone, Default)]
pub(super) struct Local(pub(super) Option<TimeZone>);

impl Local {
    /// The zone that was set, else that of `TZ` or /etc/localtime. The library keeps it for some minutes, so it is
    /// asked each time: a machine that moves is noticed.
    pub(super) fn zone(&self) -> TimeZone {
        self.0.clone().unwrap_or_else(TimeZone::system)
    }
}

/// The moment with its offset; 1970 where the calendar has no such year.
pub(super) fn zoned(nanoseconds: i128, zone: TimeZone) -> Zoned {
    let moment = Timestamp::from_nanosecond(nanoseconds);
    moment.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone)
}

/// Whether it is summer time.
pub(super) fn is_summer(second: i64, zone: &TimeZone) -> bool {
    let moment = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.to_offset_info(moment).dst().is_dst()
}

/// The time as Python's `formatTime` writes it: with milliseconds behind a comma if there is no `datefmt`.
pub(super) fn asctime(datefmt: Option<&str>, time: &Zoned) -> String {
    let Some(datefmt) = datefmt else {
        return format!("{},{:03}", strftime(DEFAULT, time), time.millisecond());
    };
    strftime(datefmt, time)
}

/// The time as the text says. What is no conversion stands for itself, as it does in the C library.
pub(super) fn strftime(text: &str, time: &Zoned) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        written.push_str(before);
        let flags = after.find(|c| !"_-0^#".contains(c)).unwrap_or(after.len());
        let (flags, conversion) = after.split_at(flags);
        let digits = conversion
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(conversion.len());
        let (width, conversion) = conversion.split_at(digits);
        // Locales may have other calendars and digits; that of C has none.
        let conversion = conversion.strip_prefix(['E', 'O']).unwrap_or(conversion);
        let mut letters = conversion.chars();
        let letter = letters.next();
        match letter.and_then(|letter| converted(flags, width, letter, time)) {
            Some(text) => {
                written.push_str(&text);
                rest = letters.as_str();
            }
            None => {
                written.push('%');
                rest = after;
            }
        }
    }
    written.push_str(rest);
    written
}

fn converted(flags: &str, width: &str, letter: char, time: &Zoned) -> Option<String> {
    let whole = match letter {
        '%' => return Some("%".into()),
        'c' => "%a %b %e %H:%M:%S %Y",
        'x' => "%m/%d/%y",
        'X' => "%H:%M:%S",
        'r' => "%I:%M:%S %p",
        '+' => "%a %b %e %H:%M:%S %Z %Y",
        letter if COMMON.contains(letter) => {
            let mut one = String::from("%");
            // Writing into a string has no way to fail.
            let _ = write!(one, "{flags}{width}{letter}");
            return strtime::format(one, time).ok();
        }
        _ => return None,
    };
    strtime::format(whole, time).ok()
}

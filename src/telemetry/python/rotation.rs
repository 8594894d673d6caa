//! When a log file is rotated by time, and what old files are called: the rules of Python's
//! `TimedRotatingFileHandler`. Pure.
//!
//! No library is used for rotation: none has these names and moments. `file-rotate` and `log4rs` number or stamp
//! differently and look at the size only after it is exceeded; `tracing-appender` stamps the file that is
//! written to, which logrotate, `tail -F` and existing files do not expect.
//!
//! The midnights are the calendar's, where Python adds 24 hours and takes an hour for summer time in or out; its
//! releases before 3.13 miss the first such midnight after a start, and every second one of a week.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::strftime::{is_summer, strftime, zoned};
use crate::config::logging::When;

const DAY_SECONDS: i64 = 86_400;

/// How a file is rotated by time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) when: When,
    pub(super) interval: u32,
}

impl Schedule {
    /// The length of one interval, in seconds, as far as it has one.
    fn seconds(self) -> i64 {
        let unit = match self.when {
            When::Seconds => 1,
            When::Minutes => 60,
            When::Hours => 3_600,
            When::Days | When::Midnight => DAY_SECONDS,
            When::Weekday(_) => 7 * DAY_SECONDS,
        };
        unit * i64::from(self.interval)
    }

    /// The first moment, in seconds since 1970, at which a file is rotated that was begun or written at `now`.
    pub(super) fn next(self, now: i64, zone: &TimeZone) -> i64 {
        match self.when {
            When::Seconds | When::Minutes | When::Hours | When::Days => now + self.seconds(),
            When::Midnight => {
                midnight(now, i64::from(self.interval), zone).unwrap_or(now + self.seconds())
            }
            When::Weekday(day) => {
                let today = zoned(i128::from(now) * 1_000_000_000, zone.clone()).weekday();
                let today = i64::from(today.to_monday_zero_offset());
                // The midnight that ends the day, which for the day itself is the next one.
                let days = (i64::from(day) - today).rem_euclid(7) + 1;
                let days = days + 7 * (i64::from(self.interval) - 1);
                midnight(now, days, zone).unwrap_or(now + self.seconds())
            }
        }
    }

    /// What is put behind the name of a file that is rotated at `now` and was due at `due`: the time at which
    /// its interval began.
    pub(super) fn suffix(self, due: i64, now: i64, zone: &TimeZone) -> String {
        let mut begun = due - self.seconds();
        begun += match (is_summer(now, zone), is_summer(begun, zone)) {
            (true, false) => 3_600,
            (false, true) => -3_600,
            (true, true) | (false, false) => 0,
        };
        let begun = zoned(i128::from(begun) * 1_000_000_000, zone.clone());
        strftime(self.stamp(), &begun)
    }

    fn stamp(self) -> &'static str {
        match self.when {
            When::Seconds => "%Y-%m-%d_%H-%M-%S",
            When::Minutes => "%Y-%m-%d_%H-%M",
            When::Hours => "%Y-%m-%d_%H",
            When::Days | When::Midnight | When::Weekday(_) => "%Y-%m-%d",
        }
    }

    /// Of the names in a directory those that are old files of this one and of which there are too many; the
    /// oldest. Something may stand behind their stamp, as `.gz` does.
    pub(super) fn outdated(
        self,
        file_name: &str,
        names: impl Iterator<Item = String>,
        backups: usize,
    ) -> Vec<String> {
        let is_old = |name: &String| {
            let suffix = name
                .strip_prefix(file_name)
                .and_then(|rest| rest.strip_prefix('.'));
            let mut parts = suffix.unwrap_or_default().split('.');
            let is_stamp = parts.next().is_some_and(|part| self.is_stamp(part));
            is_stamp && parts.count() < 2
        };
        let mut old: Vec<String> = names.filter(is_old).collect();
        old.sort();
        old.truncate(old.len().saturating_sub(backups));
        old
    }

    fn is_stamp(self, part: &str) -> bool {
        let shape = self.stamp().replace("%Y", "0000");
        let shape = ["%m", "%d", "%H", "%M", "%S"]
            .iter()
            .fold(shape, |shape, two| shape.replace(two, "00"));
        let fits = |(c, like): (u8, u8)| {
            if like == b'0' {
                c.is_ascii_digit()
            } else {
                c == like
            }
        };
        part.len() == shape.len() && part.bytes().zip(shape.bytes()).all(fits)
    }
}

/// The midnight that begins the day so many days after that of `now`; `None` beyond the calendar.
fn midnight(now: i64, days: i64, zone: &TimeZone) -> Option<i64> {
    let today: Date = zoned(i128::from(now) * 1_000_000_000, zone.clone()).date();
    let day = today.checked_add(days.days()).ok()?;
    let midnight = zone
        .to_ambiguous_zoned(day.at(0, 0, 0, 0))
        .compatible()
        .ok()?;
    Some(midnight.timestamp().as_second())
}

#[cfg(test)]
mod tests;

//! Tests of `telemetry/python/rotation`. The comparison with Python is in `telemetry/python/appender`.

use super::*;
use crate::telemetry::python::testing::zone;

fn at(text: &str) -> i64 {
    let time: jiff::civil::DateTime = text.parse().unwrap();
    time.to_zoned(zone()).unwrap().timestamp().as_second()
}

fn next(when: When, interval: u32, now: &str) -> i64 {
    Schedule { when, interval }.next(at(now), &zone())
}

#[test]
fn midnight_is_the_calendars_whatever_the_clocks_do() {
    for (now, due) in [
        ("2026-11-20T12:00", "2026-11-21T00:00"),
        ("2026-11-20T00:00", "2026-11-21T00:00"),
        // 23 and 25 hours long.
        ("2026-03-29T00:00", "2026-03-30T00:00"),
        ("2026-03-28T12:00", "2026-03-29T00:00"),
        ("2026-10-25T00:30", "2026-10-26T00:00"),
    ] {
        assert_eq!(next(When::Midnight, 1, now), at(due), "{now}");
    }
    assert_eq!(
        next(When::Midnight, 3, "2026-03-28T12:00"),
        at("2026-03-31T00:00")
    );
}

#[test]
fn a_weekday_ends_with_its_midnight() {
    // 2026-11-20 is a Friday.
    for (day, due) in [
        (4, "2026-11-21"),
        (5, "2026-11-22"),
        (6, "2026-11-23"),
        (0, "2026-11-24"),
        (3, "2026-11-27"),
    ] {
        let due = format!("{due}T00:00");
        assert_eq!(
            next(When::Weekday(day), 1, "2026-11-20T12:00"),
            at(&due),
            "{day}"
        );
    }
    // Over both changes of the clocks.
    assert_eq!(
        next(When::Weekday(0), 1, "2026-03-24T00:00"),
        at("2026-03-31T00:00")
    );
    assert_eq!(
        next(When::Weekday(0), 2, "2026-10-20T00:00"),
        at("2026-11-03T00:00")
    );
}

#[test]
fn only_old_files_of_this_one_are_deleted() {
    let schedule = Schedule {
        when: When::Days,
        interval: 1,
    };
    let names = [
        "app.log.2026-01-03",
        "app.log.2026-01-01",
        "app.log.2026-01-02.gz",
        "app.log",
        "app.log.1",
        "app.log.2026-01-01_00",
        "app.log.2026-1-01x",
        "app.log.bak.2026-01-01",
        "app.log2.2026-01-01",
        "other.log.2020-01-01",
        "app.log.2026-01-01.x.y",
    ];
    let outdated = |backups| {
        let names = names.iter().map(|name| (*name).to_owned());
        schedule.outdated("app.log", names, backups)
    };
    assert_eq!(outdated(2), ["app.log.2026-01-01"]);
    assert_eq!(outdated(1), ["app.log.2026-01-01", "app.log.2026-01-02.gz"]);
    assert_eq!(outdated(3), [""; 0]);
}

//! Tests of `telemetry/python/appender`: rotation over a clock that both are told, against Python's handlers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;
use crate::config::logging::When;
use crate::telemetry::python::testing::{local, python, zone};

fn settings(path: &Path, keeping: Keeping) -> File {
    File {
        path: path.to_owned(),
        mode: Mode::Append,
        opening: Opening::Delayed,
        keeping,
    }
}

/// Names and contents of all files in a directory.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// Writes one line at each of the times and says what files there are at the end.
fn ours(
    keeping: &Keeping,
    mtime: Option<i64>,
    lines: &[(i64, String)],
) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    if let Some(mtime) = mtime {
        fs::write(&path, "before\n").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs());
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let first = lines.first().unwrap().0;
    let mut appender = Appender::new(settings(&path, keeping.clone()), local(), first);
    for (time, line) in lines {
        let how = appender.append(&format!("{line}\n"), *time);
        assert!(matches!(how, Appended::Well), "{how:?}");
    }
    files(directory.path())
}

const THEIRS: &str = r"
import tempfile
answer = []
for case in given:
    directory = tempfile.TemporaryDirectory()
    path = os.path.join(directory.name, 'app.log')
    if case['mtime'] is not None:
        open(path, 'w').write('before\n')
        os.utime(path, (case['mtime'], case['mtime']))
    now = case['lines'][0][0]
    time.time = lambda: now + 0.5
    h = getattr(logging.handlers, case['class'])(path, delay=True, **case['kwargs'])
    logging.raiseExceptions = True
    for now, line in case['lines']:
        h.handle(logging.makeLogRecord({'msg': line, 'levelno': 20}))
    h.close()
    answer.append({n: open(os.path.join(directory.name, n)).read() for n in os.listdir(directory.name)})
";

struct Case {
    keeping: Keeping,
    mtime: Option<i64>,
    lines: Vec<(i64, String)>,
}

#[track_caller]
fn compare(cases: &[Case]) {
    let given = cases.iter().map(|case| {
        let (class, kwargs) = match &case.keeping {
            Keeping::BySize { bytes_max, backups } => (
                "RotatingFileHandler",
                json!({"maxBytes": bytes_max, "backupCount": backups}),
            ),
            Keeping::ByTime {
                when,
                interval,
                backups,
                zone,
            } => {
                let when = match when {
                    When::Seconds => "S".into(),
                    When::Minutes => "M".into(),
                    When::Hours => "H".into(),
                    When::Days => "D".into(),
                    When::Midnight => "midnight".into(),
                    When::Weekday(day) => format!("W{day}"),
                };
                let utc = *zone == Zone::Utc;
                let kwargs =
                    json!({"when": when, "interval": interval, "backupCount": backups, "utc": utc});
                ("TimedRotatingFileHandler", kwargs)
            }
            Keeping::Plain | Keeping::Watched => panic!("nothing rotates"),
        };
        json!({"class": class, "kwargs": kwargs, "mtime": case.mtime, "lines": case.lines})
    });
    let theirs = python(THEIRS, &Value::Array(given.collect()));
    for (case, theirs) in cases.iter().zip(theirs.as_array().unwrap()) {
        let ours = json!(ours(&case.keeping, case.mtime, &case.lines));
        assert_eq!(&ours, theirs, "{:?} {:?}", case.keeping, case.mtime);
    }
}

fn second(text: &str) -> i64 {
    let time: jiff::civil::DateTime = text.parse().unwrap();
    time.to_zoned(zone()).unwrap().timestamp().as_second()
}

/// A line every so many seconds.
fn steady(start: i64, every: i64, count: i64) -> Vec<(i64, String)> {
    (0..count)
        .map(|n| (start + n * every, format!("line {n}")))
        .collect()
}

#[test]
fn rotation_by_size_is_pythons() {
    let mut cases = Vec::new();
    for (bytes_max, backups) in [(100, 3), (64, 1), (30, 12), (0, 3), (100, 0)] {
        let widths = [5, 9, 20, 11, 2, 27];
        let line = |n: i64| {
            (
                1_000 + n,
                format!(
                    "{n:0width$}",
                    width = widths[usize::try_from(n).unwrap() % 6]
                ),
            )
        };
        for mtime in [None, Some(500)] {
            cases.push(Case {
                keeping: Keeping::BySize { bytes_max, backups },
                mtime,
                lines: (0..60).map(line).collect(),
            });
        }
    }
    compare(&cases);
}

fn one(
    when: When,
    interval: u32,
    backups: u32,
    zone: Zone,
    mtime: Option<i64>,
    lines: Vec<(i64, String)>,
) -> Case {
    Case {
        keeping: Keeping::ByTime {
            when,
            interval: interval.try_into().unwrap(),
            backups,
            zone,
        },
        mtime,
        lines,
    }
}

#[test]
fn rotation_by_time_is_pythons() {
    let winter = second("2026-01-14T13:27:11");
    let mut cases = Vec::new();
    for zone in [Zone::Local, Zone::Utc] {
        for interval in [1, 3] {
            for backups in [0, 2] {
                let case = |when, lines| one(when, interval, backups, zone, None, lines);
                cases.push(case(When::Seconds, steady(winter, 1, 12)));
                cases.push(case(When::Minutes, steady(winter, 25, 30)));
                cases.push(case(When::Hours, steady(winter, 1_700, 30)));
                cases.push(case(When::Days, steady(winter, 40_000, 30)));
            }
        }
        for backups in [0, 3] {
            cases.push(one(
                When::Midnight,
                1,
                backups,
                zone,
                None,
                steady(winter, 20_000, 40),
            ));
            for day in 0..7 {
                cases.push(one(
                    When::Weekday(day),
                    1,
                    backups,
                    zone,
                    None,
                    steady(winter, 50_000, 60),
                ));
            }
        }
        // A file of an earlier life, which is due at once, or not yet.
        for age in [100, 90_000, 900_000] {
            let begun = Some(winter - age);
            cases.push(one(
                When::Midnight,
                1,
                5,
                zone,
                begun,
                steady(winter, 30_000, 9),
            ));
            cases.push(one(
                When::Weekday(2),
                1,
                5,
                zone,
                begun,
                steady(winter, 80_000, 20),
            ));
            cases.push(one(
                When::Hours,
                2,
                5,
                zone,
                begun,
                steady(winter, 3_000, 9),
            ));
        }
    }
    compare(&cases);
}

#[test]
fn rotation_over_a_change_of_the_clocks_is_pythons() {
    let mut cases = Vec::new();
    for change in ["2026-03-26T22:13:00", "2026-10-22T22:13:00"] {
        for step in [1_800, 30_000, 100_000] {
            cases.push(one(
                When::Midnight,
                1,
                0,
                Zone::Local,
                None,
                steady(second(change), step, 400_000 / step),
            ));
            cases.push(one(
                When::Midnight,
                1,
                2,
                Zone::Utc,
                None,
                steady(second(change), step, 400_000 / step),
            ));
            cases.push(one(
                When::Days,
                1,
                0,
                Zone::Local,
                None,
                steady(second(change), step, 400_000 / step),
            ));
        }
    }
    cases.push(one(
        When::Hours,
        1,
        0,
        Zone::Local,
        None,
        steady(second("2026-03-28T20:10:00"), 900, 40),
    ));
    compare(&cases);
}

#[test]
fn a_week_with_a_change_of_the_clocks_ends_at_midnight() {
    let keeping = Keeping::ByTime {
        when: When::Weekday(6),
        interval: 1.try_into().unwrap(),
        backups: 0,
        zone: Zone::Local,
    };
    let lines = [
        (second("2026-03-23T12:00"), "first".to_owned()),
        (second("2026-03-29T23:59:59"), "last".to_owned()),
        (second("2026-03-30T00:00:00"), "next".to_owned()),
    ];
    let expected = [
        ("app.log", "next\n"),
        ("app.log.2026-03-23", "first\nlast\n"),
    ];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(ours(&keeping, None, &lines), BTreeMap::from(expected));
}

#[test]
fn what_was_renamed_is_noticed_or_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let before = directory.path().join("app.log.before");
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    for keeping in [Keeping::Watched, Keeping::Plain] {
        let mut appender = Appender::new(settings(&path, keeping.clone()), local(), 0);
        appender.append("one\n", 0);
        fs::rename(&path, &before).unwrap();
        if keeping == Keeping::Plain {
            appender.append("two\n", 0);
            assert_eq!(text(&before), "one\ntwo\n");
            appender.reopen().unwrap();
        }
        appender.append("three\n", 0);
        assert_eq!(text(&path), "three\n");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_opened_again_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let within = directory.path().join("log");
    fs::create_dir(&within).unwrap();
    let mut appender = Appender::new(
        settings(&within.join("app.log"), Keeping::Plain),
        local(),
        0,
    );
    appender.append("one\n", 0);
    let away = directory.path().join("away");
    fs::rename(&within, &away).unwrap();
    appender.reopen().unwrap_err();
    assert!(matches!(appender.append("two\n", 0), Appended::Well));
    assert_eq!(
        fs::read_to_string(away.join("app.log")).unwrap(),
        "one\ntwo\n"
    );
}

#[test]
fn what_was_there_is_thrown_away_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    fs::write(&path, "old\n").unwrap();
    let mut file = settings(&path, Keeping::Plain);
    file.mode = Mode::Truncate;
    let mut appender = Appender::new(file, local(), 0);
    appender.append("one\n", 0);
    appender.reopen().unwrap();
    appender.append("two\n", 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
}

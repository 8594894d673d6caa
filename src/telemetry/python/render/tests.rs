//! Tests of `telemetry/python/render`: format by format against Python.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::config::logging::Plan;
use crate::telemetry::python::testing::{python, zone};
use crate::telemetry::record::{Source, ThreadName};

const PERCENT: &[&str] = &[
    "%(asctime)-15s\t%(levelname)s\t%(message)s",
    "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "%(levelname)-8s|%(levelname)8s|%(levelname).3s|%(levelname)-10.2s|%(levelname)08s",
    "%(lineno)d %(lineno)04d %(lineno)4d %(lineno)-4d| %(lineno)+d %(lineno) d%%",
    "%(lineno)x %(lineno)X %(lineno)o %(lineno)s %(lineno)5s %(lineno)-5s| %(lineno).5d %(lineno)8.5d %(lineno)i %(lineno)u",
    "%(lineno)f %(lineno).1f %(lineno)08.2f %(lineno)r",
    "%(msecs)03d %(msecs)d %(msecs)s %(msecs)6.2f %(msecs)+08.1f %(msecs)f",
    "%(created)f %(created)d %(created).3f %(created)s %(created)r",
    "%(relativeCreated)d %(relativeCreated)10.1f",
    "%(process)d:%(processName)s:%(thread)d:%(threadName)s",
    "%(module)s %(filename)s %(pathname)s %(funcName)s:%(lineno)d",
    "%(levelno)s %(levelno)03d %(message)s",
    "%(message)r %(message)20s|%(message)-30s|%(message).4s|",
    "100%% %(message)s%%",
    "%(levelname)ls %(lineno)hd %(message)s",
    "[%(name)s] {%(message)s} $%(message)s ${message}",
];
const BRACE: &[&str] = &[
    "{asctime} {levelname:<8} {message}",
    "{levelname:>8}|{levelname:^9}|{levelname:*^10}|{levelname:.3}|{levelname:8}|{levelname!r:10}|{message!s:>30}",
    "{lineno:04d} {lineno:+} {lineno:<6}| {lineno:6} {lineno:x} {lineno:X} {lineno:o} {lineno: d} {lineno:=+7d} {lineno:.2f}",
    "{msecs:03.0f} {msecs:.2f} {msecs:10} {msecs} {created:f} {created:.1f} {msecs:+08.1f}",
    "{{{message}}} {{literal}} {message!r}",
    "{process} {threadName} {module} {funcName} {name} {levelno}",
];
const DOLLAR: &[&str] = &[
    "$asctime ${levelname} $message",
    "$$ ${message}$$ $name.$levelno",
    "${lineno}x $msecs $process",
];
/// Every conversion of the C library's manual, and what is none.
const DATEFMT: &[&str] = &[
    "%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %n %p %P %r %R %s %S %t %T %u %U %V %w %W %x %X %y %Y %z %Z %%",
    "%-d.%-m.%y %_d %0e %^a %^B %03d %10Y|%-H",
    "%Q %f %! %E %Ey %Od %L %N %i 100% %",
    "%d/%b/%Y:%H:%M:%S %z",
    "",
];
/// Seconds before and behind both changes of the clocks, and far away.
const TIMES: &[f64] = &[
    1_774_745_999.999,
    1_774_746_000.0,
    1_792_889_999.5,
    1_792_890_000.25,
    1_792_893_600.125,
    1_793_712_896.007,
    0.0,
    2_147_483_648.75,
    1_767_222_000.001,
];

fn plan(formatters: &[Json]) -> Plan {
    let named: serde_json::Map<_, _> = formatters
        .iter()
        .enumerate()
        .map(|(number, one)| (format!("{number:04}"), one.clone()))
        .collect();
    let text = json!({
        "instances": {},
        "logging": {
            "version": 1,
            "formatters": named,
            "handlers": {"h": {"class": "logging.NullHandler"}},
            "root": {"handlers": ["h"]},
        },
    });
    let loaded = crate::config::parse(&text.to_string(), "/etc/k.yaml".as_ref()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config.logging.unwrap().plan.unwrap()
}

fn records() -> Vec<Record> {
    let levels = [
        tracing::Level::ERROR,
        tracing::Level::WARN,
        tracing::Level::INFO,
        tracing::Level::DEBUG,
        tracing::Level::TRACE,
    ];
    let messages = [
        "became MASTER",
        "it's \"ä\" €",
        "",
        "50% {x} $y \\ \t|",
        "it's",
    ];
    let one = |(index, seconds): (usize, &f64)| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(*seconds);
        let level = levels[index % levels.len()];
        let message = messages[index % messages.len()].to_owned();
        let mut record = Record::new(time, level, "keepstart::source", message);
        record.source = Source {
            file: "src/source/netlink.rs",
            line: [7, 12345, 0][index % 3],
            module: "keepstart::source::netlink",
        };
        record.thread = Arc::new(ThreadName {
            name: "reactor".into(),
            number: 4711,
        });
        record
    };
    TIMES.iter().enumerate().map(one).collect()
}

fn as_json(record: &Record, begun: SystemTime) -> Json {
    let created = since_1970(record.time).as_secs_f64();
    json!({
        "created": created,
        "msecs": f64::from(since_1970(record.time).subsec_millis()),
        "relativeCreated": (created - since_1970(begun).as_secs_f64()) * 1000.0,
        "levelno": number(record.level).0,
        "levelname": number(record.level).name(),
        "name": "keepserver",
        "msg": record.message,
        "process": std::process::id(),
        "processName": "MainProcess",
        "thread": 4711,
        "threadName": "reactor",
        "taskName": null,
        "module": "netlink",
        "filename": "netlink.rs",
        "pathname": record.source.file,
        "lineno": record.source.line,
        "funcName": "(unknown function)",
    })
}

#[test]
fn every_format_gives_pythons_lines() {
    let mut formatters = Vec::new();
    for (style, formats) in [("%", PERCENT), ("{", BRACE), ("$", DOLLAR)] {
        formatters.extend(
            formats
                .iter()
                .map(|format| json!({"format": format, "style": style})),
        );
    }
    let dates = DATEFMT.iter();
    formatters.extend(dates.map(|datefmt| json!({"format": "%(asctime)s", "datefmt": datefmt})));
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let records = records();
    let given = json!({
        "formatters": formatters,
        "records": records.iter().map(|record| as_json(record, begun)).collect::<Vec<_>>(),
    });
    let theirs = python(
        "answer = []\n\
         for f in given['formatters']:\n\
         \x20   f = logging.Formatter(f.get('format'), f.get('datefmt') or None, f.get('style', '%'))\n\
         \x20   answer.append([f.format(logging.makeLogRecord(r)) for r in given['records']])",
        &given,
    );
    let plan = plan(&formatters);
    let around = Circumstances {
        name: "keepserver",
        begun,
        zone: zone(),
    };
    let mut wrong = Vec::new();
    let lists = theirs.as_array().unwrap();
    assert_eq!(plan.formatters.len(), lists.len());
    for (formatter, theirs) in plan.formatters.values().zip(lists) {
        for (record, theirs) in records.iter().zip(theirs.as_array().unwrap()) {
            let ours = render(formatter, record, &around);
            if Some(&*ours) != theirs.as_str() {
                wrong.push(format!(
                    "{formatter:?}\n  ours:   {ours:?}\n  theirs: {theirs}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lines differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

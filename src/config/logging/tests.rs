//! Tests of `config/logging`.

use std::fmt::Write as _;

use super::*;
use crate::config::{Loaded, effective, parse};

const BASE: &str = "/srv/app";

/// The plan of a section, which is indented by two blanks, and the warnings about it.
fn section(text: &str) -> (Plan, Vec<String>) {
    let text = format!("application: {{workspace: {BASE}}}\ninstances: {{}}\nlogging:\n{text}");
    let Loaded {
        config, warnings, ..
    } = parse(&text, Path::new("/etc/k.yaml")).unwrap();
    let plan = config.logging.clone().unwrap().plan.unwrap();
    let written = effective(&config);
    let again = parse(&written, Path::new("/etc/k.yaml")).unwrap();
    assert_eq!(again.config.logging, config.logging, "{written}");
    let warnings = warnings.list.iter().map(ToString::to_string);
    (plan, warnings.collect())
}

fn conf(text: &str) -> (Option<Plan>, Vec<String>) {
    let (plan, warnings) = parse_conf(text, Path::new("/etc/logging.conf"), Path::new(BASE));
    (
        plan,
        warnings.list.iter().map(ToString::to_string).collect(),
    )
}

const MAPPING: &str = r#"
  version: 1
  disable_existing_loggers: false
  formatters:
    simple: {format: "%(asctime)s %(message)s", datefmt: "%H:%M"}
  handlers:
    size:
      class: logging.handlers.RotatingFileHandler
      level: WARN
      formatter: simple
      filename: log/app.log
      maxBytes: 10485760
      backupCount: 5
      encoding: utf8
    time:
      class: logging.handlers.TimedRotatingFileHandler
      filename: /var/log/app.log
      when: w6
      interval: 2
      backupCount: 3
      utc: yes
      delay: true
    watched: {class: logging.handlers.WatchedFileHandler, filename: w.log}
    syslog: {class: logging.handlers.SysLogHandler, address: /dev/log, facility: local3}
    remote: {class: logging.handlers.SysLogHandler, address: [log.example, 5514]}
    out: {class: logging.StreamHandler, stream: ext://sys.stdout, level: 15}
    none: {class: logging.NullHandler}
  loggers:
    keepserver: {level: DEBUG, handlers: [size, time, size], propagate: no}
    appserver: {level: NOTSET, handlers: [out]}
  root: {level: ERROR, handlers: [none, syslog, remote, watched], propagate: no}
"#;

const CONF: &str = r"
[DEFAULT]
dir = log
[loggers]
keys=root,keepserver, appserver

[handlers]
keys=size,time,watched,syslog,remote,out,none

[formatters]
keys=simple

[logger_root]
level=ERROR
handlers=none,syslog,remote,watched

[logger_keepserver]
level=DEBUG
handlers=size, time
qualname=keepserver
propagate=0

[logger_appserver]
level=NOTSET
handlers=out
qualname=appserver

[handler_size]
class=handlers.RotatingFileHandler
level=WARN
formatter=simple
args=('%(dir)s/app.log', 'a', 10*1024*1024,
      5, 'utf8')

[handler_time]
class=logging.handlers.TimedRotatingFileHandler
args=('/var/log/app.log', 'W6', 2, 3)
kwargs={'utc': True, 'delay': True}

# A comment.
[handler_watched]
class: handlers.WatchedFileHandler
args: ('w.log',)
[handler_syslog]
class=handlers.SysLogHandler
args=('/dev/log', handlers.SysLogHandler.LOG_LOCAL3)
[handler_remote]
class=handlers.SysLogHandler
args=(('log.example', 5514),)
[handler_out]
class=StreamHandler
level=15
args=(sys.stdout,)
[handler_none]
class=NullHandler
args=()

[formatter_simple]
format=%(asctime)s %(message)s
datefmt=%H:%M
";

#[test]
fn both_forms_say_the_same() {
    let (mapping, warnings) = section(MAPPING);
    assert_eq!(warnings, [""; 0]);
    let (file, warnings) = conf(CONF);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(file.unwrap(), mapping);

    let file = |name: &str| {
        let Output::File(file) = &mapping.handlers.get(name).unwrap().output else {
            panic!("{name}")
        };
        file.clone()
    };
    assert_eq!(file("size").path, Path::new("/srv/app/log/app.log"));
    let by_size = Keeping::BySize {
        bytes_max: 10 << 20,
        backups: 5,
    };
    assert_eq!(file("size").keeping, by_size);
    let by_time = Keeping::ByTime {
        when: When::Weekday(6),
        interval: 2.try_into().unwrap(),
        backups: 3,
        zone: Zone::Utc,
    };
    assert_eq!(file("time").keeping, by_time);
    assert_eq!(file("time").opening, Opening::Delayed);
    assert_eq!(file("watched").keeping, Keeping::Watched);
    let local = Syslog::Unix("/dev/log".into());
    let syslog = Output::Syslog {
        address: local,
        facility: 19,
    };
    assert_eq!(mapping.handlers.get("syslog").unwrap().output, syslog);
}

#[test]
fn loggers_stand_in_pythons_order() {
    let (plan, _) = section(MAPPING);
    assert_eq!(plan.core_name(), "keepserver");
    assert_eq!(
        plan.route("keepserver"),
        (Level::DEBUG, vec!["size", "time"])
    );
    assert_eq!(plan.route("keepserver.script"), plan.route("keepserver"));
    let (level, handlers) = plan.route("appserver");
    assert_eq!(level, Level::ERROR);
    assert_eq!(handlers, ["out", "none", "syslog", "remote", "watched"]);
}

#[test]
fn what_has_no_meaning_is_told_with_its_line_and_replaced() {
    let (plan, warnings) = section(
        r#"
  version: 2
  incremental: yes
  colour: red
  filters: {f: {name: x}}
  formatters:
    json: {"()": pythonjsonlogger.jsonlogger.JsonFormatter, format: "%(message)s %(user)s"}
    broken: text
  handlers:
    custom: {class: my.Handler, filename: a.log, maxBytes: 10, formatter: jsn}
    mail: {class: logging.handlers.SMTPHandler, level: LOUD}
    file: {class: logging.FileHandler}
    stream: {class: logging.StreamHandler, maxBytes: 5, filters: [f]}
    timed: {class: logging.handlers.TimedRotatingFileHandler, filename: t.log, when: X, interval: 0, encoding: latin-1}
  loggers:
    keepstart: {handlers: [custom, mial], level: [DEBUG]}
    sqlalchemy: {level: DEBUG}
"#,
    );
    let expected = [
        "5:12: version: found the number 2, expected 1; it is read as if it were",
        "6:3: incremental: nothing is configured yet; the section is taken as a whole",
        "7:3: unknown key \"colour\" in logging, expected one of version, disable_existing_loggers, incremental, formatters, filters, handlers, loggers, root",
        "8:3: filters: they are Python code; every record passes",
        "10:18: logging.formatters.json: found the text \"pythonjsonlogger.jsonlogger.JsonFormatter\", but Python classes do not run here; it formats as logging.Formatter would",
        "10:69: format: records have no field \"user\"; nothing stands there",
        "11:13: logging.formatters.broken: found the text \"text\", expected a mapping (key: value)",
        "13:5: logging.handlers.custom: there is no formatter \"jsn\"; its lines are the messages alone",
        "13:21: logging.handlers.custom: found the text \"my.Handler\", which is not one of Python's handlers that are known here; it is taken for a RotatingFileHandler",
        "14:19: logging.handlers.mail: found the text \"logging.handlers.SMTPHandler\", which is not one of Python's handlers that are known here; it is taken for a StreamHandler (to stderr)",
        "14:56: level: found the text \"LOUD\", expected one of CRITICAL, ERROR, WARNING, INFO, DEBUG, TRACE, NOTSET, FATAL, WARN or a number",
        "15:5: filename is missing in logging.handlers.file, expected the path of the log file (stderr is taken)",
        "16:44: logging.handlers.stream: maxBytes has no meaning for a StreamHandler",
        "16:57: logging.handlers.stream: its filters are left out; every record passes",
        "17:86: when: found the text \"X\", expected S, M, H, D, midnight or W0 (Monday) to W6; it is H",
        "17:99: interval: found the number 0, zero has no meaning here; expected a whole number from 1 to 4294967295",
        "17:112: encoding: found \"latin-1\"; the file is written in utf-8",
        "19:36: logging.loggers.keepstart.handlers: there is no handler \"mial\"; the others are used",
        "19:50: level: found a list, expected one of CRITICAL, ERROR, WARNING, INFO, DEBUG, TRACE, NOTSET, FATAL, WARN or a number",
        "20:5: loggers: no record has the logger \"sqlalchemy\"; there are keepstart (or keepserver), appserver and keepstart.script",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|line| format!("/etc/k.yaml:{line}"))
        .collect();
    assert_eq!(warnings, expected, "{}", warnings.join("\n"));
    assert_eq!(plan.route("keepstart"), (Level::WARNING, vec!["custom"]));
    assert_eq!(
        plan.handlers.get("mail").unwrap().output,
        Output::Standard(Standard::Error)
    );
}

#[test]
fn a_section_without_a_handler_says_so() {
    let (plan, warnings) = section("  version: 1\n  root: {level: DEBUG}\n");
    assert_eq!(plan.route("keepstart"), (Level::DEBUG, vec![]));
    assert_eq!(
        warnings,
        [
            "/etc/k.yaml:4:3: logging: no handler gets the records of keepstart; they go where they go without this section"
        ]
    );
}

#[test]
fn a_logging_conf_has_its_own_lines() {
    let (plan, warnings) = conf(
        "stray=1\n[loggers]\nkeys=root,gone\n[handlers]\nkeys=h,i\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\nlevel=%(what)s\n\
         [handler_h]\nclass=my.Handler\nargs=(os.environ['X'],)\ncolour=red\n[handler_i]\nclass=StreamHandler\nargs=(sys.stdout, 1)\nno pair\n\
         [handler_i]\n",
    );
    let expected = [
        "1:1: found \"stray=1\" before the first [section]; it is left out",
        "3:6: keys: there is no section \"logger_gone\"",
        "10:7: level: there is no key \"what\"; the value is taken as it is written",
        "10:7: level: found the text \"%(what)s\", expected one of CRITICAL, ERROR, WARNING, INFO, DEBUG, TRACE, NOTSET, FATAL, WARN or a number",
        "12:7: logging.handlers.h: found the text \"my.Handler\", which is not one of Python's handlers that are known here; it is taken for a StreamHandler (to stderr)",
        "13:6: args: found \"os.environ['X'],)\", which is more than a plain Python value, and nothing is evaluated here; it is left out",
        "14:8: \"colour\" has no meaning in [handler_h]",
        "17:6: args: 1 more than a StreamHandler takes",
        "18:1: found \"no pair\", expected key=value; it is left out",
        "19:1: the section \"handler_i\" stands twice; the first is in line 15 and this one is left out",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|line| format!("/etc/logging.conf:{line}"))
        .collect();
    assert_eq!(warnings, expected, "{}", warnings.join("\n"));
    assert_eq!(
        plan.unwrap().route("keepstart"),
        (Level::WARNING, vec!["h"])
    );
}

#[test]
fn a_file_that_is_none_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("k.yaml");
    std::fs::write(&path, "instances: {}\nlogging: logging.conf\n").unwrap();
    let loaded = crate::config::load_with_logging(&path).unwrap();
    assert_eq!(loaded.config.logging.as_ref().unwrap().plan, None);
    assert!(
        loaded.warnings.to_string().contains("logging.conf: "),
        "{}",
        loaded.warnings
    );
    std::fs::write(directory.path().join("logging.conf"), "hello\n").unwrap();
    let loaded = crate::config::load_with_logging(&path).unwrap();
    assert_eq!(loaded.config.logging.as_ref().unwrap().plan, None);
    assert!(
        loaded
            .warnings
            .to_string()
            .contains("this is no logging.conf"),
        "{}",
        loaded.warnings
    );
    std::fs::write(directory.path().join("logging.conf"), CONF).unwrap();
    let loaded = crate::config::load_with_logging(&path).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert!(effective(&loaded.config).contains("RotatingFileHandler"));
}

#[test]
fn values_that_lead_to_themselves_end() {
    let (_, warnings) = conf(
        "[DEFAULT]\na=%(b)s\nb=%(a)s\n[loggers]\nkeys=%(a)s\n[handlers]\nkeys=\n[formatters]\nkeys=\n",
    );
    assert!(
        warnings.iter().any(|line| line.contains("leads to itself")),
        "{warnings:?}"
    );
    let mut wide = String::new();
    for i in 1..10 {
        let ten = format!("%(k{})s", i - 1).repeat(10);
        writeln!(wide, "k{i}={ten}").unwrap();
    }
    let (_, warnings) = conf(&format!(
        "[DEFAULT]\nk0=0123456789\n{wide}[loggers]\nkeys=%(k9)s\n"
    ));
    assert!(
        warnings.iter().any(|line| line.contains("longer than")),
        "{warnings:?}"
    );
}

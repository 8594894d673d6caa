//! Tests of `telemetry/python`: loggers, handlers, levels and propagation against Python.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::testing::{local, python};
use super::*;
use crate::config;

const LEVELS: [tracing::Level; 5] = [
    tracing::Level::ERROR,
    tracing::Level::WARN,
    tracing::Level::INFO,
    tracing::Level::DEBUG,
    tracing::Level::TRACE,
];
/// A record of the core, one of the application, and one line of a script.
const TARGETS: [&str; 3] = [
    "keepstart::reactor",
    "keepstart::app::service",
    OUTPUT_TARGET,
];

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_793_712_896_007)
}

/// Sections of all shapes: which loggers there are, their levels, whether they propagate.
fn sections(directory: &Path) -> Vec<Value> {
    let mut sections = Vec::new();
    for core in ["keepstart", "keepserver", ""] {
        for propagate in [true, false] {
            for level in ["NOTSET", "DEBUG", "ERROR"] {
                for with_application in [true, false] {
                    let place = directory.join(sections.len().to_string());
                    let handler = |name: &str, level: Value| {
                        json!({
                            "class": "logging.FileHandler",
                            "filename": place.join(name),
                            "level": level,
                            "formatter": "full",
                        })
                    };
                    let mut loggers = serde_json::Map::new();
                    if !core.is_empty() {
                        let handlers = ["one", "two"];
                        loggers.insert(
                            core.into(),
                            json!({"level": level, "handlers": handlers, "propagate": propagate}),
                        );
                        loggers.insert(
                            format!("{core}.script"),
                            json!({"level": "TRACE", "handlers": ["one"]}),
                        );
                    }
                    if with_application {
                        loggers.insert(
                            "appserver".into(),
                            json!({"handlers": ["two"], "propagate": propagate}),
                        );
                    }
                    sections.push(json!({
                        "version": 1,
                        "formatters": {"full": {"format": "%(name)s %(levelname)-8s %(levelno)03d %(message)s"}},
                        "handlers": {
                            "one": handler("one", json!("NOTSET")),
                            "two": handler("two", json!("WARNING")),
                            "three": handler("three", json!(15)),
                        },
                        "loggers": loggers,
                        "root": {"level": if propagate { "INFO" } else { "DEBUG" }, "handlers": ["three", "one"]},
                    }));
                }
            }
        }
    }
    sections
}

/// Writes every record by the section, and says the names that the records have.
fn write_all(plan: &Plan, directory: &Path) -> [String; 3] {
    let mut console = Sink::file(&directory.join("console")).unwrap();
    let mut loggers = Loggers::in_zone(plan, now(), &mut console, local());
    for target in TARGETS {
        for level in LEVELS {
            let record = Record::new(now(), level, target, format!("from {target}"));
            let written = loggers.write(&record, &mut console);
            assert_eq!(written, Written::Well);
        }
    }
    let core = plan.core_name().to_owned();
    let application = plan.loggers.contains_key(APPLICATION);
    let application = if application {
        APPLICATION.to_owned()
    } else {
        core.clone()
    };
    [core, application, plan.script_name()]
}

const THEIRS: &str = r"
def emit(names):
    for name, target in zip(names, given['targets']):
        logger = logging.getLogger(name)
        text = ('| ' if target == 'output' else '') + 'from ' + target
        for level in (40, 30, 20, 10, 5):
            if logger.isEnabledFor(level):
                logger.handle(logger.makeRecord(name, level, 'x.py', 1, text, (), None))
logging.lastResort = None
for case in given['cases']:
    logging.root.manager.loggerDict.clear()
    logging.config.dictConfig(case['section'])
    emit(case['names'])
logging.root.manager.loggerDict.clear()
logging.config.fileConfig(given['file']['path'])
emit(given['file']['names'])
answer = True
";

const CONF: &str = "[loggers]
keys=root,keepserver,appserver
[handlers]
keys=file,warnings
[formatters]
keys=simple,short
[logger_root]
level=WARNING
handlers=warnings
[logger_keepserver]
level=DEBUG
handlers=file
qualname=keepserver
propagate=1
[logger_appserver]
level=INFO
handlers=file
qualname=appserver
propagate=0
[handler_file]
class=FileHandler
level=DEBUG
formatter=simple
args=('HERE/file.log', 'a', None, False)
[handler_warnings]
class=handlers.RotatingFileHandler
formatter=short
args=('HERE/warnings.log',)
kwargs={'maxBytes': 100, 'backupCount': 3}
[formatter_simple]
format=%(name)s\t%(levelname)s\t%(message)s
[formatter_short]
format={levelname:.1} {message}
style={
";

#[track_caller]
fn same_files(ours: &Path, theirs: &Path) -> usize {
    let mut compared = 0;
    for entry in fs::read_dir(theirs).unwrap() {
        let name = entry.unwrap().file_name();
        let [our, their] = [ours, theirs].map(|place| fs::read_to_string(place.join(&name)));
        assert_eq!(
            our.unwrap(),
            their.unwrap(),
            "{}",
            ours.join(name).display()
        );
        compared += 1;
    }
    compared
}

#[test]
fn the_same_records_give_the_same_lines() {
    let home = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| home.path().join(name));
    let sections = sections(&ours);
    let mut cases = Vec::new();
    for (number, section) in sections.iter().enumerate() {
        for place in [&ours, &theirs] {
            fs::create_dir_all(place.join(number.to_string())).unwrap();
        }
        let file = json!({"instances": {}, "logging": section}).to_string();
        let loaded = config::parse(&file, "/etc/k.yaml".as_ref()).unwrap();
        let plan = loaded
            .config
            .logging
            .as_ref()
            .unwrap()
            .plan
            .clone()
            .unwrap();
        let names = write_all(&plan, home.path());
        // What `validate --effective` prints is a mapping that Python takes and understands likewise.
        let effective = config::effective(&loaded.config);
        let effective: Value = serde_yaml::from_str(&effective).unwrap();
        let section = effective["logging"].to_string();
        let section = section.replace(ours.to_str().unwrap(), theirs.to_str().unwrap());
        let section: Value = serde_json::from_str(&section).unwrap();
        cases.push(json!({"section": section, "names": names}));
    }
    for place in [&ours, &theirs] {
        fs::create_dir(place.join("conf")).unwrap();
        let text = CONF.replace("HERE", place.join("conf").to_str().unwrap());
        fs::write(place.join("logging.conf"), text).unwrap();
    }
    fs::write(
        ours.join("k.yaml"),
        "instances: {}\nlogging: logging.conf\n",
    )
    .unwrap();
    let loaded = config::load_with_logging(&ours.join("k.yaml")).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let names = write_all(&loaded.config.logging.unwrap().plan.unwrap(), home.path());
    let given = json!({
        "targets": TARGETS,
        "cases": cases,
        "file": {"path": theirs.join("logging.conf"), "names": names},
    });
    python(THEIRS, &given);
    for number in 0..sections.len() {
        let number = number.to_string();
        assert_eq!(same_files(&ours.join(&number), &theirs.join(&number)), 3);
    }
    assert!(same_files(&ours.join("conf"), &theirs.join("conf")) > 2);
}

fn plan(section: &str) -> Plan {
    let file = format!("instances: {{}}\nlogging:\n{section}");
    let loaded = config::parse(&file, "/etc/k.yaml".as_ref()).unwrap();
    loaded.config.logging.unwrap().plan.unwrap()
}

#[test]
fn nothing_is_made_that_no_handler_takes() {
    for (levels, filter_is) in [
        ("level: DEBUG, handlers: [all]", LevelFilter::DEBUG),
        ("level: DEBUG, handlers: [few]", LevelFilter::WARN),
        ("level: 5, handlers: [few, all]", LevelFilter::TRACE),
        ("level: CRITICAL, handlers: [all]", LevelFilter::OFF),
        ("level: ERROR", LevelFilter::ERROR),
    ] {
        let plan = plan(&format!(
            "  handlers: {{all: {{class: logging.NullHandler}}, few: {{class: logging.NullHandler, level: WARN}}}}\n  \
             root: {{{levels}}}\n"
        ));
        assert_eq!(filter(&plan), filter_is, "{levels}");
    }
}

#[test]
fn syslog_gets_pythons_datagrams() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("log");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let unix = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let plan = plan(&format!(
        "  formatters: {{f: {{format: 'keepstart: %(message)s'}}}}\n  handlers:\n    \
         near: {{class: logging.handlers.SysLogHandler, address: {}, facility: daemon, formatter: f}}\n    \
         far: {{class: logging.handlers.SysLogHandler, address: [127.0.0.1, {port}], facility: local7}}\n  \
         root: {{level: DEBUG, handlers: [near, far]}}\n",
        path.display()
    ));
    let mut console = Sink::file(&home.path().join("console")).unwrap();
    let mut loggers = Loggers::new(&plan, now(), &mut console);
    for (level, near, far) in [
        (tracing::Level::ERROR, "<27>keepstart: x\0", "<187>x\0"),
        (tracing::Level::WARN, "<28>keepstart: x\0", "<188>x\0"),
        (tracing::Level::INFO, "<30>keepstart: x\0", "<190>x\0"),
        (tracing::Level::DEBUG, "<31>keepstart: x\0", "<191>x\0"),
    ] {
        let record = Record::new(now(), level, "t", "x".into());
        assert_eq!(loggers.write(&record, &mut console), Written::Well);
        let mut bytes = [0; 100];
        let length = unix.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], near.as_bytes());
        let length = udp.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], far.as_bytes());
    }
    // Away: what belongs there goes to the console, and a word on it.
    drop(unix);
    let record = Record::new(now(), tracing::Level::INFO, "t", "while away".into());
    assert_eq!(loggers.write(&record, &mut console), Written::Elsewhere);
    let text = fs::read_to_string(home.path().join("console")).unwrap();
    assert!(
        text.contains("cannot log to") && text.ends_with("keepstart: while away\n"),
        "{text}"
    );
}

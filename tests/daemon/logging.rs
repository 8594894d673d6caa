//! The `logging:` section: both samples, files that cannot be written, logrotate, and reloads.

use std::fs;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use rustix::process::Signal;

use crate::commands::{from_elsewhere, python_world};
use crate::netns;
use crate::world::{VIP, World};

const INSTANCE: &str = "instances:\n  web: {vip: VIP, start: 'echo is up', stop: 'true'}\n";

/// To stderr, where the tests look for what the daemon says, and to a file.
const BOTH: &str = "logging:
  version: 1
  formatters:
    simple: {format: \"%(asctime)s %(name)s %(levelname)s %(message)s\"}
  handlers:
    console: {class: logging.StreamHandler, formatter: simple}
    file: {class: logging.FileHandler, formatter: simple, filename: HERE/var/app.log}
  loggers:
    keepserver: {level: INFO, handlers: [console, file], propagate: no}
    appserver: {level: INFO, handlers: [console, file], propagate: no}
";

fn world(logging: &str) -> World {
    let world = World::new();
    world.config(&format!("{}{logging}", INSTANCE.replace("VIP", VIP)));
    netns::ip(&format!("addr add {VIP}/32 dev lo"));
    world
}

/// What stands behind the time and a blank in the lines of a file.
fn said(world: &World, file: &str) -> Vec<String> {
    let after_blank = |line: String| {
        let rest = line.strip_prefix(' ');
        rest.unwrap_or_else(|| panic!("{line}")).to_owned()
    };
    let lines = said_behind_time(world, file).into_iter();
    lines.map(after_blank).collect()
}

/// What stands behind the time in the lines of a file.
fn said_behind_time(world: &World, file: &str) -> Vec<String> {
    let after_time = |line: &String| {
        let (time, rest) = line.split_at("2026-11-03 14:54:56,007".len());
        assert_eq!(time.find(','), Some(19), "{line}");
        rest.to_owned()
    };
    world.lines(file).iter().map(after_time).collect()
}

/// The section of the Python tool's first sample, but for its paths.
const SAMPLE_MAPPING: &str = "
    version: 1
    disable_existing_loggers: false
    formatters:
        simple:
            format: \"%(asctime)-15s\\t%(levelname)s\\t%(message)s\"
    handlers:
        console:
            class: logging.StreamHandler
            level: DEBUG
            formatter: simple
        file:
            class: logging.handlers.TimedRotatingFileHandler
            level: DEBUG
            formatter: simple
            filename: HERE/ssh-proxy-server/server.log
            backupCount: 30
            when: D
            interval: 1
            encoding: utf-8
    loggers:
        keepstart:
            level: INFO
            handlers:
                - file
                - console
            propagate: no
    root:
        level: INFO
        handlers:
            - file
            - console
";

/// The logging.conf of its second.
const SAMPLE_CONF: &str = "[loggers]
keys=root,keepserver,appserver

[handlers]
keys=consoleHandler,fileHandler

[formatters]
keys=simpleFormatter

[logger_root]
level=DEBUG
handlers=consoleHandler,fileHandler

[logger_keepserver]
level=DEBUG
handlers=consoleHandler,fileHandler
qualname=keepserver
propagate=0

[logger_appserver]
level=DEBUG
handlers=consoleHandler,fileHandler
qualname=appserver
propagate=0

[handler_consoleHandler]
class=StreamHandler
level=DEBUG
formatter=simpleFormatter
args=(sys.stdout,)

[handler_fileHandler]
class=logging.handlers.TimedRotatingFileHandler
level=DEBUG
formatter=simpleFormatter
args=('logFile.log', 'D', 1, 30, 'utf-8')

[formatter_simpleFormatter]
format=%(asctime)s %(levelname)5s %(message)s
";

/// Lives as the documentation of the Python tool has it, from `start` to `stop`; every line of this file of the
/// workspace is of the sample's format, with this behind the time.
fn lives_by_the_sample(world: &World, file: &str, behind_time: &str) {
    let said = from_elsewhere(world, &["validate"]);
    assert!(
        said.code == 0 && !said.err.contains("logg"),
        "nothing in the sample is odd: {said:?}"
    );
    let started = from_elsewhere(world, &["start"]);
    assert_eq!(started.code, 0, "{started:?}");
    world.until("is up", || world.exists("ssh-proxy-server/up"));
    let stopped = from_elsewhere(world, &["stop"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let file = format!("ssh-proxy-server/{file}");
    let lines = said_behind_time(world, &file);
    for line in &lines {
        assert!(line.starts_with(behind_time), "{line}");
    }
    for words in ["ready: ", "default: | is up", "ended"] {
        let count = lines.iter().filter(|line| line.contains(words)).count();
        assert_eq!(count, 1, "{words}: {lines:#?}");
    }
    // What the console would have shown is in the file that `start` has named.
    let console = started.out.trim().rsplit("log: ").next().unwrap();
    let console = fs::read_to_string(console).unwrap();
    assert!(
        world.lines(&file).iter().all(|line| console.contains(line)),
        "{console}"
    );
}

#[test]
fn the_mapping_of_the_python_tools_documentation_is_followed() {
    netns::run(
        "logging::the_mapping_of_the_python_tools_documentation_is_followed",
        || {
            let world = python_world("true", SAMPLE_MAPPING);
            lives_by_the_sample(&world, "server.log", "\tINFO\t");
        },
    );
}

#[test]
fn the_logging_conf_of_the_python_tools_documentation_is_followed() {
    netns::run(
        "logging::the_logging_conf_of_the_python_tools_documentation_is_followed",
        || {
            let world = python_world("true", " logging.conf\n");
            world.write("ssh-proxy-server/logging.conf", SAMPLE_CONF);
            lives_by_the_sample(&world, "logFile.log", " ");
            let lines = said_behind_time(&world, "ssh-proxy-server/logFile.log");
            let has = |words: &str| lines.iter().any(|line| line.starts_with(words));
            assert!(has("  INFO ready: ") && has(" DEBUG "), "{lines:#?}");
        },
    );
}

#[test]
fn a_mapping_is_followed() {
    netns::run("logging::a_mapping_is_followed", || {
        let world = world(BOTH);
        fs::create_dir(world.path("var")).unwrap();
        let daemon = world.daemon();
        world.settles("web", "MASTER", "running");
        let has = |part: &str| {
            said(&world, "var/app.log")
                .iter()
                .any(|line| line.contains(part))
        };
        world.until("what the script prints", || {
            has("keepserver.script INFO web: | is up")
        });
        assert!(
            has("appserver INFO ready: "),
            "{}",
            world.read("var/app.log")
        );
        assert!(
            has("keepserver INFO web: "),
            "{}",
            world.read("var/app.log")
        );
        daemon.end();
        assert!(has("appserver INFO ended"), "{}", world.read("var/app.log"));
    });
}

#[test]
fn a_logging_conf_is_followed_and_rotates() {
    netns::run("logging::a_logging_conf_is_followed_and_rotates", || {
        let world = world("logging: logging.conf\n");
        world.write(
            "logging.conf",
            "[loggers]\nkeys=root\n[handlers]\nkeys=err,size\n[formatters]\nkeys=f\n\
             [logger_root]\nlevel=INFO\nhandlers=err,size\n\
             [handler_err]\nclass=StreamHandler\nargs=(sys.stderr,)\n\
             [handler_size]\nclass=handlers.RotatingFileHandler\nformatter=f\nargs=('app.log', 'a', 1000, 2)\n\
             [formatter_f]\nformat=%(levelname)-8s [%(name)s] %(message)s\n",
        );
        let daemon = world.daemon();
        world.settles("web", "MASTER", "running");
        world.until("it is rotated", || {
            daemon.signal(Signal::USR1);
            world.exists("app.log.2")
        });
        daemon.end();
        assert!(!world.exists("app.log.3"));
        for file in ["app.log", "app.log.1", "app.log.2"] {
            assert!(world.read(file).len() < 1000, "{file}");
            assert!(
                world
                    .lines(file)
                    .iter()
                    .all(|line| line.contains(" [keepstart")),
                "{file}"
            );
        }
    });
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_tried_again() {
    netns::run(
        "logging::a_file_that_cannot_be_written_is_told_and_tried_again",
        || {
            let world = world(BOTH);
            let daemon = world.daemon();
            let log = world.log();
            assert!(
                log.contains("cannot log to ") && log.contains("/var/app.log: "),
                "{log}"
            );
            // Once by each handler: its own, and what the file does not take.
            assert_eq!(log.matches("appserver INFO ready: ").count(), 2, "{log}");
            fs::create_dir(world.path("var")).unwrap();
            daemon.signal(Signal::USR1);
            world.until("it is tried again", || {
                world.log().contains("/var/app.log again")
            });
            world.until("it is written", || !said(&world, "var/app.log").is_empty());
            assert_eq!(world.log().matches("cannot log to ").count(), 1);
            daemon.end();
        },
    );
}

#[test]
fn a_full_disk_loses_no_daemon_and_no_later_line() {
    netns::run(
        "logging::a_full_disk_loses_no_daemon_and_no_later_line",
        || {
            let world = world(BOTH);
            fs::create_dir(world.path("var")).unwrap();
            // The mounts of this thread and of what it starts.
            unshare(CloneFlags::CLONE_NEWNS).expect("make a mount namespace");
            let mount = |arguments: &[&str]| {
                let status = Command::new("mount").args(arguments).status().unwrap();
                assert!(status.success(), "{arguments:?}");
            };
            mount(&["--make-rprivate", "/"]);
            let var = world.path("var");
            mount(&[
                "-t",
                "tmpfs",
                "-o",
                "size=64k",
                "tmpfs",
                var.to_str().unwrap(),
            ]);
            let daemon = world.daemon();
            world.settles("web", "MASTER", "running");
            let ballast = world.path("var/ballast");
            fs::write(&ballast, vec![b'x'; 1 << 20]).unwrap_err();
            world.until("the disk is full", || {
                daemon.signal(Signal::USR1);
                world.log().contains("No space left")
            });
            world.settles("web", "MASTER", "running");
            fs::remove_file(&ballast).unwrap();
            let before = world.lines("var/app.log").len();
            world.until("it is written again", || {
                daemon.signal(Signal::USR1);
                world.lines("var/app.log").len() > before + 3
                    && world.log().contains("/var/app.log again")
            });
            daemon.end();
            // At most one line is cut; none is glued to another.
            let lines = world.lines("var/app.log");
            let whole = |line: &&String| line.matches(" INFO ").count() == 1;
            assert!(
                lines.iter().filter(whole).count() + 1 >= lines.len(),
                "{lines:#?}"
            );
            assert!(
                lines.iter().all(|line| line.matches(" INFO ").count() < 2),
                "{lines:#?}"
            );
        },
    );
}

#[test]
fn usr2_opens_the_files_again() {
    netns::run("logging::usr2_opens_the_files_again", || {
        let world = world(BOTH);
        fs::create_dir(world.path("var")).unwrap();
        let daemon = world.daemon();
        world.settles("web", "MASTER", "running");
        let rotate = |to: &str| fs::rename(world.path("var/app.log"), world.path(to)).unwrap();
        rotate("var/app.log-1");
        daemon.signal(Signal::USR1);
        world.until("it writes on where it was", || {
            world.read("var/app.log-1").contains("state: ")
        });
        assert!(!world.exists("var/app.log"));
        daemon.signal(Signal::USR2);
        world.until("a new file", || world.exists("var/app.log"));
        daemon.signal(Signal::USR1);
        world.until("it writes there", || {
            world.read("var/app.log").contains("state: ")
        });
        // A reload does it too.
        rotate("var/app.log-2");
        assert_eq!(world.keepstart(&["reload"]).code, 0);
        world.until("a new file", || world.exists("var/app.log"));
        daemon.end();
    });
}

#[test]
fn a_reload_takes_the_new_section() {
    netns::run("logging::a_reload_takes_the_new_section", || {
        let world = world(BOTH);
        fs::create_dir(world.path("var")).unwrap();
        let daemon = world.daemon();
        let config = world.read("config.yaml");
        let reload = |text: &str| {
            world.write("config.yaml", text);
            let said = world.keepstart(&["reload"]);
            assert_eq!(said.code, 0, "{said:?}");
        };
        reload(
            &config
                .replace("app.log", "other.log")
                .replace("level: INFO", "level: DEBUG"),
        );
        world.until("the other file", || world.exists("var/other.log"));
        daemon.signal(Signal::USR1);
        world.until("it writes there", || {
            world.read("var/other.log").contains("state: ")
        });
        assert!(!world.read("var/app.log").contains("state: "));
        // A logging.conf that is not there changes nothing.
        let (without, _) = config.split_once("logging:").unwrap();
        reload(&format!("{without}logging: missing.conf\n"));
        world.until("it is told", || {
            world.read("var/other.log").contains("missing.conf")
        });
        // Without the section the log goes where it goes without it.
        reload(without);
        daemon.signal(Signal::USR1);
        world.until("the own style", || {
            world.log().contains("Z  INFO web: state: ")
        });
        daemon.end();
    });
}

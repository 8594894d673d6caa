//! What a person types: start, stop, reload, status, run, from anywhere, with the Python tool's file as it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::Signal;

use crate::netns;
use crate::world::{Said, World, is_alive, said};

/// The sample file of the Python tool, word for word, but for its paths and its `logging`.
const PYTHON_FILE: &str = "\
application:
    daemon: DAEMON
    workspace: HERE/ssh-proxy-server
    pidfile: ssh-proxy-server.pid
keepstart:
    nic: lo
    vip: 127.0.0.1
    start: HERE/ssh-proxy-server/start.sh
    stop: HERE/ssh-proxy-server/stop.sh
    is-running: HERE/ssh-proxy-server/is-running.sh
    sleep: 2
    running-report-cycle: 3600
    force-test-cycle: 60
logging:";

const LOGGING_MAPPING: &str = "
    version: 1
    formatters:
        simple:
            format: \"%(asctime)-15s\\t%(levelname)s\\t%(message)s\"
    root:
        level: DEBUG
        propagate: no
";

/// A world with the sample file, the scripts that it names, and this behind `logging:`.
pub(crate) fn python_world(daemon: &str, logging: &str) -> World {
    let world = World::new();
    let text = PYTHON_FILE.replace("DAEMON", daemon);
    world.write("etc/config.yaml", &format!("{text}{logging}"));
    let service = "HERE/ssh-proxy-server";
    world.script(
        "ssh-proxy-server/start.sh",
        &format!("touch {service}/up; pwd > {service}/where; echo is up"),
    );
    world.script("ssh-proxy-server/stop.sh", &format!("rm -f {service}/up"));
    world.script(
        "ssh-proxy-server/is-running.sh",
        &format!("test -e {service}/up"),
    );
    world
}

/// Runs `keepstart ARGUMENTS -c …`, with the path relative to the directory that it is run in.
pub(crate) fn from_elsewhere(world: &World, arguments: &[&str]) -> Said {
    fs::create_dir_all(world.path("elsewhere")).unwrap();
    let mut command = world.command();
    command
        .current_dir(world.path("elsewhere"))
        .args(arguments)
        .args(["-c", "../etc/config.yaml"]);
    said(command)
}

fn pid_in(text: &str) -> u32 {
    let number = text
        .split(|c: char| !c.is_ascii_digit())
        .find(|word| !word.is_empty());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no pid in {text:?}"))
}

#[test]
fn the_python_file_in_the_background() {
    netns::run("commands::the_python_file_in_the_background", || {
        let world = python_world("true", LOGGING_MAPPING);
        // A pidfile with the pid of somebody who lives, but is no daemon: left by a crash long ago.
        world.write(
            "ssh-proxy-server/ssh-proxy-server.pid",
            &format!("{}\n", std::process::id()),
        );

        let before = from_elsewhere(&world, &["status"]);
        assert_eq!((before.code, before.out.as_str()), (3, ""), "{before:?}");
        let nothing = from_elsewhere(&world, &["stop"]);
        assert_eq!(nothing.code, 0, "{nothing:?}");
        assert!(nothing.out.contains("no daemon runs"), "{nothing:?}");

        let started = from_elsewhere(&world, &["start"]);
        assert_eq!(started.code, 0, "{started:?}");
        let status = from_elsewhere(&world, &["status"]);
        assert_eq!(status.code, 0, "{status:?}");
        assert!(
            status.out.contains("default") && status.out.contains("MASTER"),
            "{status:?}"
        );
        let pid = pid_in(&world.read("ssh-proxy-server/ssh-proxy-server.pid"));
        assert!(started.out.contains(&pid.to_string()), "{started:?}");
        assert!(status.out.contains(&pid.to_string()), "{status:?}");
        assert!(is_alive(pid));
        // Its own session, no terminal, nothing inherited of the one who started it.
        for descriptor in 0..3 {
            let there = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap();
            assert_eq!(there.display().to_string(), "/dev/null");
        }
        world.until("is up", || world.exists("ssh-proxy-server/up"));
        let workspace = fs::canonicalize(world.path("ssh-proxy-server")).unwrap();
        world.until("where it runs", || {
            !world.read("ssh-proxy-server/where").is_empty()
        });
        assert_eq!(
            world.read("ssh-proxy-server/where").trim(),
            workspace.display().to_string()
        );

        let second = from_elsewhere(&world, &["start"]);
        assert_eq!(second.code, 75, "{second:?}");
        assert!(second.err.contains(&pid.to_string()), "{second:?}");
        let third = from_elsewhere(&world, &["run"]);
        assert_eq!(third.code, 75, "{third:?}");
        assert!(third.err.contains(&pid.to_string()), "{third:?}");

        let reload = from_elsewhere(&world, &["reload"]);
        assert_eq!(reload.code, 0, "{reload:?}");
        let faulty = world
            .read("etc/config.yaml")
            .replace("vip: 127.0.0.1", "vip: 127.0.0");
        world.write("etc/config.yaml", &faulty);
        let refused = from_elsewhere(&world, &["reload"]);
        assert_eq!(refused.code, 78, "{refused:?}");
        assert!(refused.err.contains("config.yaml:7:10:"), "{refused:?}");
        // A faulty file does not hide the daemon.
        let status = from_elsewhere(&world, &["status"]);
        assert_eq!(status.code, 0, "{status:?}");

        let stopped = from_elsewhere(&world, &["stop"]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
        assert!(stopped.out.contains(&pid.to_string()), "{stopped:?}");
        assert!(!is_alive(pid));
        assert!(!world.exists("ssh-proxy-server/ssh-proxy-server.pid"));
        assert!(
            world.exists("ssh-proxy-server/up"),
            "services stay as they are"
        );
        assert_eq!(from_elsewhere(&world, &["status"]).code, 3);
        assert_eq!(from_elsewhere(&world, &["reload"]).code, 3);
        assert_eq!(from_elsewhere(&world, &["stop"]).code, 0);

        let log = pathless_log(&world, &started);
        assert!(log.contains("no handler gets the records"), "{log}");
        assert!(log.contains("is up"), "{log}");
    });
}

/// The log that `start` has named.
fn pathless_log(world: &World, started: &Said) -> String {
    let path = started.out.trim().rsplit("log: ").next().unwrap();
    assert!(
        path.starts_with(&world.here().display().to_string()),
        "{started:?}"
    );
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_python_file_in_the_foreground() {
    netns::run("commands::the_python_file_in_the_foreground", || {
        let world = python_world("false", " HERE/logging.conf\n");
        let mut command = world.command();
        command
            .args(["start", "-c"])
            .arg(world.path("etc/config.yaml"));
        command
            .stdout(Stdio::null())
            .stderr(fs::File::create(world.path("log")).unwrap());
        let mut child = command.spawn().unwrap();
        world.until("is up", || world.exists("ssh-proxy-server/up"));
        assert_eq!(
            pid_in(&world.read("ssh-proxy-server/ssh-proxy-server.pid")),
            child.id()
        );
        let status = from_elsewhere(&world, &["status"]);
        assert_eq!(status.code, 0, "{status:?}");
        assert!(status.out.contains(&child.id().to_string()), "{status:?}");
        world.until("a word on logging", || world.log().contains("logging.conf"));
        let stopped = from_elsewhere(&world, &["stop"]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
        assert!(child.wait().unwrap().success());
        assert!(world.log().contains("is up"), "{}", world.log());
    });
}

#[test]
fn two_daemons_side_by_side() {
    netns::run("commands::two_daemons_side_by_side", || {
        let world = World::new();
        world.script("hook.sh", "true");
        // In the same directory, and in the same workspace.
        for (name, vip) in [("one", "127.0.0.1"), ("two", "10.77.0.1")] {
            let text = format!(
                "application:\n  daemon: true\n  workspace: HERE/work\ninstances:\n  {name}:\n    vip: {vip}\n    \
                 nic: lo\n    start: HERE/hook.sh\n    stop: HERE/hook.sh\n"
            );
            world.write(&format!("{name}.yaml"), &text);
        }
        fs::create_dir(world.path("work")).unwrap();
        for file in ["one.yaml", "two.yaml"] {
            let started = world.keepstart_of(file, &["start"]);
            assert_eq!(started.code, 0, "{started:?}");
        }
        let (one, two) = (world.status_of("one.yaml"), world.status_of("two.yaml"));
        assert_ne!(one["daemon"]["pid"], two["daemon"]["pid"]);
        assert_eq!(one["instances"][0]["name"], "one");
        assert_eq!(one["instances"][0]["role"], "MASTER");
        assert_eq!(two["instances"][0]["name"], "two");
        assert_eq!(two["instances"][0]["role"], "BACKUP");
        let stopped = world.keepstart_of("one.yaml", &["stop"]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
        assert_eq!(world.keepstart_of("one.yaml", &["status"]).code, 3);
        assert_eq!(world.keepstart_of("two.yaml", &["status"]).code, 0);
        assert_eq!(world.keepstart_of("two.yaml", &["stop"]).code, 0);
    });
}

#[test]
fn a_pidfile_that_another_daemon_holds() {
    netns::run("commands::a_pidfile_that_another_daemon_holds", || {
        let world = World::new();
        let text = "application: {daemon: true, runtime-dir: HERE/NAME, state-dir: HERE/NAME, pidfile: HERE/pid}\n\
                    keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n";
        for name in ["one", "two"] {
            world.write(&format!("{name}.yaml"), &text.replace("NAME", name));
        }
        assert_eq!(world.keepstart_of("one.yaml", &["start"]).code, 0);
        let pid = pid_in(&world.read("pid"));
        let refused = world.keepstart_of("two.yaml", &["start"]);
        assert_eq!(refused.code, 75, "{refused:?}");
        assert!(refused.err.contains(&pid.to_string()), "{refused:?}");
        assert_eq!(world.keepstart_of("two.yaml", &["status"]).code, 3);
        assert_eq!(pid_in(&world.read("pid")), pid);
        assert_eq!(world.keepstart_of("one.yaml", &["stop"]).code, 0);
    });
}

#[test]
fn a_start_that_fails_says_why() {
    netns::run("commands::a_start_that_fails_says_why", || {
        let world = World::new();
        world.write("in-the-way", "");
        let text = "application: {daemon: true, APPLICATION}\nkeepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n";
        let start = |application: &str| {
            world.write("config.yaml", &text.replace("APPLICATION", application));
            world.keepstart(&["start"])
        };
        let said = start("runtime-dir: HERE/in-the-way/run, state-dir: HERE/state");
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.contains("in-the-way"), "{said:?}");
        let said = start("workspace: HERE/nowhere, runtime-dir: HERE/run, state-dir: HERE/state");
        assert_eq!(said.code, 78, "{said:?}");
        assert!(said.err.contains("/nowhere"), "{said:?}");
        let said = start("runtime-dir: HERE/run, state-dir: HERE/state, pidfile: HERE/config.yaml");
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.contains("config.yaml"), "{said:?}");
        assert!(
            world.read("config.yaml").contains("daemon: true"),
            "the file is untouched"
        );
        let said = start("runtime-dir: HERE/run, state-dir: HERE/state, pid-file: x");
        assert_eq!(said.code, 78, "{said:?}");
        assert!(
            said.err.contains("config.yaml:1:") && said.err.contains("pidfile"),
            "{said:?}"
        );
        assert_eq!(world.marked().len(), 0, "nothing is left running");
    });
}

#[test]
fn status_tells_by_its_code_what_it_knows() {
    netns::run("commands::status_tells_by_its_code_what_it_knows", || {
        let world = World::new();
        world.config("instances:\n  web: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n");
        assert_eq!(world.keepstart(&["status"]).code, 3);
        let daemon = world.daemon();
        assert_eq!(world.keepstart(&["status"]).code, 0);
        assert_eq!(world.keepstart(&["status", "web"]).code, 0);
        let unknown = world.keepstart(&["status", "wob"]);
        assert!(
            unknown.code != 0 && unknown.err.contains("wob"),
            "{unknown:?}"
        );
        // An interface that has never been seen.
        world.config(
            "instances:\n  web: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n  \
             db: {vip: 127.0.0.1, nic: eth7, start: 'true', stop: 'true'}\n",
        );
        assert_eq!(world.keepstart(&["reload"]).code, 0);
        world.until("db is there", || {
            world.keepstart(&["status", "db"]).code == 4
        });
        let status = world.keepstart(&["status"]);
        assert_eq!(status.code, 4, "{status:?}");
        assert!(status.out.contains("eth7"), "{status:?}");
        assert_eq!(world.keepstart(&["status", "web"]).code, 0);
        let db = world.instance("db");
        assert_eq!(db["role"], "UNKNOWN");
        assert!(db["why"].as_str().unwrap().contains("eth7"), "{db:#}");
        daemon.end();
        assert_eq!(world.keepstart(&["status"]).code, 3);
    });
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
    netns::run(
        "commands::a_daemon_that_does_not_answer_is_not_waited_for_for_ever",
        || {
            let world = World::new();
            world.config("keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n");
            let daemon = world.daemon();
            daemon.signal(Signal::STOP);
            let status = world.keepstart(&["status", "--json"]);
            assert_eq!((status.code, status.out.as_str()), (4, ""), "{status:?}");
            let pid = daemon.pid();
            for words in [
                format!("process {pid} runs "),
                "did not answer within 5s".into(),
                format!("`kill -CONT {pid}`"),
            ] {
                assert!(status.err.contains(&words), "{status:?}");
            }
            assert_eq!(world.keepstart(&["audit"]).code, 4);
            daemon.signal(Signal::CONT);
            assert_eq!(world.keepstart(&["status"]).code, 0);
            daemon.end();
        },
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_the_usage() {
    let world = World::new();
    for line in [&["strat"][..], &["status", "--jsno"], &[], &["stop", "now"]] {
        let mut command = world.command();
        command.args(line);
        let said = said(command);
        assert_eq!(said.code, 2, "{line:?}: {said:?}");
        assert!(said.err.contains("Usage"), "{line:?}: {said:?}");
        assert_eq!(said.out, "");
    }
    assert_eq!(world.keepstart(&["status", "not a name"]).code, 2);
}

#[test]
fn nobody_reads_the_output() {
    netns::run("commands::nobody_reads_the_output", || {
        let world = World::new();
        world.config("keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n");
        let daemon = world.daemon();
        for line in [
            &["status"][..],
            &["status", "--json"],
            &["status", "--watch"],
            &["validate", "--effective"],
            &["--help"],
            &["version"],
            &["reload"],
        ] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = world.command();
            command.arg("-c").arg(world.path("config.yaml")).args(line);
            let child = command
                .stdout(writer)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(command);
            let output = child.wait_with_output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some(), "{line:?}: {output:?}");
            assert!(!err.contains("panick"), "{line:?}: {err}");
        }
        daemon.end();
    });
}

#[test]
fn it_answers_to_the_python_tools_name() {
    netns::run("commands::it_answers_to_the_python_tools_name", || {
        let world = World::new();
        world.config("keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n");
        let link = world.path("keepserver");
        symlink(env!("CARGO_BIN_EXE_keepstart"), &link).unwrap();
        let mut command = world.command_of(&link);
        command.arg("--help");
        let help = said(command);
        assert_eq!(help.code, 0);
        assert!(help.out.contains("keepserver"), "{help:?}");
        let mut command = world.command_of(&link);
        command
            .args(["validate", "-c"])
            .arg(world.path("config.yaml"));
        assert_eq!(said(command).code, 0);
        // A daemon under the old name is started anew under the same.
        let text = world
            .read("config.yaml")
            .replace("application:\n", "application:\n  daemon: true\n");
        world.write("config.yaml", &text);
        let mut command = world.command_of(&link);
        command.args(["start", "-c"]).arg(world.path("config.yaml"));
        let started = said(command);
        assert_eq!(started.code, 0, "{started:?}");
        assert_eq!(world.keepstart(&["stop"]).code, 0);
        // And under a name that nobody knows.
        let mut command = world.command();
        command.arg0("else").arg("version");
        assert_eq!(said(command).code, 0);
    });
}

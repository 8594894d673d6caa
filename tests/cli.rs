//! The binary as a person uses it: real processes, real files, exit codes and words. Each test has a directory
//! of its own with a configuration whose VIP is 127.0.0.1 on lo, which every machine has.

#[path = "support/home.rs"]
mod home;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use home::{BINARY, DAEMON, Home, Said};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[test]
fn a_daemon_from_start_to_stop() {
    let home = Home::daemon();
    home.run(&["status"]).expect(3, "", "no daemon runs with");
    home.run(&["reload"]).expect(3, "", "no daemon runs with");
    home.run(&["audit"]).expect(3, "", "no daemon runs with");
    home.run(&["stop"]).expect(0, "nothing to stop", "");
    home.run(&["start"]).expect(0, "started, process ", "");
    let pid = home.pid();
    let number = pid.as_raw_nonzero().get().to_string();
    home.run(&["start"])
        .expect(75, "", &format!("already running with pid {number}"));
    home.run(&["run"])
        .expect(75, "", &format!("already running with pid {number}"));
    assert_eq!(
        fs::read_to_string(home.path("work/daemon.pid"))
            .expect("a pidfile")
            .trim(),
        number
    );
    home.until(&["status"], 0, "default  MASTER");
    home.until(&["status", "default"], 0, "running");
    assert!(
        home.path("work/up").exists(),
        "the start script has run in the workspace"
    );
    home.run(&["status", "nope"])
        .expect(1, "", "there is no instance nope");
    home.run(&["audit", "default"])
        .expect(0, "audit of default begun", "");
    home.run(&["reload"]).expect(0, "reloaded", "");
    home.run(&["stop"])
        .expect(0, "left running (on-exit: keep): default", "");
    let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let gone = status.is_empty() || status.contains("State:\tZ");
    assert!(
        gone,
        "nothing of the process is left but a name that init has yet to take: {status}"
    );
    assert!(!home.path("work/daemon.pid").exists());
    home.run(&["stop"]).expect(0, "nothing to stop", "");
}

#[test]
fn a_faulty_file_stops_neither_the_daemon_nor_its_commands() {
    let home = Home::daemon();
    home.run(&["start"]).expect(0, "started", "");
    home.configure(&format!("{DAEMON}    wip: 127.0.0.1\n"));
    let said = home.run(&["reload"]);
    said.expect(78, "", "config.yaml:14:5: unknown key");
    said.expect(78, "", "the running configuration stays");
    home.run(&["validate"])
        .expect(78, "", "config.yaml:14:5: unknown key");
    home.run(&["start"])
        .expect(78, "", "config.yaml:14:5: unknown key");
    home.run(&["status"]).expect(
        0,
        "default  MASTER",
        "config.yaml has faults (see `keepstart validate`)",
    );
    home.run(&["stop"]).expect(0, "stopped", "");
}

#[test]
fn a_role_that_is_unknown_is_4() {
    let home = Home::new(&DAEMON.replace("nic: lo", "nic: never0"));
    home.run(&["start"]).expect(0, "started", "");
    home.run(&["status"])
        .expect(4, "no interface never0 has been seen yet", "");
    home.run(&["status", "--json"])
        .expect(4, "\"role\": \"UNKNOWN\"", "");
}

#[test]
fn a_start_that_fails_says_why_and_with_which_code() {
    let home = Home::new(&DAEMON.replace("workspace: HERE/work", "workspace: /proc/nowhere"));
    let said = home.run(&["start"]);
    said.expect(78, "", "/proc/nowhere");
    assert_eq!(said.out, "");
}

#[test]
fn without_daemon_start_is_run_and_ends_on_sigterm() {
    let home = Home::new(&DAEMON.replace("daemon: true", "daemon: false"));
    let mut child = home
        .command(&["start"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    home.until(&["status"], 0, "running");
    assert_eq!(
        Some(home.pid()),
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    );
    kill_process(home.pid(), Signal::TERM).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let mut log = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut log)
        .expect("a log");
    assert!(log.contains("ready") && log.contains("started"), "{log}");
}

#[test]
fn start_lets_go_of_its_output() {
    let home = Home::daemon();
    // `output` waits until nobody has the pipes any more: a daemon that kept them would hang this test.
    let said = home.run(&["start"]);
    said.expect(0, "log: ", "");
    let log = said.out.trim().rsplit_once("log: ").expect("a path").1;
    // The log has a thread of its own, which may be a moment behind.
    let logged = || fs::read_to_string(log).expect("a log").contains("ready");
    assert!((0..100).any(|_| logged() || {
        sleep(Duration::from_millis(20));
        false
    }));
    let session = rustix::process::getsid(Some(home.pid())).expect("a session");
    assert_eq!(session, home.pid(), "it leads a session of its own");
}

#[test]
fn start_lets_go_of_what_its_caller_has_open() {
    let home = Home::daemon();
    home.script("start.sh", "ls -l /proc/self/fd > fds; touch up");
    // As from a script that keeps itself from running twice.
    let said = Command::new("sh")
        .args(["-c", "exec 9> \"$1\"; shift; exec \"$@\"", "sh"])
        .arg(home.path("caller.lock"))
        .arg(BINARY)
        .arg("-c")
        .arg(home.path("config.yaml"))
        .arg("start")
        .output()
        .expect("a shell");
    Said::of(&said).expect(0, "log: ", "");
    home.until(&["status"], 0, "running");
    let daemon = format!("/proc/{}/fd", home.pid().as_raw_nonzero());
    let keeps = |entry: std::io::Result<fs::DirEntry>| {
        // Of those that it closes meanwhile nothing can be read.
        let file = fs::read_link(entry.expect("a descriptor").path());
        file.is_ok_and(|file| file.ends_with("caller.lock"))
    };
    assert!(!fs::read_dir(daemon).expect("a process").any(keeps));
    let script = fs::read_to_string(home.path("work/fds")).expect("a list");
    assert!(script.contains("/dev/null"), "{script}");
    assert!(!script.contains("caller.lock"), "{script}");
}

#[test]
fn watch_tells_changes_and_comes_back_after_a_restart() {
    let home = Home::daemon();
    home.run(&["start"]).expect(0, "started", "");
    let mut watch = home
        .command(&["status", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut out = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let mut err = BufReader::new(watch.stderr.take().expect("a pipe")).lines();
    let first = out.next().expect("a line").expect("text");
    assert!(
        first.starts_with("default  MASTER") && first.contains("why: 127.0.0.1"),
        "{first}"
    );
    home.run(&["stop"]).expect(0, "stopped", "");
    let lost = err.next().expect("a line").expect("text");
    assert!(lost.contains("waiting for the daemon"), "{lost}");
    home.run(&["start"]).expect(0, "started", "");
    let back = err.next().expect("a line").expect("text");
    assert!(back.contains("connected again"), "{back}");
    watch.kill().and_then(|()| watch.wait()).expect("an end");
}

#[test]
fn a_reader_that_goes_is_no_panic() {
    let home = Home::daemon();
    home.run(&["start"]).expect(0, "started", "");
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["validate", "--effective"],
        &["--help"],
    ] {
        let mut child = home
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let said = Said::of(&child.wait_with_output().expect("an end"));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
    }
    // The watcher writes until it notices.
    let mut child = home
        .command(&["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn validate_says_good_or_all_that_is_wrong() {
    let home = Home::daemon();
    home.run(&["validate"]).expect(0, "good, 1 instance", "");
    home.run(&["validate", "--strict"]).expect(0, "good", "");
    home.run(&["validate", "--effective"])
        .expect(0, "instances:\n  default:", "");
    fs::remove_file(home.path("stop.sh")).expect("the script");
    home.run(&["validate"]).expect(0, "good", "warning: ");
    home.run(&["validate", "--strict"])
        .expect(78, "", "--strict");
    home.configure("keepstart: {vip: 300.1.1.1, sleep: 0}\n");
    let said = home.run(&["validate"]);
    assert!(
        said.err.lines().count() >= 3,
        "all faults at once: {}",
        said.err
    );
    assert!(
        said.err.lines().all(|line| line.contains("config.yaml:1:")),
        "{}",
        said.err
    );
}

#[test]
fn scripts_that_are_not_there_are_told_when_the_daemon_is_up() {
    let home = Home::daemon();
    fs::remove_file(home.path("stop.sh")).expect("the script");
    let said = home.run(&["start"]);
    said.expect(0, "started", "config.yaml:9:11: stop: ");
    said.expect(0, "started", "stop.sh does not exist (yet)");
    let log = said.out.trim().rsplit_once("log: ").expect("a path").1;
    let logged = || {
        let log = fs::read_to_string(log).expect("a log");
        log.contains("stop.sh does not exist (yet)")
    };
    assert!((0..100).any(|_| logged() || {
        sleep(Duration::from_millis(20));
        false
    }));
}

#[test]
fn a_configuration_that_is_a_pipe_holds_nothing_up() {
    let home = Home::daemon();
    fs::remove_file(home.path("config.yaml")).expect("the file");
    let made = Command::new("mkfifo")
        .arg(home.path("config.yaml"))
        .status();
    assert!(made.expect("mkfifo of coreutils").success());
    for command in [
        "validate", "start", "run", "status", "stop", "reload", "audit",
    ] {
        home.run(&[command])
            .expect(78, "", "config.yaml: is a pipe or a device");
    }
}

#[test]
fn the_configuration_is_found_or_its_places_are_named() {
    let home = Home::daemon();
    let here = |directory: &Path| {
        let mut command = Command::new(BINARY);
        Said::of(
            &command
                .arg("validate")
                .current_dir(directory)
                .output()
                .expect("the binary runs"),
        )
    };
    here(home.directory.path()).expect(0, "config.yaml: good", "");
    if !Path::new("/etc/keepstart/config.yaml").exists() {
        let said = here(&home.path("work"));
        said.expect(
            78,
            "",
            "neither ./config.yaml nor /etc/keepstart/config.yaml",
        );
    }
    fs::remove_file(home.path("config.yaml")).expect("the file");
    home.run(&["validate"]).expect(78, "", "config.yaml");
    home.run(&["status"]).expect(78, "", "config.yaml");
}

#[test]
fn it_answers_to_the_name_of_the_python_tool() {
    let home = Home::daemon();
    let keepserver = home.path("keepserver");
    symlink(BINARY, &keepserver).expect("a link");
    let run = |arguments: &[&str]| {
        Said::of(
            &Command::new(&keepserver)
                .args(arguments)
                .output()
                .expect("the binary runs"),
        )
    };
    run(&["--help"]).expect(0, "Usage: keepserver", "");
    run(&["bogus"]).expect(2, "", "Usage: keepserver");
    run(&["version"]).expect(0, concat!("keepstart ", env!("CARGO_PKG_VERSION")), "");
}

#[test]
fn the_demo_shows_the_main_job() {
    let demo = Command::new(BINARY)
        .arg("demo")
        .output()
        .expect("the binary runs");
    let said = Said::of(&demo);
    said.expect(0, "BACKUP -> MASTER, transition web/", "");
    for words in [
        "seen      192.0.2.10 is on lo",
        "| the service is up as process",
        "finished  start: done",
        "MASTER -> BACKUP",
        "finished  stop: done",
        "because it was found stopped on the MASTER",
        "overtaken MASTER",
        "In all: 4 transitions, 5 runs of start and stop",
        "What to type next",
    ] {
        assert!(said.out.contains(words), "no {words:?} in:\n{}", said.out);
    }
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut demo = Command::new(BINARY)
        .arg("demo")
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines = &mut BufReader::new(demo.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok);
    let line = lines
        .find(|line| line.contains("The daemon runs as process "))
        .expect("a daemon");
    let daemon = line
        .split(' ')
        .find_map(|word| word.trim_end_matches(',').parse::<u32>().ok());
    let daemon = daemon.expect("its process");
    lines
        .find(|line| line.contains("the service is up"))
        .expect("a service");
    let pid = i32::try_from(demo.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(pid, Signal::INT).expect("a signal");
    // What it still says is read, so that it ends by the signal and not for want of a reader.
    lines.for_each(drop);
    assert_eq!(demo.wait().expect("an end").code(), Some(1));
    let mut said = String::new();
    demo.stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut said)
        .expect("text");
    assert!(said.contains("the demo was interrupted"), "{said}");
    assert!(
        !Path::new(&format!("/proc/{daemon}")).exists(),
        "the daemon has been waited for"
    );
    let left = fs::read_dir(directory.path())
        .expect("the directory")
        .count();
    assert_eq!(left, 0, "its directory is gone");
}

#[test]
fn a_demo_without_namespaces_names_the_way_out() {
    // A user namespace in which no network namespace may be made, as a hardened system has it.
    let script = "echo 0 >/proc/sys/user/max_net_namespaces; exec \"$0\" demo";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script, BINARY])
        .output()
        .expect("unshare of util-linux");
    let said = Said::of(&output);
    said.expect(77, "", "needs a network namespace of its own");
    assert_eq!(said.err.lines().count(), 1, "one sentence: {}", said.err);
}

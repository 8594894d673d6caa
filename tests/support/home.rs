//! A directory with a configuration and its scripts, and the commands that a person would type there. Used by
//! integration tests only.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Pid;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_keepstart");

/// A configuration, its scripts, and the daemon that it may have.
pub(crate) struct Home {
    pub(crate) directory: TempDir,
}

/// What a command has said, and its exit code.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32, out: &str, err: &str) {
        let what = format!(
            "exit {}\nstdout: {}\nstderr: {}",
            self.code, self.out, self.err
        );
        assert_eq!(self.code, code, "{what}");
        assert!(self.out.contains(out), "no {out:?}: {what}");
        assert!(self.err.contains(err), "no {err:?}: {what}");
    }
}

impl Home {
    pub(crate) fn new(config: &str) -> Self {
        let home = Self {
            directory: TempDir::new().expect("a directory"),
        };
        fs::create_dir(home.path("work")).expect("a workspace");
        home.script("start.sh", "echo started; touch up");
        home.script("stop.sh", "rm -f up");
        home.script("is-running.sh", "test -e up");
        home.configure(config);
        home
    }

    pub(crate) fn daemon() -> Self {
        Self::new(DAEMON)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn script(&self, name: &str, body: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    pub(crate) fn configure(&self, config: &str) {
        let here = self.directory.path().to_str().expect("UTF-8");
        fs::write(self.path("config.yaml"), config.replace("HERE", here)).expect("a file");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("-c")
            .arg(self.path("config.yaml"))
            .args(arguments);
        command
            .current_dir("/")
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().expect("the binary runs"))
    }

    /// The daemon's process, out of `status --json`.
    pub(crate) fn pid(&self) -> Pid {
        let status: serde_json::Value =
            serde_json::from_str(&self.run(&["status", "--json"]).out).expect("JSON");
        let pid = status["daemon"]["pid"].as_i64().expect("a pid");
        i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid")
    }

    /// Waits until a command says something.
    #[track_caller]
    pub(crate) fn until(&self, arguments: &[&str], code: i32, out: &str) {
        for _ in 0..250 {
            let said = self.run(arguments);
            if said.code == code && said.out.contains(out) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        self.run(arguments).expect(code, out, "");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Whatever a failed test has left.
        drop(self.command(&["stop"]).output());
    }
}

/// The file of the Python tool's users, with a VIP that every machine has; `HERE` is the directory.
pub(crate) const DAEMON: &str = "\
application:
    daemon: true
    workspace: HERE/work
    pidfile: daemon.pid
keepstart:
    nic: lo
    vip: 127.0.0.1
    start: HERE/start.sh
    stop: HERE/stop.sh
    is-running: HERE/is-running.sh
    sleep: 2
    running-report-cycle: 3600
    force-test-cycle: 60
";

//! One test's world: a directory with a configuration and scripts, the daemons that run in it, and what can be
//! seen of them. Everything that was started from it is found by a variable in its environment and killed, by
//! pid, when the world ends.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::wait_until;

/// What a busy machine may need for anything. Nothing here is asserted to be fast.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const VIP: &str = "10.77.0.1";

/// In the environment of all that a world has started: the path of its directory.
const MARK: &str = "TEST_WORLD";

/// What would make a daemon talk to somebody outside of the test.
const FOREIGN: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
    "RUST_LOG",
    "LISTEN_FDS",
];

pub(crate) struct World {
    directory: tempfile::TempDir,
}

/// What a finished command has left.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn of(output: &Output) -> Self {
        let code = output.status.code();
        Self {
            code: code.unwrap_or_else(|| panic!("it was killed: {:?}", output.status.signal())),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    pub(crate) fn here(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.here().join(name)
    }

    /// Writes a file; `HERE` in it is the world's directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, self.placed(text)).unwrap();
        path
    }

    fn placed(&self, text: &str) -> String {
        text.replace("HERE", &self.here().display().to_string())
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes an executable shell script. Another process writes it: a descriptor of this one could be inherited
    /// by a child that another test is just starting, and a file that is open for writing cannot be executed.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = Command::new("sh")
            .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = self.placed(&format!("#!/bin/sh\n{body}\n"));
        writer
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }

    /// `config.yaml` with directories of its own, so that nothing outside of the world is touched.
    pub(crate) fn config(&self, text: &str) {
        let application = "application:\n  runtime-dir: HERE/run\n  state-dir: HERE/state\n";
        self.write("config.yaml", &format!("{application}{text}"));
    }

    /// A service that start.sh brings up and stop.sh takes down: the file `running`. Both mark their beginning
    /// and their end in the file `hooks`, and `meanwhile` happens between the two.
    pub(crate) fn service(&self, meanwhile: &str) {
        self.service_named("", meanwhile);
    }

    /// The same for one instance of several: start-NAME.sh, stop-NAME.sh, hooks-NAME, running-NAME.
    pub(crate) fn service_named(&self, name: &str, meanwhile: &str) {
        let end = if name.is_empty() {
            String::new()
        } else {
            format!("-{name}")
        };
        for (action, effect) in [("start", "touch"), ("stop", "rm -f")] {
            let body = format!(
                "echo begin {action} $KEEPSTART_EPOCH $$ >> HERE/hooks{end}\n{meanwhile}\n\
                 {effect} HERE/running{end}\necho end {action} $KEEPSTART_EPOCH $$ >> HERE/hooks{end}"
            );
            self.script(&format!("{action}{end}.sh"), &body);
        }
    }

    /// The binary, marked, and without what would make it talk to somebody outside.
    pub(crate) fn command(&self) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_keepstart")))
    }

    pub(crate) fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env(MARK, self.here())
            .stdin(Stdio::null())
            .current_dir("/");
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command about `config.yaml` to its end.
    pub(crate) fn keepstart(&self, arguments: &[&str]) -> Said {
        self.keepstart_of("config.yaml", arguments)
    }

    pub(crate) fn keepstart_of(&self, file: &str, arguments: &[&str]) -> Said {
        let mut command = self.command();
        command.arg("-c").arg(self.path(file)).args(arguments);
        said(command)
    }

    /// Starts the daemon of `config.yaml` in the foreground, its log in the file `log`, and waits until it is
    /// ready.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon_with(|_| {})
    }

    pub(crate) fn daemon_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let daemon = self.daemon_unready(change);
        let is_ready = || {
            self.log()
                .rsplit(BEGUN)
                .next()
                .is_some_and(|life| life.contains("ready: "))
        };
        self.until("ready", is_ready);
        daemon
    }

    pub(crate) fn daemon_unready(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        writeln!(log, "{BEGUN}").unwrap();
        let mut command = self.command();
        command.arg("-c").arg(self.path("config.yaml")).arg("run");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        change(&mut command);
        Daemon(command.spawn().expect("start keepstart"))
    }

    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    /// `status --json`, which has to be answered.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.status_of("config.yaml")
    }

    #[track_caller]
    pub(crate) fn status_of(&self, file: &str) -> Value {
        let said = self.keepstart_of(file, &["status", "--json"]);
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{error}: {said:?}\n{}", self.log()))
    }

    #[track_caller]
    pub(crate) fn instance(&self, name: &str) -> Value {
        let status = self.status();
        let instances = status["instances"].as_array().unwrap();
        let found = instances.iter().find(|instance| instance["name"] == name);
        found
            .unwrap_or_else(|| panic!("no instance {name}: {status:#}"))
            .clone()
    }

    /// Waits until it is so; says what `what` was and what the log has otherwise.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        wait_until(PATIENCE, is_so, || {
            let hooks = self.read("hooks");
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            format!("never: {what}\nhooks:\n{hooks}\nlog:\n{}", tail.join("\n"))
        });
    }

    /// Waits until the instance has nothing left to do.
    #[track_caller]
    pub(crate) fn settles(&self, instance: &str, role: &str, service: &str) {
        let mut seen = Value::Null;
        wait_until(
            PATIENCE,
            || {
                seen = self.instance(instance);
                let next = seen["next"]["kind"].as_str().unwrap_or_default();
                seen["role"] == role
                    && seen["service"] == service
                    && matches!(next, "nothing" | "held")
            },
            || {
                format!(
                    "{instance} is never {role} and {service}\nhooks:\n{}\n{}",
                    self.read("hooks"),
                    self.log()
                )
            },
        );
    }

    /// What start and stop did, by their ends: `start`, `stop`, …; panics where two overlapped.
    #[track_caller]
    pub(crate) fn ran(&self, hooks: &str) -> Vec<String> {
        let lines = self.lines(hooks);
        let mut ran = Vec::new();
        for pair in lines.chunks(2) {
            let word =
                |line: &String, at: usize| line.split(' ').nth(at).unwrap_or_default().to_owned();
            let [begin, end] = pair else {
                panic!("{hooks}: unfinished: {lines:#?}")
            };
            let fits = word(begin, 0) == "begin"
                && word(end, 0) == "end"
                && word(begin, 3) == word(end, 3);
            assert!(fits, "{hooks}: overlap at {begin:?}, {end:?}: {lines:#?}");
            ran.push(word(end, 1));
        }
        ran
    }
}

/// Stands in the log where a daemon was started.
const BEGUN: &str = "--- a daemon begins";

impl Drop for World {
    fn drop(&mut self) {
        // A process that is just being made has the environment of its parent, so the second look finds it.
        for _ in 0..3 {
            for pid in self.marked() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl World {
    /// All processes of this world.
    pub(crate) fn marked(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}", self.here().display());
        processes()
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|one| one == mark.as_bytes())
            })
            .filter_map(|pid| Pid::from_raw(pid.cast_signed()))
            .collect()
    }
}

/// A daemon in the foreground: a child of the test. Killed when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn of(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// SIGSTOP; waits until each thread stands still. A SIGCONT that comes before that would take it back.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        wait_until(PATIENCE, || self.is_stopped(), || "it does not stop".into());
    }

    /// Whether SIGSTOP has reached all of its threads: `/proc/PID/stat` tells of the first alone.
    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads.filter_map(Result::ok).all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = stat
                .rsplit_once(") ")
                .map(|(_, rest)| rest.starts_with('T'));
            state != Some(false)
        })
    }

    /// SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM; waits for the end, which has to be a good one.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}");
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(
            PATIENCE,
            || {
                status = self.0.try_wait().unwrap();
                status.is_some()
            },
            || "the daemon does not end".into(),
        );
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end, which has to come.
#[track_caller]
pub(crate) fn said(mut command: Command) -> Said {
    Said::of(&command.output().expect("run the command"))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// A field of `/proc/PID/status`, such as `VmHWM`.
pub(crate) fn proc_status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Whether the process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    proc_status(pid, "State")
        .is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let parent = pid.to_string();
    processes()
        .filter(|pid| proc_status(*pid, "PPid").as_deref() == Some(&parent))
        .collect()
}

pub(crate) fn count_of(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

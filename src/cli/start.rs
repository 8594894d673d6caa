//! `start`: starts the daemon and returns when it is ready or has failed; with `daemon: false` it is `run`.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::arguments::Run;
use super::exit::{Code, Ending, Failure};
use super::locate;
use super::out::Out;
use super::run::{self, Started, this_program};
use crate::config::Daemon;

/// How long the daemon may take to be ready. It is, when the kernel has told the addresses once: 10 ms.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// When a person is told what is waited for.
const PROGRESS_AFTER: Duration = Duration::from_secs(2);

/// How long the scripts may take to be looked at, for the warnings about them.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// The longest report, in bytes: the faults of a file are told before the daemon is started.
const REPORT_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn start(
    out: Out,
    given: Option<&Path>,
    log_level: Option<&str>,
    record: Option<&Path>,
) -> Ending {
    let file = locate::config_file(given)?;
    let loaded = locate::read(&file)?;
    if loaded.config.application.daemon == Daemon::Foreground {
        let how = Run {
            record: record.map(Path::to_owned),
            ..Run::default()
        };
        return run::run(Some(&file), log_level, &how);
    }
    let mut child = spawn(&loaded.config.file, log_level, record).map_err(|error| {
        Failure::told(
            Code::System,
            format!("keepstart: cannot start the daemon: {error}"),
        )
    })?;
    match wait(out, &mut child) {
        Ok(Started::Ready { pid, log }) => {
            out.line(&format!("started, process {pid}, log: {}", log.display()))?;
            warn_of_scripts(out, &file);
            Ok(Code::Fine)
        }
        Ok(Started::Failed { code, message }) => {
            out.note(&message);
            Err(Failure::Said(code))
        }
        Err(failure) => Err(failure),
    }
}

/// Says which scripts could not be run now. The daemon is up, and does not wait for this; nor does a person for
/// long. A process of its own looks: one whose file server does not answer cannot always be killed, and would keep
/// this one from ending if it were a part of it.
fn warn_of_scripts(out: Out, file: &Path) {
    let child = this_program()
        .arg("--config")
        .arg(file)
        .arg("validate")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    // The daemon's log has the warnings too, so that nothing is lost where this fails.
    let Ok(mut child) = child else { return };
    let Some(mut pipe) = child.stderr.take() else {
        return;
    };
    let began = now();
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(true) = readable(&pipe, LOOK_PATIENCE.saturating_sub(now() - began)) {
        let count = pipe.read(&mut piece).unwrap_or(0);
        said.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || said.len() as u64 > REPORT_BYTES_MAX {
            let said = String::from_utf8_lossy(&said);
            if !said.is_empty() {
                out.note(said.trim_end());
            }
            return;
        }
    }
    let _ = child.kill();
    out.note(&format!(
        "warning: the scripts could not be looked at within {LOOK_PATIENCE:?}: a file server may not answer"
    ));
}

fn spawn(file: &Path, log_level: Option<&str>, record: Option<&Path>) -> io::Result<Child> {
    let mut command = this_program();
    command.args(["run", "--detached", "--config"]).arg(file);
    if let Some(level) = log_level {
        command.arg("--log-level").arg(OsStr::new(level));
    }
    if let Some(record) = record {
        command.arg("--record").arg(record);
    }
    // Its stderr stays this command's until it is ready: the last words of a daemon that panics are seen.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Waits for the daemon's report, its end, or the deadline.
fn wait(out: Out, child: &mut Child) -> Result<Started, Failure> {
    let system = |error| Failure::of(Code::System, io::Error::from(error));
    let Some(mut pipe) = child.stdout.take() else {
        return Err(Failure::told(
            Code::System,
            "keepstart: the daemon has no pipe to report through",
        ));
    };
    let began = now();
    let mut told = false;
    let mut report = Vec::new();
    loop {
        let waited = now() - began;
        let until = if told { READY_DEADLINE } else { PROGRESS_AFTER };
        if !readable(&pipe, until.saturating_sub(waited)).map_err(system)? {
            if told {
                let message = format!(
                    "keepstart: process {} is not ready after {READY_DEADLINE:?}: it has not read the \
                     addresses of this node; it goes on trying, `keepstart status` shows how",
                    child.id()
                );
                return Err(Failure::told(Code::Unavailable, message));
            }
            told = true;
            out.progress("waiting for the daemon to read the addresses of this node");
            continue;
        }
        let mut piece = [0; 4096];
        let count = pipe
            .read(&mut piece)
            .map_err(|error| Failure::of(Code::System, error))?;
        report.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || report.ends_with(b"\n") || report.len() as u64 > REPORT_BYTES_MAX {
            break;
        }
    }
    serde_json::from_slice(&report).or_else(|_| ended(child))
}

/// The daemon ended without a word.
fn ended(child: &mut Child) -> Result<Started, Failure> {
    let status = child
        .wait()
        .map_err(|error| Failure::of(Code::System, error))?;
    let message = format!("keepstart: the daemon ended before it was ready: {status}");
    Err(Failure::told(Code::Unavailable, message))
}

fn readable(pipe: &impl AsFd, patience: Duration) -> rustix::io::Result<bool> {
    let timeout = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    match poll(&mut polled, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "the start has a deadline")]
fn now() -> Instant {
    Instant::now()
}

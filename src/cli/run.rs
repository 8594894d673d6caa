//! `run`: is the daemon. With the hidden `--detached`, which `start` uses, it leaves its session first and
//! says on stdout, in one line, how the start went. Runs on the main thread, which the daemon then takes
//! over.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use nix::unistd::close;
use rustix::io::Errno;
use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};

use super::arguments::Run;
use super::exit::{Code, Ending, Failure};
use super::{locate, record};
use crate::app::{self, AppError, Entered, RunOptions};
use crate::config::logging::Plan;
use crate::config::{Config, Loaded, LogLevel};
use crate::state::{Absent, LockError, Paths};
use crate::telemetry::{self, Destination, TelemetryOptions};

/// What this program is called.
const NAME: &str = "keepstart";

/// How long the last lines of the log may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// This program, to be run once more, also where its file has been replaced by a newer one meanwhile; under the name
/// by which people look for it.
pub(super) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME);
    command
}

/// Takes the name that `ps` and `pgrep` show (proc_pid_comm(5)): of a program that was run as [`this_program`] it
/// would be `exe`.
fn take_name() {
    let name = CString::new(NAME).unwrap_or_default();
    // A daemon by another name is one all the same.
    let _ = set_name(&name);
}

/// Closes what whoever typed `start` had open beside the three streams: the daemon, and each service that its scripts
/// leave running, would keep a lock of flock(1) or a pipe for ever.
fn close_inherited() {
    let listed = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let inherited: Vec<_> = listed.filter_map(number).filter(|fd| *fd > 2).collect();
    for descriptor in inherited {
        // The program has opened none yet, so none has an owner in it. The one of the list itself is closed already.
        let _ = close(descriptor);
    }
}

/// How the start of a detached daemon went; one line of JSON from it to `start`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Started {
    /// It is ready.
    Ready {
        /// Its process.
        pid: u32,
        /// Where it logs.
        log: PathBuf,
    },
    /// It has failed.
    Failed {
        /// The exit code.
        code: u8,
        /// Why.
        message: String,
    },
}

pub(super) fn run(given: Option<&Path>, log_level: Option<&str>, how: &Run) -> Ending {
    let record = how.record.as_deref();
    // Before there is another thread, which would be given the old one.
    if how.detached || how.demo {
        take_name();
    }
    if !how.detached {
        let how = How::Foreground {
            receive_buffer_bytes: how.receive_buffer,
            entered: if how.demo { Entered::No } else { Entered::Yes },
        };
        return daemon(given, log_level, how, record);
    }
    close_inherited();
    // It fails for the leader of a process group only, and then there is nothing to leave.
    let _ = setsid();
    let ending = daemon(given, log_level, How::Detached, record);
    if let Err(Failure::Told { code, message }) = &ending {
        // After it was ready nobody reads this, and the log has it.
        report(&Started::Failed {
            code: code.number(),
            message: message.clone(),
        });
        return Err(Failure::Said(code.number()));
    }
    ending
}

/// How the daemon is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Foreground {
        receive_buffer_bytes: Option<usize>,
        entered: Entered,
    },
    Detached,
}

fn daemon(
    given: Option<&Path>,
    log_level: Option<&str>,
    how: How,
    record: Option<&Path>,
) -> Ending {
    let file = locate::config_file(given)?;
    // Before the daemon changes its directory, and with the rights of whoever names the file.
    let record = record.map(record::open_for_daemon).transpose()?;
    let loaded = locate::read(&file)?;
    let paths = locate::paths(&loaded.config)?;
    let absent = Absent::of(&paths);
    let ending = live(loaded, &paths, log_level, how, record);
    match &ending {
        // What is there is the other daemon's.
        Err(Failure::Told {
            code: Code::AlreadyRunning,
            ..
        })
        | Ok(_) => {}
        Err(_) => absent.remove(),
    }
    ending
}

/// Lives as the daemon of a file that has been read.
fn live(
    loaded: Loaded,
    paths: &Paths,
    log_level: Option<&str>,
    how: How,
    record: Option<(PathBuf, File)>,
) -> Ending {
    let log = destination(how, paths)?;
    let first_filter = filter(&loaded.config, log_level)?;
    let guard = telemetry::init(TelemetryOptions {
        destination: log,
        filter: first_filter,
        plan: plan(&loaded.config).cloned(),
    })
    .map_err(|error| Failure::of(Code::System, error))?;
    let log = log_file(paths);
    let on_ready: Box<dyn FnOnce()> = match how {
        How::Foreground { .. } => Box::new(|| {}),
        How::Detached => Box::new(move || {
            report(&Started::Ready {
                pid: std::process::id(),
                log,
            });
            leave_stdio();
        }),
    };
    let guard = Rc::new(guard);
    let counted = guard.clone();
    let log_dropped = Box::new(move || counted.counts().dropped);
    let (reopened, changed) = (guard.clone(), guard.clone());
    let log_level = log_level.map(str::to_owned);
    let change_log = Box::new(move |config: &Config| {
        // What the command line and the environment say was understood when the daemon started.
        if let Ok(filter) = filter(config, log_level.as_deref()) {
            changed.set_filter(filter);
        }
        changed.set_plan(plan(config).cloned());
    });
    let (receive_buffer_bytes, entered) = match how {
        How::Foreground {
            receive_buffer_bytes,
            entered,
        } => (receive_buffer_bytes, entered),
        How::Detached => (None, Entered::Yes),
    };
    let options = RunOptions {
        on_ready,
        log_dropped,
        log_room: Box::new(guard.output_room()),
        reopen_log: Box::new(move || reopened.reopen()),
        change_log,
        receive_buffer_bytes,
        entered,
        record,
    };
    let result = app::run(loaded, paths, options);
    let ending = result.map(|()| Code::Fine).map_err(failure);
    if let Err(Failure::Told { message, .. }) = &ending
        && how == How::Detached
    {
        tracing::error!("{message}");
    }
    guard.flush(FLUSH_PATIENCE);
    ending
}

fn destination(how: How, paths: &Paths) -> Result<Destination, Failure> {
    match how {
        How::Foreground { .. } => Ok(Destination::Automatic),
        How::Detached => {
            // Who can interfere is told when there is a log to tell it to.
            paths
                .make_directories()
                .map_err(|error| failure(AppError::Paths(error)))?;
            Ok(Destination::File(log_file(paths)))
        }
    }
}

/// Where a detached daemon logs: beside what it keeps over reboots, because a log is read after one.
fn log_file(paths: &Paths) -> PathBuf {
    paths.state_dir().join("keepstart.log")
}

/// The logging section, if there is one that can be followed.
fn plan(config: &Config) -> Option<&Plan> {
    config.logging.as_ref()?.plan.as_ref()
}

/// What is logged: as the command line says, else the environment, else the file's `log-level`, else its `logging`.
fn filter(
    config: &Config,
    log_level: Option<&str>,
) -> Result<tracing_subscriber::filter::Targets, Failure> {
    let environment = std::env::var("RUST_LOG").ok();
    let text = log_level
        .or(environment.as_deref())
        .or(config.application.log_level.map(LogLevel::as_str));
    if let (None, Some(plan)) = (text, plan(config)) {
        return Ok(telemetry::filter_of(plan));
    }
    telemetry::filter(text).map_err(|error| Failure::of(Code::Usage, error))
}

/// Whether it is space, memory or descriptors that are missing.
fn is_shortage(error: &AppError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let errno = error.downcast_ref().and_then(Errno::from_io_error);
        if let Some(Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE) =
            errno
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn failure(error: AppError) -> Failure {
    let code = match &error {
        // The file is fine, and there may be enough again in a second: systemd does not try again after EX_CONFIG.
        _ if is_shortage(&error) => Code::System,
        AppError::Lock(LockError::Held { .. }) => Code::AlreadyRunning,
        // The places that the file leads to.
        AppError::Paths(_)
        | AppError::Workspace { .. }
        | AppError::Lock(LockError::NotAPidfile { .. } | LockError::Io { .. }) => Code::Config,
        AppError::Boot(_)
        | AppError::Output(_)
        | AppError::Executor(_)
        | AppError::Control { .. }
        | AppError::System { .. } => Code::System,
        AppError::ReactorEnded => Code::Failed,
    };
    Failure::of(code, error)
}

/// Tells `start` how it went. If `start` has gone, the daemon goes on all the same.
fn report(started: &Started) {
    if let Ok(line) = serde_json::to_string(started) {
        let _ = std::io::stdout()
            .lock()
            .write_all(format!("{line}\n").as_bytes());
    }
}

/// Lets go of what `start` handed down, so that whoever waits for the end of its output waits no longer.
fn leave_stdio() {
    let null = File::options().read(true).write(true).open("/dev/null");
    let left = null.and_then(|null| {
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Ok(dup2_stderr(&null)?)
    });
    if let Err(error) = left {
        tracing::warn!("cannot let go of the terminal: {error}");
    }
}

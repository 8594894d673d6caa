//! The daemon of the file, and others: found by the locks that they have open, asked by their control sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::facts::{Daemon, FailedJob, Other, OtherInstance, OtherKind, Seen};
use super::processes::{self, Process};
use crate::cli::exit::{Code, Failure};
use crate::cli::locate::Target;
use crate::config::{self, Config};
use crate::control::client::Client;
use crate::control::status::{InstanceStatus, ResultKind};

/// How long a daemon may take for a line: it gives its reactor a second to show that it is alive.
const PATIENCE: Duration = Duration::from_secs(3);

/// The daemon of the file, if one runs.
pub(super) fn own(config: &Config, target: &Target) -> Seen<Option<Daemon>> {
    let said = |failure: Failure| match failure {
        Failure::Told { message, .. } => message.trim_start_matches("keepstart: ").to_owned(),
        Failure::ReaderGone | Failure::Said(_) => "the daemon cannot be asked".to_owned(),
    };
    let mut client = match target.connect() {
        Ok(client) => client,
        Err(Failure::Told {
            code: Code::NoDaemon,
            ..
        }) => return Ok(None),
        Err(failure) => return Err(said(failure)),
    };
    let pid = client
        .daemon()
        .map_err(|error| format!("the daemon's process is not known: {error}"))?
        .pid();
    let status = client.status(None, PATIENCE).map_err(|error| {
        format!(
            "the daemon does not answer: {:#}",
            anyhow::Error::from(error)
        )
    })?;
    let pid = u32::try_from(pid)
        .map_err(|error| format!("the daemon's process has an odd number: {error}"))?;
    let changed = fs::metadata(&config.file).and_then(|found| found.modified());
    let age = status.daemon.config_age_ms.map(Duration::from_millis);
    let staying = status.instances.iter().filter(|one| !one.leaving);
    Ok(Some(Daemon {
        pid,
        file_changed: changed.map_err(|error| format!("{}: {error}", config.file.display())),
        file_read: age.and_then(|age| now().checked_sub(age)),
        user: processes::user(pid),
        capabilities: processes::capabilities(pid),
        realtime: status.daemon.realtime,
        open_files: processes::open_files_max(pid),
        is_in_this_network: processes::is_in_this_network(pid),
        stale: status.daemon.stale,
        deaf: status
            .daemon
            .kernel
            .as_ref()
            .and_then(|kernel| kernel.error.clone()),
        overruns: status
            .daemon
            .kernel
            .as_ref()
            .map_or(0, |kernel| kernel.overruns),
        failed: status.instances.iter().filter_map(failed).collect(),
        instances: staying.map(|one| one.name.to_string()).collect(),
    }))
}

/// The last job of an instance, if it went wrong.
fn failed(status: &InstanceStatus) -> Option<FailedJob> {
    let job = status
        .last_job
        .as_ref()
        .filter(|job| job.action.changes_service())?;
    match job.result {
        ResultKind::Failed | ResultKind::Killed | ResultKind::TimedOut | ResultKind::NotStarted => {
            Some(FailedJob {
                job: job.id.to_string(),
                instance: status.name.to_string(),
                action: job.action,
                outcome: job.outcome.clone(),
            })
        }
        ResultKind::Done | ResultKind::Cancelled | ResultKind::Unseen => None,
    }
}

/// All other processes that call themselves keepstart, but for commands.
pub(super) fn others(own: Option<u32>) -> Vec<Other> {
    let processes = processes::named(&["keepstart", "keepserver"]);
    let processes = processes
        .into_iter()
        .filter(|process| Some(process.pid) != own);
    processes
        .filter_map(|process| {
            Some(Other {
                kind: kind(&process)?,
                pid: process.pid,
                command_line: process.words.join(" "),
            })
        })
        .collect()
}

/// What another keepstart is; `None`: no daemon.
fn kind(process: &Process) -> Option<OtherKind> {
    let pid = process.pid;
    let files = match processes::open_files(pid) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(OtherKind::Unseen(format!(
                "it may not be looked into: {error}"
            )));
        }
    };
    let is_lock = |file: &&PathBuf| file.file_name().is_some_and(|name| name == "lock");
    if let Some(runtime_dir) = files.iter().find(is_lock).and_then(|lock| lock.parent()) {
        return Some(daemon(runtime_dir).unwrap_or_else(OtherKind::Unseen));
    }
    // A command of this program holds no lock; what is executed by an interpreter is another program.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let is_this = program
        .file_name()
        .is_some_and(|name| name == "keepstart" || name == "keepserver");
    (!is_this).then_some(OtherKind::Foreign)
}

/// Asks another daemon for its file, and reads that.
fn daemon(runtime_dir: &Path) -> Result<OtherKind, String> {
    let unanswered = |error| format!("it does not answer: {:#}", anyhow::Error::from(error));
    let mut client = Client::connect(&runtime_dir.join("control")).map_err(unanswered)?;
    let status = client.status(None, PATIENCE).map_err(unanswered)?;
    let file = status.daemon.config;
    let loaded = config::load(&file)
        .map_err(|error| format!("its file {} has faults: {error}", file.display()))?;
    let instances = loaded
        .config
        .settings
        .instances
        .iter()
        .map(|instance| OtherInstance {
            name: instance.name.to_string(),
            addresses: instance.role.addresses.clone(),
            start: instance.start.run.to_string(),
        });
    Ok(OtherKind::Daemon {
        instances: instances.collect(),
        file,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the daemon says how long ago it read its file; the disk says at which time of day it was written"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

//! `stop`: tells the daemon to end and waits until its process is gone.

use std::path::Path;
use std::time::Duration;

use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::client::{ClientError, DaemonProcess};
use crate::control::protocol::{ErrorCode, Request};
use crate::control::status::InstanceStatus;
use crate::machine::job::Knowledge;
use crate::machine::settings::{InstanceSettings, Release};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the end may take beyond `stop-wait`: the threads, and the last lines of the log.
const MARGIN: Duration = Duration::from_secs(15);

/// `stop-wait` where the file cannot be read; ten minutes are longer than people wait.
const STOP_WAIT_UNKNOWN: Duration = Duration::from_mins(10);

/// How often a person is told what is waited for.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

pub(super) fn stop(out: Out, given: Option<&Path>) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = match target.connect() {
        Err(Failure::Told {
            code: Code::NoDaemon,
            ..
        }) => {
            out.line(&format!(
                "no daemon runs with {}: nothing to stop",
                target.file.display()
            ))?;
            return Ok(Code::Fine);
        }
        other => other?,
    };
    let daemon = client
        .daemon()
        .map_err(|error| Failure::of(Code::System, error))?;
    // What runs before the end is what the daemon knows best; without it the end is not held up.
    let services = services(&target).unwrap_or_default();
    client
        .ask(&Request::Stop)
        .map_err(|error| target.failure(error))?;
    match client.answer(PATIENCE) {
        // A daemon with nothing to wait for may be gone before its answer is, and one that is ending
        // already says so: what counts is that the process ends.
        Ok(_) | Err(ClientError::Closed | ClientError::Broken(_)) => {}
        Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Unavailable => {}
        Err(error) => return Err(target.failure(error)),
    }
    wait(out, &target, &daemon)?;
    out.line(&format!("stopped (process {})", daemon.pid()))?;
    if let Some(left) = left_running(&target, &services) {
        out.line(&left)?;
    }
    Ok(Code::Fine)
}

fn wait(out: Out, target: &Target, daemon: &DaemonProcess) -> Result<(), Failure> {
    let config = target.config.as_ref();
    let stop_wait = config.map_or(STOP_WAIT_UNKNOWN, |config| config.application.stop_wait);
    let patience = stop_wait + MARGIN;
    let mut waited = Duration::ZERO;
    while !daemon
        .wait(PROGRESS_EVERY)
        .map_err(|error| Failure::of(Code::System, error))?
    {
        waited += PROGRESS_EVERY;
        if waited >= patience {
            let pid = daemon.pid();
            let message = format!("keepstart: process {pid} has not ended within {patience:?}");
            return Err(Failure::told(Code::Unavailable, message));
        }
        out.progress(&format!(
            "waiting for the daemon to end, {} s of at most {} s: a running action is waited for",
            waited.as_secs(),
            patience.as_secs()
        ));
    }
    Ok(())
}

fn services(target: &Target) -> Option<Vec<InstanceStatus>> {
    let mut client = target.connect().ok()?;
    Some(client.status(None, PATIENCE).ok()?.instances)
}

/// Which services go on running, as the file says.
fn left_running(target: &Target, services: &[InstanceStatus]) -> Option<String> {
    let settings = &target.config.as_ref()?.settings.instances;
    let keeps = |instance: &&std::sync::Arc<InstanceSettings>| instance.on_exit == Release::Keep;
    let runs = |name: &str| {
        let found = services.iter().find(|status| status.name.as_str() == name);
        found.is_some_and(|status| status.service != Knowledge::Stopped)
    };
    let names: Vec<_> = settings
        .iter()
        .filter(keeps)
        .map(|instance| instance.name.as_str())
        .filter(|name| runs(name))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "left running, as the file says (on-exit: keep): {}",
            names.join(", ")
        )
    })
}

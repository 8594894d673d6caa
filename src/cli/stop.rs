//! `stop`: tells the daemon to end and waits until its process is gone.

use std::path::Path;
use std::time::Duration;

use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::client::{ClientError, DaemonProcess};
use crate::control::protocol::{ErrorCode, Request};
use crate::control::status::InstanceStatus;
use crate::machine::job::{Action, Knowledge};
use crate::machine::settings::Release;

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
    // What runs before the end is what the daemon knows best. One that does not even tell that takes no order.
    let services = services(&target)?;
    client
        .ask(&Request::Stop)
        .map_err(|error| target.failure(&client, error))?;
    match client.answer(PATIENCE) {
        // A daemon with nothing to wait for may be gone before its answer is, and one that is ending
        // already says so: what counts is that the process ends.
        Ok(_) | Err(ClientError::Closed | ClientError::Broken(_)) => {}
        Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Unavailable => {}
        Err(error) => return Err(target.failure(&client, error)),
    }
    wait(out, &target, &daemon)?;
    out.line(&format!("stopped (process {})", daemon.pid()))?;
    if let Some(left) = left_running(&services) {
        out.line(&left)?;
    }
    Ok(Code::Fine)
}

fn wait(out: Out, target: &Target, daemon: &DaemonProcess) -> Result<(), Failure> {
    let outline = target.outline.as_ref();
    let stop_wait = outline.map_or(STOP_WAIT_UNKNOWN, |outline| outline.stop_wait);
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

fn services(target: &Target) -> Result<Vec<InstanceStatus>, Failure> {
    // A daemon that is ending may be gone by now, and then there is nothing to tell.
    let Ok(mut client) = target.connect() else {
        return Ok(Vec::new());
    };
    match client.status(None, PATIENCE) {
        Ok(status) => Ok(status.instances),
        Err(error @ ClientError::TimedOut(_)) => Err(target.failure(&client, error)),
        Err(_) => Ok(Vec::new()),
    }
}

/// Which services go on running: the daemon knows what its file said when it read it.
fn left_running(services: &[InstanceStatus]) -> Option<String> {
    let kept = services.iter().filter_map(|status| {
        let is_kept = status.on_exit == Some(Release::Keep) && !status.leaving;
        let how = is_kept.then(|| how_left(status))??;
        Some(format!("{}{how}", status.name))
    });
    let names: Vec<_> = kept.collect();
    (!names.is_empty()).then(|| format!("left running (on-exit: keep): {}", names.join(", ")))
}

/// What is added to the name of a service that goes on running; `None`: it does not.
fn how_left(status: &InstanceStatus) -> Option<&'static str> {
    let job = status.job.as_ref().map(|job| job.action);
    match (job, status.service) {
        (Some(Action::Start), _) => Some(" (its start was under way)"),
        (Some(Action::Stop), _) => Some(" (its stop was under way)"),
        (Some(Action::IsRunning) | None, Knowledge::Stopped) => None,
        (Some(Action::IsRunning) | None, Knowledge::Running) => Some(""),
        (Some(Action::IsRunning) | None, Knowledge::Partly) => Some(" (in part)"),
        (Some(Action::IsRunning) | None, Knowledge::Maybe) => Some(" (perhaps: it is not known)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::samples::{time, view};
    use crate::control::status::Freshness;
    use crate::machine::job::{JobId, Means};
    use crate::machine::reason::Reason;
    use crate::machine::view::{InstanceView, JobView};

    fn instance(name: &str, change: impl FnOnce(&mut InstanceView)) -> InstanceStatus {
        let mut view = (*view(1, name)).clone();
        change(&mut view);
        InstanceStatus::of(&view, time(20_000), Freshness::Fresh)
    }

    fn with_job(view: &mut InstanceView, action: Action) {
        view.job = Some(JobView {
            job: JobId { life: 1, number: 2 },
            action,
            reason: Reason::RoleGained,
            started: time(19_000),
            pid: Some(77),
            means: Means::Process,
            adopted: false,
        });
    }

    #[test]
    fn what_is_left_is_what_the_daemon_keeps_and_what_may_run() {
        let services = [
            instance("down", |view| view.knowledge = Knowledge::Stopped),
            instance("ended", |view| {
                let settings = std::sync::Arc::make_mut(&mut view.settings);
                settings.on_exit = Release::Stop;
            }),
            instance("gone", |view| view.leaving = true),
            instance("up", |_| {}),
            instance("unclear", |view| view.knowledge = Knowledge::Maybe),
            instance("rising", |view| {
                view.knowledge = Knowledge::Stopped;
                with_job(view, Action::Start);
            }),
            instance("asked", |view| {
                view.knowledge = Knowledge::Stopped;
                with_job(view, Action::IsRunning);
            }),
        ];
        assert_eq!(
            left_running(&services).expect("a line"),
            "left running (on-exit: keep): up, unclear (perhaps: it is not known), rising (its start was under way)"
        );
        assert_eq!(left_running(&services[..3]), None);
    }
}

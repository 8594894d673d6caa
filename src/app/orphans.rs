//! What becomes of the jobs that earlier lives of the daemon have begun: taken up where their process is still there,
//! else noted as ended. Runs once, on the main thread, before the reactor.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::getuid;

use crate::action::{Candidate, Candidates, DaemonName, ProcessStart, age_of, find_process};
use crate::config::Config;
use crate::kill_points;
use crate::machine::Time;
use crate::machine::job::{Action, JobId};
use crate::machine::message::{Adopted, Identity, RestoredMap};
use crate::machine::reason::Reason;
use crate::machine::settings::{ActionSettings, InstanceName, InstanceSettings};
use crate::state::run_log::Process;
use crate::state::{Found, InFlight, RunLog, RunState};

use super::prepare::{monotonic, recorded};

/// The pidfd of each adopted job.
pub(super) type Orphans = BTreeMap<JobId, OwnedFd>;

/// Fills in what is still running or was interrupted; gives back the pidfds of what is adopted.
pub(super) fn take_up(
    config: &Config,
    run_log: &RunLog,
    run: &RunState,
    restored: &mut RestoredMap,
) -> Orphans {
    let lost = run_log.found() == Found::Lost;
    let is_unrecorded = |job: &InFlight| job.process.is_none();
    let candidates = if lost || run.in_flight.values().any(is_unrecorded) {
        look(config)
    } else {
        Candidates::default()
    };
    let mut orphans = Orphans::new();
    for job in run.in_flight.values() {
        kill_points::pass("earlier-job", "looked-for");
        let is_there = match (job.process, candidates.of(job.job)) {
            (Some(process), _) => {
                let process = (process.pid, ProcessStart(process.start_ticks));
                adopt(job, process, restored, &mut orphans)
            }
            // The script may have ended since, and this be what it has left behind.
            (None, Some(found)) => {
                let job = InFlight {
                    identity: Identity::Presumed,
                    ..job.clone()
                };
                adopt(&job, (found.pid, found.start), restored, &mut orphans)
            }
            (None, None) => false,
        };
        if !is_there {
            let instance = restored.entry(job.instance.clone()).or_default();
            instance.interrupted |= job.action.changes_service();
            recorded(run_log.ended(job.job));
        }
        kill_points::pass("earlier-job", "known");
    }
    if lost {
        let is_known = |one: &&Candidate| run.in_flight.contains_key(&one.job);
        for one in candidates.newest().filter(|one| !is_known(one)) {
            presume(one, config, run_log, restored, &mut orphans);
        }
    }
    orphans
}

/// The processes that say of themselves that they are jobs of this daemon, and may be: a job runs as the daemon's own
/// user, or as the one that the file says.
fn look(config: &Config) -> Candidates {
    let own = getuid().as_raw();
    Candidates::look(&DaemonName::of(&config.file), |instance, action, user| {
        let command = command(config, instance, action);
        let other = command.and_then(|command| command.process.user.as_ref());
        user == own || other.is_some_and(|other| other.uid == user)
    })
}

fn command<'a>(
    config: &'a Config,
    instance: &InstanceName,
    action: Action,
) -> Option<&'a ActionSettings> {
    let mut all = config.settings.instances.iter();
    let settings: &InstanceSettings = all.find(|one| one.name == *instance)?;
    settings.command(action).map(|command| &**command)
}

/// Takes a job up whose process is there; false where it is not.
fn adopt(
    job: &InFlight,
    (pid, start): (u32, ProcessStart),
    restored: &mut RestoredMap,
    orphans: &mut Orphans,
) -> bool {
    let Some(orphan) = find_process(pid, start) else {
        return false;
    };
    // The instance may have gone from the file; a reload may bring it back.
    let instance = restored.entry(job.instance.clone()).or_default();
    instance.adopted = Some(Adopted {
        job: job.job,
        action: job.action,
        role: job.role,
        epoch: job.epoch,
        reason: job.reason,
        pid,
        identity: job.identity,
        // The machine's time counts from the boot as well.
        started: Time::from_start(job.started_monotonic()),
        deadline: Time::from_start(job.deadline_monotonic),
    });
    orphans.extend(orphan.pidfd.map(|pidfd| (job.job, pidfd)));
    true
}

/// Takes up a process that looks like a job of which the record does not tell. Its time runs from when it began. One
/// that has outlived that would have been ended by the daemon that began it: it is rather what a script has left
/// running, so it is not waited for; but that a script ran is known now.
fn presume(
    found: &Candidate,
    config: &Config,
    run_log: &RunLog,
    restored: &mut RestoredMap,
    orphans: &mut Orphans,
) {
    let Candidate {
        job,
        instance,
        action,
        pid,
        ..
    } = found;
    let known = restored.entry(instance.clone()).or_default();
    if known.adopted.is_some() {
        // An instance has one job at a time, and the record has that one.
        return;
    }
    let timeout = command(config, instance, *action).map_or(Duration::ZERO, |one| one.timeout);
    let left = timeout.saturating_sub(age_of(found.start));
    if left.is_zero() {
        known.interrupted |= action.changes_service();
        tracing::warn!(
            "{instance}: the record of what runs is lost; process {pid} has the environment of {action} (job {job}), \
             and has outlived its timeout: it is taken for what {action} has left running, and left alone"
        );
        return;
    }
    tracing::warn!(
        "{instance}: the record of what runs is lost; process {pid} may be {action} (job {job}), so nothing is run \
         beside it until it ends, for at most {:.0} s; it is not signalled",
        left.as_secs_f64()
    );
    let (role, epoch) = found.serves;
    let job = InFlight {
        job: *job,
        instance: instance.clone(),
        action: *action,
        role,
        // Anybody's word, as far as it goes: it must not make the numbers run out.
        epoch: epoch.min(known.epoch),
        reason: Reason::Adopted,
        deadline_monotonic: monotonic() + left,
        timeout,
        identity: Identity::Presumed,
        process: Some(Process {
            pid: *pid,
            start_ticks: found.start.0,
        }),
    };
    let process = (*pid, found.start);
    if adopt(&job, process, restored, orphans) {
        // For the next life, which finds a record again.
        recorded(run_log.intent(job));
    }
}

//! What a daemon does before its first thread: take the lock, read what earlier lives left, and find the jobs
//! that still run. Runs once, on the main thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::action::{JobRecorder, ProcessStart, init_start};
use crate::clock::Clock;
use crate::config::Config;
use crate::machine::job::{Job, JobId};
use crate::machine::message::{Identity, RestoredMap};
use crate::machine::settings::InstanceName;
use crate::record::{Origin, crash};
use crate::state::run_log::Process;
use crate::state::{
    BootId, Epochs, Finding, InFlight, Lock, Paths, Pidfile, Registration, RunLog, RunLogError,
    SystemStart, restore,
};

use super::orphans::{self, Orphans};
use super::{AppError, Entered};

/// What earlier lives left, and what makes this life the only one.
pub(super) struct Prepared {
    pub(super) run_log: Arc<RunLog>,
    pub(super) epochs: Epochs,
    pub(super) restored: RestoredMap,
    /// The processes of the jobs in `restored` that are adopted.
    pub(super) orphans: Orphans,
    pub(super) pidfile: Option<Pidfile>,
    /// By which commands find this daemon.
    pub(super) registration: Rc<RefCell<Registration>>,
    pub(super) boot: BootId,
    /// Held until the process ends.
    pub(super) _locks: [Lock; 2],
}

/// Takes the locks and reads the state.
pub(super) fn prepare(
    config: &Config,
    paths: &Paths,
    entered: Entered,
) -> Result<Prepared, AppError> {
    for interference in paths.make_directories().map_err(AppError::Paths)? {
        tracing::warn!("{interference}");
    }
    // First, because the other locks are where the file says now: a daemon of it may have them elsewhere.
    let registration = register(config, paths, entered)?;
    let mut lock = Lock::acquire(&paths.lock()).map_err(AppError::Lock)?;
    // Two files may name the same state directory, and each would undo the other's epochs.
    let mut state_lock = Lock::acquire(&paths.state_lock()).map_err(AppError::Lock)?;
    let pidfile = config.application.pidfile.as_deref().map(Pidfile::create);
    let mut pidfile = pidfile.transpose().map_err(AppError::Lock)?;
    let unwritten = [lock.take_unwritten(), state_lock.take_unwritten()];
    let of_pidfile = pidfile.as_mut().and_then(Pidfile::take_unwritten);
    for unwritten in unwritten.into_iter().flatten().chain(of_pidfile) {
        let unwritten = anyhow::Error::from(unwritten);
        tracing::warn!("{unwritten:#}; the daemon runs all the same");
    }
    if let Err(error) = paths.remove_old_boots() {
        tracing::warn!(%error, "cannot remove what earlier boots left in the workspace");
    }
    match crash::take_up(&paths.crash()) {
        Ok(None) => {}
        Ok(Some(file)) => tracing::error!(
            "the daemon's last life ended by a panic; its last inputs are in {0}: keepstart replay {0}",
            file.display()
        ),
        Err(error) => tracing::warn!("cannot take up what a crashed daemon left: {error}"),
    }
    let boot = BootId::current().map_err(|error| AppError::Boot(Box::new(error)))?;
    let start = SystemStart {
        boot: boot.clone(),
        init_start_ticks: init_start().map(|start| start.0),
    };
    let (run_log, run, findings) = RunLog::open(&paths.run_log(), &start);
    let (mut epochs, finding) = Epochs::open(&paths.epochs(), &boot, now());
    for finding in findings.iter().chain(&finding) {
        say(finding);
    }
    let names = || {
        config
            .settings
            .instances
            .iter()
            .map(|instance| &instance.name)
    };
    let mut restored = restore(names(), &run, &epochs);
    reserve_epochs(names(), &mut epochs, &mut restored);
    let orphans = orphans::take_up(config, &run_log, &run, &mut restored);
    Ok(Prepared {
        run_log: Arc::new(run_log),
        epochs,
        restored,
        orphans,
        pidfile,
        registration: Rc::new(RefCell::new(registration)),
        boot,
        _locks: [lock, state_lock],
    })
}

/// Enters this daemon where commands look for it. One that cannot be entered runs all the same.
fn register(config: &Config, paths: &Paths, entered: Entered) -> Result<Registration, AppError> {
    match entered {
        Entered::No => return Ok(Registration::default()),
        Entered::Yes => {}
    }
    let (registration, troubles) =
        Registration::enter(&config.file, paths.uid(), paths.runtime_dir())
            .map_err(AppError::Lock)?;
    for trouble in troubles {
        let trouble = anyhow::Error::from(trouble);
        tracing::warn!(
            "{trouble:#}; so commands will not find this daemon any more once the file names other directories"
        );
    }
    Ok(registration)
}

/// Reserves the first block of every instance, so that the first transition has a number.
fn reserve_epochs<'a>(
    configured: impl Iterator<Item = &'a InstanceName>,
    epochs: &mut Epochs,
    restored: &mut RestoredMap,
) {
    let first: Vec<(InstanceName, u64)> = configured
        .filter_map(|name| restored.get_key_value(name))
        .map(|(name, one)| {
            (
                name.clone(),
                one.epoch.saturating_add(crate::machine::EPOCH_BLOCK),
            )
        })
        .collect();
    match epochs.reserve_many(first.iter().map(|(name, through)| (name, *through))) {
        Ok(()) => {
            for (name, through) in first {
                if let Some(one) = restored.get_mut(&name) {
                    one.epoch_reserved = through;
                }
            }
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!("{error:#}; epochs may repeat after a restart");
        }
    }
}

/// Notes jobs in the run record, on the spawner threads.
pub(super) struct Recorder(pub(super) Arc<RunLog>);

impl JobRecorder for Recorder {
    fn intent(&self, job: &Job) {
        recorded(self.0.intent(InFlight {
            job: job.id,
            instance: job.settings.name.clone(),
            action: job.action,
            role: job.role,
            epoch: job.epoch,
            reason: job.reason,
            deadline_monotonic: monotonic() + job.command.timeout,
            timeout: job.command.timeout,
            identity: Identity::Recorded,
            process: None,
        }));
    }

    fn spawned(&self, job: &Job, pid: u32, started: ProcessStart) {
        recorded(self.0.spawned(
            job.id,
            Process {
                pid,
                start_ticks: started.0,
            },
        ));
    }

    fn not_spawned(&self, job: &Job) {
        recorded(self.0.not_spawned(job.id));
    }
}

/// Which daemon a recording is of.
pub(super) fn origin(boot: &BootId, life: u32, clock: Clock) -> Origin {
    let since_1970 = now().duration_since(std::time::UNIX_EPOCH);
    let zero = since_1970
        .unwrap_or_default()
        .saturating_sub(clock.now().since_start());
    Origin {
        boot_id: boot.to_string(),
        life,
        unix_ns: u64::try_from(zero.as_nanos()).unwrap_or(u64::MAX),
    }
}

/// A random number for this life of the daemon.
pub(super) fn life() -> u32 {
    let id = JobId { life: 0, number: 0 };
    // The standard library seeds its hashers from the kernel's random numbers.
    let hasher = std::collections::hash_map::RandomState::new();
    let number = std::hash::BuildHasher::hash_one(&hasher, (id, std::process::id()));
    u32::try_from(number & 0xffff_ffff).unwrap_or(1)
}

pub(super) fn recorded(result: Result<(), RunLogError>) {
    if let Err(error) = result {
        let error = anyhow::Error::from(error);
        tracing::error!("{error:#}; a restart of the daemon would know less");
    }
}

fn say(finding: &Finding) {
    tracing::error!("{finding}");
}

/// `CLOCK_MONOTONIC`, which all processes of this boot share.
pub(super) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the epochs' floor is the time of day at start-up, and recordings tell it"
)]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

//! The invariants, checked after every step by what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::job::{Action, Job, JobSignal, Knowledge, Role};
use keepstart::machine::message::{Event, Output, RestoredMap};
use keepstart::machine::reason::{Cause, Next, Reason};
use keepstart::machine::settings::{InstanceName, InstanceSettings, NicNeverSeen, Release};
use keepstart::machine::view::InstanceView;

use crate::told::Level;
use crate::world::{Daemon, Verdict, World};

/// A start that has run for this long has given its place up.
const PLACE_HELD: Duration = Duration::from_secs(5);
/// The longest grace of an is-running.
const CHECK_GRACE_MAX: Duration = Duration::from_secs(1);
/// More jobs than this of one instance in ten seconds, with nothing new to it, are a busy loop.
const JOBS_IN_TEN_SECONDS: u32 = 60;

/// What has to be remembered of one life to check it.
#[derive(Debug, Default)]
pub(crate) struct LifeCheck {
    reserved: BTreeMap<InstanceName, u64>,
    exhausted: BTreeMap<InstanceName, u64>,
    /// Since when jobs are counted, and how many there were.
    jobs: BTreeMap<InstanceName, (Time, u32)>,
    /// Instances that lost their role in this step.
    lost: Vec<InstanceName>,
    /// Instances whose last job is a start that was cut short or failed.
    pub(crate) half_started: BTreeSet<InstanceName>,
    /// Instances whose last job is an is-running that nobody has answered.
    pub(crate) unanswered: BTreeSet<InstanceName>,
}

impl LifeCheck {
    pub(crate) fn new(restored: &RestoredMap) -> Self {
        let of = |(name, one): (&InstanceName, &_)| (name.clone(), epoch_reserved(one));
        Self {
            reserved: restored.iter().map(of).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn reserved(&mut self, name: &InstanceName, through: u64) {
        let entry = self.reserved.entry(name.clone()).or_default();
        *entry = through.max(*entry);
    }

    /// Something new that may cause jobs.
    pub(crate) fn stimulated(&mut self) {
        self.jobs.clear();
    }
}

fn epoch_reserved(one: &keepstart::machine::message::Restored) -> u64 {
    one.epoch_reserved
}

impl World {
    /// Before an output is carried out.
    pub(crate) fn check_output(&mut self, output: &Output) -> Verdict {
        match output {
            Output::Start(job) => self.check_start(job),
            Output::Signal {
                job,
                signal: JobSignal::Kill,
            } => {
                let process = self.scripts.processes.get(job);
                match process.and_then(|one| one.term_at) {
                    Some(_) => Ok(()),
                    None => Err(format!("{job} is killed without having been told to end")),
                }
            }
            Output::Event(Event::Transition {
                instance,
                to,
                epoch,
                ..
            }) => self.check_transition(instance, *to, *epoch),
            Output::Event(Event::EpochsExhausted { instance, epoch }) => {
                if let Some(daemon) = &mut self.daemon {
                    daemon.check.exhausted.insert(instance.clone(), *epoch);
                }
                Ok(())
            }
            Output::Finished if self.scripts.processes.values().any(|one| !self.strays(one)) => {
                Err("the shutdown is called complete while a job runs".into())
            }
            Output::Watch(_)
            | Output::Subscribe
            | Output::Dump
            | Output::Signal { .. }
            | Output::ReserveEpochs { .. }
            | Output::Remember { .. }
            | Output::Event(_)
            | Output::Changed(_)
            | Output::Gone(_)
            | Output::Finished => Ok(()),
        }
    }

    fn check_transition(&mut self, name: &InstanceName, to: Role, epoch: u64) -> Verdict {
        if !self.disk.uses(name, epoch) {
            return Err(format!("epoch {epoch} of {name} was used before"));
        }
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        daemon.check.jobs.remove(name);
        if to == Role::Backup {
            daemon.check.lost.push(name.clone());
        }
        let reserved = daemon.check.reserved.get(name).copied().unwrap_or(0);
        // The first one may be faster than the disk.
        if epoch > reserved + 1 && daemon.check.exhausted.get(name) != Some(&epoch) {
            return Err(format!(
                "epoch {epoch} of {name} is used, but only {reserved} is on disk"
            ));
        }
        Ok(())
    }

    fn check_start(&mut self, job: &Job) -> Verdict {
        let (now, name) = (self.now, &job.settings.name);
        if let Some((other, _)) = self.scripts.of(name) {
            return Err(format!("{} begins while {other} of {name} runs", job.id));
        }
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        if daemon.finished {
            return Err(format!("{} begins after the shutdown was complete", job.id));
        }
        let counted = daemon.check.jobs.entry(name.clone()).or_insert((now, 0));
        if now.since(counted.0) > Duration::from_secs(10) {
            *counted = (now, 0);
        }
        counted.1 += 1;
        if counted.1 > JOBS_IN_TEN_SECONDS {
            return Err(format!(
                "{name} has begun {} jobs in ten seconds",
                counted.1
            ));
        }
        if daemon.check.half_started.remove(name)
            && job.role == Role::Backup
            && job.action != Action::Stop
        {
            return Err(format!(
                "{name} was half started and is not stopped on the BACKUP"
            ));
        }
        if daemon.ending {
            let one = self.settings.instances.iter().find(|one| one.name == *name);
            let stays = one.is_some_and(|one| one.on_exit == Release::Keep);
            if stays || job.action == Action::Start {
                return Err(format!(
                    "{} of {name} begins while the daemon ends",
                    job.action
                ));
            }
        }
        if job.reason == Reason::UnknownTooLong && daemon.told.waits_in_good_hope(name, now) {
            return Err(format!(
                "{name} is stopped before the kernel was asked in vain"
            ));
        }
        if job.action != Action::Start {
            return Ok(());
        }
        if daemon.check.unanswered.contains(name) && job.settings.is_running.is_some() {
            return Err(format!("{name} is started after is-running gave no answer"));
        }
        let level = daemon.told.levels.get(name).map(|one| one.says);
        if job.role != Role::Master || level != Some(Role::Master) {
            return Err(format!(
                "{name} is started as {}, and the level is {level:?}",
                job.role
            ));
        }
        let young = self.young_starts();
        let limit = usize::try_from(self.settings.starts_at_once.get()).unwrap_or(usize::MAX);
        if young >= limit {
            return Err(format!(
                "{name} is started beside {young} others, the limit is {limit}"
            ));
        }
        Ok(())
    }

    /// After a script has ended: a start or stop that the role still wants is verified at once.
    pub(crate) fn check_verified(&self, name: &InstanceName, action: Action) -> Verdict {
        let (Some(daemon), Some(one)) = (&self.daemon, self.instance(name)) else {
            return Ok(());
        };
        let mut views = daemon.machine.views(self.now);
        let Some(view) = views.find(|view| view.name == *name) else {
            return Ok(());
        };
        let serves = match action {
            Action::Start => view.role == Role::Master,
            Action::Stop => view.role == Role::Backup,
            Action::IsRunning => false,
        };
        let held = matches!(view.next, Next::LossHeld { .. });
        let verified = view.job.as_ref().map(|job| job.action) == Some(Action::IsRunning);
        if one.is_running.is_none() || !serves || held || daemon.ending || verified {
            return Ok(());
        }
        Err(format!("{action} of {name} is not verified: {view:#?}"))
    }

    /// The present definition of an instance.
    pub(crate) fn instance(&self, name: &InstanceName) -> Option<&InstanceSettings> {
        let of_name = |one: &&Arc<InstanceSettings>| one.name == *name;
        self.settings
            .instances
            .iter()
            .find(of_name)
            .map(|one| &**one)
    }

    /// Whether a script of an earlier life belongs to no instance of the file: it is waited for and shown nowhere.
    pub(crate) fn strays(&self, process: &crate::scripts::Process) -> bool {
        process.adopted && self.instance(&process.instance).is_none()
    }

    /// Starts that hold a place.
    pub(crate) fn young_starts(&self) -> usize {
        let life = self.lives;
        let young = |one: &&crate::scripts::Process| {
            one.action == Action::Start
                && one.life == life
                && !one.adopted
                && self.now.since(one.begun) < PLACE_HELD
        };
        self.scripts.processes.values().filter(young).count()
    }

    /// After all outputs of a step have been carried out.
    pub(crate) fn check_state(&mut self, outputs: &[Output]) -> Verdict {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let lost = std::mem::take(&mut daemon.check.lost);
        if daemon
            .machine
            .next_deadline()
            .is_some_and(|at| at < self.now)
        {
            return Err("the next deadline is past after a drain".into());
        }
        let views: Vec<_> = daemon.machine.views(self.now).collect();
        daemon.names = views
            .iter()
            .map(|view| (view.id, view.name.clone()))
            .collect();
        let Some(daemon) = &self.daemon else {
            return Ok(());
        };
        let running = views.iter().filter(|view| view.job.is_some()).count();
        if running != daemon.machine.jobs_running() {
            return Err(format!(
                "{} jobs are counted, {running} run",
                daemon.machine.jobs_running()
            ));
        }
        for view in &views {
            let lost = lost.contains(&view.name);
            self.check_view(daemon, view, lost)
                .map_err(|fault| format!("{}: {fault}\n{view:#?}", view.name))?;
        }
        self.check_processes(daemon, &views)?;
        let gone = |output: &Output| matches!(output, Output::Gone(_));
        for one in self
            .settings
            .instances
            .iter()
            .filter(|_| !outputs.iter().any(gone))
        {
            if !views.iter().any(|view| view.name == one.name) {
                return Err(format!("{} is not there", one.name));
            }
        }
        Ok(())
    }

    /// Every script has a view that shows it, and none outlives its time unsignalled.
    fn check_processes(&self, daemon: &Daemon, views: &[InstanceView]) -> Verdict {
        for (job, one) in &self.scripts.processes {
            let of_it = |view: &InstanceView| view.name == one.instance;
            if self.strays(one) && !views.iter().any(of_it) {
                continue;
            }
            let shown = |view: &InstanceView| {
                view.name == one.instance && view.job.as_ref().is_some_and(|its| its.job == *job)
            };
            if !views.iter().any(shown) {
                return Err(format!(
                    "{job} of {} runs and no view shows it",
                    one.instance
                ));
            }
            let grace = match one.action {
                Action::IsRunning => one.kill_after.min(CHECK_GRACE_MAX),
                Action::Start | Action::Stop => one.kill_after,
            };
            // At the very moment the timer may still be to come.
            let late = match one.term_at {
                None => one.deadline < self.now,
                Some(at) => !one.killed && !one.adopted && at + grace < self.now,
            };
            if late && !daemon.finished {
                return Err(format!("{job} outlives its time: {one:?}"));
            }
        }
        Ok(())
    }

    fn check_view(&self, daemon: &Daemon, view: &InstanceView, lost: bool) -> Verdict {
        self.check_next(daemon, view)?;
        let (Some(one), Some(level)) = (
            self.settings
                .instances
                .iter()
                .find(|one| one.name == view.name),
            daemon.told.levels.get(&view.name),
        ) else {
            return if view.leaving {
                Ok(())
            } else {
                Err("it was removed and is not leaving".into())
            };
        };
        if view.leaving {
            return Err("it leaves and is in the configuration".into());
        }
        let shown = level_of(&view.cause, one);
        if shown != level.says {
            return Err(format!("was told {:?} and shows {shown}", level.says));
        }
        self.check_role(*level, view)?;
        let knows = one.is_running.is_none() && !self.excused.contains(&view.name);
        let rests = matches!(view.next, Next::Content { .. });
        let runs = self.scripts.runs(&view.name);
        if knows && rests && (view.knowledge == Knowledge::Running) != runs {
            return Err(format!("runs is {runs}, of which nobody knows"));
        }
        if lost && !daemon.ending {
            check_loss(view)?;
        }
        Ok(())
    }

    /// Fast down, slow up, no waiting when calm.
    fn check_role(&self, level: Level, view: &InstanceView) -> Verdict {
        let for_ = self.now.since(level.since);
        let right = match (level.says, view.role) {
            (Role::Unknown, role) => role == Role::Unknown,
            (Role::Backup, Role::Backup) | (Role::Master, Role::Master) => true,
            (Role::Backup, Role::Master) => {
                !level.hold_on_loss.is_zero() && for_ <= level.hold_on_loss
            }
            (Role::Backup, Role::Unknown) => false,
            (Role::Master, Role::Backup | Role::Unknown) => !level.calm && for_ <= level.window,
        };
        if right {
            Ok(())
        } else {
            Err(format!(
                "believes {} after {for_:?} of {level:?}",
                view.role
            ))
        }
    }
}

/// A loss is acted on at once.
fn check_loss(view: &InstanceView) -> Verdict {
    let ending = matches!(view.next, Next::JobEnding { .. });
    let acted = match view.job.as_ref().map(|job| job.action) {
        None => view.knowledge == Knowledge::Stopped,
        Some(Action::Stop) => true,
        Some(Action::Start) => ending || matches!(view.next, Next::JobOverdue { .. }),
        Some(Action::IsRunning) => ending || view.knowledge == Knowledge::Stopped,
    };
    if acted {
        Ok(())
    } else {
        Err("lost its role and does nothing".into())
    }
}

/// The level that a cause stands for.
fn level_of(cause: &Cause, one: &InstanceSettings) -> Role {
    match cause {
        Cause::NotLookedYet | Cause::KernelSilent | Cause::NicNeverSeen { .. } => Role::Unknown,
        Cause::VipPresent { .. } => Role::Master,
        Cause::VipAbsent { .. } | Cause::VipUnusable { .. } => Role::Backup,
        Cause::NicAbsent { .. } => match one.role.nic_never_seen {
            NicNeverSeen::Unknown | NicNeverSeen::Backup => Role::Backup,
        },
    }
}

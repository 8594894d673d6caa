//! The invariants, checked after every step by what can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::job::{Action, InstanceId, JobSignal, Knowledge, Role};
use keepstart::machine::message::{Event, Output, RestoredMap};
use keepstart::machine::reason::{Cause, Next};
use keepstart::machine::settings::{InstanceName, InstanceSettings, NicNeverSeen};
use keepstart::machine::view::InstanceView;
use keepstart::timeline::Timeline;

use crate::scripts::Service;
use crate::tally::Kind;
use crate::world::{Daemon, Verdict, World};

/// The longest grace of an is-running.
const CHECK_GRACE_MAX: Duration = Duration::from_secs(1);

/// A role as it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) role: Role,
    pub(crate) epoch: u64,
    pub(crate) at: Time,
}

/// What has an age of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    cause: (Cause, Time),
    knowledge: (Knowledge, Time),
}

/// What has to be remembered of one life to check it.
#[derive(Debug, Default)]
pub(crate) struct LifeCheck {
    /// What became of each change of role, as the events told it.
    pub(crate) timeline: Timeline,
    reserved: BTreeMap<InstanceName, u64>,
    /// Jobs that were begun in this step, and what they serve.
    pub(crate) begun: Vec<(InstanceName, Role, u64)>,
    /// The last transition of each instance.
    pub(crate) last: BTreeMap<InstanceName, Told>,
    /// Since when a flapping gain is held back, and for how long at most.
    pub(crate) flapping: BTreeMap<InstanceName, (Time, Duration)>,
    /// What was shown last, and since when.
    shown: BTreeMap<InstanceId, Shown>,
    exhausted: BTreeMap<InstanceName, u64>,
    /// Since when jobs are counted, and how many there were.
    pub(crate) jobs: BTreeMap<InstanceName, (Time, u32)>,
    /// Instances that lost their role in this step.
    lost: Vec<InstanceName>,
    /// Instances whose last job is a start that was cut short or failed.
    pub(crate) half_started: BTreeSet<InstanceName>,
    /// Instances that have begun no job since one of their units was said to have changed.
    pub(crate) hinted: BTreeSet<InstanceName>,
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

    /// An age begins when the thing changes, and then only.
    fn check_ages(&mut self, view: &InstanceView) -> Verdict {
        let new = Shown {
            cause: (view.cause.clone(), view.cause_since),
            knowledge: (view.knowledge, view.knowledge_since),
        };
        let Some(old) = self.shown.insert(view.id, new.clone()) else {
            return Ok(());
        };
        let begins =
            |same: bool, before: Time, now: Time| now == if same { before } else { view.at };
        let cause = begins(old.cause.0 == new.cause.0, old.cause.1, new.cause.1);
        let knowledge = begins(
            old.knowledge.0 == new.knowledge.0,
            old.knowledge.1,
            new.knowledge.1,
        );
        if cause && knowledge {
            Ok(())
        } else {
            Err(format!("an age is not true: {old:?}, then {new:?}"))
        }
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
                ..
            } => {
                let process = self.scripts.processes.get(job);
                match process.and_then(|one| one.term_at) {
                    Some(_) => Ok(()),
                    None => Err(format!("{job} is killed without having been told to end")),
                }
            }
            Output::Event(event) => self.check_event(event),
            Output::Finished if self.scripts.processes.values().any(|one| !self.strays(one)) => {
                Err("the shutdown is called complete while a job runs".into())
            }
            Output::Watch(_)
            | Output::WatchUnits(_)
            | Output::Subscribe
            | Output::Dump
            | Output::Signal { .. }
            | Output::ReserveEpochs { .. }
            | Output::Remember { .. }
            | Output::RememberNic { .. }
            | Output::LetGo { .. }
            | Output::Changed(_)
            | Output::Gone(_)
            | Output::Finished => Ok(()),
        }
    }

    fn check_event(&mut self, event: &Event) -> Verdict {
        if let Event::Transition {
            instance,
            to,
            epoch,
            decided,
            ..
        } = event
        {
            let (role, epoch, at) = (*to, *epoch, *decided);
            return self.check_transition(instance, Told { role, epoch, at });
        }
        if let (Event::EpochsExhausted { instance, epoch }, Some(daemon)) =
            (event, &mut self.daemon)
        {
            daemon.check.exhausted.insert(instance.clone(), *epoch);
        }
        Ok(())
    }

    fn check_transition(&mut self, name: &InstanceName, told: Told) -> Verdict {
        let Told {
            role: to, epoch, ..
        } = told;
        if !self.disk.uses(name, epoch) {
            return Err(format!("epoch {epoch} of {name} was used before"));
        }
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        if to == Role::Master {
            let held = daemon.check.flapping.remove(name);
            self.check_gain(name, held)?;
        }
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        daemon.check.jobs.remove(name);
        daemon.check.last.insert(name.clone(), told);
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

    /// After all outputs of a step have been carried out.
    pub(crate) fn check_state(&mut self, outputs: &[Output]) -> Verdict {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let lost = std::mem::take(&mut daemon.check.lost);
        let begun = std::mem::take(&mut daemon.check.begun);
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
        for view in &views {
            daemon.check.check_ages(view)?;
        }
        self.note_flapping(&views);
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
        for (name, role, epoch) in begun {
            let mut of_it = views.iter().filter(|view| view.name == name);
            // A newer wish supersedes the older: nothing is begun for what is no longer so.
            if !of_it.any(|view| (view.role, view.epoch) == (role, epoch)) {
                return Err(format!(
                    "a job of {name} serves {role} of epoch {epoch}, and not {views:#?}"
                ));
            }
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
        self.count_view(view);
        self.check_said(daemon, view)?;
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
        self.check_role(daemon, *level, view)?;
        let knows = one.is_running.is_none() && !self.excused.contains(&view.name);
        let rests = matches!(view.next, Next::Content { .. });
        let runs = self.scripts.service(&view.name) != Service::Stopped;
        if knows && rests {
            self.tally.count(Kind::CheckedKnows);
            if (view.knowledge == Knowledge::Running) != runs {
                return Err(format!("runs is {runs}, of which nobody knows"));
            }
        }
        if rests && one.is_running.is_some() && daemon.check.hinted.contains(&view.name) {
            return Err("a unit has changed since it was asked, and it is content".into());
        }
        if lost && !daemon.ending {
            self.tally.count(Kind::CheckedLoss);
            check_loss(view)?;
        }
        Ok(())
    }
}

/// A loss is acted on at once.
fn check_loss(view: &InstanceView) -> Verdict {
    let ending = matches!(view.next, Next::JobEnding { .. });
    if matches!(view.next, Next::JobPresumed { .. }) {
        // It may be a stranger: nothing is done to it, and nothing beside it.
        return Ok(());
    }
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
        Cause::VipAbsent { .. }
        | Cause::VipElsewhere { .. }
        | Cause::NoVipPresent { .. }
        | Cause::VipUnusable { .. } => Role::Backup,
        Cause::NicAbsent { .. } => match one.role.nic_never_seen {
            NicNeverSeen::Unknown | NicNeverSeen::Backup => Role::Backup,
        },
    }
}

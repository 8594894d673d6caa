//! What must be true of a job when it begins, and of what follows one that is done.

use std::time::Duration;

use keepstart::machine::job::{Action, Job, Role};
use keepstart::machine::reason::{Next, Reason};
use keepstart::machine::settings::{InstanceName, Release};

use crate::tally::Kind;
use crate::world::{Verdict, World};

/// A start that has run for this long has given its place up.
const PLACE_HELD: Duration = Duration::from_secs(5);
/// More jobs than this of one instance in ten seconds, with nothing new to it, are a busy loop.
const JOBS_IN_TEN_SECONDS: u32 = 60;

impl World {
    /// Before a job is begun.
    pub(crate) fn check_start(&mut self, job: &Job) -> Verdict {
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
        daemon.check.hinted.remove(name);
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
        daemon.check.begun.push((name.clone(), job.role, job.epoch));
        let half_started = daemon.check.half_started.remove(name);
        if half_started {
            self.tally.count(Kind::CheckedHalfStarted);
        }
        if half_started && job.role == Role::Backup && job.action != Action::Stop {
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
        if daemon.check.unanswered.contains(name) {
            self.tally.count(Kind::CheckedUnanswered);
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
        if one.is_running.is_none() || !serves || held || daemon.ending {
            return Ok(());
        }
        if verified {
            self.tally.count(Kind::CheckedVerified);
            return Ok(());
        }
        Err(format!("{action} of {name} is not verified: {view:#?}"))
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
}

//! Carrying an instance's plan out: jobs begun, timed and cancelled. Pure; the orders go to the outbox.

use std::sync::Arc;
use std::time::Duration;

use super::instance::{Instance, Phase, Plan, Rest, Running, Wish};
use super::job::{Action, Exit, Job, JobSignal, Knowledge, LastJob, Outcome};
use super::judge;
use super::message::{Event, Identity, Output};
use super::reason::Reason;
use super::shared::Shared;
use super::time::Time;
use super::timers::InstanceTimer;

/// A start that runs longer than this gives its place to another.
const PLACE_HELD_MAX: Duration = Duration::from_secs(5);
/// A cancelled is-running has nothing to clean up, so it is killed after this, or earlier where the file
/// says so.
const CHECK_KILL_AFTER_MAX: Duration = Duration::from_secs(1);
/// How many audits' is-running may run at once over all instances.
const AUDITS_AT_ONCE: usize = 8;
/// An audit that finds no place among them comes again after this.
const AUDIT_POSTPONED: Duration = Duration::from_secs(1);
impl Instance {
    /// One of this instance's timers is due.
    pub(crate) fn timeout(&mut self, timer: InstanceTimer, shared: &mut Shared, now: Time) {
        match timer {
            InstanceTimer::Role => {
                let step = self.role.timeout(now);
                self.step(step, shared, now);
            }
            InstanceTimer::Job => self.job_timeout(shared, now),
            InstanceTimer::Place => shared.places.release(self.id),
            InstanceTimer::Retry | InstanceTimer::UnknownStop => self.settle(shared, now),
            InstanceTimer::Audit => self.audit_due(shared, now),
            InstanceTimer::Report => self.report(shared, now),
        }
    }

    /// The regular is-running: bounded in number over all instances, so that audits are never a burst.
    fn audit_due(&mut self, shared: &mut Shared, now: Time) {
        let full = shared.audits.len() >= AUDITS_AT_ONCE;
        let next = if full {
            AUDIT_POSTPONED
        } else {
            self.settings.audit_every
        };
        shared.set_timer(self.id, InstanceTimer::Audit, Some(now + next));
        if !full {
            self.audit(Reason::Audit, shared);
            self.settle(shared, now);
        }
    }

    /// Asks is-running anew where nothing is under way. A start that waits for its place has been asked for
    /// already, and would lose its turn.
    pub(crate) fn audit(&mut self, reason: Reason, shared: &Shared) {
        let waits = self.retry.until.is_some() || shared.places.before(self.id).is_some();
        if self.job.is_none() && self.ask.is_none() && !waits && !shared.ending {
            self.ask = Some(reason);
        }
    }

    /// A unit of the service has changed its state, or may have. What a start or stop does to it is asked when that
    /// has ended; a question that is under way may have been answered before the change, so it is asked again.
    pub(crate) fn unit_changed(&mut self, shared: &mut Shared, now: Time) {
        if let Some(job) = &mut self.job {
            job.outdated = true;
        }
        self.audit(Reason::UnitChanged, shared);
        self.settle(shared, now);
    }

    /// Brings what runs in line with the plan, and the timers with both.
    pub(crate) fn settle(&mut self, shared: &mut Shared, now: Time) {
        if self.job.is_some() {
            self.weigh_running_job(shared, now);
        } else {
            self.carry_out(shared, now);
        }
        let id = self.id;
        shared.set_timer(id, InstanceTimer::Role, self.role.deadline());
        shared.set_timer(id, InstanceTimer::Job, self.job_deadline());
        let waiting = self
            .retry
            .until
            .filter(|at| *at > now && self.job.is_none());
        shared.set_timer(id, InstanceTimer::Retry, waiting);
        let unknown = self.unknown_stop_at().filter(|at| *at > now);
        shared.set_timer(id, InstanceTimer::UnknownStop, unknown);
        shared.outbox.changed(id);
    }

    /// Begins what the plan says, if it says anything.
    fn carry_out(&mut self, shared: &mut Shared, now: Time) {
        match self.plan(shared.ending, now) {
            Plan::Run(Action::Start, reason) => {
                if shared.places.take(self.id) {
                    let at = Some(now + PLACE_HELD_MAX);
                    shared.set_timer(self.id, InstanceTimer::Place, at);
                    self.begin(Action::Start, reason, shared, now);
                }
            }
            Plan::Run(action @ (Action::Stop | Action::IsRunning), reason) => {
                shared.places.withdraw(self.id);
                self.begin(action, reason, shared, now);
            }
            Plan::Wait(_) => {
                shared.places.withdraw(self.id);
                self.acted |= self.retry.until.is_none();
                self.tell_rest(shared, now);
            }
        }
    }

    /// Tells once that all that was begun is complete.
    fn tell_rest(&mut self, shared: &mut Shared, now: Time) {
        if self.rest == Rest::Told || !self.is_at_rest(shared.ending, now) {
            return;
        }
        self.rest = Rest::Told;
        shared.outbox.event(Event::Settled {
            instance: self.settings.name.clone(),
            role: self.role.role(),
            epoch: self.epoch,
            knowledge: self.knowledge,
            at: now,
        });
    }

    fn begin(&mut self, action: Action, reason: Reason, shared: &mut Shared, now: Time) {
        // The plan asks is-running only where the file has one; start and stop always exist.
        let Some(command) = self.settings.command(action).cloned() else {
            return;
        };
        let id = shared.next_job();
        // A wait that is over does not excuse the next failure from a longer one.
        self.retry.until = self.retry.until.filter(|at| *at > now);
        match action {
            Action::Start | Action::Stop => {
                self.acted = true;
                self.rest = Rest::Owed;
            }
            Action::IsRunning => {
                self.ask = None;
                if matches!(reason, Reason::Audit) {
                    shared.audits.insert(self.id);
                }
            }
        }
        self.job = Some(Box::new(Running {
            id,
            action,
            reason,
            epoch: self.epoch,
            role: self.role.role(),
            started: now,
            spawned: None,
            pid: None,
            means: command.run.means(),
            adopted: false,
            identity: Identity::Recorded,
            outdated: false,
            timeout: command.timeout,
            kill_after: command.kill_after,
            phase: Phase::Running {
                deadline: now + command.timeout,
                cancel_at: None,
            },
        }));
        shared.jobs.insert(id, self.id);
        shared.outbox.event(Event::JobStarted {
            instance: self.settings.name.clone(),
            job: id,
            action,
            command: command.run.to_string(),
            epoch: self.epoch,
            role: self.role.role(),
            reason,
            at: now,
        });
        shared.outbox.act(Output::Start(Box::new(Job {
            id,
            instance: self.id,
            settings: self.settings.clone(),
            action,
            command,
            role: self.role.role(),
            previous_role: self.previous_role,
            epoch: self.epoch,
            reason,
        })));
    }

    /// Looks whether the running job still serves what is wanted.
    fn weigh_running_job(&mut self, shared: &mut Shared, now: Time) {
        let wish = self.wish(shared.ending, now);
        let after = self.settings.start_cancel_after;
        let (knowledge, epoch) = (self.knowledge, self.epoch);
        let Some(job) = &mut self.job else { return };
        let Phase::Running { cancel_at, .. } = &mut job.phase else {
            return;
        };
        match job.identity {
            Identity::Recorded => {}
            // Whatever the role wants by now: it may be a stranger, and it ends by itself or is let go of.
            Identity::Presumed => return,
        }
        let against = match (job.action, wish) {
            (Action::Start, Wish::Rest(_)) | (Action::Stop, Wish::Run) => Some(after),
            // The stop that is due does not wait for an answer that cannot change it. A question of an earlier
            // life served another transition, even where its number has come again.
            (Action::IsRunning, Wish::Rest(_))
                if knowledge != Knowledge::Stopped && (job.adopted || job.epoch != epoch) =>
            {
                Some(Duration::ZERO)
            }
            (Action::Start | Action::IsRunning, Wish::Run)
            | (Action::Stop | Action::IsRunning, Wish::Rest(_))
            | (_, Wish::Hold) => None,
        };
        match against {
            // At the end of the daemon nobody is left to stop what a start has done after all. A stop that is wanted
            // again is let finish.
            None if shared.ending && job.action == Action::Start => {}
            None => *cancel_at = None,
            Some(span) => {
                let at = *cancel_at.get_or_insert(now + span);
                if at <= now {
                    self.end_job(Outcome::Cancelled, shared, now);
                }
            }
        }
    }

    fn job_timeout(&mut self, shared: &mut Shared, now: Time) {
        let Some(job) = &mut self.job else { return };
        match &mut job.phase {
            Phase::Running {
                deadline,
                cancel_at,
            } => {
                if *deadline <= now && job.identity == Identity::Presumed {
                    self.let_go(shared, now);
                } else if *deadline <= now {
                    let timeout = job.timeout;
                    self.end_job(Outcome::TimedOut { timeout }, shared, now);
                } else if cancel_at.is_some_and(|at| at <= now) {
                    self.end_job(Outcome::Cancelled, shared, now);
                }
            }
            Phase::Ending { because, kill_at } if kill_at.is_some_and(|at| at <= now) => {
                *kill_at = None;
                let because = because.clone();
                self.signal(JobSignal::Kill, because, shared, now);
            }
            Phase::Ending { .. } => {}
        }
        self.settle(shared, now);
    }

    /// No longer waits for a process that is only presumed to be the job: the job would have been told to end by now,
    /// and this one may be what it has left behind. What came of the job nobody saw.
    fn let_go(&mut self, shared: &mut Shared, now: Time) {
        let Some(job) = &self.job else { return };
        shared.outbox.act(Output::LetGo {
            job: job.id,
            instance: self.settings.name.clone(),
            action: job.action,
            pid: job.pid,
        });
        self.ended(Exit::Unseen, shared, now);
    }

    /// Tells the running job to end.
    fn end_job(&mut self, because: Outcome, shared: &mut Shared, now: Time) {
        let Some(job) = &mut self.job else { return };
        let grace = match job.action {
            Action::IsRunning => job.kill_after.min(CHECK_KILL_AFTER_MAX),
            Action::Start | Action::Stop => job.kill_after,
        };
        let kill_at = Some(now + grace);
        job.phase = Phase::Ending {
            because: because.clone(),
            kill_at,
        };
        self.signal(JobSignal::Term, because, shared, now);
    }

    fn signal(&self, signal: JobSignal, because: Outcome, shared: &mut Shared, now: Time) {
        let Some(job) = &self.job else { return };
        shared.outbox.act(Output::Signal {
            job: job.id,
            signal,
            because: because.clone(),
        });
        shared.outbox.event(Event::JobSignalled {
            instance: self.settings.name.clone(),
            job: job.id,
            action: job.action,
            epoch: job.epoch,
            role: job.role,
            signal,
            because,
            at: now,
        });
    }

    /// The running job's process exists.
    pub(crate) fn spawned(&mut self, pid: u32, shared: &mut Shared, now: Time) {
        let Some(job) = &mut self.job else { return };
        job.spawned = Some(now);
        job.pid = Some(pid);
        shared.outbox.event(Event::JobSpawned {
            instance: self.settings.name.clone(),
            job: job.id,
            action: job.action,
            epoch: job.epoch,
            role: job.role,
            pid,
            at: now,
        });
        shared.outbox.changed(self.id);
    }

    /// The running job has ended.
    pub(crate) fn ended(&mut self, exit: Exit, shared: &mut Shared, now: Time) {
        let Some(job) = self.job.take() else { return };
        shared.jobs.remove(&job.id);
        shared.audits.remove(&self.id);
        shared.places.release(self.id);
        shared.set_timer(self.id, InstanceTimer::Place, None);
        let outcome = judge::outcome(&job, exit);
        shared.outbox.event(Event::JobEnded {
            instance: self.settings.name.clone(),
            job: job.id,
            action: job.action,
            epoch: job.epoch,
            role: job.role,
            outcome: outcome.clone(),
            started: job.started,
            spawned: job.spawned,
            ended: now,
        });
        let ended = Some(Arc::new(LastJob {
            job: job.id,
            action: job.action,
            reason: job.reason,
            outcome: outcome.clone(),
            started: job.started,
            spawned: job.spawned,
            ended: now,
        }));
        match job.action {
            Action::IsRunning => {
                self.last_check = ended;
                self.judge_answer(&job, outcome, shared, now);
            }
            Action::Start | Action::Stop => {
                self.last_action = ended;
                self.judge_action(&job, outcome, shared, now);
            }
        }
        // What is run because of this outcome is verified in any case; but nothing may be, as while a loss of the role
        // is held back.
        if job.outdated && matches!(self.plan(shared.ending, now), Plan::Wait(_)) {
            self.audit(Reason::UnitChanged, shared);
        }
        self.settle(shared, now);
    }

    fn report(&self, shared: &mut Shared, now: Time) {
        let last_job = LastJob::later(self.last_action.as_deref(), self.last_check.as_deref());
        shared.outbox.event(Event::Alive {
            instance: self.settings.name.clone(),
            role: self.role.role(),
            epoch: self.epoch,
            since: self.role_since,
            knowledge: self.knowledge,
            transitions: self.transitions,
            last_job: last_job.cloned().map(Box::new),
            last_action: self.last_action.clone(),
            last_check: self.last_check.clone(),
            at: now,
        });
        let at = Some(now + self.settings.report_every);
        shared.set_timer(self.id, InstanceTimer::Report, at);
    }
}

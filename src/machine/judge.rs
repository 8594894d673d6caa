//! Judging what a job has brought: what is now known of the service, and when to try again. Pure.

use super::instance::{Instance, Phase, Rest, Running, Wish};
use super::job::{Action, Exit, Knowledge, NOT_EXECUTABLE, Outcome};
use super::message::{Event, Output};
use super::reason::Reason;
use super::shared::Shared;
use super::time::Time;
/// How a process that ended like this counts.
pub(super) fn outcome(job: &Running, exit: Exit) -> Outcome {
    match (&job.phase, exit) {
        (_, Exit::NotStarted(error)) => Outcome::NotStarted { error },
        (Phase::Ending { because, .. }, _) => because.clone(),
        (Phase::Running { .. }, Exit::Code(0)) => Outcome::Done,
        (Phase::Running { .. }, Exit::Code(code)) => Outcome::Failed { code },
        (Phase::Running { .. }, Exit::Signal(signal)) => Outcome::Killed { signal },
        (Phase::Running { .. }, Exit::Unseen) => Outcome::Unseen,
        (Phase::Running { .. }, Exit::UnitFailed(error)) => Outcome::UnitFailed { error },
        (Phase::Running { .. }, Exit::NotRunning(found)) => Outcome::NotRunning { found },
        (Phase::Running { .. }, Exit::PartlyRunning(found)) => Outcome::PartlyRunning { found },
    }
}

/// Why a service that is not as wanted is started or stopped.
fn found(wish: Wish) -> Reason {
    match wish {
        Wish::Run => Reason::FoundStopped,
        Wish::Rest(_) | Wish::Hold => Reason::FoundRunning,
    }
}

impl Instance {
    /// What a start or stop has brought.
    pub(super) fn judge_action(
        &mut self,
        job: &Running,
        outcome: Outcome,
        shared: &mut Shared,
        now: Time,
    ) {
        let (aim, serves) = match (job.action, self.wish(shared.ending, now)) {
            (Action::Start, wish) => (Knowledge::Running, wish == Wish::Run),
            (Action::Stop | Action::IsRunning, wish) => {
                (Knowledge::Stopped, matches!(wish, Wish::Rest(_)))
            }
        };
        // The role may have turned while the job ran; then its own outcome is of no further interest.
        let verify = (serves && self.settings.is_running.is_some()).then_some(Reason::Verify);
        match outcome {
            Outcome::Done => {
                self.know(aim, shared, now);
                self.ask = verify;
            }
            Outcome::NotStarted { .. } => {
                if serves {
                    self.fail(job.action, Some(outcome), shared, now);
                }
            }
            // What began and was cut short is stopped on the BACKUP without asking: is-running may not see
            // what half a start has left.
            Outcome::Cancelled => {
                self.know(Knowledge::Maybe, shared, now);
                self.ask = None;
            }
            Outcome::Unseen => {
                self.know(Knowledge::Maybe, shared, now);
                self.ask = None;
                self.why = Reason::Adopted;
            }
            Outcome::Failed { .. }
            | Outcome::Killed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::UnitFailed { .. }
            | Outcome::NotRunning { .. }
            | Outcome::PartlyRunning { .. } => {
                self.know(Knowledge::Maybe, shared, now);
                self.ask = verify;
                if serves {
                    self.fail(job.action, Some(outcome), shared, now);
                }
            }
        }
    }

    /// What is-running has said.
    pub(super) fn judge_answer(
        &mut self,
        job: &Running,
        outcome: Outcome,
        shared: &mut Shared,
        now: Time,
    ) {
        let answer = match outcome {
            Outcome::Done => Knowledge::Running,
            Outcome::Failed { code } if !NOT_EXECUTABLE.contains(&code) => Knowledge::Stopped,
            Outcome::NotRunning { .. } => Knowledge::Stopped,
            Outcome::PartlyRunning { .. } => Knowledge::Partly,
            // Nobody has heard the answer: what was known before still is, and what is to be asked too.
            Outcome::Cancelled | Outcome::Unseen => return,
            Outcome::Failed { .. }
            | Outcome::Killed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::UnitFailed { .. }
            | Outcome::NotStarted { .. } => Knowledge::Maybe,
        };
        // Whatever asked in the meantime has its answer too, but for a change that may be newer.
        self.ask = None;
        self.know(answer, shared, now);
        let wish = self.wish(shared.ending, now);
        match (wish, answer) {
            (Wish::Hold, _) => {}
            (Wish::Run, Knowledge::Running) | (Wish::Rest(_), Knowledge::Stopped) => {
                self.retry.until = None;
            }
            // An unanswered question starts nothing, and a verified action is not repeated at once.
            (Wish::Run, Knowledge::Maybe) => self.disagree(outcome, shared, now),
            (Wish::Run, Knowledge::Stopped | Knowledge::Partly)
            | (Wish::Rest(_), Knowledge::Running | Knowledge::Maybe | Knowledge::Partly) => {
                match job.reason {
                    Reason::Verify => self.disagree(outcome, shared, now),
                    Reason::Retry => self.why = Reason::Retry,
                    Reason::Audit | Reason::AuditWanted => self.why = found(wish),
                    Reason::UnitChanged => self.repair(found(wish), shared, now),
                    Reason::TakenUp
                    | Reason::RoleGained
                    | Reason::RoleLost
                    | Reason::FoundStopped
                    | Reason::FoundRunning
                    | Reason::UnknownTooLong
                    | Reason::Adopted
                    | Reason::DaemonEnds
                    | Reason::InstanceRemoved => {}
                }
            }
        }
    }

    fn disagree(&mut self, outcome: Outcome, shared: &mut Shared, now: Time) {
        if self.retry.until.is_none() {
            let disagrees = match &outcome {
                Outcome::Done | Outcome::NotRunning { .. } | Outcome::PartlyRunning { .. } => true,
                Outcome::Failed { code } => !NOT_EXECUTABLE.contains(code),
                Outcome::Killed { .. }
                | Outcome::TimedOut { .. }
                | Outcome::Cancelled
                | Outcome::NotStarted { .. }
                | Outcome::UnitFailed { .. }
                | Outcome::Unseen => false,
            };
            let (action, outcome) = if disagrees {
                (self.wish(shared.ending, now).aim(), None)
            } else {
                (Action::IsRunning, Some(outcome))
            };
            self.fail(action, outcome, shared, now);
        }
        self.ask = Some(Reason::Retry);
    }

    /// The service has left by itself the state that is wanted. It is brought back at once the first time; one that
    /// leaves it again and again waits as after failed attempts, so that it is not started without a pause.
    fn repair(&mut self, why: Reason, shared: &mut Shared, now: Time) {
        let reset_after = self.settings.retry.reset_after;
        let recently = self
            .retry
            .failed_at
            .is_some_and(|at| now.since(at) < reset_after);
        if recently {
            let action = self.wish(shared.ending, now).aim();
            self.fail(action, None, shared, now);
        } else {
            self.retry.failures = 0;
            self.retry.failed_at = Some(now);
            self.why = why;
        }
    }

    /// Plans the next attempt at what has failed.
    fn fail(&mut self, action: Action, outcome: Option<Outcome>, shared: &mut Shared, now: Time) {
        let policy = &self.settings.retry;
        let stable = self
            .retry
            .failed_at
            .is_some_and(|at| now.since(at) >= policy.reset_after);
        let failures = if stable {
            1
        } else {
            self.retry.failures.saturating_add(1)
        };
        let factor = policy.factor.get().saturating_pow(failures - 1);
        let wait = policy.first.saturating_mul(factor).min(policy.longest);
        let until = now + wait;
        self.retry.failures = failures;
        self.retry.failed_at = Some(now);
        self.retry.until = Some(until);
        self.retry.action = Some(action);
        self.retry.outcome.clone_from(&outcome);
        self.why = Reason::Retry;
        self.rest = Rest::Owed;
        if self.ask.is_none() && self.settings.is_running.is_some() {
            self.ask = Some(Reason::Retry);
        }
        shared.outbox.event(Event::RetryScheduled {
            instance: self.settings.name.clone(),
            epoch: self.epoch,
            role: self.role.role(),
            at: until,
            action,
            failures,
            outcome,
        });
    }

    fn know(&mut self, knowledge: Knowledge, shared: &mut Shared, now: Time) {
        if self.knowledge != knowledge {
            self.knowledge = knowledge;
            self.knowledge_since = now;
        }
        self.remember(shared);
    }

    /// Has what is known noted for the next life of the daemon.
    pub(super) fn remember(&self, shared: &mut Shared) {
        shared.outbox.tell(Output::Remember {
            name: self.settings.name.clone(),
            knowledge: Some(self.knowledge),
        });
    }
}

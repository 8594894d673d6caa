//! One instance: its role, what is known of its service, its one job, and the plan that follows. Pure.
//!
//! Level-triggered: nothing remembers "a start is due". Whenever something has changed, `plan` is asked what
//! the present state wants, and its answer is carried out or shown. `work.rs` carries out, `shared.rs` holds
//! what instances have in common.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{Action, InstanceId, JobId, Knowledge, LastJob, Means, Outcome, Role};
use super::message::{Adopted, Identity, Output, Restored};
use super::reason::{Cause, Next, Reason};
use super::role::{Hold, RoleMachine};
use super::settings::{InstanceSettings, Release};
use super::shared::Shared;
use super::time::Time;
use super::view::{InstanceView, JobView};

/// Everything about one instance; its only owner is the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) settings: Arc<InstanceSettings>,
    pub(crate) role: RoleMachine,
    pub(crate) role_since: Time,
    /// When the source was seen saying it.
    pub(crate) role_seen: Time,
    /// When the change that is held back was seen.
    pub(crate) held_since: Time,
    pub(crate) previous_role: Role,
    pub(crate) cause: Cause,
    pub(crate) cause_since: Time,
    /// The interface of the file that has been seen last, in this life or an earlier one of this boot: the one
    /// that the rule names now counts as seen if it is this.
    pub(crate) nic_seen: Option<String>,
    /// Its rule is new, and the table may lack its addresses until the next dump.
    pub(crate) unlooked: bool,
    /// When `unknown-stop-after` begins to count; `None` while the source says BACKUP or MASTER. Not having
    /// looked yet is not having been answered, so it does not count for as long as a dump may take: otherwise
    /// a restart of the daemon, or a new rule, would stop what runs.
    pub(crate) unknown_from: Option<Time>,
    pub(crate) epoch: u64,
    pub(crate) epoch_reserved: u64,
    pub(crate) epoch_asked: u64,
    pub(crate) transitions: u64,
    pub(crate) superseded: u64,
    /// Whether anything was done, or had to be, for the present role.
    pub(crate) acted: bool,
    /// Whether it was told that all that was begun is complete.
    pub(crate) rest: Rest,
    pub(crate) knowledge: Knowledge,
    pub(crate) knowledge_since: Time,
    /// is-running shall be asked before anything is done, because of this.
    pub(crate) ask: Option<Reason>,
    /// Why the next start or stop is run.
    pub(crate) why: Reason,
    pub(crate) job: Option<Box<Running>>,
    pub(crate) last_action: Option<Arc<LastJob>>,
    pub(crate) last_check: Option<Arc<LastJob>>,
    pub(crate) retry: Retrying,
    pub(crate) leaving: Option<Release>,
}

/// Whether people know that what runs is what the role wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rest {
    /// It was told, and nothing has happened since.
    Told,
    /// Something was begun or has failed since.
    Owed,
}

/// The job that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) id: JobId,
    pub(crate) action: Action,
    pub(crate) reason: Reason,
    pub(crate) epoch: u64,
    pub(crate) role: Role,
    pub(crate) started: Time,
    pub(crate) spawned: Option<Time>,
    pub(crate) pid: Option<u32>,
    pub(crate) means: Means,
    pub(crate) adopted: bool,
    #[serde(default)]
    pub(crate) identity: Identity,
    /// A unit has changed since it began: what a question brings may be older than the change.
    pub(crate) outdated: bool,
    pub(crate) timeout: Duration,
    pub(crate) kill_after: Duration,
    pub(crate) phase: Phase,
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// It runs.
    Running {
        /// When it has taken too long.
        deadline: Time,
        /// When it is cancelled, because the role has turned against it.
        cancel_at: Option<Time>,
    },
    /// It was sent SIGTERM.
    Ending {
        /// What it will be counted as.
        because: Outcome,
        /// When it is sent SIGKILL; `None`: it was.
        kill_at: Option<Time>,
    },
}

/// Failures in a row and the wait after them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retrying {
    pub(crate) failures: u32,
    pub(crate) failed_at: Option<Time>,
    pub(crate) until: Option<Time>,
    /// What failed and is tried again.
    #[serde(default)]
    pub(crate) action: Option<Action>,
    pub(crate) outcome: Option<Outcome>,
}

/// What the role and the daemon's own state want of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It shall run.
    Run,
    /// It shall not run, because of this.
    Rest(Reason),
    /// It is left as it is.
    Hold,
}

impl Wish {
    /// What brings the service to where it is wanted.
    pub(crate) fn aim(self) -> Action {
        match self {
            Self::Run => Action::Start,
            Self::Rest(_) | Self::Hold => Action::Stop,
        }
    }
}

/// What an instance without a running job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Run this, because of that.
    Run(Action, Reason),
    /// Nothing now.
    Wait(Next),
}

impl Instance {
    /// One of which nothing is known but what is `restored`. A dump is due by `look_by`.
    pub(crate) fn new(
        id: InstanceId,
        settings: Arc<InstanceSettings>,
        restored: &Restored,
        look_by: Time,
        now: Time,
    ) -> Self {
        let knowledge = if restored.in_doubt() {
            Knowledge::Maybe
        } else {
            restored.knowledge.unwrap_or(Knowledge::Stopped)
        };
        let adopted_epoch = restored.adopted.as_ref().map(|adopted| adopted.epoch);
        let command = |adopted: &Adopted| settings.command(adopted.action);
        let job = restored.adopted.as_ref().map(|adopted| {
            Box::new(Running {
                id: adopted.job,
                action: adopted.action,
                reason: adopted.reason,
                epoch: adopted.epoch,
                role: adopted.role,
                started: adopted.started,
                spawned: None,
                pid: Some(adopted.pid),
                means: Means::Process,
                adopted: true,
                identity: adopted.identity,
                outdated: false,
                timeout: command(adopted).map_or(Duration::ZERO, |one| one.timeout),
                kill_after: command(adopted).map_or(Duration::ZERO, |one| one.kill_after),
                phase: Phase::Running {
                    // It may have passed while no daemon was there.
                    deadline: adopted.deadline.max(now),
                    cancel_at: None,
                },
            })
        });
        Self {
            id,
            settings,
            role: RoleMachine::new(now),
            role_since: now,
            role_seen: now,
            held_since: now,
            previous_role: Role::Unknown,
            cause: Cause::NotLookedYet,
            cause_since: now,
            nic_seen: restored.nic_seen.clone(),
            unlooked: true,
            unknown_from: Some(look_by),
            // The number of a job that still runs has been used, whether or not its reservation was kept.
            epoch: adopted_epoch.map_or(restored.epoch, |epoch| epoch.max(restored.epoch)),
            epoch_reserved: restored.epoch_reserved,
            epoch_asked: restored.epoch_reserved,
            transitions: 0,
            superseded: 0,
            acted: true,
            rest: Rest::Told,
            knowledge,
            knowledge_since: now,
            ask: Some(Reason::TakenUp),
            why: Reason::TakenUp,
            job,
            last_action: None,
            last_check: None,
            retry: Retrying::default(),
            leaving: None,
        }
    }

    /// Whether the interface that the rule names has ever been seen. A rule without one misses none.
    pub(crate) fn has_seen_its_nic(&self) -> bool {
        self.nic_seen.is_some() && self.nic_seen == self.settings.role.nic
    }

    /// The interface that the rule names is there, or was when one of the addresses was. The next life of the daemon
    /// is told, or it would take one that went in between for a misspelt name.
    pub(crate) fn see_its_nic(&mut self, shared: &mut Shared) {
        let Some(nic) = self.settings.role.nic.as_ref() else {
            return;
        };
        if self.nic_seen.as_ref() != Some(nic) {
            self.nic_seen = Some(nic.clone());
            shared.outbox.tell(Output::RememberNic {
                name: self.settings.name.clone(),
                nic: nic.clone(),
            });
        }
    }

    /// What is wanted of the service at `now`.
    pub(crate) fn wish(&self, ending: bool, now: Time) -> Wish {
        match self.leaving {
            Some(Release::Stop) => return Wish::Rest(Reason::InstanceRemoved),
            Some(Release::Keep) => return Wish::Hold,
            None => {}
        }
        if ending {
            return match self.settings.on_exit {
                Release::Stop => Wish::Rest(Reason::DaemonEnds),
                Release::Keep => Wish::Hold,
            };
        }
        match self.role.role() {
            // A loss that is held back stops nothing yet, but nothing is started on a role that is leaving.
            Role::Master if matches!(self.role.hold(), Hold::Loss(_)) => Wish::Hold,
            Role::Master => Wish::Run,
            Role::Backup => Wish::Rest(self.why),
            Role::Unknown => match self.unknown_stop_at() {
                Some(at) if at <= now => Wish::Rest(Reason::UnknownTooLong),
                Some(_) | None => Wish::Hold,
            },
        }
    }

    /// When an UNKNOWN role stops the service after all.
    pub(crate) fn unknown_stop_at(&self) -> Option<Time> {
        Some(self.unknown_from? + self.settings.unknown_stop_after?)
    }

    /// What an instance without a running job does at `now`.
    pub(crate) fn plan(&self, ending: bool, now: Time) -> Plan {
        let wish = self.wish(ending, now);
        let asks = self.settings.is_running.is_some();
        let released = ending || self.leaving.is_some();
        if wish == Wish::Hold {
            return Plan::Wait(self.idle(wish, released));
        }
        // What an action did is asked at once, even while the next attempt has to wait.
        if asks && self.ask == Some(Reason::Verify) {
            return Plan::Run(Action::IsRunning, Reason::Verify);
        }
        if let Some(at) = self.retry.until.filter(|at| *at > now) {
            let (failures, outcome) = (self.retry.failures, self.retry.outcome.clone());
            return Plan::Wait(Next::RetryAt {
                at,
                action: self.retry.action.unwrap_or(wish.aim()),
                failures,
                outcome,
            });
        }
        if let Some(reason) = self.ask.filter(|_| asks) {
            return Plan::Run(Action::IsRunning, reason);
        }
        match (wish, self.knowledge) {
            (Wish::Run, Knowledge::Maybe) if asks => Plan::Run(Action::IsRunning, self.why),
            (Wish::Run, Knowledge::Stopped | Knowledge::Maybe | Knowledge::Partly) => {
                Plan::Run(Action::Start, self.why)
            }
            (Wish::Rest(reason), Knowledge::Running | Knowledge::Maybe | Knowledge::Partly) => {
                Plan::Run(Action::Stop, reason)
            }
            (Wish::Run, Knowledge::Running)
            | (Wish::Rest(_), Knowledge::Stopped)
            | (Wish::Hold, _) => Plan::Wait(self.idle(wish, released)),
        }
    }

    /// What is shown as the next step, as it was decided at `decided_at`: what has become due since then is
    /// not done before the machine is told the time.
    pub(crate) fn next(&self, ending: bool, before: Option<u32>, decided_at: Time) -> Next {
        if let Some(job) = &self.job {
            return match job.phase {
                Phase::Running { deadline, .. } if job.identity == Identity::Presumed => {
                    Next::JobPresumed { until: deadline }
                }
                Phase::Running {
                    cancel_at: Some(cancel_at),
                    deadline,
                } => Next::JobOverdue {
                    cancel_at: cancel_at.min(deadline),
                },
                Phase::Running {
                    deadline,
                    cancel_at: None,
                } => Next::JobRuns { deadline },
                Phase::Ending { kill_at, .. } => Next::JobEnding { kill_at },
            };
        }
        match self.plan(ending, decided_at) {
            Plan::Wait(next) => next,
            // A plan that could be carried out has been, except a start without a place.
            Plan::Run(_, _) => Next::WaitsForPlace {
                before: before.unwrap_or(0),
            },
        }
    }

    pub(crate) fn view(&self, next: Next, now: Time) -> InstanceView {
        InstanceView {
            id: self.id,
            name: self.settings.name.clone(),
            settings: self.settings.clone(),
            at: now,
            role: self.role.role(),
            role_since: self.role_since,
            cause: self.cause.clone(),
            cause_since: self.cause_since,
            epoch: self.epoch,
            transitions: self.transitions,
            superseded: self.superseded,
            knowledge: self.knowledge,
            knowledge_since: self.knowledge_since,
            job: self.job.as_ref().map(|job| JobView {
                job: job.id,
                action: job.action,
                reason: job.reason,
                started: job.started,
                pid: job.pid,
                means: job.means,
                adopted: job.adopted,
            }),
            last_action: self.last_action.clone(),
            last_check: self.last_check.clone(),
            next,
            leaving: self.leaving.is_some(),
        }
    }

    /// When a timer of the running job is due.
    pub(crate) fn job_deadline(&self) -> Option<Time> {
        match &self.job.as_ref()?.phase {
            Phase::Running {
                deadline,
                cancel_at,
            } => Some(cancel_at.map_or(*deadline, |at| at.min(*deadline))),
            Phase::Ending { kill_at, .. } => *kill_at,
        }
    }

    /// Whether an instance that waits is done with: what runs is what is wanted, or UNKNOWN holds it.
    pub(crate) fn is_at_rest(&self, ending: bool, now: Time) -> bool {
        let satisfied = match (self.wish(ending, now), self.knowledge) {
            (Wish::Run, Knowledge::Running) | (Wish::Rest(_), Knowledge::Stopped) => true,
            (Wish::Hold, _) => {
                self.role.role() == Role::Unknown && !ending && self.leaving.is_none()
            }
            (Wish::Run | Wish::Rest(_), _) => false,
        };
        satisfied && self.retry.until.is_none_or(|at| at <= now)
    }

    /// Why there is nothing to do. `released`: the role has no say any more.
    fn idle(&self, wish: Wish, released: bool) -> Next {
        if released {
            return Next::Ending;
        }
        match self.role.hold() {
            Hold::Gain(until) => Next::GainHeld { until },
            Hold::Loss(until) => Next::LossHeld { until },
            Hold::None if wish == Wish::Hold => Next::HeldByUnknown {
                stop_at: self.unknown_stop_at(),
            },
            Hold::None => Next::Content {
                role: self.role.role(),
                knowledge: self.knowledge,
            },
        }
    }
}

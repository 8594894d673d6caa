//! One entry of the timeline: a transition, or jobs that none caused, cut into stages that follow each other without
//! a gap. Pure data; `mod.rs` decides which event belongs to which entry.

use crate::machine::Time;
use crate::machine::job::{Action, JobId, Knowledge, Outcome, Role};
use crate::machine::message::Event;
use crate::machine::reason::{Cause, Reason};
use crate::machine::settings::InstanceName;

/// An action that fails for hours has thousands of stages: those in the middle are folded into one.
pub const STAGES_MAX: usize = 24;

/// So many of the first stages are never folded: how it began is what people look for.
const STAGES_HEAD: usize = 8;

/// What happened from a beginning to an end.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose.
    pub instance: InstanceName,
    /// The epoch that it is about; a transition's id is `NAME/EPOCH`.
    pub epoch: u64,
    /// The role that was acted for.
    pub role: Role,
    /// What it is.
    pub kind: Kind,
    /// When it began.
    pub began: Time,
    /// The same by the clock on the wall: milliseconds since 1970.
    pub began_unix_ms: u64,
    /// What is over, oldest first. Each begins where the one before ended, the first at `began`.
    pub stages: Vec<Stage>,
    /// The job that runs for it.
    pub running: Option<Running>,
    /// How far it is.
    pub state: State,
    /// When the first start or stop had its process.
    pub first_instruction: Option<Time>,
    /// What the present wait is for.
    pub(super) waits: Wait,
    /// The transition that came before this one was done with.
    pub(super) overtaken_by: Option<u64>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A change of role that was believed.
    Transition {
        /// From this role.
        from: Role,
        /// What the source said.
        cause: Cause,
    },
    /// A change of role that was over before it was believed.
    Unbelieved {
        /// How often that happened in a row.
        times: u32,
    },
    /// Jobs that no transition caused.
    Jobs {
        /// What did.
        reason: Reason,
    },
}

/// One stage and when it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it was.
    pub what: What,
    /// When it was over.
    pub until: Time,
}

/// What a stage is.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// From the source's word to the belief in it.
    Debounce,
    /// Nothing could be done yet.
    Wait(Wait),
    /// From the order to the first instruction of a start or stop.
    Spawn {
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// Why it was not executed; `None`: it was.
        failed: Option<Outcome>,
    },
    /// A start or stop ran, until its end or until it was told to end.
    Run {
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// What became of it.
        outcome: Outcome,
    },
    /// It had been told to end and had not yet.
    End {
        /// Its name.
        job: JobId,
        /// Which action.
        action: Action,
        /// What it is counted as.
        outcome: Outcome,
    },
    /// is-running was asked.
    Check {
        /// Its name.
        job: JobId,
        /// Why.
        reason: Reason,
        /// What became of it.
        outcome: Outcome,
    },
    /// Stages of which too many came.
    Folded {
        /// How many.
        stages: u32,
    },
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The end of a job that an earlier role began.
    EarlierJob,
    /// The next attempt.
    Retry {
        /// When it is due.
        at: Time,
    },
    /// A place for its start, or a role that is held back.
    Turn,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Its name.
    pub job: JobId,
    /// Which action.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Whether its process exists.
    pub spawned: bool,
    /// What it will be counted as, once it was told to end.
    pub ending: Option<Outcome>,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Open,
    /// What runs is what the role wants.
    Settled(Knowledge),
    /// Overtaken before anything was run for it.
    Superseded,
    /// Overtaken while something was, by the transition of this epoch.
    Overtaken {
        /// That epoch.
        by: u64,
    },
    /// The job is over, and what follows is another entry's.
    Over,
    /// What was told of it got lost.
    Gap,
}

impl Entry {
    pub(super) fn new(
        instance: &InstanceName,
        (role, epoch): (Role, u64),
        kind: Kind,
        began: Time,
    ) -> Self {
        Self {
            instance: instance.clone(),
            epoch,
            role,
            kind,
            began,
            began_unix_ms: 0,
            stages: Vec::new(),
            running: None,
            state: State::Open,
            first_instruction: None,
            waits: Wait::Turn,
            overtaken_by: None,
        }
    }

    /// The end of the last stage.
    pub fn until(&self) -> Time {
        self.stages.last().map_or(self.began, |stage| stage.until)
    }

    /// When it was over; `None` while it goes on.
    pub fn ended(&self) -> Option<Time> {
        match self.state {
            State::Open => None,
            State::Settled(_)
            | State::Superseded
            | State::Overtaken { .. }
            | State::Over
            | State::Gap => Some(self.until()),
        }
    }

    /// The stages, and for one that goes on what it is in at `now`.
    pub fn stages_at(&self, now: Time) -> impl Iterator<Item = (Option<&What>, Time)> {
        let last = (self.ended().is_none() && now > self.until()).then_some((None, now));
        let over = self
            .stages
            .iter()
            .map(|stage| (Some(&stage.what), stage.until));
        over.chain(last)
    }

    /// Whether a start or stop was run or tried.
    pub fn acted(&self) -> bool {
        let acts = |stage: &Stage| match stage.what {
            What::Spawn { .. } | What::Run { .. } | What::End { .. } | What::Folded { .. } => true,
            What::Debounce | What::Wait(_) | What::Check { .. } => false,
        };
        self.stages.iter().any(acts)
    }

    /// Ends a stage. Time never goes back, also where events should come in another order.
    pub(super) fn push(&mut self, what: What, until: Time) {
        let until = until.max(self.until());
        self.stages.push(Stage { what, until });
        if self.stages.len() > STAGES_MAX {
            self.fold();
        }
    }

    /// Makes room for a stage: the oldest after the head goes into the folded one behind the head.
    fn fold(&mut self) {
        let Some(stage) = self.stages.get(STAGES_HEAD) else {
            return;
        };
        let (folded, next) = match stage.what {
            What::Folded { stages } => (stages, STAGES_HEAD + 1),
            What::Debounce
            | What::Wait(_)
            | What::Spawn { .. }
            | What::Run { .. }
            | What::End { .. }
            | What::Check { .. } => (1, STAGES_HEAD + 1),
        };
        let until = self.stages.remove(next).until;
        if let Some(stage) = self.stages.get_mut(STAGES_HEAD) {
            let stages = folded.saturating_add(1);
            *stage = Stage {
                what: What::Folded { stages },
                until,
            };
        }
    }

    /// Ends a wait, if there was one.
    pub(super) fn push_wait(&mut self, until: Time) {
        if until > self.until() {
            self.push(What::Wait(self.waits), until);
        }
        self.waits = Wait::Turn;
    }

    pub(super) fn close(&mut self, state: State, at: Time) {
        self.push_wait(at);
        self.running = None;
        self.state = state;
        self.stages.shrink_to_fit();
    }

    pub(super) fn job_started(&mut self, job: JobId, action: Action, reason: Reason, at: Time) {
        self.push_wait(at);
        self.running = Some(Running {
            job,
            action,
            reason,
            spawned: false,
            ending: None,
        });
    }

    pub(super) fn job_spawned(&mut self, at: Time) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.spawned = true;
        let (job, action) = (running.job, running.action);
        if action.changes_service() {
            self.first_instruction.get_or_insert(at);
            let failed = None;
            self.push(
                What::Spawn {
                    job,
                    action,
                    failed,
                },
                at,
            );
        }
    }

    /// Only the first signal ends a stage: SIGKILL comes while it is ending.
    pub(super) fn job_signalled(&mut self, outcome: &Outcome, at: Time) {
        let Some(running) = &mut self.running else {
            return;
        };
        let first = running.ending.is_none();
        running.ending = Some(outcome.clone());
        let (job, action) = (running.job, running.action);
        if first && running.spawned && action.changes_service() {
            let outcome = outcome.clone();
            self.push(
                What::Run {
                    job,
                    action,
                    outcome,
                },
                at,
            );
        }
    }

    pub(super) fn job_ended(&mut self, outcome: &Outcome, at: Time) {
        let Some(running) = self.running.take() else {
            return;
        };
        let Running { job, action, .. } = running;
        let outcome = outcome.clone();
        let what = match (action, running.spawned, running.ending) {
            (Action::IsRunning, _, _) => What::Check {
                job,
                reason: running.reason,
                outcome,
            },
            (Action::Start | Action::Stop, false, _) => What::Spawn {
                job,
                action,
                failed: Some(outcome),
            },
            (Action::Start | Action::Stop, true, None) => What::Run {
                job,
                action,
                outcome,
            },
            (Action::Start | Action::Stop, true, Some(_)) => What::End {
                job,
                action,
                outcome,
            },
        };
        self.push(what, at);
    }

    /// Whether the event is about the job that runs for this entry.
    pub(super) fn runs(&self, event: &Event) -> bool {
        let (Event::JobSpawned { job, .. }
        | Event::JobSignalled { job, .. }
        | Event::JobEnded { job, .. }) = event
        else {
            return false;
        };
        self.running
            .as_ref()
            .is_some_and(|running| running.job == *job)
    }
}

//! The machine's events as they come, in few words, for the tests of the timeline and of what is drawn of it.

use std::time::Duration;

use super::{Finished, Timeline};
use crate::machine::Time;
use crate::machine::job::{Action, JobId, JobSignal, Knowledge, Outcome, Role};
use crate::machine::message::Event;
use crate::machine::reason::{Cause, Reason};
use crate::machine::settings::InstanceName;

/// When the daemon of the tests began: 2026-11-03 14:03:00 UTC.
pub(crate) const ZERO_UNIX_MS: u64 = 1_793_714_580_000;

pub(crate) fn us(us: u64) -> Time {
    Time::from_start(Duration::from_micros(us))
}

pub(crate) fn name(text: &str) -> InstanceName {
    InstanceName::new(text).expect("a good name")
}

pub(crate) fn job(number: u64) -> JobId {
    JobId { life: 1, number }
}

/// A timeline of the instance `web` and the epoch that it is in.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) timeline: Timeline,
    pub(crate) role: Role,
    pub(crate) epoch: u64,
    pub(crate) jobs: u64,
}

impl Story {
    pub(crate) fn take(&mut self, event: &Event) -> Finished {
        self.timeline.take(event, ZERO_UNIX_MS)
    }

    pub(crate) fn transition(&mut self, to: Role, seen: u64, decided: u64) -> Finished {
        let from = std::mem::replace(&mut self.role, to);
        self.epoch += 1;
        let cause = Cause::NicAbsent { nic: "eth9".into() };
        self.take(&Event::Transition {
            instance: name("web"),
            from,
            to,
            epoch: self.epoch,
            cause,
            seen: us(seen),
            decided: us(decided),
        })
    }

    pub(crate) fn overtaken(
        &mut self,
        to: Role,
        epoch: Option<u64>,
        seen: u64,
        at: u64,
    ) -> Finished {
        self.take(&Event::Superseded {
            instance: name("web"),
            to,
            epoch,
            seen: us(seen),
            at: us(at),
            total: 1,
        })
    }

    pub(crate) fn ordered(&mut self, action: Action, reason: Reason, at: u64) {
        self.jobs += 1;
        self.take(&Event::JobStarted {
            instance: name("web"),
            job: job(self.jobs),
            action,
            command: "/bin/true".into(),
            epoch: self.epoch,
            role: self.role,
            reason,
            at: us(at),
        });
    }

    pub(crate) fn spawned(&mut self, action: Action, at: u64) {
        self.take(&Event::JobSpawned {
            instance: name("web"),
            job: job(self.jobs),
            action,
            epoch: self.epoch,
            role: self.role,
            pid: 4711,
            at: us(at),
        });
    }

    pub(crate) fn signalled(&mut self, signal: JobSignal, because: Outcome, at: u64) {
        self.take(&Event::JobSignalled {
            instance: name("web"),
            job: job(self.jobs),
            action: Action::Start,
            epoch: self.epoch,
            role: self.role,
            signal,
            because,
            at: us(at),
        });
    }

    pub(crate) fn ended(&mut self, action: Action, outcome: Outcome, at: u64) -> Finished {
        self.take(&Event::JobEnded {
            instance: name("web"),
            job: job(self.jobs),
            action,
            epoch: self.epoch,
            role: self.role,
            outcome,
            started: us(0),
            spawned: None,
            ended: us(at),
        })
    }

    pub(crate) fn retry(&mut self, at: u64, outcome: Option<Outcome>) {
        self.take(&Event::RetryScheduled {
            instance: name("web"),
            epoch: self.epoch,
            role: self.role,
            at: us(at),
            action: Action::Start,
            failures: 1,
            outcome,
        });
    }

    pub(crate) fn settled(&mut self, knowledge: Knowledge, at: u64) -> Finished {
        self.take(&Event::Settled {
            instance: name("web"),
            role: self.role,
            epoch: self.epoch,
            knowledge,
            at: us(at),
        })
    }

    /// A start or stop from its order to its end.
    pub(crate) fn runs(&mut self, action: Action, reason: Reason, at: [u64; 3], outcome: Outcome) {
        self.ordered(action, reason, at[0]);
        self.spawned(action, at[1]);
        self.ended(action, outcome, at[2]);
    }

    /// MASTER, a start of a second, and is-running agrees.
    pub(crate) fn gain(&mut self, at: u64) -> Finished {
        self.transition(Role::Master, at, at);
        let start = [at, at + 900, at + 1_203_400];
        self.runs(Action::Start, Reason::RoleGained, start, Outcome::Done);
        let check = [at + 1_203_400, at + 1_204_000, at + 1_215_000];
        self.runs(Action::IsRunning, Reason::Verify, check, Outcome::Done);
        self.settled(Knowledge::Running, at + 1_215_000)
    }
}

//! From what the source says to a transition: observed, debounced by `role.rs`, and committed with an epoch of
//! its own. Pure; part of an instance.

use super::instance::{Instance, Rest};
use super::job::{Knowledge, Role};
use super::message::{Event, Output};
use super::reason::{Cause, Reason};
use super::role::Step;
use super::shared::Shared;
use super::time::Time;

/// Epochs are reserved on disk this many at a time.
pub const EPOCH_BLOCK: u64 = 1_000;

impl Instance {
    /// The source says this.
    pub(crate) fn observe(&mut self, level: Role, cause: Cause, shared: &mut Shared, now: Time) {
        if cause != self.cause {
            self.cause = cause;
            self.cause_since = now;
            shared.outbox.changed(self.id);
        }
        match level {
            Role::Unknown => {
                self.unknown_from.get_or_insert(now);
            }
            Role::Backup | Role::Master => self.unknown_from = None,
        }
        let step = self.role.observe(level, now, &self.settings.debounce);
        self.step(step, shared, now);
    }

    /// What its source has said is of no use for its rule any more; the dump that tells anew is due by `look_by`.
    pub(crate) fn unlook(&mut self, look_by: Time, shared: &mut Shared, now: Time) {
        self.unlooked = true;
        self.unknown_from.get_or_insert(look_by);
        self.observe(Role::Unknown, Cause::NotLookedYet, shared, now);
    }

    /// What came of what the source said, or of a hold that is over.
    pub(super) fn step(&mut self, step: Step, shared: &mut Shared, now: Time) {
        match step {
            Step::Unchanged => return,
            Step::Held { to, until } => {
                self.held_since = now;
                let instance = self.settings.name.clone();
                shared.outbox.event(Event::Held {
                    instance,
                    to,
                    seen: now,
                    until,
                });
            }
            Step::Superseded { to } => self.overtaken(to, None, shared, now),
            Step::Commit {
                from,
                to,
                seen,
                superseded,
            } => {
                if let Some(to) = superseded {
                    self.overtaken(to, None, shared, now);
                }
                self.commit(from, to, seen, shared, now);
            }
        }
        self.settle(shared, now);
    }

    /// A change was overtaken: one that was held back, or the one that began `epoch`.
    fn overtaken(&mut self, to: Role, epoch: Option<u64>, shared: &mut Shared, now: Time) {
        self.superseded += 1;
        let (instance, total) = (self.settings.name.clone(), self.superseded);
        let seen = match epoch {
            Some(_) => self.role_seen,
            None => self.held_since,
        };
        shared.outbox.event(Event::Superseded {
            instance,
            to,
            epoch,
            seen,
            at: now,
            total,
        });
    }

    fn commit(&mut self, from: Role, to: Role, seen: Time, shared: &mut Shared, now: Time) {
        if !self.acted && from != Role::Unknown {
            self.overtaken(from, Some(self.epoch), shared, now);
        }
        let first = self.transitions == 0 && from == Role::Unknown;
        self.transitions += 1;
        self.previous_role = from;
        self.role_since = now;
        self.role_seen = seen;
        self.acted = false;
        self.rest = Rest::Owed;
        self.retry.failures = 0;
        self.retry.failed_at = None;
        self.retry.until = None;
        self.why = match to {
            _ if first => Reason::TakenUp,
            Role::Master => Reason::RoleGained,
            Role::Backup | Role::Unknown => Reason::RoleLost,
        };
        // A loss is acted on at once where the service may run; otherwise is-running has the word.
        let ask = match to {
            Role::Master => true,
            Role::Backup => self.knowledge == Knowledge::Stopped,
            Role::Unknown => false,
        };
        self.ask = ask.then_some(self.why);
        self.next_epoch(shared);
        shared.outbox.event(Event::Transition {
            instance: self.settings.name.clone(),
            from,
            to,
            epoch: self.epoch,
            cause: self.cause.clone(),
            seen,
            decided: now,
        });
    }

    fn next_epoch(&mut self, shared: &mut Shared) {
        self.epoch += 1;
        // A new instance has nothing on disk, and its first dump is usually faster than a write and its sync. The
        // reservation was asked for before that first epoch; a second one that finds it unanswered is late.
        if self.epoch > self.epoch_reserved + 1 {
            shared.outbox.event(Event::EpochsExhausted {
                instance: self.settings.name.clone(),
                epoch: self.epoch,
            });
        }
        self.reserve_epochs(shared);
    }

    /// Has epochs noted on disk long before they are needed.
    pub(crate) fn reserve_epochs(&mut self, shared: &mut Shared) {
        if self.epoch + EPOCH_BLOCK / 2 > self.epoch_asked {
            self.epoch_asked = self.epoch + EPOCH_BLOCK;
            shared.outbox.tell(Output::ReserveEpochs {
                instance: self.id,
                name: self.settings.name.clone(),
                through: self.epoch_asked,
            });
        }
    }
}

//! The debounced role of one instance: fast down, slow up, no waiting when calm. Pure.
//!
//! ```text
//!                 gain, calm or hold_max over              level = what the source says now
//!            ┌──────────────────────────────────┐          role  = what is believed
//!            │    gain, not calm                ▼
//!  UNKNOWN ─▶ BACKUP ───────────▶ gain held ─▶ MASTER       a flip is a change of the level between
//!            ▲   ▲ loss: superseded  │ window  │            BACKUP and MASTER; calm is no flip for one
//!            │   └───────────────────┘  over   │            window before this one
//!            └─────────────────────────────────┘
//!                 loss (at once, or after hold_on_loss)     UNKNOWN is believed at once, and left at once
//! ```

use serde::{Deserialize, Serialize};

use super::job::Role;
use super::settings::Debounce;
use super::time::Time;

/// The role that is believed, and what is needed to believe another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleMachine {
    role: Role,
    level: Role,
    /// When the source first said the present level.
    level_since: Time,
    /// What the source said last when it said BACKUP or MASTER.
    known: Option<Role>,
    flipped_at: Option<Time>,
    hold: Hold,
    /// The end of the longest hold: set by the first gain that is held, kept while the flapping lasts.
    decide_by: Option<Time>,
}

/// A change of role that is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// None.
    None,
    /// MASTER, believed at this time.
    Gain(Time),
    /// BACKUP, believed at this time.
    Loss(Time),
}

/// What came of an observation or a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing that anybody has to know.
    Unchanged,
    /// The role has changed for good.
    Commit {
        /// The role before.
        from: Role,
        /// The role from now on.
        to: Role,
        /// When the source was first seen saying so.
        seen: Time,
        /// The role whose hold was overtaken by this.
        superseded: Option<Role>,
    },
    /// The change is held back until then.
    Held {
        /// To this role.
        to: Role,
        /// Until then.
        until: Time,
    },
    /// The change that was held back is off.
    Superseded {
        /// The role that is not taken.
        to: Role,
    },
}

impl RoleMachine {
    /// A role of which nothing is known yet.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            role: Role::Unknown,
            level: Role::Unknown,
            level_since: now,
            known: None,
            flipped_at: None,
            hold: Hold::None,
            decide_by: None,
        }
    }

    /// The role that is believed.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The change that is held back.
    pub(crate) fn hold(&self) -> Hold {
        self.hold
    }

    /// When `timeout` wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.hold {
            Hold::None => None,
            Hold::Gain(at) | Hold::Loss(at) => Some(at),
        }
    }

    /// The source says `level`.
    pub(crate) fn observe(&mut self, level: Role, now: Time, debounce: &Debounce) -> Step {
        if level == self.level {
            return Step::Unchanged;
        }
        self.level = level;
        self.level_since = now;
        let calm = self.flip(level, now, debounce);
        if level == self.role {
            return self.drop_hold();
        }
        match (level, self.role) {
            (Role::Unknown, _) | (Role::Backup, Role::Unknown) => self.commit(),
            (Role::Master, _) => self.gain(now, debounce, calm),
            (Role::Backup, Role::Backup | Role::Master) => {
                if debounce.hold_on_loss.is_zero() {
                    return self.commit();
                }
                let until = now + debounce.hold_on_loss;
                self.hold = Hold::Loss(until);
                Step::Held {
                    to: Role::Backup,
                    until,
                }
            }
        }
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, now: Time) -> Step {
        match self.hold {
            Hold::Gain(at) | Hold::Loss(at) if at <= now => self.commit(),
            Hold::None | Hold::Gain(_) | Hold::Loss(_) => Step::Unchanged,
        }
    }

    /// Notes a flip, and says whether it came out of the calm.
    fn flip(&mut self, level: Role, now: Time, debounce: &Debounce) -> bool {
        let calm = self
            .flipped_at
            .is_none_or(|at| now.since(at) >= debounce.window);
        if level != Role::Unknown {
            if self.known.is_some_and(|known| known != level) {
                self.flipped_at = Some(now);
            }
            self.known = Some(level);
        }
        calm
    }

    fn gain(&mut self, now: Time, debounce: &Debounce, calm: bool) -> Step {
        if calm {
            return self.commit();
        }
        let decide_by = *self.decide_by.get_or_insert(now + debounce.hold_max);
        if decide_by <= now {
            return self.commit();
        }
        let until = decide_by.min(now + debounce.window);
        self.hold = Hold::Gain(until);
        Step::Held {
            to: Role::Master,
            until,
        }
    }

    fn commit(&mut self) -> Step {
        let from = self.role;
        self.role = self.level;
        let held = match std::mem::replace(&mut self.hold, Hold::None) {
            Hold::None => None,
            Hold::Gain(_) => Some(Role::Master),
            Hold::Loss(_) => Some(Role::Backup),
        };
        if self.role == Role::Master {
            self.decide_by = None;
        }
        Step::Commit {
            from,
            to: self.role,
            seen: self.level_since,
            superseded: held.filter(|to| *to != self.role),
        }
    }

    fn drop_hold(&mut self) -> Step {
        match std::mem::replace(&mut self.hold, Hold::None) {
            Hold::None => Step::Unchanged,
            Hold::Gain(_) => Step::Superseded { to: Role::Master },
            Hold::Loss(_) => Step::Superseded { to: Role::Backup },
        }
    }
}

#[cfg(test)]
mod tests;

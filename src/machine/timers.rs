//! The machine's timers: a key has at most one deadline, and the next one is a question, not a task. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::job::InstanceId;
use super::time::Time;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum TimerKey {
    /// Of the kernel's followers.
    Follow(FollowTimer),
    /// Of one instance.
    Instance(InstanceId, InstanceTimer),
}

/// The deadlines of following the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum FollowTimer {
    /// Open the notification socket again.
    Subscribe,
    /// Dump again: a retry, or the poll while there is no subscription.
    Dump,
    /// Nothing has been heard for so long that the table is no longer believed.
    Distrust,
    /// Compare the table with a dump.
    Audit,
}

/// The deadlines of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum InstanceTimer {
    /// A held change of role is believed.
    Role,
    /// The running job times out, is cancelled, or is killed.
    Job,
    /// The running start gives its place up.
    Place,
    /// The next attempt after a failure.
    Retry,
    /// The role has been UNKNOWN for too long.
    UnknownStop,
    /// The regular is-running.
    Audit,
    /// The regular sign of life.
    Report,
}

/// Deadlines by key and by time. Its size is bounded by the number of keys: a few per instance.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<(TimerKey, Time)>", into = "Vec<(TimerKey, Time)>")]
pub(crate) struct TimerTable {
    by_key: BTreeMap<TimerKey, Time>,
    by_time: BTreeSet<(Time, TimerKey)>,
}

impl From<Vec<(TimerKey, Time)>> for TimerTable {
    fn from(deadlines: Vec<(TimerKey, Time)>) -> Self {
        let mut table = Self::default();
        for (key, at) in deadlines {
            table.set(key, Some(at));
        }
        table
    }
}

impl From<TimerTable> for Vec<(TimerKey, Time)> {
    fn from(table: TimerTable) -> Self {
        table.by_key.into_iter().collect()
    }
}

impl TimerTable {
    /// Sets, moves or (with `None`) takes away the deadline of `key`.
    pub(crate) fn set(&mut self, key: TimerKey, deadline: Option<Time>) {
        let before = match deadline {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if before == deadline {
            return;
        }
        if let Some(at) = before {
            self.by_time.remove(&(at, key));
        }
        if let Some(at) = deadline {
            self.by_time.insert((at, key));
        }
    }

    /// Moves the deadline of `key`, if it has one.
    pub(crate) fn adjust(&mut self, key: TimerKey, moved: impl FnOnce(Time) -> Time) {
        if let Some(at) = self.by_key.get(&key).copied() {
            self.set(key, Some(moved(at)));
        }
    }

    /// Takes away every deadline of an instance.
    pub(crate) fn clear_instance(&mut self, id: InstanceId) {
        let first = TimerKey::Instance(id, InstanceTimer::Role);
        let last = TimerKey::Instance(id, InstanceTimer::Report);
        let keys: Vec<_> = self
            .by_key
            .range(first..=last)
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.set(key, None);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one deadline that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<TimerKey> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}

#[cfg(test)]
mod tests;

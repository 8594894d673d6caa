//! The places for starts: how many may run at once over all instances, and who waits. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::job::InstanceId;

/// Places and the queue for them, first come first served. Each instance stands in it at most once, so it is
/// bounded by the number of instances.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Places {
    limit: NonZeroU32,
    taken: BTreeSet<InstanceId>,
    waiting: BTreeMap<u64, InstanceId>,
    tickets: BTreeMap<InstanceId, u64>,
    next_ticket: u64,
}

impl Places {
    pub(crate) fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            taken: BTreeSet::new(),
            waiting: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: NonZeroU32) {
        self.limit = limit;
    }

    /// Takes a place, or waits for one. An instance never overtakes one that waits.
    pub(crate) fn take(&mut self, id: InstanceId) -> bool {
        if self.taken.contains(&id) {
            return true;
        }
        let next = self
            .waiting
            .values()
            .next()
            .is_none_or(|first| *first == id);
        if next && self.free() {
            self.withdraw(id);
            self.taken.insert(id);
            return true;
        }
        if !self.tickets.contains_key(&id) {
            self.tickets.insert(id, self.next_ticket);
            self.waiting.insert(self.next_ticket, id);
            self.next_ticket += 1;
        }
        false
    }

    /// Leaves the queue.
    pub(crate) fn withdraw(&mut self, id: InstanceId) {
        if let Some(ticket) = self.tickets.remove(&id) {
            self.waiting.remove(&ticket);
        }
    }

    /// Gives the place back.
    pub(crate) fn release(&mut self, id: InstanceId) {
        self.taken.remove(&id);
    }

    /// Who may take a place now.
    pub(crate) fn next(&self) -> Option<InstanceId> {
        if self.free() {
            self.waiting.values().next().copied()
        } else {
            None
        }
    }

    /// How many at most wait before `id`.
    pub(crate) fn before(&self, id: InstanceId) -> Option<u32> {
        let ticket = self.tickets.get(&id)?;
        let first = self.waiting.keys().next()?;
        // To count them would take longer the more there are; tickets between them may have been withdrawn.
        let others = self.waiting.len() - 1;
        let between = usize::try_from(ticket - first).unwrap_or(usize::MAX);
        Some(u32::try_from(between.min(others)).unwrap_or(u32::MAX))
    }

    /// How many places are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.len()
    }

    fn free(&self) -> bool {
        self.taken.len() < usize::try_from(self.limit.get()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;

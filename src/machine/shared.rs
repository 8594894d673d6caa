//! What the instances of a machine have in common: timers, places for starts, running jobs, and the outbox.
//! Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Time;
use super::job::{InstanceId, JobId};
use super::message::{Event, Output};
use super::places::Places;
use super::timers::{InstanceTimer, TimerKey, TimerTable};

/// The common part of the machine's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) timers: TimerTable,
    pub(crate) places: Places,
    /// Which instance a running job belongs to: at most one job per instance.
    pub(crate) jobs: BTreeMap<JobId, InstanceId>,
    /// The instances whose running job is an audit's is-running.
    pub(crate) audits: BTreeSet<InstanceId>,
    pub(crate) life: u32,
    pub(crate) jobs_begun: u64,
    pub(crate) ending: bool,
    /// Empty between two inputs, so it is no part of what is written down.
    #[serde(skip)]
    pub(crate) outbox: Outbox,
}

impl Shared {
    /// Nothing runs and nothing is decided. `starts` may run at once in the life that bears this number.
    pub(crate) fn new(starts: NonZeroU32, life: u32) -> Self {
        Self {
            timers: TimerTable::default(),
            places: Places::new(starts),
            jobs: BTreeMap::new(),
            audits: BTreeSet::new(),
            life,
            jobs_begun: 0,
            ending: false,
            outbox: Outbox::default(),
        }
    }

    pub(crate) fn next_job(&mut self) -> JobId {
        self.jobs_begun += 1;
        JobId {
            life: self.life,
            number: self.jobs_begun,
        }
    }

    pub(crate) fn set_timer(&mut self, id: InstanceId, timer: InstanceTimer, at: Option<Time>) {
        self.timers.set(TimerKey::Instance(id, timer), at);
    }
}

/// How many outputs there is always room for.
const ROOM_KEPT: usize = 64;

/// What has been decided and not yet been fetched. It is drained after every input, so its bound is what one
/// input can cause: a few entries per instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    /// What the outside waits for: first out.
    urgent: VecDeque<Output>,
    /// What is only told.
    told: VecDeque<Output>,
    changed: BTreeSet<InstanceId>,
}

impl Outbox {
    pub(crate) fn act(&mut self, output: Output) {
        self.urgent.push_back(output);
    }

    pub(crate) fn tell(&mut self, output: Output) {
        self.told.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.told.push_back(Output::Event(Arc::new(event)));
    }

    pub(crate) fn changed(&mut self, id: InstanceId) {
        self.changed.insert(id);
    }

    pub(crate) fn forget(&mut self, id: InstanceId) {
        self.changed.remove(&id);
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.urgent
            .pop_front()
            .or_else(|| self.told.pop_front())
            .or_else(|| self.changed.pop_first().map(Output::Changed))
            .or_else(|| self.give_back())
    }

    /// A first look or a reload tells something of every instance at once; what that took is not kept.
    fn give_back(&mut self) -> Option<Output> {
        self.urgent.shrink_to(ROOM_KEPT);
        self.told.shrink_to(ROOM_KEPT);
        None
    }
}

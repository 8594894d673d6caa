//! The machine: everything keepstart decides, and nothing it does. Pure: no clock, no I/O, no task.
//!
//! # The law
//!
//! The reactor owns the one `Machine` and drives it so, and in no other way:
//!
//! 1. one mutation: [`Machine::handle`] with an input, or [`Machine::handle_timeout`];
//! 2. drain [`Machine::poll_output`] until it gives `None`, and do what it says in that order;
//! 3. wait for the next input or for [`Machine::next_deadline`], whichever is first, and begin again.
//!
//! Time is an argument and never goes back. The same inputs at the same times give the same outputs.
//!
//! # The way of the data
//!
//! ```text
//! Input ─▶ follow   when to dump, when to believe        message.rs   what goes in and out
//!            │
//!            ▼                                            kernel.rs    links and addresses
//!          address  what is there            ┐            settings.rs  what the file says
//!            │ touched                       │ levels     job.rs       jobs and outcomes
//!            ▼                               │            reason.rs    why
//!          watch    whom it concerns         ┘            view.rs      what can be seen
//!            │
//!            ▼
//!          role     debounce ─▶ transition   ┐
//!            │                               │ per instance
//!            ▼                               │
//!          instance plan ─▶ work ─▶ judge    ┘
//!            │
//!            ▼
//!          shared   timers, places, outbox ─▶ Output
//! ```
//!
//! `checkpoint.rs` writes the whole down and takes it up again.

mod address;
pub mod checkpoint;
mod ending;
mod follow;
mod hear;
mod instance;
pub mod job;
mod judge;
pub mod kernel;
pub mod message;
mod places;
pub mod process;
pub mod reason;
mod restored;
mod role;
mod roster;
pub mod settings;
mod shared;
pub mod time;
mod timers;
mod transition;
pub mod unit;
pub mod view;
mod watch;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use address::{AddressTable, Touched};
use follow::Follow;
use instance::Instance;
use job::{Exit, InstanceId, JobId, Role};
use kernel::Watched;
use message::{Input, Output, RestoredMap};
use reason::{Cause, Reason};
use settings::{InstanceName, Settings};
use shared::Shared;
pub use time::Time;
use timers::TimerKey;
pub use transition::EPOCH_BLOCK;
use unit::UnitName;
use view::{InstanceView, KernelView};
use watch::WatchIndex;

/// All instances, the address table, and the timers.
#[derive(Debug, Clone)]
pub struct Machine {
    follow: Follow,
    table: AddressTable,
    watch: WatchIndex,
    /// What the outside was last told to watch. An instance that left since may have been the last to watch
    /// one of them.
    watched: Watched,
    /// The same of units.
    watched_units: BTreeSet<UnitName>,
    /// Boxed, because a tree keeps room for as many again.
    instances: BTreeMap<InstanceId, Box<Instance>>,
    names: BTreeMap<InstanceName, InstanceId>,
    next_id: u32,
    /// What is remembered of instances that the configuration does not have, so that their epochs go on
    /// where they ended if they come back, behind a job of an earlier life that still runs. Bounded by the
    /// names that this life was ever told.
    absent: RestoredMap,
    shared: Shared,
    /// When the last mutation was: what is shown is what was decided then.
    decided_at: Time,
    finished: bool,
}

impl Machine {
    /// A machine for these settings. `life` names this life of the daemon in the names of its jobs.
    pub fn new(settings: &Settings, restored: &RestoredMap, life: u32, now: Time) -> Self {
        let mut machine = Self {
            follow: Follow::new(settings.poll_every, settings.audit_every),
            table: AddressTable::default(),
            watch: WatchIndex::default(),
            watched: Watched::default(),
            watched_units: BTreeSet::new(),
            instances: BTreeMap::new(),
            names: BTreeMap::new(),
            next_id: 0,
            absent: restored.clone(),
            shared: Shared::new(settings.starts_at_once, life),
            decided_at: now,
            finished: false,
        };
        for instance in &settings.instances {
            machine.add(instance.clone(), now);
        }
        machine.take_up_absent();
        // What is dumped depends on what is watched, so that comes first.
        machine.watched.addresses = machine.watch.addresses();
        let watched = machine.watched.clone();
        machine.shared.outbox.act(Output::Watch(watched));
        machine.watch_units();
        machine.follow.subscribe(&mut machine.shared);
        machine
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, input: Input, now: Time) {
        self.decided_at = now;
        match input {
            Input::Subscribed => self.subscribed(),
            Input::SubscriptionLost { error } => self.subscription_lost(error, now),
            Input::Kernel(events) => self.kernel(&events, now),
            Input::Overrun => self.overrun(now),
            Input::Dumped(dump) => self.dumped(&dump, now),
            Input::DumpFailed { error } => self.dump_failed(error, now),
            Input::Spawned { job, pid } => self.spawned(job, pid, now),
            Input::Ended { job, exit } => self.ended(job, exit, now),
            Input::EpochsReserved(noted) => {
                for (id, through) in noted {
                    if let Some(instance) = self.instances.get_mut(&id) {
                        instance.epoch_reserved = instance.epoch_reserved.max(through);
                    }
                }
            }
            Input::UnitsChanged(units) => self.units_changed(&units, now),
            Input::Reload(_) | Input::Audit(_) if self.shared.ending => {}
            Input::Reload(settings) => self.reload(&settings, now),
            Input::Audit(name) => self.audit(name.as_ref(), now),
            Input::Shutdown => self.shutdown(now),
        }
        self.after(now);
    }

    /// Takes in that time has passed: everything due at `now` happens.
    pub fn handle_timeout(&mut self, now: Time) {
        self.decided_at = now;
        // Each key that is taken out was due, and what is set anew lies after `now` or is taken in the same
        // pass; a key that is set to `now` again would be a mistake, which the bound makes visible.
        let bound = 8 * self.instances.len() + 8;
        for _ in 0..bound {
            let Some(key) = self.shared.timers.pop_due(now) else {
                break;
            };
            match key {
                TimerKey::Follow(timer) => {
                    let distrusted = self.follow.timeout(timer, &mut self.shared);
                    if distrusted {
                        self.look_at_all(now);
                    }
                }
                TimerKey::Instance(id, timer) => {
                    if let Some(instance) = self.instances.get_mut(&id) {
                        instance.timeout(timer, &mut self.shared, now);
                    }
                    // It may have let go of the job that an instance on its leave was waiting for.
                    self.bury(id);
                }
            }
        }
        self.after(now);
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outbox.poll()
    }

    /// When `handle_timeout` has to be called if nothing happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.shared.timers.next()
    }

    /// One instance as it is now.
    pub fn view(&self, id: InstanceId, now: Time) -> Option<InstanceView> {
        let before = self.shared.places.before(id);
        let instance = self.instances.get(&id)?;
        let next = instance.next(self.shared.ending, before, self.decided_at);
        Some(instance.view(next, now))
    }

    /// All instances as they are now, by number.
    pub fn views(&self, now: Time) -> impl Iterator<Item = InstanceView> {
        self.instances
            .keys()
            .filter_map(move |id| self.view(*id, now))
    }

    /// How the kernel is followed.
    pub fn kernel_view(&self) -> KernelView {
        self.follow.view()
    }

    /// Whether a shutdown is complete: `Output::Finished` has been told.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// How many jobs run.
    pub fn jobs_running(&self) -> usize {
        self.shared.jobs.len()
    }

    fn look_at_touched(&mut self, touched: &Touched, now: Time) {
        for id in self.watch.concerned(touched) {
            self.look_at(id, now);
        }
    }

    fn look_at_unlooked(&mut self, now: Time) {
        let unlooked = self.instances.values().filter(|one| one.unlooked);
        let ids: Vec<_> = unlooked.map(|one| one.id).collect();
        for id in ids {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.unlooked = false;
            }
            self.look_at(id, now);
        }
    }

    fn look_at_all(&mut self, now: Time) {
        let ids: Vec<_> = self.instances.keys().copied().collect();
        for id in ids {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.unlooked = false;
            }
            self.look_at(id, now);
        }
    }

    /// Asks the table for the level of one instance.
    fn look_at(&mut self, id: InstanceId, now: Time) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if instance.leaving.is_some() || instance.unlooked {
            return;
        }
        let (level, cause) = if self.follow.trusted() {
            let mut nic_seen = instance.has_seen_its_nic();
            let level = self.table.level(&instance.settings.role, &mut nic_seen);
            if nic_seen {
                instance.see_its_nic(&mut self.shared);
            }
            level
        } else {
            (Role::Unknown, Cause::KernelSilent)
        };
        instance.observe(level, cause, &mut self.shared, now);
    }

    fn spawned(&mut self, job: JobId, pid: u32, now: Time) {
        let id = self.shared.jobs.get(&job);
        if let Some(instance) = id.and_then(|id| self.instances.get_mut(id)) {
            instance.spawned(pid, &mut self.shared, now);
        }
    }

    fn ended(&mut self, job: JobId, exit: Exit, now: Time) {
        let Some(id) = self.shared.jobs.get(&job).copied() else {
            return self.absent_ended(job, now);
        };
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.ended(exit, &mut self.shared, now);
        }
        self.bury(id);
    }

    /// The outside is told what units to watch, where that has changed: without any it is told nothing.
    fn watch_units(&mut self) {
        let watched = self.watch.units();
        if watched != self.watched_units {
            self.watched_units.clone_from(&watched);
            self.shared.outbox.act(Output::WatchUnits(watched));
        }
    }

    fn units_changed(&mut self, units: &BTreeSet<UnitName>, now: Time) {
        for id in self.watch.depending_on(units) {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.unit_changed(&mut self.shared, now);
            }
        }
    }

    fn audit(&mut self, name: Option<&InstanceName>, now: Time) {
        self.follow.dump_now(&mut self.shared);
        let ids: Vec<_> = match name {
            Some(name) => self.names.get(name).copied().into_iter().collect(),
            None => self.instances.keys().copied().collect(),
        };
        for id in ids {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.audit(Reason::AuditWanted, &self.shared);
                instance.settle(&mut self.shared, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;

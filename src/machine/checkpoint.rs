//! The whole state of a machine as a value that can be written down: where a recording begins that does not begin
//! with the daemon. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::address::AddressTable;
use super::follow::Follow;
use super::instance::Instance;
use super::kernel::{KernelDump, Watched};
use super::message::RestoredMap;
use super::settings::InstanceSettings;
use super::shared::Shared;
use super::unit::UnitName;
use super::watch::WatchIndex;
use super::{Machine, Time};

/// All that a machine's further decisions depend on. What follows from the rest (who watches what, which name has
/// which number) is not in it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    follow: Follow,
    table: AddressTable,
    watched: Watched,
    watched_units: BTreeSet<UnitName>,
    instances: Vec<Instance>,
    next_id: u32,
    absent: RestoredMap,
    shared: Shared,
    decided_at: Time,
    finished: bool,
}

impl Machine {
    /// The state, of a machine whose outputs have been fetched. `keep` says what of an instance's settings is
    /// written down: values that no decision looks at may be left out.
    pub fn checkpoint(&self, keep: impl Fn(&InstanceSettings) -> InstanceSettings) -> Checkpoint {
        let instance = |one: &Instance| Instance {
            settings: Arc::new(keep(&one.settings)),
            ..one.clone()
        };
        Checkpoint {
            follow: self.follow.clone(),
            table: self.table.clone(),
            watched: self.watched.clone(),
            watched_units: self.watched_units.clone(),
            instances: self
                .instances
                .values()
                .map(Box::as_ref)
                .map(instance)
                .collect(),
            next_id: self.next_id,
            absent: self.absent.clone(),
            shared: self.shared.clone(),
            decided_at: self.decided_at,
            finished: self.finished,
        }
    }

    /// A machine that goes on from there.
    pub fn resume(from: Checkpoint) -> Self {
        let mut watch = WatchIndex::default();
        let mut names = BTreeMap::new();
        for instance in &from.instances {
            watch.add(instance.id, &instance.settings.role);
            watch.add_units(instance.id, &instance.settings);
            names.insert(instance.settings.name.clone(), instance.id);
        }
        let instances = from.instances.into_iter();
        Self {
            follow: from.follow,
            table: from.table,
            watch,
            watched: from.watched,
            watched_units: from.watched_units,
            instances: instances.map(|one| (one.id, Box::new(one))).collect(),
            names,
            next_id: from.next_id,
            absent: from.absent,
            shared: from.shared,
            decided_at: from.decided_at,
            finished: from.finished,
        }
    }

    /// When it was last told anything.
    pub fn decided_at(&self) -> Time {
        self.decided_at
    }

    /// The addresses and links that it watches.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Links and watched addresses as it knows them.
    pub fn table(&self) -> KernelDump {
        self.table.clone().into()
    }

    /// How many instances it has, those that are leaving among them.
    pub fn instance_count(&self) -> usize {
        self.instances.len()
    }
}

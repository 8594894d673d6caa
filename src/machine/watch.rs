//! Who watches what: from a changed address, interface name or unit to the instances that it concerns. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::{AddressTable, Touched};
use super::job::InstanceId;
use super::kernel::{Link, Links};
use super::settings::{InstanceSettings, VipRule};
use super::unit::UnitName;

/// The index, so that the cost of an event does not grow with the number of instances.
#[derive(Debug, Default, Clone)]
pub(crate) struct WatchIndex {
    /// Flat, because most addresses have one instance.
    by_address: BTreeSet<(IpAddr, InstanceId)>,
    by_nic: BTreeMap<String, BTreeSet<InstanceId>>,
    /// Those that take any interface: the name of each may be told as theirs.
    anywhere: BTreeSet<InstanceId>,
    dependents: BTreeMap<UnitName, BTreeSet<InstanceId>>,
}

impl WatchIndex {
    /// Notes that `id` follows `rule`.
    pub(crate) fn add(&mut self, id: InstanceId, rule: &VipRule) {
        for address in &rule.addresses {
            self.by_address.insert((*address, id));
        }
        if rule.nic.is_none() {
            self.anywhere.insert(id);
        }
        for name in names(rule) {
            self.by_nic.entry(name.into()).or_default().insert(id);
        }
    }

    /// Takes back what `add` noted.
    pub(crate) fn remove(&mut self, id: InstanceId, rule: &VipRule) {
        for address in &rule.addresses {
            self.by_address.remove(&(*address, id));
        }
        self.anywhere.remove(&id);
        for name in names(rule) {
            if let Some(ids) = self.by_nic.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_nic.remove(name);
                }
            }
        }
    }

    /// Notes that the service of `id` depends on the units of these settings.
    pub(crate) fn add_units(&mut self, id: InstanceId, settings: &InstanceSettings) {
        for unit in settings.units() {
            self.dependents.entry(unit.clone()).or_default().insert(id);
        }
    }

    /// Takes back what `add_units` noted.
    pub(crate) fn remove_units(&mut self, id: InstanceId, settings: &InstanceSettings) {
        for unit in settings.units() {
            if let Some(ids) = self.dependents.get_mut(unit) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.dependents.remove(unit);
                }
            }
        }
    }

    /// All watched units.
    pub(crate) fn units(&self) -> BTreeSet<UnitName> {
        self.dependents.keys().cloned().collect()
    }

    /// The instances whose services depend on these units, in order.
    pub(crate) fn depending_on(&self, units: &BTreeSet<UnitName>) -> BTreeSet<InstanceId> {
        let of = |unit| self.dependents.get(unit);
        units.iter().filter_map(of).flatten().copied().collect()
    }

    /// All watched addresses.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.by_address
            .iter()
            .map(|(address, _)| *address)
            .collect()
    }

    /// Whether a role, or what is shown of it, depends on this link.
    pub(crate) fn matters(&self, link: &Link) -> bool {
        let is_watched = |name: &String| self.by_nic.contains_key(name);
        !self.anywhere.is_empty() || is_watched(&link.name) || link.altnames.iter().any(is_watched)
    }

    /// The links that have to be told of, as the table has them.
    pub(crate) fn links(&self, table: &AddressTable) -> Links {
        if !self.anywhere.is_empty() {
            return Links::All;
        }
        let names: BTreeSet<_> = self.by_nic.keys().cloned().collect();
        let indexes = names.iter().flat_map(|name| table.bearers(name)).collect();
        Links::Named { names, indexes }
    }

    /// The instances that `touched` concerns, in order.
    pub(crate) fn concerned(&self, touched: &Touched) -> BTreeSet<InstanceId> {
        let of = |address: &IpAddr| {
            let [first, last] = InstanceId::ENDS.map(|id| (*address, id));
            self.by_address.range(first..=last)
        };
        let by_address = touched.addresses.iter().flat_map(of).map(|(_, id)| id);
        let by_nic = touched
            .names
            .iter()
            .filter_map(|name| self.by_nic.get(name));
        by_address.chain(by_nic.flatten()).copied().collect()
    }
}

/// The names of links that matter to a rule: the one in the file and, of a label, the link before the colon.
fn names(rule: &VipRule) -> impl Iterator<Item = &str> {
    let nic = rule.nic.as_deref();
    let link = nic
        .and_then(|nic| nic.split_once(':'))
        .map(|(link, _)| link);
    nic.into_iter().chain(link)
}

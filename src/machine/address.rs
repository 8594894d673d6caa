//! The address table: links and watched addresses of this node, folded from what the kernel says. Pure.
//!
//! The kernel tells levels, not edges: the same address is told again when a lifetime changes, a link's end
//! ends its addresses, and after lost notifications only a dump is true. So nothing here counts events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::job::Role;
use super::kernel::{Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex, ShortName};
use super::reason::Cause;
use super::settings::{NicNeverSeen, Quorum, VipRule};

/// Links and addresses as they are now. Bounded by what the kernel holds of links and watched addresses.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(from = "KernelDump", into = "KernelDump")]
pub(crate) struct AddressTable {
    links: BTreeMap<LinkIndex, Link>,
    /// Which links bear a name or altname. The kernel keeps them unique in a namespace, but a rename and a
    /// new link may be told in either order.
    names: BTreeMap<String, BTreeSet<LinkIndex>>,
    addresses: BTreeMap<IpAddr, BTreeMap<AddressKey, Address>>,
    /// The keys of `addresses` by link, so that the end of one link costs nothing for those of the others.
    on_link: BTreeMap<LinkIndex, BTreeSet<AddressKey>>,
}

/// What changed: whose role may be another now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Addresses that came, went, or changed.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Names of links that came, went, or changed.
    pub(crate) names: BTreeSet<String>,
    /// How many single things differed.
    pub(crate) differences: u32,
}

impl Touched {
    fn address(&mut self, address: IpAddr) {
        self.addresses.insert(address);
        self.differences = self.differences.saturating_add(1);
    }

    fn names(&mut self, link: &Link) {
        self.names.insert(link.name.clone());
        self.names.extend(link.altnames.iter().cloned());
    }

    fn link(&mut self, link: &Link) {
        self.names(link);
        self.differences = self.differences.saturating_add(1);
    }
}

impl From<KernelDump> for AddressTable {
    fn from(dump: KernelDump) -> Self {
        let mut table = Self::default();
        table.replace(&dump, &[], |_| false);
        table
    }
}

impl From<AddressTable> for KernelDump {
    fn from(table: AddressTable) -> Self {
        let addresses = table.addresses.into_values();
        Self {
            links: table.links.into_values().collect(),
            addresses: addresses.flat_map(BTreeMap::into_values).collect(),
        }
    }
}

/// So many addresses are told by name where any would do and none is there.
const NAMED_MAX: usize = 3;

/// Why none of several addresses counts, of which any would do: the one that is nearly there, else all of them.
fn none_of_several(rule: &VipRule, unusable: Option<Cause>) -> Cause {
    unusable.unwrap_or_else(|| Cause::NoVipPresent {
        addresses: rule.addresses.iter().copied().take(NAMED_MAX).collect(),
        more: rule.addresses.len().saturating_sub(NAMED_MAX),
    })
}

impl AddressTable {
    /// Takes in one thing that the kernel said.
    pub(crate) fn apply(&mut self, event: &KernelEvent, touched: &mut Touched) {
        match event {
            KernelEvent::LinkPresent(link) => self.link_present(link, touched),
            KernelEvent::LinkGone(index) => self.link_gone(*index, touched),
            KernelEvent::AddressPresent(address) => self.address_present(*address, touched),
            KernelEvent::AddressGone(key) => self.address_gone(*key, touched),
        }
    }

    /// Replaces everything by a dump, followed by what was told since the dump began. Of links that do not matter
    /// nothing need have been told, so they are no differences.
    pub(crate) fn replace(
        &mut self,
        dump: &KernelDump,
        since: &[KernelEvent],
        matters: impl Fn(&Link) -> bool,
    ) -> Touched {
        let mut fresh = Self::default();
        let mut ignored = Touched::default();
        for link in &dump.links {
            fresh.link_present(link, &mut ignored);
        }
        for address in &dump.addresses {
            fresh.address_present(*address, &mut ignored);
        }
        for event in since {
            fresh.apply(event, &mut ignored);
        }
        let touched = self.differences(&fresh, matters);
        *self = fresh;
        touched
    }

    /// Forgets addresses that are not watched any longer.
    pub(crate) fn retain(&mut self, watched: &BTreeSet<IpAddr>) {
        self.addresses
            .retain(|address, _| watched.contains(address));
        self.on_link.retain(|_, keys| {
            keys.retain(|key| watched.contains(&key.local));
            !keys.is_empty()
        });
    }

    /// The links that bear this name, as name or altname.
    pub(crate) fn bearers(&self, name: &str) -> impl Iterator<Item = LinkIndex> {
        self.names.get(name).into_iter().flatten().copied()
    }

    /// How many watched addresses are there.
    pub(crate) fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// What `rule` makes of the table. `nic_seen` is whether its interface has ever been there, and is set
    /// when it is.
    pub(crate) fn level(&self, rule: &VipRule, nic_seen: &mut bool) -> (Role, Cause) {
        let mut first_present = None;
        let mut first_missing = None;
        let mut unusable = None;
        for address in &rule.addresses {
            match self.presence(*address, rule.nic.as_deref()) {
                Ok(link) => first_present = first_present.or(Some((*address, link))),
                Err(cause) => {
                    if matches!(cause, Cause::VipUnusable { .. }) {
                        unusable.get_or_insert_with(|| cause.clone());
                    }
                    first_missing = first_missing.or(Some(cause));
                }
            }
        }
        let master = match rule.quorum {
            Quorum::All => first_missing.is_none(),
            Quorum::Any => first_present.is_some(),
        };
        if rule.quorum == Quorum::Any && rule.addresses.len() > 1 {
            first_missing = first_missing
                .filter(|_| first_present.is_none())
                .map(|_| none_of_several(rule, unusable));
        }
        let nic_there = rule.nic.as_deref().is_none_or(|nic| self.nic_exists(nic));
        *nic_seen |= nic_there || first_present.is_some();
        match (first_present, first_missing) {
            (Some((address, link)), _) if master => {
                (Role::Master, Cause::VipPresent { address, link })
            }
            (_, Some(missing)) => self.backup(rule, *nic_seen, nic_there, missing),
            // A rule has at least one address, so one of the two is always there.
            (_, None) => (Role::Unknown, Cause::NotLookedYet),
        }
    }

    fn backup(
        &self,
        rule: &VipRule,
        nic_seen: bool,
        nic_there: bool,
        missing: Cause,
    ) -> (Role, Cause) {
        match &rule.nic {
            Some(nic) if !nic_seen && rule.nic_never_seen == NicNeverSeen::Unknown => {
                (Role::Unknown, Cause::NicNeverSeen { nic: nic.clone() })
            }
            Some(nic) if !nic_there && !self.nic_exists(nic) => {
                (Role::Backup, Cause::NicAbsent { nic: nic.clone() })
            }
            Some(_) | None => (Role::Backup, missing),
        }
    }

    /// The link that carries `address` for an interface of this name, or why none does.
    fn presence(&self, address: IpAddr, nic: Option<&str>) -> Result<ShortName, Cause> {
        let mut cause = Cause::VipAbsent { address };
        for entry in self
            .addresses
            .get(&address)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            match nic {
                Some(nic) if !self.matches(entry, nic) => {
                    if matches!(cause, Cause::VipAbsent { .. }) {
                        let nic = nic.to_owned();
                        cause = Cause::VipElsewhere { address, nic };
                    }
                }
                Some(_) | None if entry.usable => return Ok(self.link_name(entry.key.link)),
                Some(_) | None => cause = Cause::VipUnusable { address },
            }
        }
        Err(cause)
    }

    fn matches(&self, entry: &Address, nic: &str) -> bool {
        let by_link = |link: &Link| link.name == nic || link.altnames.iter().any(|alt| alt == nic);
        entry.label.is_some_and(|label| label.as_str() == nic)
            || self.links.get(&entry.key.link).is_some_and(by_link)
    }

    /// Whether an interface of this name is there. Of a label (`eth0:vip`) it is the link that counts,
    /// because the label exists only together with the address.
    fn nic_exists(&self, nic: &str) -> bool {
        let link = nic.split_once(':').map_or(nic, |(link, _)| link);
        self.names.contains_key(nic) || self.names.contains_key(link)
    }

    fn link_name(&self, index: LinkIndex) -> ShortName {
        let known = self
            .links
            .get(&index)
            .and_then(|link| ShortName::new(&link.name).ok());
        // A number of ten digits and a word of five letters fit into a name of fifteen bytes.
        known
            .or_else(|| ShortName::new(&format!("link {index}")).ok())
            .unwrap_or_default()
    }

    fn link_present(&mut self, link: &Link, touched: &mut Touched) {
        let before = self.links.get(&link.index);
        if before == Some(link) {
            return;
        }
        if let Some(before) = before.cloned() {
            touched.link(&before);
            self.forget_names(&before);
        }
        touched.link(link);
        for name in link.altnames.iter().chain([&link.name]) {
            self.names
                .entry(name.clone())
                .or_default()
                .insert(link.index);
        }
        self.links.insert(link.index, link.clone());
    }

    fn link_gone(&mut self, index: LinkIndex, touched: &mut Touched) {
        if let Some(link) = self.links.remove(&index) {
            touched.link(&link);
            self.forget_names(&link);
        }
        // The kernel tells the end of IPv4 addresses one by one, but not always that of IPv6 ones. They may be
        // here without their link: a dump that no longer has it is followed by what was told since it began.
        for key in self.on_link.get(&index).cloned().unwrap_or_default() {
            self.address_gone(key, touched);
        }
    }

    fn forget_names(&mut self, link: &Link) {
        for name in link.altnames.iter().chain([&link.name]) {
            if let Some(bearers) = self.names.get_mut(name) {
                bearers.remove(&link.index);
                if bearers.is_empty() {
                    self.names.remove(name);
                }
            }
        }
    }

    fn address_present(&mut self, address: Address, touched: &mut Touched) {
        let keys = self.on_link.entry(address.key.link).or_default();
        keys.insert(address.key);
        let entries = self.addresses.entry(address.key.local).or_default();
        if entries.insert(address.key, address) != Some(address) {
            touched.address(address.key.local);
        }
    }

    fn address_gone(&mut self, key: AddressKey, touched: &mut Touched) {
        if let Some(keys) = self.on_link.get_mut(&key.link) {
            keys.remove(&key);
            if keys.is_empty() {
                self.on_link.remove(&key.link);
            }
        }
        let Some(entries) = self.addresses.get_mut(&key.local) else {
            return;
        };
        if entries.remove(&key).is_some() {
            touched.address(key.local);
        }
        if entries.is_empty() {
            self.addresses.remove(&key.local);
        }
    }

    /// What has to be looked at again when this table becomes `fresh`.
    fn differences(&self, fresh: &Self, matters: impl Fn(&Link) -> bool) -> Touched {
        let mut touched = Touched::default();
        let indexes: BTreeSet<_> = self.links.keys().chain(fresh.links.keys()).collect();
        for index in indexes {
            let (before, after) = (self.links.get(index), fresh.links.get(index));
            let versions = || before.into_iter().chain(after);
            if before == after || !versions().any(&matters) {
                continue;
            }
            // Whoever waits for the new name is concerned too.
            versions().for_each(|link| touched.names(link));
            touched.differences = touched.differences.saturating_add(1);
        }
        for (address, entries) in &self.addresses {
            if fresh.addresses.get(address) != Some(entries) {
                touched.address(*address);
            }
        }
        for address in fresh.addresses.keys() {
            if !self.addresses.contains_key(address) {
                touched.address(*address);
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests;

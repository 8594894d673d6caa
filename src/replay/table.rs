//! The kernel's links and addresses, folded from what a recording tells of them. Pure.

use std::collections::BTreeMap;

use crate::machine::kernel::{Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex};

/// Links and addresses as the recording shows them.
#[derive(Debug, Default)]
pub(super) struct Table {
    links: BTreeMap<LinkIndex, Link>,
    addresses: BTreeMap<AddressKey, Address>,
}

impl Table {
    pub(super) fn of(dump: KernelDump) -> Self {
        Self {
            links: dump.links.into_iter().map(|one| (one.index, one)).collect(),
            addresses: dump
                .addresses
                .into_iter()
                .map(|one| (one.key, one))
                .collect(),
        }
    }

    pub(super) fn dump(&self) -> KernelDump {
        KernelDump {
            links: self.links.values().cloned().collect(),
            addresses: self.addresses.values().copied().collect(),
        }
    }

    pub(super) fn apply(&mut self, events: &[KernelEvent]) {
        for event in events {
            match event {
                KernelEvent::LinkPresent(link) => {
                    self.links.insert(link.index, link.clone());
                }
                KernelEvent::LinkGone(index) => {
                    self.links.remove(index);
                    self.addresses.retain(|key, _| key.link != *index);
                }
                KernelEvent::AddressPresent(address) => {
                    self.addresses.insert(address.key, *address);
                }
                KernelEvent::AddressGone(key) => {
                    self.addresses.remove(key);
                }
            }
        }
    }

    /// Takes a dump over, and tells what is new in it.
    pub(super) fn become_like(&mut self, dump: &KernelDump) -> Vec<KernelEvent> {
        let fresh = Self::of(dump.clone());
        let gone_links = self
            .links
            .keys()
            .filter(|index| !fresh.links.contains_key(index));
        let gone = self
            .addresses
            .keys()
            .filter(|key| !fresh.addresses.contains_key(key));
        let links = fresh
            .links
            .iter()
            .filter(|(index, link)| self.links.get(index) != Some(*link));
        let new = fresh.addresses.iter();
        let new = new.filter(|(key, address)| self.addresses.get(key) != Some(*address));
        let mut news: Vec<_> = gone_links.copied().map(KernelEvent::LinkGone).collect();
        news.extend(gone.copied().map(KernelEvent::AddressGone));
        news.extend(links.map(|(_, link)| KernelEvent::LinkPresent(link.clone())));
        news.extend(new.map(|(_, address)| KernelEvent::AddressPresent(*address)));
        *self = fresh;
        news
    }
}

//! A fake kernel: links and addresses that change, a notification socket that lags and overflows, dumps that
//! take time. It keeps the true order of things, as the real one does, but promises nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::kernel::{
    Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex, Links, ShortName,
};

use crate::choice::Choices;
use crate::setup::{self, Hardship, LINKS};
use crate::tally::{Kind, Tally};

/// How this world's kernel and its reader misbehave.
#[derive(Debug)]
pub(crate) struct Manners {
    /// Notifications that the socket holds.
    pub(crate) queue_max: usize,
    /// How long the daemon takes to come round to reading.
    pub(crate) lag: Duration,
    /// How many notifications one wake-up reads.
    pub(crate) batch_max: usize,
    /// How long a dump takes at most.
    pub(crate) dump_time: Duration,
    /// Of a thousand dumps, how many fail.
    pub(crate) dump_failures: u64,
    /// Of a thousand notifications, how many are told twice.
    pub(crate) doubled: u64,
    /// Of a thousand notifications, how many are never told, without an overrun. The real kernel does not do this;
    /// whoever forgets one in the daemon does.
    pub(crate) forgotten: u64,
}

impl Manners {
    /// Any manners.
    pub(crate) fn any(choices: &mut Choices, hardship: Hardship) -> Self {
        Self {
            queue_max: choices.pick(&[4, 16, 64, 256]),
            lag: Duration::from_micros(choices.pick(&[0, 100, 1_000, 20_000])),
            batch_max: choices.pick(&[1, 8, 1_000]),
            dump_time: Duration::from_micros(choices.pick(&[200, 2_000, 50_000, 3_000_000])),
            dump_failures: choices.pick(&[0, 50, 400]),
            doubled: choices.pick(&[0, 100]),
            forgotten: match hardship {
                Hardship::Usual => 0,
                Hardship::Extreme => 10,
            },
        }
    }
}

/// Links, addresses, and the daemon's socket.
#[derive(Debug)]
pub(crate) struct FakeKernel {
    pub(crate) manners: Manners,
    links: BTreeMap<LinkIndex, Link>,
    addresses: BTreeMap<AddressKey, Address>,
    next_index: LinkIndex,
    socket: Option<VecDeque<KernelEvent>>,
    /// The links that the daemon wants to be told of: of others it is told nothing but their end.
    pub(crate) filter: Links,
    overrun: bool,
    /// Since when something waits to be read.
    pub(crate) unread_since: Option<Time>,
    /// Links that were deleted.
    deleted: BTreeSet<String>,
    tally: Tally,
    pub(crate) refuses_until: Time,
    pub(crate) dumps_fail_until: Time,
    pub(crate) snapshot: Option<KernelDump>,
}

impl FakeKernel {
    pub(crate) fn new(choices: &mut Choices, hardship: Hardship, tally: Tally) -> Self {
        let mut kernel = Self {
            manners: Manners::any(choices, hardship),
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            next_index: 1,
            socket: None,
            filter: Links::All,
            overrun: false,
            unread_since: None,
            deleted: BTreeSet::new(),
            tally,
            refuses_until: Time::ZERO,
            dumps_fail_until: Time::ZERO,
            snapshot: None,
        };
        for name in LINKS {
            if choices.chance(850) {
                kernel.make_link(choices, name);
            }
        }
        kernel
    }

    /// From now on it behaves.
    pub(crate) fn calm_down(&mut self) {
        self.manners = Manners {
            queue_max: 10_000,
            lag: Duration::from_micros(100),
            batch_max: 1_000,
            dump_time: Duration::from_millis(1),
            dump_failures: 0,
            doubled: 0,
            forgotten: 0,
        };
        self.refuses_until = Time::ZERO;
        self.dumps_fail_until = Time::ZERO;
    }

    pub(crate) fn open_socket(&mut self) {
        self.socket = Some(VecDeque::new());
        self.overrun = false;
        self.unread_since = None;
    }

    pub(crate) fn close_socket(&mut self) -> bool {
        self.socket.take().is_some()
    }

    /// Whether there is something to read.
    pub(crate) fn readable(&self) -> bool {
        self.overrun || self.socket.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// One wake-up of the reader: `None` is an overrun, after which all that was queued is discarded.
    pub(crate) fn read(&mut self, watched: &BTreeSet<IpAddr>) -> Option<Vec<KernelEvent>> {
        let queue = self.socket.get_or_insert_default();
        if std::mem::take(&mut self.overrun) {
            queue.clear();
            return None;
        }
        let count = queue.len().min(self.manners.batch_max);
        let watched = |event: &KernelEvent| match event {
            KernelEvent::LinkPresent(_) | KernelEvent::LinkGone(_) => true,
            KernelEvent::AddressPresent(address) => watched.contains(&address.key.local),
            KernelEvent::AddressGone(key) => watched.contains(&key.local),
        };
        Some(queue.drain(..count).filter(watched).collect())
    }

    /// What is there, as a complete dump shows it.
    pub(crate) fn dump(&self, watched: &BTreeSet<IpAddr>) -> KernelDump {
        let is_watched = |address: &&Address| watched.contains(&address.key.local);
        KernelDump {
            links: self.links.values().cloned().collect(),
            addresses: self
                .addresses
                .values()
                .filter(is_watched)
                .copied()
                .collect(),
        }
    }

    /// A VIP goes if it is there, and comes if it is not. Says whether it came with detection under way.
    pub(crate) fn flip(&mut self, choices: &mut Choices, slot: usize) -> Option<AddressKey> {
        let local = setup::vip(slot);
        let there: Vec<_> = self
            .addresses
            .keys()
            .filter(|key| key.local == local)
            .copied()
            .collect();
        if !there.is_empty() {
            for key in there {
                self.forget_address(choices, key);
            }
            return None;
        }
        let home = setup::home(slot);
        let link = self.index_of(home).or_else(|| self.any_link(choices))?;
        self.add_address(choices, link, local, home)
    }

    /// The same address once more: with another prefix, or on another link.
    pub(crate) fn double_vip(&mut self, choices: &mut Choices, slot: usize) {
        let local = setup::vip(slot);
        let first = self.addresses.keys().find(|key| key.local == local);
        let Some(mut key) = first.copied() else {
            return;
        };
        if choices.chance(500) {
            key.prefix_length = 24;
        } else if let Some(link) = self.any_link(choices) {
            key.link = link;
        }
        if !self.addresses.contains_key(&key) {
            self.tally.count(Kind::AddressDoubled);
        }
        self.note_address(
            choices,
            Address {
                key,
                label: None,
                usable: true,
            },
        );
    }

    /// Detection is over.
    pub(crate) fn make_usable(&mut self, choices: &mut Choices, key: AddressKey) {
        if let Some(address) = self.addresses.get(&key).copied() {
            self.note_address(
                choices,
                Address {
                    usable: true,
                    ..address
                },
            );
        }
    }

    /// A link goes, and its addresses with it: told one by one for IPv4, not always for IPv6.
    pub(crate) fn delete_link(&mut self, choices: &mut Choices, name: &str) {
        let Some(index) = self.index_of(name) else {
            return;
        };
        let of_link = |key: &&AddressKey| key.link == index;
        let keys: Vec<_> = self.addresses.keys().filter(of_link).copied().collect();
        for key in keys {
            if key.local.is_ipv4() && choices.chance(800) {
                self.forget_address(choices, key);
            } else {
                self.addresses.remove(&key);
            }
        }
        self.links.remove(&index);
        self.deleted.insert(name.to_owned());
        self.tally.count(Kind::LinkDeleted);
        self.tell(choices, &KernelEvent::LinkGone(index));
    }

    pub(crate) fn make_link(&mut self, choices: &mut Choices, name: &str) {
        if self.index_of(name).is_some() {
            return;
        }
        if self.deleted.remove(name) {
            self.tally.count(Kind::LinkMadeAgain);
        }
        let index = self.next_index;
        self.next_index += 1;
        let altnames = vec![format!("{name}-alt")];
        self.note_link(
            choices,
            Link {
                index,
                name: name.into(),
                altnames,
            },
        );
    }

    /// Gives a link another name, or takes away its altname, until `restore_link`.
    pub(crate) fn disguise_link(&mut self, choices: &mut Choices, name: &str) {
        let Some(mut link) = self.link_called(name) else {
            return;
        };
        if choices.chance(500) {
            link.name = format!("{name}-x");
        } else {
            link.altnames.clear();
        }
        self.tally.count(Kind::LinkDisguised);
        self.note_link(choices, link);
    }

    /// Makes a link what it was: made anew if it is gone.
    pub(crate) fn restore_link(&mut self, choices: &mut Choices, name: &str) {
        match self
            .link_called(&format!("{name}-x"))
            .or_else(|| self.link_called(name))
        {
            Some(mut link) => {
                link.name = name.into();
                link.altnames = vec![format!("{name}-alt")];
                self.note_link(choices, link);
            }
            None => self.make_link(choices, name),
        }
    }

    /// All links and addresses, for the final truth.
    pub(crate) fn truth(&self) -> KernelDump {
        KernelDump {
            links: self.links.values().cloned().collect(),
            addresses: self.addresses.values().copied().collect(),
        }
    }

    fn add_address(
        &mut self,
        choices: &mut Choices,
        link: LinkIndex,
        local: IpAddr,
        home: &str,
    ) -> Option<AddressKey> {
        let key = AddressKey {
            link,
            local,
            prefix_length: 32,
            peer: None,
        };
        let tentative = local.is_ipv6() && choices.chance(500);
        let label = (local.is_ipv4() && choices.chance(700))
            .then(|| ShortName::new(&format!("{home}:vip")).ok())
            .flatten();
        self.note_address(
            choices,
            Address {
                key,
                label,
                usable: !tentative,
            },
        );
        if tentative {
            self.tally.count(Kind::AddressTentative);
        }
        tentative.then_some(key)
    }

    fn index_of(&self, name: &str) -> Option<LinkIndex> {
        self.link_called(name).map(|link| link.index)
    }

    fn link_called(&self, name: &str) -> Option<Link> {
        self.links.values().find(|link| link.name == name).cloned()
    }

    fn any_link(&self, choices: &mut Choices) -> Option<LinkIndex> {
        let all: Vec<_> = self.links.keys().copied().collect();
        (!all.is_empty()).then(|| choices.pick(&all))
    }

    fn note_link(&mut self, choices: &mut Choices, link: Link) {
        self.links.insert(link.index, link.clone());
        self.tell(choices, &KernelEvent::LinkPresent(link));
    }

    fn note_address(&mut self, choices: &mut Choices, address: Address) {
        self.addresses.insert(address.key, address);
        self.tell(choices, &KernelEvent::AddressPresent(address));
    }

    fn forget_address(&mut self, choices: &mut Choices, key: AddressKey) {
        self.addresses.remove(&key);
        self.tell(choices, &KernelEvent::AddressGone(key));
    }

    fn tell(&mut self, choices: &mut Choices, event: &KernelEvent) {
        let Some(queue) = &mut self.socket else {
            return;
        };
        if let (KernelEvent::LinkPresent(link), Links::Named { names, indexes }) =
            (event, &self.filter)
        {
            let named = link
                .altnames
                .iter()
                .chain([&link.name])
                .any(|it| names.contains(it));
            if !named && !indexes.contains(&link.index) {
                return;
            }
        }
        if self.manners.forgotten > 0 && choices.chance(self.manners.forgotten) {
            self.tally.count(Kind::NewsForgotten);
            return;
        }
        let times = 1 + usize::from(choices.chance(self.manners.doubled));
        for time in 0..times {
            if queue.len() >= self.manners.queue_max {
                self.overrun = true;
            } else {
                if time > 0 {
                    self.tally.count(Kind::NewsDoubled);
                }
                queue.push_back(event.clone());
            }
        }
    }
}

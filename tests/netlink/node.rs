//! A node as a subscriber sees it, and what happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keepstart::machine::kernel::{
    Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex, Links,
};
use keepstart::source::netlink::{self, Filter, NetlinkError, Read, Subscription, Watched};
use tokio::runtime::Runtime;

/// How long to wait for the kernel: far longer than it ever takes (duplicate address detection: 2 s).
const PATIENCE: Duration = Duration::from_secs(20);

/// What a subscriber knows of its node: a dump, kept true by what the subscription tells.
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) subscription: Subscription,
    pub(crate) watched: Watched,
    pub(crate) links: BTreeMap<LinkIndex, Link>,
    pub(crate) addresses: BTreeMap<AddressKey, Address>,
    pub(crate) told: Vec<KernelEvent>,
    pub(crate) overruns: u32,
}

impl Node {
    pub(crate) fn new(receive_buffer_bytes: usize) -> Self {
        Self::watching(
            receive_buffer_bytes,
            (1..=9)
                .map(|last| IpAddr::from([10, 0, 0, last]))
                .chain(["fd00::1", "fd00::2", "::ffff:10.0.0.1"].map(|it| it.parse().unwrap())),
        )
    }

    pub(crate) fn watching(
        receive_buffer_bytes: usize,
        watched: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let subscription = {
            let _inside = runtime.enter();
            Subscription::open(receive_buffer_bytes).unwrap()
        };
        let mut node = Self {
            runtime,
            subscription,
            watched: watched.into_iter().collect(),
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            told: Vec::new(),
            overruns: 0,
        };
        node.dump();
        node
    }

    /// Puts the filter for what is watched on the socket, and reads what was queued before.
    pub(crate) fn filter(&mut self) {
        self.subscription.watch(&self.watched).unwrap();
        assert!(matches!(self.subscription.filter(), Filter::Exact { .. }));
        self.drain();
    }

    /// Has the kernel tell nothing of links that live on: some of that comes later, from a work queue.
    pub(crate) fn watch_no_links(&mut self) {
        let none = Links::Named {
            names: BTreeSet::new(),
            indexes: BTreeSet::new(),
        };
        self.watched = std::mem::take(&mut self.watched).with_links(none);
        self.filter();
    }

    pub(crate) fn dumped(&self) -> Result<KernelDump, NetlinkError> {
        self.runtime.block_on(netlink::dump(&self.watched))
    }

    pub(crate) fn dump(&mut self) {
        let dump = self.dumped().unwrap();
        self.links = dump
            .links
            .into_iter()
            .map(|link| (link.index, link))
            .collect();
        self.addresses = dump.addresses.into_iter().map(|it| (it.key, it)).collect();
    }

    pub(crate) fn apply(&mut self, event: KernelEvent) {
        self.told.push(event.clone());
        match event {
            KernelEvent::LinkPresent(link) => {
                self.links.insert(link.index, link);
            }
            KernelEvent::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.retain(|key, _| key.link != index);
            }
            KernelEvent::AddressPresent(address) => {
                self.addresses.insert(address.key, address);
            }
            KernelEvent::AddressGone(key) => {
                self.addresses.remove(&key);
            }
        }
    }

    /// Reads until nothing is queued, as the reactor does: an overrun is answered by a dump.
    pub(crate) fn drain(&mut self) {
        let mut events = Vec::new();
        loop {
            match self.subscription.read(&self.watched, &mut events) {
                Read::More => {}
                Read::Drained => break,
                Read::Overrun => {
                    assert_eq!(events, [], "an overrun discards what was read");
                    self.overruns += 1;
                    self.dump();
                }
                Read::Lost(error) => panic!("{error}"),
            }
        }
        for event in events {
            self.apply(event);
        }
    }

    /// Waits for notifications until `done`, and holds what they told against a new dump.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut idle_wakeups = 0;
        while !done(self) {
            let before = self.subscription.counters();
            let woken = self.runtime.block_on(async {
                tokio::time::timeout(PATIENCE, self.subscription.ready()).await
            });
            let Ok(ready) = woken else {
                panic!(
                    "not told in time: {what}\n{:#?}\n{:#?}",
                    self.told, self.addresses
                );
            };
            ready.unwrap();
            self.drain();
            idle_wakeups += u32::from(self.subscription.counters() == before);
            assert!(
                idle_wakeups <= 2,
                "woken again and again with nothing to read: {what}"
            );
        }
        let dump = self.dumped().unwrap();
        let dumped: BTreeMap<_, _> = dump.addresses.into_iter().map(|it| (it.key, it)).collect();
        assert_eq!(
            self.addresses, dumped,
            "notifications and dump disagree: {what}"
        );
    }

    /// The one address that is known with this text.
    pub(crate) fn find(&self, address: &str) -> Option<Address> {
        let address: IpAddr = address.parse().unwrap();
        let mut found = self.addresses.values().filter(|it| it.key.local == address);
        let first = found.next().copied();
        assert!(found.next().is_none(), "{address} is there twice");
        first
    }

    #[track_caller]
    pub(crate) fn appears(&mut self, address: &str) -> Address {
        self.until(address, |node| node.find(address).is_some());
        self.find(address).unwrap()
    }

    #[track_caller]
    pub(crate) fn disappears(&mut self, address: &str) {
        self.until(address, |node| node.find(address).is_none());
    }

    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }
}

/// A second network namespace, which lives as long as its only process.
pub(crate) struct Neighbour(Child);

impl Neighbour {
    pub(crate) fn new() -> Self {
        let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let sleep = Command::new("unshare").args(["-n", "sleep", "60"]).spawn();
        let neighbour = Self(sleep.unwrap());
        // Until `unshare` has left, a link that is sent there would stay here.
        let namespace = format!("/proc/{}/ns/net", neighbour.pid());
        while std::fs::read_link(&namespace).unwrap() == here {
            std::thread::sleep(Duration::from_millis(1));
        }
        neighbour
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn ip(&self, arguments: &str) {
        let enter = ["-t", &self.pid().to_string(), "-n", "ip"].map(String::from);
        let words = arguments.split_whitespace().map(String::from);
        let status = Command::new("nsenter")
            .args(enter.into_iter().chain(words))
            .status();
        assert!(status.unwrap().success(), "{arguments}");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about anything else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs many `ip` commands in one process.
pub(crate) fn ip_batch(commands: &str) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(commands.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// `ip addr VERB` lines for the addresses with these numbers, counted from 10.1.0.0.
pub(crate) fn addresses_batch(verb: &str, numbers: Range<u32>) -> String {
    numbers
        .into_iter()
        .fold(String::new(), |mut lines, number| {
            let address = Ipv4Addr::from(0x0a01_0000 + number);
            writeln!(lines, "addr {verb} {address}/32 dev v0").unwrap();
            lines
        })
}

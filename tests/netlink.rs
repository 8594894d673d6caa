//! The netlink source against the real kernel, each test in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keepstart::machine::kernel::{Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex};
use keepstart::source::netlink::{
    self, NetlinkError, RECEIVE_BUFFER_BYTES, Read, ReceiveBuffer, Subscription, Watched,
};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::runtime::Runtime;

#[path = "support/netns.rs"]
mod netns;

use netns::ip;

/// How long to wait for the kernel: far longer than it ever takes (duplicate address detection: 2 s).
const PATIENCE: Duration = Duration::from_secs(20);

/// A test in a namespace with `v0` and `v1`, a veth pair that is up.
macro_rules! in_namespace {
    ($($(#[$attribute:meta])* fn $name:ident($node:ident) $body:block)+) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            netns::run(stringify!($name), || {
                ip("link add v0 type veth peer name v1");
                ip("link set v0 up");
                ip("link set v1 up");
                let mut $node = Node::new(RECEIVE_BUFFER_BYTES);
                $body
            });
        }
    )+};
}

/// What a subscriber knows of its node: a dump, kept true by what the subscription tells.
struct Node {
    runtime: Runtime,
    subscription: Subscription,
    watched: Watched,
    links: BTreeMap<LinkIndex, Link>,
    addresses: BTreeMap<AddressKey, Address>,
    told: Vec<KernelEvent>,
    overruns: u32,
}

impl Node {
    fn new(receive_buffer_bytes: usize) -> Self {
        Self::watching(
            receive_buffer_bytes,
            (1..=9)
                .map(|last| IpAddr::from([10, 0, 0, last]))
                .chain(["fd00::1", "fd00::2", "::ffff:10.0.0.1"].map(|it| it.parse().unwrap())),
        )
    }

    fn watching(receive_buffer_bytes: usize, watched: impl IntoIterator<Item = IpAddr>) -> Self {
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

    fn dumped(&self) -> Result<KernelDump, NetlinkError> {
        self.runtime.block_on(netlink::dump(&self.watched))
    }

    fn dump(&mut self) {
        let dump = self.dumped().unwrap();
        self.links = dump
            .links
            .into_iter()
            .map(|link| (link.index, link))
            .collect();
        self.addresses = dump.addresses.into_iter().map(|it| (it.key, it)).collect();
    }

    fn apply(&mut self, event: KernelEvent) {
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
    fn drain(&mut self) {
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
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
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
        }
        let dump = self.dumped().unwrap();
        let dumped: BTreeMap<_, _> = dump.addresses.into_iter().map(|it| (it.key, it)).collect();
        assert_eq!(
            self.addresses, dumped,
            "notifications and dump disagree: {what}"
        );
    }

    /// The one address that is known with this text.
    fn find(&self, address: &str) -> Option<Address> {
        let address: IpAddr = address.parse().unwrap();
        let mut found = self.addresses.values().filter(|it| it.key.local == address);
        let first = found.next().copied();
        assert!(found.next().is_none(), "{address} is there twice");
        first
    }

    #[track_caller]
    fn appears(&mut self, address: &str) -> Address {
        self.until(address, |node| node.find(address).is_some());
        self.find(address).unwrap()
    }

    #[track_caller]
    fn disappears(&mut self, address: &str) {
        self.until(address, |node| node.find(address).is_none());
    }

    fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }
}

/// A second network namespace, which lives as long as its only process.
struct Neighbour(Child);

impl Neighbour {
    fn new() -> Self {
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

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn ip(&self, arguments: &str) {
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
fn ip_batch(commands: &str) {
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

/// `ip addr VERB` lines for `count` addresses from 10.1.0.0 on.
fn addresses_batch(verb: &str, count: u32) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        let address = Ipv4Addr::from(0x0a01_0000 + number);
        writeln!(lines, "addr {verb} {address}/32 dev v0").unwrap();
        lines
    })
}

in_namespace! {
    fn v4_comes_and_goes(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        let address = node.appears("10.0.0.1");
        assert_eq!(Some(address.key.link), node.link("v0").map(|link| link.index));
        assert_eq!(address.key.prefix_length, 24);
        assert_eq!(address.key.peer, None);
        assert_eq!(address.label.unwrap().as_str(), "v0");
        assert!(address.usable);
        ip("addr del 10.0.0.1/24 dev v0");
        node.disappears("10.0.0.1");
    }

    fn unwatched_addresses_are_not_told(node) {
        ip("addr add 10.9.9.9/24 dev v0");
        ip("addr add fd99::9/64 dev v0 nodad");
        ip("addr add 10.0.0.1/32 dev v0");
        node.appears("10.0.0.1");
        assert_eq!(node.addresses.len(), 1);
        assert!(node.subscription.counters().decoded >= 3);
    }

    fn host_prefix_and_secondary_are_told(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        ip("addr add 10.0.0.2/24 dev v0");
        ip("addr add 10.0.0.3/32 dev v0");
        node.appears("10.0.0.2");
        assert_eq!(node.appears("10.0.0.3").key.prefix_length, 32);
        // The kernel removes the secondary with its primary (promote_secondaries=0).
        ip("addr del 10.0.0.1/24 dev v0");
        node.disappears("10.0.0.2");
        assert!(node.find("10.0.0.3").is_some());
    }

    fn label_is_told(node) {
        ip("addr add 10.0.0.1/24 dev v0 label v0:vip");
        assert_eq!(node.appears("10.0.0.1").label.unwrap().as_str(), "v0:vip");
    }

    fn same_address_with_two_prefixes_is_two(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        ip("addr add 10.0.0.1/32 dev v0");
        node.until("both", |node| node.addresses.len() == 2);
        ip("addr del 10.0.0.1/24 dev v0");
        node.until("one", |node| node.addresses.len() == 1);
    }

    fn point_to_point_counts_the_own_end(node) {
        ip("addr add 10.0.0.1 peer 10.0.0.2 dev v0");
        let address = node.appears("10.0.0.1");
        assert_eq!(address.key.peer, Some([10, 0, 0, 2].into()));
        assert_eq!(node.find("10.0.0.2"), None);
        ip("addr add fd00::1 peer fd00::2 dev v0 nodad");
        let address = node.appears("fd00::1");
        assert_eq!(address.key.peer, Some("fd00::2".parse().unwrap()));
        assert_eq!(node.find("fd00::2"), None);
        ip("addr del 10.0.0.1 peer 10.0.0.2 dev v0");
        node.disappears("10.0.0.1");
        ip("addr del fd00::1 peer fd00::2 dev v0");
        node.disappears("fd00::1");
    }

    fn v6_comes_and_goes(node) {
        ip("addr add fd00::1/64 dev v0 nodad");
        let address = node.appears("fd00::1");
        assert!(address.usable);
        assert_eq!(address.key.prefix_length, 64);
        assert_eq!(address.key.peer, None);
        assert_eq!(address.label, None);
        ip("addr del fd00::1/64 dev v0");
        node.disappears("fd00::1");
    }

    fn mapped_address_is_no_v4_address(node) {
        ip("addr add ::ffff:10.0.0.1/128 dev v0 nodad");
        let address = node.appears("::ffff:10.0.0.1");
        assert!(address.key.local.is_ipv6());
        assert_eq!(node.find("10.0.0.1"), None);
    }

    fn deprecated_v6_is_usable(node) {
        ip("addr add fd00::1/128 dev v0 nodad preferred_lft 0");
        assert!(node.appears("fd00::1").usable);
    }

    fn tentative_v6_becomes_usable(node) {
        ip("addr add fd00::1/64 dev v0");
        assert!(!node.appears("fd00::1").usable);
        node.until("usable", |node| node.find("fd00::1").is_some_and(|it| it.usable));
    }

    fn v6_that_another_node_has_stays_unusable(node) {
        let neighbour = Neighbour::new();
        ip(&format!("link set v1 netns {}", neighbour.pid()));
        neighbour.ip("link set v1 up");
        neighbour.ip("addr add fd00::1/64 dev v1 nodad");
        ip("addr add fd00::1/64 dev v0");
        // Told twice: tentative, then tentative and failed.
        let told = |node: &Node| {
            let tellings = node.told.iter().filter(|it| matches!(it, KernelEvent::AddressPresent(_)));
            tellings.count()
        };
        node.until("dadfailed", |node| told(node) >= 2);
        let failed = Command::new("ip").args(["addr", "show", "dadfailed"]).output().unwrap();
        assert!(String::from_utf8_lossy(&failed.stdout).contains("fd00::1"));
        assert!(!node.find("fd00::1").unwrap().usable);
    }

    fn macvlan_made_again_has_a_new_index(node) {
        ip("link add link v0 name vrrp.51 type macvlan mode private");
        ip("addr add 10.0.0.1/32 dev vrrp.51");
        let first = node.appears("10.0.0.1").key.link;
        assert_eq!(node.link("vrrp.51").unwrap().index, first);
        ip("link del vrrp.51");
        node.until("gone", |node| node.link("vrrp.51").is_none());
        assert_eq!(node.find("10.0.0.1"), None);
        assert!(node.told.contains(&KernelEvent::LinkGone(first)));
        ip("link add link v0 name vrrp.51 type macvlan mode private");
        ip("addr add 10.0.0.1/32 dev vrrp.51");
        let second = node.appears("10.0.0.1").key.link;
        assert_ne!(first, second);
        assert_eq!(node.link("vrrp.51").unwrap().index, second);
    }

    fn rename_is_told(node) {
        let index = node.link("v0").unwrap().index;
        ip("link set v0 down");
        ip("link set v0 name wan");
        node.until("renamed", |node| node.link("wan").is_some_and(|link| link.index == index));
        assert_eq!(node.link("v0"), None);
    }

    fn altnames_are_told(node) {
        let long = "a-name-that-is-longer-than-an-interface-name";
        ip(&format!("link property add dev v0 altname {long} altname wan"));
        node.until("named", |node| node.link("v0").unwrap().altnames == [long, "wan"]);
        assert!(node.dumped().unwrap().links.contains(node.link("v0").unwrap()));
        ip("link property del dev v0 altname wan");
        node.until("unnamed", |node| node.link("v0").unwrap().altnames == [long]);
    }

    fn leaving_a_bridge_is_not_going(node) {
        ip("link add br0 type bridge");
        ip("addr add 10.0.0.1/24 dev v0");
        ip("link set v0 master br0");
        ip("link set v0 nomaster");
        ip("addr add 10.0.0.2/24 dev v0");
        node.appears("10.0.0.2");
        let gone = |event: &KernelEvent| matches!(event, KernelEvent::LinkGone(_));
        assert!(!node.told.iter().any(gone), "{:#?}", node.told);
        assert!(node.link("v0").is_some());
        assert!(node.find("10.0.0.1").is_some());
        // The link itself does go.
        ip("link del v0");
        node.until("gone", |node| node.link("v0").is_none());
        assert_eq!(node.addresses.len(), 0);
    }

    fn link_that_leaves_the_namespace_is_gone(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        node.appears("10.0.0.1");
        let neighbour = Neighbour::new();
        ip(&format!("link set v0 netns {}", neighbour.pid()));
        node.until("gone", |node| node.link("v0").is_none());
        assert_eq!(node.find("10.0.0.1"), None);
    }

    fn dump_equals_reality(node) {
        ip_batch(&addresses_batch("add", 1_000));
        ip("addr add fd00::1/64 dev v1 nodad");
        node.watched = (0..2_000)
            .map(|number| IpAddr::from(Ipv4Addr::from(0x0a01_0000 + number)))
            .chain(["fd00::1".parse().unwrap()])
            .collect();
        let dump = node.dumped().unwrap();
        let dumped: BTreeSet<String> = dump.addresses.iter()
            .map(|it| format!("{} {}/{}", it.key.link, it.key.local, it.key.prefix_length))
            .collect();
        assert_eq!(dumped.len(), dump.addresses.len());
        let shown = Command::new("ip").args(["-o", "addr", "show"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let shown: BTreeSet<String> = shown.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let index = words.next()?.trim_end_matches(':');
                let address = words.nth(2)?;
                Some(format!("{index} {address}"))
            })
            .filter(|it| it.contains(" 10.1.") || it.contains(" fd00::1"))
            .collect();
        assert_eq!(shown.len(), 1_001);
        assert_eq!(dumped, shown);
        let names: BTreeSet<&str> = dump.links.iter().map(|link| link.name.as_str()).collect();
        assert!(names.is_superset(&BTreeSet::from(["lo", "v0", "v1"])), "{names:?}");
    }

    fn a_read_without_a_wait_brings_what_is_queued(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        node.drain();
        assert!(node.find("10.0.0.1").is_some());
    }

    fn add_and_delete_arrive_in_one_read(node) {
        ip("addr add 10.0.0.1/24 dev v0");
        ip("addr del 10.0.0.1/24 dev v0");
        node.drain();
        assert_eq!(node.told.iter().filter(|it| matches!(it, KernelEvent::AddressPresent(_))).count(), 1);
        assert_eq!(node.find("10.0.0.1"), None);
    }

    fn burst_that_fits_is_not_an_overrun(node) {
        // An address event is charged 832 bytes; without CAP_NET_ADMIN the buffer may be a small one.
        let fitting = node.subscription.receive_buffer().bytes() / 1_024;
        let burst = u32::try_from(fitting).unwrap().min(3_000);
        ip_batch(&addresses_batch("add", burst));
        ip("addr add 10.0.0.1/24 dev v0");
        node.drain();
        assert_eq!(node.overruns, 0);
        assert!(node.find("10.0.0.1").is_some());
        assert!(node.subscription.counters().decoded > burst.into());
    }
}

/// The smallest buffer the kernel grants.
const TINY_BUFFER_BYTES: usize = 4_096;

/// Runs `unseen` while nobody reads, in a namespace where 10.0.0.1 exists already and the buffer is tiny.
fn overrun(test: &'static str, unseen: impl FnOnce() + Send, present: bool) {
    netns::run(test, || {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("addr add 10.0.0.1/32 dev v0");
        let mut node = Node::new(TINY_BUFFER_BYTES);
        assert!(node.find("10.0.0.1").is_some());
        // These fill the queue and stay in it: they are older than the loss.
        ip("addr del 10.0.0.1/32 dev v0");
        ip("addr add 10.0.0.1/32 dev v0");
        ip_batch(&addresses_batch("add", 500));
        unseen();
        node.drain();
        assert_eq!(node.overruns, 1);
        assert!(
            node.subscription.counters().discarded > 0,
            "the queue was not stale"
        );
        assert_eq!(node.find("10.0.0.1").is_some(), present);
        // And what follows is heard.
        ip("addr add 10.0.0.2/32 dev v0");
        node.appears("10.0.0.2");
        assert_eq!(node.overruns, 1);
        assert_eq!(node.find("10.0.0.1").is_some(), present);
    });
}

#[test]
fn overrun_hides_a_delete() {
    overrun(
        "overrun_hides_a_delete",
        || ip("addr del 10.0.0.1/32 dev v0"),
        false,
    );
}

#[test]
fn overrun_hides_an_add() {
    let unseen = || {
        ip("addr del 10.0.0.1/32 dev v0");
        ip("addr add 10.0.0.1/32 dev v0");
    };
    overrun("overrun_hides_an_add", unseen, true);
}

#[test]
fn overrun_wakes_the_reader() {
    netns::run("overrun_wakes_the_reader", || {
        ip("link add v0 type veth peer name v1");
        let mut node = Node::new(TINY_BUFFER_BYTES);
        ip_batch(&addresses_batch("add", 500));
        node.until("overrun", |node| node.overruns == 1);
    });
}

#[test]
fn messages_of_other_processes_are_ignored() {
    netns::run("messages_of_other_processes_are_ignored", || {
        let mut node = Node::new(RECEIVE_BUFFER_BYTES);
        node.drain();
        let before = node.subscription.counters();
        let mut message = NetlinkMessage::new(
            NetlinkHeader::default(),
            RouteNetlinkMessage::DelLink({
                let mut link = LinkMessage::default();
                link.header.index = 1;
                link
            })
            .into(),
        );
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
        socket.bind_auto().unwrap();
        // To everybody who listens for links: the kernel allows it with CAP_NET_ADMIN.
        socket.send_to(&bytes, &SocketAddr::new(0, 1), 0).unwrap();
        node.drain();
        assert_eq!(node.told, []);
        let after = node.subscription.counters();
        assert_eq!(after.foreign, before.foreign + 1);
        assert_eq!(after.decoded, before.decoded);
    });
}

#[test]
fn buffer_is_forced_only_with_the_capability() {
    netns::run("buffer_is_forced_only_with_the_capability", || {
        let node = Node::new(RECEIVE_BUFFER_BYTES);
        let granted = node.subscription.receive_buffer();
        let allowed: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
            .map_or(0, |text| text.trim().parse().unwrap());
        match granted {
            ReceiveBuffer::Forced { bytes } => assert_eq!(bytes, 2 * RECEIVE_BUFFER_BYTES),
            ReceiveBuffer::Limited { bytes } => {
                assert!(allowed == 0 || bytes == 2 * RECEIVE_BUFFER_BYTES.min(allowed));
            }
        }
        assert!(u64::from(node.subscription.queue_bound()) * 256 >= granted.bytes() as u64);
    });
}

/// Changes of the table while it is dumped in many parts are either noticed, or have made no difference to
/// the addresses that were there all along.
#[test]
fn dump_under_churn_is_complete_or_says_that_it_is_not() {
    netns::run(
        "dump_under_churn_is_complete_or_says_that_it_is_not",
        || {
            ip("link add v0 type veth peer name v1");
            ip_batch(&addresses_batch("add", 2_000));
            let all = (0..2_000).map(|number| IpAddr::from(Ipv4Addr::from(0x0a01_0000 + number)));
            let node = Node::watching(RECEIVE_BUFFER_BYTES, all);
            // Linked before the others of its link, so that every change moves these in the kernel's list.
            let churn = "addr add 10.2.0.1/32 dev v0 \naddr del 10.2.0.1/32 dev v0\n".repeat(2_000);
            let mut child = Command::new("ip")
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let feeder = std::thread::spawn(move || stdin.write_all(churn.as_bytes()).ok());
            let (mut whole, mut interrupted) = (0, 0);
            while child.try_wait().unwrap().is_none() {
                match node.dumped() {
                    Ok(dump) => {
                        whole += 1;
                        assert_eq!(
                            dump.addresses.len(),
                            2_000,
                            "a dump lacks what was there all along"
                        );
                    }
                    Err(NetlinkError::Interrupted { .. }) => interrupted += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            feeder.join().unwrap();
            assert!(whole + interrupted > 0);
        },
    );
}

//! The netlink source against the real kernel, each test in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use keepstart::machine::kernel::KernelEvent;
use keepstart::source::netlink::RECEIVE_BUFFER_BYTES;

#[path = "netlink/filter.rs"]
mod filter;
#[path = "netlink/missing.rs"]
mod missing;
#[path = "support/netns.rs"]
mod netns;
#[path = "netlink/node.rs"]
mod node;

use netns::ip;
use node::{Neighbour, Node, addresses_batch, ip_batch};

/// A test in a namespace with `v0` and `v1`, a veth pair that is up, and a filter on the socket.
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
                $node.filter();
                $body
            });
        }
    )+};
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
        node.watch_no_links();
        let before = node.subscription.counters().decoded;
        ip("addr add 10.9.9.9/24 dev v0");
        ip("addr add fd99::9/64 dev v0 nodad");
        ip("addr add 10.0.0.1/32 dev v0");
        node.appears("10.0.0.1");
        assert_eq!(node.addresses.len(), 1);
        assert_eq!(node.subscription.counters().decoded - before, 1);
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
        ip_batch(&addresses_batch("add", 0..1_000));
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

    fn burst_that_fits_is_not_an_overrun(filtered) {
        drop(filtered);
        let mut node = Node::new(RECEIVE_BUFFER_BYTES);
        // An address event is charged 832 bytes; without CAP_NET_ADMIN the buffer may be a small one.
        let fitting = node.subscription.receive_buffer().bytes() / 1_024;
        let burst = u32::try_from(fitting).unwrap().min(3_000);
        ip_batch(&addresses_batch("add", 0..burst));
        ip("addr add 10.0.0.1/24 dev v0");
        node.drain();
        assert_eq!(node.overruns, 0);
        assert!(node.find("10.0.0.1").is_some());
        assert!(node.subscription.counters().decoded > burst.into());
    }
}

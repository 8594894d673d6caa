//! The filter on the notification socket, as the real kernel runs it: what it lets through and what it drops, how
//! one takes the place of another, and what becomes of one that the kernel does not take.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::thread;

use keepstart::machine::kernel::{KernelEvent, Links};
use keepstart::source::netlink::{Filter, RECEIVE_BUFFER_BYTES, Watched};

use crate::netns::{self, ip};
use crate::node::{Node, addresses_batch, ip_batch};

fn node() -> Node {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
    Node::new(RECEIVE_BUFFER_BYTES)
}

/// How many datagrams come while `what` is done.
fn heard(node: &mut Node, what: impl FnOnce()) -> u64 {
    node.drain();
    let before = node.subscription.counters().decoded;
    what();
    node.drain();
    node.subscription.counters().decoded - before
}

fn sysctl(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/core/{name}"), value).unwrap();
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(number).into()
}

fn v6(number: u128) -> IpAddr {
    Ipv6Addr::from(0xfd << 120 | number).into()
}

#[test]
fn strangers_wake_nobody() {
    netns::run("filter::strangers_wake_nobody", || {
        let mut node = node();
        node.watch_no_links();
        let before = node.subscription.counters().decoded;
        ip_batch(&addresses_batch("add", 0..1_000));
        ip_batch(&addresses_batch("del", 0..1_000));
        ip("addr add 10.9.9.9 peer 10.0.0.1 dev v0");
        ip("addr add fd00::9 peer fd00::1 dev v0 nodad");
        ip("addr add fd00:1::1/64 dev v0 nodad");
        ip("addr del fd00:1::1/64 dev v0");
        // The kernel tells of IPv6 from a work queue, one after the other.
        for (command, address) in [
            ("addr add fd00::1/64 dev v0 nodad", "fd00::1"),
            ("addr add fd00::2 peer fd00::9 dev v0 nodad", "fd00::2"),
            (
                "addr add ::ffff:10.0.0.1/128 dev v0 nodad",
                "::ffff:10.0.0.1",
            ),
            ("addr add 10.0.0.1/24 dev v0 label v0:vip", "10.0.0.1"),
            ("addr add 10.0.0.2 peer 10.9.9.9 dev v0", "10.0.0.2"),
        ] {
            ip(command);
            node.appears(address);
        }
        assert_eq!(node.subscription.counters().decoded - before, 5);
        // A bridge speaks of its ports in the words of a link, in a family of its own.
        ip("link add br0 type bridge");
        ip("link set v0 master br0");
        let port = || bridge("link set dev v0 cost 7");
        assert_eq!(heard(&mut node, port), 0);
        let mut unfiltered = Node::new(RECEIVE_BUFFER_BYTES);
        let port = || bridge("link set dev v0 cost 8");
        assert!(heard(&mut unfiltered, port) > 0);
    });
}

fn bridge(arguments: &str) {
    let words = arguments.split_whitespace();
    let status = Command::new("bridge").args(words).status();
    assert!(status.unwrap().success(), "bridge {arguments}");
}

#[test]
fn links_are_followed_by_name_and_index() {
    netns::run("filter::links_are_followed_by_name_and_index", || {
        let mut node = node();
        ip("link add other type veth peer name other-peer");
        ip("link add wan1 type veth peer name wan1-peer");
        node.dump();
        let index = node.link("v0").unwrap().index;
        let links = |indexes: &[u32]| Links::Named {
            names: ["v0", "wan0", "an-altname-of-more-than-fifteen-bytes"]
                .map(String::from)
                .into(),
            indexes: indexes.iter().copied().collect(),
        };
        node.watched = std::mem::take(&mut node.watched).with_links(links(&[index]));
        node.filter();
        let strangers = || {
            ip("link set other mtu 1400");
            ip("link set other alias somebody's");
            ip("link set other name another");
            ip("link set other-peer name name-of-fifteen");
        };
        assert_eq!(heard(&mut node, strangers), 0);
        // What comes and goes on a link that is down is not told by the kernel.
        ip("link set another up");
        for (what, command) in [
            ("it changes", "link set v0 mtu 1400"),
            ("it is renamed", "link set v0 down"),
            ("it is renamed", "link set v0 name lost"),
            (
                "its new name is unknown, its index is not",
                "link set lost mtu 1300",
            ),
            ("another gets a watched name", "link set wan1 name wan0"),
            ("and changes under it", "link set wan0 mtu 1300"),
            (
                "an altname comes",
                "link property add dev another altname an-altname-of-more-than-fifteen-bytes",
            ),
            ("a link ends", "link del another"),
        ] {
            assert!(heard(&mut node, || ip(command)) > 0, "{what}: {command}");
        }
        assert_eq!(node.link("lost").map(|it| it.index), Some(index));
        assert!(node.link("wan0").is_some());
        assert_eq!(node.link("another"), None);
    });
}

#[test]
fn thousands_of_addresses_fit() {
    netns::run("filter::thousands_of_addresses_fit", || {
        let mut node = node();
        // No two of them are neighbours. Each instruction becomes up to three in the kernel.
        let watched: Vec<IpAddr> = (0..1_500)
            .map(|it| v4(0x0a01_0000 + 2 * it))
            .chain((0..1_500).map(|it| v6(2 * it)))
            .collect();
        node.watched = watched.iter().copied().collect();
        node.filter();
        let mut batch = String::new();
        for address in 0..400 {
            writeln!(
                batch,
                "addr add {}/32 dev v0",
                v4(0x0a01_0000 + 7 * address)
            )
            .unwrap();
            writeln!(
                batch,
                "addr add {}/128 dev v0 nodad",
                v6((7 * address).into())
            )
            .unwrap();
        }
        assert_eq!(heard(&mut node, || ip_batch(&batch)), 400);
        assert_eq!(node.addresses.len(), 400);
    });
}

#[test]
fn too_many_addresses_are_ranges() {
    netns::run("filter::too_many_addresses_are_ranges", || {
        let mut node = node();
        node.watched = (0..20_000).map(|it| v4(0x0a01_0000 + it * it)).collect();
        node.subscription.watch(&node.watched).unwrap();
        assert!(matches!(node.subscription.filter(), Filter::Ranges { .. }));
        let strangers = || {
            ip("addr add 192.0.2.1/32 dev v0");
            ip("addr add 10.0.0.1/32 dev v0");
            ip("addr add fd00::1/128 dev v0 nodad");
        };
        assert_eq!(heard(&mut node, strangers), 0);
        ip_batch(&addresses_batch("add", 0..1_000));
        node.drain();
        assert_eq!(node.addresses.len(), 32);
    });
}

#[test]
fn without_a_filter_all_is_heard() {
    netns::run("filter::without_a_filter_all_is_heard", || {
        let mut node = node();
        node.filter();
        // What the socket may hold of programs; since Linux 6.8 each namespace has its own limit.
        sysctl("optmem_max", "0");
        node.subscription.watch(&node.watched).unwrap();
        let filter = node.subscription.filter().clone();
        assert!(
            matches!(&filter, Filter::Off { error: Some(_) }),
            "{filter:?}"
        );
        assert_eq!(heard(&mut node, || ip("addr add 10.9.9.9/32 dev v0")), 1);
        ip("addr add 10.0.0.1/32 dev v0");
        node.appears("10.0.0.1");
        // There is room for a short one, and none for two.
        sysctl("optmem_max", "10000");
        node.watched = (0..2_000).map(|it| v4(0x0a01_0000 + it * it)).collect();
        for _ in 0..3 {
            node.subscription.watch(&node.watched).unwrap();
            let filter = node.subscription.filter();
            let Filter::Ranges { instructions } = filter else {
                panic!("{filter:?}");
            };
            assert!((400..1_024).contains(instructions), "{filter:?}");
        }
        assert_eq!(heard(&mut node, || ip("addr add 192.0.2.1/32 dev v0")), 0);
        sysctl("optmem_max", "131072");
        node.filter();
    });
}

#[test]
fn nothing_is_lost_while_filters_change() {
    const FLIPS: usize = 2_000;
    netns::run("filter::nothing_is_lost_while_filters_change", || {
        let mut node = node();
        let vip: IpAddr = "10.0.0.1".parse().unwrap();
        let mut batch = String::new();
        for _ in 0..FLIPS {
            batch.push_str("addr add 10.0.0.1/32 dev v0\naddr add 10.9.9.9/32 dev v0\n");
            batch.push_str("addr del 10.0.0.1/32 dev v0\naddr del 10.9.9.9/32 dev v0\n");
        }
        let sets: Vec<Watched> = [1, 40, 700]
            .into_iter()
            .map(|count| {
                (0..count)
                    .map(|it| v4(0xc000_0200 + 2 * it))
                    .chain([vip])
                    .collect()
            })
            .collect();
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let flips = thread::spawn(move || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ip_batch(&batch);
        });
        let mut changes = 0;
        while !flips.is_finished() {
            node.watched = sets[changes % sets.len()].clone();
            node.subscription.watch(&node.watched).unwrap();
            changes += 1;
            node.drain();
        }
        flips.join().unwrap();
        node.drain();
        assert_eq!(node.overruns, 0);
        let of_links = |it: &&KernelEvent| {
            matches!(it, KernelEvent::LinkPresent(_) | KernelEvent::LinkGone(_))
        };
        let told = node.told.iter().filter(|it| !of_links(it)).count();
        assert_eq!(told, 2 * FLIPS, "after {changes} changes of the filter");
        assert!(changes > 20, "{changes}");
    });
}

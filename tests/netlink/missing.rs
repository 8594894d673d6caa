//! What is not told: overruns, interrupted dumps, and what others say.

use std::net::{IpAddr, Ipv4Addr};

use keepstart::source::netlink::{NetlinkError, RECEIVE_BUFFER_BYTES, ReceiveBuffer};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::netns::{self, ip};
use crate::node::{Node, addresses_batch, ip_batch};

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
        ip_batch(&addresses_batch("add", 0..500));
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
        "missing::overrun_hides_a_delete",
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
    overrun("missing::overrun_hides_an_add", unseen, true);
}

#[test]
fn overrun_wakes_the_reader() {
    netns::run("missing::overrun_wakes_the_reader", || {
        ip("link add v0 type veth peer name v1");
        let mut node = Node::new(TINY_BUFFER_BYTES);
        ip_batch(&addresses_batch("add", 0..500));
        node.until("overrun", |node| node.overruns == 1);
    });
}

#[test]
fn messages_of_other_processes_are_ignored() {
    netns::run("missing::messages_of_other_processes_are_ignored", || {
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
    netns::run("missing::buffer_is_forced_only_with_the_capability", || {
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

/// When an entry goes while the table is dumped in parts, the kernel may skip another that was there all
/// along: it says so, and such a dump is not taken for the truth.
#[test]
fn dump_under_churn_is_complete_or_says_that_it_is_not() {
    let test = "missing::dump_under_churn_is_complete_or_says_that_it_is_not";
    netns::run(test, || {
        // The kernel lists the addresses of a link in the order in which they were added.
        let (going, staying) = (0..3_000, 3_000..5_000);
        ip("link add v0 type veth peer name v1");
        ip_batch(&addresses_batch("add", going.start..staying.end));
        let watched = staying.map(|number| IpAddr::from(Ipv4Addr::from(0x0a01_0000 + number)));
        let node = Node::watching(RECEIVE_BUFFER_BYTES, watched);
        let churn = addresses_batch("del", going);
        let churn = std::thread::scope(|scope| {
            let churn = scope.spawn(|| ip_batch(&churn));
            let (mut whole, mut interrupted) = (0, 0);
            while !churn.is_finished() {
                match node.dumped() {
                    Ok(dump) => {
                        whole += 1;
                        assert_eq!(dump.addresses.len(), 2_000, "some are missing");
                    }
                    Err(NetlinkError::Interrupted { .. }) => interrupted += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (whole, interrupted)
        });
        assert!(churn.1 > 0, "{churn:?}: nothing was interrupted");
        assert_eq!(node.dumped().unwrap().addresses.len(), 2_000);
    });
}

//! Messages are written by `netlink-packet-route` and read by this crate's decoder, so each checks the other.

use netlink_packet_core::{NLMSG_ERROR, NLMSG_NOOP, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, Prop};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn bytes(payload: impl Into<NetlinkPayload<RouteNetlinkMessage>>) -> Vec<u8> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn ip_of(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn watched() -> Watched {
    ["10.0.0.1", "fd00::1"].map(ip_of).into_iter().collect()
}

fn decoded(bytes: &[u8]) -> Result<Vec<KernelEvent>, Incomplete> {
    let mut events = Vec::new();
    datagram(bytes, &watched(), &mut events).map(|()| events)
}

fn address_message(family: AddressFamily, attributes: Vec<AddressAttribute>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family;
    message.header.index = 7;
    message.header.prefix_len = 24;
    message.attributes = attributes;
    message
}

fn v4(attributes: Vec<AddressAttribute>) -> AddressMessage {
    address_message(AddressFamily::Inet, attributes)
}

fn v6(attributes: Vec<AddressAttribute>) -> AddressMessage {
    address_message(AddressFamily::Inet6, attributes)
}

fn own(address: &str) -> AddressAttribute {
    AddressAttribute::Local(ip_of(address))
}

fn far(address: &str) -> AddressAttribute {
    AddressAttribute::Address(ip_of(address))
}

fn flags(flags: AddressFlags) -> AddressAttribute {
    AddressAttribute::Flags(flags)
}

fn link_message(family: AddressFamily) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = family;
    message.header.index = 7;
    message.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::PropList(vec![
            Prop::AltIfName("enp0s3".into()),
            Prop::AltIfName("a-name-of-more-than-15-bytes".into()),
        ]),
    ];
    message
}

fn only_address(message: AddressMessage) -> Option<Address> {
    let events = decoded(&bytes(RouteNetlinkMessage::NewAddress(message))).unwrap();
    match events.as_slice() {
        [] => None,
        [KernelEvent::AddressPresent(address)] => Some(*address),
        other => panic!("{other:?}"),
    }
}

fn usable_with(header: AddressHeaderFlags, attribute: Option<AddressFlags>) -> bool {
    let mut message = v6(vec![far("fd00::1")]);
    message.header.flags = header;
    message.attributes.extend(attribute.map(flags));
    only_address(message).unwrap().usable
}

#[test]
fn local_comes_before_address() {
    let address = only_address(v4(vec![far("10.0.0.2"), own("10.0.0.1")])).unwrap();
    assert_eq!(address.key.local, ip_of("10.0.0.1"));
    assert_eq!(address.key.peer, Some(ip_of("10.0.0.2")));
    let address = only_address(v6(vec![own("fd00::1"), far("fd00::2")])).unwrap();
    assert_eq!(address.key.peer, Some(ip_of("fd00::2")));
    // The far end of a point-to-point link is not this node's.
    assert_eq!(
        only_address(v4(vec![far("10.0.0.1"), own("10.0.0.2")])),
        None
    );
}

#[test]
fn equal_ends_are_no_peer() {
    let address = only_address(v4(vec![far("10.0.0.1"), own("10.0.0.1")])).unwrap();
    let key = AddressKey {
        link: 7,
        local: ip_of("10.0.0.1"),
        prefix_length: 24,
        peer: None,
    };
    assert_eq!(address.key, key);
    let gone = v4(vec![far("10.0.0.1"), own("10.0.0.1")]);
    let gone = decoded(&bytes(RouteNetlinkMessage::DelAddress(gone)));
    assert_eq!(gone, Ok(vec![KernelEvent::AddressGone(key)]));
}

#[test]
fn unwatched_addresses_are_left_out() {
    assert_eq!(only_address(v4(vec![own("10.0.0.3")])), None);
    assert_eq!(only_address(v6(vec![far("::ffff:10.0.0.1")])), None);
    assert_eq!(only_address(v4(vec![])), None);
}

#[test]
fn label_ends_at_the_zero() {
    let label = AddressAttribute::Label("eth0:vip".into());
    let address = only_address(v4(vec![own("10.0.0.1"), label])).unwrap();
    assert_eq!(address.label.unwrap().as_str(), "eth0:vip");
}

#[test]
fn usable_unless_detection_is_awaited_or_failed() {
    let (tentative, optimistic) = (AddressFlags::Tentative, AddressFlags::Optimistic);
    let none = AddressHeaderFlags::empty();
    for (flags, expected) in [
        (AddressFlags::empty(), true),
        (AddressFlags::Deprecated, true),
        (AddressFlags::Secondary | AddressFlags::Permanent, true),
        (tentative, false),
        (tentative | optimistic, true),
        (tentative | AddressFlags::Dadfailed, false),
        (tentative | optimistic | AddressFlags::Dadfailed, false),
        (AddressFlags::Dadfailed, false),
    ] {
        assert_eq!(usable_with(none, Some(flags)), expected, "{flags:?}");
    }
}

#[test]
fn long_flags_come_before_those_of_the_header() {
    let tentative = AddressHeaderFlags::Tentative;
    assert!(!usable_with(tentative, None));
    assert!(usable_with(tentative, Some(AddressFlags::Permanent)));
}

#[test]
fn link_has_its_names_in_order() {
    let link = decoded(&bytes(RouteNetlinkMessage::NewLink(link_message(
        AddressFamily::Unspec,
    ))));
    let expected = Link {
        index: 7,
        name: "eth0".into(),
        altnames: vec!["enp0s3".into(), "a-name-of-more-than-15-bytes".into()],
    };
    assert_eq!(link, Ok(vec![KernelEvent::LinkPresent(expected)]));
    let gone = decoded(&bytes(RouteNetlinkMessage::DelLink(link_message(
        AddressFamily::Unspec,
    ))));
    assert_eq!(gone, Ok(vec![KernelEvent::LinkGone(7)]));
}

#[test]
fn what_a_bridge_says_of_its_ports_is_ignored() {
    let joined = RouteNetlinkMessage::NewLink(link_message(AddressFamily::Bridge));
    assert_eq!(decoded(&bytes(joined)), Ok(vec![]));
    let left = RouteNetlinkMessage::DelLink(link_message(AddressFamily::Bridge));
    assert_eq!(decoded(&bytes(left)), Ok(vec![]));
}

#[test]
fn wireless_events_are_ignored() {
    let mut message = link_message(AddressFamily::Unspec);
    message.attributes.pop();
    let mut bytes = bytes(RouteNetlinkMessage::NewLink(message));
    bytes.extend([8, 0, 11, 0, 1, 2, 3, 4]);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    assert_eq!(decoded(&bytes), Ok(vec![]));
}

#[test]
fn other_families_and_messages_are_ignored() {
    // An MCTP address has one byte.
    let mctp = [
        21, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 45, 0, 0, 0, 7,
    ];
    let mut padded = mctp.to_vec();
    padded.extend([0, 0, 0, 5, 0, 2, 0, 8]);
    padded[0] = u8::try_from(padded.len()).unwrap();
    assert_eq!(decoded(&padded), Ok(vec![]));
    for kind in [NLMSG_NOOP, NLMSG_ERROR, 24, 28, u16::MAX] {
        let mut header = vec![16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        assert_eq!(decoded(&header), Ok(vec![]));
    }
}

#[test]
fn all_messages_of_a_datagram_are_read() {
    let mut both = bytes(RouteNetlinkMessage::NewAddress(v4(vec![own("10.0.0.1")])));
    both.extend(bytes(RouteNetlinkMessage::DelLink(link_message(
        AddressFamily::Unspec,
    ))));
    assert_eq!(decoded(&both).unwrap().len(), 2);
    assert_eq!(decoded(&[]), Ok(vec![]));
}

#[test]
fn what_cannot_be_read_is_reported() {
    let whole = bytes(RouteNetlinkMessage::NewAddress(v4(vec![own("10.0.0.1")])));
    // Cut anywhere, the length field says more than is there.
    for end in 1..whole.len() {
        assert_eq!(decoded(&whole[..end]), Err(Incomplete::Malformed), "{end}");
    }
    // A header that is too short for its message, and an address of five bytes.
    let mut short = whole.clone();
    short.truncate(20);
    short[0] = 20;
    assert_eq!(decoded(&short), Err(Incomplete::Malformed));
    let mut long = whole.clone();
    long.extend([9, 0, 2, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
    long[0] = u8::try_from(long.len()).unwrap();
    assert_eq!(decoded(&long), Err(Incomplete::Malformed));
    let mut nameless = link_message(AddressFamily::Unspec);
    nameless.attributes.remove(0);
    let nameless = bytes(RouteNetlinkMessage::NewLink(nameless));
    assert_eq!(decoded(&nameless), Err(Incomplete::Malformed));
    let overrun = [16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decoded(&overrun), Err(Incomplete::Overrun));
}

#[test]
fn watched_is_a_set() {
    let watched: Watched = ["10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"]
        .map(ip_of)
        .into_iter()
        .collect();
    assert_eq!(watched.len(), 3);
    assert!(watched.contains(ip_of("10.0.0.2")) && !watched.contains(ip_of("10.0.0.3")));
    assert!(Watched::default().is_empty() && !watched.is_empty());
}

/// Whole messages of each kind that is decoded.
fn samples() -> Vec<u8> {
    let mut cached = v6(vec![
        own("fd00::1"),
        far("fd00::2"),
        flags(AddressFlags::Tentative),
    ]);
    cached
        .attributes
        .push(AddressAttribute::CacheInfo(CacheInfo::default()));
    let label = AddressAttribute::Label("eth0:vip".into());
    [
        RouteNetlinkMessage::NewAddress(v4(vec![far("10.0.0.1"), own("10.0.0.1"), label])),
        RouteNetlinkMessage::DelAddress(cached),
        RouteNetlinkMessage::NewLink(link_message(AddressFamily::Unspec)),
    ]
    .into_iter()
    .flat_map(bytes)
    .collect()
}

proptest! {
    #[test]
    fn any_bytes_are_survived(noise in vec(any::<u8>(), 0..512)) {
        let _ = decoded(&noise);
    }

    #[test]
    fn any_body_is_survived(kind in 16..=21_u8, body in vec(any::<u8>(), 0..200)) {
        let mut message = vec![0; 16];
        message[0] = u8::try_from(16 + body.len()).unwrap();
        message[4] = kind;
        message.extend(body);
        let _ = decoded(&message);
    }

    #[test]
    fn damaged_messages_are_survived(
        damage in vec((any::<Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = samples();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = decoded(&bytes);
    }

    #[test]
    fn addresses_are_read_as_written(
        own in any::<IpAddr>(),
        far in any::<IpAddr>(),
        index in any::<u32>(),
        prefix_length in any::<u8>(),
        bits in any::<u32>(),
    ) {
        prop_assume!(own.is_ipv4() == far.is_ipv4());
        let family = if own.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = AddressFlags::from_bits_retain(bits);
        let mut message = address_message(family, vec![
            AddressAttribute::Address(far),
            AddressAttribute::Local(own),
            AddressAttribute::Flags(flags),
        ]);
        message.header.index = index;
        message.header.prefix_len = prefix_length;
        let bytes = bytes(RouteNetlinkMessage::NewAddress(message));
        let mut events = Vec::new();
        datagram(&bytes, &[own].into_iter().collect(), &mut events).unwrap();
        let peer = (far != own).then_some(far);
        let key = AddressKey { link: index, local: own, prefix_length, peer };
        let expected = Address { key, label: None, usable: usable(flags) };
        prop_assert_eq!(events, vec![KernelEvent::AddressPresent(expected)]);
    }
}

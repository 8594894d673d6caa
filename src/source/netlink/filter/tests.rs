//! The program against an interpreter of its own (the real kernel runs it in `tests/netlink/filter.rs`), and
//! against the decoder: what it drops, the decoder would have made nothing of.

mod interpreter;
mod messages;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::program::{DROP, INSTRUCTIONS_MAX, Instruction, PASS, Precision, program};
use super::ranges::Ranges;
use crate::machine::kernel::KernelEvent;
use crate::machine::kernel::Links;
use crate::source::netlink::decode;
use crate::source::netlink::watched::Watched;
use messages::{Attributes, Dice, address, link};

fn passes(program: &[Instruction], message: &[u8]) -> bool {
    match interpreter::run(program, message) {
        PASS => true,
        DROP => false,
        other => panic!("{other} bytes of a message"),
    }
}

fn exact(watched: &Watched) -> Vec<Instruction> {
    let (code, precision) = program(watched, INSTRUCTIONS_MAX);
    interpreter::check(&code);
    assert_eq!(precision, Precision::Exact);
    code
}

fn watched(addresses: &[&str]) -> Watched {
    addresses.iter().map(|it| it.parse().unwrap()).collect()
}

fn names(names: &[&str], indexes: &[u32]) -> Links {
    Links::Named {
        names: names.iter().map(ToString::to_string).collect(),
        indexes: indexes.iter().copied().collect(),
    }
}

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

fn v6(number: u128) -> IpAddr {
    Ipv6Addr::from_bits(number).into()
}

fn told(address_of: IpAddr) -> Vec<u8> {
    let mut attributes = Attributes::default();
    if address_of.is_ipv4() {
        attributes.ip(1, address_of);
        attributes.ip(2, address_of);
        attributes.text(3, "eth0");
    } else {
        attributes.ip(1, address_of);
    }
    attributes.number(8, 0x80);
    address(20, 7, address_of, &attributes)
}

#[test]
fn only_watched_addresses_pass() {
    let code = exact(&watched(&[
        "10.0.0.1",
        "10.0.0.200",
        "fd00::1",
        "fd00::2:1",
    ]));
    for (text, passed) in [
        ("10.0.0.1", true),
        ("10.0.0.2", false),
        ("10.0.0.0", false),
        ("10.0.0.200", true),
        ("1.0.0.10", false),
        ("fd00::1", true),
        ("fd00::2", false),
        ("fd00::1:2", false),
        ("fd00::2:1", true),
        ("::ffff:10.0.0.1", false),
        ("fe80::1", false),
    ] {
        assert_eq!(
            passes(&code, &told(text.parse().unwrap())),
            passed,
            "{text}"
        );
    }
}

#[test]
fn the_own_end_counts_wherever_it_stands() {
    let code = exact(&watched(&["10.0.0.1", "fd00::1"]));
    for (own, far) in [("10.0.0.1", "10.0.0.9"), ("fd00::1", "fd00::9")] {
        let [own, far]: [IpAddr; 2] = [own.parse().unwrap(), far.parse().unwrap()];
        for (local, peer, passed) in [(own, far, true), (far, own, false)] {
            let (mut first, mut last) = (Attributes::default(), Attributes::default());
            first.ip(2, local);
            first.ip(1, peer);
            last.text(3, "a");
            last.number(8, 0);
            last.ip(1, peer);
            last.ip(2, local);
            for attributes in [first, last] {
                for kind in [20, 21] {
                    let message = address(kind, 7, local, &attributes);
                    assert_eq!(passes(&code, &message), passed, "{local} {peer}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_decided_passes() {
    let code = exact(&watched(&["10.0.0.1"]).with_links(names(&["eth0"], &[2])));
    let stranger = told("10.0.0.2".parse().unwrap());
    assert!(!passes(&code, &stranger));
    // Every length but the true one.
    for length in 0..stranger.len() {
        assert!(passes(&code, &stranger[..length]), "{length}");
    }
    // Two in one datagram.
    assert!(passes(&code, &[stranger.clone(), stranger].concat()));
    // No address in it, or one of a strange length.
    let nothing = Attributes::default();
    assert!(passes(&code, &address(20, 7, v4(0), &nothing)));
    let mut strange = Attributes::default();
    strange.bytes(2, &[10, 0, 0, 2, 5]);
    assert!(passes(&code, &address(20, 7, v4(0), &strange)));
    // Errors, overruns, ends, and types that nobody knows.
    for kind in [0, 1, 2, 3, 4, 18, 22, 24, 0xffff] {
        let mut message = told("10.0.0.2".parse().unwrap());
        message[4..6].copy_from_slice(&u16::to_ne_bytes(kind));
        assert!(passes(&code, &message), "{kind}");
    }
    let nameless = Attributes::default();
    assert!(passes(&code, &link(16, 0, 7, &nameless)));
}

fn link_called(name: &str, altnames: &[&str]) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.number(13, 1_000);
    attributes.text(3, name);
    attributes.number(4, 1_500);
    if !altnames.is_empty() {
        attributes.altnames(altnames);
    }
    attributes.bytes(7, &[0; 24]);
    attributes
}

#[test]
fn links_pass_by_name_and_by_index() {
    let some = watched(&[]).with_links(names(&["eth0", "a", "fifteen-letters"], &[2, 0x0102_0304]));
    let code = exact(&some);
    for (name, altnames, index, passed) in [
        ("eth0", &[][..], 9, true),
        ("a", &[], 9, true),
        ("fifteen-letters", &[], 9, true),
        ("fifteen-lettert", &[], 9, false),
        ("eth", &[], 9, false),
        ("b", &[], 9, false),
        ("veth0", &[], 9, false),
        // A name that begins like a watched one: the decoder is asked.
        ("eth00", &[], 9, true),
        ("b", &[], 2, true),
        ("b", &[], 0x0102_0304, true),
        ("b", &[], 0x0403_0201, false),
        ("b", &["any"], 9, true),
    ] {
        let message = link(16, 0, index, &link_called(name, altnames));
        assert_eq!(passes(&code, &message), passed, "{name} {index}");
        // Its end always passes; what a bridge says of a port never does.
        let message = link(17, 0, index, &link_called(name, altnames));
        assert!(passes(&code, &message));
        for kind in [16, 17] {
            let message = link(kind, 7, index, &link_called(name, altnames));
            assert!(!passes(&code, &message));
        }
    }
    let all = exact(&watched(&[]));
    assert!(passes(&all, &link(16, 0, 9, &link_called("b", &[]))));
    assert!(!passes(&all, &link(16, 7, 9, &link_called("b", &[]))));
}

#[test]
fn hundreds_of_addresses_are_exact() {
    let mut dice = Dice::new(1);
    let mut of = |count: usize, version: u32| -> Watched {
        (0..count)
            .map(|_| match version {
                4 => v4(dice.word()),
                _ => v6(dice.long()),
            })
            .collect()
    };
    for (count, version) in [
        (0, 4),
        (1, 4),
        (13, 4),
        (500, 4),
        (3_000, 4),
        (500, 6),
        (3_000, 6),
    ] {
        let watched = of(count, version);
        let code = exact(&watched);
        for address in watched.addresses() {
            assert!(passes(&code, &told(address)), "{address}");
            let (before, after) = match address {
                IpAddr::V4(it) => (v4(it.to_bits() ^ 1), v4(it.to_bits() ^ (1 << 30))),
                IpAddr::V6(it) => (v6(it.to_bits() ^ 1), v6(it.to_bits() ^ (1 << 100))),
            };
            for stranger in [before, after] {
                let expected = watched.contains(stranger);
                assert_eq!(passes(&code, &told(stranger)), expected, "{stranger}");
            }
        }
    }
    // Neighbours cost no more than two.
    let neighbours: Watched = (0..10_000)
        .map(|it| v4(0x0a00_0000 + it))
        .chain((0..10_000).map(|it| v6(0xfd << 120 | it)))
        .collect();
    assert!(exact(&neighbours).len() < 100);
    assert!(!passes(
        &exact(&neighbours),
        &told(v4(0x0a00_0000 + 10_000))
    ));
    assert!(!passes(
        &exact(&neighbours),
        &told(v6((0xfd << 120) + 10_000))
    ));
}

#[test]
fn too_many_for_a_program_become_ranges() {
    let mut dice = Dice::new(2);
    let mut many: Vec<IpAddr> = (0..20_000)
        .map(|_| v4(0x0a00_0000 | dice.word() & 0xff_ffff))
        .collect();
    many.extend((0..20_000).map(|_| v6(0xfd << 120 | dice.long() & 0xff_ffff)));
    let watched: Watched = many.into_iter().collect();
    for length_max in [4096, 2048, 1024, 512, 128] {
        let (code, precision) = program(&watched, length_max);
        interpreter::check(&code);
        assert_eq!(precision, Precision::Ranges);
        assert!(code.len() <= length_max);
        assert!(
            code.len() > length_max / 4,
            "{} of {length_max}",
            code.len()
        );
        for address in watched.addresses() {
            assert!(passes(&code, &told(address)), "{address}");
        }
        for stranger in ["192.0.2.1", "fd00:1::1", "fe80::1"] {
            assert!(
                !passes(&code, &told(stranger.parse().unwrap())),
                "{stranger}"
            );
        }
    }
}

#[test]
fn many_names_leave_room_for_the_addresses() {
    let names: BTreeSet<String> = (0..1_000).map(|it| format!("interface-{it}")).collect();
    let many = watched(&["10.0.0.1"]).with_links(Links::Named {
        names,
        indexes: BTreeSet::new(),
    });
    let code = exact(&many);
    assert!(passes(&code, &link(16, 0, 9, &link_called("b", &[]))));
    assert!(!passes(&code, &told("10.0.0.2".parse().unwrap())));
}

#[test]
fn ranges_take_in_the_smallest_gaps_first() {
    let mut ranges: Ranges = [1, 2, 4, 100, 105, 0xffff_ffff, 0].into_iter().collect();
    let ends =
        |ranges: &Ranges| -> Vec<_> { ranges.spans().iter().map(|it| (it.low, it.high)).collect() };
    assert_eq!(
        ends(&ranges),
        [(0, 2), (4, 4), (100, 100), (105, 105), (u32::MAX, u32::MAX)]
    );
    ranges.reduce_to(3);
    assert_eq!(ends(&ranges), [(0, 4), (100, 105), (u32::MAX, u32::MAX)]);
    ranges.reduce_to(0);
    assert_eq!(ends(&ranges), [(0, u32::MAX)]);
}

/// Messages that the differential test looks at: more by `KEEPSTART_FILTER_MESSAGES`.
const MESSAGES: u64 = 2_000_000;

/// Whether the decoder makes something of a message that matters to a role or to a name that is shown.
fn matters(message: &[u8], watched: &Watched) -> bool {
    let mut events = Vec::new();
    // What cannot be decoded tells nothing; that it is answered by a dump where it passes is caution.
    let _ = decode::datagram(message, watched, &mut events);
    events.iter().any(|event| match event {
        KernelEvent::AddressPresent(_) | KernelEvent::AddressGone(_) | KernelEvent::LinkGone(_) => {
            true
        }
        KernelEvent::LinkPresent(link) => match watched.links() {
            Links::All => true,
            Links::Named { names, indexes } => {
                indexes.contains(&link.index)
                    || names.contains(&link.name)
                    || link.altnames.iter().any(|name| names.contains(name))
            }
        },
    })
}

#[test]
fn what_is_dropped_would_have_changed_nothing() {
    let count =
        std::env::var("KEEPSTART_FILTER_MESSAGES").map_or(MESSAGES, |it| it.parse().unwrap());
    let mut dice =
        Dice::new(std::env::var("KEEPSTART_FILTER_SEED").map_or(3, |it| it.parse().unwrap()));
    let (mut dropped, mut strangers) = (0_u64, 0_u64);
    let (mut programs, mut left) = (0_u64, count);
    while left > 0 {
        let watched = messages::any_watched(&mut dice);
        let length_max = dice.of(&[4096, 4096, 4096, 512, 128]);
        let (code, precision) = program(&watched, length_max);
        interpreter::check(&code);
        programs += 1;
        for _ in 0..left.min(2_000) {
            left -= 1;
            let mut message = messages::any(&mut dice, &watched);
            let whole = dice.one_in(2);
            if !whole {
                messages::mutate(&mut dice, &mut message);
            }
            let passed = passes(&code, &message);
            let matters = matters(&message, &watched);
            assert!(
                passed || !matters,
                "dropped, and it matters: {message:?} with {watched:?}"
            );
            dropped += u64::from(!passed);
            // Of what is whole, a stranger's address must be dropped, or the test shows nothing.
            if whole && precision == Precision::Exact && matches!(message[4], 20 | 21) {
                assert_eq!(passed, matters, "{message:?} with {watched:?}");
                strangers += u64::from(!passed);
            }
        }
    }
    assert!(
        dropped > count / 5 && strangers > count / 20,
        "{dropped} and {strangers} of {count}, {programs}"
    );
}

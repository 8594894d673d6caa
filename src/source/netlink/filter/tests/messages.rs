//! Netlink messages as the kernel writes them, written anew from its headers; at random, and spoilt at random.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{v4, v6};
use crate::machine::kernel::Links;
use crate::source::netlink::watched::Watched;

/// Names that a configuration asks for, and others.
const NAMES: [&str; 8] = [
    "eth0",
    "eth1",
    "eth10",
    "a",
    "lan",
    "fifteen-letters",
    "vrrp.51",
    "bond0",
];

const IFLA_PROP_LIST: u16 = 52;
const NLA_F_NESTED: u16 = 0x8000;

/// A stream of numbers from a seed (xorshift64*, Marsaglia and Vigna).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }

    pub(super) fn long(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Attributes one after the other.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap();
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(super) fn ip(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(it) => self.bytes(kind, &it.octets()),
            IpAddr::V6(it) => self.bytes(kind, &it.octets()),
        }
    }

    pub(super) fn number(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_ne_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// `IFLA_PROP_LIST`, nested.
    pub(super) fn altnames(&mut self, names: &[&str]) {
        let mut nested = Self::default();
        for name in names {
            nested.text(53, name);
        }
        self.bytes(IFLA_PROP_LIST | NLA_F_NESTED, &nested.0);
    }
}

fn message(kind: u16, body: &[u8], attributes: &Attributes) -> Vec<u8> {
    let length = u32::try_from(16 + body.len() + attributes.0.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes.extend(&attributes.0);
    bytes
}

/// `RTM_NEWADDR` or `RTM_DELADDR`.
pub(super) fn address(kind: u16, index: u32, address: IpAddr, attributes: &Attributes) -> Vec<u8> {
    let family = if address.is_ipv4() { 2 } else { 10 };
    let mut body = vec![family, 24, 0x80, 0];
    body.extend(index.to_ne_bytes());
    message(kind, &body, attributes)
}

/// `RTM_NEWLINK` or `RTM_DELLINK`.
pub(super) fn link(kind: u16, family: u8, index: u32, attributes: &Attributes) -> Vec<u8> {
    let mut body = vec![family, 0, 1, 0];
    body.extend(index.to_ne_bytes());
    body.extend([0; 8]);
    message(kind, &body, attributes)
}

/// What a configuration may ask for: none to thousands of addresses, near to and far from each other.
pub(super) fn any_watched(dice: &mut Dice) -> Watched {
    let count = dice.of(&[0, 1, 2, 5, 40, 400]);
    let any = |dice: &mut Dice| any_address(dice);
    let addresses: Watched = (0..count).map(|_| any(dice)).collect();
    let links = if dice.one_in(3) {
        Links::All
    } else {
        let some = dice.below(4);
        let names: BTreeSet<_> = (0..some).map(|_| dice.of(&NAMES).to_owned()).collect();
        let indexes = (0..dice.below(4)).map(|_| any_index(dice)).collect();
        Links::Named { names, indexes }
    };
    addresses.with_links(links)
}

fn any_address(dice: &mut Dice) -> IpAddr {
    match dice.below(6) {
        0 => v4(dice.word()),
        1 | 2 => v4(0x0a00_0000 | dice.word() & 0x1ff),
        3 => v6(dice.long()),
        4 => v6(0xfd << 120 | dice.long() & 0x1ff),
        _ => v6(0xffff_0a00_0000 | dice.long() & 0x1ff),
    }
}

fn any_index(dice: &mut Dice) -> u32 {
    if dice.one_in(4) {
        dice.word()
    } else {
        dice.word() % 12
    }
}

/// A notification: often of what is watched.
pub(super) fn any(dice: &mut Dice, watched: &Watched) -> Vec<u8> {
    let mut attributes = Attributes::default();
    if dice.below(10) < 7 {
        let own = near(dice, watched);
        let far = if own.is_ipv4() == dice.one_in(2) {
            near(dice, watched)
        } else {
            own
        };
        for _ in 0..4 {
            match dice.below(6) {
                0 => attributes.text(3, dice.of(&NAMES)),
                1 => attributes.number(8, dice.word() & 0xfff),
                2 => attributes.bytes(6, &[0; 16]),
                3 => attributes.ip(4, any_address(dice)),
                _ => {}
            }
        }
        match dice.below(3) {
            0 => {
                attributes.ip(1, far);
                attributes.ip(2, own);
            }
            1 => {
                attributes.ip(2, own);
                attributes.number(9, 0);
                attributes.ip(1, far);
            }
            _ => attributes.ip(1, own),
        }
        let kind = dice.of(&[20, 21]);
        return address(kind, any_index(dice), own, &attributes);
    }
    let name = dice.of(&NAMES);
    for _ in 0..3 {
        match dice.below(4) {
            0 => attributes.number(4, 1_500),
            1 => attributes.bytes(1, &[2, 0, 0, 0, 0, 1]),
            2 if dice.one_in(3) => attributes.altnames(&[dice.of(&NAMES), "an-altname"]),
            3 if dice.one_in(20) => attributes.bytes(11, &[0; 8]),
            _ => {}
        }
    }
    attributes.text(3, name);
    if !dice.one_in(4) {
        attributes.number(13, 1_000);
        attributes.bytes(23, &[0; 100]);
    }
    let family = dice.of(&[0, 0, 0, 0, 7, 10]);
    let kind = dice.of(&[16, 16, 16, 17]);
    link(kind, family, any_index(dice), &attributes)
}

/// A watched address, or one beside it, or any.
fn near(dice: &mut Dice, watched: &Watched) -> IpAddr {
    let any = any_address(dice);
    if watched.is_empty() || dice.one_in(2) {
        return any;
    }
    let one = watched
        .addresses()
        .nth(dice.below(watched.len()))
        .unwrap_or(any);
    if dice.one_in(2) {
        return one;
    }
    match one {
        IpAddr::V4(it) => v4(it.to_bits().wrapping_add(1)),
        IpAddr::V6(it) => v6(it.to_bits() ^ 1 << dice.below(128)),
    }
}

/// Spoils it: a few bytes, its length, a part of it twice, several in one.
pub(super) fn mutate(dice: &mut Dice, message: &mut Vec<u8>) {
    for _ in 0..=dice.below(3) {
        let length = message.len();
        match dice.below(8) {
            0..=2 if length > 0 => {
                let at = dice.below(length);
                message[at] = dice.byte();
            }
            3 if length > 0 => {
                let at = dice.below(length);
                message[at] = message[at].wrapping_add(dice.of(&[1, 4, 0xff, 0xfc]));
            }
            4 => message.truncate(dice.below(length + 1)),
            5 => message.extend(std::iter::repeat_n(0, dice.below(20))),
            6 if length > 24 => {
                // The same attributes once more, or others before them.
                let tail = message.split_off(16 + 4 * dice.below((length - 16) / 4));
                message.extend(&tail);
                message.extend(&tail);
            }
            7 => {
                let again = message.clone();
                message.extend(again);
            }
            _ => {}
        }
        // Most of what is spoilt still says its length, or nothing but the length would be looked at.
        if message.len() >= 4 && !dice.one_in(4) {
            let length = u32::try_from(message.len()).unwrap();
            message[..4].copy_from_slice(&length.to_ne_bytes());
        }
    }
}

//! The program that decides inside the kernel, before anybody is woken, whether a notification may matter.
//! Pure: bytes of instructions out of what is watched.
//!
//! What the program cannot decide passes, and `decode` decides it; what it drops tells nothing that a role, or
//! the name of a link that is shown, depends on:
//!
//! | notification | passes |
//! |---|---|
//! | `RTM_NEWADDR`, `RTM_DELADDR` | if the node's own address is watched, or cannot be found in it |
//! | `RTM_NEWLINK` | if it speaks of the link itself, and of one that [`Links`] asks for |
//! | `RTM_DELLINK` | if it speaks of the link itself: rare, and it may be all that tells of its addresses' end |
//! | anything else, and what is too short or more than one message | always |
//!
//! The layout is that of linux/filter.h. A load beyond the end of a message ends the program with "drop", so
//! each is behind a check of the length. Multi-byte fields of netlink are in the machine's byte order, but
//! loads are in the network's.

use std::net::IpAddr;

use super::ranges::{Ranges, Span};
use crate::machine::kernel::Links;
use crate::source::netlink::decode::{
    IFA_ADDRESS, IFA_LOCAL, IFLA_IFNAME, IFLA_PROP_LIST, RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR,
    RTM_NEWLINK,
};
use crate::source::netlink::watched::Watched;

/// `BPF_MAXINSNS`.
pub(super) const INSTRUCTIONS_MAX: usize = 4096;

/// One instruction: `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jump_true: u8,
    pub(super) jump_false: u8,
    pub(super) k: u32,
}

/// Whether every stranger is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// Each watched address is in the program. (Of IPv6 a number of 32 bits stands for it, which a stranger has by a
    /// chance of one in four thousand million.)
    Exact,
    /// Only ranges around neighbouring addresses are.
    Ranges,
}

/// The program for what is watched, of at most `instructions_max`: as exact as fits.
pub(super) fn program(watched: &Watched, instructions_max: usize) -> (Vec<Instruction>, Precision) {
    let mut v4: Ranges = watched.addresses().filter_map(v4_key).collect();
    let mut v6: Ranges = watched.addresses().filter_map(v6_key).collect();
    // The links are the few names of a file; they may have half of the room.
    let links = [links(watched.links()), links(&Links::All)];
    let links = links
        .into_iter()
        .find(|code| code.len() <= instructions_max / 2)
        .unwrap_or_default();
    let exact = whole(&v4, &v6, &links);
    if exact.len() <= instructions_max {
        return (exact, Precision::Exact);
    }
    let mut spans = v4.len().max(v6.len());
    loop {
        spans = spans * 3 / 4;
        v4.reduce_to(spans.max(1));
        v6.reduce_to(spans.max(1));
        let code = whole(&v4, &v6, &links);
        if code.len() <= instructions_max || spans <= 1 {
            return (code, Precision::Ranges);
        }
    }
}

// Instruction classes, sizes, modes and operations of linux/bpf_common.h.
pub(super) const LOAD_WORD: u16 = 0x20;
pub(super) const LOAD_HALF: u16 = 0x28;
pub(super) const LOAD_BYTE: u16 = 0x30;
pub(super) const LOAD_WORD_AT_X: u16 = 0x40;
pub(super) const LOAD_HALF_AT_X: u16 = 0x48;
pub(super) const LOAD_BYTE_AT_X: u16 = 0x50;
pub(super) const LOAD_LENGTH: u16 = 0x80;
pub(super) const LOAD_NUMBER: u16 = 0x00;
pub(super) const LOAD_X_NUMBER: u16 = 0x01;
pub(super) const LOAD_X_MEMORY: u16 = 0x61;
pub(super) const STORE: u16 = 0x02;
pub(super) const MULTIPLY: u16 = 0x24;
pub(super) const SHIFT_LEFT: u16 = 0x64;
pub(super) const ADD_X: u16 = 0x0c;
pub(super) const SUBTRACT_X: u16 = 0x1c;
pub(super) const OR_X: u16 = 0x4c;
pub(super) const JUMP: u16 = 0x05;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_GREATER: u16 = 0x25;
pub(super) const IF_AT_LEAST: u16 = 0x35;
pub(super) const IF_EQUAL_X: u16 = 0x1d;
pub(super) const RETURN: u16 = 0x06;
pub(super) const COPY_TO_X: u16 = 0x07;

/// A load from here (`SKF_AD_OFF + SKF_AD_NLATTR`) makes A the offset of the first attribute of type X at or after
/// offset A, or 0 where there is none (`__skb_get_nlattr`, net/core/filter.c).
pub(super) const FIND_ATTRIBUTE: u32 = 0xffff_f000 + 12;

/// `RETURN` of so many bytes.
pub(super) const PASS: u32 = u32::MAX;
pub(super) const DROP: u32 = 0;

/// `struct nlmsghdr`, and with it `struct ifaddrmsg` and `struct ifinfomsg`.
const HEADER_BYTES: u32 = 16;
const ADDRESS_BYTES: u32 = HEADER_BYTES + 8;
const LINK_BYTES: u32 = HEADER_BYTES + 16;
/// The family is the first byte of both.
const FAMILY_AT: u32 = HEADER_BYTES;
/// `ifi_index`.
const INDEX_AT: u32 = HEADER_BYTES + 4;
const AF_UNSPEC: u32 = 0;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// `struct nlattr`: length with itself, type.
const ATTRIBUTE_BYTES: u32 = 4;
/// `IFNAMSIZ`, with the terminating zero.
const NAME_BYTES_MAX: u32 = 16;

/// By what the words of an IPv6 address but the last are multiplied before all are added up: odd numbers that
/// scatter the bits. Addresses that differ in the last word only stay neighbours.
const V6_FACTORS: [u32; 3] = [0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35];

fn v4_key(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => Some(address.to_bits()),
        IpAddr::V6(_) => None,
    }
}

fn v6_key(address: IpAddr) -> Option<u32> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let octets = address.octets();
    let (words, _) = octets.as_chunks::<4>();
    let factors = V6_FACTORS.into_iter().chain([1]);
    let terms = words
        .iter()
        .zip(factors)
        .map(|(word, factor)| u32::from_be_bytes(*word).wrapping_mul(factor));
    Some(terms.fold(0, u32::wrapping_add))
}

fn plain(code: u16, k: u32) -> Instruction {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        k,
    }
}

/// How a load sees a 16-bit field of netlink.
fn half(value: u16) -> u32 {
    u16::from_be_bytes(value.to_ne_bytes()).into()
}

/// A jump over so many instructions.
fn skip(count: usize) -> Instruction {
    // A program has at most a few thousand instructions.
    plain(JUMP, u32::try_from(count).unwrap_or(u32::MAX))
}

/// `body`, where A is one of `values`; otherwise goes on behind it with the same A.
fn when(values: &[u16], body: &[Instruction], code: &mut Vec<Instruction>) {
    for (after, value) in (0..values.len()).rev().zip(values) {
        // At most two values are asked for.
        let over_the_rest = u8::try_from(after + 1).unwrap_or(u8::MAX);
        code.push(jump(IF_EQUAL, half(*value), over_the_rest, 0));
    }
    code.push(skip(body.len()));
    code.extend_from_slice(body);
}

/// Goes on where the message has at least `bytes`; what is shorter passes.
fn at_least(bytes: u32, code: &mut Vec<Instruction>) {
    code.extend([
        plain(LOAD_LENGTH, 0),
        jump(IF_AT_LEAST, bytes, 1, 0),
        plain(RETURN, PASS),
    ]);
}

fn whole(v4: &Ranges, v6: &Ranges, links: &[Instruction]) -> Vec<Instruction> {
    let mut code = Vec::new();
    at_least(HEADER_BYTES, &mut code);
    only_message(&mut code);
    code.push(plain(LOAD_HALF, 4));
    when(&[RTM_NEWADDR, RTM_DELADDR], &addresses(v4, v6), &mut code);
    when(&[RTM_NEWLINK], links, &mut code);
    when(&[RTM_DELLINK], &self::links(&Links::All), &mut code);
    code.push(plain(RETURN, PASS));
    code
}

/// Goes on where `nlmsg_len` is the length of the datagram: it holds one message, as every notification does
/// (`nlmsg_notify` sends what one `nlmsg_end` has ended). Others pass.
fn only_message(code: &mut Vec<Instruction>) {
    if cfg!(target_endian = "big") {
        code.push(plain(LOAD_WORD, 0));
    } else {
        // The lower half of the length, byte by byte; longer ones pass.
        code.extend([
            plain(LOAD_HALF, 2),
            jump(IF_EQUAL, 0, 1, 0),
            plain(RETURN, PASS),
            plain(LOAD_BYTE, 1),
            plain(SHIFT_LEFT, 8),
            plain(COPY_TO_X, 0),
            plain(LOAD_BYTE, 0),
            plain(OR_X, 0),
        ]);
    }
    code.extend([
        plain(COPY_TO_X, 0),
        plain(LOAD_LENGTH, 0),
        jump(IF_EQUAL_X, 0, 1, 0),
        plain(RETURN, PASS),
    ]);
}

fn find(attribute: u16, from: u32, code: &mut Vec<Instruction>) {
    code.extend([
        plain(LOAD_NUMBER, from),
        plain(LOAD_X_NUMBER, attribute.into()),
        plain(LOAD_WORD, FIND_ATTRIBUTE),
    ]);
}

/// Decides on an address message. `IFA_LOCAL` is the node's own address where it is told, else `IFA_ADDRESS` is.
fn addresses(v4: &Ranges, v6: &Ranges) -> Vec<Instruction> {
    let mut code = Vec::new();
    at_least(ADDRESS_BYTES, &mut code);
    code.extend([
        plain(LOAD_BYTE, FAMILY_AT),
        jump(IF_EQUAL, AF_INET, 2, 0),
        jump(IF_EQUAL, AF_INET6, 1, 0),
        plain(RETURN, DROP),
    ]);
    find(IFA_LOCAL, ADDRESS_BYTES, &mut code);
    code.push(jump(IF_EQUAL, 0, 0, 5));
    find(IFA_ADDRESS, ADDRESS_BYTES, &mut code);
    code.extend([
        jump(IF_EQUAL, 0, 0, 1),
        plain(RETURN, PASS),
        plain(COPY_TO_X, 0),
        plain(LOAD_HALF_AT_X, 0),
    ]);
    // The attribute was found whole, so that its value can be loaded if its length is right.
    let mut four = vec![plain(LOAD_WORD_AT_X, ATTRIBUTE_BYTES)];
    search(v4.spans(), &mut four);
    when(&[4 + 4], &four, &mut code);
    let mut sixteen = load_v6_key();
    search(v6.spans(), &mut sixteen);
    when(&[4 + 16], &sixteen, &mut code);
    code.push(plain(RETURN, PASS));
    code
}

/// Makes A what [`v6_key`] makes of the value of the attribute at X.
fn load_v6_key() -> Vec<Instruction> {
    let mut code = Vec::new();
    for (number, factor) in (0..).zip(V6_FACTORS) {
        code.extend([
            plain(LOAD_WORD_AT_X, ATTRIBUTE_BYTES + 4 * number),
            plain(MULTIPLY, factor),
            plain(STORE, number),
        ]);
    }
    code.push(plain(LOAD_WORD_AT_X, ATTRIBUTE_BYTES + 12));
    for number in 0..3 {
        code.extend([plain(LOAD_X_MEMORY, number), plain(ADD_X, 0)]);
    }
    code
}

/// Spans that are looked at one after the other.
const SPANS_IN_A_ROW: usize = 12;

/// Passes if A is in one of the spans, which are in order; drops otherwise.
fn search(spans: &[Span], code: &mut Vec<Instruction>) {
    let (low, high) = spans.split_at(spans.len() / 2);
    if let Some(first) = high.first()
        && spans.len() > SPANS_IN_A_ROW
    {
        let mut below = Vec::new();
        search(low, &mut below);
        match u8::try_from(below.len()) {
            Ok(over) => code.push(jump(IF_AT_LEAST, first.low, over, 0)),
            Err(_) => code.extend([jump(IF_AT_LEAST, first.low, 0, 1), skip(below.len())]),
        }
        code.append(&mut below);
        return search(high, code);
    }
    // From the end to the beginning, because the jumps lead to the end.
    let mut row = vec![plain(RETURN, PASS), plain(RETURN, DROP)];
    for span in spans.iter().rev() {
        // Two instructions for each of a few spans.
        let to_pass = u8::try_from(row.len() - 1).unwrap_or(u8::MAX);
        if span.low == span.high {
            row.push(jump(IF_EQUAL, span.low, to_pass, 0));
        } else {
            row.push(jump(IF_AT_LEAST, span.low, to_pass, to_pass - 1));
            row.push(jump(IF_GREATER, span.high, 1, 0));
        }
    }
    code.extend(row.iter().rev());
}

/// Decides on a message that a link is there.
fn links(links: &Links) -> Vec<Instruction> {
    let mut code = Vec::new();
    at_least(LINK_BYTES, &mut code);
    // Others than AF_UNSPEC speak of a port of a bridge.
    code.extend([
        plain(LOAD_BYTE, FAMILY_AT),
        jump(IF_EQUAL, AF_UNSPEC, 1, 0),
        plain(RETURN, DROP),
    ]);
    let Links::Named { names, indexes } = links else {
        code.push(plain(RETURN, PASS));
        return code;
    };
    code.push(plain(LOAD_WORD, INDEX_AT));
    for index in indexes {
        let index = u32::from_be_bytes(index.to_ne_bytes());
        code.extend([jump(IF_EQUAL, index, 0, 1), plain(RETURN, PASS)]);
    }
    // Altnames are a list in an attribute.
    find(IFLA_PROP_LIST, LINK_BYTES, &mut code);
    code.extend([jump(IF_EQUAL, 0, 1, 0), plain(RETURN, PASS)]);
    find(IFLA_IFNAME, LINK_BYTES, &mut code);
    code.extend([jump(IF_EQUAL, 0, 0, 1), plain(RETURN, PASS)]);
    // All that is loaded below lies in the message. Of what the kernel sends, much more follows the name.
    code.extend([
        plain(COPY_TO_X, 0),
        plain(LOAD_LENGTH, 0),
        plain(SUBTRACT_X, 0),
        jump(IF_AT_LEAST, ATTRIBUTE_BYTES + NAME_BYTES_MAX, 1, 0),
        plain(RETURN, PASS),
    ]);
    for name in names
        .iter()
        .filter(|name| name.len() < NAME_BYTES_MAX as usize)
    {
        begins_with(name.as_bytes(), &mut code);
    }
    code.push(plain(RETURN, DROP));
    code
}

/// Passes if the attribute at X begins with `name`: a name that is longer passes too, which is right.
fn begins_with(name: &[u8], code: &mut Vec<Instruction>) {
    let mut compare = Vec::new();
    let mut at = ATTRIBUTE_BYTES;
    let mut rest = name;
    while !rest.is_empty() {
        let (load, bytes) = match rest.len() {
            4.. => (LOAD_WORD_AT_X, 4),
            2 | 3 => (LOAD_HALF_AT_X, 2),
            _ => (LOAD_BYTE_AT_X, 1),
        };
        let (now, later) = rest.split_at(bytes);
        let value = now
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        compare.push((plain(load, at), value));
        at += u32::try_from(bytes).unwrap_or_default();
        rest = later;
    }
    let count = compare.len();
    for (number, (load, value)) in compare.into_iter().enumerate() {
        // A name has at most 15 bytes, so at most six comparisons.
        let to_next = u8::try_from(2 * (count - number) - 1).unwrap_or(u8::MAX);
        code.extend([load, jump(IF_EQUAL, value, 0, to_next)]);
    }
    code.push(plain(RETURN, PASS));
}

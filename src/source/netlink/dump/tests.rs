//! Tests of `source/netlink/dump`.

use super::*;

const SEQUENCE: u32 = 3;

/// A message of this type, with flags, sequence number and an error number as its body.
fn message(kind: u16, flags: u16, sequence: u32, code: i32) -> Vec<u8> {
    let mut bytes = vec![20, 0, 0, 0];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(code.to_ne_bytes());
    bytes
}

/// `RTM_NEWLINK` of `lo`, with index 1.
fn link(flags: u16) -> Vec<u8> {
    let mut bytes = message(16, flags, SEQUENCE, 0);
    bytes.extend([
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0, b'l', b'o', 0, 0,
    ]);
    bytes[0] = u8::try_from(bytes.len()).unwrap();
    bytes
}

fn done(flags: u16, code: i32) -> Vec<u8> {
    message(NLMSG_DONE, flags, SEQUENCE, code)
}

fn answer(datagrams: &[Vec<u8>]) -> Result<(Part, Answer), NetlinkError> {
    let mut answer = Answer::new(Table::Links, SEQUENCE);
    let mut part = Part::Middle;
    for datagram in datagrams {
        part = answer.take(datagram, &Watched::default())?;
    }
    Ok((part, answer))
}

#[test]
fn whole_dump_is_complete() {
    let (part, answer) = answer(&[[link(0), link(0)].concat(), done(0, 0)]).unwrap();
    assert_eq!(part, Part::Last);
    assert_eq!(answer.complete().map(|events| events.len()), Some(2));
}

#[test]
fn dump_without_its_end_is_not_over() {
    let (part, _) = answer(&[link(0), link(0)]).unwrap();
    assert_eq!(part, Part::Middle);
}

#[test]
fn interruption_is_seen_on_any_message() {
    for datagrams in [
        [link(NLM_F_DUMP_INTR), link(0), done(0, 0)],
        [link(0), link(NLM_F_DUMP_INTR), done(0, 0)],
        [link(0), link(0), done(NLM_F_DUMP_INTR, 0)],
    ] {
        let (part, answer) = answer(&datagrams).unwrap();
        assert_eq!(part, Part::Last);
        assert_eq!(answer.complete(), None);
    }
}

#[test]
fn answers_to_other_requests_are_ignored() {
    let other = message(NLMSG_DONE, NLM_F_DUMP_INTR, SEQUENCE - 1, -16);
    let (part, answer) = answer(&[other, link(0)]).unwrap();
    assert_eq!(part, Part::Middle);
    assert_eq!(answer.complete().map(|events| events.len()), Some(1));
}

#[test]
fn errors_of_the_kernel_are_told() {
    for refused in [done(0, -16), message(NLMSG_ERROR, 0, SEQUENCE, -16)] {
        let Err(NetlinkError::Refused { table, source }) = answer(&[link(0), refused]).map(drop)
        else {
            panic!("an error is not noticed");
        };
        assert_eq!((table, source.raw_os_error()), (Table::Links, Some(16)));
    }
    assert!(answer(&[message(NLMSG_ERROR, 0, SEQUENCE, i32::MIN)]).is_err());
}

#[test]
fn what_cannot_be_read_fails_the_dump() {
    let mut nameless = link(0);
    nameless.truncate(32);
    nameless[0] = 32;
    let overrun = message(NLMSG_OVERRUN, 0, SEQUENCE, 0);
    let mut empty_end = done(0, 0);
    empty_end.truncate(16);
    empty_end[0] = 16;
    for (bad, why) in [
        (nameless, Incomplete::Malformed),
        (vec![1, 2, 3], Incomplete::Malformed),
        (empty_end, Incomplete::Malformed),
        (overrun, Incomplete::Overrun),
    ] {
        let Err(NetlinkError::Incomplete { source, .. }) = answer(&[bad]).map(drop) else {
            panic!("{why} is not noticed");
        };
        assert_eq!(source, why);
    }
}

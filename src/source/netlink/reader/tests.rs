//! The queue is a script of what the receive call returns.

use std::collections::VecDeque;

use super::*;
use crate::machine::kernel::LinkIndex;

/// What one receive call returns.
#[derive(Clone)]
enum Step {
    Message(LinkIndex),
    Foreign(LinkIndex),
    Bytes(Vec<u8>),
    Truncated,
    Error(Errno),
}

use Step::{Bytes, Error, Foreign, Message, Truncated};

const BOUND: u32 = 4;

/// `RTM_DELLINK` of this link: 16 bytes of header, 16 of body.
fn link_gone(index: LinkIndex) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[0] = 32;
    bytes[4] = 17;
    bytes[20..24].copy_from_slice(&index.to_ne_bytes());
    bytes
}

struct Script {
    reader: Reader,
    steps: VecDeque<Step>,
    events: Vec<KernelEvent>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            reader: Reader::new(BOUND),
            steps: steps.into_iter().collect(),
            events: Vec::new(),
        }
    }

    fn read(&mut self) -> Read {
        let steps = &mut self.steps;
        let receive = |buffer: &mut Vec<u8>| {
            buffer.clear();
            let (bytes, sender_port, excess) = match steps.pop_front() {
                Some(Message(index)) => (link_gone(index), KERNEL_PORT, 0),
                Some(Foreign(index)) => (link_gone(index), 4711, 0),
                Some(Bytes(bytes)) => (bytes, KERNEL_PORT, 0),
                Some(Truncated) => (link_gone(0), KERNEL_PORT, 1),
                Some(Error(errno)) => return Err(errno.into()),
                None => return Err(Errno::AGAIN.into()),
            };
            buffer.extend(bytes);
            let bytes = buffer.len() + excess;
            Ok(Received { bytes, sender_port })
        };
        self.reader
            .read(receive, &Watched::default(), &mut self.events)
    }

    fn links(&self) -> Vec<LinkIndex> {
        self.events
            .iter()
            .map(|event| {
                let KernelEvent::LinkGone(index) = event else {
                    panic!("{event:?}");
                };
                *index
            })
            .collect()
    }
}

#[test]
fn reads_until_the_queue_is_empty() {
    let mut script = Script::new([Message(1), Error(Errno::INTR), Message(2)]);
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [1, 2]);
    assert_eq!(script.reader.counters().decoded, 2);
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [1, 2]);
}

#[test]
fn stops_at_the_limit_and_goes_on() {
    let mut script = Script::new((0..=DATAGRAMS_PER_READ).map(Message));
    assert!(matches!(script.read(), Read::More));
    assert_eq!(script.links().len(), DATAGRAMS_PER_READ as usize);
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links().last(), Some(&DATAGRAMS_PER_READ));
}

#[test]
fn overrun_discards_what_came_before_and_what_is_queued() {
    let overflow = Error(Errno::NOBUFS);
    let mut script = Script::new([Message(1), overflow, Message(2), Message(3)]);
    assert!(matches!(script.read(), Read::Overrun));
    assert!(script.links().is_empty());
    assert_eq!(script.reader.counters().discarded, 2);
    script.steps.push_back(Message(4));
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [4]);
}

#[test]
fn overrun_ends_while_messages_keep_coming() {
    let mut script = Script::new([Error(Errno::NOBUFS)]);
    script.steps.extend((0..BOUND + 2).map(Message));
    assert!(matches!(script.read(), Read::Overrun));
    assert!(script.links().is_empty());
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [BOUND, BOUND + 1]);
}

#[test]
fn second_overrun_makes_the_queue_stale_anew() {
    let overflow = || Error(Errno::NOBUFS);
    let mut script = Script::new([overflow(), Message(1), Message(2), overflow()]);
    script.steps.extend((3..3 + BOUND).map(Message));
    script.steps.push_back(Message(9));
    assert!(matches!(script.read(), Read::Overrun));
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [9]);
}

#[test]
fn discarding_goes_on_over_calls() {
    let mut script = Script::new([Message(1), Error(Errno::NOBUFS)]);
    script.reader = Reader::new(2 * DATAGRAMS_PER_READ);
    script.steps.extend((0..DATAGRAMS_PER_READ).map(Message));
    assert!(matches!(script.read(), Read::More));
    assert!(script.links().is_empty());
    assert!(matches!(script.read(), Read::Overrun));
    assert!(script.links().is_empty());
}

#[test]
fn what_cannot_be_read_is_an_overrun() {
    let overrun_message = [16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for lost in [
        Truncated,
        Bytes(vec![1, 2, 3]),
        Bytes(overrun_message.to_vec()),
    ] {
        let mut script = Script::new([Message(1), lost, Message(2)]);
        assert!(matches!(script.read(), Read::Overrun));
        assert!(script.links().is_empty());
    }
}

#[test]
fn only_the_kernel_is_listened_to() {
    let mut script = Script::new([Message(1), Foreign(2), Message(3)]);
    assert!(matches!(script.read(), Read::Drained));
    assert_eq!(script.links(), [1, 3]);
    assert_eq!(script.reader.counters().foreign, 1);
}

#[test]
fn other_errors_lose_the_socket() {
    let mut script = Script::new([Message(1), Error(Errno::BADF)]);
    let Read::Lost(error) = script.read() else {
        panic!("a bad descriptor is not noticed");
    };
    assert_eq!(
        error.to_string(),
        "cannot receive from the netlink notification socket"
    );
    assert!(script.links().is_empty());
}

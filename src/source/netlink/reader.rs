//! What one wake-up makes of the notification queue: a batch of events, or the verdict that something is
//! missing. Owned by the subscription; pure (the socket is a closure), never waits.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::decode;
use super::error::NetlinkError;
use super::socket::{DATAGRAM_BYTES, KERNEL_PORT, Received};
use super::watched::Watched;
use crate::machine::kernel::KernelEvent;

/// The most datagrams that one [`read`](super::Subscription::read) takes from the queue, one or two
/// milliseconds' work. The rest stays in the kernel's queue and is read next ([`Read::More`]). The reactor reads
/// up to `READS_MAX` times in one wake-up (`reactor.rs`), so in a storm of addresses its signals and timers wait
/// for the product of the two: about a tenth of a second.
pub const DATAGRAMS_PER_READ: u32 = 1024;

/// How a read ended.
#[derive(Debug)]
pub enum Read {
    /// The queue is empty: the events are all there is.
    Drained,
    /// The limit of one call is reached: the events so far are good, more may be queued. Read again before
    /// judging: an address that was deleted and added again may be half read.
    More,
    /// Something is missing. All that was queued at that moment has been discarded, and `events` is empty:
    /// dump now.
    Overrun,
    /// The socket is of no use any longer. Open a new one, then dump.
    Lost(NetlinkError),
}

/// What has passed through a subscription since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Datagrams of the kernel that were decoded.
    pub decoded: u64,
    /// Datagrams that were thrown away after an overrun.
    pub discarded: u64,
    /// Datagrams that another process sent, which were ignored.
    pub foreign: u64,
}

impl Counters {
    /// Of two sockets, one after the other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            decoded: self.decoded + other.decoded,
            discarded: self.discarded + other.discarded,
            foreign: self.foreign + other.foreign,
        }
    }
}

/// Reads the queue of one socket.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    queue: Queue,
    queue_bound: u32,
    counters: Counters,
}

/// What the messages in the kernel's queue are worth.
///
/// When its queue overflows the kernel reports ENOBUFS at once, before the messages that are still queued,
/// and queues nothing more until the queue was read empty (`NETLINK_S_CONGESTED` in
/// `net/netlink/af_netlink.c`). So after ENOBUFS come messages that are older than the loss: a dump followed by
/// these would end in an old state for good. They are discarded, and only then is it time to dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// A gapless continuation of what was read before.
    Whole,
    /// Up to `left` messages may be older than the loss. That bound ends the discarding even while new
    /// messages arrive faster than old ones are read.
    Stale { left: u32 },
}

impl Reader {
    /// A reader of a queue that holds at most `queue_bound` messages at any time.
    pub(super) fn new(queue_bound: u32) -> Self {
        Self {
            buffer: Vec::with_capacity(DATAGRAM_BYTES),
            queue: Queue::Whole,
            queue_bound,
            counters: Counters::default(),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Receives until the queue is empty, at most [`DATAGRAMS_PER_READ`] times, and appends to `events`.
    pub(super) fn read(
        &mut self,
        mut receive: impl FnMut(&mut Vec<u8>) -> io::Result<Received>,
        watched: &Watched,
        events: &mut Vec<KernelEvent>,
    ) -> Read {
        for _ in 0..DATAGRAMS_PER_READ {
            match receive(&mut self.buffer) {
                Ok(received) => self.take(received, watched, events),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    self.distrust(events);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.drained(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    events.clear();
                    let attempt = "receive from the netlink notification socket";
                    return Read::Lost(NetlinkError::Socket { attempt, source });
                }
            }
            if self.queue == (Queue::Stale { left: 0 }) {
                return self.drained();
            }
        }
        Read::More
    }

    fn take(&mut self, received: Received, watched: &Watched, events: &mut Vec<KernelEvent>) {
        match &mut self.queue {
            Queue::Stale { left } => {
                *left = left.saturating_sub(1);
                self.counters.discarded += 1;
            }
            // Any process with CAP_NET_ADMIN can send to this socket and its groups.
            Queue::Whole if received.sender_port != KERNEL_PORT => self.counters.foreign += 1,
            Queue::Whole => {
                self.counters.decoded += 1;
                let truncated = received.bytes > self.buffer.len();
                if truncated || decode::datagram(&self.buffer, watched, events).is_err() {
                    self.distrust(events);
                }
            }
        }
    }

    /// Something is missing: what this batch has brought so far is older than the loss as well.
    fn distrust(&mut self, events: &mut Vec<KernelEvent>) {
        events.clear();
        self.queue = Queue::Stale {
            left: self.queue_bound,
        };
    }

    fn drained(&mut self) -> Read {
        match std::mem::replace(&mut self.queue, Queue::Whole) {
            Queue::Whole => Read::Drained,
            Queue::Stale { .. } => Read::Overrun,
        }
    }
}

#[cfg(test)]
mod tests;

//! The notification socket: hears of every link and address that comes, changes or goes. Lives on the
//! reactor thread; never dumps, never reopens itself, never decides.

use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::io::unix::AsyncFd;

use super::error::NetlinkError;
use super::filter::{self, Filter};
use super::reader::{Counters, Read, Reader};
use super::socket;
use super::watched::Watched;
use crate::machine::kernel::KernelEvent;

/// The receive buffer to ask for, in bytes. The kernel doubles it, which holds some 20,000 address events:
/// what the kernel can produce in 100 to 200 ms when a program adds addresses as fast as it can, so that a
/// reactor that is not scheduled for that long loses nothing. It is a limit, not a reservation: memory is
/// used only by messages that wait. (The usual default holds 256 events, less than one `ip -batch`.)
pub const RECEIVE_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` (rtnetlink(7)): the bits of the groups
/// `RTNLGRP_LINK` (1), `RTNLGRP_IPV4_IFADDR` (5) and `RTNLGRP_IPV6_IFADDR` (9).
const GROUPS: u32 = 1 | 1 << 4 | 1 << 8;

/// Less than what any queued message is charged against the receive buffer (`truesize`): the kernel's
/// `struct sk_buff` and `struct skb_shared_info` alone are more (576 bytes on 64-bit machines).
const MESSAGE_CHARGE_MIN_BYTES: usize = 256;

/// The receive buffer that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveBuffer {
    /// By `SO_RCVBUFFORCE`: what was asked for.
    Forced {
        /// Its size as the kernel accounts it: twice what was asked for.
        bytes: usize,
    },
    /// By `SO_RCVBUF`, without `CAP_NET_ADMIN`: at most what `net.core.rmem_max` allows.
    Limited {
        /// Its size as the kernel accounts it: twice what was asked for or allowed.
        bytes: usize,
    },
}

impl ReceiveBuffer {
    /// The granted size as the kernel accounts it.
    pub fn bytes(self) -> usize {
        match self {
            Self::Forced { bytes } | Self::Limited { bytes } => bytes,
        }
    }

    /// No more messages than this can wait at once: one is always let in, the others need room.
    fn messages_max(self) -> u32 {
        let messages = self.bytes() / MESSAGE_CHARGE_MIN_BYTES + 1;
        u32::try_from(messages).unwrap_or(u32::MAX)
    }
}

/// A netlink socket in the groups of links and addresses.
#[derive(Debug)]
pub struct Subscription {
    socket: AsyncFd<Socket>,
    reader: Reader,
    queue: Queue,
    receive_buffer: ReceiveBuffer,
    filter: Filter,
}

/// What is known of the kernel's queue between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// It was empty when it was read last; the runtime tells when that changes.
    Drained,
    /// There may be something in it that the runtime will not tell of (again).
    Unread,
}

impl Subscription {
    /// Opens the socket: whatever changes after this returns will be heard, or reported as an overrun.
    ///
    /// The socket belongs to the network namespace of the calling thread. Must be called inside a tokio
    /// runtime with its I/O driver enabled.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Socket`] when the system has no descriptors or memory, or forbids netlink (a seccomp
    /// filter, `RestrictAddressFamilies=` of systemd.exec(5)).
    pub fn open(receive_buffer_bytes: usize) -> Result<Self, NetlinkError> {
        let mut socket = socket::open()?;
        // Before the groups are joined, so that the small default never holds anything.
        let receive_buffer = raise_receive_buffer(&socket, receive_buffer_bytes)?;
        socket
            .bind(&SocketAddr::new(0, GROUPS))
            .map_err(NetlinkError::socket(
                "join the netlink groups of links and addresses",
            ))?;
        Ok(Self {
            socket: socket::register(socket)?,
            reader: Reader::new(receive_buffer.messages_max()),
            queue: Queue::Unread,
            receive_buffer,
            filter: Filter::Off { error: None },
        })
    }

    /// Has the kernel tell only what matters to `watched`, from now on. Until it was called, all is told.
    ///
    /// What others than before watch is told from now on, so a dump that begins after it completes the picture.
    /// Where the kernel takes no filter, all is told: that is an answer of [`filter`](Self::filter), no error.
    ///
    /// # Errors
    ///
    /// When it is uncertain whether all is told that matters: the subscription is of no use any longer.
    pub fn watch(&mut self, watched: &Watched) -> Result<(), NetlinkError> {
        self.filter = filter::attach(self.socket.get_ref(), watched)?;
        Ok(())
    }

    /// Which filter is on the socket.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Waits until there is something to read. Cancel-safe. Waits for ever on a quiet node: the caller waits
    /// for other things beside it. Resolves at once as long as [`read`](Self::read) has not said
    /// [`Read::Drained`]; may rarely resolve when there is nothing to read.
    pub async fn ready(&mut self) -> Result<(), NetlinkError> {
        if self.queue == Queue::Drained {
            socket::ready(&self.socket)
                .await
                .map_err(NetlinkError::socket("wait for netlink notifications"))?;
            self.queue = Queue::Unread;
        }
        Ok(())
    }

    /// Reads the queue until it is empty, at most [`DATAGRAMS_PER_READ`](super::DATAGRAMS_PER_READ)
    /// datagrams, and appends to `events` what matters: links, and addresses that are `watched`.
    ///
    /// It need not be preceded by [`ready`](Self::ready): the socket itself is asked, so a read after a dump
    /// brings everything that was queued before the dump, however busy the runtime was.
    ///
    /// After [`Read::More`] the same `events` may be handed in again, to be extended. [`Read::Overrun`] and
    /// [`Read::Lost`] empty them.
    pub fn read(&mut self, watched: &Watched, events: &mut Vec<KernelEvent>) -> Read {
        let socket = self.socket.get_ref();
        let receive = |buffer: &mut Vec<u8>| socket::receive(socket, buffer);
        let outcome = self.reader.read(receive, watched, events);
        self.queue = match outcome {
            Read::Drained => Queue::Drained,
            Read::More | Read::Overrun | Read::Lost(_) => Queue::Unread,
        };
        outcome
    }

    /// The receive buffer that was granted.
    pub fn receive_buffer(&self) -> ReceiveBuffer {
        self.receive_buffer
    }

    /// No more messages than this can be queued at any moment: whoever has read this many since then, or has
    /// seen [`Read::Drained`], has read all that was queued before.
    pub fn queue_bound(&self) -> u32 {
        self.receive_buffer.messages_max()
    }

    /// What has passed through.
    pub fn counters(&self) -> Counters {
        self.reader.counters()
    }
}

fn raise_receive_buffer(socket: &Socket, bytes: usize) -> Result<ReceiveBuffer, NetlinkError> {
    let failed = || NetlinkError::socket("set the receive buffer of a netlink socket");
    let forced = match sockopt::set_socket_recv_buffer_size_force(socket, bytes) {
        Ok(()) => true,
        Err(Errno::PERM) => false,
        Err(error) => return Err(failed()(error.into())),
    };
    if !forced {
        sockopt::set_socket_recv_buffer_size(socket, bytes)
            .map_err(|error| failed()(error.into()))?;
    }
    let bytes = sockopt::socket_recv_buffer_size(socket).map_err(|error| failed()(error.into()))?;
    Ok(if forced {
        ReceiveBuffer::Forced { bytes }
    } else {
        ReceiveBuffer::Limited { bytes }
    })
}

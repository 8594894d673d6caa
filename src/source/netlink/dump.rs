//! The whole truth on request: all links, and all watched addresses of both families. Runs on the reactor
//! thread inside the future that [`dump`] returns, on a socket of its own that is closed when the future
//! ends or is dropped. Starts no task; never listens for changes.
//!
//! The request and the answer are a few system calls: the kernel writes each part of a dump inside the
//! receive call that asks for it (`netlink_recvmsg`), so there is hardly ever anything to wait for. The
//! answer is read by the same `decode` as the notifications, so that both agree on what an
//! address is, and what cannot be read fails the dump instead of being left out.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkHeader, NetlinkMessage, parse_i32,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::decode::{self, Messages};
use super::error::{Incomplete, NetlinkError, Table};
use super::socket::{self, DATAGRAM_BYTES, KERNEL_PORT};
use super::watched::Watched;
use crate::machine::kernel::{KernelDump, KernelEvent};

/// The time for all of a dump, repetitions included. 10,000 addresses take some 20 milliseconds; a kernel that
/// needs longer than this holds its configuration lock for somebody else.
pub const DUMP_DEADLINE: Duration = Duration::from_secs(5);

/// How often each of the two tables is asked for in a row when changes interrupt its dump.
pub const DUMP_ATTEMPTS: u32 = 3;

/// Asks the kernel for all links and all `watched` addresses of the calling thread's network namespace.
///
/// What changes meanwhile may or may not be in the answer: it is told by a
/// [`Subscription`](super::Subscription) that was opened before. Dropping the future abandons the dump.
///
/// # Errors
///
/// Any [`NetlinkError`]; [`NetlinkError::Interrupted`] after [`DUMP_ATTEMPTS`] interrupted attempts,
/// [`NetlinkError::Deadline`] after [`DUMP_DEADLINE`].
pub async fn dump(watched: &Watched) -> Result<KernelDump, NetlinkError> {
    tokio::time::timeout(DUMP_DEADLINE, dump_tables(watched))
        .await
        .unwrap_or(Err(NetlinkError::Deadline {
            deadline: DUMP_DEADLINE,
        }))
}

async fn dump_tables(watched: &Watched) -> Result<KernelDump, NetlinkError> {
    let mut connection = Connection::open()?;
    let mut dump = KernelDump::default();
    for table in [Table::Links, Table::Addresses] {
        for event in connection.dump(table, watched).await? {
            match event {
                KernelEvent::LinkPresent(link) => dump.links.push(link),
                KernelEvent::AddressPresent(address) => dump.addresses.push(address),
                // A dump says what is there.
                KernelEvent::LinkGone(_) | KernelEvent::AddressGone(_) => {}
            }
        }
    }
    Ok(dump)
}

/// A socket for requests, one at a time.
struct Connection {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Connection {
    fn open() -> Result<Self, NetlinkError> {
        let mut socket = socket::open()?;
        socket
            .bind_auto()
            .map_err(NetlinkError::socket("bind a netlink socket"))?;
        Ok(Self {
            socket: socket::register(socket)?,
            buffer: Vec::with_capacity(DATAGRAM_BYTES),
            sequence: 0,
        })
    }

    /// Dumps one table, again and at once while changes interrupt it.
    async fn dump(
        &mut self,
        table: Table,
        watched: &Watched,
    ) -> Result<Vec<KernelEvent>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(events) = self.attempt(table, watched).await? {
                return Ok(events);
            }
        }
        Err(NetlinkError::Interrupted {
            table,
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// Dumps one table once; `None` when it was interrupted. An interrupted dump is read to its end, since
    /// the kernel serves one dump per socket at a time (EBUSY).
    async fn attempt(
        &mut self,
        table: Table,
        watched: &Watched,
    ) -> Result<Option<Vec<KernelEvent>>, NetlinkError> {
        self.sequence += 1;
        self.socket
            .get_ref()
            .send_to(
                &request(table, self.sequence),
                &SocketAddr::new(KERNEL_PORT, 0),
                0,
            )
            .map_err(NetlinkError::socket("ask the kernel for a dump"))?;
        let mut answer = Answer::new(table, self.sequence);
        loop {
            let truncated = self.receive(table).await?;
            match answer.take(&self.buffer, watched)? {
                _ if truncated => return Err(incomplete(table)(Incomplete::Truncated)),
                Part::Last => return Ok(answer.complete()),
                // A part holds some hundred entries; a dump of very many lets others run in between.
                Part::Middle => tokio::task::yield_now().await,
            }
        }
    }

    /// Receives one datagram of the kernel; true when it did not fit into the buffer.
    async fn receive(&mut self, table: Table) -> Result<bool, NetlinkError> {
        let failed = NetlinkError::socket("receive a dump from the kernel");
        loop {
            // The answer is there already, so the socket is asked first and waited for only if need be.
            match socket::receive(self.socket.get_ref(), &mut self.buffer) {
                Ok(received) if received.sender_port == KERNEL_PORT => {
                    return Ok(received.bytes > self.buffer.len());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket::ready(&self.socket)
                        .await
                        .map_err(NetlinkError::socket("wait for a dump from the kernel"))?;
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                    return Err(incomplete(table)(Incomplete::Overrun));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// The bytes of a request.
fn request(table: Table, sequence: u32) -> Vec<u8> {
    let payload = match table {
        Table::Links => {
            let mut message = LinkMessage::default();
            // Counters are more than half of a link's description, and cost the kernel a walk over all CPUs.
            let mask = vec![LinkExtentMask::SkipStats];
            message.attributes.push(LinkAttribute::ExtMask(mask));
            RouteNetlinkMessage::GetLink(message)
        }
        Table::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, payload.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Which part of a dump a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// More follow.
    Middle,
    /// It held `NLMSG_DONE`.
    Last,
}

/// Collects the answer to one request. Pure.
struct Answer {
    table: Table,
    sequence: u32,
    interrupted: bool,
    events: Vec<KernelEvent>,
}

impl Answer {
    fn new(table: Table, sequence: u32) -> Self {
        Self {
            table,
            sequence,
            interrupted: false,
            events: Vec::new(),
        }
    }

    /// Takes one datagram.
    fn take(&mut self, datagram: &[u8], watched: &Watched) -> Result<Part, NetlinkError> {
        for message in Messages::new(datagram) {
            let message = message.map_err(incomplete(self.table))?;
            if message.sequence_number() != self.sequence {
                continue;
            }
            // The flag may stand on any message, NLMSG_DONE included (`nl_dump_check_consistent`).
            self.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            match message.message_type() {
                NLMSG_DONE => {
                    self.check(message.payload())?;
                    return Ok(Part::Last);
                }
                NLMSG_ERROR => self.check(message.payload())?,
                NLMSG_OVERRUN => return Err(incomplete(self.table)(Incomplete::Overrun)),
                _ => {
                    let event = decode::message(&message, watched);
                    self.events.extend(event.map_err(incomplete(self.table))?);
                }
            }
        }
        Ok(Part::Middle)
    }

    /// `NLMSG_DONE` and `NLMSG_ERROR` begin with an error number, negative, or zero for success.
    fn check(&self, payload: &[u8]) -> Result<(), NetlinkError> {
        let code = payload
            .get(..4)
            .and_then(|code| parse_i32(code).ok())
            .ok_or_else(|| incomplete(self.table)(Incomplete::Malformed))?;
        if code == 0 {
            return Ok(());
        }
        Err(NetlinkError::Refused {
            table: self.table,
            source: io::Error::from_raw_os_error(code.saturating_neg()),
        })
    }

    /// What was collected; `None` when it may lack something.
    fn complete(self) -> Option<Vec<KernelEvent>> {
        (!self.interrupted).then_some(self.events)
    }
}

fn incomplete(table: Table) -> impl FnOnce(Incomplete) -> NetlinkError {
    move |source| NetlinkError::Incomplete { table, source }
}

#[cfg(test)]
mod tests;

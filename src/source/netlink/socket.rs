//! What both netlink sockets have in common: opening and receiving. Runs on the reactor thread; never waits.

use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::NetlinkError;

/// Room for one datagram. The kernel writes dumps in parts of at most 32 KiB (`netlink_recvmsg`,
/// `net/netlink/af_netlink.c`) and a notification holds one link or address. Only pages that were once written
/// to are in memory.
pub(super) const DATAGRAM_BYTES: usize = 32 * 1024;

/// ENOBUFS is an error condition of the socket that need not come with a message to read, so readiness to
/// read alone would miss it when the queue is empty.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// One received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// Its true length, which is more than what was stored if it did not fit.
    pub(super) bytes: usize,
    /// Who sent it: 0 is the kernel (netlink(7), `nl_pid`).
    pub(super) sender_port: u32,
}

/// The kernel's port number.
pub(super) const KERNEL_PORT: u32 = 0;

/// Opens a non-blocking, close-on-exec route socket, neither bound nor in any group.
pub(super) fn open() -> Result<Socket, NetlinkError> {
    let socket =
        Socket::new(NETLINK_ROUTE).map_err(NetlinkError::socket("open a netlink socket"))?;
    socket
        .set_non_blocking(true)
        .map_err(NetlinkError::socket("make a netlink socket non-blocking"))?;
    Ok(socket)
}

/// Hands the socket to the runtime.
#[expect(
    deprecated,
    reason = "the successor is unsafe because a type may hand out one descriptor and close another; Socket \
              owns one descriptor for life and AsyncFd owns the Socket"
)]
pub(super) fn register(socket: Socket) -> Result<AsyncFd<Socket>, NetlinkError> {
    AsyncFd::with_interest(socket, INTEREST)
        .map_err(NetlinkError::socket("watch a netlink socket for events"))
}

/// Receives one datagram into `buffer`, which is emptied first.
pub(super) fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<Received> {
    buffer.clear();
    // With MSG_TRUNC the call returns the true length of a datagram that does not fit.
    let flags = RecvFlags::TRUNC.bits().cast_signed();
    let (bytes, sender) = socket.recv_from(buffer, flags)?;
    Ok(Received {
        bytes,
        sender_port: sender.port_number(),
    })
}

/// Waits until there may be something to receive, and takes note of it: the next call waits for something
/// new, so the caller receives until the socket would block.
///
/// The readiness is cleared before receiving, not after: what arrives in between is then announced again
/// instead of being forgotten. (`AsyncFd::try_io`, which does both, never calls its closure for an interest
/// in two things.)
pub(super) async fn ready(socket: &AsyncFd<Socket>) -> io::Result<()> {
    socket.ready(INTEREST).await?.clear_ready();
    Ok(())
}

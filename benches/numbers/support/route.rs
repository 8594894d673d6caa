//! Adds and removes addresses over rtnetlink, and hears of them. A socket belongs to the namespace of the
//! thread that opened it and can be used from any.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::clock::now_ns;
use super::hook::Flip;

/// `RTMGRP_IPV4_IFADDR` of rtnetlink(7).
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
/// The loopback's index in every namespace.
const LOOPBACK: u32 = 1;
const MESSAGE_BYTES_MAX: usize = 8192;
const OBSERVER_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Changes addresses of the loopback.
pub(crate) struct Route {
    socket: Socket,
}

impl Route {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
        socket.bind_auto().context("cannot bind a netlink socket")?;
        Ok(Self { socket })
    }

    /// Adds or removes the address, and returns the time right before the kernel was asked to.
    pub(crate) fn flip(&self, address: Ipv4Addr, flip: Flip) -> anyhow::Result<u64> {
        let message = request(address, flip);
        let mut answer = Vec::with_capacity(MESSAGE_BYTES_MAX);
        let at_ns = now_ns();
        self.socket
            .send(&message, 0)
            .context("cannot send to the kernel")?;
        self.socket
            .recv(&mut answer, 0)
            .context("the kernel does not answer")?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)?;
        let done = matches!(&answer.payload, NetlinkPayload::Error(it) if it.code.is_none());
        ensure!(
            done,
            "the kernel refuses {flip:?} of {address}: {:?}",
            answer.payload
        );
        Ok(at_ns)
    }
}

fn request(address: Ipv4Addr, flip: Flip) -> Vec<u8> {
    let mut body = AddressMessage::default();
    body.header.family = AddressFamily::Inet;
    body.header.prefix_len = 32;
    body.header.index = LOOPBACK;
    body.attributes
        .push(AddressAttribute::Local(IpAddr::V4(address)));
    let (body, flags) = match flip {
        Flip::Gain => (
            RouteNetlinkMessage::NewAddress(body),
            NLM_F_CREATE | NLM_F_EXCL,
        ),
        Flip::Loss => (RouteNetlinkMessage::DelAddress(body), 0),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(body));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Hears of one IPv4 address.
pub(crate) struct Observer {
    socket: Socket,
    buffer: Vec<u8>,
    address: [u8; 4],
}

impl Observer {
    /// Subscribes in the namespace of the calling thread.
    pub(crate) fn open(address: Ipv4Addr) -> anyhow::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
        // As keepstart's: a flood is to be heard, not lost.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, OBSERVER_BUFFER_BYTES)
            .context("cannot enlarge the receive buffer")?;
        socket
            .bind(&SocketAddr::new(0, RTMGRP_IPV4_IFADDR))
            .context("cannot subscribe")?;
        let buffer = Vec::with_capacity(MESSAGE_BYTES_MAX);
        Ok(Self {
            socket,
            buffer,
            address: address.octets(),
        })
    }

    /// Waits for the next datagram, and says what it means for the address.
    pub(crate) fn next(&mut self) -> io::Result<Option<Flip>> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        Ok(self.meaning())
    }

    /// Waits until the address has come or gone, and returns when that was heard.
    pub(crate) fn expect(&mut self, flip: Flip, until_ns: u64) -> anyhow::Result<u64> {
        loop {
            let left = Duration::from_nanos(until_ns.saturating_sub(now_ns()));
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec::try_from(left)?))?;
            ensure!(ready > 0, "{flip:?} of the address was not heard");
            if self.next()? == Some(flip) {
                return Ok(now_ns());
            }
        }
    }

    /// The least that can be read of a notification: its type, and whether it is about the address.
    fn meaning(&self) -> Option<Flip> {
        /// `struct nlmsghdr` and `struct ifaddrmsg`.
        const HEADERS: usize = 16 + 8;
        const RTM_NEWADDR: u8 = 20;
        const RTM_DELADDR: u8 = 21;
        const IFA_LOCAL: u8 = 2;
        let flip = match *self.buffer.get(4)? {
            RTM_NEWADDR => Flip::Gain,
            RTM_DELADDR => Flip::Loss,
            _ => return None,
        };
        let mut rest = self.buffer.get(HEADERS..)?;
        while let [l0, l1, kind, _, value @ ..] = rest {
            if *kind == IFA_LOCAL {
                return value.starts_with(&self.address).then_some(flip);
            }
            let length = usize::from(u16::from_ne_bytes([*l0, *l1]))
                .next_multiple_of(4)
                .max(4);
            rest = rest.get(length..)?;
        }
        None
    }
}

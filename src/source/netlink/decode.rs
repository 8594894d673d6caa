//! Netlink bytes to the machine's words. Pure, total on any bytes, and free of allocation for addresses;
//! runs wherever a datagram is read. Never touches a socket, never guesses: what it cannot read it reports
//! as [`Incomplete`].
//!
//! The layout is that of linux/netlink.h, linux/rtnetlink.h, `linux/if_addr.h` and `linux/if_link.h`.

use std::net::IpAddr;

use netlink_packet_core::{NLMSG_OVERRUN, NetlinkBuffer, NlaBuffer, NlasIterator, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressFlags, AddressHeader};
use netlink_packet_route::link::LinkHeader;

use super::error::Incomplete;
use super::watched::Watched;
use crate::machine::kernel::{Address, AddressKey, KernelEvent, Link, LinkIndex, ShortName};

// Message types, linux/rtnetlink.h. The crate keeps its own private.
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;

// Attributes of an address, linux/if_addr.h.
pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_FLAGS: u16 = 8;

// Attributes of a link, linux/if_link.h.
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_WIRELESS: u16 = 11;
pub(super) const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;

/// `struct ifaddrmsg`.
const ADDRESS_HEADER_BYTES: usize = 8;
/// `struct ifinfomsg`.
const LINK_HEADER_BYTES: usize = 16;
/// `NLMSG_ALIGNTO`.
const ALIGNMENT_BYTES: usize = 4;

/// Decodes all messages of one datagram and appends what matters to `events`: links, and those addresses
/// that are `watched`.
///
/// # Errors
///
/// [`Incomplete`] when the datagram holds `NLMSG_OVERRUN` or something that cannot be read. What came before
/// it has been appended.
pub fn datagram(
    bytes: &[u8],
    watched: &Watched,
    events: &mut Vec<KernelEvent>,
) -> Result<(), Incomplete> {
    for next in Messages::new(bytes) {
        let next = next?;
        if next.message_type() == NLMSG_OVERRUN {
            return Err(Incomplete::Overrun);
        }
        events.extend(message(&next, watched)?);
    }
    Ok(())
}

/// The messages of one datagram, in order; ends after the first that is not well formed.
#[derive(Debug, Clone)]
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<NetlinkBuffer<&'a [u8]>, Incomplete>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Ok(message) = NetlinkBuffer::new_checked(self.rest) else {
            self.rest = &[];
            return Some(Err(Incomplete::Malformed));
        };
        // The length fits into `rest`, so rounding it up cannot overflow; the last message may lack padding.
        let used = (message.length() as usize).next_multiple_of(ALIGNMENT_BYTES);
        self.rest = self.rest.get(used..).unwrap_or_default();
        Some(Ok(message))
    }
}

/// What one message says; `None` for what does not matter.
pub(super) fn message(
    message: &NetlinkBuffer<&[u8]>,
    watched: &Watched,
) -> Result<Option<KernelEvent>, Incomplete> {
    let payload = message.payload();
    Ok(match message.message_type() {
        RTM_NEWADDR => address(payload, watched)?.map(KernelEvent::AddressPresent),
        RTM_DELADDR => address(payload, watched)?.map(|it| KernelEvent::AddressGone(it.key)),
        RTM_NEWLINK => link(payload)?.map(KernelEvent::LinkPresent),
        RTM_DELLINK => link_index(payload)?.map(KernelEvent::LinkGone),
        _ => None,
    })
}

fn address(payload: &[u8], watched: &Watched) -> Result<Option<Address>, Incomplete> {
    let header = AddressHeader::parse(payload).map_err(malformed)?;
    // A dump of "all families" may bring others (MCTP has addresses of one byte).
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return Ok(None);
    }
    let (mut local, mut far, mut label) = (None, None, None);
    // The header has room for the first eight flags only; IFA_FLAGS has all, where the kernel sends it.
    let mut flags = u32::from(header.flags.bits());
    for attribute in NlasIterator::new(body(payload, ADDRESS_HEADER_BYTES)) {
        let attribute = attribute.map_err(malformed)?;
        match attribute.kind() {
            // The kernel tells each once; of several the first counts, as for the filter.
            IFA_LOCAL => local = local.or(Some(ip(&attribute)?)),
            IFA_ADDRESS => far = far.or(Some(ip(&attribute)?)),
            IFA_LABEL => label = short_name(&attribute),
            IFA_FLAGS => flags = parse_u32(attribute.value()).map_err(malformed)?,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end; IPv6 sends IFA_LOCAL only there.
    let Some(own) = local.or(far).filter(|own| watched.contains(*own)) else {
        return Ok(None);
    };
    Ok(Some(Address {
        key: AddressKey {
            link: header.index,
            local: own,
            prefix_length: header.prefix_len,
            peer: far.filter(|far| *far != own),
        },
        label,
        usable: usable(AddressFlags::from_bits_retain(flags)),
    }))
}

/// Whether the node may use the address: duplicate address detection has neither failed nor is it still
/// awaited, unless the address is optimistic (RFC 4429). Deprecated addresses are usable (RFC 4862, 5.5.4).
fn usable(flags: AddressFlags) -> bool {
    let awaited =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    !awaited && !flags.contains(AddressFlags::Dadfailed)
}

fn link(payload: &[u8]) -> Result<Option<Link>, Incomplete> {
    let Some(index) = link_index(payload)? else {
        return Ok(None);
    };
    let mut name = None;
    let mut altnames = Vec::new();
    for attribute in NlasIterator::new(body(payload, LINK_HEADER_BYTES)) {
        let attribute = attribute.map_err(malformed)?;
        match attribute.kind() {
            IFLA_IFNAME => name = name.or_else(|| Some(text(&attribute))),
            IFLA_PROP_LIST => {
                for property in NlasIterator::new(attribute.value()) {
                    let property = property.map_err(malformed)?;
                    if property.kind() == IFLA_ALT_IFNAME {
                        altnames.push(text(&property));
                    }
                }
            }
            // A wireless event (net/wireless/wext-core.c) carries the name but not the altnames, so it
            // describes the link only in part; nothing that matters has changed.
            IFLA_WIRELESS => return Ok(None),
            _ => {}
        }
    }
    // net/core/rtnetlink.c sends the name in every RTM_NEWLINK.
    let name = name.ok_or(Incomplete::Malformed)?;
    Ok(Some(Link {
        index,
        name,
        altnames,
    }))
}

/// The index in a link message that speaks of the link itself; `None` for one that does not.
///
/// A bridge sends `RTM_NEWLINK` and `RTM_DELLINK` with family `AF_BRIDGE`, to the same group, for a port that
/// joins and leaves (`net/bridge/br_netlink.c)`: the link lives on.
fn link_index(payload: &[u8]) -> Result<Option<LinkIndex>, Incomplete> {
    let header = LinkHeader::parse(payload).map_err(malformed)?;
    Ok((header.interface_family == AddressFamily::Unspec).then_some(header.index))
}

fn body(payload: &[u8], header_bytes: usize) -> &[u8] {
    payload.get(header_bytes..).unwrap_or_default()
}

fn ip(attribute: &NlaBuffer<&[u8]>) -> Result<IpAddr, Incomplete> {
    let value = attribute.value();
    <[u8; 4]>::try_from(value)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .map_err(malformed)
}

/// The text before the terminating zero. The kernel forbids only `/`, `:` and white space in a name, so it
/// need not be UTF-8; such a name is shown with replacement characters and matches no configured one.
fn text(attribute: &NlaBuffer<&[u8]>) -> String {
    String::from_utf8_lossy(before_zero(attribute.value())).into_owned()
}

/// A label; `None` where it is no UTF-8 and so matches no configured name. (It cannot be too long: IFNAMSIZ.)
fn short_name(attribute: &NlaBuffer<&[u8]>) -> Option<ShortName> {
    let name = std::str::from_utf8(before_zero(attribute.value())).ok()?;
    ShortName::new(name).ok()
}

fn before_zero(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn malformed<E>(_: E) -> Incomplete {
    Incomplete::Malformed
}

#[cfg(test)]
mod tests;

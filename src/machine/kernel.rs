//! What the kernel says of links and addresses, and what of it is asked for, in the machine's own words: pure
//! data, no netlink types.
//! `source::netlink` translates; the address table folds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An interface name or address label: at most 15 bytes (`IFNAMSIZ`), kept inline so that an address event
/// allocates nothing.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ShortName {
    length: u8,
    bytes: [u8; 15],
}

/// The text is longer than an interface name can be, or not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an interface name has at most 15 bytes")]
pub struct NameTooLong;

impl ShortName {
    /// Takes a name of at most 15 bytes.
    pub fn new(name: &str) -> Result<Self, NameTooLong> {
        let mut bytes = [0; 15];
        let target = bytes.get_mut(..name.len()).ok_or(NameTooLong)?;
        target.copy_from_slice(name.as_bytes());
        let length = u8::try_from(name.len()).map_err(|_| NameTooLong)?;
        Ok(Self { length, bytes })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let used = self
            .bytes
            .get(..usize::from(self.length))
            .unwrap_or_default();
        std::str::from_utf8(used).unwrap_or_default()
    }
}

impl TryFrom<String> for ShortName {
    type Error = NameTooLong;

    fn try_from(name: String) -> Result<Self, NameTooLong> {
        Self::new(&name)
    }
}

impl From<ShortName> for String {
    fn from(name: ShortName) -> Self {
        name.as_str().into()
    }
}

/// The kernel's number of a link. A link that is deleted and made again gets a new one.
pub type LinkIndex = u32;

/// A link as RTM_NEWLINK describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index.
    pub index: LinkIndex,
    /// IFLA_IFNAME.
    pub name: String,
    /// IFLA_ALT_IFNAME, in the kernel's order.
    pub altnames: Vec<String>,
}

/// What tells two addresses of one link apart: the kernel allows the same local address twice on a link
/// with different prefixes or peers, and deletes them one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressKey {
    /// The link's index.
    pub link: LinkIndex,
    /// IFA_LOCAL where present (IPv4, and IPv6 with a peer), else IFA_ADDRESS.
    pub local: IpAddr,
    /// The prefix length.
    pub prefix_length: u8,
    /// IFA_ADDRESS where it differs from `local`: the peer of a point-to-point address.
    pub peer: Option<IpAddr>,
}

/// An address as RTM_NEWADDR describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// What identifies it.
    pub key: AddressKey,
    /// IFA_LABEL (IPv4 only).
    pub label: Option<ShortName>,
    /// Whether it can be used: false while `tentative` and when `dadfailed`; `deprecated` is usable
    /// (keepalived adds IPv6 VIPs as deprecated). An `optimistic` address is usable (RFC 4429).
    pub usable: bool,
}

/// One thing the kernel said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelEvent {
    /// A link is there, or has changed.
    LinkPresent(Link),
    /// A link is gone, and its addresses with it.
    LinkGone(LinkIndex),
    /// An address is there, or has changed.
    AddressPresent(Address),
    /// An address is gone.
    AddressGone(AddressKey),
}

/// A complete dump of links and addresses of both families, which no change interrupted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelDump {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses that are watched (a source may leave out others).
    pub addresses: Vec<Address>,
}

/// What can change a role, or what is shown of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// These addresses, coming, going and changing.
    pub addresses: BTreeSet<IpAddr>,
    /// These links, coming and changing. The end of any link has to be told.
    pub links: Links,
}

/// Links of which it has to be told that they come and change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// All: the name of any may be shown, or which bear a name is not known yet.
    #[default]
    All,
    /// Those that bear one of these names, as name or altname.
    Named {
        /// The names.
        names: BTreeSet<String>,
        /// The links that bear one now: what is told of them matters whatever name it has, because they may
        /// lose it.
        indexes: BTreeSet<LinkIndex>,
    },
}

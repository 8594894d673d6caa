//! The addresses and links that any instance asks for. Pure; the reactor makes one from the machine's word and
//! lends it to the filter and to each read and dump.

use std::net::IpAddr;

use crate::machine::kernel::{self, Links};

/// A set of addresses: sorted, so that asking costs about 14 comparisons with 10,000 of them and allocates
/// nothing. And the links of which each change matters.
///
/// Addresses are compared as they are: `::ffff:10.0.0.1` is another address than `10.0.0.1`, for the kernel
/// as well as here.
///
/// A source that has been read with one set knows nothing of addresses that only a later set names: after a
/// change of the set, dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    addresses: Box<[IpAddr]>,
    links: Links,
}

impl Watched {
    /// Together with these links.
    #[must_use]
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// Whether anybody asks for this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.addresses.binary_search(&address).is_ok()
    }

    /// How many different addresses are asked for.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether no address is asked for.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied()
    }

    /// The links of which each change matters.
    pub fn links(&self) -> &Links {
        &self.links
    }
}

impl From<kernel::Watched> for Watched {
    fn from(watched: kernel::Watched) -> Self {
        let addresses: Self = watched.addresses.into_iter().collect();
        addresses.with_links(watched.links)
    }
}

impl FromIterator<IpAddr> for Watched {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut sorted: Vec<IpAddr> = addresses.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self {
            addresses: sorted.into_boxed_slice(),
            links: Links::All,
        }
    }
}

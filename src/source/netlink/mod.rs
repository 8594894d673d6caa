//! What the kernel says of links and addresses: a socket that hears changes ([`Subscription`]) and a request
//! for the whole truth ([`dump()`]). The subscription lives on the reactor thread, inside its current-thread
//! runtime; a dump may wait for the kernel and has a thread of its own ([`dump_aside`]).
//!
//! This is mechanism only. When to dump, when to reconnect and what an overrun means for a role is decided
//! by the machine. The use is always the same: subscribe, then dump, then follow; after anything that says
//! "something is missing" dump again.
//!
//! | file | what |
//! |---|---|
//! | `watched` | the addresses and links that matter |
//! | `filter` | the same as a program for the kernel, so that others cost next to nothing |
//! | `decode` | bytes to events; pure, total on any bytes |
//! | `reader` | what one wake-up makes of the notification queue: events, or "something is missing"; pure |
//! | `subscription` | the notification socket |
//! | `dump` | the request for all links and addresses |
//! | `aside` | the same, on a thread that may wait |
//! | `socket` | what the two sockets have in common |

mod aside;
pub mod decode;
mod dump;
mod error;
mod filter;
mod reader;
mod socket;
mod subscription;
mod watched;

pub use aside::dump_aside;
pub use dump::{DUMP_ATTEMPTS, DUMP_DEADLINE, dump};
pub use error::{Incomplete, NetlinkError, Table};
pub use filter::Filter;
pub use reader::{Counters, DATAGRAMS_PER_READ, Read};
pub use subscription::{RECEIVE_BUFFER_BYTES, ReceiveBuffer, Subscription};
pub use watched::Watched;

//! What can go wrong between the kernel and the machine. Pure data.

use std::fmt;
use std::io;
use std::time::Duration;

/// A netlink socket or dump failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// A system call on a netlink socket failed.
    #[error("cannot {attempt}")]
    Socket {
        /// What was attempted, as it reads after "cannot".
        attempt: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kernel answered a dump with an error.
    #[error("the kernel refused to dump the {table}")]
    Refused {
        /// What was asked for.
        table: Table,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// Something changed while the kernel wrote the dump, each time (`NLM_F_DUMP_INTR`): it may lack entries
    /// that were there all along.
    #[error("the dump of the {table} was interrupted by changes {attempts} times in a row")]
    Interrupted {
        /// What was asked for.
        table: Table,
        /// How often it was tried.
        attempts: u32,
    },
    /// A part of the dump did not arrive whole.
    #[error("the dump of the {table} is incomplete")]
    Incomplete {
        /// What was asked for.
        table: Table,
        /// Why.
        #[source]
        source: Incomplete,
    },
    /// The dump did not end in time.
    #[error("the kernel did not finish the dump of links and addresses within {deadline:?}")]
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
}

impl NetlinkError {
    /// Wraps the error of a system call.
    pub(super) fn socket(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { attempt, source }
    }
}

/// What a dump asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `RTM_GETLINK`.
    Links,
    /// `RTM_GETADDR`, both families.
    Addresses,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Links => "links",
            Self::Addresses => "addresses",
        })
    }
}

/// Why what was received is not all that the kernel had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The kernel dropped messages (ENOBUFS or `NLMSG_OVERRUN`).
    #[error("the kernel dropped messages")]
    Overrun,
    /// A datagram was longer than the buffer.
    #[error("a datagram was longer than the receive buffer")]
    Truncated,
    /// Bytes that are no netlink message, or a link or address message that does not parse. What cannot be
    /// read is lost, whoever is to blame.
    #[error("a message could not be decoded")]
    Malformed,
}

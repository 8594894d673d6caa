//! The filter on the notification socket: what cannot change a role is dropped by the kernel, in the thread of
//! whoever changed it, and wakes nobody. Runs on the reactor thread; never waits.
//!
//! It is a saving and never a source of truth: whatever passes is decoded and judged as if there were none.

mod program;
mod ranges;

use std::fmt;
use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use socket2::{SockFilter, SockRef};

use super::error::NetlinkError;
use super::watched::Watched;
use netlink_sys::Socket;
use program::{INSTRUCTIONS_MAX, Instruction, Precision, program};

/// Which filter is on the notification socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Filter {
    /// Notifications of other addresses than those in the file are dropped.
    Exact {
        /// The length of the program.
        instructions: usize,
    },
    /// The addresses do not fit into a program: notifications of some that lie between them pass too.
    Ranges {
        /// The length of the program.
        instructions: usize,
    },
    /// There is none: every notification is looked at.
    Off {
        /// What the system said.
        error: Option<String>,
    },
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { .. } => f.write_str("only the addresses in the file wake the daemon"),
            Self::Ranges { .. } => f.write_str(
                "the addresses in the file are too many for an exact notification filter: some that lie between \
                 them wake the daemon too",
            ),
            Self::Off { error } => {
                f.write_str("no notification filter: each change of any address wakes the daemon")?;
                error.iter().try_for_each(|error| write!(f, " ({error})"))
            }
        }
    }
}

/// How long a program may be. The kernel charges it to the socket against `net.core.optmem_max`, which holds
/// half of the longest by default before Linux 6.9; so a shorter and coarser one is tried where there is no room.
const LENGTHS_MAX: [usize; 5] = [INSTRUCTIONS_MAX, 2048, 1024, 512, 128];

/// Puts the filter for `watched` in the place of the one before. Whatever happens, nothing that is watched is
/// dropped from now on: where there is no room for two programs or for the new one, there is none for a moment
/// or for good.
///
/// # Errors
///
/// When the old filter can neither be replaced nor taken away: the socket may drop what is watched.
pub(super) fn attach(socket: &Socket, watched: &Watched) -> Result<Filter, NetlinkError> {
    let mut tried = usize::MAX;
    let mut error = None;
    for length_max in LENGTHS_MAX {
        // What was short enough for this already has been refused.
        if tried <= length_max {
            continue;
        }
        let (code, precision) = program(watched, length_max);
        let instructions = code.len();
        tried = instructions;
        match replace(socket, &code) {
            Ok(()) if precision == Precision::Exact => return Ok(Filter::Exact { instructions }),
            Ok(()) => return Ok(Filter::Ranges { instructions }),
            Err(refused) => {
                detach(socket)?;
                let no_room = Errno::from_io_error(&refused) == Some(Errno::NOMEM);
                error = Some(refused.to_string());
                if !no_room {
                    break;
                }
            }
        }
    }
    Ok(Filter::Off { error })
}

/// Attaches the program; if there is no room for two at a time, after the old one was taken away.
fn replace(socket: &Socket, code: &[Instruction]) -> io::Result<()> {
    let code: Vec<SockFilter> = code
        .iter()
        .map(|it| SockFilter::new(it.code, it.jump_true, it.jump_false, it.k))
        .collect();
    let socket = SockRef::from(socket);
    let first = socket.attach_filter(&code);
    let no_room = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::NOMEM);
    if first.as_ref().is_err_and(no_room) && socket.detach_filter().is_ok() {
        return socket.attach_filter(&code);
    }
    first
}

fn detach(socket: &Socket) -> Result<(), NetlinkError> {
    match SockRef::from(socket).detach_filter() {
        Ok(()) => Ok(()),
        // There is none.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
        Err(error) => Err(NetlinkError::socket(
            "take the filter from the netlink notification socket",
        )(error)),
    }
}

#[cfg(test)]
mod tests;

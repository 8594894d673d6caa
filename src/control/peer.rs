//! Who is on the other end of a connection, and what he may. Pure but for the question to the kernel.

use tokio::net::UnixStream;

use super::protocol::{ErrorCode, Refusal, Request};

/// Which socket somebody has come through. The kernel has looked whether he may: a socket's mode is its list of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// That of the daemon's own user alone.
    Own,
    /// That of the daemon's own user and the members of `control-group`.
    Steering,
    /// That of `control-readers`.
    Reading,
}

/// Somebody who has connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// His user.
    pub(super) uid: u32,
    pub(super) right: Right,
}

/// What somebody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// Nothing.
    Nothing,
    /// Ask.
    Read,
    /// Ask, and have the daemon do something.
    Steer,
}

impl Peer {
    /// Asks the kernel who it is; unix(7), `SO_PEERCRED`.
    pub(super) fn of(stream: &UnixStream, door: Door) -> std::io::Result<Self> {
        let uid = stream.peer_cred()?.uid();
        let own = rustix::process::geteuid().as_raw();
        Ok(Self {
            uid,
            right: right(uid, own, door),
        })
    }

    /// Whether he may have this done.
    pub(super) fn may(self, request: &Request) -> Result<(), Refusal> {
        let (needed, what) = match request {
            Request::Ping
            | Request::Status(_)
            | Request::Watch(_)
            | Request::Events(_)
            | Request::Timeline(..)
            | Request::Why(_) => (Right::Read, "read what this daemon tells"),
            Request::Reload => (Right::Steer, "have this daemon reload"),
            Request::Stop => (Right::Steer, "stop this daemon"),
            Request::Audit(_) => (Right::Steer, "have this daemon audit"),
            // It has the whole configuration in it.
            Request::Record => (Right::Steer, "have what this daemon has lived through"),
        };
        if self.right >= needed {
            return Ok(());
        }
        let uid = self.uid;
        tracing::warn!("user {uid} may not {what}, and was refused");
        let message = format!(
            "user {uid} may not {what}: that may only root, the daemon's own user, and the members of its \
             `control-group`"
        );
        Err(Refusal::new(ErrorCode::Forbidden, message))
    }
}

fn right(uid: u32, own: u32, door: Door) -> Right {
    if uid == 0 || uid == own {
        return Right::Steer;
    }
    match door {
        // Somebody has opened it with chmod.
        Door::Own => Right::Nothing,
        Door::Steering => Right::Steer,
        Door::Reading => Right::Read,
    }
}

#[cfg(test)]
mod tests;

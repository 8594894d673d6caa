//! Who is on the other end of a connection, and what he may. Pure but for the question to the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use super::protocol::{ErrorCode, Refusal, Request};
use crate::machine::settings::{ActionSettings, Command};

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

/// Whether somebody is told the command lines of actions: people write passwords into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandLines {
    /// He is.
    Told,
    /// He is told the rest.
    LeftOut,
}

impl CommandLines {
    /// That of an action, where it may be told.
    pub(super) fn of(self, action: Option<&ActionSettings>) -> Option<&Command> {
        match self {
            Self::Told => action.map(|action| &action.run),
            Self::LeftOut => None,
        }
    }
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

    /// What he is told of command lines: who may only read sees no more than a process list would show him.
    pub(super) fn command_lines(self) -> CommandLines {
        match self.right {
            Right::Steer => CommandLines::Told,
            Right::Nothing | Right::Read => CommandLines::LeftOut,
        }
    }

    /// Whether he may have this done.
    pub(super) fn may(self, request: &Request) -> Result<(), Denied> {
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
        Err(Denied { uid, what })
    }
}

/// A request that somebody has not the right to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied {
    uid: u32,
    what: &'static str,
}

impl Denied {
    /// What he is told.
    pub(super) fn refusal(self) -> Refusal {
        let Self { uid, what } = self;
        let message = format!(
            "user {uid} may not {what}: that may only root, the daemon's own user, and the members of its \
             `control-group`"
        );
        Refusal::new(ErrorCode::Forbidden, message)
    }
}

/// A line of the log tells of a user's refusals at most so often: anybody can ask in a loop.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// The users that are told apart. Further ones share one line in that time.
const USERS_MAX: usize = 64;

/// Whose refusals the log was told of lately. Bounded: a user who comes again later has a new line anyway.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    users: BTreeMap<u32, Told>,
    further: Option<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Instant,
    /// Refusals that no line has told of since.
    untold: u64,
}

impl Refusals {
    /// Logs that somebody was refused, or counts it until the next line.
    pub(super) fn log(&mut self, denied: Denied, now: Instant) {
        let Denied { uid, what } = denied;
        match self.take(uid, now) {
            None => {}
            Some(0) => tracing::warn!("user {uid} may not {what}, and was refused"),
            Some(untold) => tracing::warn!(
                "user {uid} may not {what}, and was refused, as were {untold} more requests since the last line like \
                 this"
            ),
        }
    }

    /// Takes a refusal in. Returns how many were not told of, if it is time for a line.
    fn take(&mut self, uid: u32, now: Instant) -> Option<u64> {
        let is_due = |told: &Told| now.duration_since(told.at) >= TOLD_EVERY;
        if self.users.len() >= USERS_MAX && !self.users.contains_key(&uid) {
            self.users.retain(|_, told| !is_due(told));
        }
        let has_room = self.users.len() < USERS_MAX;
        let told = match self.users.get_mut(&uid) {
            Some(told) => Some(told),
            None if has_room => None,
            None => self.further.as_mut(),
        };
        let untold = match told {
            Some(told) if !is_due(told) => {
                told.untold += 1;
                return None;
            }
            Some(told) => told.untold,
            None => 0,
        };
        let told = Told { at: now, untold: 0 };
        if has_room || self.users.contains_key(&uid) {
            self.users.insert(uid, told);
        } else {
            self.further = Some(told);
        }
        Some(untold)
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

//! The notification socket of `sd_notify(3)`, opened once. Whoever owns the notifier may call it from any
//! thread: a datagram is sent or refused at once.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::machine::Time;

/// The shortest time between two `STATUS=`; systemd tells everyone on D-Bus of each.
const STATUS_PAUSE: Duration = Duration::from_millis(100);

/// Why systemd was not told something.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// `$NOTIFY_SOCKET` cannot be used.
    #[error("cannot open the notification socket {address:?}")]
    Open {
        /// The variable's value.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The message was not taken. Where systemd is only busy (`EAGAIN`) it may be sent again later.
    #[error("cannot send {what} to systemd")]
    Send {
        /// The message's name.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The connection to systemd, or to nothing.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog_interval: Option<Duration>,
    status: String,
    status_sent: Option<Time>,
    refused: u64,
}

impl Notifier {
    /// What `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID` say. They stay in the environment: what
    /// the daemon starts gets an environment without them.
    ///
    /// The library's own `notify` opens the socket anew for each message, may wait for systemd, and does not
    /// know abstract addresses; so its words are used, and not its socket.
    pub fn from_env() -> Result<Self, NotifyError> {
        let watchdog = sd_notify::watchdog_enabled();
        Self::new(env::var_os("NOTIFY_SOCKET").as_deref(), watchdog)
    }

    fn new(address: Option<&OsStr>, watchdog: Option<Duration>) -> Result<Self, NotifyError> {
        let socket = address
            .filter(|address| !address.is_empty())
            .map(|address| {
                connect(address).map_err(|source| NotifyError::Open {
                    address: address.to_string_lossy().into_owned(),
                    source,
                })
            })
            .transpose()?;
        Ok(Self {
            watchdog_interval: watchdog.filter(|span| socket.is_some() && !span.is_zero()),
            socket,
            ..Self::default()
        })
    }

    /// How long systemd waits for a sign of life (`WatchdogSec=`); give one in half of that time. `None`: it
    /// does not wait for any.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// How many messages were not taken.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The daemon is ready: after the first complete dump, and again at the end of each reload.
    pub fn ready(&mut self) -> Result<(), NotifyError> {
        self.send("READY", &[NotifyState::Ready])
    }

    /// A reload begins. The time stands in the same message, so that systemd can match the reload with its
    /// signal: `sd_notify(3)`, `RELOADING=1`.
    pub fn reloading(&mut self) -> Result<(), NotifyError> {
        if self.socket.is_none() {
            return Ok(());
        }
        let what = "RELOADING";
        let now = NotifyState::monotonic_usec_now()
            .map_err(|source| NotifyError::Send { what, source })?;
        self.send(what, &[NotifyState::Reloading, now])
    }

    /// The daemon begins to end.
    pub fn stopping(&mut self) -> Result<(), NotifyError> {
        self.send("STOPPING", &[NotifyState::Stopping])
    }

    /// The present start, reload or stop will be over, or extended again, within `span` (at most 71 minutes).
    pub fn extend_timeout(&mut self, span: Duration) -> Result<(), NotifyError> {
        let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        self.send(
            "EXTEND_TIMEOUT_USEC",
            &[NotifyState::ExtendTimeoutUsec(micros)],
        )
    }

    /// The reactor is alive.
    pub fn watchdog(&mut self) -> Result<(), NotifyError> {
        self.send("WATCHDOG", &[NotifyState::Watchdog])
    }

    /// Sends the sentence for `systemctl status` where it has changed, but not more often than ten times a
    /// second. Returns when to come again with the sentence of that time, which is only made when it can be
    /// sent: with many instances it costs something.
    pub fn status(
        &mut self,
        now: Time,
        sentence: impl FnOnce() -> String,
    ) -> Result<Option<Time>, NotifyError> {
        if self.socket.is_none() {
            return Ok(None);
        }
        let earliest = self
            .status_sent
            .map_or(Time::ZERO, |sent| sent + STATUS_PAUSE);
        if now < earliest {
            return Ok(Some(earliest));
        }
        // A line end would begin another assignment of the protocol.
        let sentence = sentence().replace(char::is_control, " ");
        if sentence == self.status && self.status_sent.is_some() {
            return Ok(None);
        }
        // An attempt counts as well: a systemd that is busy is not to be asked at every event.
        self.status_sent = Some(now);
        self.status.clear();
        self.send("STATUS", &[NotifyState::Status(&sentence)])?;
        self.status = sentence;
        Ok(None)
    }

    fn send(&mut self, what: &'static str, states: &[NotifyState<'_>]) -> Result<(), NotifyError> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let mut message = String::new();
        for state in states {
            // Writing into a string has no way to fail.
            let _ = writeln!(message, "{state}");
        }
        // Datagrams are sent whole or not at all.
        let sent = socket.send(message.as_bytes()).map(drop);
        sent.map_err(|source| {
            self.refused += 1;
            NotifyError::Send { what, source }
        })
    }
}

/// Connects to a path, or to an abstract address, which is written with an `@` in front.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        _ => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;

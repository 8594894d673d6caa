//! The socket of a syslog daemon, and records in the form of Python's `SysLogHandler`. Owned by the log thread.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use crate::config::logging::Syslog;

/// How long the daemon may take for one record before it counts as away.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a host whose name is unknown is not asked for again: the answer may take seconds.
const NAME_AGAIN: Duration = Duration::from_secs(30);

/// A way to a syslog daemon.
#[derive(Debug)]
pub(super) struct SyslogSocket {
    address: Syslog,
    facility: u8,
    open: Option<Open>,
    not_before: Option<SystemTime>,
}

#[derive(Debug)]
enum Open {
    Unix(UnixDatagram),
    Udp(UdpSocket, SocketAddr),
}

impl SyslogSocket {
    pub(super) fn new(address: Syslog, facility: u8) -> Self {
        Self {
            address,
            facility,
            open: None,
            not_before: None,
        }
    }

    /// What a person calls it.
    pub(super) fn describe(&self) -> String {
        match &self.address {
            Syslog::Unix(path) => path.display().to_string(),
            Syslog::Udp { host, port } => format!("{host}, port {port}"),
        }
    }

    /// Sends one line, which has no end.
    pub(super) fn send(
        &mut self,
        line: &str,
        level: tracing::Level,
        now: SystemTime,
    ) -> io::Result<()> {
        let priority = u32::from(self.facility) * 8 + severity(level);
        // Python ends each with a NUL, which old daemons need.
        let datagram = format!("<{priority}>{line}\0");
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_at(now)?,
        };
        let sent = match (&open, &self.address) {
            // Not connected: a daemon that was restarted may have made its socket anew.
            (Open::Unix(socket), Syslog::Unix(path)) => socket.send_to(datagram.as_bytes(), path),
            (Open::Udp(socket, to), _) => socket.send_to(datagram.as_bytes(), to),
            (Open::Unix(_), Syslog::Udp { .. }) => Err(io::ErrorKind::NotConnected.into()),
        };
        self.open = Some(open);
        sent.map(drop)
    }

    fn open_at(&mut self, now: SystemTime) -> io::Result<Open> {
        match &self.address {
            Syslog::Unix(_) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Open::Unix(socket))
            }
            Syslog::Udp { host, port } => {
                if self.not_before.is_some_and(|time| now < time) {
                    return Err(io::Error::other("its name was not found"));
                }
                self.not_before = Some(now + NAME_AGAIN);
                let mut found = (host.as_str(), *port).to_socket_addrs()?;
                let to = found
                    .next()
                    .ok_or_else(|| io::Error::other("its name has no address"))?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(from)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Open::Udp(socket, to))
            }
        }
    }
}

/// The numbers of syslog(3).
fn severity(level: tracing::Level) -> u32 {
    match level {
        tracing::Level::ERROR => 3,
        tracing::Level::WARN => 4,
        tracing::Level::INFO => 6,
        tracing::Level::DEBUG | tracing::Level::TRACE => 7,
    }
}

//! The client's half of the control socket: blocking, for commands. Every call has a deadline, so no
//! command hangs on a daemon that does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

use super::explain::Explanation;
use super::protocol::{Answer, Garbled, Refusal, Request, VERSION, parse_answer};
use super::status::{DaemonStatus, InstanceStatus};
use crate::machine::settings::InstanceName;
use crate::timeline::document::{EntryDocument, TimelineDocument};

/// How long the daemon may take to accept the connection and the request.
const SEND_DEADLINE: Duration = Duration::from_secs(5);

/// The longest answer line, in bytes: an instance's status is below 4 KiB, the faults of a file below 1
/// MiB.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon answers at {}", path.display())]
    NoDaemon {
        /// The control socket.
        path: PathBuf,
    },
    /// The system refuses the connection.
    #[error("cannot talk to the daemon at {}", path.display())]
    Connect {
        /// The control socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Broken(#[source] io::Error),
    /// The daemon closed the connection before it had answered.
    #[error("the daemon closed the connection")]
    Closed,
    /// The daemon did not answer in time.
    #[error("the daemon did not answer within {0:?}")]
    TimedOut(Duration),
    /// The daemon says no.
    #[error(transparent)]
    Refused(Refusal),
    /// The answer cannot be read.
    #[error(transparent)]
    Garbled(Garbled),
}

/// What a read brought.
#[derive(Debug)]
pub enum Next {
    /// An answer.
    Answer(Box<Answer>),
    /// None within the patience.
    Silence,
    /// The daemon has closed the connection.
    End,
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    /// What has come of the next line.
    line: Vec<u8>,
}

impl Client {
    /// Connects to the daemon that listens at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoDaemon`] where nobody does, [`ClientError::Connect`] otherwise.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = connect_within(path, SEND_DEADLINE).map_err(|errno| match errno {
            Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR => ClientError::NoDaemon {
                path: path.to_owned(),
            },
            other => ClientError::Connect {
                path: path.to_owned(),
                source: other.into(),
            },
        })?;
        Ok(Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
        })
    }

    /// The daemon's process: the one that began to listen, `SO_PEERCRED` in unix(7).
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn daemon(&self) -> io::Result<DaemonProcess> {
        let peer = socket_peercred(self.reader.get_ref())?;
        let (pid, uid) = (peer.pid, peer.uid.as_raw());
        // While the connection stands, its number has not passed to another process.
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(DaemonProcess { pid, uid, handle })
    }

    /// Sends the request.
    ///
    /// # Errors
    ///
    /// The daemon does not take it.
    pub fn ask(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.reader.get_mut().write_all(&request.to_line()) {
            // A daemon that is busy says so and closes; its words can still be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(ClientError::Broken),
        }
    }

    /// The next answer, if one comes within `patience`.
    ///
    /// # Errors
    ///
    /// A refusal, or a connection that does not work.
    pub fn next(&mut self, patience: Duration) -> Result<Next, ClientError> {
        // Zero would mean for ever, socket(7).
        let patience = patience.max(Duration::from_millis(1));
        self.reader
            .get_ref()
            .set_read_timeout(Some(patience))
            .map_err(ClientError::Broken)?;
        loop {
            let room = ANSWER_BYTES_MAX.saturating_sub(self.line.len() as u64);
            let read = self
                .reader
                .by_ref()
                .take(room)
                .read_until(b'\n', &mut self.line);
            match read {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.line);
                    match parse_answer(&line).map_err(ClientError::Garbled)? {
                        Some(Ok(answer)) => return Ok(Next::Answer(Box::new(answer))),
                        Some(Err(refusal)) => return Err(ClientError::Refused(refusal)),
                        // A newer daemon says more than this client understands.
                        None => {}
                    }
                }
                Ok(_) if self.line.is_empty() => return Ok(Next::End),
                Ok(_) => return Err(ClientError::Closed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Next::Silence);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Next::End);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ClientError::Broken(error)),
            }
        }
    }

    /// The next answer; having none is an error.
    ///
    /// # Errors
    ///
    /// As for [`Client::next`], and silence and the end of the stream.
    pub fn answer(&mut self, patience: Duration) -> Result<Answer, ClientError> {
        match self.next(patience)? {
            Next::Answer(answer) => Ok(*answer),
            Next::Silence => Err(ClientError::TimedOut(patience)),
            Next::End => Err(ClientError::Closed),
        }
    }

    /// Asks for the status of one instance or of all, and gathers it.
    ///
    /// # Errors
    ///
    /// As for [`Client::answer`], whose `patience` holds for each line.
    pub fn status(
        &mut self,
        instance: Option<InstanceName>,
        patience: Duration,
    ) -> Result<Status, ClientError> {
        self.ask(&Request::Status(instance))?;
        let mut daemon = None;
        let mut instances = Vec::new();
        loop {
            match self.answer(patience)? {
                Answer::Daemon(status) => daemon = Some(*status),
                Answer::Instance(status) => instances.push(*status),
                Answer::Complete { .. } => break,
                // A status has no other lines.
                Answer::Pong(_)
                | Answer::Gone(_)
                | Answer::Event(_)
                | Answer::Timeline(_)
                | Answer::Entry(_)
                | Answer::Why(_)
                | Answer::Lagged { .. }
                | Answer::Reloaded { .. }
                | Answer::Stopping { .. }
                | Answer::Auditing {}
                | Answer::Record(_)
                | Answer::Recorded { .. } => {}
            }
        }
        let daemon = daemon.ok_or(ClientError::Closed)?;
        Ok(Status {
            v: VERSION,
            daemon,
            instances,
        })
    }

    /// Asks why an instance is as it is.
    ///
    /// # Errors
    ///
    /// As for [`Client::answer`].
    pub fn why(
        &mut self,
        instance: InstanceName,
        patience: Duration,
    ) -> Result<Explanation, ClientError> {
        self.ask(&Request::Why(instance))?;
        loop {
            if let Answer::Why(explanation) = self.answer(patience)? {
                return Ok(*explanation);
            }
        }
    }

    /// Asks for the timeline of one instance or of all, and gathers it.
    ///
    /// # Errors
    ///
    /// As for [`Client::answer`], whose `patience` holds for each line.
    pub fn timeline(
        &mut self,
        instance: Option<InstanceName>,
        last: Option<usize>,
        patience: Duration,
    ) -> Result<TimelineAnswer, ClientError> {
        self.ask(&Request::Timeline(instance, last))?;
        let mut answer = self.answer(patience)?;
        // What a newer daemon may say before it is of no interest here.
        let timeline = loop {
            if let Answer::Timeline(timeline) = answer {
                break timeline;
            }
            answer = self.answer(patience)?;
        };
        let mut entries = Vec::new();
        while entries.len() < timeline.entries {
            if let Answer::Entry(entry) = self.answer(patience)? {
                entries.push(*entry);
            }
        }
        Ok(TimelineAnswer {
            v: VERSION,
            timeline,
            entries,
        })
    }
}

/// A timeline, as `timeline --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineAnswer {
    /// The version of the protocol, which is the version of this document.
    pub v: u32,
    /// What there is to know of it as a whole.
    pub timeline: TimelineDocument,
    /// The entries that were asked for, by their beginning.
    pub entries: Vec<EntryDocument>,
}

/// The whole status, as `status --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The version of the protocol, which is the version of this document.
    pub v: u32,
    /// The daemon.
    pub daemon: DaemonStatus,
    /// The instances that were asked for, by name.
    pub instances: Vec<InstanceStatus>,
}

fn connect_within(path: &Path, deadline: Duration) -> Result<UnixStream, Errno> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // A full backlog makes connect wait for this timeout too, unix(7).
    set_socket_timeout(&socket, Timeout::Send, Some(deadline))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// A handle on the daemon's process that stays true when its number is given away again.
#[derive(Debug)]
pub struct DaemonProcess {
    pid: Pid,
    uid: u32,
    handle: OwnedFd,
}

impl DaemonProcess {
    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whose it is.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Waits until the process has ended; `false` when `patience` was over before.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(patience).ok();
        let mut polled = [PollFd::from_borrowed_fd(self.handle.as_fd(), PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;

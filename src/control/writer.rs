//! The server's half of one connection: reads the request line and writes answers in bounded pieces. A
//! task of the service thread; every read and every write has a deadline.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::protocol::{Answer, ErrorCode, REQUEST_BYTES_MAX, Refusal, push_answer, push_refusal};

/// How long a client may take to send its request line.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// How long a client may take to make room for what is written; then it is dropped.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Answers are written when so many bytes of them have gathered: few system calls, and little memory even
/// where 10,000 instances are told.
const CHUNK_BYTES: usize = 64 * 1024;

/// The connection.
pub(super) struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// The client has said that it sends nothing more; it may still read.
    half_closed: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            half_closed: false,
        }
    }

    /// The request line, without its newline; the end of the stream ends it too.
    pub(super) async fn read_request(&mut self) -> io::Result<Result<Vec<u8>, Refusal>> {
        match timeout(READ_DEADLINE, self.read_line()).await {
            Ok(line) => line,
            Err(_) => {
                let message = format!("no request line came within {READ_DEADLINE:?}");
                Ok(Err(Refusal::new(ErrorCode::TooSlow, message)))
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<Result<Vec<u8>, Refusal>> {
        let mut line = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece).await?;
            let bytes = piece.get(..count).unwrap_or_default();
            let end = bytes.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(bytes.get(..end.unwrap_or(count)).unwrap_or_default());
            if line.len() > REQUEST_BYTES_MAX {
                let message = format!("a request line has at most {REQUEST_BYTES_MAX} bytes");
                return Ok(Err(Refusal::new(ErrorCode::TooLong, message)));
            }
            if end.is_some() || count == 0 {
                return Ok(Ok(line));
            }
        }
    }

    /// Adds an answer; writes when a chunk is full.
    pub(super) async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        push_answer(&mut self.buffer, answer);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush().await?;
            // A client that reads as fast as this writes would keep the service thread from all else.
            yield_now().await;
        }
        Ok(())
    }

    /// Writes a refusal and what came before it.
    pub(super) async fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        push_refusal(&mut self.buffer, refusal);
        self.flush().await
    }

    /// Writes what has been said.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let written = timeout(WRITE_DEADLINE, self.stream.write_all(&self.buffer)).await;
        self.buffer.clear();
        self.buffer.shrink_to(CHUNK_BYTES);
        match written {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits until the client has hung up. What it sends after its request is thrown away; one that only
    /// says that it will send nothing more (`nc -N`) goes on listening, and is noticed by a failing write.
    pub(super) async fn hung_up(&mut self) {
        let mut scratch = [0; 1024];
        while !self.half_closed {
            let Ok(_) = self.stream.ready(Interest::READABLE).await else {
                return;
            };
            match self.stream.try_read(&mut scratch) {
                Ok(0) if self.is_closed() => return,
                Ok(0) => self.half_closed = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether the peer has closed both directions, poll(2) POLLHUP. Does not wait.
    fn is_closed(&self) -> bool {
        let mut polled = [PollFd::new(&self.stream, PollFlags::empty())];
        let result = poll(&mut polled, Some(&Timespec::default()));
        result.is_err()
            || polled
                .iter()
                .any(|fd| fd.revents().contains(PollFlags::HUP))
    }
}

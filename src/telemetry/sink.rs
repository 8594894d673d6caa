//! Where log records end up: a stream, the journal, a file. Owned by the log thread, which may wait in here
//! for as long as a reader sleeps.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::journal::datagram;
use super::line::{Style, line};
use super::record::Record;

/// Where journald listens.
pub(super) const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// How long journald may take for one record before it counts as away.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(1);

/// A log file is renamed at this size, in bytes.
const FILE_BYTES_MAX: u64 = 10 << 20;

/// A way out for records.
#[derive(Debug)]
pub(super) enum Sink {
    Stream(Stream),
    /// And a stream for when journald is away.
    Journal(Journal, Stream),
    File(LogFile),
}

/// How a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    /// As it should be.
    Well,
    /// To stderr, because journald or the disk did not take it.
    Elsewhere,
    /// Not at all.
    Not,
}

impl Sink {
    pub(super) fn journal(socket: PathBuf, fallback: Stream) -> Self {
        Self::Journal(Journal::new(socket), fallback)
    }

    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let (file, bytes) = open(path)?;
        Ok(Self::File(LogFile {
            path: path.to_owned(),
            file,
            bytes,
            rename_at_bytes: FILE_BYTES_MAX,
        }))
    }

    pub(super) fn write(&mut self, record: &Record) -> Written {
        let result = match self {
            Self::Stream(stream) => stream.write(record),
            Self::File(file) => file.write(record),
            Self::Journal(journal, _) => match journal.send(record) {
                Ok(()) => Ok(()),
                Err(_) => return self.write_instead(record),
            },
        };
        result.map_or(Written::Not, |()| Written::Well)
    }

    /// Writes a record to the stream or file, where the journal did not take it.
    pub(super) fn write_instead(&mut self, record: &Record) -> Written {
        let result = match self {
            Self::Stream(stream) | Self::Journal(_, stream) => stream.write(record),
            Self::File(file) => file.write(record),
        };
        result.map_or(Written::Not, |()| Written::Elsewhere)
    }

    /// Writes a line of somebody else's making to the stream or file.
    pub(super) fn write_text(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Stream(stream) | Self::Journal(_, stream) => {
                stream.file.write_all(line.as_bytes())
            }
            Self::File(file) => file.write_text(line),
        }
    }

    /// Opens the file again: what it was may have been renamed. If that fails, what it was goes on.
    pub(super) fn reopen(&mut self) {
        match self {
            Self::Stream(_) | Self::Journal(..) => {}
            Self::File(file) => file.reopen(),
        }
    }
}

/// A descriptor that is written to as it is, and how its lines look.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    style: Style,
}

impl Stream {
    pub(super) fn stderr() -> io::Result<Self> {
        let stderr = io::stderr();
        // NO_COLOR counts when it is not empty, <https://no-color.org/>.
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = match (stderr.is_terminal(), no_colour) {
            (false, _) => Style::File,
            (true, true) => Style::Terminal,
            (true, false) => Style::Coloured,
        };
        // A descriptor of its own: a writer that is stuck does not hold the lock of the standard library's.
        let file = File::from(stderr.as_fd().try_clone_to_owned()?);
        Ok(Self::to(file, style))
    }

    pub(super) fn to(file: File, style: Style) -> Self {
        Self { file, style }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.file.write_all(line(record, self.style).as_bytes())
    }
}

/// Whether stderr leads into the journal: systemd.exec(5), `$JOURNAL_STREAM`.
pub(super) fn stderr_is_the_journal() -> bool {
    env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stream(&stream, io::stderr()))
}

/// Whether this descriptor is the `DEVICE:INODE` in the text. The variable is inherited by processes whose
/// stderr was redirected since, so its mere presence says nothing.
fn is_stream(text: &str, descriptor: impl AsFd) -> bool {
    let ids = text.split_once(':').and_then(|(device, inode)| {
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    match (ids, rustix::fs::fstat(descriptor)) {
        (Some(ids), Ok(stat)) => ids == (stat.st_dev, stat.st_ino),
        (None, _) | (_, Err(_)) => false,
    }
}

/// The journal's socket.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    pub(super) fn send(&mut self, record: &Record) -> io::Result<()> {
        let socket = if let Some(socket) = self.socket.take() {
            socket
        } else {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(JOURNAL_PATIENCE))?;
            socket
        };
        // Not connected: a journald that was restarted may have made its socket anew.
        let sent = socket.send_to(&datagram(record), &self.path);
        self.socket = Some(socket);
        sent.map(drop)
    }
}

/// A file that is appended to, with one predecessor.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    rename_at_bytes: u64,
}

impl LogFile {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.write_text(&line(record, Style::File))
    }

    fn write_text(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.rename_at_bytes {
            self.begin_anew();
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn reopen(&mut self) {
        if let Ok((file, bytes)) = open(&self.path) {
            self.file = file;
            self.bytes = bytes;
        }
    }

    fn begin_anew(&mut self) {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        let opened = fs::rename(&self.path, before).and_then(|()| open(&self.path));
        match opened {
            Ok((file, bytes)) => {
                self.file = file;
                self.bytes = bytes;
                self.rename_at_bytes = FILE_BYTES_MAX;
            }
            // A file that grows is better than no log; it is tried again when it has grown as much again.
            Err(_) => self.rename_at_bytes += FILE_BYTES_MAX,
        }
    }
}

/// Opens a log file and says how long it is. A symbolic link in the last place is refused: a daemon of root
/// may log into a directory of another user.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    let bytes = file.metadata()?.size();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests;

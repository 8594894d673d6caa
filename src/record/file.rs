//! `--record FILE`: every input since the daemon's start, written by a thread of its own. The reactor hands entries
//! to a bounded queue and never waits for the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::line::{self, Entry, Line, Origin, Redactor};
use crate::machine::Time;
use crate::machine::message::RestoredMap;
use crate::machine::settings::Settings;

/// Entries wait here for the disk. When it is full, entries are left out and counted; the recording says that it has a
/// gap, and cannot be replayed over it.
const QUEUE_MAX: usize = 4096;

/// A recording ends when it has become this long: a disk must not fill up because somebody forgot an option.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// The reactor's end of the queue.
#[derive(Debug)]
pub struct FileTape {
    sender: SyncSender<Message>,
    /// How many entries were left out since the last one that was not.
    missed: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Recording,
    /// The thread has ended: the disk did not take it, or it is long enough. It has said so in the log.
    Ended,
}

#[derive(Debug)]
enum Message {
    Entry(Entry),
    Gap(u64),
}

/// The other end, and what it writes.
struct Recorder {
    receiver: Receiver<Message>,
    path: PathBuf,
    file: BufWriter<File>,
    redactor: Redactor,
    written: u64,
}

impl FileTape {
    /// Begins a recording at the end of an open file. `path` is for the log.
    ///
    /// # Errors
    ///
    /// The file does not take the first line, or there is no thread to be had.
    pub fn start(
        (path, file): (PathBuf, File),
        origin: Origin,
        from: (&Settings, &RestoredMap, Time),
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let redactor = Redactor::default();
        let mut first = Vec::new();
        let length = file.metadata()?.len();
        // What an earlier life left may end in the middle of a line.
        if length > 0 {
            first.push(b'\n');
        }
        redactor.push_start(&mut first, origin, from);
        let mut recorder = Recorder {
            receiver,
            path,
            file: BufWriter::new(file),
            redactor,
            written: length,
        };
        recorder.write(&first)?;
        recorder.file.flush()?;
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || recorder.run())?;
        let tape = Self {
            sender,
            missed: 0,
            state: State::Recording,
        };
        Ok((tape, thread))
    }

    /// Hands an entry over, or counts that it could not be.
    pub(super) fn send(&mut self, entry: Entry) {
        if self.state == State::Ended {
            return;
        }
        if self.missed > 0 {
            match self.sender.try_send(Message::Gap(self.missed)) {
                Ok(()) => self.missed = 0,
                Err(TrySendError::Full(_)) => return self.missed += 1,
                Err(TrySendError::Disconnected(_)) => return self.state = State::Ended,
            }
        }
        match self.sender.try_send(Message::Entry(entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.missed += 1,
            Err(TrySendError::Disconnected(_)) => self.state = State::Ended,
        }
    }
}

impl Recorder {
    fn run(mut self) {
        if let Err(error) = self.record() {
            let path = self.path.display();
            tracing::error!(
                "the recording {path} ends here, because it cannot be written: {error}"
            );
        }
    }

    fn record(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            let message = match self.receiver.try_recv() {
                Ok(message) => Some(message),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    // A daemon that is killed leaves all but its last words.
                    self.file.flush()?;
                    self.receiver.recv().ok()
                }
            };
            line.clear();
            match message {
                Some(Message::Entry(entry)) => self.redactor.push_entry(&mut line, entry),
                Some(Message::Gap(missed)) => {
                    tracing::warn!(
                        "the recording has a gap: {missed} inputs came faster than they could be written"
                    );
                    line::push(&mut line, &Line::Gap { missed });
                }
                None => return self.end("the daemon ended"),
            }
            self.write(&line)?;
            if self.written >= RECORD_BYTES_MAX {
                let path = self.path.display();
                tracing::warn!("the recording {path} ends here: it has {RECORD_BYTES_MAX} bytes");
                return self.end("the recording is as long as it may be");
            }
        }
    }

    fn end(&mut self, because: &str) -> io::Result<()> {
        let mut line = Vec::new();
        let because = because.to_owned();
        line::push(&mut line, &Line::End { because });
        self.write(&line)?;
        self.file.flush()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

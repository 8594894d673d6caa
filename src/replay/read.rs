//! The lines of a recording, one after another. Reads what it is given; a damaged line is told with its number, and
//! one that only lacks its end is what a killed daemon leaves.

use std::io::{self, BufRead, Read as _};

use crate::record::line::FORMAT;
use crate::record::{Entry, Header, Line};

/// No line of a recording is longer, in bytes: the state of 256 instances has less than one MiB, the settings of
/// 10,000 about ten.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// Reads a recording.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    line: u64,
    buffer: Vec<u8>,
    state: State,
    /// A recording that begins where the one before has no end, which is told first.
    begins: Option<Box<Header>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read yet, or a recording has ended.
    Before,
    Within,
}

/// What a line, or the end of the file, says.
#[derive(Debug)]
pub enum Told {
    /// A recording begins.
    Recording(Box<Header>),
    /// One mutation of the machine.
    Step(Entry),
    /// The recording ends, in order.
    End {
        /// Why.
        because: String,
    },
    /// The recording stops in the middle of its last line: the daemon was killed, or the file was cut off.
    Torn,
    /// The recording stops behind a whole line, but without its end.
    Unended,
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("line {line} cannot be read")]
    Io {
        /// Which line.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No line of a recording is like this.
    #[error("line {line} is damaged: {source}")]
    Damaged {
        /// Which line.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line without an end.
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes, so this is no recording")]
    TooLong {
        /// Which line.
        line: u64,
    },
    /// A recording of a newer keepstart.
    #[error(
        "line {line}: the recording is by keepstart {version} and has format {format}, which this version ({}) does \
         not know; replay it with that one",
        env!("CARGO_PKG_VERSION")
    )]
    Format {
        /// Which line.
        line: u64,
        /// Who recorded.
        version: String,
        /// The format.
        format: u64,
    },
    /// The beginning of a recording by another version.
    #[error(
        "line {line}: the recording is by keepstart {version}, whose settings or state this version ({}) does not \
         understand ({source}); replay it with that one",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// Which line.
        line: u64,
        /// Who recorded.
        version: String,
        /// What is not understood.
        source: serde_json::Error,
    },
    /// Steps without a beginning.
    #[error("line {line} is no beginning of a recording, and without that nothing can be replayed")]
    NoHeader {
        /// Which line.
        line: u64,
    },
    /// Inputs are missing.
    #[error(
        "line {line}: the recording has a gap here ({missed} inputs came faster than they could be written), and what \
         followed from them cannot be known: it is replayed up to here"
    )]
    Gap {
        /// Which line.
        line: u64,
        /// How many.
        missed: u64,
    },
}

/// What of another format's header can be relied on.
#[derive(serde::Deserialize)]
struct Sketch {
    recording: SketchHeader,
}

#[derive(serde::Deserialize)]
struct SketchHeader {
    format: u64,
    #[serde(default)]
    version: String,
}

impl<R: BufRead> Reader<R> {
    /// Reads from here.
    pub fn new(source: R) -> Self {
        Self {
            source,
            line: 0,
            buffer: Vec::new(),
            state: State::Before,
            begins: None,
        }
    }

    /// The number of the line that was read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next thing that is told; `None`: that was all.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. Nothing that follows can be relied on.
    pub fn read(&mut self) -> Result<Option<Told>, ReadError> {
        if let Some(header) = self.begins.take() {
            return Ok(Some(Told::Recording(header)));
        }
        loop {
            self.buffer.clear();
            self.line += 1;
            let line = self.line;
            let mut bounded = self.source.by_ref().take(LINE_BYTES_MAX);
            let count = bounded
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| ReadError::Io { line, source })?;
            if count == 0 {
                let within = std::mem::replace(&mut self.state, State::Before) == State::Within;
                return Ok(within.then_some(Told::Unended));
            }
            if count as u64 == LINE_BYTES_MAX {
                return Err(ReadError::TooLong { line });
            }
            // A daemon that goes on behind a torn line begins with a new one.
            if self.buffer.trim_ascii().is_empty() {
                continue;
            }
            return self.understand(line).map(Some);
        }
    }

    fn understand(&mut self, line: u64) -> Result<Told, ReadError> {
        // Without its newline, a line that was torn within a string ends too early like any other.
        let parsed = serde_json::from_slice(self.buffer.trim_ascii_end());
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(source) => return self.damaged(line, source),
        };
        match parsed {
            Line::Recording(header) if header.format != FORMAT => Err(ReadError::Format {
                line,
                version: header.version,
                format: u64::from(header.format),
            }),
            Line::Recording(header) if self.state == State::Within => {
                self.begins = Some(header);
                Ok(Told::Unended)
            }
            Line::Recording(header) => {
                self.state = State::Within;
                Ok(Told::Recording(header))
            }
            Line::Step(_) | Line::Gap { .. } | Line::End { .. } if self.state == State::Before => {
                Err(ReadError::NoHeader { line })
            }
            Line::Step(entry) => Ok(Told::Step(entry)),
            Line::Gap { missed } => Err(ReadError::Gap { line, missed }),
            Line::End { because } => {
                self.state = State::Before;
                Ok(Told::End { because })
            }
        }
    }

    /// A line that cannot be understood: by a newer version, torn, or damaged.
    fn damaged(&mut self, line: u64, source: serde_json::Error) -> Result<Told, ReadError> {
        if let Ok(sketch) = serde_json::from_slice::<Sketch>(&self.buffer) {
            let SketchHeader { format, version } = sketch.recording;
            if format != u64::from(FORMAT) {
                return Err(ReadError::Format {
                    line,
                    version,
                    format,
                });
            }
            if version != env!("CARGO_PKG_VERSION") {
                return Err(ReadError::Version {
                    line,
                    version,
                    source,
                });
            }
        }
        // The last line of a life is torn where the file ends with it, or where the next life begins.
        let torn = source.is_eof() && self.state == State::Within && self.is_last_of_its_life();
        if torn {
            self.state = State::Before;
            return Ok(Told::Torn);
        }
        Err(ReadError::Damaged { line, source })
    }

    fn is_last_of_its_life(&mut self) -> bool {
        if !self.buffer.ends_with(b"\n") {
            return true;
        }
        let next = self.source.fill_buf().unwrap_or_default();
        next.starts_with(b"{\"recording\":")
    }
}

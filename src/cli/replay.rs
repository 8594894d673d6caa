//! `replay`: lives through a recording again, shows what is decided, and compares it with what the daemon decided.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::arguments::Replay;
use super::exit::{Code, Ending, Failure};
use super::out::Out;
use super::what_if;
use crate::control::protocol::EventLine;
use crate::machine::message::Event;
use crate::record::{Digest, Entry, Header, Origin};
use crate::replay::{Clock, Decision, Player, Read, ReadError, Reader, Verdict};

pub(super) fn replay(out: Out, other: Option<&Path>, what: &Replay) -> Ending {
    if let Some(other) = other {
        return what_if::what_if(out, other, what);
    }
    let mut shown = Shown {
        out,
        json: what.json,
        lives: 0,
        inputs: 0,
        decisions: 0,
        first_difference: None,
    };
    let mut reader = Reader::new(open(&what.file)?);
    let read = shown.all(&mut reader);
    if let Err(stopped) = read {
        return Err(stopped.failure(&what.file));
    }
    if shown.lives == 0 {
        return Err(empty(&what.file));
    }
    shown.conclude()
}

/// A file without a recording.
pub(super) fn empty(path: &Path) -> Failure {
    let message = format!("keepstart: {}: there is no recording in it", path.display());
    Failure::told(Code::Recording, message)
}

/// The recording, or stdin.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| {
        let message = format!("keepstart: cannot read {}: {error}", path.display());
        Failure::told(Code::Recording, message)
    })?;
    Ok(Box::new(BufReader::new(file)))
}

/// Why a replay goes no further.
pub(super) enum Stopped {
    Unreadable(ReadError),
    Damaged(String),
    Output(Failure),
}

impl Stopped {
    pub(super) fn failure(self, path: &Path) -> Failure {
        let path = path.display();
        match self {
            Self::Unreadable(error) => {
                let error = anyhow::Error::from(error).context(path.to_string());
                Failure::of(Code::Recording, error)
            }
            Self::Damaged(message) => {
                Failure::told(Code::Recording, format!("keepstart: {path}: {message}"))
            }
            Self::Output(failure) => failure,
        }
    }
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

/// What has been shown so far.
struct Shown {
    out: Out,
    json: bool,
    lives: u32,
    inputs: u64,
    decisions: u64,
    /// The line where this version decided otherwise, and which version recorded.
    first_difference: Option<(u64, String)>,
}

/// One recording of the file.
struct Life {
    player: Player,
    clock: Clock,
    version: String,
}

impl Shown {
    fn all(&mut self, reader: &mut Reader<Box<dyn BufRead>>) -> Result<(), Stopped> {
        let mut life = None;
        while let Some(told) = reader.read()? {
            let number = reader.line();
            match (told, &mut life) {
                (Read::Recording(header), _) => life = Some(self.begin(*header)?),
                (Read::Step(entry), Some(life)) => self.step(life, entry, number)?,
                (Read::End { because }, _) => self.note(&format!("the recording ends: {because}"))?,
                (Read::Torn, _) => self.note(&format!(
                    "the recording stops in the middle of line {number}, because the daemon was killed or the file was \
                     cut off: it is replayed up to there"
                ))?,
                (Read::Unended, _) => self.note(
                    "the recording stops without an end: the daemon was killed, or it still runs",
                )?,
                // The reader gives no step before a recording.
                (Read::Step(_), None) => {}
            }
        }
        Ok(())
    }

    fn begin(&mut self, header: Header) -> Result<Life, Stopped> {
        self.lives += 1;
        let Header {
            version,
            origin,
            begin,
            ..
        } = header;
        let Origin { boot_id, life, .. } = &origin;
        let mut first = Vec::new();
        let player = Player::begin(&origin, begin, &mut first);
        let clock = Clock::new(&origin, player.time());
        let from = clock.of_day(player.time());
        self.note(&format!(
            "recorded from {from} by keepstart {version}, life {life:08x} in boot {boot_id}"
        ))?;
        for decision in &first {
            self.show(&clock, decision)?;
        }
        Ok(Life {
            player,
            clock,
            version,
        })
    }

    fn step(&mut self, life: &mut Life, entry: Entry, number: u64) -> Result<(), Stopped> {
        self.inputs += 1;
        if entry.decided.is_none() {
            self.note(&format!(
                "line {number} is what the daemon was just taking in when it ended: it is taken in now"
            ))?;
        }
        let mut decisions = Vec::new();
        let verdict = life
            .player
            .decide(entry, &mut decisions)
            .map_err(|error| Stopped::Damaged(format!("line {number} is damaged: {error}")))?;
        if verdict == Verdict::Different && self.first_difference.is_none() {
            self.first_difference = Some((number, life.version.clone()));
            let version = &life.version;
            self.note(&format!(
                "line {number}: here the daemon (keepstart {version}) decided otherwise; what follows was decided by \
                 keepstart {} alone",
                env!("CARGO_PKG_VERSION")
            ))?;
        }
        for decision in &decisions {
            self.show(&life.clock, decision)?;
        }
        Ok(())
    }

    fn show(&mut self, clock: &Clock, decision: &Decision) -> Result<(), Failure> {
        if matches!(decision.event, Event::Alive { .. }) {
            return Ok(());
        }
        if Digest::counts(&decision.event) {
            self.decisions += 1;
        }
        if !self.json {
            return self.out.line(&clock.line(decision));
        }
        let line = EventLine {
            at: decision.at,
            unix_ms: clock.unix_ms(decision.at),
            event: decision.event.clone().into(),
        };
        let json =
            serde_json::to_string(&line).map_err(|error| Failure::of(Code::Failed, error))?;
        self.out.line(&json)
    }

    /// Says something about the recording. A program that reads the decisions does not find it among them.
    fn note(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            self.out.note(text);
            return Ok(());
        }
        self.out.line(&format!("# {text}"))
    }

    fn conclude(&self) -> Ending {
        let (decisions, inputs) = (self.decisions, self.inputs);
        let Some((line, version)) = &self.first_difference else {
            self.note(&format!(
                "the same {decisions} decisions as the daemon's, from {inputs} inputs"
            ))?;
            return Ok(Code::Fine);
        };
        self.note(&format!(
            "{decisions} decisions from {inputs} inputs; the first difference from the daemon's (keepstart {version}) \
             is at line {line}"
        ))?;
        Ok(Code::Failed)
    }
}

//! The words of the control socket: one request line in, answer lines out, all of them JSON objects with
//! the version of the protocol. Pure data; reads and writes nothing.
//!
//! ```text
//! {"v":1,"op":"status","instance":"web"}       instance is optional: status, watch, events, timeline, audit
//! {"v":1,"ok":{"daemon":{…}}}                   answers, each with one key that says what it is
//! {"v":1,"ok":{"instance":{…}}}
//! {"v":1,"ok":{"complete":{"instances":1}}}
//! {"v":1,"error":{"code":"unknown-instance","message":"…"}}
//! ```
//!
//! A client skips answers it does not know; a server refuses requests it does not understand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::explain::Explanation;
use super::status::{DaemonStatus, InstanceStatus};
use crate::machine::Time;
use crate::machine::message::Event;
use crate::machine::settings::InstanceName;
use crate::timeline::document::{EntryDocument, TimelineDocument};

/// The version of the protocol. It grows when an old client would misunderstand an answer.
pub const VERSION: u32 = 1;

/// The longest request line, in bytes, without its newline.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Whether daemon and reactor are alive.
    Ping,
    /// The daemon and one instance or all, once.
    Status(Option<InstanceName>),
    /// The same, and then every change.
    Watch(Option<InstanceName>),
    /// What happens from now on, of one instance or of all.
    Events(Option<InstanceName>),
    /// What became of each change of role, of one instance or of all: so many of the last, or all.
    Timeline(Option<InstanceName>, Option<usize>),
    /// Everything about one instance that says why it is as it is.
    Why(InstanceName),
    /// Read the configuration again.
    Reload,
    /// End the daemon.
    Stop,
    /// Audit one instance or all now.
    Audit(Option<InstanceName>),
    /// The last inputs of the daemon, as a recording.
    Record,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    v: u32,
    op: Op,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<InstanceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<usize>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Op {
    Ping,
    Status,
    Watch,
    Events,
    Timeline,
    Why,
    Reload,
    Stop,
    Audit,
    Record,
}

impl Request {
    /// Reads a request line.
    ///
    /// # Errors
    ///
    /// What the client is told: the version is another one, or the line is not a request.
    pub fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let bad = |error: serde_json::Error| {
            Refusal::new(
                ErrorCode::BadRequest,
                format!("the request line is not understood: {error}"),
            )
        };
        let value: Value = serde_json::from_slice(line).map_err(bad)?;
        // The version comes first: the other fields of another version may mean anything.
        match value.get("v") {
            Some(v) if v.as_u64() != Some(u64::from(VERSION)) => {
                let message =
                    format!("this daemon speaks version {VERSION} of the protocol, not {v}");
                return Err(Refusal::new(ErrorCode::Version, message));
            }
            Some(_) | None => {}
        }
        let line: RequestLine = serde_json::from_value(value).map_err(bad)?;
        let alone = |request| match &line.instance {
            None => Ok(request),
            Some(_) => {
                let message = "this request does not take an instance";
                Err(Refusal::new(ErrorCode::BadRequest, message.into()))
            }
        };
        if line.last.is_some() && line.op != Op::Timeline {
            let message = "only a timeline takes the number of its last entries";
            return Err(Refusal::new(ErrorCode::BadRequest, message.into()));
        }
        match line.op {
            Op::Ping => alone(Self::Ping),
            Op::Reload => alone(Self::Reload),
            Op::Stop => alone(Self::Stop),
            Op::Record => alone(Self::Record),
            Op::Status => Ok(Self::Status(line.instance)),
            Op::Watch => Ok(Self::Watch(line.instance)),
            Op::Events => Ok(Self::Events(line.instance)),
            Op::Timeline => Ok(Self::Timeline(line.instance, line.last)),
            Op::Audit => Ok(Self::Audit(line.instance)),
            Op::Why => line.instance.map(Self::Why).ok_or_else(|| {
                let message = "this request needs an instance";
                Refusal::new(ErrorCode::BadRequest, message.into())
            }),
        }
    }

    /// The request as a line with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        let (op, instance) = match self {
            Self::Ping => (Op::Ping, None),
            Self::Status(instance) => (Op::Status, instance.clone()),
            Self::Watch(instance) => (Op::Watch, instance.clone()),
            Self::Events(instance) => (Op::Events, instance.clone()),
            Self::Timeline(instance, _) => (Op::Timeline, instance.clone()),
            Self::Why(instance) => (Op::Why, Some(instance.clone())),
            Self::Reload => (Op::Reload, None),
            Self::Stop => (Op::Stop, None),
            Self::Audit(instance) => (Op::Audit, instance.clone()),
            Self::Record => (Op::Record, None),
        };
        let last = if let Self::Timeline(_, last) = self {
            *last
        } else {
            None
        };
        let mut line = Vec::new();
        push_line(
            &mut line,
            &RequestLine {
                v: VERSION,
                op,
                instance,
                last,
            },
        );
        line
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The daemon is alive; also the heartbeat of an event stream.
    Pong(Pong),
    /// The daemon as a whole; also the heartbeat of a watch.
    Daemon(Box<DaemonStatus>),
    /// One instance.
    Instance(Box<InstanceStatus>),
    /// An instance is there no more.
    Gone(InstanceName),
    /// All that a status has to say has been said.
    Complete {
        /// How many instances that were.
        instances: usize,
    },
    /// Something happened.
    Event(EventLine),
    /// What there is to know of a timeline; its entries follow.
    Timeline(TimelineDocument),
    /// One entry of a timeline.
    Entry(Box<EntryDocument>),
    /// Why an instance is as it is.
    Why(Box<Explanation>),
    /// The reader was too slow: events were left out of the stream.
    Lagged {
        /// How many, at least.
        missed: u64,
    },
    /// The new configuration is in force.
    Reloaded {
        /// What was done, as a sentence.
        summary: String,
    },
    /// The daemon has begun to end.
    Stopping {
        /// Its process.
        pid: u32,
    },
    /// The audit has begun.
    Auditing {},
    /// A line of a recording.
    Record(String),
    /// All lines of the recording have been said.
    Recorded {
        /// How many lines that were.
        lines: usize,
    },
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The daemon's process.
    pub pid: u32,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Whether the reactor does not answer, so that everything said may be out of date.
    pub stale: bool,
}

/// One event and when it was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// When it was told, in the machine's time (nanoseconds since the boot of the system), which is also the
    /// time of all times inside the event.
    pub at: Time,
    /// The same by the clock on the wall: milliseconds since 1970.
    pub unix_ms: u64,
    /// What happened.
    pub event: Arc<Event>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The line is not a request.
    BadRequest,
    /// The line is longer than [`REQUEST_BYTES_MAX`].
    TooLong,
    /// The line did not come in time.
    TooSlow,
    /// The request has another version than the daemon.
    Version,
    /// There is no instance of that name.
    UnknownInstance,
    /// There are as many connections as there may be.
    Busy,
    /// Who asks has not the right to.
    Forbidden,
    /// The configuration cannot be used; the running one stays.
    Faults,
    /// The daemon is ending, or does not answer in time.
    Unavailable,
    /// A code of a newer daemon.
    #[serde(other)]
    Other,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why, for programs.
    pub code: ErrorCode,
    /// Why, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: ErrorCode, message: String) -> Self {
        Self { code, message }
    }
}

#[derive(Serialize)]
struct AnswerLine<'a> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Refusal>,
}

/// Appends an answer as a line.
pub fn push_answer(buffer: &mut Vec<u8>, answer: &Answer) {
    push_line(
        buffer,
        &AnswerLine {
            v: VERSION,
            ok: Some(answer),
            error: None,
        },
    );
}

/// Appends a refusal as a line.
pub fn push_refusal(buffer: &mut Vec<u8>, refusal: &Refusal) {
    push_line(
        buffer,
        &AnswerLine {
            v: VERSION,
            ok: None,
            error: Some(refusal),
        },
    );
}

/// An answer line that is not one.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not understood")]
pub struct Garbled(#[source] serde_json::Error);

/// Reads an answer line; `None` is an answer of a kind that only newer daemons give.
///
/// # Errors
///
/// The line is not an answer.
pub fn parse_answer(line: &[u8]) -> Result<Option<Result<Answer, Refusal>>, Garbled> {
    #[derive(Deserialize)]
    struct Line {
        ok: Option<Value>,
        error: Option<Refusal>,
    }
    let line: Line = serde_json::from_slice(line).map_err(Garbled)?;
    match (line.ok, line.error) {
        (_, Some(refusal)) => Ok(Some(Err(refusal))),
        (Some(ok), None) if is_known(&ok) => serde_json::from_value(ok)
            .map(|answer| Some(Ok(answer)))
            .map_err(Garbled),
        (Some(_) | None, None) => Ok(None),
    }
}

fn is_known(ok: &Value) -> bool {
    const KINDS: [&str; 15] = [
        "pong", "daemon", "instance", "gone", "complete", "event", "timeline", "entry", "why",
        "lagged", "reloaded", "stopping", "auditing", "record", "recorded",
    ];
    let kind = ok.as_object().and_then(|object| object.keys().next());
    kind.is_some_and(|kind| KINDS.contains(&kind.as_str()))
}

fn push_line(buffer: &mut Vec<u8>, line: &impl Serialize) {
    // Strings, numbers and structs of them: the serializer refuses none, and a Vec takes everything.
    let written = serde_json::to_writer(&mut *buffer, line);
    debug_assert!(written.is_ok(), "every line can be written");
    buffer.push(b'\n');
}

#[cfg(test)]
mod tests;

//! The form of a recording: JSON lines, the first of which says who recorded and from which state. Pure data; reads
//! and writes nothing.
//!
//! ```text
//! {"recording":{"format":1,"version":"0.1.0",…,"begin":{"start":{"settings":{…},"restored":{…}}}}}
//! {"step":{"at":1043,"input":"subscribed"}}                       what happened, when
//! {"step":{"at":90211,"input":{"kernel":[…]},"decided":"9c0f…"}}  and the digest of what was decided
//! {"step":{"at":290211,"decided":"77ab…"}}                        without an input: time has passed
//! {"gap":{"missed":12}}                                           the recorder could not follow
//! {"end":{"because":"the daemon ended"}}
//! ```
//!
//! Times are nanoseconds since the daemon's start. A file may hold several recordings, one after another.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use crate::machine::checkpoint::Checkpoint;
use crate::machine::message::{Input, RestoredMap};
use crate::machine::settings::{InstanceSettings, Settings};
use crate::machine::{Machine, Time};

/// The version of the form. It grows when an older keepstart would misunderstand a line.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// A recording begins.
    Recording(Box<Header>),
    /// One mutation of the machine.
    Step(Entry),
    /// Here inputs are missing.
    Gap {
        /// How many.
        missed: u64,
    },
    /// The recording ends, in order.
    End {
        /// Why.
        because: String,
    },
}

/// Who recorded, and from where on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of keepstart that recorded.
    pub version: String,
    /// Where the times belong to.
    pub origin: Origin,
    /// The state in which it begins.
    pub begin: Begin,
}

/// Which daemon this is, and when its time began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The boot of the kernel.
    pub boot_id: String,
    /// The number of this life of the daemon, which stands in the names of its jobs.
    pub life: u32,
    /// The time of day at which the daemon's time is zero, in nanoseconds since 1970. Where the clock on the wall
    /// has been set since, it is that of the old setting.
    pub unix_ns: u64,
}

/// The state in which a recording begins.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// The daemon's start: what [`Machine::new`] takes.
    Start {
        /// When the machine was made.
        at: Time,
        /// The configuration.
        settings: Settings,
        /// What earlier lives left.
        restored: RestoredMap,
    },
    /// Some time later.
    State(Box<Checkpoint>),
}

impl Header {
    /// The header of a recording by this version.
    pub fn new(origin: Origin, begin: Begin) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            origin,
            begin,
        }
    }
}

impl Begin {
    /// The machine in this state. What it says first was said before the recording.
    pub fn machine(self, life: u32) -> Machine {
        match self {
            Self::Start {
                at,
                settings,
                restored,
            } => Machine::new(&settings, &restored, life, at),
            Self::State(checkpoint) => Machine::resume(*checkpoint),
        }
    }
}

/// One mutation of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// What happened; `None`: time has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// What was decided; `None`: the daemon did not live to see it.
    #[serde(
        default = "nothing_decided",
        skip_serializing_if = "is_nothing_decided"
    )]
    pub decided: Option<Digest>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde takes the field's own type")]
fn nothing_decided() -> Option<Digest> {
    Some(Digest::default())
}

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn is_nothing_decided(decided: &Option<Digest>) -> bool {
    decided.is_some_and(|digest| digest.is_empty())
}

/// Takes out of settings what is nobody's business. The values of `environment` may be secrets, and no decision looks
/// at them; only whether a reload has changed them counts, and a number that is made with a key which is written
/// nowhere tells that and no more.
#[derive(Debug, Default)]
pub struct Redactor {
    key: RandomState,
}

impl Redactor {
    /// Settings that may be written down.
    pub fn settings(&self, settings: &Settings) -> Settings {
        let instances = settings.instances.iter();
        Settings {
            instances: instances.map(|one| Arc::new(self.instance(one))).collect(),
            ..settings.clone()
        }
    }

    /// The same for one instance.
    pub fn instance(&self, settings: &InstanceSettings) -> InstanceSettings {
        let mut kept = settings.clone();
        for (_, value) in &mut kept.environment {
            self.hide(value);
        }
        let asked = kept.is_running.as_mut();
        for action in [&mut kept.start, &mut kept.stop].into_iter().chain(asked) {
            if action.process.environment.is_empty() {
                continue;
            }
            let process = &mut Arc::make_mut(action).process;
            for value in Arc::make_mut(process).environment.values_mut() {
                self.hide(value);
            }
        }
        kept
    }

    fn hide(&self, value: &mut String) {
        *value = format!("{:016x}", self.key.hash_one(&*value));
    }

    /// Appends a step as a line.
    pub fn push_entry(&self, buffer: &mut Vec<u8>, mut entry: Entry) {
        if let Some(Input::Reload(settings)) = &mut entry.input {
            *settings = self.settings(settings);
        }
        push(buffer, &Line::Step(entry));
    }

    /// Appends the line that begins a recording at the daemon's start.
    pub fn push_start(
        &self,
        buffer: &mut Vec<u8>,
        origin: Origin,
        (settings, restored, at): (&Settings, &RestoredMap, Time),
    ) {
        let begin = Begin::Start {
            at,
            settings: self.settings(settings),
            restored: restored.clone(),
        };
        push(
            buffer,
            &Line::Recording(Box::new(Header::new(origin, begin))),
        );
    }

    /// Appends the line that begins a recording in the state of this machine.
    pub fn push_state(&self, buffer: &mut Vec<u8>, origin: Origin, machine: &Machine) {
        let begin = Begin::State(Box::new(machine.checkpoint(|one| self.instance(one))));
        push(
            buffer,
            &Line::Recording(Box::new(Header::new(origin, begin))),
        );
    }
}

/// Appends any line.
pub fn push(buffer: &mut Vec<u8>, line: &Line) {
    // Strings, numbers and structs of them, and maps whose keys are both: the serializer refuses none, and a Vec
    // takes everything.
    let written = serde_json::to_writer(&mut *buffer, line);
    debug_assert!(written.is_ok(), "every line can be written: {written:?}");
    buffer.push(b'\n');
}

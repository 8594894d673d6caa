//! The last inputs of the machine, always kept. Owned by the reactor's thread; never waits, never writes.
//!
//! A recording is worth nothing without the state in which it begins. The ring has it because its tail is a machine:
//! one that was made as the daemon's own, and that is given each input as it falls out of the ring. So at any time
//! the tail and the inputs after it are a recording that can be replayed, and nothing is ever copied or written
//! down before somebody asks. What was weighed against it:
//!
//! - a copy of the machine every so many inputs: a pause that grows with the number of instances, and two copies in
//!   memory for as long as the older one has inputs after it;
//! - a log of what each input has changed, to go back from the present: useless after a panic in the middle of a
//!   change, which is when it is wanted;
//! - the inputs since the daemon's start: grows without end.
//!
//! The price is a second machine, which shares the settings with the first, and that each input is handled twice,
//! the second time when there is nothing else to do. With more than [`INSTANCES_MAX`] instances there is no ring;
//! `--record FILE` works with any number, because it begins with the daemon.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use super::digest::Digest;
use super::line::{self, Entry, Line, Origin, Redactor};
use crate::machine::kernel::{Address, KernelEvent, Link};
use crate::machine::message::Input;
use crate::machine::{Machine, Time};

/// The most inputs that are kept: those of some 150 changes of role.
pub const ENTRIES_MAX: usize = 1024;
/// The most bytes that they may take. A host with many links has dumps that are larger than all else: then fewer
/// inputs are kept, in the extreme only those since the last dump.
pub const BYTES_MAX: usize = 256 * 1024;
/// With more instances nothing is kept. The tail's share of an instance is about 1.5 kB.
pub const INSTANCES_MAX: usize = 256;
/// How many inputs fall out at once, so that one large dump does not make the reactor handle a thousand inputs a
/// second time in one go. What is too much meanwhile is what one wake-up brings.
const FALL_AT_ONCE: usize = 32;
/// What a reload keeps alive of an instance's old settings.
const SETTINGS_BYTES: usize = 1024;

/// The last inputs.
#[derive(Debug)]
pub struct Ring {
    origin: Origin,
    /// The machine as it was before the first of `entries`. Shared with whoever is just writing it down.
    tail: Arc<Machine>,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// The ring as it was at one moment.
#[derive(Debug, Clone)]
pub struct Copied {
    origin: Origin,
    tail: Arc<Machine>,
    entries: VecDeque<Entry>,
}

impl Ring {
    /// A ring for a machine that is in the state of this one; `None`: it has too many instances.
    pub fn new(origin: Origin, machine: &Machine) -> Option<Self> {
        if machine.instance_count() > INSTANCES_MAX {
            return None;
        }
        let mut tail = machine.clone();
        // What it has to say is said by the daemon's own.
        while tail.poll_output().is_some() {}
        Some(Self {
            origin,
            tail: Arc::new(tail),
            entries: VecDeque::new(),
            bytes: 0,
        })
    }

    /// An input is about to be handled.
    pub fn before(&mut self, at: Time, input: Option<&Input>) {
        let entry = Entry {
            at,
            input: input.cloned(),
            decided: None,
        };
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
    }

    /// It has been handled, and this came of it.
    pub fn after(&mut self, decided: Digest) {
        if let Some(entry) = self.entries.back_mut() {
            entry.decided = Some(decided);
        }
    }

    /// Lets fall out what is too much. For when the daemon has done what it has to.
    pub fn trim(&mut self) {
        for _ in 0..FALL_AT_ONCE {
            if self.entries.len() <= ENTRIES_MAX && self.bytes <= BYTES_MAX {
                return;
            }
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(weight(&entry));
            // Copies the tail only while somebody writes it down, which is a matter of milliseconds.
            let tail = Arc::make_mut(&mut self.tail);
            match entry.input {
                Some(input) => tail.handle(input, entry.at),
                None => tail.handle_timeout(entry.at),
            }
            while tail.poll_output().is_some() {}
        }
    }

    /// How many inputs are kept, and how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// The ring as it is now, for somebody who writes it down elsewhere.
    pub fn copy(&self) -> Copied {
        Copied {
            origin: self.origin.clone(),
            tail: self.tail.clone(),
            entries: self.entries.clone(),
        }
    }
}

impl Copied {
    /// The recording, line by line, each with its newline.
    pub fn lines(self, because: String) -> impl Iterator<Item = Vec<u8>> {
        let redactor = Redactor::default();
        let mut first = Vec::new();
        redactor.push_state(&mut first, self.origin, &self.tail);
        drop(self.tail);
        let mut last = Vec::new();
        line::push(&mut last, &Line::End { because });
        let entries = self.entries.into_iter().map(move |entry| {
            let mut line = Vec::new();
            redactor.push_entry(&mut line, entry);
            line
        });
        [first].into_iter().chain(entries).chain([last])
    }
}

/// About how many bytes an entry takes: itself, and what it owns elsewhere.
fn weight(entry: &Entry) -> usize {
    let owned = match &entry.input {
        Some(Input::Kernel(events)) => {
            let names = events.iter().map(|event| match event {
                KernelEvent::LinkPresent(link) => names(link),
                KernelEvent::LinkGone(_)
                | KernelEvent::AddressPresent(_)
                | KernelEvent::AddressGone(_) => 0,
            });
            size_of::<KernelEvent>() * events.len() + names.sum::<usize>()
        }
        Some(Input::Dumped(dump)) => {
            let names: usize = dump.links.iter().map(names).sum();
            let links = size_of::<Link>() * dump.links.len();
            links + names + size_of::<Address>() * dump.addresses.len()
        }
        Some(Input::Reload(settings)) => SETTINGS_BYTES * settings.instances.len(),
        Some(Input::EpochsReserved(noted)) => 16 * noted.len(),
        Some(Input::UnitsChanged(units)) => 64 * units.len(),
        Some(Input::SubscriptionLost { error } | Input::DumpFailed { error }) => error.len(),
        Some(
            Input::Subscribed
            | Input::Overrun
            | Input::Spawned { .. }
            | Input::Ended { .. }
            | Input::Audit(_)
            | Input::Shutdown,
        )
        | None => 0,
    };
    size_of::<Entry>() + owned
}

fn names(link: &Link) -> usize {
    let altnames = link.altnames.iter().map(|name| name.len() + 24);
    link.name.len() + altnames.sum::<usize>()
}

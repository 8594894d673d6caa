//! The machine as the reactor drives it: every input is recorded before it is handled, and what was decided after.
//! On the reactor's thread; never waits.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::digest::Digest;
use super::file::FileTape;
use super::line::{Entry, Origin};
use super::ring::{Copied, INSTANCES_MAX, Ring};
use crate::machine::message::{Input, Output};
use crate::machine::{Machine, Time};

/// What a panic finds: the lock is only ever held by the reactor's thread for as long as it takes to keep one
/// input, and tried by the panic hook.
pub(super) type SharedRing = Arc<Mutex<Option<Ring>>>;

/// A machine whose inputs are recorded. It is driven by the same law.
#[derive(Debug)]
pub struct Recorded {
    machine: Machine,
    tape: Tape,
}

impl Deref for Recorded {
    type Target = Machine;

    /// All that only looks.
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Recorded {
    /// `tape` was made for this machine.
    pub fn new(machine: Machine, tape: Tape) -> Self {
        Self { machine, tape }
    }

    /// [`Machine::handle`].
    pub fn handle(&mut self, input: Input, now: Time) {
        self.tape.before(now, Some(&input));
        self.machine.handle(input, now);
    }

    /// [`Machine::handle_timeout`], where anything is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.machine.next_deadline().is_some_and(|at| at <= now) {
            self.tape.before(now, None);
            self.machine.handle_timeout(now);
        }
    }

    /// [`Machine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.machine.poll_output();
        match &output {
            Some(output) => self.tape.output(output),
            None => self.tape.after(&self.machine),
        }
        output
    }

    /// Lets the oldest inputs go. For when there is nothing else to do.
    pub fn trim(&mut self) {
        if let Some(ring) = &mut *lock(&self.tape.ring) {
            ring.trim();
        }
    }

    /// The last inputs as they are now; `None`: there are too many instances for keeping them.
    pub fn copy(&self) -> Option<Copied> {
        lock(&self.tape.ring).as_ref().map(Ring::copy)
    }
}

/// Everything that the inputs are recorded by.
#[derive(Debug)]
pub struct Tape {
    origin: Origin,
    ring: SharedRing,
    file: Option<FileTape>,
    /// The entry for the file, until it is known what was decided.
    entry: Option<Entry>,
    decided: Digest,
    /// An input has been handled, or is being handled, since the last time that the outputs were fetched.
    open: bool,
}

impl Tape {
    /// Begins the ring with this machine, which has not been told anything yet; `file` is `--record FILE`.
    pub fn new(origin: Origin, machine: &Machine, file: Option<FileTape>) -> Self {
        let ring = Ring::new(origin.clone(), machine);
        Self {
            origin,
            ring: Arc::new(Mutex::new(ring)),
            file,
            entry: None,
            decided: Digest::default(),
            open: false,
        }
    }

    pub(super) fn shared_ring(&self) -> SharedRing {
        self.ring.clone()
    }

    /// An input is about to be handled; `None`: time has passed.
    fn before(&mut self, at: Time, input: Option<&Input>) {
        self.open = true;
        self.decided = Digest::default();
        if self.file.is_some() {
            self.entry = Some(Entry {
                at,
                input: input.cloned(),
                decided: None,
            });
        }
        let mut ring = lock(&self.ring);
        // A recording of more instances than fit cannot be begun again after this one.
        if let Some(Input::Reload(settings)) = input
            && settings.instances.len() > INSTANCES_MAX
        {
            *ring = None;
        }
        if let Some(ring) = &mut *ring {
            ring.before(at, input);
        }
    }

    /// An output has been fetched.
    fn output(&mut self, output: &Output) {
        self.decided.add(output);
    }

    /// All outputs have been fetched.
    fn after(&mut self, machine: &Machine) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let (Some(file), Some(mut entry)) = (&mut self.file, self.entry.take()) {
            entry.decided = Some(self.decided);
            file.send(entry);
        }
        let mut ring = lock(&self.ring);
        match &mut *ring {
            Some(ring) => ring.after(self.decided),
            // A reload has brought the number of instances down. Counting them is cheap, copying few is, too.
            None if machine.instance_count() <= INSTANCES_MAX => {
                *ring = Ring::new(self.origin.clone(), machine);
            }
            None => {}
        }
    }
}

fn lock(ring: &Mutex<Option<Ring>>) -> MutexGuard<'_, Option<Ring>> {
    // Nothing here is half done when it panics but the last entry, which says so itself.
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

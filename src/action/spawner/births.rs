//! Processes that exist before their spawn has come to its end, and the signals for them. The spawner threads tell of
//! them, the reactor thread signals them; both under the spawners' lock, for no longer than a signal takes.

use rustix::process::Pid;

use super::super::launch::Births;
use super::super::process::to_pid;
use super::{Doing, Shared, Spawners};
use crate::machine::job::{JobId, JobSignal};

impl Spawners {
    /// Signals the process of a spawn that goes on, where there is one before its end, or as soon as there is.
    pub(in crate::action) fn signal(&self, job: JobId, signal: JobSignal) {
        let mut state = self.shared.lock();
        if let Some(spawn) = state.spawns_mut().find(|spawn| spawn.job == job) {
            spawn.signal(signal);
        }
    }
}

/// Where the process of a thread's spawn is noted.
pub(super) struct Watched<'a> {
    pub(super) shared: &'a Shared,
    pub(super) thread: u32,
}

impl Watched<'_> {
    fn note(&self, process: Option<Pid>) {
        if let Some(Doing::Spawns(spawn)) = self.shared.lock().threads.get_mut(&self.thread) {
            spawn.set_process(process);
        }
    }
}

impl Births for Watched<'_> {
    fn born(&self, pid: u32) {
        self.note(to_pid(pid));
    }

    fn dying(&self) {
        self.note(None);
    }
}

//! systemd units as actions: started, stopped, asked and watched over D-Bus. The reactor's side of it, which makes no
//! call that can wait: it hands jobs over and hears back; all else happens on the thread `units`.
//!
//! ```text
//!   reactor thread                                              thread `units`, made with the first unit
//!   Units ── jobs, signals, the units to watch ─▶ Desk ─▶ Clerk ── one course for each job ─▶ Line ── D-Bus ─▶ systemd
//!         ◀─ ends of jobs, units that changed ──      ◀──       ◀─ JobRemoved, PropertiesChanged ──
//! ```
//!
//! Nothing of D-Bus is touched before a configuration names a unit. The folder can be deleted with the lines that
//! carry the feature `units`.

mod clerk;
mod course;
mod desk;
mod line;
mod look;
mod signals;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ExecEvent, ExecutorCounters, JobRecorder, now};
use crate::machine::job::{Exit, Job, JobId, JobSignal, Outcome};
use crate::machine::unit::UnitName;
use desk::Desk;

pub use look::look_at_units;

/// Jobs of units. See the file's head.
pub(super) struct Units {
    desk: Arc<Desk>,
    recorder: Arc<dyn JobRecorder>,
    /// Whether the thread is there; it stays for the rest of the daemon's life.
    began: bool,
    /// Jobs taken over, jobs refused.
    submitted: u64,
    refused: u64,
}

impl Units {
    pub(super) fn new(recorder: Arc<dyn JobRecorder>) -> Self {
        Self {
            desk: Arc::default(),
            recorder,
            began: false,
            submitted: 0,
            refused: 0,
        }
    }

    /// Takes a job over. Its end will be told, whatever happens.
    pub(super) fn submit(&mut self, job: Box<Job>) {
        let id = job.id;
        let taken = self.begin().and_then(|()| {
            if self.desk.submit(*job) {
                Ok(())
            } else {
                Err("too many jobs of units at once".to_owned())
            }
        });
        match taken {
            Ok(()) => self.submitted += 1,
            Err(error) => {
                self.refused += 1;
                self.desk.ended(id, Exit::NotStarted(error), now());
            }
        }
    }

    /// Hands a signal over, if it is for a job from here.
    pub(super) fn signal(&self, job: JobId, signal: JobSignal, because: &Outcome) -> bool {
        self.desk.signal(job, signal, because)
    }

    /// Tells which units are to be watched from now on.
    pub(super) fn watch(&mut self, units: BTreeSet<UnitName>) {
        if let Err(error) = self.begin() {
            tracing::error!("changes of units are not noticed before the audit: {error}");
        }
        self.desk.watch(units);
    }

    /// The next thing that happens; pends for ever while there is none. Cancel-safe.
    pub(super) async fn next(&self) -> ExecEvent {
        self.desk.next().await
    }

    pub(super) fn count(&self, counters: &mut ExecutorCounters) {
        counters.submitted += self.submitted;
        counters.refused += self.refused;
        counters.ended += self.desk.ends_told();
    }

    fn begin(&mut self) -> Result<(), String> {
        if !self.began {
            let (desk, recorder) = (self.desk.clone(), self.recorder.clone());
            clerk::start(desk, recorder)
                .map_err(|error| format!("cannot start the thread for units: {error}"))?;
            self.began = true;
        }
        Ok(())
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        self.desk.close();
    }
}

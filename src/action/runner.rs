//! Jobs to those who carry them out: scripts to the executor, units to systemd. Lives on the reactor thread and makes
//! no call that can wait.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::ExecutorCounters;
use super::event::ExecEvent;
use super::executor::{Executor, ExecutorError, ExecutorOptions};
#[cfg(feature = "units")]
use super::units::Units;
use crate::machine::job::{Job, JobId, JobSignal, Means, Outcome};
use crate::machine::message::Adopted;
use crate::machine::unit::UnitName;

/// Runs jobs of both kinds.
pub struct Runner {
    executor: Executor,
    #[cfg(feature = "units")]
    units: Units,
}

impl Runner {
    /// Makes the executor; whatever units need is made with the first of them.
    pub fn new(options: ExecutorOptions) -> Result<Self, ExecutorError> {
        Ok(Self {
            #[cfg(feature = "units")]
            units: Units::new(options.recorder.clone()),
            executor: Executor::new(options)?,
        })
    }

    /// Takes a job over. Its end will be told, whatever happens.
    pub fn submit(&mut self, job: Box<Job>) {
        match job.command.run.means() {
            Means::Process => self.executor.submit(job),
            #[cfg(feature = "units")]
            Means::Systemd => self.units.submit(job),
            // No configuration has units then, and the executor would refuse them.
            #[cfg(not(feature = "units"))]
            Means::Systemd => self.executor.submit(job),
        }
    }

    /// Tells a job to end. See [`Executor::signal`] for what that means to a script.
    pub fn signal(&mut self, job: JobId, signal: JobSignal, because: &Outcome) {
        #[cfg(feature = "units")]
        if self.units.signal(job, signal, because) {
            return;
        }
        let _ = because;
        self.executor.signal(job, signal);
    }

    /// Tells which units are to be watched from now on.
    pub fn watch_units(&mut self, units: BTreeSet<UnitName>) {
        #[cfg(feature = "units")]
        self.units.watch(units);
        #[cfg(not(feature = "units"))]
        drop(units);
    }

    /// Watches a process of an earlier life of the daemon; see [`Executor::adopt`].
    pub fn adopt(&mut self, adopted: &Adopted, pidfd: Option<OwnedFd>) {
        self.executor.adopt(adopted, pidfd);
    }

    /// No longer watches a job; see [`Executor::let_go`].
    pub fn let_go(&mut self, job: JobId) {
        self.executor.let_go(job);
    }

    /// The next thing that happens to a job or a unit; pends for ever while there is none. Cancel-safe.
    pub async fn next(&mut self) -> ExecEvent {
        #[cfg(feature = "units")]
        return tokio::select! {
            event = self.executor.next() => event,
            event = self.units.next() => event,
        };
        #[cfg(not(feature = "units"))]
        self.executor.next().await
    }

    /// What has been counted.
    pub fn counters(&self) -> ExecutorCounters {
        #[cfg_attr(not(feature = "units"), expect(unused_mut, reason = "units count too"))]
        let mut counters = self.executor.counters();
        #[cfg(feature = "units")]
        self.units.count(&mut counters);
        counters
    }
}

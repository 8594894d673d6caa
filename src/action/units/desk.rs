//! What lies between the reactor's thread and that of the units. Each side puts down and takes up; neither waits for
//! the other. The lock is held for one push or one exchange.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::super::ExecEvent;
use crate::machine::job::{Exit, Job, JobId, JobSignal, Outcome};
use crate::machine::unit::UnitName;

/// Jobs at once at most; an instance has at most one, so this is a bound for configurations beyond all reason.
/// Further ones end as not started and are counted.
const JOBS_MAX: usize = 65_536;

/// How strongly a job is told to end; a stronger urge takes the place of a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urge {
    /// Not at all.
    None,
    /// It has taken too long.
    Late,
    /// The role has turned against it.
    Unwanted,
    /// It did not end when it was told to.
    Kill,
}

impl Urge {
    fn of(signal: JobSignal, because: &Outcome) -> Self {
        match (signal, because) {
            (JobSignal::Kill, _) => Self::Kill,
            (JobSignal::Term, Outcome::Cancelled) => Self::Unwanted,
            (JobSignal::Term, _) => Self::Late,
        }
    }
}

/// What the reactor has put down.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) jobs: Vec<Job>,
    /// At most one for each job.
    pub(super) urges: BTreeMap<JobId, Urge>,
    /// The units to watch from now on, if others than before.
    pub(super) watch: Option<BTreeSet<UnitName>>,
    /// Nobody is left to hear of anything.
    pub(super) closed: bool,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Desk {
    papers: Mutex<Papers>,
    for_clerk: Notify,
    for_reactor: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    orders: Orders,
    /// The jobs whose end has not been told.
    open: BTreeSet<JobId>,
    /// Ends that the reactor has not taken up: at most one for each job, and one for each that was refused.
    ends: VecDeque<(JobId, Exit, Instant)>,
    /// Units that have changed since the reactor last took them up: however often, each stands here once.
    changed: BTreeSet<UnitName>,
    ends_told: u64,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Papers> {
        // A push or an exchange leaves nothing half done.
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job down. False where there are too many.
    pub(super) fn submit(&self, job: Job) -> bool {
        let mut papers = self.lock();
        if papers.open.len() >= JOBS_MAX {
            return false;
        }
        papers.open.insert(job.id);
        papers.orders.jobs.push(job);
        drop(papers);
        self.for_clerk.notify_one();
        true
    }

    /// Puts a signal down. False where the job is not from here.
    pub(super) fn signal(&self, job: JobId, signal: JobSignal, because: &Outcome) -> bool {
        let mut papers = self.lock();
        if !papers.open.contains(&job) {
            return false;
        }
        let urge = papers.orders.urges.entry(job).or_insert(Urge::None);
        *urge = Urge::of(signal, because).max(*urge);
        drop(papers);
        self.for_clerk.notify_one();
        true
    }

    pub(super) fn watch(&self, units: BTreeSet<UnitName>) {
        self.lock().orders.watch = Some(units);
        self.for_clerk.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().orders.closed = true;
        self.for_clerk.notify_one();
    }

    /// What the reactor has put down since the last time; pends while there is nothing. Cancel-safe.
    pub(super) async fn orders(&self) -> Orders {
        self.for_clerk.notified().await;
        std::mem::take(&mut self.lock().orders)
    }

    pub(super) fn ended(&self, job: JobId, exit: Exit, at: Instant) {
        let mut papers = self.lock();
        papers.open.remove(&job);
        papers.ends.push_back((job, exit, at));
        drop(papers);
        self.for_reactor.notify_one();
    }

    pub(super) fn changed(&self, units: impl IntoIterator<Item = UnitName>) {
        self.lock().changed.extend(units);
        self.for_reactor.notify_one();
    }

    /// The next event for the reactor; pends for ever while there is none. Cancel-safe.
    pub(super) async fn next(&self) -> ExecEvent {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.for_reactor.notified().await;
        }
    }

    fn take(&self) -> Option<ExecEvent> {
        let mut papers = self.lock();
        if let Some((job, exit, at)) = papers.ends.pop_front() {
            papers.ends_told += 1;
            return Some(ExecEvent::Ended { job, exit, at });
        }
        let changed = std::mem::take(&mut papers.changed);
        (!changed.is_empty()).then_some(ExecEvent::UnitsChanged(changed))
    }

    pub(super) fn ends_told(&self) -> u64 {
        self.lock().ends_told
    }
}

#[cfg(test)]
mod tests;

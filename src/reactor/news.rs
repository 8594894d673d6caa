//! What the reactor tells others: the log and the board. On the reactor's thread, after the orders of a wake-up have
//! been given; waits for nothing.

use std::sync::Arc;

use super::Reactor;
use crate::bus::Update;
use crate::disk::Ends;
use crate::machine::Time;
use crate::machine::job::InstanceId;
use crate::machine::message::Event;
use crate::report;

/// How much is told before the next input is handled: with thousands of instances one dump has news of each, and
/// the loss of a role must not wait until all of it is told.
const NEWS_AT_ONCE: usize = 256;

/// How much may wait to be told. More is told at once, whatever waits for it.
const NEWS_MAX: usize = 16_384;

/// What others are told.
pub(super) enum News {
    Event(Arc<Event>),
    /// The end of a job, which is told behind all that it has printed, and behind what was printed by others that
    /// ended before it; or at this time, whatever the disk thread does.
    Ended(Arc<Event>, Ends, Time),
    Changed(InstanceId),
    Gone(InstanceId),
    Finished,
}

impl Reactor {
    /// Until when the end of a job that is the next to be told waits for what the job has printed; `None`: it does
    /// not.
    pub(super) fn end_held(&self, now: Time) -> Option<Time> {
        match self.news.front() {
            Some(News::Ended(_, ends, until)) => {
                let held = *until > now && !self.disk.has_told_output_of(*ends);
                held.then_some(*until)
            }
            Some(News::Event(_) | News::Changed(_) | News::Gone(_) | News::Finished) | None => None,
        }
    }

    /// Tells the oldest of what there is to tell, in its order. A view is that of now.
    pub(super) fn tell(&mut self) {
        let now = self.clock.now();
        let waiting = self.news.len();
        let too_much = waiting.saturating_sub(NEWS_MAX);
        for told in 0..NEWS_AT_ONCE.max(too_much) {
            if told >= too_much && self.end_held(now).is_some() {
                return;
            }
            match self.news.pop_front() {
                None => {
                    self.news.shrink_to(NEWS_AT_ONCE);
                    return;
                }
                Some(News::Event(event) | News::Ended(event, ..)) => self.tell_event(event, now),
                Some(News::Changed(id)) => {
                    if let Some(view) = self.machine.view(id, now) {
                        self.updates.send(Update::Instance(Arc::new(view)));
                    }
                }
                Some(News::Gone(id)) => self.updates.send(Update::Gone(id)),
                Some(News::Finished) => self.updates.send(Update::Finished),
            }
        }
    }

    fn tell_event(&mut self, event: Arc<Event>, now: Time) {
        if let Event::Reloaded(changes) = &*event
            && let Some(asked) = self.reload_asked.take()
        {
            // Whoever asked may have gone.
            drop(asked.send(changes.clone()));
        }
        report::log(&event, now);
        if let Event::JobStarted { job, .. } = &*event {
            self.disk.start_told(*job);
        }
        let about_kernel = event.instance().is_none();
        let kernel = about_kernel.then(|| Box::new(self.machine.kernel_view()));
        self.updates.send(Update::Event(event, kernel));
    }
}

//! What goes on with one instance: which entry an event belongs to, and which it ends. Pure; part of the timeline.

use super::Time;
use super::entry::{Entry, Kind, Running, State, Wait, What};
use super::{Question, Track};
use crate::machine::job::{Action, JobId, Role};
use crate::machine::message::Event;
use crate::machine::reason::Reason;
use crate::machine::settings::InstanceName;

impl Track {
    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.flaps.is_none() && self.question.is_none()
    }

    /// Takes in an event of its instance; what it ends goes into `over`.
    pub(super) fn take(&mut self, name: &InstanceName, event: &Event, over: &mut Vec<Entry>) {
        match event {
            Event::Superseded {
                to,
                epoch,
                seen,
                at,
                ..
            } => match epoch {
                Some(epoch) => self.superseded(*epoch, *at, over),
                None => self.flapped(name, *to, *seen, *at),
            },
            Event::Transition {
                to, epoch, decided, ..
            } => {
                over.extend(self.flaps.take());
                let entry = self.transition(name, event, (*to, *epoch));
                self.overtake(*epoch, *decided, over);
                self.open.extend(entry);
            }
            Event::JobStarted { .. } => {
                over.extend(self.flaps.take());
                self.job_started(name, event);
            }
            Event::Adopted {
                job,
                action,
                epoch,
                role,
                reason,
                started,
                ..
            } => self.adopted(name, (*job, *action, *reason), (*role, *epoch), *started),
            Event::JobSpawned { .. } | Event::JobSignalled { .. } | Event::JobEnded { .. } => {
                self.job_went_on(event, over);
            }
            Event::RetryScheduled {
                epoch, role, at, ..
            } => {
                if let Some(entry) = self.serving(name, (*role, *epoch)) {
                    entry.waits = Wait::Retry { at: *at };
                }
            }
            Event::Settled { knowledge, at, .. } => {
                for mut entry in self.open.drain(..) {
                    entry.close(State::Settled(*knowledge), *at);
                    over.push(entry);
                }
            }
            // `concerns` lets no other through.
            Event::Held { .. }
            | Event::Overrun { .. }
            | Event::Subscribed
            | Event::SubscriptionLost { .. }
            | Event::Synchronized { .. }
            | Event::DumpFailed { .. }
            | Event::AuditRepaired { .. }
            | Event::Alive { .. }
            | Event::Reloaded(_)
            | Event::EpochsExhausted { .. } => {}
        }
    }

    fn superseded(&mut self, epoch: u64, at: Time, over: &mut Vec<Entry>) {
        let Some(index) = self.open.iter().position(|entry| entry.epoch == epoch) else {
            return;
        };
        // Its is-running may go on: its answer will serve who comes next.
        let mut entry = self.open.remove(index);
        if let Some(Running { job, reason, .. }) = entry.running.take() {
            let began = entry.until();
            self.question = Some(Question {
                job,
                reason,
                began,
                ended: None,
            });
        }
        entry.close(State::Superseded, at);
        over.push(entry);
    }

    /// A change that was never believed: one entry for all that follow each other.
    fn flapped(&mut self, name: &InstanceName, to: Role, seen: Time, at: Time) {
        let same = |entry: &&mut Entry| entry.role == to;
        if let Some(entry) = self.flaps.as_mut().filter(same) {
            entry.push_wait(seen);
            entry.push(What::Debounce, at);
            if let Kind::Unbelieved { times } = &mut entry.kind {
                *times = times.saturating_add(1);
            }
            return;
        }
        let mut entry = Entry::new(name, (to, 0), Kind::Unbelieved { times: 1 }, seen);
        entry.push(What::Debounce, at);
        entry.state = State::Superseded;
        self.flaps = Some(entry);
    }

    fn transition(&self, name: &InstanceName, event: &Event, serves: (Role, u64)) -> Option<Entry> {
        let Event::Transition {
            from,
            cause,
            seen,
            decided,
            ..
        } = event
        else {
            return None;
        };
        let (from, cause) = (*from, cause.clone());
        let mut entry = Entry::new(name, serves, Kind::Transition { from, cause }, *seen);
        entry.push(What::Debounce, *decided);
        let question_runs = self
            .question
            .as_ref()
            .is_some_and(|one| one.ended.is_none());
        if question_runs || self.open.iter().any(|entry| entry.running.is_some()) {
            entry.waits = Wait::EarlierJob;
        }
        Some(entry)
    }

    /// What was under way is overtaken: at once, or when its job has ended.
    fn overtake(&mut self, by: u64, at: Time, over: &mut Vec<Entry>) {
        for mut entry in std::mem::take(&mut self.open) {
            if entry.running.is_some() {
                entry.overtaken_by.get_or_insert(by);
                self.open.push(entry);
            } else {
                entry.close(State::Overtaken { by }, at);
                over.push(entry);
            }
        }
    }

    fn job_started(&mut self, name: &InstanceName, event: &Event) {
        let Event::JobStarted {
            job,
            action,
            epoch,
            role,
            reason,
            at,
            ..
        } = event
        else {
            return;
        };
        let serves = self.current().is_some_and(|entry| entry.epoch == *epoch);
        if *action == Action::IsRunning && !serves {
            self.question = Some(Question {
                job: *job,
                reason: *reason,
                began: *at,
                ended: None,
            });
            return;
        }
        if !serves {
            let jobs = self.jobs(name, (*role, *epoch), *reason, *at);
            self.open.push(jobs);
        }
        if let Some(entry) = self.current() {
            entry.job_started(*job, *action, *reason, *at);
        }
    }

    /// The entry that new events are about, unless it was overtaken.
    fn current(&mut self) -> Option<&mut Entry> {
        self.open
            .last_mut()
            .filter(|entry| entry.overtaken_by.is_none())
    }

    /// An entry for jobs that no transition caused; it begins with the question that led to them.
    fn jobs(
        &mut self,
        name: &InstanceName,
        serves: (Role, u64),
        reason: Reason,
        at: Time,
    ) -> Entry {
        let asked = self.question.take_if(|question| question.ended.is_some());
        let Some(Question {
            job,
            reason: why,
            began,
            ended: Some((outcome, ended)),
        }) = asked.filter(|question| {
            question
                .ended
                .as_ref()
                .is_some_and(|(_, ended)| *ended == at)
        })
        else {
            return Entry::new(name, serves, Kind::Jobs { reason }, at);
        };
        let mut entry = Entry::new(name, serves, Kind::Jobs { reason }, began);
        let reason = why;
        entry.push(
            What::Check {
                job,
                reason,
                outcome,
            },
            ended,
        );
        entry
    }

    /// The entry that a failure belongs to: an is-running that failed without one begins one.
    fn serving(&mut self, name: &InstanceName, serves: (Role, u64)) -> Option<&mut Entry> {
        if self.current().is_none_or(|entry| entry.epoch != serves.1) {
            let question = self.question.as_ref()?;
            let (reason, at) = (question.reason, question.ended.as_ref()?.1);
            let entry = self.jobs(name, serves, reason, at);
            self.open.push(entry);
        }
        self.current()
    }

    fn adopted(
        &mut self,
        name: &InstanceName,
        (job, action, reason): (JobId, Action, Reason),
        serves: (Role, u64),
        at: Time,
    ) {
        self.open
            .retain(|entry| entry.running.as_ref().is_none_or(|one| one.job != job));
        if action == Action::IsRunning {
            self.question = Some(Question {
                job,
                reason,
                began: at,
                ended: None,
            });
            return;
        }
        let adopted = Kind::Jobs {
            reason: Reason::Adopted,
        };
        let mut entry = Entry::new(name, serves, adopted, at);
        entry.running = Some(Running {
            job,
            action,
            reason,
            spawned: true,
            ending: None,
        });
        self.open.push(entry);
    }

    fn job_went_on(&mut self, event: &Event, over: &mut Vec<Entry>) {
        if let Event::JobEnded {
            job,
            outcome,
            ended,
            ..
        } = event
            && let Some(question) = self.question.as_mut().filter(|one| one.job == *job)
        {
            question.ended = Some((outcome.clone(), *ended));
        }
        let Some(index) = self.open.iter().position(|entry| entry.runs(event)) else {
            return;
        };
        let Some(entry) = self.open.get_mut(index) else {
            return;
        };
        if let Event::JobSpawned { at, .. } = event {
            entry.job_spawned(*at);
        } else if let Event::JobSignalled { because, at, .. } = event {
            entry.job_signalled(because, *at);
        } else if let Event::JobEnded { outcome, ended, .. } = event {
            entry.job_ended(outcome, *ended);
            if let Some(state) = over_at_job_end(entry) {
                let mut entry = self.open.remove(index);
                entry.close(state, *ended);
                over.push(entry);
            }
        }
    }
}

/// What an entry is at the end of its job, where that is its own end.
fn over_at_job_end(entry: &Entry) -> Option<State> {
    let adopted = matches!(
        entry.kind,
        Kind::Jobs {
            reason: Reason::Adopted
        }
    );
    match entry.overtaken_by {
        Some(by) if !adopted => Some(State::Overtaken { by }),
        Some(_) | None => adopted.then_some(State::Over),
    }
}

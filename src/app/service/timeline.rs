//! The timeline on the service thread: fed with the machine's events, and a line of the log for each entry that has
//! come to its end. Nothing here can delay the reactor; where it is slow, updates are dropped, and the timeline has a
//! gap.

use super::Service;
use crate::bus::Update;
use crate::machine::Time;
use crate::telemetry::MessageId;
use crate::timeline::{Entry, Kind, State};

impl Service {
    /// Takes in what an update tells of stages.
    pub(super) fn keep_time(&mut self, update: &Update) {
        let zero = self.clock.zero_unix_ms();
        let mut timeline = self.timeline.borrow_mut();
        let over = match update {
            Update::Event(event, _) => timeline.take(event, zero),
            Update::Gone(id) => match self.board.borrow().name(*id) {
                Some(name) => timeline.gone(name, zero),
                None => return,
            },
            Update::Instance(_) | Update::Finished => return,
        };
        let now = self.clock.now();
        for entry in over {
            log(&entry, now);
        }
    }

    /// Updates were dropped.
    pub(super) fn lose_time(&mut self) {
        let (now, zero) = (self.clock.now(), self.clock.zero_unix_ms());
        let over = self.timeline.borrow_mut().lose(now, zero);
        tracing::warn!(
            "more happened at once than could be taken in: the timeline has a gap here, in which {} entries end",
            over.len()
        );
    }
}

/// One line for what is complete. What was overtaken before anything was run for it has had its line.
fn log(entry: &Entry, now: Time) {
    let complete = match entry.state {
        State::Settled(_) | State::Overtaken { .. } => true,
        State::Open | State::Superseded | State::Over | State::Gap => false,
    };
    if !complete {
        return;
    }
    let message_id = match entry.kind {
        Kind::Transition { .. } => Some(MessageId::Complete.number()),
        Kind::Jobs { .. } | Kind::Unbelieved { .. } => None,
    };
    let text = entry.sentence(now);
    let transition = entry.id();
    tracing::info!(
        message_id,
        instance = entry.instance.as_str(),
        role = entry.role.as_str(),
        epoch = entry.epoch,
        transition = transition.as_deref(),
        took_us = micros(entry.took(now)),
        first_instruction_us = entry.to_first_instruction().map(micros),
        stages_us = entry.stages_us(),
        "{text}"
    );
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

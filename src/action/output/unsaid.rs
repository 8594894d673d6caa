//! The last words of files that have gone, while the log has no room for them. Disk thread only.
//!
//! A log that nobody reads may have none for ever, so they wait for a minute, and so many of them: what waits holds
//! neither a file nor a descriptor, and what has waited for too long is dropped and counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::OutputName;
use super::lines::Budget;
use super::room::Room;

/// How many wait. One more, and the one that has waited longest is dropped.
const UNSAID_MAX: usize = 64;

/// How long they wait.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often the log is asked for room: it has no way to tell.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The last words that wait, the oldest first.
#[derive(Default)]
pub(super) struct Unsaid {
    waiting: VecDeque<Waiting>,
    dropped: u64,
}

struct Waiting {
    name: OutputName,
    budget: Budget,
    until: Instant,
}

impl Unsaid {
    /// Keeps what was left out of a file that has gone.
    pub(super) fn keep(&mut self, name: OutputName, budget: Budget, now: Instant) {
        if self.waiting.len() >= UNSAID_MAX {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(Waiting {
            name,
            budget,
            until: now + PATIENCE,
        });
    }

    /// Says what there is room for, and drops what has waited for too long.
    pub(super) fn say(
        &mut self,
        room: &Room,
        now: Instant,
        tell: &mut dyn FnMut(&OutputName, &str),
    ) {
        while room.has_room_for_last_words()
            && let Some(mut first) = self.waiting.pop_front()
        {
            first.budget.say_last(&mut |text| tell(&first.name, text));
        }
        while self.waiting.front().is_some_and(|first| first.until <= now) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// When to ask again.
    pub(super) fn again_at(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| now + AGAIN_AFTER)
    }

    /// How many were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::lines::LAST_WORDS;
    use super::*;

    fn silent(now: Instant) -> Budget {
        let mut budget = Budget::new(now);
        budget.leave_out(b"the last\n", now);
        budget
    }

    #[test]
    fn they_wait_for_room_in_their_order_so_many_and_so_long() {
        let now = super::super::super::now();
        let free = Arc::new(AtomicUsize::new(0));
        let log = free.clone();
        let room = Room::new(Box::new(move || log.load(Ordering::Relaxed)));
        let mut unsaid = Unsaid::default();
        let said = Rc::new(Cell::new(0));
        let say = |unsaid: &mut Unsaid, at: Instant| {
            unsaid.say(&room, at, &mut |_, text| {
                assert_eq!(text, "the last");
                said.set(said.get() + 1);
            });
            said.get()
        };
        let name = OutputName::parse("web.start.00000001-1").unwrap();
        assert_eq!(unsaid.again_at(now), None);
        for _ in 0..UNSAID_MAX + 3 {
            unsaid.keep(name.clone(), silent(now), now);
        }
        assert_eq!((say(&mut unsaid, now), unsaid.dropped()), (0, 3));
        assert_eq!(unsaid.again_at(now), Some(now + AGAIN_AFTER));
        free.store(LAST_WORDS, Ordering::Relaxed);
        assert_eq!(say(&mut unsaid, now), UNSAID_MAX);
        assert_eq!(unsaid.again_at(now), None);
        free.store(0, Ordering::Relaxed);
        unsaid.keep(name, silent(now), now);
        say(&mut unsaid, now + AGAIN_AFTER);
        assert_eq!(unsaid.dropped(), 3);
        say(&mut unsaid, now + PATIENCE);
        assert_eq!((unsaid.dropped(), unsaid.again_at(now)), (4, None));
    }
}

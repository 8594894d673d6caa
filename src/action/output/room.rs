//! How much of what jobs print the log takes now, and who gets how much of it. Disk thread only.
//!
//! What does not fit into the log's queue falls there without regard to what it is, and of several scripts that burst
//! at once it would be their ends that fall. So the files that have something to tell share the room, and what a
//! file has no room for is left out here, where its last lines are kept until there is.

use super::lines::LAST_WORDS;

/// Room that is left for last words alone.
pub(super) const RESERVE: usize = 16 * LAST_WORDS;

/// Says how many more lines the log would take.
pub type LogRoom = Box<dyn Fn() -> usize + Send>;

/// The room, and among how many it is shared.
pub(super) struct Room {
    log: LogRoom,
    /// Files that are still to be visited in this round.
    sharers: usize,
}

impl Room {
    pub(super) fn new(log: LogRoom) -> Self {
        Self { log, sharers: 0 }
    }

    /// A round begins in which so many files are visited.
    pub(super) fn share_among(&mut self, files: usize) {
        self.sharers = files;
    }

    /// What the next of them may tell. What it leaves is for those after it.
    pub(super) fn share(&mut self) -> usize {
        let share = (self.log)().saturating_sub(RESERVE) / self.sharers.max(1);
        self.sharers = self.sharers.saturating_sub(1);
        share
    }

    /// Whether what was left out of a file can be said.
    pub(super) fn has_room_for_last_words(&self) -> bool {
        (self.log)() >= LAST_WORDS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_room_is_shared_and_some_is_left_for_last_words() {
        let free = Arc::new(AtomicUsize::new(RESERVE + 300));
        let log = free.clone();
        let mut room = Room::new(Box::new(move || log.load(Ordering::Relaxed)));
        room.share_among(3);
        assert_eq!(room.share(), 100);
        // The first has told but ten, so the others have more.
        free.fetch_sub(10, Ordering::Relaxed);
        assert_eq!(room.share(), 145);
        free.store(LAST_WORDS, Ordering::Relaxed);
        assert_eq!(room.share(), 0);
        assert!(room.has_room_for_last_words());
        free.store(LAST_WORDS - 1, Ordering::Relaxed);
        assert!(!room.has_room_for_last_words());
    }
}

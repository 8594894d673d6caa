//! How often the executor goes through `/proc` in search of process groups that have nothing but zombies left. Called
//! on the reactor's thread; reads nothing itself.
//!
//! A pass reads a small file of each process of the system; and while a group is waited for, so is its job. So the
//! first passes come soon after one another and the later ones more and more seldom, and a pass that took long is
//! followed by a pause that is long against it.

use std::time::{Duration, Instant};

/// The pause after the first pass, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pause is at least so many times as long as the pass took.
const REST_FOR_WORK: u32 = 20;

/// The passes so far.
#[derive(Debug, Default)]
pub(super) struct ZombiePasses {
    last: Option<Instant>,
    pause: Duration,
}

impl ZombiePasses {
    /// Whether the next may be made.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.saturating_duration_since(last) >= self.pause)
    }

    /// One more group is to become empty: for this one it is early.
    pub(super) fn hurry(&mut self) {
        self.pause = self.pause.min(PAUSE_FIRST);
    }

    /// A pass was made.
    pub(super) fn made(&mut self, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began);
        let grown = (self.pause * 2).max(PAUSE_FIRST);
        self.pause = grown.max(took * REST_FOR_WORK).min(PAUSE_MAX);
        self.last = Some(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::now;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When passes are made, in milliseconds, if each takes so long and all wish is for the next.
    fn passes(took: Duration, until: Duration) -> Vec<u128> {
        let begin = now();
        let mut passes = ZombiePasses::default();
        passes.hurry();
        let mut made = Vec::new();
        let mut at = begin;
        while at < begin + until {
            if passes.is_due(at) {
                made.push((at - begin).as_millis());
                passes.made(at, at + took);
            }
            at += ms(1);
        }
        made
    }

    #[test]
    fn they_come_soon_and_then_seldom() {
        let made = passes(Duration::ZERO, ms(3_000));
        assert_eq!(made, [0, 100, 300, 700, 1_500, 2_500]);
    }

    #[test]
    fn long_ones_rest_long() {
        assert_eq!(passes(ms(20), ms(2_000)), [0, 420, 1_240]);
    }

    #[test]
    fn a_new_group_is_looked_at_soon() {
        let begin = now();
        let mut passes = ZombiePasses::default();
        for _ in 0..10 {
            passes.made(begin, begin);
        }
        assert!(!passes.is_due(begin + ms(999)));
        passes.hurry();
        assert!(!passes.is_due(begin + ms(99)) && passes.is_due(begin + ms(100)));
    }
}

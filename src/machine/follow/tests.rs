//! Tests of following the kernel: when a dump is asked for, used, thrown away, and no longer waited for.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Arrived, Follow, RECORD_MAX};
use crate::machine::kernel::KernelEvent;
use crate::machine::message::Output;
use crate::machine::shared::Shared;
use crate::machine::time::Time;
use crate::machine::timers::{FollowTimer, TimerKey};

const POLL_MS: u64 = 2_000;
const AUDIT_MS: u64 = 120_000;

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn event(index: u32) -> KernelEvent {
    KernelEvent::LinkGone(index)
}

/// A dump that is taken as it is, with nothing laid over it.
fn alone() -> Arrived {
    Arrived::Use {
        since: Vec::new(),
        audit: false,
    }
}

/// A follower with its timers and what it has asked for.
struct Case {
    follow: Follow,
    shared: Shared,
}

impl Case {
    fn new(poll_ms: u64) -> Self {
        let poll = Duration::from_millis(poll_ms);
        let mut case = Self {
            follow: Follow::new(poll, Duration::from_millis(AUDIT_MS)),
            shared: Shared::new(NonZeroU32::MIN, 1),
        };
        case.follow.subscribe(&mut case.shared);
        assert_eq!(case.asked(), [Output::Subscribe]);
        case
    }

    /// One that is subscribed and has had its first dump at 0 ms.
    fn synchronized() -> Self {
        let mut case = Self::new(POLL_MS);
        case.follow.subscribed(&mut case.shared);
        assert_eq!(case.asked(), [Output::Dump]);
        assert!(matches!(case.dumped(0), Arrived::Use { audit: false, .. }));
        case
    }

    fn asked(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.shared.outbox.poll()).collect()
    }

    fn dumped(&mut self, ms: u64) -> Arrived {
        self.follow.dumped(at(ms), &mut self.shared)
    }

    fn failed(&mut self, ms: u64) {
        self.follow.dump_failed(at(ms), &mut self.shared);
    }

    fn overrun(&mut self, ms: u64) {
        self.follow.overrun(at(ms), &mut self.shared);
    }

    fn lost(&mut self, ms: u64) {
        let error = "ENOBUFS".into();
        self.follow
            .subscription_lost(error, at(ms), &mut self.shared);
    }

    /// The next timer of the follower: when, which, and whether the table is distrusted by it.
    fn wait(&mut self) -> (Time, FollowTimer, bool) {
        let due = self.shared.timers.next().unwrap();
        match self.shared.timers.pop_due(due).unwrap() {
            TimerKey::Follow(timer) => (due, timer, self.follow.timeout(timer, &mut self.shared)),
            TimerKey::Instance(..) => unreachable!("there are no instances"),
        }
    }
}

#[test]
fn subscribe_then_dump_then_follow() {
    let mut case = Case::synchronized();
    assert!(case.follow.trusted() && case.follow.synchronized());
    assert_eq!(case.asked(), []);
    // Nothing polls: only the audit is waited for.
    assert_eq!(case.wait(), (at(AUDIT_MS), FollowTimer::Audit, false));
    assert_eq!(case.asked(), [Output::Dump]);
    case.follow.record(&[event(1)]);
    let since = vec![event(1)];
    assert_eq!(
        case.dumped(AUDIT_MS + 1),
        Arrived::Use { since, audit: true }
    );
    assert_eq!(case.shared.timers.next(), Some(at(2 * AUDIT_MS + 1)));
    assert_eq!(case.follow.view().events, 1);
}

#[test]
fn a_dump_that_began_before_the_subscription_is_a_poll() {
    let mut case = Case::new(POLL_MS);
    case.lost(0);
    assert_eq!(case.asked(), [Output::Dump]);
    case.follow.subscribed(&mut case.shared);
    assert_eq!(case.asked(), []);
    case.follow.record(&[event(1)]);
    assert_eq!(case.dumped(5), alone());
    assert_eq!(case.asked(), [Output::Dump]);
    assert!(case.follow.trusted() && !case.follow.synchronized());
    assert!(matches!(case.dumped(6), Arrived::Use { audit: false, .. }));
    assert!(case.follow.synchronized());
}

#[test]
fn an_overrun_wants_a_dump_that_begins_after_it() {
    let mut case = Case::synchronized();
    case.overrun(10);
    assert_eq!(case.asked(), [Output::Dump]);
    assert!(case.follow.trusted() && !case.follow.synchronized());
    // Another during the dump: it has to be made anew, but only one is under way.
    case.follow.record(&[event(1)]);
    case.overrun(20);
    case.overrun(21);
    assert_eq!(case.asked(), []);
    // It is newer than what was known before, but does not bring the table up to date.
    assert_eq!(case.dumped(30), alone());
    assert!(!case.follow.synchronized());
    assert_eq!(case.asked(), [Output::Dump]);
    assert_eq!(case.dumped(40), alone());
    assert!(case.follow.synchronized());
    assert_eq!(case.follow.overruns(), 3);
}

#[test]
fn an_audit_that_an_overrun_overtakes_may_be_older_than_the_table() {
    let mut case = Case::synchronized();
    case.follow.dump_now(&mut case.shared);
    // The table has this; the dump perhaps not.
    case.follow.record(&[event(1)]);
    case.overrun(10);
    case.asked();
    assert_eq!(case.dumped(11), Arrived::Discard);
    assert_eq!(case.asked(), [Output::Dump]);
    assert!(matches!(case.dumped(12), Arrived::Use { .. }));
}

#[test]
fn what_was_told_before_the_subscription_was_lost_is_not_laid_over_a_later_dump() {
    let mut case = Case::synchronized();
    case.overrun(10);
    case.follow.record(&[event(1)]);
    case.lost(20);
    assert_eq!(case.dumped(30), alone());
    assert!(!case.follow.synchronized());
}

#[test]
fn a_storm_that_overtakes_every_dump_does_not_cost_the_trust() {
    let mut case = Case::synchronized();
    case.overrun(5);
    for ms in (10..60_000).step_by(20) {
        case.overrun(ms);
        assert_eq!(case.asked(), [Output::Dump], "{ms}");
        assert_eq!(case.dumped(ms + 10), alone());
        assert!(case.shared.timers.next().unwrap() > at(ms + 10), "{ms}");
    }
    // The dumps cease to come: from the last one on patience is as long as ever.
    case.overrun(60_000);
    let distrusted = loop {
        let (now, _, distrusted) = case.wait();
        if distrusted {
            break now;
        }
    };
    assert_eq!(distrusted, at(60_000 + 6_000));
}

#[test]
fn a_dump_that_nobody_asked_for_is_thrown_away() {
    let mut case = Case::synchronized();
    assert_eq!(case.dumped(10), Arrived::Discard);
    assert_eq!(case.asked(), []);
}

#[test]
fn more_notifications_than_can_be_kept_make_the_dump_anew() {
    let mut case = Case::synchronized();
    case.follow.dump_now(&mut case.shared);
    case.follow.record(&vec![event(1); RECORD_MAX]);
    case.follow.record(&[event(2)]);
    case.asked();
    assert_eq!(case.dumped(10), Arrived::Discard);
    assert_eq!(case.asked(), [Output::Dump]);
}

#[test]
fn while_the_subscription_is_gone_addresses_are_polled() {
    let mut case = Case::synchronized();
    case.lost(1_000);
    assert_eq!(case.asked(), [Output::Dump]);
    assert!(matches!(
        case.dumped(1_001),
        Arrived::Use { audit: false, .. }
    ));
    assert!(case.follow.trusted() && !case.follow.synchronized());
    assert_eq!(case.wait(), (at(1_100), FollowTimer::Subscribe, false));
    assert_eq!(case.asked(), [Output::Subscribe]);
    case.lost(1_100);
    assert_eq!(case.asked(), []);
    assert_eq!(case.wait(), (at(1_300), FollowTimer::Subscribe, false));
    case.asked();
    assert_eq!(case.wait(), (at(1_001 + POLL_MS), FollowTimer::Dump, false));
    assert_eq!(case.asked(), [Output::Dump]);
    case.dumped(3_002);
    assert!(case.follow.trusted());
    case.follow.subscribed(&mut case.shared);
    assert_eq!(case.asked(), [Output::Dump]);
    case.dumped(3_100);
    assert_eq!(case.shared.timers.next(), Some(at(3_100 + AUDIT_MS)));
}

#[test]
fn without_an_answer_the_table_is_distrusted_after_three_polls() {
    for (poll_ms, patience_ms) in [(500, 5_000), (2_000, 6_000), (10_000, 30_000)] {
        let mut case = Case::new(poll_ms);
        case.follow.subscribed(&mut case.shared);
        case.dumped(0);
        case.overrun(1_000);
        case.failed(1_001);
        let distrusted = loop {
            let (now, timer, distrusted) = case.wait();
            if distrusted {
                break now;
            }
            assert_eq!(timer, FollowTimer::Dump);
            let ms = u64::try_from(now.since_start().as_millis()).unwrap();
            case.failed(ms);
        };
        assert_eq!(distrusted, at(1_000 + patience_ms));
        assert!(!case.follow.trusted());
        // It goes on trying, and one answer is enough.
        case.asked();
        assert_eq!(case.wait().1, FollowTimer::Dump);
        assert_eq!(case.asked(), [Output::Dump]);
        case.dumped(60_000);
        assert!(case.follow.trusted());
    }
}

#[test]
fn failed_dumps_are_tried_again_ever_more_slowly() {
    let mut case = Case::synchronized();
    case.follow.dump_now(&mut case.shared);
    let mut waits = Vec::new();
    let mut now = 1_000;
    for _ in 0..7 {
        case.failed(now);
        let (due, timer, _) = case.wait();
        assert_eq!(timer, FollowTimer::Dump);
        waits.push(due.since(at(now)).as_millis());
        now = u64::try_from(due.since_start().as_millis()).unwrap();
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
    assert_eq!(case.follow.dump_failures(), 7);
    assert_eq!(case.follow.view().dumps_failed, 7);
}

#[test]
fn a_stale_dump_that_fails_is_made_anew_at_once_and_then_with_a_wait() {
    let mut case = Case::synchronized();
    case.overrun(0);
    case.overrun(1);
    case.asked();
    case.failed(2);
    assert_eq!(case.asked(), [Output::Dump]);
    case.overrun(3);
    case.failed(4);
    assert_eq!(case.asked(), []);
    assert_eq!(case.wait(), (at(204), FollowTimer::Dump, false));
    assert_eq!(case.asked(), [Output::Dump]);
}

#[test]
fn what_is_waited_for_follows_a_new_configuration() {
    let [second, minute, hour] = [1, 60, 3_600].map(Duration::from_secs);
    let mut case = Case::synchronized();
    case.follow
        .configure(minute, second, at(400), &mut case.shared);
    assert_eq!(case.wait(), (at(1_000), FollowTimer::Audit, false));

    // What is overdue by the new period is due now; one that has grown is not due before it.
    let mut case = Case::synchronized();
    case.follow
        .configure(minute, second, at(5_000), &mut case.shared);
    assert_eq!(case.shared.timers.next(), Some(at(5_000)));
    let mut case = Case::synchronized();
    case.follow
        .configure(minute, hour, at(5_000), &mut case.shared);
    assert_eq!(case.shared.timers.next(), Some(at(3_600_000)));

    // While polling: the next poll soon, and the patience from when it began.
    let mut case = Case::new(60_000);
    case.lost(0);
    case.dumped(1_000);
    case.wait();
    case.follow
        .configure(second, hour, at(2_000), &mut case.shared);
    assert_eq!(case.wait(), (at(3_000), FollowTimer::Dump, false));
    assert_eq!(case.wait(), (at(6_000), FollowTimer::Distrust, true));
}

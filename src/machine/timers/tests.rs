//! Tests of the timers.

use std::time::Duration;

use super::{FollowTimer, InstanceTimer, TimerKey, TimerTable};
use crate::machine::job::InstanceId;
use crate::machine::time::Time;

const DUMP: TimerKey = TimerKey::Follow(FollowTimer::Dump);

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn key(instance: u32, timer: InstanceTimer) -> TimerKey {
    TimerKey::Instance(InstanceId(instance), timer)
}

#[test]
fn deadlines_come_in_the_order_of_time_and_once() {
    let mut timers = TimerTable::default();
    let (job, retry) = (key(1, InstanceTimer::Job), key(1, InstanceTimer::Retry));
    timers.set(job, Some(at(30)));
    timers.set(DUMP, Some(at(10)));
    timers.set(retry, Some(at(20)));
    assert_eq!(timers.next(), Some(at(10)));
    assert_eq!(timers.pop_due(at(9)), None);
    assert_eq!(timers.pop_due(at(25)), Some(DUMP));
    assert_eq!(timers.pop_due(at(25)), Some(retry));
    assert_eq!(timers.pop_due(at(25)), None);
    assert_eq!(timers.pop_due(at(30)), Some(job));
    assert_eq!(timers.next(), None);
}

#[test]
fn a_key_has_one_deadline() {
    let mut timers = TimerTable::default();
    timers.set(DUMP, Some(at(10)));
    timers.set(DUMP, Some(at(40)));
    assert_eq!(timers.next(), Some(at(40)));
    timers.set(DUMP, Some(at(40)));
    assert_eq!(timers.pop_due(at(40)), Some(DUMP));
    assert_eq!(timers.pop_due(at(40)), None);
    timers.set(DUMP, Some(at(50)));
    timers.set(DUMP, None);
    timers.set(DUMP, None);
    assert_eq!(timers.next(), None);
}

#[test]
fn an_instance_takes_all_its_deadlines_with_it() {
    let mut timers = TimerTable::default();
    let all = [
        InstanceTimer::Role,
        InstanceTimer::Job,
        InstanceTimer::Place,
        InstanceTimer::Retry,
        InstanceTimer::UnknownStop,
        InstanceTimer::Audit,
        InstanceTimer::Report,
    ];
    for timer in all {
        for instance in 0..3 {
            timers.set(key(instance, timer), Some(at(u64::from(instance))));
        }
    }
    timers.set(DUMP, Some(at(9)));
    timers.clear_instance(InstanceId(1));
    let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(100))).collect();
    let of_others = [0, 2]
        .into_iter()
        .flat_map(|one| all.map(|timer| key(one, timer)));
    assert_eq!(due, of_others.chain([DUMP]).collect::<Vec<_>>());
}

//! Tests of `action/spawner`.

use super::super::testing::job;
use super::*;
use crate::machine::settings::Command;

fn waiting(state: &mut State, number: u64, action: Action) {
    let job = job(number, action, Command::Shell("true".into()));
    state.queue(action).push_back(Box::new(job));
}

#[test]
fn stops_before_starts_before_checks_and_each_in_order() {
    let mut state = State::default();
    let actions = [
        Action::IsRunning,
        Action::Start,
        Action::Stop,
        Action::IsRunning,
        Action::Start,
        Action::Stop,
    ];
    for (number, action) in (1..).zip(actions) {
        waiting(&mut state, number, action);
    }
    assert_eq!(state.waiting(), 6);
    let order: Vec<u64> = std::iter::from_fn(|| state.take())
        .map(|job| job.id.number)
        .collect();
    assert_eq!(order, [3, 6, 2, 5, 1, 4]);
}

fn spawning(state: &mut State, thread: u32, action: Action, since: Instant) {
    let job = job(u64::from(thread), action, Command::Shell("true".into()));
    let spawn = Spawn {
        since,
        ..Spawn::of(&job)
    };
    state.threads.insert(thread, Doing::Spawns(spawn));
}

#[test]
fn a_spawn_is_called_hung_once_and_after_its_time() {
    let began = now();
    let mut state = State::default();
    spawning(&mut state, 1, Action::Stop, began);
    let mut found = 0;
    let mut find = |state: &mut State, pace, now| {
        let next = state.find_slow(pace, HUNG_AFTER, now, |_| found += 1);
        (next, found, state.sound(now), state.spawns_hung)
    };
    let due = began + HUNG_AFTER;
    assert_eq!(find(&mut state, Pace::Hung, began), (Some(due), 0, 1, 0));
    assert_eq!(find(&mut state, Pace::Hung, due), (None, 1, 0, 1));
    assert_eq!(find(&mut state, Pace::Hung, due), (None, 1, 0, 1));
    // It is told of once more, and counted no more.
    assert_eq!(find(&mut state, Pace::Told, due), (None, 2, 0, 1));
    assert_eq!(find(&mut state, Pace::Hung, due), (None, 2, 0, 1));
}

#[test]
fn a_thread_that_waits_for_a_disk_is_neither_idle_nor_sound_for_long() {
    let since = now();
    let mut state = State::default();
    state.threads.insert(1, Doing::Prepares { since });
    let due = since + HUNG_AFTER;
    assert_eq!((state.idle(), state.sound(since)), (0, 1));
    assert_eq!(state.prepared_by(since), Some(due));
    assert_eq!((state.sound(due), state.prepared_by(due)), (0, None));
}

#[test]
fn the_last_threads_are_for_stops() {
    let mut state = State::default();
    for thread in 1..=u32::try_from(OTHERS_MAX).unwrap() {
        assert!(state.has_place_for_others());
        let action = [Action::Start, Action::IsRunning][usize::from(thread % 2 == 0)];
        spawning(&mut state, thread, action, now());
    }
    waiting(&mut state, 100, Action::Start);
    waiting(&mut state, 101, Action::IsRunning);
    assert!(!state.has_work() && state.take().is_none());
    waiting(&mut state, 102, Action::Stop);
    assert!(state.has_work());
    assert_eq!(state.take().unwrap().id.number, 102);
    assert!(state.take().is_none());
    state.threads.insert(1, Doing::Idle);
    assert_eq!(state.take().unwrap().id.number, 100);
}

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

#[test]
fn a_spawn_is_called_hung_once_and_after_its_time() {
    let began = now();
    let mut state = State::default();
    let doing = Doing::Spawns {
        job: job(1, Action::Stop, Command::Shell("true".into())).id,
        since: began,
        hung: false,
    };
    state.threads.insert(1, doing);
    assert_eq!(state.find_hung(began), Some(began + HUNG_AFTER));
    assert_eq!((state.sound(), state.spawns_hung), (1, 0));
    for _ in 0..2 {
        assert_eq!(state.find_hung(began + HUNG_AFTER), None);
        assert_eq!((state.sound(), state.spawns_hung), (0, 1));
    }
}

//! Tests of hints that units have changed, and of services that are neither up nor down.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::machine::job::Outcome;
use crate::machine::reason::Reason;
use crate::machine::unit::UnitName;

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

/// An instance of two units.
fn of_units(index: u8) -> InstanceSettings {
    let all = || {
        Arc::new(ActionSettings {
            run: Command::Units(vec![unit("a"), unit("b")]),
            ..(*action("")).clone()
        })
    };
    InstanceSettings {
        start: all(),
        stop: all(),
        is_running: Some(all()),
        ..instance(index, true)
    }
}

fn hint(machine: &mut Machine, now: Time) -> Vec<Output> {
    give(machine, Input::UnitsChanged([unit("b")].into()), now)
}

fn ended(machine: &mut Machine, started: &[Output], exit: Exit, now: Time) -> Vec<Output> {
    let job = jobs(started)[0].id;
    give(machine, Input::Ended { job, exit }, now)
}

fn down() -> Exit {
    Exit::NotRunning("a and b are inactive".into())
}

fn partly() -> Exit {
    Exit::PartlyRunning("b is failed".into())
}

/// A MASTER whose units run.
fn running() -> Machine {
    let (mut machine, asked) = machine(&settings(4, [of_units(1)]), &RestoredMap::new(), &[1]);
    assert_eq!(actions(&asked), [Action::IsRunning]);
    assert_eq!(
        actions(&ended(&mut machine, &asked, Exit::Code(0), at(2))),
        []
    );
    machine
}

fn view(machine: &Machine) -> (Knowledge, Next) {
    let view = machine.view(InstanceId(0), at(0)).unwrap();
    (view.knowledge, view.next)
}

#[test]
fn the_units_of_the_file_are_watched_and_without_any_nothing_is_said() {
    let watched = |outputs: &[Output]| {
        let mut found = Vec::new();
        for output in outputs {
            if let Output::WatchUnits(units) = output {
                found.push(units.clone());
            }
        }
        found
    };
    let mut machine = Machine::new(
        &settings(4, [instance(0, true)]),
        &RestoredMap::new(),
        7,
        at(0),
    );
    assert_eq!(watched(&outputs(&mut machine)), []);
    let both = BTreeSet::from([unit("a"), unit("b")]);
    let two = Input::Reload(settings(4, [instance(0, true), of_units(1)]));
    assert_eq!(watched(&give(&mut machine, two.clone(), at(1))), [both]);
    assert_eq!(watched(&give(&mut machine, two, at(2))), []);
    let none = Input::Reload(settings(4, [instance(0, true), instance(1, true)]));
    assert_eq!(watched(&give(&mut machine, none, at(3))), [BTreeSet::new()]);
}

#[test]
fn a_unit_that_dies_on_the_master_is_started_at_once_and_again_after_a_wait() {
    let mut machine = running();
    let asked = hint(&mut machine, at(1_000));
    assert_eq!(jobs(&asked)[0].reason, Reason::UnitChanged);
    let started = ended(&mut machine, &asked, partly(), at(1_001));
    let start = jobs(&started)[0];
    assert_eq!(
        (start.action, start.reason),
        (Action::Start, Reason::FoundStopped)
    );
    // What the start itself changes is no news.
    assert_eq!(actions(&hint(&mut machine, at(1_002))), []);
    let asked = ended(&mut machine, &started, Exit::Code(0), at(1_003));
    assert_eq!(jobs(&asked)[0].reason, Reason::Verify);
    assert_eq!(
        actions(&ended(&mut machine, &asked, Exit::Code(0), at(1_004))),
        []
    );

    let asked = hint(&mut machine, at(2_000));
    assert_eq!(actions(&ended(&mut machine, &asked, down(), at(2_001))), []);
    let (knowledge, next) = view(&machine);
    assert_eq!(knowledge, Knowledge::Stopped);
    assert!(matches!(next, Next::RetryAt { at: again, failures: 1, .. } if again == at(3_001)));
    assert_eq!(actions(&hint(&mut machine, at(2_500))), []);
    let asked = wait(&mut machine, at(3_001));
    let started = ended(&mut machine, &asked, down(), at(3_002));
    assert_eq!(actions(&started), [Action::Start]);

    // Much later it is forgiven.
    let asked = ended(&mut machine, &started, Exit::Code(0), at(3_003));
    ended(&mut machine, &asked, Exit::Code(0), at(3_004));
    let later = at(3_000) + Duration::from_secs(601);
    // The audits of the time between.
    while machine.next_deadline().is_some_and(|due| due < later) {
        let due = machine.next_deadline().unwrap();
        let done = wait(&mut machine, due);
        if !jobs(&done).is_empty() {
            ended(&mut machine, &done, Exit::Code(0), due);
        }
        if done.contains(&Output::Dump) {
            give(&mut machine, dump(&[1]), due);
        }
    }
    let asked = hint(&mut machine, later);
    assert_eq!(
        actions(&ended(&mut machine, &asked, down(), later)),
        [Action::Start]
    );
}

#[test]
fn a_change_during_a_question_is_asked_about_again_unless_it_is_acted_on() {
    let mut machine = running();
    let asked = hint(&mut machine, at(10));
    // The answer may be older than this.
    assert_eq!(actions(&hint(&mut machine, at(11))), []);
    assert_eq!(actions(&hint(&mut machine, at(12))), []);
    let again = ended(&mut machine, &asked, Exit::Code(0), at(13));
    assert_eq!(jobs(&again)[0].reason, Reason::UnitChanged);
    assert_eq!(actions(&hint(&mut machine, at(14))), []);
    let started = ended(&mut machine, &again, down(), at(15));
    assert_eq!(actions(&started), [Action::Start]);
    let verified = ended(&mut machine, &started, Exit::Code(0), at(16));
    assert_eq!(actions(&verified), [Action::IsRunning]);
    assert_eq!(
        actions(&ended(&mut machine, &verified, Exit::Code(0), at(17))),
        []
    );
}

#[test]
fn what_is_partly_running_is_stopped_on_the_backup() {
    let mut machine = running();
    let stopped = give(&mut machine, gone(1), at(1_000));
    assert_eq!(actions(&stopped), [Action::Stop]);
    let asked = ended(&mut machine, &stopped, Exit::Code(0), at(1_001));
    assert_eq!(
        actions(&ended(&mut machine, &asked, partly(), at(1_002))),
        []
    );
    let (knowledge, next) = view(&machine);
    assert_eq!(knowledge, Knowledge::Partly);
    assert!(
        matches!(next, Next::RetryAt { outcome: None, .. }),
        "{next}"
    );
    let asked = wait(&mut machine, at(2_002));
    let stopped = ended(&mut machine, &asked, partly(), at(2_003));
    assert_eq!(actions(&stopped), [Action::Stop]);
    let asked = ended(&mut machine, &stopped, Exit::Code(0), at(2_004));
    assert_eq!(actions(&ended(&mut machine, &asked, down(), at(2_005))), []);

    // And what somebody starts there.
    let asked = hint(&mut machine, at(9_000));
    let stopped = ended(&mut machine, &asked, Exit::Code(0), at(9_001));
    assert_eq!(actions(&stopped), []);
    let (_, next) = view(&machine);
    assert!(matches!(next, Next::RetryAt { failures: 2, .. }), "{next}");
}

#[test]
fn a_start_that_systemd_refuses_is_verified_and_retried_with_its_reason() {
    let (mut machine, asked) = machine(&settings(4, [of_units(1)]), &RestoredMap::new(), &[1]);
    let started = ended(&mut machine, &asked, down(), at(2));
    let failed = Exit::UnitFailed("a.service: its start failed".into());
    let asked = ended(&mut machine, &started, failed, at(3));
    assert_eq!(actions(&asked), [Action::IsRunning]);
    assert_eq!(actions(&ended(&mut machine, &asked, down(), at(4))), []);
    let (_, next) = view(&machine);
    let Next::RetryAt { outcome, .. } = &next else {
        panic!("{next}");
    };
    let error = "a.service: its start failed".to_owned();
    assert_eq!(*outcome, Some(Outcome::UnitFailed { error }));
    assert!(next.to_string().contains("a.service: its start failed"));
}

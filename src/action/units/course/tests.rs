//! Tests of the pure part of `action/units/course`; the rest is tried on a booted machine (tests/packaging).

use super::{answer, id_of};
use crate::machine::job::Exit;
use crate::machine::unit::UnitName;

fn told(states: &[&str]) -> Exit {
    let names = ["a", "b", "c"];
    let units: Vec<_> = names[..states.len()]
        .iter()
        .map(|name| UnitName::new(name).unwrap())
        .collect();
    let states: Vec<_> = states.iter().map(ToString::to_string).collect();
    answer(&units, &states)
}

#[test]
fn all_up_is_running_and_all_down_is_not() {
    for up in [
        ["active", "active"],
        ["reloading", "active"],
        ["refreshing", "reloading"],
    ] {
        assert_eq!(told(&up), Exit::Code(0));
    }
    assert_eq!(
        told(&["inactive", "failed"]),
        Exit::NotRunning("a.service is inactive, b.service is failed".into())
    );
}

#[test]
fn what_is_between_is_neither() {
    for between in [
        "activating",
        "deactivating",
        "maintenance",
        "a state of the future",
    ] {
        for other in ["active", "inactive"] {
            let words = format!("a.service is {between}, b.service is {other}");
            assert_eq!(told(&[between, other]), Exit::PartlyRunning(words));
        }
        assert!(matches!(told(&[between]), Exit::PartlyRunning(_)));
    }
    assert!(matches!(
        told(&["active", "inactive"]),
        Exit::PartlyRunning(_)
    ));
}

#[test]
fn a_job_is_named_by_its_number() {
    let path = "/org/freedesktop/systemd1/job/4711".try_into().unwrap();
    assert_eq!(id_of(&path), Some(4711));
}

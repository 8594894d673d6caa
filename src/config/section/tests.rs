//! Tests of `config/section`.

use super::{did_you_mean, distance};

#[test]
fn a_distance_counts_typing_errors() {
    let table = [
        ("vip", "vip", 0),
        ("vpi", "vip", 1),
        ("VIP", "vip", 0),
        ("strat", "start", 1),
        ("is_running", "is-running", 1),
        ("isrunning", "is-running", 1),
        ("", "nic", 3),
        ("stopp", "stop", 1),
        ("pid-file", "pidfile", 1),
    ];
    for (typed, meant, errors) in table {
        assert_eq!(distance(typed, meant), errors, "{typed} {meant}");
    }
}

#[test]
fn only_near_words_are_guessed() {
    let known = ["nic", "vip"];
    assert_eq!(
        did_you_mean("vpi", &known).as_deref(),
        Some("; did you mean \"vip\"?")
    );
    for far in ["address", "", &"x".repeat(100_000)] {
        assert_eq!(did_you_mean(far, &known), None);
    }
}

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
fn far_words_get_the_whole_choice() {
    assert_eq!(
        did_you_mean("vpi", &["nic", "vip"]),
        "; did you mean \"vip\"?"
    );
    assert_eq!(
        did_you_mean("address", &["nic", "vip"]),
        ", expected one of nic, vip"
    );
    let long = "x".repeat(100_000);
    assert_eq!(
        did_you_mean(&long, &["nic", "vip"]),
        ", expected one of nic, vip"
    );
}

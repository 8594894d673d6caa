//! Tests of `config/value`.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::{Node, Value, address, boolean, duration, write_duration};

fn text(text: &str) -> Node<'_> {
    Node {
        at: 0,
        value: Value::Text(text.into()),
    }
}

#[test]
fn times_are_read_as_they_are_meant() {
    let table = [
        ("2", Duration::from_secs(2)),
        ("0", Duration::ZERO),
        (" 1.5 ", Duration::from_millis(1500)),
        (".5", Duration::from_millis(500)),
        ("0.1s", Duration::from_millis(100)),
        ("500ms", Duration::from_millis(500)),
        ("1.5ms", Duration::from_micros(1500)),
        ("0.000000001s", Duration::from_nanos(1)),
        ("1m", Duration::from_mins(1)),
        ("1m30s", Duration::from_secs(90)),
        ("1h0.5s", Duration::from_millis(3_600_500)),
        ("1d2h3m4s5ms", Duration::from_millis(93_784_005)),
        ("3650d", Duration::from_hours(24 * 3650)),
    ];
    for (written, meant) in table {
        assert_eq!(
            duration(&text(written), Duration::ZERO),
            Ok(meant),
            "{written}"
        );
    }
}

#[test]
fn what_is_no_time_is_refused() {
    let table = [
        "",
        " ",
        "s",
        "ms",
        ".",
        "1..2",
        "1s1m",
        "1s1s",
        "1m30",
        "1 s",
        "1x",
        "1M",
        "+1",
        "1_000",
        "010",
        "1e3",
        "1:30",
        "inf",
        "nan",
        "soon",
        "1s,",
        "３s",
        "9999999999999999999",
    ];
    for written in table {
        assert!(
            duration(&text(written), Duration::ZERO).is_err(),
            "{written:?}"
        );
    }
}

#[test]
fn booleans_are_those_of_yaml_1_1() {
    for word in [
        "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE",
    ] {
        assert_eq!(boolean(&text(word)), Ok(true), "{word}");
    }
    for word in [
        "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE",
    ] {
        assert_eq!(boolean(&text(word)), Ok(false), "{word}");
    }
    for word in ["y", "n", "1", "0", "", "enabled"] {
        assert!(boolean(&text(word)).is_err(), "{word}");
    }
}

#[test]
fn an_address_that_is_nearly_one_is_told_what_is_wrong_with_it() {
    let table = [
        (
            "10.8.0.x",
            "whose fourth part (x) is not a number from 0 to 255;",
        ),
        (
            "10.x.0.1",
            "whose second part (x) is not a number from 0 to 255;",
        ),
        (
            "300.1.1.1",
            "whose first part (300) is not a number from 0 to 255;",
        ),
        ("10.8.0.", "whose fourth part is empty;"),
        ("10.8.0.01", "whose fourth part (01) begins with a zero"),
        (
            "10.8.0",
            "which has 3 numbers where an IPv4 address has four;",
        ),
        ("10.8.0.1.2", "which has 5 numbers where"),
        ("web.example.org", "a name, and names are not looked up;"),
        ("3com.example.org", "a name, and names are not looked up;"),
    ];
    for (written, words) in table {
        let error = address(&text(written)).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(
            error.starts_with(&format!("found \"{written}\"")),
            "{error}"
        );
    }
}

#[test]
fn addresses_are_compared_as_addresses() {
    let table = [
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:DB8::A", " 2001:db8:0::000a"),
        ("127.0.0.1", "127.0.0.1 "),
        ("fe80::1", "fe80::1"),
    ];
    for (one, other) in table {
        let read: IpAddr = address(&text(one)).unwrap();
        assert_eq!(address(&text(other)), Ok(read));
    }
}

proptest! {
    #[test]
    fn a_written_time_is_read_again(nanoseconds in 0..=315_360_000_000_000_000_u64) {
        let time = Duration::from_nanos(nanoseconds);
        let written = write_duration(time);
        prop_assert_eq!(duration(&text(&written), Duration::ZERO), Ok(time));
    }

    #[test]
    fn any_text_is_a_time_or_refused(written in "[0-9.dhms -]{0,12}|.{0,12}") {
        let read = duration(&text(&written), Duration::ZERO);
        prop_assert!(read.is_err() || read.is_ok_and(|time| time <= super::LONGEST));
    }
}

//! Tests of `telemetry/record`.

use super::*;

#[test]
fn what_is_too_long_is_cut_between_characters() {
    assert_eq!(bounded(4, format_args!("{}", "abcd")), "abcd");
    assert_eq!(bounded(4, format_args!("{}{}", "abc", "äx")), "abc…");
    assert_eq!(bounded(3, format_args!("{}{}", "abc", "d")), "abc…");
    assert_eq!(bounded(0, format_args!("")), "");
}

#[test]
fn nothing_is_kept_of_what_is_cut_off() {
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("all work and no play ")?;
            }
        }
    }
    let text = bounded(MESSAGE_BYTES_MAX, format_args!("{Endless}"));
    assert_eq!(text.len(), MESSAGE_BYTES_MAX + "…".len());
}

#[test]
fn an_error_is_written_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it")]
    struct Outer(#[source] fmt::Error);
    let text = Chain(&Outer(fmt::Error)).to_string();
    assert_eq!(text, format!("cannot read it: {}", fmt::Error));
}

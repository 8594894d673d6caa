//! Tests of `config/logging/format`. What the lines become is compared with Python in `telemetry/python`.

use super::*;

fn odd(text: &str, style: Style) -> Vec<String> {
    Format::parse(text, style).1
}

#[test]
fn what_python_takes_is_not_odd() {
    for (name, _) in FIELDS {
        assert_eq!(odd(&format!("%({name})s"), Style::Percent), [""; 0]);
        assert_eq!(odd(&format!("{{{name}}}"), Style::Brace), [""; 0]);
        assert_eq!(odd(&format!("${name}-${{{name}}}"), Style::Dollar), [""; 0]);
    }
    for text in [
        "%(asctime)-15s\t%(levelname)s\t%(message)s",
        "%(lineno)04d %(msecs)03d %(process)x 100%%",
        "%(name).5s %(created)+.3f",
    ] {
        assert_eq!(odd(text, Style::Percent), [""; 0], "{text}");
    }
}

#[test]
fn what_has_no_meaning_is_told() {
    let told = [
        (
            "%(asctime)s %(user)s",
            "records have no field \"user\"; nothing stands there",
        ),
        (
            "%(message)d",
            "message cannot be written like this; it is written as a text",
        ),
        (
            "%(msecs)x",
            "msecs cannot be written like this; it is written as a whole number",
        ),
        (
            "100% %(message)s",
            "found \"% %(message)\", expected a field such as %(message)s, or %%; it stands for itself",
        ),
        (
            "%(message",
            "found \"%(message\", expected a field such as %(message)s, or %%; it stands for itself",
        ),
        ("%(created)e", "%e is not written here; %f is, for created"),
        ("hello", "it has no field, so that every line is the same"),
    ];
    for (text, message) in told {
        assert_eq!(odd(text, Style::Percent), [message], "{text}");
    }
    assert_eq!(odd("{message", Style::Brace).len(), 1);
    assert_eq!(odd("}{message}", Style::Brace).len(), 1);
    assert_eq!(odd("${message $5", Style::Dollar).len(), 2);
}

#[test]
fn no_width_fills_the_disk() {
    let (format, _) = Format::parse("%(message)99999999999999999999.88888d", Style::Percent);
    let [Piece::Field(_, spec)] = format.pieces.as_slice() else {
        panic!("{format:?}")
    };
    assert_eq!((spec.width, spec.precision), (WIDTH_MAX, Some(WIDTH_MAX)));
}

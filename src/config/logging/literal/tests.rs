//! Tests of `config/logging/literal`.

use proptest::prelude::*;

use super::Literal::{Bool, Float, Integer, List, Mapping, Name, None, Text};
use super::*;

fn text(text: &str) -> Literal {
    Text(text.into())
}

#[test]
fn plain_values_are_read() {
    let cases = [
        ("()", List(vec![])),
        ("(sys.stdout,)", List(vec![Name("sys.stdout".into())])),
        ("sys.stdout,", List(vec![Name("sys.stdout".into())])),
        ("(1)", Integer(1)),
        (
            "('/var/log/a.log', 'a', 10*1024*1024, 0x10, None)",
            List(vec![
                text("/var/log/a.log"),
                text("a"),
                Integer(10 << 20),
                Integer(16),
                None,
            ]),
        ),
        (
            "(('localhost', 514), -1.5, 1_000)",
            List(vec![
                List(vec![text("localhost"), Integer(514)]),
                Float(-1.5),
                Integer(1000),
            ]),
        ),
        (
            "{'delay': True, \"x\": [False]}",
            Mapping(vec![
                ("delay".into(), Bool(true)),
                ("x".into(), List(vec![Bool(false)])),
            ]),
        ),
        (r#"'it\'s\t\x41\u00e4\n' "b" r'\d'"#, text("it's\tAä\nb\\d")),
        ("'',", List(vec![text("")])),
    ];
    for (written, meant) in cases {
        assert_eq!(literal(written), Ok(meant), "{written}");
    }
}

#[test]
fn nothing_is_evaluated() {
    for written in [
        "open('/etc/passwd')",
        "os.path.join('a', 'b')",
        "('a' + 'b',)",
        "__import__('os').system('x')",
        "'a' % 1",
        "x[0]",
        "lambda: 1",
        "(1",
        "'a",
        "'a\\",
        "2**9",
        "",
        "{1: 2}",
        "f'{x}'",
        "1 2",
        "('a' 1)",
    ] {
        assert!(literal(written).is_err(), "{written}");
    }
    assert!(literal(&"(".repeat(100_000)).is_err());
}

proptest! {
    #[test]
    fn any_text_ends(text in "\\PC{0,60}|[()\\[\\]{}'\"\\\\,:*a1. -]{0,60}") {
        let _ = literal(&text);
    }
}

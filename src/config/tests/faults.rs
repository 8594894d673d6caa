//! Every fault a file can have, with the words a person gets to read.

use std::fmt::Write as _;
use std::path::Path;

use super::parse;

/// Asserts that a text is refused with exactly these lines.
fn refused(text: &str, expected: &[&str]) {
    let error = parse(text, Path::new("c.yaml")).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines, expected, "\n{text}");
}

/// Asserts for each case of a table that a file which begins with `start` is refused with the lines behind `=>`.
/// Cases stand between empty lines; what stands in a case is indented to belong to the section `start` opens.
fn table(cases: &str, start: &str) {
    let indent = if start.is_empty() { "" } else { "  " };
    let cases = cases.trim_end().split("\n\n").skip(1);
    for case in cases {
        let (input, expected) = case.split_once("\n=> ").unwrap();
        let input: String = input
            .lines()
            .flat_map(|line| [indent, line, "\n"])
            .collect();
        let expected: Vec<String> = expected
            .split("\n=> ")
            .map(|line| format!("c.yaml:{line}"))
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        refused(&format!("{start}{input}"), &expected);
    }
}

#[test]
fn faults_of_files() {
    table(
        include_str!("../../../tests/config/faults-of-files.txt"),
        "",
    );
}

#[test]
fn faults_of_instances() {
    let start = "keepstart:\n  vip: 10.0.0.1\n  start: a\n  stop: b\n";
    table(
        include_str!("../../../tests/config/faults-of-instances.txt"),
        start,
    );
}

#[test]
fn a_unit_has_one_master() {
    refused(
        "instances:\n  a: {vip: 10.0.0.1, unit: x}\n  b: {vip: 10.0.0.2, unit: [y, x.service]}\n",
        &[
            "c.yaml:3:3: x.service belongs to instance a and to instance b, and on the node that holds the role of \
             one of them both would fight over it; expected one instance, which may follow several addresses (role: \
             {vip: {addresses: […], match: any}})",
        ],
    );
}

#[test]
fn faults_of_roles() {
    let start = "keepstart:\n  start: a\n  stop: b\n";
    table(
        include_str!("../../../tests/config/faults-of-roles.txt"),
        start,
    );
}

#[test]
fn texts_that_are_no_document() {
    let no_document =
        "c.yaml:1:1: a file without a document, expected a mapping with keepstart or instances";
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "~",
        "--- # nothing\n...",
    ] {
        let at = parse(text, Path::new("c.yaml")).unwrap_err().to_string();
        assert_eq!(at, no_document, "{text:?}");
    }
    refused(
        "- a\n",
        &["c.yaml:1:1: the file: found a list, expected a mapping (key: value)"],
    );
    refused(
        "hello",
        &["c.yaml:1:1: the file: found the text \"hello\", expected a mapping (key: value)"],
    );
    refused(
        "{}",
        &[
            "c.yaml:1:1: no instance, expected a section keepstart (one VIP) or instances (name: {vip: …, start: …, stop: …})",
        ],
    );
    refused(
        "application:\nkeepstart:\n",
        &[
            "c.yaml:2:1: no instance, expected a section keepstart (one VIP) or instances (name: {vip: …, start: …, stop: …})",
        ],
    );
    refused(
        "instances: {}\n---\nkeepstart:\n",
        &["c.yaml:3:1: a second document begins here, expected one in a file"],
    );
}

#[test]
fn texts_that_are_no_yaml() {
    let table = [
        (
            "a:\n\tb: c\n",
            "c.yaml:2:1: not valid YAML: found a tab, expected blanks to indent with",
        ),
        (
            "a: b\n c: d\n",
            "c.yaml:2:3: not valid YAML: mapping values are not allowed in this context",
        ),
        (
            "a: [b\n",
            "c.yaml:2:1: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4",
        ),
        (
            "a: [::1]\n",
            "c.yaml:1:5: not valid YAML: an address that begins with \"::\" is written in quotes between brackets",
        ),
        ("a: *x\n", "c.yaml:1:4: not valid YAML: unknown anchor"),
        (
            "a: \u{7}\n",
            "c.yaml:1:4: the character U+0007 is not allowed in YAML; in a text in double quotes it is written as an escape",
        ),
        (
            "ä: é \0\n",
            "c.yaml:1:6: the character U+0000 is not allowed in YAML; in a text in double quotes it is written as an escape",
        ),
        (
            "[a]: b\n",
            "c.yaml:1:1: not valid YAML: invalid type: sequence, expected a key that is a single word or text",
        ),
        (
            "{}\n]\n",
            "c.yaml:2:1: not valid YAML: did not find expected <document start>",
        ),
        (
            "instances: {}\n---\n",
            "c.yaml:3:1: a second document begins here, expected one in a file",
        ),
        (
            "instances: {}\n---\n[",
            "c.yaml:3:1: a second document begins here, expected one in a file",
        ),
    ];
    for (text, expected) in table {
        refused(text, &[expected]);
    }
}

#[test]
fn depth_and_repetition_are_bounded() {
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    refused(&deep, &["c.yaml:1:131: nested deeper than 128 levels"]);
    let brackets = "{a: ".repeat(100_000);
    refused(
        &brackets,
        &["c.yaml:1:40001: more than 10000 brackets are open here, expected each to be closed"],
    );
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        let repeated = vec![below; 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{repeated}]").unwrap();
    }
    refused(&bomb, &["c.yaml:1:1: aliases repeat aliases too often"]);
    let wide = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x, ".repeat(50_000),
        "*a, ".repeat(1000)
    );
    refused(
        &wide,
        &["c.yaml:1:4: more than 1000000 values, counting each one wherever an alias repeats it"],
    );
}

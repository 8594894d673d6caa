//! keepstart.yaml(5) against the parser: every key stands there, its default is the one that is taken, and its
//! example is valid. And keepstart(8) has every command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keepstart::config;

use crate::{pages, read};

/// An entry of the manual.
#[derive(Debug)]
struct Entry {
    section: String,
    key: String,
    /// What stands in brackets behind the key.
    remark: String,
    example: Vec<String>,
}

/// Roff's way to write a minus and a quote, undone.
fn plain(line: &str) -> String {
    line.replace("\\-", "-").replace("\\(aq", "'")
}

fn entries() -> Vec<Entry> {
    let text = read("keepstart.yaml.5");
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = None;
    let mut lines = text.lines().map(plain);
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix(".SH ") {
            section = heading
                .to_lowercase()
                .strip_prefix("keys of ")
                .map(str::to_owned);
        } else if let Some(section) = &section {
            let named = line
                .strip_prefix(".BR ")
                .and_then(|line| line.split_once(" \" ("));
            if line == ".EX" {
                let example = lines.by_ref().take_while(|line| line != ".EE");
                entries.last_mut().expect("an entry").example = example.collect();
            } else if let Some((key, remark)) = named {
                let remark = remark
                    .strip_suffix(")\"")
                    .expect("a remark in brackets")
                    .to_owned();
                let (section, key) = (section.clone(), key.to_owned());
                entries.push(Entry {
                    section,
                    key,
                    remark,
                    example: Vec::new(),
                });
            }
        }
    }
    entries
}

#[test]
fn every_key_of_the_parser_stands_in_the_manual_and_the_reverse() {
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in entries() {
        let (section, key) = (entry.section, entry.key);
        let first = documented
            .entry(section.clone())
            .or_default()
            .insert(key.clone());
        assert!(first, "{key} stands twice in {section}");
    }
    let known = config::known_keys().into_iter().map(|(section, keys)| {
        (
            section.to_owned(),
            keys.into_iter().map(str::to_owned).collect(),
        )
    });
    assert_eq!(documented, known.collect());
}

/// A whole file around a piece of one mapping, in which nothing else is said that need not be.
fn whole(section: &str, key: &str, piece: &[String]) -> String {
    let has = |key: &str| {
        piece
            .iter()
            .any(|line| line.starts_with(&format!("{key}:")))
    };
    // The piece, after those of these lines whose keys it lacks.
    let with = |needed: &[&str]| -> Vec<String> {
        let lacks = |line: &&&str| !has(line.split(':').next().unwrap_or_default());
        let needed = needed.iter().filter(lacks).map(ToString::to_string);
        needed.chain(piece.iter().cloned()).collect()
    };
    let (keys, lines): (&[&str], Vec<String>) = match section {
        "the file" if has("instances") || has("keepstart") => (&[], with(&[])),
        "the file" => (&[], with(&["instances: {}"])),
        "application" => (&["instances: {}", "application:"], with(&[])),
        "an instance" if has("role") => (&["instances:", "  web:"], with(&["start: a", "stop: a"])),
        "an instance" if has("unit") => (&["instances:", "  web:"], with(&["vip: 192.0.2.1"])),
        "an instance" => (
            &["instances:", "  web:"],
            with(&["start: a", "stop: a", "vip: 192.0.2.1"]),
        ),
        "retry" => (
            &[
                "instances:",
                "  web:",
                "    vip: 192.0.2.1",
                ACTIONS,
                "    retry:",
            ],
            with(&[]),
        ),
        "role" => (&["instances:", "  web:", ACTIONS, "    role:"], with(&[])),
        "role.vip" => (
            &["instances:", "  web:", ACTIONS, "    role:", "      vip:"],
            with(&["addresses: [192.0.2.1]"]),
        ),
        "logging" => (
            &["instances: {}", "logging:"],
            with(&[
                "handlers: {file: {class: logging.NullHandler}}",
                "root: {handlers: [file]}",
            ]),
        ),
        "a formatter" => (
            &[LOGGING, "  formatters:", "    short:"],
            with(&["x-nothing: 0"]),
        ),
        "a handler" => (
            &[
                LOGGING_ELSEWHERE,
                "  formatters: {short: {}}",
                "  handlers:",
                "    file:",
            ],
            with(needed_by_a_handler(key)),
        ),
        "a logger" => (&[LOGGING, "  loggers:", "    keepstart.script:"], with(&[])),
        "an action" => (
            &[
                "instances:",
                "  web:",
                "    vip: 192.0.2.1",
                "    stop: a",
                "    start:",
            ],
            if has("unit") {
                with(&[])
            } else {
                with(&["run: /bin/true"])
            },
        ),
        other => panic!("a section that this test does not know: {other}"),
    };
    let last = keys.last().copied().unwrap_or_default();
    let depth = last.len() - last.trim_start().len() + 2 * usize::from(!last.is_empty());
    let indented = lines
        .iter()
        .map(|line| format!("{}{line}", " ".repeat(depth)));
    let whole: Vec<_> = keys
        .iter()
        .map(ToString::to_string)
        .chain(indented)
        .collect();
    whole.join("\n")
}

/// A section with a handler that gets all records.
const LOGGING: &str = "instances: {}\nlogging:\n  handlers: {file: {class: logging.NullHandler}}\n  root: {handlers: [file]}";
/// The same, where the handler is described further down.
const LOGGING_ELSEWHERE: &str = "instances: {}\nlogging:\n  root: {handlers: [file]}";

/// What has to stand beside a key of a handler, for which the key has a meaning.
fn needed_by_a_handler(key: &str) -> &'static [&'static str] {
    match key {
        "class" | "()" => &["filename: web.log"],
        "level" | "formatter" | "filters" => &["class: logging.NullHandler"],
        "stream" => &["class: logging.StreamHandler"],
        "filename" | "mode" | "encoding" | "delay" | "errors" => {
            &["class: logging.FileHandler", "filename: web.log"]
        }
        "maxBytes" => &[
            "class: logging.handlers.RotatingFileHandler",
            "filename: web.log",
        ],
        "backupCount" | "when" | "interval" | "utc" => &[
            "class: logging.handlers.TimedRotatingFileHandler",
            "filename: web.log",
        ],
        "address" | "facility" | "socktype" => &["class: logging.handlers.SysLogHandler"],
        other => panic!("a key of a handler that this test does not know: {other}"),
    }
}

/// What the page says of a key that is taken and changes nothing.
const WITHOUT_EFFECT: &str = "no default: without effect";

/// The actions of an instance.
const ACTIONS: &str = "    start: a\n    stop: a";

/// What the program makes of a file.
fn effective(text: &str) -> String {
    config::effective(&parsed(text).config)
}

fn parsed(text: &str) -> config::Loaded {
    let file = Path::new("/etc/keepstart/config.yaml");
    config::parse(text, file).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

#[test]
fn every_example_of_the_manual_is_valid() {
    for entry in entries() {
        let Entry {
            section,
            key,
            example,
            ..
        } = &entry;
        let first = example
            .first()
            .unwrap_or_else(|| panic!("{section}: {key} has no example"));
        assert!(
            first.starts_with(&format!("{key}:")),
            "the example of {key} is of something else: {first}"
        );
        let text = whole(section, key, example);
        // What is odd in `logging` is a warning and no fault.
        let odd = parsed(&text).warnings.to_string();
        assert!(
            entry.remark == WITHOUT_EFFECT || !odd.contains("logging"),
            "{odd}\n{text}"
        );
        // An example shows something else than what is so anyway.
        let said = entry.remark.strip_prefix("default ");
        assert!(
            said.is_none_or(|said| *first != format!("{key}: {said}")),
            "{entry:?}"
        );
    }
}

#[test]
fn every_default_of_the_manual_is_the_one_that_is_taken() {
    let mut compared = 0;
    for entry in entries() {
        let Entry {
            section,
            key,
            remark,
            ..
        } = &entry;
        // What stands behind a semicolon is said of other cases.
        let value = remark
            .split(';')
            .next()
            .and_then(|remark| remark.strip_prefix("default "));
        let Some(value) = value else {
            assert!(
                remark.starts_with("required") || remark.starts_with("no default: "),
                "{entry:?}"
            );
            continue;
        };
        // An empty mapping needs something beside it to be a mapping at all.
        let without = whole(section, key, &["x-nothing: 0".to_owned()]);
        let with = whole(section, key, &[format!("{key}: {value}")]);
        assert_eq!(effective(&with), effective(&without), "{key}: {value}");
        compared += 1;
    }
    assert!(compared > 20, "only {compared} defaults were found");
}

#[test]
fn the_generated_page_has_every_command_and_the_completions_too() {
    let directory = tempfile::tempdir().unwrap();
    pages::write(directory.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let page = plain(&read("keepstart.8"));
    let command = keepstart::cli::command();
    let names: Vec<_> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    assert!(names.contains(&"status"), "{names:?}");
    for name in names {
        assert!(
            page.contains(&format!(".SS {name}\n")),
            "{name} is not in the page"
        );
        for file in [
            "keepstart.bash",
            "_keepstart",
            "keepstart.fish",
            "keepserver.bash",
        ] {
            assert!(read(file).contains(name), "{name} is not in {file}");
        }
    }
    assert!(
        !page.contains("--detached") && !page.contains("MESSAGE_IDS"),
        "{page}"
    );
}

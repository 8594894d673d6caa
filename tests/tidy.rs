//! The house rules that a compiler does not know: which way imports point, what the pure files never name,
//! and how a file begins. It reads the sources as text.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the ground up. A file names only modules of a lower layer, or its own module.
const LAYERS: &[&[&str]] = &[
    &["machine"],
    &[
        "capabilities",
        "clock",
        "kill_points",
        "processes",
        "timeline",
        "trust",
    ],
    // It asks for capabilities.
    &["scheduling"],
    &["config"],
    &[
        "action",
        "record",
        "source",
        "state",
        "systemd",
        "telemetry",
    ],
    &["bus", "disk", "replay", "report"],
    &["reactor"],
    &["control"],
    &["app"],
    &["cli"],
    &["main", "lib"],
];

/// What no file of the machine and of the timeline may name: clocks, I/O, tasks, and orders that differ from run to run.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::process",
    "std::thread",
    "std::io",
    "rustix",
    "nix::",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "tracing",
    "unsafe",
];

/// The netlink crates change their interfaces in every release, so only these know them.
const NETLINK_CRATES: &[&str] = &[
    "netlink_packet_route",
    "netlink_packet_core",
    "netlink_sys",
    "rtnetlink",
];
const NETLINK_HOMES: &[&str] = &["source/netlink/", "cli/demo"];

/// D-Bus belongs to a feature, which can be left out.
const BUS_CRATES: &[&str] = &["zbus"];
const BUS_HOMES: &[&str] = &["action/units/"];

/// A file of one subject is rarely longer.
const LINES_MAX: usize = 420;
/// A function that does not fit a screen or so has more than one thing to say.
const FUNCTION_LINES_MAX: usize = 75;
const COLUMNS_MAX: usize = 120;

struct Source {
    /// Relative to `src/`.
    name: String,
    /// Everything.
    text: String,
    /// Without comments.
    code: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be read") {
            let path: PathBuf = entry.expect("an entry of src").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                let code = text.lines().map(without_comment).collect();
                let name = path
                    .strip_prefix(&root)
                    .expect("below src")
                    .display()
                    .to_string();
                found.push(Source { name, text, code });
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn without_comment(line: &str) -> String {
    line.split("//").next().unwrap_or_default().to_owned()
}

fn is_test(source: &Source) -> bool {
    source.name.ends_with("tests.rs")
        || source.name.contains("tests/")
        || source.name.ends_with("testing.rs")
}

fn module_of(name: &str) -> &str {
    let first = name.split('/').next().unwrap_or(name);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn imports_point_downwards() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !is_test(source)) {
        let own = module_of(&source.name);
        let Some(layer) = layer_of(own) else {
            found.push(format!(
                "{}: module {own} has no layer in tests/tidy.rs",
                source.name
            ));
            continue;
        };
        for (number, line) in source.code.iter().enumerate() {
            for part in line.split("crate::").skip(1) {
                let end = part
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(part.len());
                let target = &part[..end];
                if target != own && layer_of(target).is_none_or(|target| target >= layer) {
                    found.push(format!(
                        "{}:{}: {own} names {target}",
                        source.name,
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none("imports that do not point downwards", &found);
}

#[test]
fn the_machine_is_pure() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| {
        let pure = ["machine/", "timeline/"];
        pure.iter().any(|home| source.name.starts_with(home)) && !is_test(source)
    }) {
        for (number, line) in source.code.iter().enumerate() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word}", source.name, number + 1));
            }
        }
    }
    assert_none("what a pure file must not name", &found);
}

#[test]
fn netlink_crates_stay_at_home() {
    stay_at_home(NETLINK_CRATES, NETLINK_HOMES);
}

#[test]
fn the_crate_of_the_bus_stays_at_home() {
    stay_at_home(BUS_CRATES, BUS_HOMES);
}

/// A real-time thread hands its class on to the threads that it makes, unless they are made by this.
#[test]
fn threads_beside_the_reactor_are_ordinary() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !is_test(source)) {
        let of_reactor = ["action/", "source/", "reactor.rs"];
        if !of_reactor.iter().any(|home| source.name.starts_with(home))
            || source.name == "action/spawner.rs"
        {
            continue;
        }
        for (number, line) in source.code.iter().enumerate() {
            for word in ["thread::Builder", "thread::spawn", "spawn_blocking"] {
                if line.contains(word) {
                    found.push(format!("{}:{}: {word}", source.name, number + 1));
                }
            }
        }
    }
    assert_none("threads not made by scheduling::ordinary_thread", &found);
}

fn stay_at_home(crates: &[&str], homes: &[&str]) {
    let mut found = Vec::new();
    for source in sources() {
        if homes.iter().any(|home| source.name.starts_with(home)) {
            continue;
        }
        for (number, line) in source.code.iter().enumerate() {
            for name in crates.iter().filter(|name| line.contains(**name)) {
                found.push(format!("{}:{}: {name}", source.name, number + 1));
            }
        }
    }
    assert_none("crates named outside their home", &found);
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            found.push(format!(
                "{}: does not begin with a `//!` sentence",
                source.name
            ));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !is_test(&source) {
            found.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                source.name
            ));
        }
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !is_test(&source) {
                found.push(format!(
                    "{}:{}: wider than {COLUMNS_MAX}",
                    source.name,
                    number + 1
                ));
            }
        }
        for word in ["todo!", "dbg!", "FIXME", "unimplemented!"] {
            if source.text.contains(word) {
                found.push(format!("{}: {word}", source.name));
            }
        }
    }
    assert_none("files against the house rules", &found);
}

#[test]
fn functions_fit_a_screen() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !is_test(source)) {
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in source.code.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let begins = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
            ];
            if open.is_none()
                && begins
                    .iter()
                    .any(|begin| line.trim_start().starts_with(begin))
            {
                open = Some((number, indent));
            }
            if let Some((start, depth)) = open
                && indent == depth
                && (line.trim_end() == format!("{}}}", " ".repeat(depth))
                    || line.trim_end().ends_with("{}"))
            {
                if number - start + 1 > FUNCTION_LINES_MAX {
                    found.push(format!(
                        "{}:{}: {} lines",
                        source.name,
                        start + 1,
                        number - start + 1
                    ));
                }
                open = None;
            }
        }
    }
    assert_none("functions longer than a screen", &found);
}

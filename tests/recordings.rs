//! Recordings and the command that replays them. `tests/incidents` has recordings that daemons made on a real kernel,
//! each with what is decided in it beside it; `KEEPSTART_BLESS=1` writes that anew, to be read before it is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn incidents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents")
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keepstart"))
        .arg("replay")
        .arg(file)
        .args(arguments)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn incidents_are_decided_as_they_were() {
    let mut count = 0;
    for entry in fs::read_dir(incidents()).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        count += 1;
        let first = replay(&file, &[]);
        assert!(
            first.status.success(),
            "{}: {}{}",
            file.display(),
            out(&first),
            err(&first)
        );
        assert_eq!(
            first.stdout,
            replay(&file, &[]).stdout,
            "the same bytes twice"
        );
        let expected = file.with_extension("txt");
        if std::env::var_os("KEEPSTART_BLESS").is_some() {
            fs::write(&expected, &first.stdout).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap();
        assert_eq!(out(&first), expected, "{}", file.display());
    }
    assert!(count >= 4, "the incidents were not found");
}

#[test]
fn json_has_a_line_for_each_decision_and_nothing_else() {
    let file = incidents().join("hung-start.jsonl");
    let output = replay(&file, &["--json"]);
    let events: Vec<serde_json::Value> = out(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is = |kind: &str| {
        events
            .iter()
            .filter(|line| line["event"]["event"] == kind)
            .count()
    };
    assert_eq!(
        (is("transition"), is("job-signalled"), is("job-ended")),
        (3, 2, 2)
    );
    assert!(err(&output).contains("the same"), "{}", err(&output));
}

#[test]
fn damage_gaps_and_differences_have_exit_codes_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::read_to_string(incidents().join("flap.jsonl")).unwrap();
    let with = |text: &str| {
        let file = directory.path().join("recording.jsonl");
        fs::write(&file, text).unwrap();
        replay(&file, &[])
    };
    let damaged = with(&whole.replacen("\"subscribed\"", "\"subscribbed\"", 1));
    assert_eq!(damaged.status.code(), Some(65));
    assert!(
        err(&damaged).contains("line 2 is damaged"),
        "{}",
        err(&damaged)
    );
    let gap = whole.replacen("{\"end\"", "{\"gap\":{\"missed\":2}}\n{\"end\"", 1);
    let gap = with(&gap);
    assert_eq!(gap.status.code(), Some(65));
    assert!(err(&gap).contains("has a gap"), "{}", err(&gap));
    let cut = with(&whole[..whole.len() - 60]);
    assert_eq!(cut.status.code(), Some(0), "{}{}", out(&cut), err(&cut));
    assert!(out(&cut).contains("stops"), "{}", out(&cut));
    let place = whole.find("\"decided\":\"").unwrap() + 11;
    let other = format!("{}1{}", &whole[..place], &whole[place + 1..]);
    let different = with(&other);
    assert_eq!(different.status.code(), Some(1));
    assert!(
        out(&different).contains("the first difference"),
        "{}",
        out(&different)
    );
    for nothing in ["", "\n\n", "hello\n"] {
        assert_eq!(with(nothing).status.code(), Some(65), "{nothing:?}");
    }
}

#[test]
fn another_configuration_is_shown_as_a_diff() {
    let directory = tempfile::tempdir().unwrap();
    let with = |more: &str| {
        let file = directory.path().join("other.yaml");
        let text = format!(
            "instances:\n  web: {{nic: lo, vip: 10.0.0.100, start: /srv/web/start, stop: /srv/web/stop, \
             is-running: /srv/web/check{more}}}\n"
        );
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap().to_owned();
        replay(&incidents().join("flap.jsonl"), &["--config", &file])
    };
    let same = with("");
    assert_eq!(same.status.code(), Some(0), "{}{}", out(&same), err(&same));
    assert!(out(&same).contains("would have decided the same"));
    let slow = with(", debounce: 400ms");
    assert_eq!(slow.status.code(), Some(1), "{}{}", out(&slow), err(&slow));
    assert!(
        out(&slow).contains("becomes MASTER (200.000 ms later)"),
        "{}",
        out(&slow)
    );
}

//! Whatever stands in a file, it is taken or refused; and what is taken survives being written out.

use std::fmt::Write as _;
use std::path::Path;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{EVERYTHING, PYTHON_SAMPLE, effective, parse};

fn file() -> &'static Path {
    Path::new("/etc/my config/keepstart.yaml")
}

/// A text in double quotes, which JSON and YAML read alike.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn command() -> impl Strategy<Value = String> {
    prop_oneof![
        "(\\.|/opt|a)/[a-z./%=~ä]{1,8}".prop_map(|path| quoted(&path)),
        ".{1,12}".prop_map(|line| quoted(&line)),
        select(vec![
            "yes", "~x", "null", "010", "1:30", "<<", "- a", "a: b", "# x", "\n x\n", " "
        ])
        .prop_map(quoted),
        vec(".{0,8}", 1..4).prop_map(|words| serde_json::to_string(&words).unwrap()),
    ]
}

fn instance() -> impl Strategy<Value = String> {
    let times = vec((0_u64..100_000, select(vec!["ms", "s", "m"])), 6);
    let environment = btree_map("[A-Z]{1,3}", ".{0,8}", 0..3);
    (
        vec(command(), 2),
        any::<[u8; 16]>(),
        "[a-z0-9.:]{1,15}",
        times,
        environment,
    )
        .prop_map(|(commands, address, nic, times, environment)| {
            let mut lines = vec![
                format!(
                    "role: {{vip: {{nic: \"{nic}\", addresses: [\"{}\"]}}}}",
                    std::net::Ipv6Addr::from(address)
                ),
                format!("start: {}", commands[0]),
                format!("stop: {{run: {}, timeout: 1.25}}", commands[1]),
                format!(
                    "environment: {}",
                    serde_json::to_string(&environment).unwrap()
                ),
            ];
            let keys = [
                "sleep",
                "debounce",
                "hold-on-loss",
                "start-cancel-after",
                "unknown-stop-after",
                "running-report-cycle",
            ];
            for (key, (number, unit)) in keys.iter().zip(times) {
                lines.push(format!("{key}: {number}{unit}"));
            }
            lines.join("\n    ")
        })
}

proptest! {
    #[test]
    fn what_is_taken_survives_being_written_out(
        instances in btree_map("[a-z0-9_][a-z0-9._-]{0,5}", instance(), 0..4),
        workspace in prop::option::of("[a-zä/. ]{1,8}"),
    ) {
        let mut text = String::from("instances:\n");
        for (name, instance) in &instances {
            writeln!(text, "  \"{name}\":\n    {instance}").unwrap();
        }
        if let Some(workspace) = workspace {
            writeln!(text, "application:\n  workspace: \"{workspace}\"\n  pidfile: x.pid").unwrap();
        }
        if let Ok(loaded) = parse(&text, file()) {
            let written = effective(&loaded.config);
            let again = parse(&written, file());
            prop_assert!(again.is_ok(), "{}\n{}", written, again.unwrap_err());
            prop_assert_eq!(again.unwrap().config, loaded.config, "{}", written);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,200}|[ \\n:{}\\[\\]&*!|>'\"a-c#,?-]{0,200}") {
        judged(&text)?;
    }

    #[test]
    fn a_damaged_file_is_taken_or_refused(
        edits in vec((any::<Index>(), select(vec!["", " ", "\n", ":", "{", "]", "\"", "&a ", "*a", "!t ", "- ", "\t", "ä", "<<: ", "0", "|", "#", "---\n"]), 0_usize..4), 1..6),
        python in any::<bool>(),
    ) {
        let mut text: Vec<char> = if python { PYTHON_SAMPLE } else { EVERYTHING }.chars().collect();
        for (index, insertion, removed) in edits {
            let start = index.index(text.len());
            let end = (start + removed).min(text.len());
            text.splice(start..end, insertion.chars());
        }
        judged(&text.into_iter().collect::<String>())?;
    }
}

/// A text is either good or has faults, each with a place inside the text and something to say.
fn judged(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse(text, file()) else {
        return Ok(());
    };
    prop_assert!(!error.faults.is_empty());
    for fault in error.faults.list {
        let position = fault.position.unwrap();
        let line = text.split('\n').nth(position.line - 1);
        prop_assert!(
            line.is_some_and(|line| position.column <= line.chars().count() + 1),
            "{}",
            fault
        );
        prop_assert!(!fault.message.is_empty());
    }
    Ok(())
}

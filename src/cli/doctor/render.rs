//! What a person sees of a diagnosis: the findings first, then what was looked at, then the count. Pure.

use std::fmt::Write as _;

use super::finding::{Diagnosis, Finding, Named, Severity};
use crate::cli::out::{Out, Paint};

/// The whole text.
pub(super) fn text(diagnosis: &Diagnosis, out: Out) -> String {
    let mut text = String::new();
    let mut findings: Vec<(&Named, &Finding)> = diagnosis
        .checks
        .iter()
        .flat_map(|check| {
            check
                .said
                .findings
                .iter()
                .map(move |finding| (check, finding))
        })
        .collect();
    findings.sort_by_key(|(_, finding)| finding.severity);
    for (check, finding) in findings {
        add_finding(&mut text, check.name, finding, out);
    }
    for check in &diagnosis.checks {
        for why in &check.said.unseen {
            add(
                &mut text,
                &out.paint(Paint::Warn, "unseen   "),
                check.name,
                why,
            );
        }
    }
    for check in &diagnosis.checks {
        // One that has found something has said so above; what it has looked at is said all the same.
        let is_fine = check.said.findings.is_empty() && check.said.unseen.is_empty();
        let (paint, word) = if is_fine {
            (Paint::Good, "ok       ")
        } else {
            (Paint::Dim, "looked at")
        };
        if !check.said.looked_at.is_empty() {
            add(
                &mut text,
                &out.paint(paint, word),
                check.name,
                &check.said.looked_at,
            );
        }
    }
    text.push_str(&count(diagnosis));
    text
}

fn add_finding(text: &mut String, name: &str, finding: &Finding, out: Out) {
    let head = match finding.severity {
        Severity::Hurts => out.paint(Paint::Bad, "hurts    "),
        Severity::MayHurt => out.paint(Paint::Warn, "may hurt "),
        Severity::Note => out.paint(Paint::Dim, "note     "),
    };
    let place = finding.place.as_ref().map(|place| format!(" [{place}]"));
    add(
        text,
        &head,
        name,
        &format!("{}{}", finding.what, place.unwrap_or_default()),
    );
    if let Some(command) = &finding.command {
        add_line(text, &format!("            # {command}"));
    }
}

fn add(text: &mut String, head: &str, name: &str, what: &str) {
    add_line(text, &format!("{head} {name}: {what}"));
}

fn add_line(text: &mut String, line: &str) {
    // Writing into a string has no way to fail.
    let _ = writeln!(text, "{line}");
}

fn count(diagnosis: &Diagnosis) -> String {
    let things = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    };
    format!(
        "{}: {}, {}, {}, {} that could not be looked at\n",
        diagnosis.config,
        things(diagnosis.checks.len(), "check", "checks"),
        things(diagnosis.hurting, "finding", "findings"),
        things(diagnosis.notes, "note", "notes"),
        things(diagnosis.unseen, "thing", "things"),
    )
}

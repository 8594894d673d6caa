//! The journal's catalog has a text for each message id of the program, and no other.

use std::collections::BTreeSet;

use keepstart::telemetry::MessageId;

use crate::read;

#[test]
fn each_message_id_has_a_text_and_the_reverse() {
    let catalog = read("keepstart.catalog");
    let texts: Vec<_> = catalog
        .lines()
        .filter_map(|line| line.strip_prefix("-- "))
        .collect();
    let explained: BTreeSet<_> = texts.iter().map(ToString::to_string).collect();
    assert_eq!(explained.len(), texts.len(), "a text stands twice");
    let known: BTreeSet<_> = MessageId::ALL
        .iter()
        .map(|id| format!("{:032x}", id.number()))
        .collect();
    assert_eq!(explained, known);
    // Of each text: a line that says what happened, and words that say what to do.
    for text in catalog.split("\n-- ").skip(1) {
        assert!(
            text.contains("\nSubject: ") && text.contains("\nDefined-By: keepstart\n"),
            "{text}"
        );
        assert!(
            text.split_once("\n\n")
                .is_some_and(|(_, body)| body.len() > 200),
            "{text}"
        );
    }
}

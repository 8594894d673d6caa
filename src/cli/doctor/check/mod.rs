//! The checks: each a function from facts to what is to be said. Pure; a test makes the facts.

mod address;
mod daemon;
mod keepalived;
mod scripts;
mod system;
mod systemd;

use super::facts::Facts;
use super::finding::{Checked, Named};

/// A check.
type Check = fn(&Facts) -> Checked;

/// All of them, in the order in which they are told, under the names that programs know.
const CHECKS: [(&str, Check); 19] = [
    ("file", daemon::file),
    ("scripts", scripts::can_run),
    ("script-permissions", scripts::permissions),
    ("nic", address::nic),
    ("vip", address::vip),
    ("static-vip", address::configured),
    ("receive-buffer", address::buffer),
    ("keepalived", keepalived::runs),
    ("virtual-ipaddress", keepalived::addresses),
    ("notify", keepalived::hooks),
    ("daemon", daemon::runs),
    ("in-force", daemon::agrees),
    ("second-keepstart", daemon::others),
    ("limits", daemon::limits),
    ("rights", daemon::rights),
    ("systemd", systemd::own_unit),
    ("boot", systemd::at_boot),
    ("clock", system::clock),
    ("confinement", system::modules),
];

/// Makes all checks.
pub(super) fn all(facts: &Facts) -> Vec<Named> {
    let made = CHECKS.iter().map(|(name, check)| Named {
        name,
        said: check(facts),
    });
    made.collect()
}

/// `3 scripts`, `1 script`.
fn count(number: usize, singular: &str, plural: &str) -> String {
    let noun = if number == 1 { singular } else { plural };
    format!("{number} {noun}")
}

/// Things in a row: `a, b, c`.
fn row<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// A text as one word of a shell.
pub(super) fn word(text: &impl ToString) -> String {
    let text = text.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

//! A mapping with a known set of keys, as the checks read it: merge keys unfolded, duplicates and unknown keys
//! reported, an empty value (`~`) the same as no value. Pure.

use std::collections::BTreeMap;

use super::account::Lookup;
use super::action::Script;
use super::fault::{Findings, Lines, Offset};
use super::grounds::Ground;
use super::tree::{Entry, Node, Value, quoted};
use crate::machine::unit::UnitName;

/// YAML's merge key: the entries of its value stand here too, unless the mapping has them itself.
const MERGE: &str = "<<";

/// Keys that begin so are the person's own, in every section: a place for anchors and notes.
const OWN: &str = "x-";

/// What the outermost section is called.
pub(super) const WHOLE: &str = "the file";

/// What the checks write into and look up in: the sink of everything that is wrong with the file.
pub(super) struct Notes<'t> {
    pub(super) lines: Lines<'t>,
    pub(super) faults: Findings,
    /// Users and groups that are not known, where they are asked for.
    pub(super) unknown: Findings,
    pub(super) lookup: Lookup,
    pub(super) warnings: Findings,
    /// The files that actions run, for the warnings about those that are not there.
    pub(super) scripts: Vec<Script>,
    /// The units that they name.
    pub(super) units: Vec<(Offset, UnitName)>,
    /// What the daemon itself needs.
    pub(super) grounds: Vec<(Offset, Ground)>,
}

/// The entries of one mapping.
pub(super) struct Section<'a, 't> {
    pub(super) at: Offset,
    /// What the section is called in messages, as a path from the top: `instances.web`.
    pub(super) name: String,
    entries: BTreeMap<&'a str, &'a Entry<'t>>,
}

impl<'a, 't> Section<'a, 't> {
    /// Opens a mapping that may have these keys and no other.
    pub(super) fn open(
        node: &'a Node<'t>,
        at: Offset,
        name: impl Into<String>,
        known: &[&str],
        notes: &mut Notes<'_>,
    ) -> Option<Self> {
        let name = name.into();
        let (entries, in_order) = unfold(node, &name, notes)?;
        for entry in in_order {
            if !known.contains(&&*entry.key) && !entry.key.starts_with(OWN) {
                let message = || unknown_key(&entry.key, &name, known);
                notes.faults.add_late(entry.at, message);
            }
        }
        Some(Self { at, name, entries })
    }

    /// The value of a key, unless it is absent or empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node<'t>> {
        let node = &self.entries.get(key)?.value;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// Where a key stands.
    pub(super) fn key_at(&self, key: &str) -> Option<Offset> {
        Some(self.entries.get(key)?.at)
    }

    /// The value of a key that must be there.
    pub(super) fn required(
        &self,
        key: &str,
        expected: &str,
        notes: &mut Notes<'_>,
    ) -> Option<&'a Node<'t>> {
        let node = self.get(key);
        if node.is_none() {
            let (at, state) = match self.key_at(key) {
                Some(at) => (at, "is empty"),
                None => (self.at, "is missing"),
            };
            let name = &self.name;
            notes
                .faults
                .add(at, format!("{key} {state} in {name}, expected {expected}"));
        }
        node
    }

    /// Reads the value of a key; `None` where it is absent or faulty.
    pub(super) fn read<T>(
        &self,
        key: &str,
        notes: &mut Notes<'_>,
        reader: impl FnOnce(&Node<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.get(key)?;
        reader(node)
            .map_err(|message| notes.faults.add(node.at, format!("{key}: {message}")))
            .ok()
    }
}

/// The entries of a mapping whose keys are names: unfolded, each name once, in the order of the file.
pub(super) fn named<'a, 't>(
    node: &'a Node<'t>,
    name: &str,
    notes: &mut Notes<'_>,
) -> Option<Vec<&'a Entry<'t>>> {
    unfold(node, name, notes).map(|(_, in_order)| in_order)
}

type Unfolded<'a, 't> = (BTreeMap<&'a str, &'a Entry<'t>>, Vec<&'a Entry<'t>>);

fn unfold<'a, 't>(
    node: &'a Node<'t>,
    name: &str,
    notes: &mut Notes<'_>,
) -> Option<Unfolded<'a, 't>> {
    let Value::Mapping(written) = &node.value else {
        let found = node.value.describe();
        notes.faults.add(
            node.at,
            format!("{name}: found {found}, expected a mapping (key: value)"),
        );
        return None;
    };
    let mut unfolded = (BTreeMap::new(), Vec::with_capacity(written.len()));
    let own = written.iter().filter(|entry| entry.key != MERGE);
    for entry in own {
        take(entry, &mut unfolded).unwrap_or_else(|first| {
            let key = quoted(&entry.key);
            let line = notes.lines.position(first).line;
            notes.faults.add(
                entry.at,
                format!("{key} stands twice in {name}; the first is in line {line}"),
            );
        });
    }
    for entry in written.iter().filter(|entry| entry.key == MERGE) {
        merge(&entry.value, &mut unfolded, notes);
    }
    Some(unfolded)
}

/// Takes an entry whose key is new; says where the first one stands otherwise.
fn take<'a, 't>(entry: &'a Entry<'t>, unfolded: &mut Unfolded<'a, 't>) -> Result<(), Offset> {
    let (entries, in_order) = unfolded;
    if let Some(first) = entries.get(&*entry.key) {
        return Err(first.at);
    }
    entries.insert(&entry.key, entry);
    in_order.push(entry);
    Ok(())
}

/// Adds what a merge key brings: a mapping, or a list of mappings of which the earlier wins.
fn merge<'a, 't>(node: &'a Node<'t>, unfolded: &mut Unfolded<'a, 't>, notes: &mut Notes<'_>) {
    match &node.value {
        Value::Mapping(entries) => {
            let own = entries.iter().filter(|entry| entry.key != MERGE);
            for entry in own {
                // A key that is there already wins: that is what merging means.
                take(entry, unfolded).unwrap_or_default();
            }
            for entry in entries.iter().filter(|entry| entry.key == MERGE) {
                merge(&entry.value, unfolded, notes);
            }
        }
        Value::List(mappings) => {
            for mapping in mappings {
                merge(mapping, unfolded, notes);
            }
        }
        Value::Null => {}
        found @ (Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Tagged(_)) => {
            let found = found.describe();
            notes.faults.add(
                node.at,
                format!("<<: found {found}, expected a mapping, or a list of mappings, to merge"),
            );
        }
    }
}

fn unknown_key(key: &str, section: &str, known: &[&str]) -> String {
    let hint = did_you_mean(key, known).unwrap_or_else(|| {
        // Where PyYAML's users put what several sections share.
        let own = if section == WHOLE {
            format!("; a key of your own, as a place for anchors, begins with {OWN}")
        } else {
            String::new()
        };
        format!(", expected one of {}{own}", known.join(", "))
    });
    format!("unknown key {} in {section}{hint}", quoted(key))
}

/// `; did you mean "vip"?`, if one of the known words is near.
pub fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    let allowed = |candidate: &str| (candidate.len() / 3).max(1);
    known
        .iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed(candidate))
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= allowed(candidate))
        .min()
        .map(|(_, candidate)| format!("; did you mean \"{candidate}\"?"))
}

/// How many typing errors lie between two words: a character too many, missing, wrong, or two swapped
/// (optimal string alignment). Takes the product of their lengths, so both have to be short.
fn distance(word: &str, candidate: &str) -> usize {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let candidate: Vec<char> = candidate.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
    for (i, typed) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, meant) in candidate.iter().enumerate() {
            let wrong = at(&last, j) + usize::from(typed != meant);
            let missing = at(&row, j) + 1;
            let extra = at(&last, j + 1) + 1;
            let mut cost = wrong.min(missing).min(extra);
            let swapped = i > 0
                && j > 0
                && word.get(i - 1) == Some(meant)
                && candidate.get(j - 1) == Some(typed);
            if swapped {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, candidate.len())
}

#[cfg(test)]
mod tests;

//! The text of a logging.conf as sections of keys and values, as Python's configparser reads it. Pure; knows
//! nothing of logging.

use crate::config::fault::Offset;
use crate::config::section::Notes;
use crate::config::tree::quoted;

/// The section whose values every other section has too.
const DEFAULT: &str = "DEFAULT";

/// The most values that may be put into one, one within the other; configparser's own limit.
const DEPTH_MAX: usize = 10;

/// The longest value that others are put into, in bytes: ten lines could otherwise grow to gigabytes.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// The text, taken apart.
#[derive(Debug, Default)]
pub(super) struct Ini {
    sections: Vec<Group>,
}

/// One section.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) at: Offset,
    entries: Vec<Pair>,
}

/// One key with its value.
#[derive(Debug)]
pub(super) struct Pair {
    key: String,
    /// Where the value stands.
    pub(super) at: Offset,
    /// The value, its further lines after line ends.
    pub(super) value: String,
}

impl Ini {
    /// Takes a text apart; what does not fit is told of and left out.
    pub(super) fn parse(text: &str, notes: &mut Notes<'_>) -> Self {
        let mut ini = Self::default();
        // The indentation of the key that further lines may belong to.
        let mut open: Option<usize> = None;
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let at = offset(start);
            start += line.len();
            let content = line.trim();
            let indent = line.len() - line.trim_start().len();
            let here = at + offset(indent);
            if content.starts_with(['#', ';']) || content.is_empty() {
                continue;
            }
            if open.is_some_and(|key| indent > key) {
                ini.go_on(content);
                continue;
            }
            open = None;
            let header = content
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'));
            if let Some((name, _)) = header {
                ini.begin(name, here, notes);
            } else if let Err(message) = ini.pair(content, here, notes) {
                notes.faults.add(here, message);
            } else {
                open = Some(indent);
            }
        }
        ini
    }

    fn go_on(&mut self, content: &str) {
        let last = self.sections.last_mut();
        if let Some(pair) = last.and_then(|group| group.entries.last_mut()) {
            pair.value.push('\n');
            pair.value.push_str(content);
        }
    }

    fn begin(&mut self, name: &str, at: Offset, notes: &mut Notes<'_>) {
        if let Some(first) = self.section(name) {
            let line = notes.lines.position(first.at).line;
            let name = quoted(name);
            let message = format!(
                "the section {name} stands twice; the first is in line {line} and this one is left out"
            );
            notes.faults.add(at, message);
        }
        self.sections.push(Group {
            name: name.into(),
            at,
            entries: Vec::new(),
        });
    }

    fn pair(&mut self, content: &str, at: Offset, notes: &mut Notes<'_>) -> Result<(), String> {
        let found = || quoted(content);
        let end = content
            .find(['=', ':'])
            .ok_or_else(|| format!("found {}, expected key=value; it is left out", found()))?;
        let group = self.sections.last_mut().ok_or_else(|| {
            format!(
                "found {} before the first [section]; it is left out",
                found()
            )
        })?;
        let (key, value) = content.split_at(end);
        let value = value.get(1..).unwrap_or_default().trim_start();
        let key = key.trim_end().to_lowercase();
        if group.get(&key).is_some() {
            let message = format!(
                "{} stands twice in [{}]; the first one is taken",
                quoted(&key),
                group.name
            );
            notes.faults.add(at, message);
        }
        group.entries.push(Pair {
            key,
            at: at + offset(content.len() - value.len()),
            value: value.into(),
        });
        Ok(())
    }

    /// A section by its name.
    pub(super) fn section(&self, name: &str) -> Option<&Group> {
        self.sections.iter().find(|group| group.name == name)
    }

    /// The value of a key as it is written.
    pub(super) fn raw<'i>(&'i self, group: &'i Group, key: &str) -> Option<&'i Pair> {
        let of_all = || self.section(DEFAULT)?.get(key);
        group.get(key).or_else(of_all)
    }

    /// The value of a key with the values of others in place of `%(other)s`.
    pub(super) fn get(
        &self,
        group: &Group,
        key: &str,
        notes: &mut Notes<'_>,
    ) -> Option<(Offset, String)> {
        let pair = self.raw(group, key)?;
        let value = self
            .filled(group, &pair.value, DEPTH_MAX)
            .unwrap_or_else(|message| {
                notes.faults.add(pair.at, format!("{key}: {message}"));
                pair.value.clone()
            });
        Some((pair.at, value))
    }

    fn filled(&self, group: &Group, value: &str, depth: usize) -> Result<String, String> {
        const TAKEN: &str = "the value is taken as it is written";
        let mut filled = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            filled.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                filled.push('%');
                rest = after;
                continue;
            }
            let name = after
                .strip_prefix('(')
                .and_then(|name| name.split_once(")s"));
            let (name, after) =
                name.ok_or_else(|| format!("found a %, expected %% or %(key)s; {TAKEN}"))?;
            let other = self
                .raw(group, &name.to_lowercase())
                .ok_or_else(|| format!("there is no key {}; {TAKEN}", quoted(name)))?;
            let depth = depth
                .checked_sub(1)
                .ok_or_else(|| format!("%({name})s leads to itself; {TAKEN}"))?;
            filled.push_str(&self.filled(group, &other.value, depth)?);
            if filled.len() > VALUE_BYTES_MAX {
                return Err(format!("longer than {VALUE_BYTES_MAX} bytes; {TAKEN}"));
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

impl Group {
    fn get(&self, key: &str) -> Option<&Pair> {
        self.entries.iter().find(|pair| pair.key == key)
    }

    /// The keys that are not among these.
    pub(super) fn others<'g>(
        &'g self,
        known: &'g [&str],
    ) -> impl Iterator<Item = (&'g str, Offset)> {
        let others = self
            .entries
            .iter()
            .filter(|pair| !known.contains(&&*pair.key));
        others.map(|pair| (pair.key.as_str(), pair.at))
    }
}

fn offset(index: usize) -> Offset {
    Offset::try_from(index).unwrap_or(Offset::MAX)
}

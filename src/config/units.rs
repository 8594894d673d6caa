//! systemd units as they are written, in place of a command: one name, or a list of them. Pure; what systemd says of
//! them is asked by whoever has the time ([`Units`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::fault::{Fault, Faults, Lines, Offset, Position, TOLD_MAX};
use super::instance::Instance;
use super::section::Notes;
use super::tree::{Node, Value, quoted};
use super::value::text;
use crate::machine::unit::UnitName;

const EXPECTED: &str = "the name of a systemd unit such as nginx.service, or a list of names";

/// The units that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// The configuration, as it was named.
    named_in: Arc<Path>,
    /// Each with the place that names it first.
    list: BTreeMap<UnitName, Position>,
}

impl Units {
    /// Those of a file that has been read.
    pub(super) fn new(units: Vec<(Offset, UnitName)>, lines: &Lines<'_>, named_in: &Path) -> Self {
        let mut list = BTreeMap::new();
        for (at, unit) in units {
            list.entry(unit).or_insert_with(|| lines.position(at));
        }
        Self {
            named_in: named_in.into(),
            list,
        }
    }

    /// Each once.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &UnitName> {
        self.list.keys()
    }

    /// What is odd about them as warnings, each at the place of its unit.
    pub fn warnings(&self, odd: impl IntoIterator<Item = (UnitName, String)>) -> Faults {
        let mut found = Faults {
            list: Vec::new(),
            more: 0,
        };
        for (unit, message) in odd {
            if found.list.len() == TOLD_MAX {
                found.more += 1;
                continue;
            }
            found.list.push(Fault {
                file: self.named_in.clone(),
                position: self.list.get(&unit).copied(),
                message: format!("unit: {message}"),
            });
        }
        found.list.sort_by_key(|fault| fault.position);
        found
    }
}

/// Reads the value of `unit`; `owner` is what it belongs to in messages.
pub(super) fn read(
    node: &Node<'_>,
    owner: impl Display,
    notes: &mut Notes<'_>,
) -> Option<Vec<UnitName>> {
    if cfg!(not(feature = "units")) {
        let message = format!(
            "{owner}: this keepstart was built without systemd units (its feature \"units\"), expected scripts"
        );
        notes.faults.add(node.at, message);
        return None;
    }
    let items = match &node.value {
        Value::List(items) if items.is_empty() => {
            let message = format!("{owner}: found an empty list, expected {EXPECTED}");
            notes.faults.add(node.at, message);
            return None;
        }
        Value::List(items) => items.as_slice(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => std::slice::from_ref(node),
    };
    let mut units = Vec::with_capacity(items.len());
    for item in items {
        match name(item) {
            Ok(unit) if units.contains(&unit) => {
                let message = format!("{owner}: {unit} stands here twice");
                notes.warnings.add(item.at, message);
            }
            Ok(unit) => {
                notes.units.push((item.at, unit.clone()));
                units.push(unit);
            }
            Err(message) => notes.faults.add(item.at, format!("{owner}: {message}")),
        }
    }
    Some(units).filter(|units| !units.is_empty())
}

fn name(node: &Node<'_>) -> Result<UnitName, String> {
    let name = text(node, EXPECTED)?;
    let name = name.trim();
    UnitName::new(name).map_err(|error| format!("found {}, {error}", quoted(name)))
}

/// Refuses a unit that two instances start or stop: on a node where one is MASTER and the other BACKUP, each would
/// undo what the other does.
pub(super) fn refuse_twins(instances: &[Instance], notes: &mut Notes<'_>) {
    let mut first = BTreeMap::new();
    for instance in instances {
        let settings = &instance.settings;
        let actions = [&settings.start, &settings.stop];
        let units: BTreeSet<_> = actions.iter().flat_map(|one| one.run.units()).collect();
        for unit in units {
            let owner = *first.entry(unit).or_insert(&settings.name);
            if *owner != settings.name {
                let name = &settings.name;
                let message = format!(
                    "{unit} belongs to instance {owner} and to instance {name}, and on the node that holds the role \
                     of one of them both would fight over it; expected one instance, which may follow several \
                     addresses (role: {{vip: {{addresses: […], match: any}}}})"
                );
                notes.faults.add(instance.at, message);
            }
        }
    }
}

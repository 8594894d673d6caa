//! What an instance runs: systemd units, or a script for each action. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::action::{self, Places};
use super::section::{Notes, Section};
use super::tree::Node;
use super::units;
use crate::machine::job::Action;
use crate::machine::settings::ActionSettings;

const START_CANCEL_AFTER: Duration = Duration::from_secs(10);

/// What the actions of an instance are.
pub(super) struct Actions {
    pub(super) start: Option<Arc<ActionSettings>>,
    pub(super) stop: Option<Arc<ActionSettings>>,
    pub(super) is_running: Option<Arc<ActionSettings>>,
    /// Unless the file says otherwise.
    pub(super) cancel_after: Duration,
}

/// Reads what is run: units, or scripts. A script may say whether the units run.
pub(super) fn actions(
    section: &Section<'_, '_>,
    places: &Places<'_>,
    notes: &mut Notes<'_>,
) -> Actions {
    let name = &section.name;
    let is_running = section
        .get("is-running")
        .map(|node| action::read(node, Action::IsRunning, name, places, notes));
    let Some(node) = section.get("unit") else {
        let start = section.required("start", action::EXPECTED, notes);
        let stop = section.required("stop", action::EXPECTED, notes);
        let mut read =
            |node: Option<&Node<'_>>, action| action::read(node?, action, name, places, notes);
        return Actions {
            start: read(start, Action::Start),
            stop: read(stop, Action::Stop),
            is_running: is_running.flatten(),
            cancel_after: START_CANCEL_AFTER,
        };
    };
    for key in ["start", "stop"] {
        if let Some(at) = section.get(key).and(section.key_at(key)) {
            let message = format!(
                "{key} stands beside unit in {name}, expected one of the two forms: unit, or start and stop \
                 (each of which may be {{unit: …, timeout: …}})"
            );
            notes.faults.add(at, message);
        }
    }
    let units = units::read(node, "unit", notes);
    let action = |action| Some(action::of_units(units.as_ref()?, action, places));
    Actions {
        start: action(Action::Start),
        stop: action(Action::Stop),
        is_running: is_running.unwrap_or_else(|| action(Action::IsRunning)),
        // systemd stops a unit that is starting as it stops one that runs.
        cancel_after: Duration::ZERO,
    }
}

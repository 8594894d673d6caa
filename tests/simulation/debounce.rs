//! Fast down, slow up, no waiting when calm: which role may be believed, and from when on.

use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::job::Role;
use keepstart::machine::settings::InstanceName;
use keepstart::machine::view::InstanceView;

use crate::tally::Kind;
use crate::told::Level;
use crate::world::{Daemon, Verdict, World};

impl World {
    /// A gain that does not come out of the calm is held back for a window, or for the longest hold.
    pub(crate) fn check_gain(
        &self,
        name: &InstanceName,
        held: Option<(Time, Duration)>,
    ) -> Verdict {
        let level = self
            .daemon
            .as_ref()
            .and_then(|daemon| daemon.told.levels.get(name));
        let (Some(level), Some(one)) = (level, self.instance(name)) else {
            // It was removed while its gain was held back, and only its stop is waited for.
            return Ok(());
        };
        if level.calm {
            return Ok(());
        }
        self.tally.count(Kind::CheckedGain);
        let (since, hold_max) = held.unwrap_or((level.since, one.debounce.hold_max));
        let early = self.now.since(level.since) < level.window_min && self.now < since + hold_max;
        if early {
            Err(format!("{name} gains its role too early after {level:?}"))
        } else {
            Ok(())
        }
    }

    /// Notes which gains are held back, and since when.
    pub(crate) fn note_flapping(&mut self, views: &[InstanceView]) {
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        for one in &self.settings.instances {
            let level = daemon.told.levels.get(&one.name);
            let view = views.iter().find(|view| view.name == one.name);
            if let (Some(level), Some(view)) = (level, view)
                && level.says == Role::Master
                && view.role != Role::Master
            {
                let held = (level.since, one.debounce.hold_max);
                daemon
                    .check
                    .flapping
                    .entry(one.name.clone())
                    .or_insert(held);
            }
        }
    }

    /// Fast down, slow up, no waiting when calm.
    pub(crate) fn check_role(&self, daemon: &Daemon, level: Level, view: &InstanceView) -> Verdict {
        let for_ = self.now.since(level.since);
        let right = match (level.says, view.role) {
            (Role::Unknown, role) => role == Role::Unknown,
            (Role::Backup, Role::Backup) | (Role::Master, Role::Master) => true,
            (Role::Backup, Role::Master) => {
                !level.hold_on_loss.is_zero() && for_ <= level.hold_on_loss
            }
            (Role::Backup, Role::Unknown) => false,
            (Role::Master, Role::Backup | Role::Unknown) => {
                let held = daemon.check.flapping.get(&view.name);
                let decided = held.is_some_and(|(since, hold_max)| *since + *hold_max < self.now);
                !level.calm && for_ <= level.window && !decided
            }
        };
        if right {
            Ok(())
        } else {
            Err(format!(
                "believes {} after {for_:?} of {level:?}",
                view.role
            ))
        }
    }
}

//! What must hold once the world is quiet: roles are the truth, services are what roles want, and nothing
//! happens any more but audits.

use std::time::Duration;

use keepstart::machine::job::Role;
use keepstart::machine::reason::Next;

use crate::scripts::Service;
use crate::tally::Kind;
use crate::world::{Verdict, World};

/// How long nothing may happen.
const HOUR: Duration = Duration::from_secs(3_600);

impl World {
    /// Freezes the world, and looks at what it comes to.
    pub(crate) fn come_to_rest(&mut self) -> Verdict {
        self.freeze();
        self.despair()?;
        self.calm_down()?;
        self.check_rest()?;
        let (jobs, before) = (self.scripts.actions, self.outputs);
        self.live_until(self.now + HOUR)?;
        self.check_rest()?;
        if self.scripts.actions != jobs {
            return Err("a start or stop was run although nothing had happened".into());
        }
        let outputs = self.outputs - before;
        let allowed = self.outputs_allowed();
        if outputs > allowed {
            return Err(format!(
                "{outputs} outputs in a quiet hour; {allowed} are reasonable"
            ));
        }
        Ok(())
    }

    /// An audit's is-running and what is told of it, a sign of life, a dump.
    fn outputs_allowed(&self) -> u64 {
        let times = |every: Duration| HOUR.as_secs() / every.as_secs().max(1) + 2;
        let of_instances: u64 = self
            .settings
            .instances
            .iter()
            .map(|one| 10 * times(one.audit_every) + 2 * times(one.report_every))
            .sum();
        of_instances + 2 * times(self.settings.audit_every)
    }

    fn check_rest(&self) -> Verdict {
        let Some(daemon) = &self.daemon else {
            return Err("there is no daemon in a quiet world".into());
        };
        let truth = self.kernel.truth();
        for one in &self.settings.instances {
            let role = daemon.told.level_of(&truth, one);
            let mut views = daemon.machine.views(self.now);
            let Some(view) = views.find(|view| view.name == one.name) else {
                return Err(format!("{} has no view", one.name));
            };
            let service = self.scripts.service(&one.name);
            let right = match role {
                Role::Master => service == Service::Running,
                Role::Backup => service == Service::Stopped,
                Role::Unknown => true,
            };
            if view.role != role {
                return Err(format!(
                    "{}: the truth is {role}, and it is {view:#?}",
                    one.name
                ));
            }
            if !right && !self.excused.contains(&one.name) {
                return Err(format!("{}: is {service:?} at rest: {view:#?}", one.name));
            }
            let excused = self.excused.contains(&one.name);
            self.tally.count(match role {
                Role::Unknown => Kind::CheckedRestUnknown,
                Role::Master | Role::Backup if excused => Kind::CheckedRestExcused,
                Role::Master => Kind::CheckedRestMaster,
                Role::Backup => Kind::CheckedRestBackup,
            });
            let rests = match &view.next {
                Next::Content { .. } | Next::HeldByUnknown { .. } => true,
                // An audit's is-running may be under way at this very moment.
                Next::JobRuns { .. } => one.is_running.is_some(),
                Next::GainHeld { .. }
                | Next::LossHeld { .. }
                | Next::JobPresumed { .. }
                | Next::JobOverdue { .. }
                | Next::JobEnding { .. }
                | Next::WaitsForPlace { .. }
                | Next::RetryAt { .. }
                | Next::Ending => false,
            };
            if !rests {
                return Err(format!("{} does not rest: {view:#?}", one.name));
            }
        }
        Ok(())
    }
}

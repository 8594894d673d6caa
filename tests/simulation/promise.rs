//! What a view says, checked to be true: what comes next, why it is so, and since when.

use keepstart::machine::job::{Knowledge, Role};
use keepstart::machine::reason::Next;
use keepstart::machine::view::InstanceView;

use crate::check::Told;
use crate::world::{Daemon, Verdict, World};

impl World {
    /// What can be seen has a reason and an age, and they are those of the transition that was told last.
    pub(crate) fn check_said(&self, daemon: &Daemon, view: &InstanceView) -> Verdict {
        if view.cause.to_string().is_empty() {
            return Err("has no cause".into());
        }
        let ages = [view.role_since, view.cause_since, view.knowledge_since];
        let job = view.job.as_ref().map(|job| job.started);
        if view.at != self.now || ages.into_iter().chain(job).any(|at| at > self.now) {
            return Err("has an age that is not true".into());
        }
        let Some(last) = daemon.check.last.get(&view.name) else {
            return match (view.role, view.transitions) {
                (Role::Unknown, 0) => Ok(()),
                (role, count) => Err(format!(
                    "is {role} after {count} transitions that nobody was told of"
                )),
            };
        };
        let shown = Told {
            role: view.role,
            epoch: view.epoch,
            at: view.role_since,
        };
        if shown == *last {
            Ok(())
        } else {
            Err(format!("shows {shown:?} and told {last:?}"))
        }
    }

    /// What is said to come next is true.
    pub(crate) fn check_next(&self, daemon: &Daemon, view: &InstanceView) -> Verdict {
        let text = view.next.to_string();
        if text.is_empty() {
            return Err("has no next".into());
        }
        let job_runs = matches!(
            view.next,
            Next::JobRuns { .. }
                | Next::JobPresumed { .. }
                | Next::JobOverdue { .. }
                | Next::JobEnding { .. }
        );
        if job_runs != view.job.is_some() {
            return Err(format!("says '{text}' with the job {:?}", view.job));
        }
        let promised = match &view.next {
            Next::GainHeld { until } | Next::LossHeld { until } | Next::JobPresumed { until } => {
                Some(*until)
            }
            Next::JobRuns { deadline } => Some(*deadline),
            Next::JobOverdue { cancel_at } => Some(*cancel_at),
            Next::JobEnding { kill_at } => *kill_at,
            Next::HeldByUnknown { stop_at } => *stop_at,
            Next::RetryAt { at, .. } => Some(*at),
            Next::Content { .. } | Next::WaitsForPlace { .. } | Next::Ending => None,
        };
        if let Some(at) = promised {
            let kept = daemon
                .machine
                .next_deadline()
                .is_some_and(|next| next <= at);
            // What falls on this very moment is still to come.
            if at < self.now || !kept {
                return Err(format!(
                    "promises '{text}' at {at:?}, and it is {:?}",
                    self.now
                ));
            }
        }
        let limit = usize::try_from(self.settings.starts_at_once.get()).unwrap_or(usize::MAX);
        let true_ = match &view.next {
            Next::Content { role, knowledge } => {
                *role == view.role
                    && *knowledge == view.knowledge
                    && match role {
                        Role::Master => *knowledge == Knowledge::Running,
                        Role::Backup | Role::Unknown => *knowledge == Knowledge::Stopped,
                    }
            }
            Next::HeldByUnknown { .. } => view.role == Role::Unknown,
            Next::GainHeld { .. } => view.role != Role::Master,
            Next::LossHeld { .. } => view.role == Role::Master,
            Next::WaitsForPlace { before } => {
                let others = u32::try_from(self.settings.instances.len()).unwrap_or(u32::MAX);
                view.role == Role::Master && self.young_starts() >= limit && *before <= others
            }
            Next::Ending => daemon.ending || view.leaving,
            Next::JobRuns { .. }
            | Next::JobPresumed { .. }
            | Next::JobOverdue { .. }
            | Next::JobEnding { .. }
            | Next::RetryAt { .. } => true,
        };
        if true_ {
            Ok(())
        } else {
            Err(format!("says '{text}', which is not true"))
        }
    }
}

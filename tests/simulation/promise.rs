//! What a view says to come next, checked to be true.

use keepstart::machine::job::{Knowledge, Role};
use keepstart::machine::reason::Next;
use keepstart::machine::view::InstanceView;

use crate::world::{Daemon, Verdict, World};

impl World {
    /// What is said to come next is true.
    pub(crate) fn check_next(&self, daemon: &Daemon, view: &InstanceView) -> Verdict {
        let text = view.next.to_string();
        if text.is_empty() {
            return Err("has no next".into());
        }
        let job_runs = matches!(
            view.next,
            Next::JobRuns { .. } | Next::JobOverdue { .. } | Next::JobEnding { .. }
        );
        if job_runs != view.job.is_some() {
            return Err(format!("says '{text}' with the job {:?}", view.job));
        }
        let promised = match &view.next {
            Next::GainHeld { until } | Next::LossHeld { until } => Some(*until),
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
            Next::WaitsForPlace { .. } => view.role == Role::Master && self.young_starts() >= limit,
            Next::Ending => daemon.ending || view.leaving,
            Next::JobRuns { .. }
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

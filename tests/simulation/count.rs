//! Which kinds of things the outputs and views of a step are, for the tally.

use keepstart::machine::job::{Action, Job, Outcome, Role};
use keepstart::machine::message::{Event, Output};
use keepstart::machine::reason::{Next, Reason};
use keepstart::machine::view::InstanceView;

use crate::tally::Kind;
use crate::world::World;

impl World {
    /// Before an output is carried out.
    pub(crate) fn count_output(&self, output: &Output) {
        match output {
            Output::Event(event) => self.count_event(event),
            Output::Start(job) => self.count_job(job),
            Output::Watch(_)
            | Output::WatchUnits(_)
            | Output::Subscribe
            | Output::Dump
            | Output::Signal { .. }
            | Output::ReserveEpochs { .. }
            | Output::Remember { .. }
            | Output::RememberNic { .. }
            | Output::LetGo { .. }
            | Output::Changed(_)
            | Output::Gone(_)
            | Output::Finished => {}
        }
    }

    fn count_event(&self, event: &Event) {
        let kind = match event {
            Event::Transition { to, .. } => match to {
                Role::Master => Kind::ToMaster,
                Role::Backup => Kind::ToBackup,
                Role::Unknown => Kind::ToUnknown,
            },
            Event::Superseded { .. } => Kind::Superseded,
            Event::JobEnded { outcome, .. } => match outcome {
                Outcome::Done => Kind::Done,
                Outcome::Failed { .. } => Kind::Failed,
                Outcome::Killed { .. } => Kind::Killed,
                Outcome::TimedOut { .. } => Kind::TimedOut,
                Outcome::Cancelled => Kind::Cancelled,
                Outcome::NotStarted { .. } => Kind::NotStarted,
                Outcome::UnitFailed { .. } => Kind::UnitFailed,
                Outcome::NotRunning { .. } => Kind::NotRunning,
                Outcome::PartlyRunning { .. } => Kind::PartlyRunning,
                Outcome::Unseen => Kind::Unseen,
            },
            Event::RetryScheduled { .. } => Kind::RetryScheduled,
            Event::Adopted { .. } => Kind::JobAdopted,
            Event::AuditRepaired { .. } => Kind::AuditRepaired,
            Event::Alive { .. } => Kind::Alive,
            Event::EpochsExhausted { .. } => Kind::EpochsExhausted,
            Event::Reloaded(changes) => {
                let counts = [
                    (Kind::ReloadAdds, changes.added.len()),
                    (Kind::ReloadChanges, changes.changed.len()),
                    (Kind::ReloadRemoves, changes.removed.len()),
                ];
                for (kind, count) in counts {
                    (0..count).for_each(|_| self.tally.count(kind));
                }
                return;
            }
            // Counted where they are made, or seen in the views.
            Event::Held { .. }
            | Event::JobStarted { .. }
            | Event::JobSpawned { .. }
            | Event::Settled { .. }
            | Event::JobSignalled { .. }
            | Event::Overrun { .. }
            | Event::Subscribed
            | Event::SubscriptionLost { .. }
            | Event::Synchronized { .. }
            | Event::DumpFailed { .. } => return,
        };
        self.tally.count(kind);
    }

    fn count_job(&self, job: &Job) {
        self.tally.count(match job.reason {
            Reason::TakenUp => Kind::JobTakenUp,
            Reason::RoleGained => Kind::JobRoleGained,
            Reason::RoleLost => Kind::JobRoleLost,
            Reason::FoundStopped => Kind::JobFoundStopped,
            Reason::FoundRunning => Kind::JobFoundRunning,
            Reason::UnitChanged => Kind::JobUnitChanged,
            Reason::Verify => Kind::JobVerify,
            Reason::Retry => Kind::JobRetry,
            Reason::Audit => Kind::JobAudit,
            Reason::AuditWanted => Kind::JobAuditWanted,
            Reason::UnknownTooLong => Kind::JobUnknownTooLong,
            Reason::Adopted => Kind::JobAfterAdopted,
            Reason::DaemonEnds => Kind::JobDaemonEnds,
            Reason::InstanceRemoved => Kind::JobInstanceRemoved,
        });
        let drags = |one: &crate::scripts::Process| {
            one.instance != job.settings.name && one.is_slow_at(self.now)
        };
        if job.action == Action::Start && self.scripts.processes.values().any(drags) {
            self.tally.count(Kind::CheckedBeside);
        }
    }

    /// After a step.
    pub(crate) fn count_view(&self, view: &InstanceView) {
        self.tally.count(match view.next {
            Next::Content { .. } => Kind::SawContent,
            Next::HeldByUnknown { .. } => Kind::SawHeldByUnknown,
            Next::GainHeld { .. } => Kind::SawGainHeld,
            Next::LossHeld { .. } => Kind::SawLossHeld,
            Next::JobRuns { .. } => Kind::SawJobRuns,
            Next::JobPresumed { .. } => Kind::SawJobPresumed,
            Next::JobOverdue { .. } => Kind::SawJobOverdue,
            Next::JobEnding { .. } => Kind::SawJobEnding,
            Next::WaitsForPlace { .. } => {
                if self.settings.starts_at_once.get() == 1 {
                    self.tally.count(Kind::SawWaitsForTheOnlyPlace);
                }
                Kind::SawWaitsForPlace
            }
            Next::RetryAt { .. } => Kind::SawRetryAt,
            Next::Ending => Kind::SawEnding,
        });
    }
}

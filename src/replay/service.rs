//! How the scripts and services of a recording behave, as far as the recording shows it: what another configuration's
//! jobs are given as answers. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::machine::Time;
use crate::machine::job::{Action, Exit, Job, JobId, JobSignal};
use crate::machine::message::{Input, Output};
use crate::machine::settings::InstanceName;

/// What a job of which the recording has no example takes.
const UNSEEN_TAKES: Duration = Duration::from_millis(10);
/// How soon a script that is told to end does, where the recording does not show it.
const ENDS_WITHIN: Duration = Duration::from_millis(1);
const SIGTERM: i32 = 15;

/// One job as it was recorded.
#[derive(Debug, Clone)]
struct Example {
    began: Time,
    spawned: Option<Time>,
    /// When it was sent its last signal.
    signalled: Option<(Time, JobSignal)>,
    ended: Option<(Time, Exit)>,
}

/// A service that came or went by itself.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) at: Time,
    pub(super) instance: InstanceName,
    pub(super) runs: bool,
}

/// Every job of a recording, by whose it is.
#[derive(Debug, Default)]
pub(super) struct Examples {
    jobs: BTreeMap<(InstanceName, Action), Vec<Example>>,
    open: BTreeMap<JobId, (InstanceName, Action, usize)>,
    /// What the actions have made of the services, and what is-running has said.
    runs: BTreeMap<InstanceName, bool>,
    pub(super) changes: Vec<Change>,
}

/// How a job will go.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) spawned_after: Duration,
    /// When it ends by itself and how; `None`: it hangs.
    pub(super) ends: Option<(Duration, Exit)>,
    /// How long after its last signal it ends.
    pub(super) after_signal: Duration,
    /// Which signal that has to be: one that was killed in the recording does not listen to SIGTERM.
    pub(super) obeys: JobSignal,
}

impl Examples {
    /// Whether a job was begun within the recording.
    pub(super) fn knows(&self, job: JobId) -> bool {
        self.open.contains_key(&job)
    }

    /// The recorded machine was told something.
    pub(super) fn input(&mut self, at: Time, input: &Input) {
        match input {
            Input::Spawned { job, .. } => {
                if let Some(example) = self.example(*job) {
                    example.spawned = Some(at);
                }
            }
            Input::Ended { job, exit } => {
                if let Some(example) = self.example(*job) {
                    example.ended = Some((at, exit.clone()));
                }
                self.learn(*job, exit);
            }
            Input::Subscribed
            | Input::SubscriptionLost { .. }
            | Input::Kernel(_)
            | Input::Overrun
            | Input::Dumped(_)
            | Input::DumpFailed { .. }
            | Input::EpochsReserved(_)
            | Input::UnitsChanged(_)
            | Input::Reload(_)
            | Input::Audit(_)
            | Input::Shutdown => {}
        }
    }

    /// It said something.
    pub(super) fn output(&mut self, at: Time, output: &Output) {
        if let Output::Start(job) = output {
            let key = (job.settings.name.clone(), job.action);
            let examples = self.jobs.entry(key.clone()).or_default();
            self.open.insert(job.id, (key.0, key.1, examples.len()));
            examples.push(Example {
                began: at,
                spawned: None,
                signalled: None,
                ended: None,
            });
        }
        if let Output::Signal { job, signal, .. } = output
            && let Some(example) = self.example(*job)
        {
            example.signalled = Some((at, *signal));
        }
    }

    fn example(&mut self, job: JobId) -> Option<&mut Example> {
        let (instance, action, at) = self.open.get(&job)?.clone();
        self.jobs.get_mut(&(instance, action))?.get_mut(at)
    }

    /// An answer that differs from what the actions have brought about tells of a service that changed by itself.
    fn learn(&mut self, job: JobId, exit: &Exit) {
        let Some((instance, action, at)) = self.open.get(&job).cloned() else {
            return;
        };
        let Some(runs) = outcome(action, exit) else {
            return;
        };
        let before = self.runs.insert(instance.clone(), runs);
        if action == Action::IsRunning && before != Some(runs) {
            let key = (instance.clone(), action);
            let example = self.jobs.get(&key).and_then(|jobs| jobs.get(at));
            let at = example.map_or(Time::ZERO, |example| example.began);
            self.changes.push(Change { at, instance, runs });
        }
    }

    /// How a job goes that begins now, while its service runs or not.
    pub(super) fn course(&self, job: &Job, runs: bool, now: Time) -> Course {
        let answer = if runs { Exit::Code(0) } else { Exit::Code(1) };
        let asks = job.action == Action::IsRunning;
        let key = (job.settings.name.clone(), job.action);
        let jobs = self.jobs.get(&key).map(Vec::as_slice).unwrap_or_default();
        // Scripts change with the world: the one that began last tells most.
        let nearest = jobs.iter().rfind(|one| one.began <= now);
        let Some(example) = nearest.or(jobs.first()) else {
            let exit = if asks { answer } else { Exit::Code(0) };
            return Course {
                spawned_after: ENDS_WITHIN,
                ends: Some((UNSEEN_TAKES, exit)),
                after_signal: ENDS_WITHIN,
                obeys: JobSignal::Term,
            };
        };
        let spawned = example.spawned.map(|at| at.since(example.began));
        let ended = example.ended.as_ref();
        let after_signal = example.signalled.zip(ended);
        let after_signal = after_signal.map_or(ENDS_WITHIN, |((signalled, _), (ended, _))| {
            ended.since(signalled)
        });
        let by_itself = ended.filter(|_| example.signalled.is_none());
        Course {
            spawned_after: spawned.unwrap_or(ENDS_WITHIN),
            ends: by_itself.map(|(ended, exit)| {
                let answers = asks && outcome(job.action, exit).is_some();
                let exit = if answers { answer } else { exit.clone() };
                (ended.since(example.began), exit)
            }),
            after_signal,
            obeys: example
                .signalled
                .map_or(JobSignal::Term, |(_, signal)| signal),
        }
    }
}

/// How a script ends that was told to.
pub(super) fn ended_by_signal() -> Exit {
    Exit::Signal(SIGTERM)
}

/// Whether a service runs after a job of its; `None`: that does not tell.
pub(super) fn outcome(action: Action, exit: &Exit) -> Option<bool> {
    match (action, exit) {
        (Action::Start | Action::IsRunning, Exit::Code(0)) => Some(true),
        (Action::Stop, Exit::Code(0)) | (Action::IsRunning, Exit::NotRunning(_)) => Some(false),
        // The shell's statuses for what it cannot execute or find are no answer.
        (Action::IsRunning, Exit::Code(code)) if !matches!(code, 126 | 127) => Some(false),
        (
            _,
            Exit::Code(_)
            | Exit::Signal(_)
            | Exit::Unseen
            | Exit::NotStarted(_)
            | Exit::UnitFailed(_)
            | Exit::NotRunning(_)
            | Exit::PartlyRunning(_),
        ) => None,
    }
}

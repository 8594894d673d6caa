//! An entry in words: the line of the journal, and the figures in it. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Entry, Kind, Running, State, Time, Wait, What};
use crate::machine::job::{Action, Knowledge, NOT_EXECUTABLE, Outcome};
use crate::machine::reason::Reason;

impl Entry {
    /// Its name: `web/7` for a transition; for jobs the transition that they serve.
    pub fn id(&self) -> Option<String> {
        match self.kind {
            Kind::Transition { .. } | Kind::Jobs { .. } => {
                Some(format!("{}/{}", self.instance, self.epoch))
            }
            Kind::Unbelieved { .. } => None,
        }
    }

    /// How long it has taken.
    pub fn took(&self, now: Time) -> Duration {
        self.ended().unwrap_or(now).since(self.began)
    }

    /// From its beginning to the first instruction of its first start or stop.
    pub fn to_first_instruction(&self) -> Option<Duration> {
        self.first_instruction.map(|at| at.since(self.began))
    }

    /// All of it in one line: `MASTER took 0.9 ms to the start's first instruction, 1.2 s in all: seen → decided 0.0
    /// → spawned 0.9 → start done 1203 → verified 1215 ms`.
    pub fn sentence(&self, now: Time) -> String {
        let mut text = self.headline(now);
        if self.stages.len() > 1 {
            let _ = write!(text, ": {}", self.marks());
        }
        text
    }

    /// What became of it, and in what time.
    pub fn headline(&self, now: Time) -> String {
        let whole = span(self.took(now));
        let first = self.first_action().zip(self.to_first_instruction());
        let first = first.map_or_else(String::new, |(action, to_first)| {
            format!("{} to the {action}'s first instruction, ", span(to_first))
        });
        let subject = self.subject();
        match self.state {
            State::Open => format!("{subject} is under way for {whole}"),
            State::Settled(knowledge) if !self.acted() => {
                let found = match knowledge {
                    Knowledge::Running => "the service was running",
                    Knowledge::Stopped => "the service was stopped",
                    Knowledge::Partly => "some of its units were running",
                    Knowledge::Maybe => "what runs is held",
                };
                format!("{subject} needed no action ({found}), {whole} in all")
            }
            State::Settled(_) => format!("{subject} took {first}{whole} in all"),
            State::Superseded => match self.kind {
                Kind::Unbelieved { times } if times > 1 => {
                    format!(
                        "{subject} was over before it was believed, {times} times within {whole}"
                    )
                }
                Kind::Unbelieved { .. } => {
                    format!("{subject} was over before it was believed, after {whole}")
                }
                Kind::Transition { .. } | Kind::Jobs { .. } => {
                    format!("{subject} was overtaken after {whole}, before anything was run for it")
                }
            },
            State::Overtaken { by } => format!(
                "{subject} was overtaken by {}/{by} after {first}{whole} in all",
                self.instance
            ),
            State::Over => format!("{subject} took {whole}"),
            State::Gap => format!(
                "what became of {subject} after {whole} is not known: events came faster than they could be taken in"
            ),
        }
    }

    fn subject(&self) -> String {
        match &self.kind {
            Kind::Transition { .. } | Kind::Unbelieved { .. } => self.role.to_string(),
            Kind::Jobs {
                reason: Reason::Adopted,
            } => {
                let action = self.first_action().map_or("a job", Action::as_str);
                format!("{action} of the daemon's earlier life")
            }
            Kind::Jobs { reason } => match self.first_action() {
                Some(action) => format!("{action}, because {reason},"),
                None => format!("is-running, because {reason},"),
            },
        }
    }

    /// The first start or stop, whether over or not.
    fn first_action(&self) -> Option<Action> {
        let of = |what: &What| match what {
            What::Spawn { action, .. } | What::Run { action, .. } | What::End { action, .. } => {
                Some(*action)
            }
            What::Debounce | What::Wait(_) | What::Check { .. } | What::Folded { .. } => None,
        };
        let over = self.stages.iter().find_map(|stage| of(&stage.what));
        let runs = self.running.as_ref().map(|running| running.action);
        over.or(runs.filter(|action| action.changes_service()))
    }

    /// The ends of its stages, in milliseconds from its beginning.
    fn marks(&self) -> String {
        let mut text = "seen".to_owned();
        for stage in &self.stages {
            let ms = millis(stage.until.since(self.began));
            let _ = write!(text, " → {} {ms}", stage.what.mark());
        }
        text + " ms"
    }

    /// Its stages with how long each took, in microseconds: `debounce 0, spawn 412, start 1203000, is-running 12000`.
    pub fn stages_us(&self) -> String {
        let mut text = String::new();
        let mut from_us = 0;
        for stage in &self.stages {
            let until_us = stage.until.since(self.began).as_micros();
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{} {}", stage.what.name(), until_us - from_us);
            from_us = until_us;
        }
        text
    }

    /// What it is in now, in words; `None`: it is over, or nothing of it is left to be done.
    pub fn present(&self) -> Option<String> {
        match (&self.running, self.waits) {
            _ if self.state != State::Open => None,
            (Some(running), _) => Some(running.sentence()),
            (None, wait) => Some(wait.sentence().to_owned()),
        }
    }
}

impl Running {
    fn sentence(&self) -> String {
        let action = self.action;
        match (&self.ending, self.spawned || action == Action::IsRunning) {
            (Some(outcome), _) => format!("{action} was told to end ({outcome})"),
            (None, true) => format!("{action} runs, because {}", self.reason),
            (None, false) => format!("{action} was ordered and is not executed yet"),
        }
    }
}

impl Wait {
    fn sentence(self) -> &'static str {
        match self {
            Self::EarlierJob => "waited for the job of an earlier role",
            Self::Retry { .. } => "waited for the next attempt",
            Self::Turn => "waited for its turn",
        }
    }
}

impl What {
    /// As a word.
    fn name(&self) -> &'static str {
        match self {
            Self::Debounce => "debounce",
            Self::Wait(_) => "wait",
            Self::Spawn { .. } => "spawn",
            Self::Run { action, .. } => action.as_str(),
            Self::End { .. } => "end",
            Self::Check { .. } => "is-running",
            Self::Folded { .. } => "folded",
        }
    }

    /// Its end as a word or two.
    fn mark(&self) -> String {
        match self {
            Self::Debounce => "decided".into(),
            Self::Wait(Wait::EarlierJob) => "free".into(),
            Self::Wait(Wait::Retry { .. }) => "tried again".into(),
            Self::Wait(Wait::Turn) => "ordered".into(),
            Self::Spawn { failed: None, .. } => "spawned".into(),
            Self::Spawn {
                action,
                failed: Some(outcome),
                ..
            }
            | Self::Run {
                action, outcome, ..
            } => format!("{action} {outcome}"),
            Self::End { action, .. } => format!("{action} gone"),
            Self::Check { outcome, .. } => match answer(outcome) {
                Answer::Yes => "is-running said yes".into(),
                Answer::No => "is-running said no".into(),
                Answer::None => format!("is-running {outcome}"),
            },
            Self::Folded { stages } => format!("({stages} more stages)"),
        }
    }

    /// What it was, as a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Debounce => "from the first sight of it to the decision".into(),
            Self::Wait(wait) => wait.sentence().into(),
            Self::Spawn {
                action,
                failed: None,
                ..
            } => format!("{action}: from the order to its first instruction"),
            Self::End {
                action, outcome, ..
            } => format!("{action} was told to end ({outcome})"),
            Self::Folded { stages } => format!("{stages} more stages"),
            Self::Spawn { .. } | Self::Run { .. } | Self::Check { .. } => self.mark(),
        }
    }
}

/// What an is-running has said.
pub(super) enum Answer {
    Yes,
    No,
    None,
}

pub(super) fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Done => Answer::Yes,
        Outcome::Failed { code } if !NOT_EXECUTABLE.contains(code) => Answer::No,
        Outcome::NotRunning { .. } | Outcome::PartlyRunning { .. } => Answer::No,
        Outcome::Failed { .. }
        | Outcome::Killed { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled
        | Outcome::NotStarted { .. }
        | Outcome::UnitFailed { .. }
        | Outcome::Unseen => Answer::None,
    }
}

/// A span as a figure with its unit: `0.9 ms`, `35 ms`, `1.2 s`, `3m12s`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", millis(span)),
        1..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Milliseconds, with a decimal where they are few.
fn millis(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1000.0;
    if ms < 99.95 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

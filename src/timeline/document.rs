//! The timeline as a document: what `keepstart timeline --json` prints, for people's scripts and pages. Pure: made
//! of entries and the time at which the answer is given.
//!
//! Fields are only ever added. Spans are microseconds and begin with the entry: `at_us` of a stage is where the one
//! before ended, and the stages' `took_us` add up to the entry's, to the microsecond.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sentence::{Answer, answer};
use super::{Entry, Kind, State, Time, Timeline, Wait, What, unix_ms};
use crate::machine::job::{Action, JobId, Outcome, Role};
use crate::machine::reason::Reason;
use crate::machine::settings::InstanceName;

/// What there is to know of the timeline as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineDocument {
    /// How many entries follow.
    pub entries: usize,
    /// How many there are that were asked for, with those that `last` leaves out.
    pub kept: usize,
    /// Since when it is kept: the daemon's start, milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Entries that had to make room since then.
    pub forgotten: u64,
    /// How often events came faster than they could be taken in.
    pub gaps: u64,
    /// When that was last, milliseconds since 1970.
    pub last_gap_unix_ms: Option<u64>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryDocument {
    /// What it is.
    pub kind: EntryKind,
    /// The transition's name, or of jobs that none caused the one that they served; `null` for what was never
    /// believed.
    pub id: Option<String>,
    /// Whose it is.
    pub instance: InstanceName,
    /// The role before; `null` where it did not change.
    pub from: Option<Role>,
    /// The role that it was about.
    pub role: Role,
    /// What caused it, as a clause.
    pub cause: String,
    /// The same as a word, for jobs that no transition caused.
    pub reason: Option<Reason>,
    /// How far it is.
    pub state: EntryState,
    /// By which transition it was overtaken.
    pub overtaken_by: Option<String>,
    /// How often it came in a row, for what was never believed; otherwise 1.
    pub times: u32,
    /// When it began, milliseconds since 1970.
    pub began_unix_ms: u64,
    /// How long that is ago.
    pub age_ms: u64,
    /// How long it took, or has taken so far.
    pub took_us: u64,
    /// From its beginning to the first instruction of its first start or stop.
    pub first_instruction_us: Option<u64>,
    /// When the next attempt is due, where one is waited for.
    pub retry_in_ms: Option<u64>,
    /// All of it in one line.
    pub text: String,
    /// The same without its stages.
    pub headline: String,
    /// What it consists of, in order and without gaps.
    pub stages: Vec<StageDocument>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A change of role.
    Transition,
    /// A change of role that was over before it was believed.
    Unbelieved,
    /// Jobs that no transition caused.
    Jobs,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// It goes on.
    Open,
    /// It goes on: an attempt has failed, and the next is waited for.
    Retrying,
    /// What runs is what the role wants.
    Settled,
    /// It was overtaken before anything was run for it.
    Superseded,
    /// It was overtaken while something was.
    Overtaken,
    /// Its job is over.
    Over,
    /// What became of it is not known.
    Gap,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageDocument {
    /// What it is.
    pub stage: StageKind,
    /// Where it begins.
    pub at_us: u64,
    /// How long it took, or has taken so far.
    pub took_us: u64,
    /// As a sentence.
    pub what: String,
    /// The action, where it is about one.
    pub action: Option<Action>,
    /// Its job.
    pub job: Option<JobId>,
    /// What became of that.
    pub result: Option<StageResult>,
    /// Whether it goes on.
    pub open: bool,
}

/// What a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// From the source's word to the belief in it.
    Debounce,
    /// Nothing could be done yet.
    Wait,
    /// From the order to the first instruction.
    Spawn,
    /// A start or stop ran.
    Run,
    /// It had been told to end.
    End,
    /// is-running was asked.
    Check,
    /// Several stages of which too many came.
    Folded,
}

/// What became of a stage's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageResult {
    /// A start or stop with exit status 0, or is-running has said yes.
    Done,
    /// is-running has said no.
    No,
    /// It failed, was killed by somebody else, or gave no answer.
    Failed,
    /// It took longer than its timeout.
    TimedOut,
    /// The role had turned against it.
    Cancelled,
    /// It could not be started.
    NotStarted,
    /// Nobody saw how it ended.
    Unseen,
}

impl TimelineDocument {
    /// The last entries of one instance or of all, and what there is to know of the whole.
    pub fn of(
        timeline: &Timeline,
        instance: Option<&InstanceName>,
        last: Option<usize>,
        now: Time,
        zero_unix_ms: u64,
    ) -> (Self, Vec<EntryDocument>) {
        let entries = timeline.entries(instance);
        let kept = entries.len();
        let skipped = kept.saturating_sub(last.unwrap_or(kept));
        let entries: Vec<_> = entries
            .iter()
            .skip(skipped)
            .map(|entry| EntryDocument::of(entry, now, zero_unix_ms))
            .collect();
        let (gaps, gap) = timeline.gaps();
        let document = Self {
            entries: entries.len(),
            kept,
            since_unix_ms: unix_ms(timeline.began(), zero_unix_ms),
            forgotten: timeline.forgotten(),
            gaps,
            last_gap_unix_ms: gap.map(|gap| gap.unix_ms),
        };
        (document, entries)
    }
}

impl EntryDocument {
    /// The entry as it is at `now`.
    pub fn of(entry: &Entry, now: Time, zero_unix_ms: u64) -> Self {
        let (kind, from, cause, reason, times) = match &entry.kind {
            Kind::Transition { from, cause } => (
                EntryKind::Transition,
                Some(*from),
                cause.to_string(),
                None,
                1,
            ),
            Kind::Unbelieved { times } => {
                let cause = "the source took it back before it was believed".to_owned();
                (EntryKind::Unbelieved, None, cause, None, *times)
            }
            Kind::Jobs {
                reason: reason @ Reason::Adopted,
            } => {
                let cause = "the daemon was started again while it ran".to_owned();
                (EntryKind::Jobs, None, cause, Some(*reason), 1)
            }
            Kind::Jobs { reason } => (EntryKind::Jobs, None, reason.to_string(), Some(*reason), 1),
        };
        let retry_at = match (&entry.running, entry.waits) {
            (None, Wait::Retry { at }) if entry.state == State::Open => Some(at),
            (None | Some(_), _) => None,
        };
        let began_unix_ms = match entry.began_unix_ms {
            0 => unix_ms(entry.began, zero_unix_ms),
            known => known,
        };
        let overtaken_by = if let State::Overtaken { by } = entry.state {
            Some(format!("{}/{by}", entry.instance))
        } else {
            None
        };
        Self {
            kind,
            id: entry.id(),
            instance: entry.instance.clone(),
            from,
            role: entry.role,
            cause,
            reason,
            state: state(entry, retry_at),
            overtaken_by,
            times,
            began_unix_ms,
            age_ms: u64::try_from(now.since(entry.began).as_millis()).unwrap_or(u64::MAX),
            took_us: micros(entry.took(now)),
            first_instruction_us: entry.to_first_instruction().map(micros),
            retry_in_ms: retry_at
                .map(|at| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX)),
            text: entry.sentence(now),
            headline: entry.headline(now),
            stages: stages(entry, now),
        }
    }
}

fn state(entry: &Entry, retry_at: Option<Time>) -> EntryState {
    match entry.state {
        State::Open if retry_at.is_some() => EntryState::Retrying,
        State::Open => EntryState::Open,
        State::Settled(_) => EntryState::Settled,
        State::Superseded => EntryState::Superseded,
        State::Overtaken { .. } => EntryState::Overtaken,
        State::Over => EntryState::Over,
        State::Gap => EntryState::Gap,
    }
}

fn stages(entry: &Entry, now: Time) -> Vec<StageDocument> {
    let mut at_us = 0;
    entry
        .stages_at(now)
        .map(|(what, until)| {
            // Each border is rounded once, so that the spans between them add up.
            let until_us = micros(until.since(entry.began));
            let mut stage = match what {
                Some(what) => stage_over(what),
                None => stage_open(entry),
            };
            stage.at_us = at_us;
            stage.took_us = until_us - at_us;
            at_us = until_us;
            stage
        })
        .collect()
}

fn stage_over(what: &What) -> StageDocument {
    let (stage, action, job, result) = match what {
        What::Debounce => (StageKind::Debounce, None, None, None),
        What::Wait(_) => (StageKind::Wait, None, None, None),
        What::Folded { .. } => (StageKind::Folded, None, None, None),
        What::Spawn {
            job,
            action,
            failed,
        } => {
            let result = failed.as_ref().map(result);
            (StageKind::Spawn, Some(*action), Some(*job), result)
        }
        What::Run {
            job,
            action,
            outcome,
        } => {
            let result = Some(result(outcome));
            (StageKind::Run, Some(*action), Some(*job), result)
        }
        What::End {
            job,
            action,
            outcome,
        } => {
            let result = Some(result(outcome));
            (StageKind::End, Some(*action), Some(*job), result)
        }
        What::Check { job, outcome, .. } => {
            let result = match answer(outcome) {
                Answer::No => StageResult::No,
                Answer::Yes | Answer::None => result(outcome),
            };
            let action = Some(Action::IsRunning);
            (StageKind::Check, action, Some(*job), Some(result))
        }
    };
    StageDocument {
        stage,
        at_us: 0,
        took_us: 0,
        what: what.sentence(),
        action,
        job,
        result,
        open: false,
    }
}

/// What an entry that goes on is in.
fn stage_open(entry: &Entry) -> StageDocument {
    let running = entry.running.as_ref();
    let stage = match running {
        None => StageKind::Wait,
        Some(running) if running.action == Action::IsRunning => StageKind::Check,
        Some(running) if !running.spawned => StageKind::Spawn,
        Some(running) if running.ending.is_some() => StageKind::End,
        Some(_) => StageKind::Run,
    };
    StageDocument {
        stage,
        at_us: 0,
        took_us: 0,
        what: entry.present().unwrap_or_default(),
        action: running.map(|running| running.action),
        job: running.map(|running| running.job),
        result: None,
        open: true,
    }
}

fn result(outcome: &Outcome) -> StageResult {
    match outcome {
        Outcome::Done => StageResult::Done,
        Outcome::Failed { .. }
        | Outcome::Killed { .. }
        | Outcome::UnitFailed { .. }
        | Outcome::NotRunning { .. }
        | Outcome::PartlyRunning { .. } => StageResult::Failed,
        Outcome::TimedOut { .. } => StageResult::TimedOut,
        Outcome::Cancelled => StageResult::Cancelled,
        Outcome::NotStarted { .. } => StageResult::NotStarted,
        Outcome::Unseen => StageResult::Unseen,
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

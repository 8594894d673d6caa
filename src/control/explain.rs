//! Why an instance is as it is, at the length of a screen: what the source says, which rules hold, and what a person
//! can do. Pure: made from the machine's views and the time at which the answer is given.
//!
//! Fields are only ever added.

mod advice;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::advice::advice;
use super::peer::CommandLines;
use super::status::{Freshness, InstanceStatus, KernelStatus, millis};
use super::why::{PRESUMED, Span};
use crate::machine::Time;
use crate::machine::job::{Action, Role};
use crate::machine::reason::Next;
use crate::machine::settings::{Quorum, Release, VipRule};
use crate::machine::view::{InstanceView, KernelView};
use crate::timeline::document::EntryDocument;

/// So many of the last transitions are told with it.
pub const TRANSITIONS_SHOWN: usize = 3;

/// Everything about one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its status.
    pub status: InstanceStatus,
    /// What each source says.
    pub sources: Vec<SourceSays>,
    /// The rules that hold now; the first one is that of the role.
    pub rules: Vec<Rule>,
    /// What a person can do; empty where nothing is wrong.
    pub advice: Vec<String>,
    /// Its last entries in the timeline, oldest first.
    pub transitions: Vec<EntryDocument>,
}

/// What a source says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSays {
    /// Its name.
    pub source: String,
    /// The role that it says.
    pub role: Role,
    /// What it has seen.
    pub what: String,
    /// Since when it says so.
    pub age_ms: u64,
    /// How it is followed.
    pub followed: String,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which.
    pub rule: RuleKind,
    /// What it says.
    pub what: String,
    /// When it will have its way, where that is known.
    pub in_ms: Option<u64>,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// Which addresses make a MASTER (`vip`, `nic`, `match`).
    Quorum,
    /// A gain waits for calm (`debounce`, `maximum-hold`).
    Debounce,
    /// A loss is held back (`hold-on-loss`).
    HoldOnLoss,
    /// What becomes of a service while the role is UNKNOWN (`unknown-stop-after`).
    UnknownStop,
    /// Failed attempts are repeated (`retry`).
    Retry,
    /// A start waits for a place (`starts-at-once`).
    StartsAtOnce,
    /// A job that the role has turned against is cancelled (`start-cancel-after`).
    CancelAfter,
    /// How long a job may run (`timeout`).
    Timeout,
    /// Nothing is run beside a process that may be a job whose record is lost.
    Presumed,
    /// How long a job that was told to end may take (`kill-after`).
    KillAfter,
    /// What runs is what the role wants.
    Content,
    /// What becomes of the service at the end (`on-exit`, `on-remove`).
    Release,
}

impl Explanation {
    /// Why an instance is as it is at `now`; the transitions are added by who has them.
    pub fn of(
        view: &InstanceView,
        kernel: Option<&KernelView>,
        now: Time,
        freshness: Freshness,
        command_lines: CommandLines,
    ) -> Self {
        let status = InstanceStatus::of(view, now, freshness);
        let kernel = kernel.map(|kernel| KernelStatus::of(kernel, now));
        let source = SourceSays {
            source: "kernel".into(),
            role: view.cause.says(),
            what: view.cause.to_string(),
            age_ms: status.cause_age_ms,
            followed: followed(kernel.as_ref()),
        };
        let role = Rule {
            rule: RuleKind::Quorum,
            what: role_rule(&view.settings.role),
            in_ms: None,
        };
        Self {
            sources: vec![source],
            rules: vec![role, present_rule(view, now)],
            advice: advice(view, &status, kernel.as_ref(), now, command_lines),
            transitions: Vec::new(),
            status,
        }
    }
}

fn followed(kernel: Option<&KernelStatus>) -> String {
    let Some(kernel) = kernel else {
        return "nothing has been heard of it yet".into();
    };
    let read = kernel.dump_age_ms.map_or_else(String::new, |age| {
        format!(", read in full {} ago", Span::ms(age))
    });
    match (kernel.subscribed, kernel.synchronized) {
        (true, true) => format!("each change is heard at once{read}"),
        (true, false) => format!("changes were missed and all is being read anew{read}"),
        (false, _) => format!("its notifications are not available, it is asked regularly{read}"),
    }
}

/// What makes a MASTER.
fn role_rule(rule: &VipRule) -> String {
    let addresses: Vec<_> = rule.addresses.iter().map(ToString::to_string).collect();
    let on = rule
        .nic
        .as_ref()
        .map_or_else(|| "on any interface".to_owned(), |nic| format!("on {nic}"));
    match (&addresses[..], rule.quorum) {
        ([one], Quorum::All | Quorum::Any) => format!("MASTER while {one} is {on}"),
        (all, Quorum::All) => format!("MASTER while all of {} are {on}", all.join(", ")),
        (all, Quorum::Any) => format!("MASTER while any of {} is {on}", all.join(", ")),
    }
}

fn span(span: Duration) -> Span {
    Span(span)
}

/// The rule by which the instance does what it does now.
fn present_rule(view: &InstanceView, now: Time) -> Rule {
    let settings = &view.settings;
    let (rule, what, at) = match &view.next {
        Next::Content { role, knowledge } => {
            let what =
                format!("nothing is done while the role is {role} and the service is {knowledge}");
            (RuleKind::Content, what, None)
        }
        Next::GainHeld { until } => {
            let debounce = settings.debounce;
            let what = format!(
                "a gain is believed when nothing has moved for {} (debounce), or after {} of flapping \
                 (maximum-hold)",
                span(debounce.window),
                span(debounce.hold_max)
            );
            (RuleKind::Debounce, what, Some(*until))
        }
        Next::LossHeld { until } => {
            let hold = span(settings.debounce.hold_on_loss);
            let what = format!("a loss is believed when it has lasted for {hold} (hold-on-loss)");
            (RuleKind::HoldOnLoss, what, Some(*until))
        }
        Next::HeldByUnknown { stop_at } => {
            let what = match settings.unknown_stop_after {
                None => "while the role is UNKNOWN nothing is started, and what runs is held for as long as it \
                         takes (unknown-stop-after is not set)"
                    .to_owned(),
                Some(after) => format!(
                    "while the role is UNKNOWN nothing is started, and what runs is stopped after {} \
                     (unknown-stop-after)",
                    span(after)
                ),
            };
            (RuleKind::UnknownStop, what, *stop_at)
        }
        Next::JobPresumed { until } => (RuleKind::Presumed, PRESUMED.into(), Some(*until)),
        Next::JobRuns { .. } | Next::JobOverdue { .. } | Next::JobEnding { .. } => job_rule(view),
        Next::WaitsForPlace { before } => {
            let what = format!(
                "so many starts as may run at once do (starts-at-once); {before} wait before this one"
            );
            (RuleKind::StartsAtOnce, what, None)
        }
        Next::RetryAt {
            at,
            action,
            failures,
            ..
        } => {
            let retry = settings.retry;
            let what = format!(
                "{action} is tried again after {}, each time {} times as long, up to {} (retry); failures in a row: \
                 {failures}",
                span(retry.first),
                retry.factor,
                span(retry.longest)
            );
            (RuleKind::Retry, what, Some(*at))
        }
        Next::Ending => release_rule(view),
    };
    Rule {
        rule,
        what,
        in_ms: at.map(|at| millis(at.since(now))),
    }
}

/// The rule by which the running job goes on or ends.
fn job_rule(view: &InstanceView) -> (RuleKind, String, Option<Time>) {
    let settings = &view.settings;
    let job = view.job.as_ref();
    let action = job.map_or(Action::IsRunning, |job| job.action);
    let command = settings.command(action);
    if let Next::JobOverdue { cancel_at } = view.next {
        let after = span(settings.start_cancel_after);
        let what = format!(
            "the role has turned against the running {action}, which is cancelled after {after} (start-cancel-after)"
        );
        return (RuleKind::CancelAfter, what, Some(cancel_at));
    }
    if let Next::JobEnding { kill_at } = view.next {
        let after = span(command.map_or(Duration::ZERO, |command| command.kill_after));
        let what = format!(
            "{action} was told to end, and its process group is killed {after} later at the latest (kill-after)"
        );
        return (RuleKind::KillAfter, what, kill_at);
    }
    let timeout = span(command.map_or(Duration::ZERO, |command| command.timeout));
    let what = format!("{action} may run for {timeout} (timeout)");
    let at = if let Next::JobRuns { deadline } = view.next {
        Some(deadline)
    } else {
        None
    };
    (RuleKind::Timeout, what, at)
}

/// What becomes of a service that is let go of.
fn release_rule(view: &InstanceView) -> (RuleKind, String, Option<Time>) {
    let settings = &view.settings;
    let what = if view.leaving {
        let how = release(settings.on_remove, "on-remove");
        format!("the configuration no longer has it, and its service is left {how}")
    } else {
        let how = release(settings.on_exit, "on-exit");
        format!("the daemon is ending, and leaves the service {how}")
    };
    (RuleKind::Release, what, None)
}

fn release(release: Release, key: &str) -> String {
    match release {
        Release::Keep => format!("as it is ({key}: keep)"),
        Release::Stop => format!("stopped ({key}: stop)"),
    }
}

#[cfg(test)]
mod tests;

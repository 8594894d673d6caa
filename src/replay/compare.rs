//! Two series of decisions laid beside each other: what comes at the same time, earlier, later, or in one of them
//! alone. Pure.

use std::collections::BTreeMap;

use super::Decision;
use super::say::Span;
use crate::machine::Time;
use crate::machine::job::Action;
use crate::machine::message::Event;
use crate::machine::settings::InstanceName;

/// Above this many pairs of one kind the nearest ones are not looked for: the first of one series is taken for the
/// first of the other, and so on.
const PAIRS_MAX: usize = 4_000_000;

/// One decision in one of the series or in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub instance: InstanceName,
    /// What was decided.
    pub what: String,
    /// When, with the recorded configuration; `None`: not at all.
    pub before: Option<Time>,
    /// When, with the other one.
    pub after: Option<Time>,
}

impl Difference {
    /// Whether both decide it at the same time.
    pub fn is_none(&self) -> bool {
        self.before == self.after
    }

    /// When it stands in a list of both.
    pub fn at(&self) -> Time {
        self.before.or(self.after).unwrap_or_default()
    }

    /// What the other configuration changes.
    pub fn verdict(&self) -> String {
        match (self.before, self.after) {
            (Some(before), Some(after)) if before == after => "the same".into(),
            (Some(before), Some(after)) if after < before => {
                format!("{} earlier", Span(before.since(after)))
            }
            (Some(before), Some(after)) => format!("{} later", Span(after.since(before))),
            (Some(_), None) => "not at all".into(),
            (None, _) => "only with the other configuration".into(),
        }
    }

    /// The mark of a line, as diff(1) would set it.
    pub fn mark(&self) -> char {
        match (self.before, self.after) {
            (Some(before), Some(after)) if before == after => ' ',
            (Some(_), Some(_)) => '~',
            (Some(_), None) => '-',
            (None, _) => '+',
        }
    }
}

/// All that is decided in one of the series or in both, in the order of time. Questions and holds are left out: they
/// lead to something that is in it, or to nothing.
pub fn differences(before: &[Decision], after: &[Decision]) -> Vec<Difference> {
    let mut kinds: BTreeMap<_, (Vec<Time>, Vec<Time>)> = BTreeMap::new();
    for decision in before {
        if let Some(kind) = kind(&decision.event) {
            kinds.entry(kind).or_default().0.push(decision.at);
        }
    }
    for decision in after {
        if let Some(kind) = kind(&decision.event) {
            kinds.entry(kind).or_default().1.push(decision.at);
        }
    }
    let mut all = Vec::new();
    for ((instance, what), (before, after)) in kinds {
        for (before, after) in pairs(&before, &after) {
            all.push(Difference {
                instance: instance.clone(),
                what: what.clone(),
                before,
                after,
            });
        }
    }
    all.sort_by(|a, b| (a.at(), &a.instance, &a.what).cmp(&(b.at(), &b.instance, &b.what)));
    all
}

/// What makes two decisions the same, but for their time.
fn kind(event: &Event) -> Option<(InstanceName, String)> {
    let (instance, what) = match event {
        Event::Transition { instance, to, .. } => (instance, format!("becomes {to}")),
        Event::JobStarted {
            instance, action, ..
        } if *action != Action::IsRunning => (instance, format!("{action} begins")),
        Event::JobEnded {
            instance,
            action,
            outcome,
            ..
        } if *action != Action::IsRunning => (instance, format!("{action} {outcome}")),
        Event::JobSignalled {
            instance,
            action,
            signal,
            ..
        } if *action != Action::IsRunning => {
            (instance, format!("{action} is sent {}", signal.as_str()))
        }
        Event::RetryScheduled { instance, .. } => (instance, "is to be tried again".into()),
        Event::JobStarted { .. }
        | Event::JobEnded { .. }
        | Event::JobSignalled { .. }
        | Event::Held { .. }
        | Event::Superseded { .. }
        | Event::Adopted { .. }
        | Event::Alive { .. }
        | Event::JobSpawned { .. }
        | Event::Settled { .. }
        | Event::EpochsExhausted { .. }
        | Event::Overrun { .. }
        | Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. }
        | Event::Reloaded { .. } => return None,
    };
    Some((instance.clone(), what))
}

/// Pairs the times of one kind, in their order, so that they lie as near to each other as can be.
fn pairs(before: &[Time], after: &[Time]) -> Vec<(Option<Time>, Option<Time>)> {
    let swapped = before.len() > after.len();
    let (short, long) = if swapped {
        (after, before)
    } else {
        (before, after)
    };
    let partners = partners(short, long);
    let mut paired = Vec::new();
    let mut next = 0;
    for (time, at) in long.iter().zip(0..) {
        let partner = (partners.get(next) == Some(&at)).then(|| {
            let partner = short.get(next).copied();
            next += 1;
            partner
        });
        let (one, other) = (partner.flatten(), Some(*time));
        paired.push(if swapped { (other, one) } else { (one, other) });
    }
    paired
}

/// For each time of the shorter series the place of its partner in the longer one.
fn partners(short: &[Time], long: &[Time]) -> Vec<usize> {
    let (rows, columns) = (short.len(), long.len());
    if rows == columns || rows * columns > PAIRS_MAX {
        return (0..rows).collect();
    }
    // The least sum of distances with the first so many of both: at least as many of the longer are used up.
    let far = |a: &Time, b: &Time| a.since(*b).max(b.since(*a)).as_nanos();
    let mut best = vec![0_u128; columns + 1];
    let mut choices = Vec::with_capacity(rows);
    for time in short {
        let mut fresh = vec![u128::MAX; columns + 1];
        let mut takes = vec![false; columns + 1];
        for (column, other) in (1..).zip(long) {
            let left = fresh.get(column - 1).copied().unwrap_or(u128::MAX);
            let above = best.get(column - 1).copied().unwrap_or(u128::MAX);
            let with = above.saturating_add(far(time, other));
            if let (Some(cost), Some(take)) = (fresh.get_mut(column), takes.get_mut(column)) {
                *take = with < left;
                *cost = with.min(left);
            }
        }
        best = fresh;
        choices.push(takes);
    }
    let mut column = columns;
    let mut places = Vec::with_capacity(rows);
    for takes in choices.iter().rev() {
        while column > 0 && !takes.get(column).is_some_and(|take| *take) {
            column -= 1;
        }
        column = column.saturating_sub(1);
        places.push(column);
    }
    places.reverse();
    places
}

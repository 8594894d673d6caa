//! Tests of the role: every (state, input) pair as a table, and what must hold for any sequence.

use std::time::Duration;

use proptest::prelude::*;

use super::{Hold, Role, RoleMachine, Step};
use crate::machine::settings::Debounce;
use crate::machine::time::Time;

use Role::{Backup as B, Master as M, Unknown as U};

const WINDOW_MS: u64 = 200;
const HOLD_MAX_MS: u64 = 2_000;
const LOSS_MS: u64 = 100;
/// When the input of a table's row arrives.
const NOW_MS: u64 = 10_000;
const SEEN_MS: u64 = 9_900;

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn debounce(hold_on_loss_ms: u64) -> Debounce {
    Debounce {
        window: Duration::from_millis(WINDOW_MS),
        hold_max: Duration::from_millis(HOLD_MAX_MS),
        hold_on_loss: Duration::from_millis(hold_on_loss_ms),
    }
}

/// Role, level, and the role that is held, if one is. No other combination can come about.
type State = (Role, Role, Option<Role>);

const STATES: [State; 6] = [
    (U, U, None),
    (B, B, None),
    (M, M, None),
    (B, M, Some(M)),
    (U, M, Some(M)),
    (M, B, Some(B)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Says(Role),
    Early,
    Due,
}

const INPUTS: [In; 5] = [In::Says(U), In::Says(B), In::Says(M), In::Early, In::Due];

/// When a row applies.
#[derive(Debug, Clone, Copy)]
enum If {
    Always,
    Calm,
    Flapping,
    LossAtOnce,
    LossHeld,
}

impl If {
    fn applies(self, calm: bool, loss_held: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Calm => calm,
            Self::Flapping => !calm,
            Self::LossAtOnce => !loss_held,
            Self::LossHeld => loss_held,
        }
    }
}

const SAME: Step = Step::Unchanged;

fn commit(from: Role, to: Role, superseded: Option<Role>) -> Step {
    let seen = at(NOW_MS);
    Step::Commit {
        from,
        to,
        seen,
        superseded,
    }
}

/// A change that was held since the level was seen.
fn believed(from: Role, to: Role) -> Step {
    let seen = at(SEEN_MS);
    Step::Commit {
        from,
        to,
        seen,
        superseded: None,
    }
}

fn held(to: Role, for_ms: u64) -> Step {
    Step::Held {
        to,
        until: at(NOW_MS + for_ms),
    }
}

fn off(to: Role) -> Step {
    Step::Superseded { to }
}

/// State, input, condition, step, and the state after it.
#[rustfmt::skip]
fn table() -> Vec<(State, In, If, Step, State)> {
    use If::{Always, Calm, Flapping, LossAtOnce, LossHeld};
    use In::{Due, Early, Says};
    let (unknown, backup, master) = ((U, U, None), (B, B, None), (M, M, None));
    let (gain, first, loss) = ((B, M, Some(M)), (U, M, Some(M)), (M, B, Some(B)));
    vec![
        (unknown, Says(U), Always,     SAME,                  unknown),
        (unknown, Says(B), Always,     commit(U, B, None),    backup),
        (unknown, Says(M), Calm,       commit(U, M, None),    master),
        (unknown, Says(M), Flapping,   held(M, WINDOW_MS),    first),
        (unknown, Early,   Always,     SAME,                  unknown),
        (unknown, Due,     Always,     SAME,                  unknown),

        (backup,  Says(U), Always,     commit(B, U, None),    unknown),
        (backup,  Says(B), Always,     SAME,                  backup),
        (backup,  Says(M), Calm,       commit(B, M, None),    master),
        (backup,  Says(M), Flapping,   held(M, WINDOW_MS),    gain),
        (backup,  Early,   Always,     SAME,                  backup),
        (backup,  Due,     Always,     SAME,                  backup),

        (master,  Says(U), Always,     commit(M, U, None),    unknown),
        (master,  Says(B), LossAtOnce, commit(M, B, None),    backup),
        (master,  Says(B), LossHeld,   held(B, LOSS_MS),      loss),
        (master,  Says(M), Always,     SAME,                  master),
        (master,  Early,   Always,     SAME,                  master),
        (master,  Due,     Always,     SAME,                  master),

        (gain,    Says(U), Always,     commit(B, U, Some(M)), unknown),
        (gain,    Says(B), Always,     off(M),                backup),
        (gain,    Says(M), Always,     SAME,                  gain),
        (gain,    Early,   Always,     SAME,                  gain),
        (gain,    Due,     Always,     believed(B, M),        master),

        (first,   Says(U), Always,     off(M),                unknown),
        (first,   Says(B), Always,     commit(U, B, Some(M)), backup),
        (first,   Says(M), Always,     SAME,                  first),
        (first,   Early,   Always,     SAME,                  first),
        (first,   Due,     Always,     believed(U, M),        master),

        (loss,    Says(U), Always,     commit(M, U, Some(B)), unknown),
        (loss,    Says(B), Always,     SAME,                  loss),
        (loss,    Says(M), Always,     off(B),                master),
        (loss,    Early,   Always,     SAME,                  loss),
        (loss,    Due,     Always,     believed(M, B),        backup),
    ]
}

/// A machine in this state, whose hold is due at `NOW_MS` or a millisecond later.
fn machine(state: State, calm: bool, input: In) -> RoleMachine {
    let (role, level, change) = state;
    let until = at(NOW_MS + u64::from(input != In::Due));
    let hold = match change {
        None => Hold::None,
        Some(M) => Hold::Gain(until),
        Some(B | U) => Hold::Loss(until),
    };
    RoleMachine {
        role,
        level,
        level_since: at(SEEN_MS),
        known: (level != U).then_some(level),
        flipped_at: Some(at(NOW_MS - WINDOW_MS + u64::from(!calm))),
        hold,
        decide_by: (change == Some(M)).then(|| at(NOW_MS + HOLD_MAX_MS)),
    }
}

fn state(machine: &RoleMachine) -> State {
    let held = match machine.hold {
        Hold::None => None,
        Hold::Gain(_) => Some(M),
        Hold::Loss(_) => Some(B),
    };
    (machine.role, machine.level, held)
}

#[test]
fn every_state_and_input_gives_what_the_table_says() {
    let table = table();
    for before in STATES {
        for input in INPUTS {
            for (calm, loss_held) in [(true, true), (true, false), (false, true), (false, false)] {
                let rows: Vec<_> = table
                    .iter()
                    .filter(|row| row.0 == before && row.1 == input)
                    .filter(|row| row.2.applies(calm, loss_held))
                    .collect();
                let [(.., step, after)] = rows[..] else {
                    panic!("{} rows for {before:?} {input:?}", rows.len());
                };
                let mut machine = machine(before, calm, input);
                let debounce = debounce(if loss_held { LOSS_MS } else { 0 });
                let got = match input {
                    In::Says(level) => machine.observe(level, at(NOW_MS), &debounce),
                    In::Early | In::Due => machine.timeout(at(NOW_MS)),
                };
                let case = format!("{before:?} {input:?} calm {calm} loss held {loss_held}");
                assert_eq!(got, *step, "{case}");
                assert_eq!(state(&machine), *after, "{case}");
            }
        }
    }
}

#[test]
fn a_new_role_is_unknown_and_waits_for_nothing() {
    let machine = RoleMachine::new(at(0));
    assert_eq!(state(&machine), (U, U, None));
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_gain_that_flaps_is_decided_by_the_longest_hold() {
    let debounce = debounce(0);
    let mut machine = RoleMachine::new(at(0));
    machine.observe(M, at(0), &debounce);
    machine.observe(B, at(1_000), &debounce);
    let mut now = 1_100;
    let first = now;
    // 50 ms on, 50 ms off: never stable for the window.
    while let Step::Held { until, .. } = machine.observe(M, at(now), &debounce) {
        assert!(until <= at(first + HOLD_MAX_MS));
        if until <= at(now + 50) {
            machine.timeout(until);
            break;
        }
        assert_eq!(machine.observe(B, at(now + 50), &debounce), off(M));
        now += 100;
    }
    assert_eq!(machine.role(), M);
    assert!(now <= first + HOLD_MAX_MS);
}

#[test]
fn a_short_unknown_is_no_flip() {
    let debounce = debounce(0);
    let mut machine = RoleMachine::new(at(0));
    machine.observe(M, at(0), &debounce);
    machine.observe(U, at(10), &debounce);
    assert!(matches!(
        machine.observe(M, at(20), &debounce),
        Step::Commit { to: M, .. }
    ));
}

/// Levels with the milliseconds before each.
fn levels() -> impl Strategy<Value = Vec<(Role, u64)>> {
    let level = prop_oneof![4 => Just(M), 4 => Just(B), 1 => Just(U)];
    let wait = prop_oneof![0..5_u64, 0..150_u64, 150..450_u64, 1_900..2_300_u64];
    prop::collection::vec((level, wait), 1..60)
}

proptest! {
    #[test]
    fn debounce_keeps_its_promises(
        levels in levels(),
        window_ms in prop_oneof![Just(0), Just(WINDOW_MS)],
        loss_ms in prop_oneof![Just(0), Just(LOSS_MS)],
    ) {
        let debounce = Debounce { window: Duration::from_millis(window_ms), ..debounce(loss_ms) };
        let mut machine = RoleMachine::new(at(0));
        let (mut now, mut level, mut known, mut flipped) = (0, U, None, None::<u64>);
        // When a gain was first held since the last MASTER.
        let mut held_since = None;
        for (next, wait_ms) in levels {
            let end = now + wait_ms;
            while let Some(due) = machine.deadline().filter(|due| *due < at(end)) {
                prop_assert!(due >= at(now), "a hold ends in the past");
                let step = machine.timeout(due);
                let fits = matches!(step, Step::Commit { to, superseded: None, .. } if to == level);
                prop_assert!(fits, "{step:?} while the level is {level}");
                held_since = held_since.filter(|_| machine.role() != M);
            }
            now = end;
            let calm = flipped.is_none_or(|at| now - at >= window_ms);
            let was = machine.role();
            let changed = next != level;
            let step = machine.observe(next, at(now), &debounce);
            if next != U {
                if known.is_some_and(|known| known != next) {
                    flipped = Some(now);
                }
                known = Some(next);
            }
            level = next;
            if changed && level == M && was != M {
                prop_assert!(!calm || machine.role() == M, "a calm gain waits");
                let first = *held_since.get_or_insert(now);
                if now >= first + HOLD_MAX_MS && !calm {
                    prop_assert_eq!(machine.role(), M, "held for longer than the maximum");
                }
            }
            if level == B && loss_ms == 0 {
                prop_assert_eq!(machine.role(), B, "a loss waits");
            }
            if level == U {
                prop_assert_eq!(machine.role(), U);
            }
            if let Step::Commit { to, .. } = step {
                prop_assert_eq!(to, level, "a level that is over is believed");
            }
            if machine.role() == M && level != M {
                prop_assert!(matches!(machine.hold(), Hold::Loss(_)));
            }
            if machine.role() == M || calm {
                held_since = None;
            }
        }
    }
}

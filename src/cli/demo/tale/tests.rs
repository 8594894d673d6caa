//! The lines of the demo, word for word.

use std::sync::Arc;

use super::*;
use crate::control::samples::{name, time};
use crate::machine::job::{JobId, Role};
use crate::machine::reason::{Cause, Reason};

fn tell(tale: &mut Tale, at: u64, event: Event, said: &[&str]) -> Vec<String> {
    let said: Vec<_> = said.iter().map(ToString::to_string).collect();
    tale.tell(
        &EventLine {
            at: time(at),
            unix_ms: 0,
            event: Arc::new(event),
        },
        &said,
    )
}

fn transition(seen: u64, decided: u64) -> Event {
    Event::Transition {
        instance: name("web"),
        from: Role::Backup,
        to: Role::Master,
        epoch: 7,
        cause: Cause::NicAbsent { nic: "eth9".into() },
        seen: time(seen),
        decided: time(decided),
    }
}

fn ended(action: Action, started: u64) -> Event {
    Event::JobEnded {
        instance: name("web"),
        job: JobId { life: 1, number: 1 },
        action,
        epoch: 7,
        role: Role::Master,
        outcome: Outcome::Done,
        started: time(started),
        spawned: Some(time(started + 1)),
        ended: time(started + 20),
    }
}

#[test]
fn a_transition_is_told_in_stages_from_its_first_sight() {
    let mut tale = Tale::default();
    let mut lines = tell(&mut tale, 1_000, transition(1_000, 1_002), &[]);
    let started = Event::JobStarted {
        instance: name("web"),
        job: JobId { life: 1, number: 1 },
        action: Action::Start,
        command: "start.sh".into(),
        epoch: 7,
        role: Role::Master,
        reason: Reason::RoleGained,
        at: time(1_002),
    };
    lines.extend(tell(&mut tale, 1_002, started, &[]));
    let spawned = Event::JobSpawned {
        instance: name("web"),
        job: JobId { life: 1, number: 1 },
        action: Action::Start,
        epoch: 7,
        role: Role::Master,
        pid: 4711,
        at: time(1_003),
    };
    lines.extend(tell(&mut tale, 1_003, spawned, &[]));
    lines.extend(tell(&mut tale, 1_022, ended(Action::Start, 1_002), &["up"]));
    lines.extend(tell(&mut tale, 1_050, ended(Action::IsRunning, 1_025), &[]));
    assert_eq!(
        lines,
        [
            "     0.0 ms  seen      there is no interface eth9",
            "     2.0 ms  decided   BACKUP -> MASTER, transition web/7",
            "     2.0 ms  queued    start, because the role was gained",
            "     3.0 ms  spawned   start.sh",
            "               | up",
            "    22.0 ms  finished  start: done",
            "    45.0 ms  checked   is-running says: it runs",
        ]
    );
    let summary = tale.summary().join("\n");
    assert!(
        summary.starts_with("In all: 1 transitions, 1 runs"),
        "{summary}"
    );
    assert!(summary.ends_with("script: 3.0 to 3.0 ms."), "{summary}");
}

#[test]
fn what_was_overtaken_is_told_and_counted() {
    let mut tale = Tale::default();
    let held = Event::Held {
        instance: name("web"),
        to: Role::Master,
        seen: time(40),
        until: time(240),
    };
    let superseded = Event::Superseded {
        instance: name("web"),
        to: Role::Master,
        epoch: None,
        seen: time(40),
        at: time(80),
        total: 1,
    };
    let mut lines = tell(&mut tale, 40, held, &[]);
    lines.extend(tell(&mut tale, 80, superseded, &[]));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("held") && line.contains("200 ms")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("    40.0 ms  overtaken")),
        "{lines:?}"
    );
    assert!(tale.summary().join(" ").contains("1 change overtaken"));
}

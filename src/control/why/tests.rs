//! The sentences that say why, word for word.

use std::sync::Arc;

use super::*;
use crate::control::samples::{time, view};
use crate::control::status::Freshness;
use crate::machine::job::{Action, JobId, LastJob, Means, Outcome};
use crate::machine::reason::{Cause, Next, Reason};
use crate::machine::view::{InstanceView, JobView};

fn why(change: impl FnOnce(&mut InstanceView)) -> String {
    let mut view = (*view(1, "web")).clone();
    change(&mut view);
    InstanceStatus::of(&view, time(130_050), Freshness::Fresh).why
}

#[test]
fn a_content_master() {
    assert_eq!(
        why(|_| {}),
        "192.0.2.10 is on lo, so the role is MASTER and the service shall run here; it is running; \
         start done 2m ago (took 50ms), asked for because the role was gained; nothing is left to do"
    );
}

#[test]
fn a_backup_whose_gain_is_held_back() {
    let why = why(|view| {
        view.role = Role::Backup;
        view.knowledge = Knowledge::Stopped;
        view.last_action = None;
        view.next = Next::GainHeld {
            until: time(130_200),
        };
    });
    assert_eq!(
        why,
        "192.0.2.10 is on lo, but that has changed a moment ago, so the role stays BACKUP for now; \
         it is stopped; nothing has been run since the daemon started; \
         next, in 150ms: MASTER, once the role has been stable for the debounce window"
    );
}

#[test]
fn a_failed_start_that_is_tried_again() {
    let why = why(|view| {
        let outcome = Outcome::Failed { code: 1 };
        view.knowledge = Knowledge::Maybe;
        view.last_action
            .as_mut()
            .map(Arc::make_mut)
            .expect("a last job")
            .outcome = outcome.clone();
        view.next = Next::RetryAt {
            action: Action::Start,
            at: time(134_100),
            failures: 3,
            outcome: Some(outcome),
        };
    });
    assert_eq!(
        why,
        "192.0.2.10 is on lo, so the role is MASTER and the service shall run here; \
         whether it runs is not known; \
         start failed with exit status 1 2m ago (took 50ms), asked for because the role was gained; \
         next, in 4.0s: start again, because it failed with exit status 1 (3 failures in a row)"
    );
}

#[test]
fn what_is_tried_again_and_why_is_told() {
    let again = |action, failures, outcome| {
        let why = why(|view| {
            view.next = Next::RetryAt {
                at: time(134_100),
                action,
                failures,
                outcome,
            };
        });
        why.rsplit_once("next, in 4.0s: ")
            .expect("a next step")
            .1
            .to_owned()
    };
    let killed = Some(Outcome::Killed { signal: 9 });
    assert_eq!(
        again(Action::Stop, 2, killed),
        "stop again, because it was killed by signal 9 (2 failures in a row)"
    );
    assert_eq!(
        again(Action::Start, 1, None),
        "start again, because is-running does not find it running"
    );
    assert_eq!(
        again(Action::Stop, 1, None),
        "stop again, because is-running finds it still running"
    );
    let timeout = Duration::from_secs(10);
    assert_eq!(
        again(Action::IsRunning, 1, Some(Outcome::TimedOut { timeout })),
        "is-running again, because it timed out after 10s"
    );
}

#[test]
fn the_last_start_and_the_last_is_running_are_both_told() {
    let with_both = |view: &mut InstanceView| {
        let check = LastJob {
            action: Action::IsRunning,
            reason: Reason::Audit,
            ended: time(118_000),
            ..view.last_action.as_deref().cloned().expect("a last job")
        };
        view.last_check = Some(check.into());
    };
    let both = why(with_both);
    let expected = "it is running; start done 2m ago (took 50ms), asked for because the role was gained; \
                    is-running said yes 12s ago, asked for because the audit is due; nothing is left";
    assert!(both.contains(expected), "{both}");
    let asked = why(|view| {
        with_both(view);
        view.job = Some(JobView {
            job: JobId { life: 1, number: 2 },
            action: Action::IsRunning,
            reason: Reason::Audit,
            started: time(130_000),
            pid: Some(77),
            means: Means::Process,
            adopted: false,
        });
    });
    let expected = "is-running has been running as process 77 for 50ms because the audit is due; \
                    start done 2m ago (took 50ms), asked for because the role was gained; nothing is left";
    assert!(asked.contains(expected), "{asked}");
}

#[test]
fn a_running_job() {
    let why = why(|view| {
        view.cause = Cause::VipAbsent {
            address: "192.0.2.10".parse().expect("an address"),
        };
        view.role = Role::Backup;
        view.job = Some(JobView {
            job: JobId { life: 1, number: 2 },
            action: Action::Stop,
            reason: Reason::RoleLost,
            started: time(127_000),
            pid: Some(77),
            means: Means::Process,
            adopted: false,
        });
        view.next = Next::JobRuns {
            deadline: time(217_000),
        };
    });
    assert_eq!(
        why,
        "192.0.2.10 is not here, so the role is BACKUP and the service shall not run here; \
         it is being stopped; stop has been running as process 77 for 3.0s because the role was lost; \
         next: look again when the running job ends (its timeout is over in 1m26s)"
    );
}

#[test]
fn a_job_that_hangs_in_its_exec() {
    let why = why(|view| {
        view.job = Some(JobView {
            means: Means::Process,
            job: JobId { life: 1, number: 2 },
            action: Action::Start,
            reason: Reason::RoleGained,
            started: time(127_000),
            pid: None,
            adopted: false,
        });
        view.next = Next::JobRuns {
            deadline: time(217_000),
        };
    });
    let expected = "start was ordered 3.0s ago because the role was gained, and its program has not \
                    been executed yet: its file is under a write lease or on a file server";
    assert!(why.contains(expected), "{why}");
}

#[test]
fn is_running_answers_in_words() {
    let last = |outcome| {
        let mut view = (*view(1, "web")).clone();
        let mut job = view
            .last_action
            .take()
            .map(Arc::unwrap_or_clone)
            .expect("a last job");
        job.action = Action::IsRunning;
        job.outcome = outcome;
        // The log has the same words.
        let said = job.said();
        view.last_check = Some(job.into());
        let status = InstanceStatus::of(&view, time(15_050), Freshness::Fresh);
        let told = last_job(&status.last_job.expect("a last job"));
        assert_eq!(told, format!("{said} 5.0s ago"));
        told
    };
    assert_eq!(last(Outcome::Done), "is-running said yes 5.0s ago");
    assert_eq!(
        last(Outcome::Failed { code: 1 }),
        "is-running said no 5.0s ago"
    );
    assert_eq!(
        last(Outcome::Failed { code: 127 }),
        "is-running failed with exit status 127 5.0s ago"
    );
    assert_eq!(
        last(Outcome::Killed { signal: 9 }),
        "is-running killed by signal 9 5.0s ago"
    );
}

#[test]
fn spans_as_people_say_them() {
    let spans = [
        (0, "0ms"),
        (999, "999ms"),
        (3_400, "3.4s"),
        (9_999, "9.9s"),
        (34_500, "34s"),
        (120_000, "2m"),
        (192_000, "3m12s"),
        (7_500_000, "2h5m"),
        (3_600_000, "1h"),
        (273_600_000, "3d4h"),
        (u64::MAX, "213503982334d14h"),
    ];
    for (ms, text) in spans {
        assert_eq!(Span::ms(ms).to_string(), text);
    }
}

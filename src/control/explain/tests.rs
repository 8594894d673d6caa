//! The rules, the sources and the advice, state by state.

use std::sync::Arc;

use super::*;
use crate::control::samples::{kernel, time, view};
use crate::machine::job::{JobId, Knowledge, Means, Outcome};
use crate::machine::reason::{Cause, Reason};
use crate::machine::settings::Command;
use crate::machine::view::JobView;

fn explained(change: impl FnOnce(&mut InstanceView)) -> Explanation {
    let mut view = (*view(1, "web")).clone();
    change(&mut view);
    Explanation::of(
        &view,
        Some(&kernel()),
        time(25_000),
        Freshness::Fresh,
        CommandLines::Told,
    )
}

fn job(pid: Option<u32>) -> JobView {
    JobView {
        job: JobId { life: 1, number: 2 },
        action: Action::Start,
        reason: Reason::RoleGained,
        started: time(15_000),
        pid,
        means: Means::Process,
        adopted: false,
    }
}

#[test]
fn a_calm_master_has_its_rule_and_no_advice() {
    let said = explained(|_| {});
    let source = &said.sources[0];
    assert_eq!((source.role, source.age_ms), (Role::Master, 15_000));
    assert_eq!(source.what, "192.0.2.10 is on lo");
    assert_eq!(
        source.followed,
        "each change is heard at once, read in full 24s ago"
    );
    assert_eq!(said.rules[0].what, "MASTER while 192.0.2.10 is on lo");
    assert_eq!(said.rules[1].rule, RuleKind::Content);
    assert_eq!(said.advice, [""; 0]);
}

#[test]
fn every_next_step_has_the_rule_that_it_follows() {
    let at = time(26_000);
    let steps = [
        (
            Next::GainHeld { until: at },
            RuleKind::Debounce,
            "200ms (debounce)",
        ),
        (
            Next::LossHeld { until: at },
            RuleKind::HoldOnLoss,
            "(hold-on-loss)",
        ),
        (
            Next::HeldByUnknown { stop_at: None },
            RuleKind::UnknownStop,
            "unknown-stop-after is not set",
        ),
        (
            Next::JobRuns { deadline: at },
            RuleKind::Timeout,
            "1m30s (timeout)",
        ),
        (
            Next::JobPresumed { until: at },
            RuleKind::Presumed,
            "it is never signalled",
        ),
        (
            Next::JobOverdue { cancel_at: at },
            RuleKind::CancelAfter,
            "10s (start-cancel-after)",
        ),
        (
            Next::JobEnding { kill_at: Some(at) },
            RuleKind::KillAfter,
            "(kill-after)",
        ),
        (
            Next::WaitsForPlace { before: 3 },
            RuleKind::StartsAtOnce,
            "3 wait before",
        ),
        (
            Next::RetryAt {
                action: Action::Start,
                at,
                failures: 4,
                outcome: None,
            },
            RuleKind::Retry,
            "after 1.0s, each time 2 times as long, up to 1m (retry); failures in a row: 4",
        ),
        (Next::Ending, RuleKind::Release, "(on-exit: keep)"),
    ];
    for (next, rule, words) in steps {
        let said = explained(|view| {
            view.next = next.clone();
            view.job = Some(job(Some(77)));
        });
        assert_eq!(said.rules[1].rule, rule, "{next:?}");
        assert!(said.rules[1].what.contains(words), "{:?}", said.rules[1]);
        let dated = !matches!(
            next,
            Next::HeldByUnknown { .. } | Next::WaitsForPlace { .. } | Next::Ending
        );
        assert_eq!(said.rules[1].in_ms, dated.then_some(1_000), "{next:?}");
    }
}

#[test]
fn what_is_wrong_comes_with_what_to_do() {
    let nic = explained(|view| view.cause = Cause::NicNeverSeen { nic: "eth7".into() });
    assert_eq!(nic.sources[0].role, Role::Unknown);
    assert!(nic.advice[0].contains("`ip link`"), "{:?}", nic.advice);
    let failed = |outcome| {
        explained(|view| {
            view.knowledge = Knowledge::Maybe;
            let last = view
                .last_action
                .as_mut()
                .map(Arc::make_mut)
                .expect("a last job");
            last.outcome = Outcome::Failed { code: 1 };
            view.next = Next::RetryAt {
                action: Action::Start,
                at: time(26_000),
                failures: 1,
                outcome,
            };
        })
    };
    let said = failed(Some(Outcome::Failed { code: 1 }));
    assert!(said.advice[0].contains("journalctl KEEPSTART_JOB=4f3a9c1e-17"));
    assert!(said.advice[0].contains("keepstart audit web"));
    let said = failed(None);
    assert!(said.advice[0].contains("is-running"), "{:?}", said.advice);
    let hangs = explained(|view| {
        view.job = Some(job(None));
        view.next = Next::JobRuns {
            deadline: time(90_000),
        };
    });
    assert!(
        hangs.advice[0].contains("is not executed"),
        "{:?}",
        hangs.advice
    );
    let stuck = explained(|view| {
        view.job = Some(job(Some(77)));
        view.next = Next::JobEnding { kill_at: None };
    });
    assert!(stuck.advice[0].contains("ps -o pid,stat,wchan -g 77"));
}

#[test]
fn a_stale_answer_and_a_silent_kernel_are_said() {
    let mut kernel = kernel();
    kernel.subscribed = false;
    kernel.error = Some("no buffer".into());
    let said = Explanation::of(
        &view(1, "web"),
        Some(&kernel),
        time(25_000),
        Freshness::Stale,
        CommandLines::Told,
    );
    assert!(
        said.sources[0]
            .followed
            .starts_with("its notifications are not available")
    );
    assert_eq!(said.advice.len(), 2, "{:?}", said.advice);
}

#[test]
fn who_may_only_read_is_told_no_command_line() {
    let secret = |change: &dyn Fn(&mut InstanceView)| {
        let mut view = (*view(1, "web")).clone();
        let settings = Arc::make_mut(&mut view.settings);
        let start = Arc::make_mut(&mut settings.start);
        start.run = Command::Shell("serve --password=secret".into());
        settings.is_running = Some(settings.start.clone());
        change(&mut view);
        view
    };
    let stuck = secret(&|view| view.job = Some(job(None)));
    let disagrees = secret(&|view| {
        view.next = Next::RetryAt {
            at: time(30_000),
            outcome: None,
            failures: 1,
            action: Action::Start,
        };
    });
    for view in [stuck, disagrees] {
        let has_it = |command_lines| {
            let now = time(25_000);
            let said = Explanation::of(&view, None, now, Freshness::Fresh, command_lines);
            said.advice.join("\n").contains("secret")
        };
        assert!(has_it(CommandLines::Told));
        assert!(!has_it(CommandLines::LeftOut));
    }
}

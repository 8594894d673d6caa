//! The status document: ages, words, and the fields that scripts use.

use std::sync::Arc;

use super::*;
use crate::control::samples::{time, view};
use crate::machine::job::Outcome;
use crate::machine::reason::Cause;

#[test]
fn ages_are_those_of_the_answer_not_of_the_view() {
    let status = InstanceStatus::of(&view(1, "web"), time(25_000), Freshness::Fresh);
    assert_eq!(status.role_age_ms, 15_000);
    assert_eq!(status.service_age_ms, 14_950);
    let last = status.last_job.expect("a last job");
    assert_eq!((last.age_ms, last.duration_ms), (14_950, 50));
    assert_eq!((last.result, last.code), (ResultKind::Done, None));
    assert_eq!(last.id.to_string(), "4f3a9c1e-17");
}

#[test]
fn failures_have_a_word_and_a_number() {
    let mut view = (*view(1, "web")).clone();
    let outcomes = [
        (Outcome::Failed { code: 3 }, ResultKind::Failed, Some(3)),
        (Outcome::Killed { signal: 9 }, ResultKind::Killed, Some(9)),
        (
            Outcome::TimedOut {
                timeout: Duration::from_secs(90),
            },
            ResultKind::TimedOut,
            None,
        ),
        (Outcome::Cancelled, ResultKind::Cancelled, None),
        (
            Outcome::NotStarted { error: "no".into() },
            ResultKind::NotStarted,
            None,
        ),
        (Outcome::Unseen, ResultKind::Unseen, None),
    ];
    for (outcome, result, code) in outcomes {
        view.last_action
            .as_mut()
            .map(Arc::make_mut)
            .expect("a last job")
            .outcome = outcome.clone();
        let status = InstanceStatus::of(&view, time(20_000), Freshness::Fresh);
        let last = status.last_job.expect("a last job");
        assert_eq!((last.result, last.code), (result, code));
        assert_eq!(last.outcome, outcome.to_string());
    }
}

#[test]
fn growing_older_moves_ages_and_the_next_step_and_says_so() {
    let mut view = (*view(1, "web")).clone();
    view.next = Next::RetryAt {
        action: Action::Start,
        at: time(30_000),
        failures: 2,
        outcome: Some(Outcome::Unseen),
    };
    let mut status = InstanceStatus::of(&view, time(20_000), Freshness::Fresh);
    assert_eq!(status.next.in_ms, Some(10_000));
    status.grow_older(Duration::from_secs(4));
    assert_eq!(
        (status.role_age_ms, status.next.in_ms),
        (14_000, Some(6_000))
    );
    assert!(
        status.why.contains("next, in 6.0s: start again"),
        "{}",
        status.why
    );
    let mut later = InstanceStatus::of(&view, time(24_000), Freshness::Fresh);
    assert_eq!(status, later);
    later.grow_older(Duration::from_secs(60));
    assert_eq!(later.next.in_ms, Some(0));
}

#[test]
fn the_last_job_is_the_later_of_both_kinds() {
    let mut view = (*view(1, "web")).clone();
    let mut check = view.last_action.as_deref().cloned().expect("a last job");
    check.action = Action::IsRunning;
    check.ended = time(12_000);
    view.last_check = Some(check.into());
    let mut status = InstanceStatus::of(&view, time(20_000), Freshness::Fresh);
    status.grow_older(Duration::from_secs(1));
    let told = |job: &Option<LastJobStatus>| job.as_ref().map(|job| (job.action, job.age_ms));
    assert_eq!(told(&status.last_job), Some((Action::IsRunning, 9_000)));
    assert_eq!(told(&status.last_check), Some((Action::IsRunning, 9_000)));
    assert_eq!(told(&status.last_action), Some((Action::Start, 10_950)));
    // A daemon of another version may not say so much.
    let mut json = serde_json::to_value(&status).expect("JSON");
    let fields = json.as_object_mut().expect("an object");
    assert!(fields.remove("last_action").is_some() && fields.remove("last_check").is_some());
    let read: InstanceStatus = serde_json::from_value(json).expect("a status");
    assert_eq!((read.last_action, read.last_job), (None, status.last_job));
}

#[test]
fn the_document_has_the_fields_that_scripts_use() {
    let mut view = (*view(1, "web")).clone();
    view.cause = Cause::NotLookedYet;
    let status = InstanceStatus::of(&view, time(20_000), Freshness::Stale);
    let json = serde_json::to_value(&status).expect("JSON");
    assert_eq!(json["role"], "MASTER");
    assert_eq!(json["service"], "running");
    assert_eq!(
        json["cause"],
        "the kernel's addresses have not been read yet"
    );
    assert_eq!(json["last_job"]["action"], "start");
    assert_eq!(json["last_job"]["reason"], "role-gained");
    assert_eq!(json["last_job"]["result"], "done");
    assert_eq!(json["last_action"], json["last_job"]);
    assert_eq!(json["last_check"], serde_json::Value::Null);
    assert_eq!(json["next"]["kind"], "nothing");
    assert_eq!(json["stale"], true);
    assert!(
        json["why"]
            .as_str()
            .is_some_and(|why| why.ends_with("may be out of date"))
    );
}

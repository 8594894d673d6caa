//! Tests of `report`.

use std::time::Duration;

use super::*;
use crate::machine::job::{JobId, Knowledge, LastJob, Role};
use crate::machine::reason::Reason;
use crate::machine::settings::InstanceName;

#[test]
fn what_an_operator_greps_for_has_a_message_id() {
    let timed_out = || Outcome::TimedOut {
        timeout: Duration::from_secs(1),
    };
    let failed = || Outcome::Failed { code: 1 };
    let not_started = || Outcome::NotStarted {
        error: "no such file".into(),
    };
    for action in [Action::Start, Action::Stop] {
        let of = |outcome| message_id_of(action, &outcome);
        assert_eq!(of(failed()), Some(MessageId::ActionFailed));
        assert_eq!(
            of(Outcome::Killed { signal: 9 }),
            Some(MessageId::ActionFailed)
        );
        assert_eq!(of(not_started()), Some(MessageId::ActionFailed));
        assert_eq!(of(timed_out()), Some(MessageId::TimedOut));
        assert_eq!(of(Outcome::Done), None);
        assert_eq!(of(Outcome::Cancelled), None);
    }
    // It answers "no" by failing, which is no failure.
    assert_eq!(message_id_of(Action::IsRunning, &failed()), None);
    assert_eq!(
        message_id_of(Action::IsRunning, &timed_out()),
        Some(MessageId::TimedOut)
    );
    let overrun = Event::Overrun { total: 3 };
    let line = line_of(&overrun, Time::ZERO);
    assert_eq!(line.message_id, Some(MessageId::Resynchronized));
}

#[test]
fn the_sign_of_life_tells_the_last_start_or_stop_and_the_last_is_running() {
    let job = |action, ended| LastJob {
        job: JobId { life: 1, number: 1 },
        action,
        reason: Reason::RoleGained,
        outcome: Outcome::Done,
        started: Time::ZERO,
        spawned: None,
        ended: Time::ZERO + Duration::from_secs(ended),
    };
    let event = |last_action: Option<LastJob>, last_check: Option<LastJob>| Event::Alive {
        instance: InstanceName::new("web").unwrap(),
        role: Role::Master,
        epoch: 7,
        since: Time::ZERO,
        knowledge: Knowledge::Running,
        transitions: 1,
        last_job: None,
        last_action: last_action.map(Arc::new),
        last_check: last_check.map(Arc::new),
        at: Time::ZERO + Duration::from_secs(100),
    };
    let both = event(
        Some(job(Action::Start, 1)),
        Some(job(Action::IsRunning, 90)),
    );
    assert_eq!(
        words_of(&both, Time::ZERO),
        "alive: MASTER for 100 s, the service is running; 1 transitions; start done 99 s ago; \
         is-running said yes 10 s ago"
    );
    assert!(words_of(&event(None, None), Time::ZERO).ends_with("; no job yet"));
}

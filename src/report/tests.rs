//! Tests of `report`.

use super::*;

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

//! Tests of `control/peer`.

use super::*;

#[test]
fn root_and_the_daemons_user_may_all_and_others_what_their_door_says() {
    const OWN: u32 = 990;
    for door in [Door::Own, Door::Steering, Door::Reading] {
        assert_eq!(right(0, OWN, door), Right::Steer);
        assert_eq!(right(OWN, OWN, door), Right::Steer);
        assert_eq!(right(0, 0, door), Right::Steer);
    }
    assert_eq!(right(1000, OWN, Door::Own), Right::Nothing);
    assert_eq!(right(1000, OWN, Door::Steering), Right::Steer);
    assert_eq!(right(1000, OWN, Door::Reading), Right::Read);
}

#[test]
fn what_changes_something_needs_the_right_to_steer() {
    let reads = [
        Request::Ping,
        Request::Status(None),
        Request::Watch(None),
        Request::Events(None),
    ];
    let steers = [
        Request::Reload,
        Request::Stop,
        Request::Audit(None),
        Request::Record,
    ];
    let peer = |right| Peer { uid: 1000, right };
    for request in &reads {
        assert_eq!(peer(Right::Read).may(request), Ok(()));
        let refusal = peer(Right::Nothing).may(request).unwrap_err().refusal();
        assert_eq!(refusal.code, ErrorCode::Forbidden);
    }
    for request in &steers {
        assert_eq!(peer(Right::Steer).may(request), Ok(()));
        let refusal = peer(Right::Read).may(request).unwrap_err().refusal();
        assert_eq!(refusal.code, ErrorCode::Forbidden);
        assert!(refusal.message.contains("user 1000 may not"), "{refusal}");
    }
}

#[test]
fn only_who_may_steer_sees_command_lines() {
    let told = |right| Peer { uid: 1000, right }.command_lines();
    assert_eq!(told(Right::Steer), CommandLines::Told);
    assert_eq!(told(Right::Read), CommandLines::LeftOut);
}

#[test]
fn a_user_who_asks_in_a_loop_is_told_of_once_a_minute() {
    let mut refusals = Refusals::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(refusals.take(1000, at(0)), Some(0));
    for _ in 0..5 {
        assert_eq!(refusals.take(1000, at(59)), None);
    }
    assert_eq!(refusals.take(1001, at(59)), Some(0), "each has his own");
    assert_eq!(refusals.take(1000, at(60)), Some(5));
    assert_eq!(refusals.take(1000, at(61)), None);
}

#[test]
fn however_many_users_are_refused_what_is_kept_of_them_is_bounded() {
    let mut refusals = Refusals::default();
    let start = Instant::now();
    let users = u32::try_from(USERS_MAX).unwrap();
    let told = (0..users + 10).filter(|uid| refusals.take(*uid, start).is_some());
    assert_eq!(told.count(), USERS_MAX + 1, "the further ones share a line");
    assert_eq!(refusals.users.len(), USERS_MAX);
    // Who is known already keeps his own.
    assert_eq!(refusals.take(0, start), None);
    let later = start + TOLD_EVERY;
    assert_eq!(refusals.take(0, later), Some(1));
    assert_eq!(refusals.take(users + 20, later), Some(0), "room was made");
    assert_eq!(refusals.users.len(), 2);
}

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
        let refusal = peer(Right::Nothing).may(request).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Forbidden);
    }
    for request in &steers {
        assert_eq!(peer(Right::Steer).may(request), Ok(()));
        let refusal = peer(Right::Read).may(request).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Forbidden);
        assert!(refusal.message.contains("user 1000 may not"), "{refusal}");
    }
}

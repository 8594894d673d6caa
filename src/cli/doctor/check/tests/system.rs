//! The rest of the machine.

use super::*;

#[test]
fn the_receive_buffer() {
    one(
        with_daemon(|daemon| daemon.capabilities.as_mut().unwrap().net_admin = false),
        &[
            "?receive-buffer: the daemon gets a receive buffer of 100 bytes",
            "rmem_max = 500",
        ],
    );
    let mut facts = fine();
    with_daemon(|daemon| daemon.capabilities = Err("closed".into()))(&mut facts);
    assert_eq!(
        found(&facts),
        ["unseen receive-buffer: closed", "unseen rights: closed"]
    );
    one(
        with_daemon(|daemon| daemon.overruns = 3),
        &["receive-buffer: the kernel has dropped notifications 3 times"],
    );
    let mut facts = fine();
    facts.daemon = Ok(None);
    facts.buffer.granted = Ok(10);
    let said = found(&facts);
    assert!(
        said[0].contains("?receive-buffer: a daemon of this user gets a receive buffer of 5 bytes"),
        "{said:?}"
    );
}

#[test]
fn the_system() {
    one(
        |facts| facts.clock.synchronized = Ok(false),
        &["?clock: the clock of this node is not synchronized: no decision depends on it"],
    );
    one(
        |facts| facts.clock.synchronized = Err("mute".into()),
        &["unseen clock: mute"],
    );
    one(
        |facts| facts.clock.behind = Ok(Duration::from_hours(3)),
        &["?clock: the clock of this node is 3 h behind"],
    );
    one(
        |facts| facts.modules.selinux_enforces = true,
        &["confinement: SELinux enforces here"],
    );
    one(
        |facts| facts.modules.apparmor = Some("keepstart (enforce)".into()),
        &[
            "?confinement: AppArmor confines the daemon",
            "keepstart (enforce)",
        ],
    );
}

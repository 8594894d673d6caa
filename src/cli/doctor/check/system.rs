//! The clock, and what keeps even root from executing things. Pure.

use super::super::facts::Facts;
use super::super::finding::Checked;
use super::daemon::span;

/// Whether the time of day can be believed. No decision depends on it: the daemon counts by the monotonic clock.
pub(super) fn clock(facts: &Facts) -> Checked {
    let mut checked = Checked::of(
        "whether the time of day is synchronized, and not behind what the daemon has written",
    );
    match &facts.clock.synchronized {
        Ok(true) => {}
        Ok(false) => checked
            .may_hurt(
                "the clock of this node is not synchronized: no decision depends on it, but the logs of two nodes \
                 cannot be put in one order, and epochs begin at the time of day, so that those of two nodes cannot \
                 be compared",
            )
            .mend("timedatectl set-ntp true; timedatectl timesync-status"),
        Err(why) => checked.cannot_see(why.clone()),
    }
    match &facts.clock.behind {
        Ok(behind) if behind.is_zero() => {}
        Ok(behind) => checked
            .may_hurt(format!(
                "the clock of this node is {} behind the daemon's last write of its epochs: it has gone back, or \
                 was wrong then; epochs still only grow, but the log is not in order",
                span(*behind)
            ))
            .mend("timedatectl"),
        Err(why) => checked.cannot_see(why.clone()),
    }
    checked
}

/// SELinux and AppArmor.
pub(super) fn modules(facts: &Facts) -> Checked {
    let mut checked =
        Checked::of("SELinux does not enforce, and no AppArmor profile confines the daemon");
    if facts.modules.selinux_enforces {
        checked.looked_at = "SELinux enforces".into();
        checked
            .note("SELinux enforces here: a script that it refuses ends with status 126, and the audit log says why")
            .mend("ausearch -m avc -ts recent");
    }
    if let Some(profile) = &facts.modules.apparmor {
        checked.looked_at = format!("AppArmor confines the daemon with {profile}");
        checked
            .may_hurt(format!(
                "AppArmor confines the daemon and its scripts with the profile {profile}: what it does not allow, \
                 they cannot do"
            ))
            .mend("journalctl -k -g apparmor");
    }
    checked
}

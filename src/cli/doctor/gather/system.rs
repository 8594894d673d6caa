//! The clock, and the mandatory access controls.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use super::super::facts::{Clock, Modules, Seen};
use super::{ask, systemd};
use crate::cli::locate;
use crate::config::Config;

/// What is known of the time of day.
pub(super) fn clock(config: &Config) -> Clock {
    Clock {
        synchronized: synchronized(),
        behind: behind(config),
    }
}

/// The kernel knows it (adjtimex(2)), and systemd's timedated tells.
fn synchronized() -> Seen<bool> {
    if !systemd::is_booted() {
        return Err(
            "whether the clock is synchronized is asked of systemd, which does not run here".into(),
        );
    }
    let said = ask::command(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    )?;
    match said.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("`timedatectl show` has answered {other:?}")),
    }
}

/// How far the clock is behind the last write of the epochs.
fn behind(config: &Config) -> Seen<Duration> {
    let paths = locate::paths(config)
        .map_err(|_| "the place of the daemon's epochs is not known".to_owned())?;
    let epochs = paths.epochs();
    match fs::metadata(&epochs).and_then(|found| found.modified()) {
        Ok(written) => Ok(written.duration_since(now()).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::ZERO),
        Err(error) => Err(format!("{} cannot be looked at: {error}", epochs.display())),
    }
}

/// What keeps root from executing things.
pub(super) fn modules(daemon: Option<u32>) -> Modules {
    let enforce = fs::read_to_string("/sys/fs/selinux/enforce").unwrap_or_default();
    let confined = daemon
        .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current")).ok());
    let confined = confined.map(|profile| profile.trim_end_matches(['\n', '\0']).to_owned());
    Modules {
        selinux_enforces: enforce.trim() == "1",
        apparmor: confined.filter(|profile| profile != "unconfined" && !profile.is_empty()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of day is what is looked at"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

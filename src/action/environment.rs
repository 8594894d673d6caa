//! The environment of actions: what of the daemon's own is handed on, and what is added. Pure but for one
//! function that reads the daemon's environment once, at start-up.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use crate::machine::job::{Job, Role};
use crate::machine::reason::Reason;

/// Variables that are not handed on. They would change what the shell of a script does (`IFS`, `ENV`,
/// `BASH_ENV`), or they are a talk between systemd and this process that a script must not join (`sd_notify(3)`,
/// `sd_listen_fds(3)`, `sd_watchdog_enabled(3)`, `systemd.exec(5)`).
const WITHHELD: [&str; 6] = [
    "IFS",
    "ENV",
    "BASH_ENV",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];

/// The same by prefix: the dynamic linker's, systemd's, and our own, which an outer keepstart may have set.
const WITHHELD_PREFIXES: [&str; 4] = ["LD_", "WATCHDOG_", "LISTEN_", "KEEPSTART_"];

/// Where programs are looked for when no `PATH` says so.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// This process's environment without what scripts must not get. Read once: it never changes.
pub fn inherited_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| is_handed_on(name))
        .collect()
}

fn is_handed_on(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !WITHHELD.iter().any(|withheld| withheld.as_bytes() == name)
        && !WITHHELD_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// What every job adds. A variable without a value (`KEEPSTART_NIC` where any interface will do) is set and
/// empty, so that a script under `set -u` may name it.
pub(super) fn job_variables(job: &Job) -> [(&'static str, String); 9] {
    let rule = &job.settings.role;
    let mut vip = String::new();
    for address in &rule.addresses {
        let separator = if vip.is_empty() { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(vip, "{separator}{address}");
    }
    [
        ("KEEPSTART_INSTANCE", job.settings.name.to_string()),
        ("KEEPSTART_ROLE", job.role.to_string()),
        ("KEEPSTART_PREVIOUS_ROLE", job.previous_role.to_string()),
        ("KEEPSTART_VIP", vip),
        ("KEEPSTART_NIC", rule.nic.clone().unwrap_or_default()),
        ("KEEPSTART_ACTION", job.action.to_string()),
        ("KEEPSTART_REASON", job.reason.to_string()),
        ("KEEPSTART_EPOCH", job.epoch.to_string()),
        (JOB_VARIABLE, job.id.to_string()),
    ]
}

/// The variable by which a job's process is found again.
pub(super) const JOB_VARIABLE: &str = "KEEPSTART_JOB";

/// The `PATH` that a job's program is looked for in: the instance's, else the daemon's, else the usual one.
pub(super) fn search_path<'a>(job: &'a Job, inherited: &'a [(OsString, OsString)]) -> &'a OsStr {
    let own = job.settings.environment.iter().rev();
    own.filter(|(name, _)| name == "PATH")
        .map(|(_, value)| OsStr::new(value))
        .chain(
            inherited
                .iter()
                .filter(|(name, _)| name == "PATH")
                .map(|(_, value)| value.as_os_str()),
        )
        .next()
        .unwrap_or(OsStr::new(DEFAULT_PATH))
}

/// The arguments of a keepalived notify script (keepalived.conf(5), `notify`): kind, name, state, priority.
///
/// The state is STOP for an action that is run because the daemon ends or the instance is removed, as
/// keepalived does when it ends; an UNKNOWN role is FAULT. There is no priority to tell, so it is 0.
pub(super) fn keepalived_arguments(job: &Job) -> [&str; 4] {
    let state = match (job.reason, job.role) {
        (Reason::DaemonEnds | Reason::InstanceRemoved, _) => "STOP",
        (_, Role::Unknown) => "FAULT",
        (_, Role::Backup) => "BACKUP",
        (_, Role::Master) => "MASTER",
    };
    ["INSTANCE", job.settings.name.as_str(), state, "0"]
}

#[cfg(test)]
mod tests;

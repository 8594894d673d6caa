//! The environment of actions: what of the daemon's own is handed on, what is added, and how a process is
//! known by it. It reads the daemon's own environment once, at start-up, and those of others in `/proc`.

use std::borrow::Cow;
use std::ffi::{CStr, CString, NulError, OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::machine::job::{Job, Role};
use crate::machine::process::EnvironmentFrom;
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
        (INSTANCE_VARIABLE, job.settings.name.to_string()),
        (ROLE_VARIABLE, job.role.to_string()),
        ("KEEPSTART_PREVIOUS_ROLE", job.previous_role.to_string()),
        ("KEEPSTART_VIP", vip),
        ("KEEPSTART_NIC", rule.nic.clone().unwrap_or_default()),
        (ACTION_VARIABLE, job.action.to_string()),
        ("KEEPSTART_REASON", job.reason.to_string()),
        (EPOCH_VARIABLE, job.epoch.to_string()),
        (JOB_VARIABLE, job.id.to_string()),
    ]
}

/// What all jobs' environments begin with, in the form that execve(2) takes.
pub(super) struct Inherited {
    variables: Vec<CString>,
    path: OsString,
    /// Whose jobs they are.
    daemon: CString,
}

impl Inherited {
    /// A name or value with a NUL byte, which no process can have been given, is left out.
    pub(super) fn new(pairs: Vec<(OsString, OsString)>, daemon: &DaemonName) -> Self {
        let variables = pairs
            .iter()
            .filter_map(|(name, value)| variable(name.as_bytes(), value.as_bytes()).ok())
            .collect();
        let mut pairs = pairs.into_iter();
        let path = pairs.find(|(name, _)| name == "PATH");
        let path = path.map_or_else(|| DEFAULT_PATH.into(), |(_, path)| path);
        Self {
            variables,
            path,
            // No path has a NUL byte.
            daemon: variable(CONFIG_VARIABLE.as_bytes(), daemon.0.as_bytes()).unwrap_or_default(),
        }
    }
}

/// The environment of one job: `NAME=VALUE`, each name once.
pub(super) struct Block<'a>(Vec<Cow<'a, CStr>>);

impl<'a> Block<'a> {
    /// What the file says goes before what was inherited. The file may not set a name of keepstart's, and names
    /// each once.
    pub(super) fn of(job: &Job, inherited: &'a Inherited) -> Result<Self, NulError> {
        let own = own_variables(job);
        let is_own = |name: &[u8]| own.iter().any(|(own, _)| own.as_bytes() == name);
        // Of the names that keepstart sets none is inherited.
        let mut variables: Vec<Cow<'_, CStr>> = match job.command.process.environment_from {
            EnvironmentFrom::Daemon => inherited
                .variables
                .iter()
                .filter(|variable| !is_own(name_of(variable)))
                .map(|variable| Cow::Borrowed(variable.as_c_str()))
                .collect(),
            EnvironmentFrom::None => Vec::new(),
        };
        let ours = job_variables(job);
        let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in ours.chain(own) {
            variables.push(variable(name.as_bytes(), value.as_bytes())?.into());
        }
        variables.push(Cow::Borrowed(inherited.daemon.as_c_str()));
        Ok(Self(variables))
    }

    pub(super) fn variables(&self) -> &[Cow<'a, CStr>] {
        &self.0
    }
}

/// What the file says for the action, each name once: what is the action's goes before what is its instance's, and
/// that before what goes with its user and with an empty beginning.
fn own_variables(job: &Job) -> Vec<(&str, &str)> {
    let process = &job.command.process;
    let user = process.user.as_ref().map(|user| {
        [
            ("HOME", &*user.home),
            ("LOGNAME", &*user.name),
            ("SHELL", &*user.shell),
            ("USER", &*user.name),
        ]
    });
    let path = match process.environment_from {
        EnvironmentFrom::Daemon => None,
        EnvironmentFrom::None => Some(("PATH", DEFAULT_PATH)),
    };
    let mut own: Vec<(&str, &str)> = Vec::new();
    let of_action = process.environment.iter();
    let of_instance = job.settings.environment.iter();
    let variables = of_action
        .map(|(name, value)| (&**name, &**value))
        .chain(of_instance.map(|(name, value)| (&**name, &**value)))
        .chain(user.into_iter().flatten())
        .chain(path);
    for (name, value) in variables {
        if own.iter().all(|(taken, _)| *taken != name) {
            own.push((name, value));
        }
    }
    own
}

fn variable(name: &[u8], value: &[u8]) -> Result<CString, NulError> {
    CString::new([name, b"=", value].concat())
}

fn name_of(variable: &CStr) -> &[u8] {
    let mut parts = variable.to_bytes().split(|&byte| byte == b'=');
    parts.next().unwrap_or_default()
}

/// By which the processes of one daemon's jobs are told from those of another one that has an instance of the same
/// name: the canonical path of its configuration file, which no two daemons of one user share. Unlike its directories
/// it stays the same when the file is edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonName(String);

impl DaemonName {
    /// The name of the daemon of this file. What is not text in the path is replaced, as it has to be in a comparison
    /// with what `/proc` shows.
    pub fn of(config_file: &Path) -> Self {
        let canonical = fs::canonicalize(config_file);
        let path = canonical.as_deref().unwrap_or(config_file);
        Self(path.to_string_lossy().into_owned())
    }

    /// Whether a process with this environment belongs to one of its jobs.
    pub(super) fn is_among(&self, variables: &[(String, String)]) -> bool {
        let is_it = |(name, value): &(String, String)| name == CONFIG_VARIABLE && *value == self.0;
        variables.iter().any(is_it)
    }
}

/// The variables by which a job's process is found again.
pub(super) const CONFIG_VARIABLE: &str = "KEEPSTART_CONFIG";
pub(super) const INSTANCE_VARIABLE: &str = "KEEPSTART_INSTANCE";
pub(super) const ROLE_VARIABLE: &str = "KEEPSTART_ROLE";
pub(super) const EPOCH_VARIABLE: &str = "KEEPSTART_EPOCH";
pub(super) const ACTION_VARIABLE: &str = "KEEPSTART_ACTION";
pub(super) const JOB_VARIABLE: &str = "KEEPSTART_JOB";

/// The most that is read of a process's environment, in bytes. The kernel allows an environment and arguments
/// of some megabytes together (execve(2)); ours stand behind all that was inherited.
const ENVIRONMENT_MAX: u64 = 4 * 1024 * 1024;

/// The environment that a process began with, as far as it is text; proc_pid_environ(5).
pub(super) fn variables_of(pid: u32) -> io::Result<Vec<(String, String)>> {
    let mut environment = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?
        .take(ENVIRONMENT_MAX)
        .read_to_end(&mut environment)?;
    let variables = environment.split(|&byte| byte == 0);
    Ok(variables
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The `PATH` that a job's program is looked for in: the file's, else the daemon's, else the usual one.
pub(super) fn search_path<'a>(job: &'a Job, inherited: &'a Inherited) -> &'a OsStr {
    let mut own = own_variables(job).into_iter();
    let path = own.find(|(name, _)| *name == "PATH");
    path.map_or(inherited.path.as_os_str(), |(_, path)| OsStr::new(path))
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

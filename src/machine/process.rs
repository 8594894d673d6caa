//! How the process of an action is made, beyond what every process of the daemon is. Pure data; `config` makes it,
//! `action` makes the process.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What an action's process is, has and may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// What becomes of a script that is not in safe hands; `None`: strict where the daemon is root, else off.
    pub script_security: Option<ScriptSecurity>,
    /// Whom it runs as; `None`: the daemon's user.
    pub user: Option<User>,
    /// The group it runs in; `None`: the primary one of `user`, else the daemon's.
    pub group: Option<Group>,
    /// Which permissions it does not give to new files; `None`: as the daemon.
    pub umask: Option<u32>,
    /// How it gives way to others, -20 to 19; `None`: as the daemon.
    pub nice: Option<i32>,
    /// What it may use; what is not named is as the daemon's.
    pub limits: BTreeMap<Resource, Limit>,
    /// What its environment begins with.
    pub environment_from: EnvironmentFrom,
    /// What only this action adds to the environment of its instance.
    pub environment: BTreeMap<String, String>,
}

impl ProcessSettings {
    /// Whether such a process is anything else than a plain child of the daemon.
    pub fn differs_from_the_daemon(&self) -> bool {
        self.user.is_some()
            || self.group.is_some()
            || self.umask.is_some()
            || self.nice.is_some()
            || !self.limits.is_empty()
    }
}

/// What becomes of a script that somebody else could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptSecurity {
    /// It is not run.
    Strict,
    /// It is told of when the configuration is read, and run.
    Warn,
    /// Nobody looks.
    Off,
}

/// A user of this machine, as the user database had it when the file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// As the file says it: a name or a number.
    pub written: String,
    /// The name to log in with.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// A group of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As the file says it: a name or a number.
    pub written: String,
    /// The number.
    pub gid: u32,
}

/// What the environment of an action begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentFrom {
    /// The daemon's own.
    #[default]
    Daemon,
    /// Nothing but the usual `PATH`.
    None,
}

/// What can be limited; the names are those of limits.conf(5), which are those of setrlimit(2) too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "setrlimit(2) has them all")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Locks,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rss,
        Self::Rtprio,
        Self::Rttime,
        Self::Sigpending,
        Self::Stack,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Locks => "locks",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rss => "rss",
            Self::Rtprio => "rtprio",
            Self::Rttime => "rttime",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }
}

/// How much of a resource; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What holds.
    pub soft: Option<u64>,
    /// What the process itself can raise it to.
    pub hard: Option<u64>,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |f: &mut fmt::Formatter<'_>, value: Option<u64>| match value {
            Some(value) => value.fmt(f),
            None => f.write_str("infinity"),
        };
        one(f, self.soft)?;
        if self.soft != self.hard {
            f.write_str(":")?;
            one(f, self.hard)?;
        }
        Ok(())
    }
}

//! What the machine must know of the configuration: one value per instance, already checked and with every
//! default filled in. Pure data; `config` makes it, nothing here reads a file.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{Action, Means};
use super::process::ProcessSettings;
use super::unit::UnitName;

/// The name of an instance: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, not beginning with `.` or `-`.
///
/// The set is small because the name stands in file names, journal fields and environment variables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName(Arc<str>);

/// Why a text is not an instance name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an instance name has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter, a digit or '_'"
)]
pub struct BadInstanceName;

impl InstanceName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Checks and takes a name.
    pub fn new(name: &str) -> Result<Self, BadInstanceName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let length_fits = (1..=Self::LENGTH_MAX).contains(&name.len());
        if length_fits && name.chars().all(allowed) && !name.starts_with(['.', '-']) {
            Ok(Self(name.into()))
        } else {
            Err(BadInstanceName)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for InstanceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceName {
    type Error = BadInstanceName;

    fn try_from(name: String) -> Result<Self, BadInstanceName> {
        Self::new(&name)
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> Self {
        name.0.as_ref().into()
    }
}

/// Everything the machine is told by one configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How many start actions may run at once over all instances (`starts-at-once`, default 16).
    pub starts_at_once: NonZeroU32,
    /// The shortest `sleep` of all instances: how often the addresses are dumped while the kernel's
    /// notifications are not available.
    pub poll_every: Duration,
    /// The shortest audit period of all instances: how often the addresses are dumped while they are.
    pub audit_every: Duration,
    /// The instances, sorted by name; names are unique.
    pub instances: Vec<Arc<InstanceSettings>>,
}

impl Settings {
    /// Takes what is as it was `before` from there, so that it is kept once.
    pub fn share(&mut self, before: &Self) {
        for one in &mut self.instances {
            let found = before
                .instances
                .binary_search_by(|old| old.name.cmp(&one.name));
            let same = found.ok().and_then(|index| before.instances.get(index));
            if let Some(same) = same.filter(|old| *old == one) {
                *one = Arc::clone(same);
            }
        }
    }
}

/// One instance: what gives it its role, what it does with it, and its patience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSettings {
    /// Its name; `default` for the `keepstart:` section.
    pub name: InstanceName,
    /// What makes it MASTER.
    pub role: VipRule,
    /// Brings the service up.
    pub start: Arc<ActionSettings>,
    /// Takes the service down.
    pub stop: Arc<ActionSettings>,
    /// Asks whether the service is up.
    pub is_running: Option<Arc<ActionSettings>>,
    /// When a change of role is believed.
    pub debounce: Debounce,
    /// What to do with a role that is UNKNOWN for longer than this: stop. `None`: what runs is held. It begins to
    /// count when trust in the kernel's answers is lost; at start-up and after a change of the rule three
    /// `sleep` (at least 5 s) later, because until then nobody has been asked in vain.
    pub unknown_stop_after: Option<Duration>,
    /// How long a running start or stop may go on after the role has turned against it (default 10 s).
    pub start_cancel_after: Duration,
    /// How failed actions are repeated.
    pub retry: Retry,
    /// The period of the audit's is-running (`sleep × force-test-cycle`, default 120 s).
    pub audit_every: Duration,
    /// The period of the alive line (`running-report-cycle`, default 3600 s).
    pub report_every: Duration,
    /// What happens to the service when the daemon ends (default keep).
    pub on_exit: Release,
    /// What happens to the service when a reload removes the instance (default keep).
    pub on_remove: Release,
    /// Added to the environment of every action of this instance, after the daemon's own variables.
    pub environment: Vec<(String, String)>,
    /// What the actions get as arguments.
    pub arguments: Arguments,
}

impl InstanceSettings {
    /// What an action of this instance runs; `None` where the file does not say.
    pub fn command(&self, action: Action) -> Option<&Arc<ActionSettings>> {
        match action {
            Action::Start => Some(&self.start),
            Action::Stop => Some(&self.stop),
            Action::IsRunning => self.is_running.as_ref(),
        }
    }

    /// The units whose changes are of interest: all that an action names, where is-running can be asked what
    /// has become of them. One may come more than once.
    pub fn units(&self) -> impl Iterator<Item = &UnitName> {
        let all = [
            Some(&self.start),
            Some(&self.stop),
            self.is_running.as_ref(),
        ];
        let asks = self.is_running.is_some();
        let actions = all.into_iter().flatten().filter(move |_| asks);
        actions.flat_map(|action| action.run.units())
    }
}

/// A service that the daemon lets go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// It goes on running.
    Keep,
    /// It is stopped first.
    Stop,
}

/// The arguments appended to each action's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arguments {
    /// None.
    None,
    /// Those of a keepalived notify script: `INSTANCE name MASTER 0` (keepalived.conf(5), `notify`).
    Keepalived,
}

/// A role that follows addresses of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipRule {
    /// The interface: a link's name, an altname, or an address label. `None`: any interface.
    pub nic: Option<String>,
    /// The addresses, at least one.
    pub addresses: Vec<IpAddr>,
    /// How many of the addresses must be present.
    pub quorum: Quorum,
    /// The role while `nic` has never been seen.
    pub nic_never_seen: NicNeverSeen,
}

/// How many addresses make a MASTER (`match:` in the file).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// Every one.
    All,
    /// At least one.
    Any,
}

/// The role of an instance whose `nic` has never existed since the daemon began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NicNeverSeen {
    /// UNKNOWN: perhaps the name is misspelt; nothing is started or stopped.
    Unknown,
    /// BACKUP: the interface comes with the role (a VMAC, for instance).
    Backup,
}

/// Fast down, slow up, no waiting when calm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debounce {
    /// Calm is no flip for this long; a gain inside it waits until it is over (default 200 ms; 0: never wait).
    pub window: Duration,
    /// A gain is decided after this long at the latest, however much the role flaps (default 2 s).
    pub hold_max: Duration,
    /// How long a loss is held back (default 0: acted on at once).
    pub hold_on_loss: Duration,
}

/// The patience of repeated attempts: `first`, then times `factor` up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Before the second attempt (default 1 s).
    pub first: Duration,
    /// What each further wait is multiplied by (default 2).
    pub factor: NonZeroU32,
    /// The longest wait (default 60 s).
    pub longest: Duration,
    /// A time without failure after which counting begins anew (default 10 minutes).
    pub reset_after: Duration,
}

/// One action: a command and how long it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionSettings {
    /// What is run.
    pub run: Command,
    /// How long it may run before it is sent SIGTERM (default 90 s; is-running 10 s).
    pub timeout: Duration,
    /// How long after SIGTERM its process group is sent SIGKILL (default 10 s).
    pub kill_after: Duration,
    /// The directory it runs in; `None`: the daemon's.
    pub working_directory: Option<PathBuf>,
    /// What its process is beyond that. Shared, because most actions of a file say nothing of it.
    #[serde(default)]
    pub process: Arc<ProcessSettings>,
}

/// What an action runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// One file, executed directly; by `/bin/sh` where the kernel does not know its format (ENOEXEC).
    File(PathBuf),
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments; never empty.
    Argv(Vec<String>),
    /// systemd units, which are started, stopped or asked as the action says; never empty.
    Units(Vec<UnitName>),
}

impl Command {
    /// The units, where it names any.
    pub fn units(&self) -> &[UnitName] {
        match self {
            Self::Units(units) => units,
            Self::File(_) | Self::Shell(_) | Self::Argv(_) => &[],
        }
    }

    /// Who carries it out.
    pub fn means(&self) -> Means {
        match self {
            Self::Units(_) => Means::Systemd,
            Self::File(_) | Self::Shell(_) | Self::Argv(_) => Means::Process,
        }
    }

    /// The file that it names by its absolute path: of a line for the shell the first word, where it stands there
    /// as it is. A word without `/` is looked for in `PATH` when it is run.
    pub fn file(&self) -> Option<&Path> {
        let path = match self {
            Self::File(path) => path.as_path(),
            Self::Shell(line) => Path::new(first_word(line)?),
            Self::Argv(words) => Path::new(words.first()?),
            Self::Units(_) => return None,
        };
        path.is_absolute().then_some(path)
    }
}

/// The first word of a line; `None` where the shell would make another one of it.
fn first_word(line: &str) -> Option<&str> {
    let ends = |c: char| c.is_whitespace() || "|&;<>()".contains(c);
    let word = line.trim_start().split(ends).next()?;
    (!word.contains(|c: char| "$`\\\"'*?[]~={}!".contains(c))).then_some(word)
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Shell(line) => f.write_str(line),
            Self::Argv(words) => f.write_str(&words.join(" ")),
            Self::Units(units) => {
                let names: Vec<_> = units.iter().map(UnitName::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

//! The `application:` section: what concerns the daemon as a process. Pure but for the user database; see `account`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account;
use super::grounds::Ground;
use super::section::{Notes, Section};
use super::tree::{Node, quoted};
use super::value::{boolean, choice, count, duration, integer, text};
use crate::machine::process::{Group, ScriptSecurity};
use crate::scheduling::Priority;

pub(super) const KEYS: [&str; 12] = [
    "daemon",
    "workspace",
    "pidfile",
    "runtime-dir",
    "state-dir",
    "stop-wait",
    "starts-at-once",
    "control-group",
    "control-readers",
    "log-level",
    "script-security",
    "realtime-priority",
];

pub(super) const STARTS_AT_ONCE: NonZeroU32 = NonZeroU32::new(16).unwrap();
const STOP_WAIT: Duration = Duration::from_mins(1);

/// The daemon as a process. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Whether `start` detaches (default: it does not).
    pub daemon: Daemon,
    /// The directory that the daemon and its actions run in, and that relative paths are relative to;
    /// `None`: relative paths are relative to the directory of the file.
    pub workspace: Option<PathBuf>,
    /// Where the detached daemon writes its process id.
    pub pidfile: Option<PathBuf>,
    /// Where the control socket and what belongs to this boot stand, if the file says so.
    pub runtime_dir: Option<PathBuf>,
    /// Where the epochs stand, if the file says so.
    pub state_dir: Option<PathBuf>,
    /// How long the ending daemon waits for a running action (default 60 s; 0: not at all).
    pub stop_wait: Duration,
    /// The group whose members may use the control socket; `None`: only its owner.
    pub control_group: Option<Group>,
    /// Who else may read what the daemon tells; `None`: nobody.
    pub control_readers: Option<Readers>,
    /// How much is logged, where the command line and `RUST_LOG` do not say otherwise.
    pub log_level: Option<LogLevel>,
    /// What becomes of a script that somebody else could change; `None`: strict
    /// for root, off for others.
    pub script_security: Option<ScriptSecurity>,
    /// The real-time priority of the threads between an address change and the exec of an action; `None`: they are
    /// as ordinary as all the others.
    pub realtime_priority: Option<Priority>,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            daemon: Daemon::Foreground,
            workspace: None,
            pidfile: None,
            runtime_dir: None,
            state_dir: None,
            stop_wait: STOP_WAIT,
            control_group: None,
            control_readers: None,
            log_level: None,
            script_security: None,
            realtime_priority: None,
        }
    }
}

/// Who may read from the control socket, and change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readers {
    /// All users of this machine.
    Everyone,
    /// The members of a group.
    Group(Group),
}

impl Readers {
    /// As it is written in the file.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Everyone => EVERYONE,
            Self::Group(group) => &group.written,
        }
    }
}

const EVERYONE: &str = "everyone";

/// What `start` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// `daemon: true`: it detaches and returns when the daemon is ready.
    Detached,
    /// `daemon: false`: it is the daemon.
    Foreground,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what is about to.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// And everything on the way.
    Trace,
}

/// The levels as they are written; Python's own names too, upper or lower case.
const LEVELS: [(&str, LogLevel); 7] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
    ("warning", LogLevel::Warn),
    ("critical", LogLevel::Error),
];

impl LogLevel {
    /// The level as it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

const SECURITIES: [(&str, ScriptSecurity); 3] = [
    ("strict", ScriptSecurity::Strict),
    ("warn", ScriptSecurity::Warn),
    ("off", ScriptSecurity::Off),
];

/// Reads `application:`. `home` is the directory of the file.
pub(super) fn read(
    node: &Node<'_>,
    home: &Path,
    notes: &mut Notes<'_>,
) -> (Application, NonZeroU32) {
    let Some(section) = Section::open(node, node.at, "application", &KEYS, notes) else {
        return (Application::default(), STARTS_AT_ONCE);
    };
    let daemon = section.read("daemon", notes, boolean).unwrap_or(false);
    let workspace = section.read("workspace", notes, |node| path(node, home));
    let base = workspace.as_deref().unwrap_or(home);
    let application = Application {
        daemon: if daemon {
            Daemon::Detached
        } else {
            Daemon::Foreground
        },
        pidfile: section.read("pidfile", notes, |node| path(node, base)),
        runtime_dir: section.read("runtime-dir", notes, |node| path(node, base)),
        state_dir: section.read("state-dir", notes, |node| path(node, base)),
        stop_wait: section
            .read("stop-wait", notes, |node| duration(node, Duration::ZERO))
            .unwrap_or(STOP_WAIT),
        control_group: account::group(&section, "control-group", notes),
        control_readers: readers(&section, notes),
        log_level: section.read("log-level", notes, |node| choice(node, &LEVELS)),
        script_security: section.read("script-security", notes, |node| choice(node, &SECURITIES)),
        realtime_priority: section.read("realtime-priority", notes, priority),
        workspace,
    };
    needed(&section, &application, notes);
    let starts_at_once = section.read("starts-at-once", notes, count);
    (application, starts_at_once.unwrap_or(STARTS_AT_ONCE))
}

fn priority(node: &Node<'_>) -> Result<Priority, String> {
    integer(node).and_then(Priority::new).ok_or_else(|| {
        let found = node.value.describe();
        let (lowest, highest) = (Priority::MIN, Priority::MAX);
        format!("found {found}, expected a whole number from {lowest} to {highest}, of which a low one does")
    })
}

/// Notes what has to be there for the daemon to start, and where the file says so.
fn needed(section: &Section<'_, '_>, application: &Application, notes: &mut Notes<'_>) {
    let workspace = application.workspace.clone().map(Ground::Workspace);
    let pidfile = application.pidfile.clone().map(Ground::Pidfile);
    let placed = [("workspace", workspace), ("pidfile", pidfile)]
        .into_iter()
        .filter_map(|(key, ground)| Some((section.get(key)?.at, ground?)));
    notes.grounds.extend(placed);
}

fn readers(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Option<Readers> {
    const KEY: &str = "control-readers";
    let written = section.read(KEY, notes, |node| {
        text(node, "everyone, or the name or number of a group")
    })?;
    match written.trim() {
        EVERYONE => Some(Readers::Everyone),
        group => account::named_group(section, KEY, group, notes).map(Readers::Group),
    }
}

/// Reads a path, which is relative to `base`.
pub(super) fn path(node: &Node<'_>, base: &Path) -> Result<PathBuf, String> {
    let text = text(node, "a path")?;
    if text.starts_with('~') {
        let found = quoted(&text);
        return Err(format!(
            "found {found}, but ~ is not replaced here, expected the whole path"
        ));
    }
    Ok(resolve(base, &text))
}

/// The path from `base`, without the `.` components that only cost reading.
pub(super) fn resolve(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}

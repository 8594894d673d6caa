//! What the doctor knows of this machine: gathered first, by `gather`, then only read, by the checks. Pure data, so
//! that a test can make any machine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::capabilities::Capabilities;
use crate::config::{Config, Faults};
use crate::machine::job::Action;
use crate::machine::kernel::KernelDump;
use crate::machine::settings::InstanceName;
use crate::scheduling::Standing;
use crate::trust::Fault;

/// A fact, or why it is not known: a sentence without its full stop.
pub(super) type Seen<T> = Result<T, String>;

/// The unit of keepalived, in every distribution.
pub(super) const KEEPALIVED: &str = "keepalived.service";

/// All that is known.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The file as it is on the disk.
    pub(super) config: Config,
    /// What is odd in it, the scripts aside.
    pub(super) warnings: Faults,
    /// Each file that an action runs.
    pub(super) scripts: Vec<Script>,
    /// The systemd units that actions start or stop, as far as their text says so.
    pub(super) units: Vec<UsedUnit>,
    /// Links, and those addresses that the file names.
    pub(super) kernel: Seen<KernelDump>,
    /// The receive buffer for the kernel's notifications.
    pub(super) buffer: Buffer,
    /// Where the system's own network configuration gives a VIP to this node.
    pub(super) configured: NetworkFiles,
    /// keepalived beside it.
    pub(super) keepalived: Keepalived,
    /// The daemon of the file; `None`: none runs.
    pub(super) daemon: Seen<Option<Daemon>>,
    /// Other processes that call themselves keepstart.
    pub(super) others: Vec<Other>,
    /// `None`: the system was not booted with systemd.
    pub(super) systemd: Option<Systemd>,
    /// The time of day.
    pub(super) clock: Clock,
    /// What keeps root from executing things.
    pub(super) modules: Modules,
}

/// A file that actions run.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// As the file names it, absolute.
    pub(super) path: PathBuf,
    /// Who runs it.
    pub(super) used: Vec<(InstanceName, Action)>,
    /// What it is.
    pub(super) state: ScriptState,
    /// The path without symbolic links, where it exists.
    pub(super) resolved: Option<PathBuf>,
    /// The parts of its path that somebody can write who is neither root nor the user that runs it.
    pub(super) weak: Seen<Vec<Fault>>,
}

/// Whether a script can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScriptState {
    /// It can.
    Executable,
    /// There is none.
    Missing,
    /// It is something else.
    NotAFile,
    /// It has no bit that says so.
    NotExecutable,
    /// It is on a file system from which nothing is executed.
    OnNoexec,
    /// The program that its first line names is not there.
    NoInterpreter(PathBuf),
    /// It may not be looked at.
    Unseen(String),
}

/// A systemd unit that an action starts or stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UsedUnit {
    /// Its name, with its suffix.
    pub(super) name: String,
    /// Whose action.
    pub(super) instance: InstanceName,
    /// Which.
    pub(super) action: Action,
}

/// The receive buffer, in bytes as the kernel accounts it: twice what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffer {
    /// What the daemon asks for.
    pub(super) wanted: usize,
    /// What this process got when it asked.
    pub(super) granted: Seen<usize>,
    /// `net.core.rmem_max`.
    pub(super) limit: Seen<usize>,
}

/// The files in which the system's network configuration may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NetworkFiles {
    /// Those that were read.
    pub(super) read: Vec<PathBuf>,
    /// Those that could not be, and why.
    pub(super) unread: Vec<String>,
    /// Addresses that they give to this node.
    pub(super) addresses: Vec<(IpAddr, Place)>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file.
    pub(super) file: PathBuf,
    /// The line, from 1.
    pub(super) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// keepalived on this machine.
#[derive(Debug, Clone)]
pub(super) struct Keepalived {
    /// Its processes in this network namespace, as far as can be seen.
    pub(super) processes: Vec<u32>,
    /// The file that it reads, or would.
    pub(super) file: PathBuf,
    /// What stands in it; `None`: there is no such file.
    pub(super) conf: Seen<Option<KeepalivedConf>>,
}

impl Keepalived {
    /// Whether it has anything to do here: it runs, or is configured, or that cannot be seen.
    pub(super) fn is_used(&self) -> bool {
        !self.processes.is_empty() || !matches!(self.conf, Ok(None))
    }
}

/// What keepstart has to know of keepalived.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeepalivedConf {
    /// The files that were read, those that it includes among them.
    pub(super) files: Vec<PathBuf>,
    /// Included files that could not be read, and why.
    pub(super) unread: Vec<String>,
    /// The addresses that it moves.
    pub(super) addresses: Vec<Moved>,
    /// The scripts that it runs when a state changes.
    pub(super) hooks: Vec<Hook>,
}

/// An address that keepalived moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The `vrrp_instance`.
    pub(super) owner: String,
    /// The address.
    pub(super) address: IpAddr,
    /// The interface that it comes to, where that can be read.
    pub(super) interface: Option<String>,
    /// Its label.
    pub(super) label: Option<String>,
    /// Where it stands.
    pub(super) place: Place,
}

/// A script that keepalived runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    /// The `vrrp_instance` or `vrrp_sync_group`.
    pub(super) owner: String,
    /// `notify`, `notify_master` and so on.
    pub(super) keyword: String,
    /// The program.
    pub(super) program: PathBuf,
    /// Its path without symbolic links, where it exists.
    pub(super) resolved: Option<PathBuf>,
    /// The systemd units that it starts or stops, as far as its text says so.
    pub(super) units: Vec<String>,
    /// Where it stands.
    pub(super) place: Place,
}

/// The daemon of the file.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    /// Its process.
    pub(super) pid: u32,
    /// Whether its reactor does not answer.
    pub(super) stale: bool,
    /// Why the kernel's notifications do not come, where they do not.
    pub(super) deaf: Option<String>,
    /// How often the kernel has dropped notifications.
    pub(super) overruns: u64,
    /// The instances that it has, without those that it is letting go.
    pub(super) instances: Vec<String>,
    /// The last starts and stops that went wrong.
    pub(super) failed: Vec<FailedJob>,
    /// When the file was last changed.
    pub(super) file_changed: Seen<SystemTime>,
    /// When the daemon read it.
    pub(super) file_read: Option<SystemTime>,
    /// Its user.
    pub(super) user: Seen<u32>,
    /// What it may do beyond what its user may.
    pub(super) capabilities: Seen<Capabilities>,
    /// Its real-time threads, where its file asks for such.
    pub(super) realtime: Option<Standing>,
    /// How many files it may have open.
    pub(super) open_files: Seen<u64>,
    /// Whether it is in the network namespace that was looked at.
    pub(super) is_in_this_network: Seen<bool>,
}

/// The last job of an instance, which went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedJob {
    /// Its name, as in the journal.
    pub(super) job: String,
    /// Its instance.
    pub(super) instance: String,
    /// What it should have done.
    pub(super) action: Action,
    /// What became of it.
    pub(super) outcome: String,
}

/// Another process that calls itself keepstart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    /// The process.
    pub(super) pid: u32,
    /// Its command line.
    pub(super) command_line: String,
    /// What it is.
    pub(super) kind: OtherKind,
}

/// What another keepstart is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OtherKind {
    /// A daemon with another file, and what that file says now.
    Daemon {
        /// Its file.
        file: PathBuf,
        /// The addresses and programs of its instances.
        instances: Vec<OtherInstance>,
    },
    /// Not this program: the Python tool of the same name, for instance.
    Foreign,
    /// It may not be looked into, or does not say.
    Unseen(String),
}

/// An instance of another daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherInstance {
    /// Its name.
    pub(super) name: String,
    /// Its addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// What its start runs.
    pub(super) start: String,
}

/// What systemd says.
#[derive(Debug, Clone)]
pub(super) struct Systemd {
    /// The unit of the daemon with this file; `None`: the file is at none of the places that a unit has.
    pub(super) own: Option<String>,
    /// Each unit that was asked for, by name.
    pub(super) units: Seen<BTreeMap<String, Unit>>,
}

/// A unit, in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// `loaded`, `not-found`, `masked`.
    pub(super) load: String,
    /// `enabled`, `disabled`, `static` and others.
    pub(super) file: String,
    /// `active`, `inactive`, `failed` and others.
    pub(super) active: String,
    /// `process`, `control-group` and others.
    pub(super) kill_mode: String,
    /// The units before which it is started.
    pub(super) before: Vec<String>,
}

/// The time of day.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Whether something keeps it right.
    pub(super) synchronized: Seen<bool>,
    /// How far before the daemon's last write of its epochs it is; zero: it is not.
    pub(super) behind: Seen<Duration>,
}

/// The mandatory access controls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Modules {
    /// Whether SELinux is there and enforces.
    pub(super) selinux_enforces: bool,
    /// The AppArmor profile that confines the daemon, if one does.
    pub(super) apparmor: Option<String>,
}

impl Facts {
    /// The units that start actions start, with the instance.
    pub(super) fn started(&self) -> impl Iterator<Item = &UsedUnit> {
        let starts = |unit: &&UsedUnit| unit.action == Action::Start;
        self.units.iter().filter(starts)
    }

    /// The addresses of all instances.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&InstanceName, IpAddr)> {
        let instances = self.config.settings.instances.iter();
        instances.flat_map(|one| one.role.addresses.iter().map(|it| (&one.name, *it)))
    }
}

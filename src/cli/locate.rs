//! Which configuration a command is about, and where the daemon of it is. Reads the disk, at the start of
//! each command.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use super::exit::{Code, Failure};
use super::out::Out;
use super::silent::Silent;
use crate::config::{self, Config, Faults, Loaded, MendedBy, Outline};
use crate::control::client::{Client, ClientError};
use crate::control::protocol::ErrorCode;
use crate::state::register::{self, Entry, Theirs};
use crate::state::{Caller, Holder, Lock, Paths};

const ROOT: u32 = 0;

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["config.yaml", "/etc/keepstart/config.yaml"];

/// The file of `-c`, or the first of the usual ones that is there.
pub(super) fn config_file(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = given {
        return Ok(file.to_owned());
    }
    let mut places = PLACES.iter().map(Path::new);
    places
        .find(|place| place.exists())
        .map(Path::to_owned)
        .ok_or_else(|| {
            let message = format!(
                "keepstart: no configuration: there is neither ./{} nor {}; name one with -c FILE",
                PLACES[0], PLACES[1]
            );
            Failure::told(Code::Config, message)
        })
}

/// Reads and checks the file; looks at none of its scripts.
pub(super) fn read(file: &Path) -> Result<Loaded, Failure> {
    config::load_with_logging(file).map_err(|error| faulty(&error))
}

/// Says what is odd in a file.
pub(super) fn warn(out: Out, warnings: &Faults) {
    if !warnings.is_empty() {
        out.note(&format!("warning: {warnings}").replace('\n', "\nwarning: "));
    }
}

/// What a file that cannot be used means for who would use it.
fn faulty(error: &config::LoadError) -> Failure {
    match error.mended_by {
        MendedBy::Hand => Failure::told(Code::Config, error.to_string()),
        MendedBy::Time => Failure::told(
            Code::Unresolved,
            format!(
                "{error}\nkeepstart: this may pass by itself, where users and groups come from a directory that is \
                 not up yet"
            ),
        ),
    }
}

/// Where the files of the daemon of this configuration are.
pub(super) fn paths(config: &Config) -> Result<Paths, Failure> {
    Places::of(config).own(&config.file)
}

/// The daemon of a configuration, as the other commands need it.
pub(super) struct Target {
    /// The configuration file.
    pub(super) file: PathBuf,
    /// Where the daemon's files may be, as the file says now.
    places: Vec<Paths>,
    /// What the file says now; `None` where it is faulty.
    pub(super) outline: Option<Outline>,
    uid: u32,
    out: Out,
    /// Whether it was said whose daemon it is.
    owner_told: Cell<bool>,
}

impl Target {
    /// Finds the daemon. A file that has become faulty under a running daemon, or names other directories by now,
    /// still leads to it: it is then that people ask for `status` and `stop`.
    pub(super) fn find(out: Out, given: Option<&Path>) -> Result<Self, Failure> {
        let file = config_file(given)?;
        let caller = caller()?;
        let runs = !register::find(&file, caller.uid).is_empty()
            || (caller.uid == ROOT && !register::of_others(&file).is_empty());
        let (outline, places) = match config::outline(&file) {
            Ok(outline) => {
                let places = Places::of_outline(&outline).candidates(&file, &caller);
                (Some(outline), places)
            }
            Err(error) => {
                let places = match Places::of_faulty(&file) {
                    Some(places) => places.candidates(&file, &caller),
                    None if runs => Ok(Vec::new()),
                    None => return Err(faulty(&error)),
                };
                out.note(&unusable(&file));
                (None, places)
            }
        };
        let places = match places {
            // Where a daemon says itself where it is, what the file says now is of no matter.
            Err(_) if runs => Vec::new(),
            other => other?,
        };
        Ok(Self {
            file,
            places,
            outline,
            uid: caller.uid,
            out,
            owner_told: Cell::new(false),
        })
    }

    /// Connects to the daemon: the caller's own, else root's, and for root then that of another user, which root is
    /// told.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let nobodys = match self.connect_to_own() {
            Ok(client) => return Ok(self.told_whose(client)),
            Err(failure) => failure,
        };
        let others = (self.uid == ROOT).then(|| register::of_others(&self.file));
        let mut others = others.into_iter().flatten();
        let found = others.find_map(|theirs| connect_to_theirs(&theirs));
        found.map(|client| self.told_whose(client)).ok_or(nobodys)
    }

    /// Says to root whose daemon it is, if it is another's.
    fn told_whose(&self, client: Client) -> Client {
        let owner = client.daemon().map_or(self.uid, |daemon| daemon.uid());
        if self.uid == ROOT && owner != ROOT && !self.owner_told.replace(true) {
            self.out.note(&format!(
                "keepstart: root runs no daemon with {}; this is the one of user {owner}",
                self.file.display()
            ));
        }
        client
    }

    /// Connects first to a daemon that says where it is, then where the file says. Where none is, a place that may not
    /// be looked into, or that is not as it should be, says more than one where nothing is.
    fn connect_to_own(&self) -> Result<Client, Failure> {
        let mut telling = None;
        // Looked up each time: `--watch` follows a daemon over its restarts.
        for entry in register::find(&self.file, self.uid) {
            match connect_to_entered(&entry) {
                Ok(client) => return Ok(client),
                Err(failure) => telling = telling.or(failure),
            }
        }
        for place in &self.places {
            match connect_to_configured(place) {
                Ok(client) => return Ok(client),
                Err(failure) => telling = telling.or(failure),
            }
        }
        Err(telling
            .or_else(|| self.homeless())
            .unwrap_or_else(|| self.no_daemon()))
    }

    /// A daemon that lives and cannot be reached, because its directory was removed: the one that is entered for the
    /// file, or who holds the state directory that the file names.
    fn homeless(&self) -> Option<Failure> {
        let mut entered = register::find(&self.file, self.uid).into_iter();
        if let Some(entry) = entered.find(Entry::is_seen) {
            let does = format!("runs {}", self.file.display());
            return Some(unreachable(entry.pid, &does, entry.runtime_dir()));
        }
        self.places.iter().find_map(|place| {
            let lock = place.state_lock();
            match Lock::holder(&lock).ok()?? {
                Holder::Daemon(Some(pid)) => {
                    let (lock, file) = (lock.display(), self.file.display());
                    let does = format!("holds {lock}, as the daemon of {file} does");
                    Some(unreachable(pid, &does, place.runtime_dir()))
                }
                Holder::Daemon(None) | Holder::Unborn { .. } => None,
            }
        })
    }

    fn no_daemon(&self) -> Failure {
        let looked: Vec<_> = self
            .places
            .iter()
            .map(|place| place.runtime_dir().display().to_string())
            .collect();
        let looked = if looked.is_empty() {
            String::new()
        } else {
            format!(" (looked in {})", looked.join(" and "))
        };
        let message = format!(
            "keepstart: no daemon runs with {}{looked}",
            self.file.display()
        );
        Failure::told(Code::NoDaemon, message)
    }

    /// What a failed conversation with the daemon means for a command.
    pub(super) fn failure(&self, client: &Client, error: ClientError) -> Failure {
        match error {
            ClientError::TimedOut(_) | ClientError::Closed | ClientError::Broken(_) => {
                match Silent::of(client) {
                    Some(silent) => silent.failure(&self.file, &error),
                    None => Failure::of(Code::Unavailable, error),
                }
            }
            ClientError::Refused(refusal) if refusal.code == ErrorCode::UnknownInstance => {
                Failure::of(Code::Failed, refusal)
            }
            ClientError::Refused(refusal) if refusal.code == ErrorCode::Forbidden => {
                Failure::of(Code::Permission, refusal)
            }
            other @ (ClientError::NoDaemon { .. }
            | ClientError::Connect { .. }
            | ClientError::Refused(_)
            | ClientError::Garbled(_)) => Failure::of(Code::Unavailable, other),
        }
    }
}

/// That the file cannot be used, and that its daemon is looked for all the same.
fn unusable(file: &Path) -> String {
    let shown = file.display();
    let what = match rustix::fs::access(file, Access::READ_OK) {
        Ok(()) => format!("{shown} has faults (see `keepstart validate`)"),
        Err(Errno::NOENT) => format!("{shown} is not there any more"),
        Err(errno) => format!("{shown} cannot be read ({})", io::Error::from(errno)),
    };
    format!("keepstart: {what}; the daemon that was started with it is looked for all the same")
}

fn unreachable(pid: u32, does: &str, runtime_dir: &Path) -> Failure {
    let message = format!(
        "keepstart: process {pid} {does}, but there is no socket of it in {}, so it cannot be asked: the directory was \
         removed, or it is just starting or ending. If this stays so, end it with `kill {pid}` and start it again: \
         what it has started goes on running, and the new one takes it up",
        runtime_dir.display()
    );
    Failure::told(Code::Unavailable, message)
}

/// Connects to a daemon that says where it is; `None`: it is not there after all.
fn connect_to_entered(entry: &Entry) -> Result<Client, Option<Failure>> {
    let client = connect_to(
        &entry.control_socket(),
        &entry.status_socket(),
        &entry.lock(),
    )?;
    match client.daemon() {
        Ok(daemon) if u32::try_from(daemon.pid()) == Ok(entry.pid) => Ok(client),
        // Somebody else has the place by now: the entry is a killed daemon's.
        Ok(_) | Err(_) => Err(None),
    }
}

/// Connects to a daemon of an ordinary user, if it is the process that it is said to be.
fn connect_to_theirs(theirs: &Theirs) -> Option<Client> {
    if !theirs.has_a_socket() {
        return None;
    }
    let client = Client::connect(&theirs.entry.control_socket()).ok()?;
    let daemon = client.daemon().ok()?;
    let is_it = u32::try_from(daemon.pid()) == Ok(theirs.entry.pid) && daemon.uid() == theirs.uid;
    is_it.then_some(client)
}

/// Connects to the daemon of a place that the file leads to; `None`: none is there.
fn connect_to_configured(place: &Paths) -> Result<Client, Option<Failure>> {
    place
        .check_for_client()
        .map_err(|error| Some(Failure::of(Code::Config, error)))?;
    connect_to(
        &place.control_socket(),
        &place.status_socket(),
        &place.lock(),
    )
}

/// Connects by the socket for those who may steer, else by the one for those who may read.
fn connect_to(control: &Path, status: &Path, lock: &Path) -> Result<Client, Option<Failure>> {
    // A process that an ended daemon was making keeps its socket open, too, and would never answer.
    if let Ok(Some(holder @ Holder::Unborn { .. })) = Lock::holder(lock) {
        let message = format!("keepstart: no daemon runs: {holder}");
        return Err(Some(Failure::told(Code::NoDaemon, message)));
    }
    let connected = Client::connect(control).or_else(|error| {
        // Who may not steer may perhaps read, and is told by the daemon where that is not enough.
        if let ClientError::Connect { source, .. } = &error
            && source.kind() == io::ErrorKind::PermissionDenied
        {
            return Client::connect(status).map_err(|_| error);
        }
        Err(error)
    });
    connected.map_err(|error| match error {
        ClientError::NoDaemon { path } => match Lock::holder(lock) {
            Ok(Some(holder)) => {
                let message = format!(
                    "keepstart: {holder}, but it does not listen on {}: it is starting or ending",
                    path.display()
                );
                Some(Failure::told(Code::Unavailable, message))
            }
            Ok(None) | Err(_) => None,
        },
        ClientError::Connect { path, source }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            let message = format!(
                "keepstart: not allowed to talk to the daemon at {}: it belongs to another user, who can let \
                 a group in (`control-group`), or readers (`control-readers`)",
                path.display()
            );
            Some(Failure::told(Code::Permission, message))
        }
        other @ (ClientError::Connect { .. }
        | ClientError::Broken(_)
        | ClientError::Closed
        | ClientError::TimedOut(_)
        | ClientError::Refused(_)
        | ClientError::Garbled(_)) => Some(Failure::of(Code::Unavailable, other)),
    })
}

/// What the places of a daemon's files depend on.
struct Places {
    workspace: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

impl Places {
    fn of(config: &Config) -> Self {
        let application = &config.application;
        Self {
            workspace: application.workspace.clone(),
            runtime_dir: application.runtime_dir.clone(),
            state_dir: application.state_dir.clone(),
        }
    }

    fn of_outline(outline: &Outline) -> Self {
        Self {
            workspace: outline.workspace.clone(),
            runtime_dir: outline.runtime_dir.clone(),
            state_dir: outline.state_dir.clone(),
        }
    }

    /// Reads nothing else of a file that is YAML, but not a good configuration.
    fn of_faulty(file: &Path) -> Option<Self> {
        // The checked way has refused what is no file, which this one would wait for.
        let found = std::fs::metadata(file).ok()?;
        let is_bounded = found.is_file() && found.len() <= config::FILE_SIZE_MAX;
        let text = is_bounded.then(|| std::fs::read_to_string(file))?;
        let value: serde_yaml::Value = serde_yaml::from_str(&text.ok()?).ok()?;
        let application = value.get("application");
        let path = |key| {
            let text = application.and_then(|section| section.get(key))?.as_str()?;
            Some(PathBuf::from(text))
        };
        Some(Self {
            workspace: path("workspace"),
            runtime_dir: path("runtime-dir"),
            state_dir: path("state-dir"),
        })
    }

    /// Where this process would have its files as the daemon.
    fn own(&self, file: &Path) -> Result<Paths, Failure> {
        let (workspace, runtime_dir, state_dir) = self.given();
        Paths::new(file, workspace, runtime_dir, state_dir, caller()?)
            .map_err(|error| Failure::of(Code::Config, error))
    }

    /// Where a daemon may be that this process wants to talk to.
    fn candidates(&self, file: &Path, who: &Caller) -> Result<Vec<Paths>, Failure> {
        let (workspace, runtime_dir, state_dir) = self.given();
        Paths::candidates(file, workspace, runtime_dir, state_dir, who)
            .map_err(|error| Failure::of(Code::Config, error))
    }

    fn given(&self) -> (Option<&Path>, Option<&Path>, Option<&Path>) {
        (
            self.workspace.as_deref(),
            self.runtime_dir.as_deref(),
            self.state_dir.as_deref(),
        )
    }
}

fn caller() -> Result<Caller, Failure> {
    Caller::current().map_err(|error| Failure::of(Code::System, error))
}

//! Which configuration a command is about, and where the daemon of it is. Reads the disk, at the start of
//! each command.

use std::path::{Path, PathBuf};

use super::exit::{Code, Failure};
use super::out::Out;
use crate::config::{self, Config, Loaded};
use crate::control::client::{Client, ClientError};
use crate::control::protocol::ErrorCode;
use crate::state::{Caller, Lock, Paths};

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

/// Reads and checks the file.
pub(super) fn read(file: &Path) -> Result<Loaded, Failure> {
    config::load(file).map_err(|error| faulty(&error))
}

/// Reads and checks the file; says what is odd in it.
pub(super) fn load(out: Out, file: &Path) -> Result<Loaded, Failure> {
    let loaded = read(file)?;
    warn(out, &loaded);
    Ok(loaded)
}

/// Says what is odd in a file.
pub(super) fn warn(out: Out, loaded: &Loaded) {
    if !loaded.warnings.is_empty() {
        out.note(&format!("warning: {}", loaded.warnings).replace('\n', "\nwarning: "));
    }
}

fn faulty(error: &config::LoadError) -> Failure {
    Failure::told(Code::Config, error.to_string())
}

/// Where the files of the daemon of this configuration are.
pub(super) fn paths(config: &Config) -> Result<Paths, Failure> {
    let application = &config.application;
    let places = Places {
        workspace: application.workspace.clone(),
        runtime_dir: application.runtime_dir.clone(),
        state_dir: application.state_dir.clone(),
    };
    places.paths(&config.file)
}

/// The daemon of a configuration, as the other commands need it.
pub(super) struct Target {
    /// The configuration file.
    pub(super) file: PathBuf,
    /// Where the daemon's files are.
    pub(super) paths: Paths,
    /// What the file says now; `None` where it is faulty.
    pub(super) config: Option<Config>,
}

impl Target {
    /// Finds the daemon. A file that has become faulty under a running daemon still leads to it, as long
    /// as its `application` section can be read: it is then that people ask for `status` and `stop`.
    pub(super) fn find(out: Out, given: Option<&Path>) -> Result<Self, Failure> {
        let file = config_file(given)?;
        match config::load_without_scripts(&file) {
            Ok(loaded) => {
                let paths = paths(&loaded.config)?;
                Ok(Self {
                    file,
                    paths,
                    config: Some(loaded.config),
                })
            }
            Err(error) => {
                let Some(places) = Places::of_faulty(&file) else {
                    return Err(faulty(&error));
                };
                let paths = places.paths(&file)?;
                let message = "keepstart: the configuration has faults (see `keepstart validate`); \
                               only where its daemon is was read";
                out.note(message);
                Ok(Self {
                    file,
                    paths,
                    config: None,
                })
            }
        }
    }

    /// Connects to the daemon.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.paths.control_socket()).map_err(|error| self.failure(error))
    }

    /// What a failed conversation with the daemon means for a command.
    pub(super) fn failure(&self, error: ClientError) -> Failure {
        match error {
            ClientError::NoDaemon { path } => match Lock::holder(&self.paths.lock()) {
                Ok(Some(pid)) => {
                    let pid = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                    let message = format!(
                        "keepstart: a daemon{pid} runs, but does not listen on {}: it is starting or ending",
                        path.display()
                    );
                    Failure::told(Code::Unavailable, message)
                }
                Ok(None) | Err(_) => {
                    let file = self.file.display();
                    Failure::told(
                        Code::NoDaemon,
                        format!("keepstart: no daemon runs with {file}"),
                    )
                }
            },
            ClientError::Connect { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                let message = "keepstart: the daemon belongs to another user (see `control-group`)";
                Failure::told(Code::Permission, message)
            }
            ClientError::Refused(refusal) if refusal.code == ErrorCode::UnknownInstance => {
                Failure::of(Code::Failed, refusal)
            }
            other @ (ClientError::Connect { .. }
            | ClientError::Broken(_)
            | ClientError::Closed
            | ClientError::TimedOut(_)
            | ClientError::Refused(_)
            | ClientError::Garbled(_)) => Failure::of(Code::Unavailable, other),
        }
    }
}

/// What the places of a daemon's files depend on.
struct Places {
    workspace: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

impl Places {
    /// Reads nothing else of a file that is YAML, but not a good configuration.
    fn of_faulty(file: &Path) -> Option<Self> {
        // The checked way has read the file already, so its size is known to be bounded.
        let size = std::fs::metadata(file).ok()?.len();
        let text = (size <= config::FILE_SIZE_MAX).then(|| std::fs::read_to_string(file))?;
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

    fn paths(&self, file: &Path) -> Result<Paths, Failure> {
        let caller = Caller::current().map_err(|error| Failure::of(Code::System, error))?;
        Paths::new(
            file,
            self.workspace.as_deref(),
            self.runtime_dir.as_deref(),
            self.state_dir.as_deref(),
            caller,
        )
        .map_err(|error| Failure::of(Code::Config, error))
    }
}

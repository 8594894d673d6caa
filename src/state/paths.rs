//! Where the files of a daemon are. Follows from the configuration alone, so that every command finds the
//! daemon of its file. Computed by each command; `directories` makes them, at the daemon's start. Nothing
//! here runs after that.
//!
//! What a directory's owner can do is never kept from him: a root daemon in a workspace that belongs to
//! somebody else has its files there all the same, because a place that depended on owners would move with a
//! chown, and commands would look in the wrong one. Root follows no link on the way and is told who can
//! interfere; who wants it safe names `runtime-dir` and `state-dir`.

use std::env;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::boot::{BootId, BootIdError};
use super::directories::{self, DirectoryError, Interference, Links, Wanted};
use super::lock::Lock;

/// The longest path of a Unix socket, in bytes: `sun_path` has 108 and ends with a zero, unix(7).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest part of a file's own name that stands in NAME, in bytes.
const STEM_BYTES_MAX: usize = 32;

/// Who asks: all that the paths depend on beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The effective user id.
    pub uid: u32,
    /// The boot of the kernel.
    pub boot: BootId,
    /// `$XDG_RUNTIME_DIR`, or what systemd-logind makes it where it is not set; looked at for ordinary users
    /// only.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$XDG_STATE_HOME`, or `.local/state` in the home directory; looked at for ordinary users only.
    pub xdg_state_home: Option<PathBuf>,
}

impl Caller {
    /// This process.
    pub fn current() -> Result<Self, BootIdError> {
        // The XDG specification: a value that is not absolute is to be ignored.
        let directory = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
        };
        let local_state = || env::home_dir().map(|home| home.join(".local/state"));
        let uid = rustix::process::geteuid().as_raw();
        // A cron job or a shell of `su` has no such variable, and must find the same daemon.
        let logind = || {
            let dir = PathBuf::from(format!("/run/user/{uid}"));
            fs::metadata(&dir)
                .is_ok_and(|found| found.uid() == uid)
                .then_some(dir)
        };
        Ok(Self {
            uid,
            boot: BootId::current()?,
            xdg_runtime_dir: directory("XDG_RUNTIME_DIR").or_else(logind),
            xdg_state_home: directory("XDG_STATE_HOME").or_else(local_state),
        })
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Root in the same boot, for whom the environment counts for nothing.
    fn root_beside(&self) -> Self {
        Self {
            uid: 0,
            boot: self.boot.clone(),
            xdg_runtime_dir: None,
            xdg_state_home: None,
        }
    }
}

/// Why there are no paths, or no directories.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// The configuration file has no canonical path.
    #[error("cannot resolve the path of {}", path.display())]
    Resolve {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket's path does not fit into a socket address.
    #[error(
        "the control socket's path {} has {} bytes, but a socket's can have {SOCKET_PATH_BYTES_MAX}: \
         set a shorter `runtime-dir` in the section `application`",
        path.display(), path.as_os_str().len()
    )]
    SocketPathTooLong {
        /// That path.
        path: PathBuf,
    },
    /// An ordinary user without a home.
    #[error(
        "no state directory: there is neither $XDG_STATE_HOME nor a home directory; set `state-dir`"
    )]
    NoStateHome,
    /// A directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// The directories and files of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    runtime_dir: PathBuf,
    state_dir: PathBuf,
    /// Where the runtime directories of earlier boots are, if they can be anywhere.
    boots_dir: Option<PathBuf>,
    /// The directories in which the daemons of several files have theirs.
    shared: Vec<PathBuf>,
    workspace: Option<PathBuf>,
    /// Whether the runtime directory is in `/tmp`, where anybody may have made it first.
    runtime_in_tmp: bool,
    caller: Caller,
}

impl Paths {
    /// Computes the paths; touches nothing but `config_file`, whose canonical path it needs.
    ///
    /// A directory that the file gives is taken as it is; else it is in `WORKSPACE/.keepstart/HASH` (and for
    /// the runtime directory in one named after the boot there); else, for root, in `/run/keepstart/NAME` and
    /// `/var/lib/keepstart/NAME`; else in `keepstart/NAME` under the user's XDG directories, or
    /// `/tmp/keepstart-UID-NAME`. HASH and NAME are made of the configuration's canonical path, so two files
    /// never meet, though they name the same workspace. Relative directories are relative to the workspace,
    /// and the workspace to the configuration file.
    pub fn new(
        config_file: &Path,
        workspace: Option<&Path>,
        runtime_dir: Option<&Path>,
        state_dir: Option<&Path>,
        who: Caller,
    ) -> Result<Self, PathsError> {
        let config_file = fs::canonicalize(config_file).map_err(|source| PathsError::Resolve {
            path: config_file.to_owned(),
            source,
        })?;
        let beside_config = config_file.parent().unwrap_or(Path::new("/"));
        let workspace = workspace.map(|dir| beside_config.join(dir));
        let base = workspace.as_deref().unwrap_or(beside_config);
        let hash = hash_of(&config_file);
        let name = name_of(&config_file);
        let in_workspace = workspace
            .as_ref()
            .map(|dir| dir.join(".keepstart").join(&hash));

        let state_is_given = state_dir.is_some();
        let state_dir = match (state_dir, &in_workspace) {
            (Some(given), _) => base.join(given),
            (None, Some(dir)) => dir.clone(),
            (None, None) if who.is_root() => Path::new("/var/lib/keepstart").join(&name),
            (None, None) => match &who.xdg_state_home {
                Some(home) => home.join("keepstart").join(&name),
                None => return Err(PathsError::NoStateHome),
            },
        };
        let runtime_is_given = runtime_dir.is_some();
        let mut runtime_in_tmp = false;
        let (runtime_dir, boots_dir) = match (runtime_dir, in_workspace) {
            (Some(given), _) => (base.join(given), None),
            (None, Some(dir)) => (dir.join(who.boot.short()), Some(dir)),
            (None, None) if who.is_root() => (Path::new("/run/keepstart").join(&name), None),
            (None, None) => match &who.xdg_runtime_dir {
                Some(dir) => (dir.join("keepstart").join(&name), None),
                None => {
                    runtime_in_tmp = true;
                    (format!("/tmp/keepstart-{}-{name}", who.uid).into(), None)
                }
            },
        };
        let of_runtime = boots_dir.as_ref().unwrap_or(&runtime_dir);
        let shared = [
            (!state_is_given).then_some(&state_dir),
            (!runtime_is_given && !runtime_in_tmp).then_some(of_runtime),
        ];
        let shared = shared.into_iter().flatten();
        let shared = shared.filter_map(|dir| Some(dir.parent()?.to_owned()));
        let paths = Self {
            shared: shared.collect(),
            runtime_dir,
            state_dir,
            boots_dir,
            workspace,
            runtime_in_tmp,
            caller: who,
        };
        let socket = paths.control_socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(PathsError::SocketPathTooLong { path: socket });
        }
        Ok(paths)
    }

    /// Where a command looks for the daemon: first where the caller's own has its files, then where root's has.
    /// Takes what [`Paths::new`] takes; where the file gives the place, or a workspace, there is only one.
    ///
    /// # Errors
    ///
    /// As for [`Paths::new`], where neither can be.
    pub fn candidates(
        config_file: &Path,
        workspace: Option<&Path>,
        runtime_dir: Option<&Path>,
        state_dir: Option<&Path>,
        who: &Caller,
    ) -> Result<Vec<Self>, PathsError> {
        let of = |who| Self::new(config_file, workspace, runtime_dir, state_dir, who);
        match (of(who.clone()), of(who.root_beside())) {
            (Ok(own), Ok(roots)) if own.runtime_dir == roots.runtime_dir => Ok(vec![own]),
            (Ok(own), Ok(roots)) => Ok(vec![own, roots]),
            // One who has no place for a daemon may still talk to root's.
            (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(vec![only]),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The user whose daemon this is.
    pub fn uid(&self) -> u32 {
        self.caller.uid
    }

    /// Where what is only true in this boot is kept.
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// Where what survives reboots is kept.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The socket that commands talk to.
    pub fn control_socket(&self) -> PathBuf {
        control_socket_in(&self.runtime_dir)
    }

    /// The socket of those who may only read.
    pub fn status_socket(&self) -> PathBuf {
        status_socket_in(&self.runtime_dir)
    }

    /// The lock of the only daemon, for [`Lock`].
    pub fn lock(&self) -> PathBuf {
        lock_in(&self.runtime_dir)
    }

    /// The lock of the only daemon that writes into the state directory, for [`Lock`].
    pub fn state_lock(&self) -> PathBuf {
        self.state_dir.join("state.lock")
    }

    /// The run record, for [`super::RunLog`].
    pub fn run_log(&self) -> PathBuf {
        self.runtime_dir.join("run.json")
    }

    /// The recording that a daemon which panics leaves.
    pub fn crash(&self) -> PathBuf {
        self.runtime_dir.join("crash.jsonl")
    }

    /// The epochs, for [`super::Epochs`].
    pub fn epochs(&self) -> PathBuf {
        self.state_dir.join("epoch")
    }

    /// Where the output of actions goes on its way into the log.
    pub fn output_dir(&self) -> PathBuf {
        self.runtime_dir.join("output")
    }

    /// Makes the directories that do not exist and checks those that do: they must be this user's, and nobody
    /// else may write into them. Gives back who can all the same put others in their place; only root is told,
    /// whom it concerns.
    pub fn make_directories(&self) -> Result<Vec<Interference>, PathsError> {
        for wanted in self.directories() {
            directories::make(&wanted, self.workspace.as_deref(), self.caller.uid)?;
        }
        let mut found = Vec::new();
        if self.caller.is_root() {
            for place in [&self.runtime_dir, &self.state_dir] {
                directories::interference(place, self.caller.uid, &mut found)?;
            }
        }
        Ok(found)
    }

    /// All of them, each after the one that it is in.
    fn directories(&self) -> Vec<Wanted> {
        let links = if self.caller.is_root() {
            Links::Refused
        } else {
            Links::Followed
        };
        let runtime_links = if self.runtime_in_tmp {
            Links::Refused
        } else {
            links
        };
        let shared = self.shared.iter().map(|dir| Wanted::shared(dir, links));
        let above = self.boots_dir.iter();
        let own = [&self.state_dir].into_iter().chain(above);
        let own = own.map(|dir| Wanted::own(dir, links));
        let output_dir = self.output_dir();
        let runtime = [&self.runtime_dir, &output_dir].map(|dir| Wanted::own(dir, runtime_links));
        shared.chain(own).chain(runtime).collect()
    }

    /// Whether a command may believe what listens in the runtime directory: in `/tmp` somebody else may have made
    /// it. A directory that is not there is no matter.
    pub fn check_for_client(&self) -> Result<(), PathsError> {
        if !self.runtime_in_tmp {
            return Ok(());
        }
        let own = Wanted::own(&self.runtime_dir, Links::Refused);
        match directories::judge(&own, self.caller.uid) {
            Err(error) if error.is_missing() => Ok(()),
            other => Ok(other?),
        }
    }

    /// Removes the runtime directories that earlier boots left in the workspace; returns how many. One whose
    /// lock is held stays: the workspace may be on a file system that another host uses too.
    pub fn remove_old_boots(&self) -> io::Result<u32> {
        let Some(boots_dir) = &self.boots_dir else {
            return Ok(0);
        };
        let mut removed = 0;
        for entry in fs::read_dir(boots_dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(boot) = name.to_str().filter(|name| BootId::is_short(name)) else {
                continue;
            };
            let free = || matches!(Lock::holder(&entry.path().join("lock")), Ok(None));
            if boot != self.caller.boot.short() && entry.file_type()?.is_dir() && free() {
                fs::remove_dir_all(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// NAME: what the daemon of a file is called, after the file's path alone.
pub(super) fn name_of(path: &Path) -> String {
    format!("{}-{}", stem_of(path), hash_of(path))
}

/// The control socket of a runtime directory.
pub(super) fn control_socket_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control")
}

/// The socket of a runtime directory for those who may only read.
pub(super) fn status_socket_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("status")
}

/// The lock of a runtime directory.
pub(super) fn lock_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("lock")
}

/// The file's own name without its extension, as far as it is plain, for people to recognize.
fn stem_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(STEM_BYTES_MAX)
        .collect()
}

/// Ten hexadecimal digits that follow from the path: FNV-1a of 64 bits
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>), folded. The standard library's hash may change with the
/// compiler, and a new build must find the daemon of the old one.
fn hash_of(path: &Path) -> String {
    const BITS: u32 = 40;
    let hash = path
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{:010x}", (hash >> BITS ^ hash) & ((1 << BITS) - 1))
}

#[cfg(test)]
mod tests;

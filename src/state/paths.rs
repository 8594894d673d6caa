//! Where the files of a daemon are. Follows from the configuration alone, so that every command finds the
//! daemon of its file. Computed by each command; the directories are made by the daemon at start-up. Nothing
//! here runs after that.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::boot::{BootId, BootIdError};
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
    /// A directory cannot be made or looked at.
    #[error("cannot make the directory {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory is a symbolic link.
    #[error("{} is a symbolic link, which root does not follow there", path.display())]
    Symlink {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is somebody else's.
    #[error("{} belongs to user {owner}, not to user {expected}", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This process's user.
        expected: u32,
    },
    /// Others may write into the directory.
    #[error("{} may be written by others (mode {mode:03o}, expected 700)", path.display())]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// The directories and files of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    runtime_dir: PathBuf,
    state_dir: PathBuf,
    /// Where the runtime directories of earlier boots are, if they can be anywhere.
    boots_dir: Option<PathBuf>,
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
        let name = format!("{}-{hash}", stem_of(&config_file));
        let in_workspace = workspace
            .as_ref()
            .map(|dir| dir.join(".keepstart").join(&hash));

        let state_dir = match (state_dir, &in_workspace) {
            (Some(given), _) => base.join(given),
            (None, Some(dir)) => dir.clone(),
            (None, None) if who.is_root() => Path::new("/var/lib/keepstart").join(&name),
            (None, None) => match &who.xdg_state_home {
                Some(home) => home.join("keepstart").join(&name),
                None => return Err(PathsError::NoStateHome),
            },
        };
        let (runtime_dir, boots_dir) = match (runtime_dir, in_workspace) {
            (Some(given), _) => (base.join(given), None),
            (None, Some(dir)) => (dir.join(who.boot.short()), Some(dir)),
            (None, None) if who.is_root() => (Path::new("/run/keepstart").join(&name), None),
            (None, None) => match &who.xdg_runtime_dir {
                Some(dir) => (dir.join("keepstart").join(&name), None),
                None => (format!("/tmp/keepstart-{}-{name}", who.uid).into(), None),
            },
        };
        let paths = Self {
            runtime_dir,
            state_dir,
            boots_dir,
            caller: who,
        };
        let socket = paths.control_socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(PathsError::SocketPathTooLong { path: socket });
        }
        Ok(paths)
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
        self.runtime_dir.join("control")
    }

    /// The lock of the only daemon, for [`Lock`].
    pub fn lock(&self) -> PathBuf {
        self.runtime_dir.join("lock")
    }

    /// The lock of the only daemon that writes into the state directory, for [`Lock`].
    pub fn state_lock(&self) -> PathBuf {
        self.state_dir.join("state.lock")
    }

    /// The run record, for [`super::RunLog`].
    pub fn run_log(&self) -> PathBuf {
        self.runtime_dir.join("run.json")
    }

    /// The epochs, for [`super::Epochs`].
    pub fn epochs(&self) -> PathBuf {
        self.state_dir.join("epoch")
    }

    /// Where the output of actions goes on its way into the log.
    pub fn output_dir(&self) -> PathBuf {
        self.runtime_dir.join("output")
    }

    /// Makes the directories that do not exist and checks those that do: they must be this user's, nobody
    /// else may write into them, and root follows no symbolic link in the last place.
    pub fn make_directories(&self) -> Result<(), PathsError> {
        for directory in [&self.state_dir, &self.runtime_dir, &self.output_dir()] {
            self.make_directory(directory)?;
        }
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> Result<(), PathsError> {
        let make_error = |source: io::Error| PathsError::Make {
            path: path.to_owned(),
            source,
        };
        let make = |path: &Path, mode, recursive| {
            DirBuilder::new()
                .mode(mode)
                .recursive(recursive)
                .create(path)
        };
        if let Some(parent) = path.parent() {
            make(parent, 0o755, true).map_err(make_error)?;
        }
        match make(path, 0o700, false) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(make_error(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if self.caller.is_root() {
            flags |= OFlags::NOFOLLOW;
        }
        let opened = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOTDIR) if path.is_symlink() => {
                return Err(PathsError::Symlink {
                    path: path.to_owned(),
                });
            }
            opened => opened.map_err(|error| make_error(error.into()))?,
        };
        let found = rustix::fs::fstat(opened).map_err(|error| make_error(error.into()))?;
        if found.st_uid != self.caller.uid {
            return Err(PathsError::ForeignOwner {
                path: path.to_owned(),
                owner: found.st_uid,
                expected: self.caller.uid,
            });
        }
        let mode = found.st_mode & 0o777;
        if mode & 0o022 != 0 {
            return Err(PathsError::TooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        Ok(())
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

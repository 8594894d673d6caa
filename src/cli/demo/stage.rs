//! What the demo plays on: a network namespace, a directory with a configuration and three scripts, and the
//! daemon. Owns all of it and removes it; nothing outside is touched.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::cli::exit::{Code, Failure};
use crate::cli::locate;
use crate::cli::run::this_program;
use crate::config;
use crate::control::client::Client;
use crate::machine::job::JobId;
use crate::state::Paths;

/// The virtual IP of the demo: TEST-NET-1, RFC 5737, so it is nobody's.
pub(super) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

/// The index of `lo` in every network namespace: it is the first interface that is made.
const LO: u32 = 1;

/// How long the daemon may take to end.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// How long the lines of a script may take into the log.
const OUTPUT_DEADLINE: Duration = Duration::from_millis(300);

const PAUSE: Duration = Duration::from_millis(5);

const CONFIG: &str = "\
application:
  workspace: .
instances:
  web:
    nic: lo
    vip: 192.0.2.10
    start: ./start.sh
    stop: ./stop.sh
    is-running: ./is-running.sh
";

const SCRIPTS: [(&str, &str); 3] = [
    (
        "start.sh",
        "#!/bin/sh\nsleep 600 >/dev/null 2>&1 &\necho $! > service.pid\n\
         echo \"the service is up as process $! (role $KEEPSTART_ROLE, VIP $KEEPSTART_VIP)\"\n",
    ),
    (
        "stop.sh",
        "#!/bin/sh\necho \"stopping the service, process $(cat service.pid)\"\n\
         kill \"$(cat service.pid)\" 2>/dev/null\nrm -f service.pid\n",
    ),
    (
        "is-running.sh",
        // A killed process that nobody reaps (a container without an init) is no running service.
        "#!/bin/sh\ngrep -q '^State:.[^ZX]' \"/proc/$(cat service.pid)/status\" 2>/dev/null\n",
    ),
];

/// The stage and the daemon on it.
pub(super) struct Stage {
    directory: PathBuf,
    paths: Paths,
    runtime: Runtime,
    handle: Handle,
    daemon: Option<Child>,
}

impl Stage {
    /// Leaves for a new network namespace and builds everything but the daemon.
    pub(super) fn build() -> Result<Self, Failure> {
        leave()?;
        let system = |error: io::Error| Failure::of(Code::System, error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system)?;
        let handle = {
            let _inside = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection().map_err(system)?;
            runtime.spawn(connection);
            handle
        };
        let up = handle
            .link()
            .set(LinkUnspec::new_with_index(LO).up().build())
            .execute();
        // Where security modules let a user namespace exist but nothing be done in it, this is what fails.
        runtime
            .block_on(up)
            .map_err(|error| forbidden(&error.to_string()))?;
        let directory = make_directory().map_err(system)?;
        match furnish(&directory) {
            Ok(paths) => Ok(Self {
                directory,
                paths,
                runtime,
                handle,
                daemon: None,
            }),
            Err(failure) => {
                let _ = fs::remove_dir_all(&directory);
                Err(failure)
            }
        }
    }

    /// Starts the daemon as a process of its own, as a person would.
    pub(super) fn start_daemon(&mut self) -> Result<(), Failure> {
        let started = File::create(self.log_file()).and_then(|log| {
            this_program()
                .args(["--log-level", "info", "--config"])
                .arg(self.directory.join("config.yaml"))
                .args(["run", "--demo"])
                .env_remove("NOTIFY_SOCKET")
                .env_remove("JOURNAL_STREAM")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
        });
        self.daemon = Some(started.map_err(|error| Failure::of(Code::System, error))?);
        Ok(())
    }

    pub(super) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Child::id)
    }

    /// A connection to the daemon.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.paths.control_socket())
            .map_err(|error| Failure::of(Code::Unavailable, error))
    }

    pub(super) fn add_vip(&self) -> Result<(), Failure> {
        self.change(self.handle.address().add(LO, VIP, 32).execute())
    }

    pub(super) fn remove_vip(&self) -> Result<(), Failure> {
        let IpAddr::V4(address) = VIP else {
            return Ok(());
        };
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(LO)
            .address(address, 32)
            .build();
        self.change(self.handle.address().del(message).execute())
    }

    fn change(
        &self,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<(), Failure> {
        self.runtime
            .block_on(request)
            .map_err(|error| Failure::of(Code::System, error))
    }

    /// Kills what the start script has left running.
    pub(super) fn kill_service(&self) -> Result<(), Failure> {
        let system = |error: io::Error| Failure::of(Code::System, error);
        let text = fs::read_to_string(self.directory.join("service.pid")).map_err(system)?;
        match text.trim().parse().ok().and_then(Pid::from_raw) {
            Some(pid) => kill_process(pid, Signal::KILL).map_err(|error| system(error.into())),
            None => Err(Failure::told(
                Code::Failed,
                "keepstart: the demo's service has no process",
            )),
        }
    }

    /// What a script has printed, out of the daemon's log.
    pub(super) fn output_of(&self, job: JobId) -> Vec<String> {
        let mark = format!(" job={job}");
        let mut waited = Duration::ZERO;
        loop {
            let log = self.log();
            let lines: Vec<_> = log
                .lines()
                .filter_map(|line| script_line(line, &mark))
                .collect();
            if !lines.is_empty() || waited >= OUTPUT_DEADLINE {
                return lines;
            }
            thread::sleep(PAUSE);
            waited += PAUSE;
        }
    }

    /// The daemon's log.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("daemon.log")
    }

    /// Ends the daemon and waits for it.
    pub(super) fn stop_daemon(&mut self) -> Result<(), Failure> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        let system = |error: io::Error| Failure::of(Code::System, error);
        let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(|error| system(error.into()))?;
        }
        let mut waited = Duration::ZERO;
        while daemon.try_wait().map_err(system)?.is_none() {
            if waited >= END_DEADLINE {
                daemon.kill().and_then(|()| daemon.wait()).map_err(system)?;
                return Err(Failure::told(
                    Code::Failed,
                    "keepstart: the demo's daemon had to be killed",
                ));
            }
            thread::sleep(PAUSE);
            waited += PAUSE;
        }
        Ok(())
    }

    /// Removes everything; what is gone already is no matter.
    pub(super) fn clear(&mut self) {
        let _ = self.stop_daemon();
        let _ = self.kill_service();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The text of a line that a script has printed: between the instance and the fields.
fn script_line(line: &str, mark: &str) -> Option<String> {
    let (before, _) = line.split_once(mark)?;
    let (_, text) = before.split_once(" web: | ")?;
    let end = text
        .find(" role=")
        .or_else(|| text.find(" action="))
        .unwrap_or(text.len());
    text.get(..end).map(str::to_owned)
}

/// Leaves the machine's network for an empty one. Root may do so; others need a user namespace of their
/// own, in which they keep their name (`user_namespaces(7)`).
fn leave() -> Result<(), Failure> {
    let own = |error: Errno| forbidden(error.desc());
    if rustix::process::geteuid().is_root() {
        match unshare(CloneFlags::CLONE_NEWNET) {
            Err(Errno::EPERM) => {}
            other => return other.map_err(own),
        }
    }
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(own)?;
    // An ordinary user may map his group only after giving up setgroups.
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")))
        .map_err(|error| forbidden(&error.to_string()))
}

fn forbidden(why: &str) -> Failure {
    let message = format!(
        "keepstart: the demo needs a network namespace of its own, which this system does not allow \
         here ({why}): run it as root (`sudo keepstart demo`), or allow user namespaces \
         (`sysctl -w user.max_user_namespaces=10000`, on Ubuntu also \
         `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`)"
    );
    Failure::told(Code::Permission, message)
}

fn make_directory() -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    let directory = base.join(format!("keepstart-demo-{}", std::process::id()));
    // A directory that exists is somebody else's, or a killed demo's; it is not used.
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

fn furnish(directory: &Path) -> Result<Paths, Failure> {
    let written = SCRIPTS.iter().try_for_each(|(name, text)| {
        let script = directory.join(name);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
    });
    let file = directory.join("config.yaml");
    written
        .and_then(|()| fs::write(&file, CONFIG))
        .map_err(|error| Failure::of(Code::System, error))?;
    let loaded = config::load(&file).map_err(|error| Failure::of(Code::Config, error))?;
    locate::paths(&loaded.config)
}

//! A machine with a booted systemd: a container of systemd-nspawn, with a network and a journal of its own and
//! the packages of this machine's own distribution. Used by integration tests only.
//!
//! The root file system is made once (mmdebstrap, half a minute) and kept in cargo's directory for tests; a
//! machine writes into memory over it, so each begins as new and nothing of it stays. A boot takes half a second.
//!
//! All this takes root. Without it, or without a part, the test fails: it never passes by skipping.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::wait_until;

/// What is in the root file system beside the essential packages.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,procps,keepalived,rpm";

/// The longest that a machine may take for anything. A boot takes half a second on an idle computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The root file system that all machines have below them.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        assert!(
            rustix::process::geteuid().is_root(),
            "a machine with systemd can be booted by root only: run this test as root"
        );
        let release = fs::read_to_string("/etc/os-release").expect("the name of this system");
        let codename = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .expect("a Debian or Ubuntu with a code name");
        let name = format!("root-{codename}-{}", PACKAGES.replace(',', "-"));
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !root.exists() {
            make_root(codename, &root);
        }
        root
    })
}

fn make_root(codename: &str, root: &Path) {
    // The same mirror that apt uses here.
    let mirrors = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "COMPONENT: main",
        &format!("CODENAME: {codename}"),
    ]));
    let mirrors = String::from_utf8(mirrors.stdout).expect("addresses");
    let mirror = mirrors
        .lines()
        .next()
        .expect("a mirror of this distribution in apt's sources");
    // Half a root must never look like a whole one.
    let half = root.with_extension(format!("half-{}", std::process::id()));
    output(
        Command::new("mmdebstrap")
            .args(["--variant=minbase", "--quiet"])
            .arg(format!("--include={PACKAGES}"))
            .arg(codename)
            .arg(&half)
            .arg(mirror),
    );
    // Empty: each boot makes its own.
    fs::write(half.join("etc/machine-id"), "").expect("a machine id");
    // keepalived has no configuration here, and its failure would make each boot a degraded one.
    drop(fs::remove_file(half.join(
        "etc/systemd/system/multi-user.target.wants/keepalived.service",
    )));
    if fs::rename(&half, root).is_err() {
        // Another test was faster.
        fs::remove_dir_all(&half).expect("the second root goes");
    }
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// Where a machine's writes go, and which network it is in.
pub(crate) enum Hardware<'a> {
    /// Into memory, and gone with the machine; no network but its own loopback.
    Bare,
    /// Onto a disk, for a machine that is booted again; on the bridge `br0` of the calling thread's network namespace,
    /// as `host0`.
    Wired(&'a Disk),
}

/// What a machine has written.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        for name in ["upper", "work", "root"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self(directory)
    }

    /// A file of the machine, which may run or not.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join("upper").join(path)).unwrap_or_default()
    }
}

/// A command for `systemd-nspawn` over the root.
fn nspawn(name: &str, hardware: &Hardware<'_>) -> Command {
    let mut command = match hardware {
        Hardware::Bare => {
            let mut command = Command::new("systemd-nspawn");
            command
                .args(["--volatile=overlay", "--private-network", "--directory"])
                .arg(root());
            command
        }
        Hardware::Wired(disk) => {
            // The disk is mounted where nobody else sees it, and unmounted with the last process of the machine.
            let disk = disk.0.path().display();
            let mount = format!(
                "mount -t overlay overlay -o lowerdir={},upperdir={disk}/upper,workdir={disk}/work {disk}/root
                 exec systemd-nspawn \"$@\"",
                root().display()
            );
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "/bin/sh", "-ec", &mount, "sh"])
                .args(["--network-bridge=br0", "--directory"])
                .arg(format!("{disk}/root"));
            command
        }
    };
    command
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .args(["--quiet", "--register=no", "--keep-unit"])
        .arg("--capability=CAP_NET_ADMIN")
        .arg(format!("--machine={name}"))
        .stdin(Stdio::null());
    command
}

/// Runs a shell script over the root without booting, as when an image is made; `shared` is seen at `/shared`.
#[track_caller]
pub(crate) fn without_boot(name: &str, shared: &Path, script: &str) -> String {
    let mut command = nspawn(name, &Hardware::Bare);
    command
        .arg(format!("--bind-ro={}:/shared", shared.display()))
        .args(["--pipe", "/bin/sh", "-exc", script]);
    String::from_utf8(output(&mut command).stdout).expect("text")
}

/// A booted machine; it is gone with this value.
pub(crate) struct Machine {
    nspawn: Child,
    groups: Vec<PathBuf>,
}

impl Machine {
    /// Boots; `shared` is seen at `/shared`.
    pub(crate) fn boot(name: &str, shared: &Path) -> Self {
        Self::boot_on(name, shared, &Hardware::Bare)
    }

    /// Boots on this hardware.
    pub(crate) fn boot_on(name: &str, shared: &Path, hardware: &Hardware<'_>) -> Self {
        // With --keep-unit all containers below one control group would share what is in it.
        let groups = ["unified", "systemd", ""]
            .map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy))
            .into_iter()
            .filter(|hierarchy| hierarchy.join("cgroup.procs").exists())
            .map(|hierarchy| hierarchy.join(format!("keepstart-{name}-{}", std::process::id())))
            .inspect(|group| fs::create_dir(group).expect("a control group"))
            .collect::<Vec<_>>();
        let console_path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.console"));
        let console = File::create(&console_path).expect("a file");
        let own = nspawn(name, hardware);
        let mut command = Command::new("/bin/sh");
        // A process that is to live in a group has to be put there before it begins.
        command
            .args([
                "-c",
                "for g in $1; do echo $$ > $g/cgroup.procs; done; shift; exec \"$@\"",
                "sh",
            ])
            .arg(
                groups
                    .iter()
                    .map(|group| group.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            )
            .arg(own.get_program())
            .args(own.get_args())
            .arg(format!("--bind-ro={}:/shared", shared.display()))
            .arg("--boot")
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a descriptor"))
            .stderr(console)
            .process_group(0);
        let nspawn = command.spawn().expect("run systemd-nspawn");
        let mut machine = Self { nspawn, groups };
        let console = console_path.display();
        let mut ready = || {
            let ended = machine.nspawn.try_wait().expect("a child");
            assert!(ended.is_none(), "systemd-nspawn has ended: see {console}");
            let said = machine
                .leader()
                .map(|_| machine.try_run("systemctl is-system-running"));
            said.is_some_and(|output| output.stdout == b"running\n")
        };
        wait_until(PATIENCE, &mut ready, || {
            format!("never booted: see {console}")
        });
        machine
    }

    /// The first process inside. While it begins, this is another one for a moment.
    fn leader(&self) -> Option<Pid> {
        let id = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        let first = children.split_whitespace().next()?.parse().ok()?;
        Pid::from_raw(first)
    }

    /// Runs a shell script as root inside.
    pub(crate) fn try_run(&self, script: &str) -> Output {
        Command::new("nsenter")
            .arg(format!(
                "--target={}",
                self.leader().map_or(0, Pid::as_raw_pid)
            ))
            .args([
                "--all",
                "--wdns=/",
                "--",
                "/usr/bin/env",
                "-i",
                "LANG=C.UTF-8",
            ])
            .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args([
                "HOME=/root",
                "SYSTEMD_PAGER=",
                "SYSTEMD_COLORS=0",
                "/bin/sh",
                "-ec",
                script,
            ])
            .stdin(Stdio::null())
            .output()
            .expect("run nsenter of util-linux")
    }

    /// The same, where it has to succeed; returns what it has printed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert_eq!(
            code,
            Some(0),
            "{script}\n{said}{complained}{}",
            self.journal()
        );
        said.trim().to_owned()
    }

    /// Runs a script again and again until what it prints is right.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, script: &str, right: impl Fn(&str) -> bool) -> String {
        let said = RefCell::new(String::new());
        let looked = || {
            let output = self.try_run(script);
            let now = String::from_utf8_lossy(&output.stdout);
            said.replace(now.trim().to_owned());
            right(&said.borrow())
        };
        let last = || format!("never: {what}; last: {}\n{}", said.borrow(), self.journal());
        wait_until(PATIENCE, looked, last);
        said.into_inner()
    }

    fn journal(&self) -> String {
        let output = self.try_run("journalctl --no-pager -n 60; systemctl --failed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // As a power cut: the first process takes all others with it, and nspawn ends.
        if let Some(leader) = self.leader() {
            let _ = kill_process(leader, Signal::KILL);
        }
        drop(self.nspawn.kill());
        drop(self.nspawn.wait());
        for group in &self.groups {
            // Those who were killed are in it until they are gone.
            for _ in 0..200 {
                remove_group(group);
                if !group.exists() {
                    break;
                }
                sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A control group can be removed when nothing is left in it, from the leaves up.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    drop(fs::remove_dir(group));
}

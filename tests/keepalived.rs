//! A real keepalived pair on two hosts with a switch between them, and keepstart on both: after each of more
//! than fifty failovers the right scripts, and no others, have run on both nodes, in order, never two at once on one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

#[path = "support/netns.rs"]
mod netns;
#[path = "support/place.rs"]
mod place;
#[path = "keepalived/runs.rs"]
mod runs;
#[path = "support/wait.rs"]
mod wait;

use netns::ip;
use place::Place;
use runs::{Run, runs_of};
use wait::wait_until;

const VIP: &str = "10.99.0.100";
const PATIENCE: Duration = Duration::from_secs(20);

const BY_TERM: u32 = 12;
const BY_KILL: u32 = 8;
const BY_LINK: u32 = 8;

/// One of the two: a host with keepalived and keepstart.
struct Node {
    name: &'static str,
    place: Place,
    directory: PathBuf,
    keepalived: Option<Child>,
    keepstart: Child,
    /// The runs of hooks that were expected and have been.
    runs: Vec<Run>,
}

impl Node {
    fn new(name: &'static str, address: &'static str, priority: u32, base: &Path) -> Self {
        let directory = base.join(name);
        fs::create_dir(&directory).unwrap();
        let place = Place::new();
        let switch_end = format!("port-{name}");
        // The test's own namespace is the switch.
        ip(&format!(
            "link add {switch_end} type veth peer name eth0 netns {}",
            place.namespace()
        ));
        ip(&format!("link set {switch_end} master br0"));
        ip(&format!("link set {switch_end} up"));
        place.run(move || {
            ip("link set eth0 up");
            ip(&format!("addr add {address}/24 dev eth0"));
        });
        fs::write(directory.join("keepalived.conf"), keepalived_conf(priority)).unwrap();
        for action in ["start", "stop"] {
            script(&directory, action);
        }
        let config = directory.join("keepstart.yaml");
        let here = directory.display();
        let text = format!(
            "application:\n  runtime-dir: {here}/run\n  state-dir: {here}/state\n\
             keepstart:\n  nic: eth0\n  vip: {VIP}\n  start: {here}/start.sh\n  stop: {here}/stop.sh\n"
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(directory.join("keepstart.log")).unwrap();
        let keepstart = place.run(move || {
            Command::new(env!("CARGO_BIN_EXE_keepstart"))
                .arg("-c")
                .arg(&config)
                .arg("run")
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .expect("start keepstart")
        });
        Self {
            name,
            place,
            directory,
            keepalived: None,
            keepstart,
            runs: Vec::new(),
        }
    }

    fn start_keepalived(&mut self) {
        let directory = self.directory.clone();
        let child = self.place.run(move || {
            let log = fs::File::options()
                .create(true)
                .append(true)
                .open(directory.join("ka.log"));
            let log = log.unwrap();
            Command::new("keepalived")
                .args(["-n", "-l", "-P", "-f"])
                .arg(directory.join("keepalived.conf"))
                .arg("-p")
                .arg(directory.join("ka.pid"))
                .arg("-r")
                .arg(directory.join("vrrp.pid"))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .process_group(0)
                .spawn()
                .expect("start keepalived (Debian's package keepalived)")
        });
        self.keepalived = Some(child);
    }

    /// SIGTERM: the VIP goes at once, with an advertisement of priority 0.
    fn end_keepalived(&mut self) {
        let mut child = self.keepalived.take().unwrap();
        kill_process(pid_of(&child), Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// SIGKILL of both processes: nobody takes the VIP away.
    fn kill_keepalived(&mut self) {
        let mut child = self.keepalived.take().unwrap();
        let vrrp = fs::read_to_string(self.directory.join("vrrp.pid")).unwrap();
        let vrrp = Pid::from_raw(vrrp.trim().parse().unwrap()).unwrap();
        // Stopped first, so that it does not clean up when its parent dies.
        kill_process(vrrp, Signal::STOP).unwrap();
        kill_process(pid_of(&child), Signal::KILL).unwrap();
        kill_process(vrrp, Signal::KILL).unwrap();
        child.wait().unwrap();
        for file in ["ka.pid", "vrrp.pid"] {
            drop(fs::remove_file(self.directory.join(file)));
        }
    }

    /// What the hooks have written, and the log: for whoever has to find out what went wrong.
    fn account(&self) -> String {
        let last = |file: &str| {
            let text = fs::read_to_string(self.directory.join(file)).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(30).map(str::to_owned).collect();
            lines.join("\n")
        };
        format!(
            "hooks (newest first):\n{}\nlog (newest first):\n{}",
            last("hooks"),
            last("keepstart.log")
        )
    }

    fn hooks(&self) -> String {
        fs::read_to_string(self.directory.join("hooks")).unwrap_or_default()
    }

    /// Waits until these runs, and no others, have begun and ended since the last ones that were expected.
    fn runs(&mut self, expected: &[&str], when: &str) {
        let wanted = self.runs.len() + expected.len();
        let said = || {
            format!(
                "{when}: node {} has not run {expected:?}; {}",
                self.name,
                self.account()
            )
        };
        wait_until(
            PATIENCE,
            || self.hooks().lines().count() >= 2 * wanted,
            said,
        );
        let all = runs_of(&self.hooks()).unwrap_or_else(|fault| {
            panic!("{when}: node {}: {fault}; {}", self.name, self.account())
        });
        let new: Vec<_> = all[self.runs.len()..]
            .iter()
            .map(|run| run.action.as_str())
            .collect();
        assert_eq!(
            new,
            expected,
            "{when}: node {}; {}",
            self.name,
            self.account()
        );
        self.runs = all;
    }

    fn running(&self) -> bool {
        self.directory.join("running").exists()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for child in self.keepalived.iter_mut().chain([&mut self.keepstart]) {
            let _ = kill_process(pid_of(child), Signal::TERM);
            drop(child.wait());
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn keepalived_conf(priority: u32) -> String {
    format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n}}\n\
         vrrp_instance V1 {{\n    version 3\n    state BACKUP\n    interface eth0\n    \
         virtual_router_id 51\n    priority {priority}\n    advert_int 0.1\n    \
         virtual_ipaddress {{\n        {VIP}/32\n    }}\n}}\n"
    )
}

/// A hook that takes its time, so that an overlap would be seen, and keeps the state of a service.
fn script(directory: &Path, action: &str) {
    let here = directory.display();
    let effect = match action {
        "start" => format!("touch {here}/running"),
        _ => format!("rm -f {here}/running"),
    };
    let tell = |step: &str| {
        format!(
            "read now rest < /proc/uptime\n\
             echo \"{step} {action} $KEEPSTART_ROLE $KEEPSTART_EPOCH $KEEPSTART_JOB $now\" >> {here}/hooks\n"
        )
    };
    // Two hooks at once: the second says so instead of its first line.
    let text = format!(
        "#!/bin/sh\nmkdir {here}/busy || echo overlap >> {here}/hooks\n{}sleep 0.03\n{effect}\nrmdir {here}/busy\n{}",
        tell("begin"),
        tell("end"),
    );
    let path = directory.join(format!("{action}.sh"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn scripts_follow_a_real_pair_through_fifty_failovers() {
    netns::run("scripts_follow_a_real_pair_through_fifty_failovers", || {
        let base = tempfile::tempdir().unwrap();
        ip("link add br0 type bridge");
        ip("link set br0 up");
        let mut a = Node::new("a", "10.99.0.1", 150, base.path());
        let mut b = Node::new("b", "10.99.0.2", 100, base.path());
        a.start_keepalived();
        a.runs(&["start"], "at the beginning");
        b.start_keepalived();
        b.runs(&[], "at the beginning");
        assert!(a.running() && !b.running());
        let mut failovers = 0;

        for round in 0..BY_TERM {
            let when = format!("SIGTERM, round {round}");
            a.end_keepalived();
            move_to(&mut a, &mut b, &when);
            a.start_keepalived();
            move_to(&mut b, &mut a, &when);
            failovers += 2;
        }
        for round in 0..BY_KILL {
            let when = format!("SIGKILL, round {round}");
            a.kill_keepalived();
            // Nobody took the VIP from A, so A rightly stays MASTER until its keepalived is back.
            b.runs(&["start"], &when);
            a.runs(&[], &when);
            assert!(a.running() && b.running(), "{when}");
            a.start_keepalived();
            b.runs(&["stop"], &when);
            // A keepalived that comes up takes its VIP away first.
            a.runs(&["stop", "start"], &when);
            assert!(a.running() && !b.running(), "{when}");
            failovers += 2;
        }
        for round in 0..BY_LINK {
            let when = format!("link down, round {round}");
            a.place.run(|| ip("link set eth0 down"));
            move_to(&mut a, &mut b, &when);
            a.place.run(|| ip("link set eth0 up"));
            move_to(&mut b, &mut a, &when);
            failovers += 2;
        }
        assert!(failovers >= 50, "{failovers}");
        // Whatever was still to come for no reason has come by now.
        std::thread::sleep(Duration::from_secs(1));
        a.runs(&[], "at the end");
        b.runs(&[], "at the end");
        assert_eq!(b.runs.len(), usize::try_from(failovers).unwrap());
    });
}

/// The role has gone from one node to the other: one has stopped, the other has started, and nothing else.
fn move_to(from: &mut Node, to: &mut Node, when: &str) {
    from.runs(&["stop"], when);
    to.runs(&["start"], when);
    assert!(!from.running() && to.running(), "{when}");
}

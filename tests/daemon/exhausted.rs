//! When the system has nothing left: no descriptors, no processes, no space, no memory. What can be done is done,
//! the rest is said and tried again, and when there is enough again all is as if nothing had been.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::netns::{self, ip};
use crate::world::{Daemon, VIP, World, count_of, ms, pause, proc_status};

/// Nobody on most machines, and nobody that matters here.
const USER: u32 = 1001;

fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

fn del_vip() {
    ip(&format!("addr del {VIP}/32 dev lo"));
}

/// Lets the daemon have so much, and gives back what it could have before.
fn limit(daemon: &Daemon, resource: Resource, limit: u64) -> Rlimit {
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    // The daemon has inherited the test's.
    let before = getrlimit(resource);
    let limited = Rlimit {
        current: Some(limit),
        ..before
    };
    prlimit(pid, resource, limited).unwrap();
    before
}

fn lift(daemon: &Daemon, resource: Resource, before: Rlimit) {
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    prlimit(pid, resource, before).unwrap();
}

fn mount_tmpfs(options: &str, on: &Path) {
    fs::create_dir_all(on).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(on);
    assert!(
        mount.status().expect("run mount").success(),
        "{}",
        on.display()
    );
}

/// Where the daemon of a user says where it is: here the test's own, and gone when this is dropped.
struct PlacesOf(PathBuf);

impl PlacesOf {
    fn make(uid: u32) -> Self {
        let place = PathBuf::from(format!("/tmp/keepstart-{uid}"));
        mount_tmpfs(&format!("mode=700,uid={uid},gid={uid}"), &place);
        Self(place)
    }
}

impl Drop for PlacesOf {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // Somebody else's has something in it.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Two services: the script of one the daemon executes itself, that of the other goes through the stage.
fn two_services(more: &str) -> World {
    let world = World::new();
    for name in ["plain", "staged"] {
        world.service_named(name, "");
    }
    world.config(&format!(
        "instances:\n  \
         plain: {{vip: {VIP}, start: HERE/start-plain.sh, stop: HERE/stop-plain.sh, debounce: 0{more}}}\n  \
         staged: {{vip: {VIP}, start: {{run: HERE/start-staged.sh, umask: 027}}, \
         stop: {{run: HERE/stop-staged.sh, umask: 027}}, debounce: 0{more}}}\n"
    ));
    world
}

const RETRY: &str = ", retry: {first: 50ms, longest: 200ms}";

#[test]
fn without_descriptors() {
    netns::run("exhausted::without_descriptors", || {
        let world = two_services(RETRY);
        let daemon = world.daemon();
        world.settles("staged", "BACKUP", "stopped");
        let fds = format!("/proc/{}/fd", daemon.pid());
        let before = count_of(&fds);
        let limited = limit(&daemon, Resource::Nofile, before as u64);
        for _ in 0..3 {
            add_vip();
            // Scripts need none, though nobody reads what they print.
            world.until("started", || world.exists("running-plain"));
            del_vip();
            world.until("stopped", || !world.exists("running-plain"));
        }
        // A command may have to wait for a descriptor, but not for ever.
        let said = world.keepstart(&["status"]);
        assert!(matches!(said.code, 0 | 4), "{said:?}");
        add_vip();
        lift(&daemon, Resource::Nofile, limited);
        for name in ["plain", "staged"] {
            world.settles(name, "MASTER", "running");
        }
        del_vip();
        for name in ["plain", "staged"] {
            world.settles(name, "BACKUP", "stopped");
            world.ran(&format!("hooks-{name}"));
        }
        assert_eq!(world.ran("hooks-plain"), ["start", "stop"].repeat(4));
        world.until("the descriptors are free again", || {
            count_of(&fds) <= before
        });
        daemon.end();
    });
}

#[test]
fn without_processes() {
    netns::run("exhausted::without_processes", || {
        // Root may have as many as it likes.
        let _places = PlacesOf::make(USER);
        let world = two_services(RETRY);
        fs::set_permissions(world.here(), Permissions::from_mode(0o755)).unwrap();
        chown(world.here(), Some(USER), Some(USER)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_keepstart"), world.path("keepstart")).unwrap();
        let as_user = |program: &Path| {
            let mut other = world.command_of("setpriv".as_ref());
            let ids = [format!("--reuid={USER}"), format!("--regid={USER}")];
            other.args(ids).arg("--clear-groups").arg(program);
            other
        };
        let daemon = world.daemon_with(|command| {
            let log = || File::options().append(true).open(world.path("log"));
            let mut other = as_user(&world.path("keepstart"));
            other.args(command.get_args());
            other.stdout(log().unwrap()).stderr(log().unwrap());
            *command = other;
        });
        // Only its own user may do this without CAP_SYS_RESOURCE. What ends with a colon is the limit in force.
        let limit_to = |processes: &str| {
            let mut prlimit = as_user("prlimit".as_ref());
            prlimit.arg(format!("--nproc={processes}:"));
            let limited = prlimit.arg(format!("--pid={}", daemon.pid())).status();
            assert!(limited.unwrap().success());
        };
        world.settles("staged", "BACKUP", "stopped");
        limit_to("1");
        add_vip();
        for name in ["plain", "staged"] {
            world.until("it says why", || {
                let shown = world.instance(name)["last_action"].to_string();
                shown.contains("Resource temporarily unavailable")
            });
            let instance = world.instance(name);
            assert_eq!(instance["role"], "MASTER", "{instance:#}");
            assert!(!world.exists(&format!("hooks-{name}")));
        }
        // The audit's dump has a thread of its own, which cannot be made now either.
        assert_eq!(world.keepstart(&["audit"]).code, 0);
        pause(ms(300));
        limit_to("4096");
        for name in ["plain", "staged"] {
            world.settles(name, "MASTER", "running");
            assert_eq!(world.ran(&format!("hooks-{name}")), ["start"]);
        }
        assert_eq!(world.status()["daemon"]["kernel"]["audits_repaired"], 0);
        daemon.end();
    });
}

/// Fills a file system to its last byte until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(path: PathBuf) -> Self {
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap_err();
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn without_space_for_what_it_writes_down() {
    netns::run("exhausted::without_space_for_what_it_writes_down", || {
        let world = two_services(RETRY);
        for directory in ["run", "state"] {
            mount_tmpfs("size=256k,mode=700", &world.path(directory));
        }
        let daemon = world.daemon();
        let ballast = ["run", "state"].map(|name| Ballast::fill(world.path(name).join("ballast")));
        let mut flips = 0;
        world.until("it cannot write", || {
            add_vip();
            world.until("started", || {
                world.exists("running-plain") && world.exists("running-staged")
            });
            del_vip();
            world.until("stopped", || {
                !world.exists("running-plain") && !world.exists("running-staged")
            });
            flips += 1;
            world.log().contains("cannot record the state of this boot")
        });
        assert_eq!(world.status()["daemon"]["stale"], false);
        // Killed in such a state: the next one starts all the same, and does what it can.
        add_vip();
        world.until("started", || world.exists("running-plain"));
        daemon.kill();
        del_vip();
        let daemon = world.daemon();
        for name in ["plain", "staged"] {
            world.settles(name, "BACKUP", "stopped");
        }
        drop(ballast);
        add_vip();
        for name in ["plain", "staged"] {
            world.settles(name, "MASTER", "running");
        }
        // And what there is to know is written down again.
        daemon.kill();
        let daemon = world.daemon();
        for name in ["plain", "staged"] {
            let hooks = format!("hooks-{name}");
            let before = world.ran(&hooks).len();
            world.settles(name, "MASTER", "running");
            assert_eq!(world.ran(&hooks).len(), before, "after {flips} flips");
        }
        daemon.end();
    });
}

#[test]
fn without_space_to_begin_with() {
    netns::run("exhausted::without_space_to_begin_with", || {
        let world = two_services(RETRY);
        let text = world.read("config.yaml");
        world.write(
            "config.yaml",
            &text.replace(
                "application:\n",
                "application:\n  pidfile: HERE/state/pid\n",
            ),
        );
        for directory in ["run", "state"] {
            mount_tmpfs("size=256k,mode=700", &world.path(directory));
        }
        let ballast = ["run", "state"].map(|name| Ballast::fill(world.path(name).join("ballast")));
        add_vip();
        let daemon = world.daemon();
        for name in ["plain", "staged"] {
            world.settles(name, "MASTER", "running");
        }
        // It is the only one all the same.
        let said = world.keepstart(&["run"]);
        assert_eq!(said.code, 75, "{said:?}");
        assert!(said.err.contains(&daemon.pid().to_string()), "{said:?}");
        let log = world.log();
        for what in [
            "run/lock",
            "state/state.lock",
            "state/pid",
            "run.json",
            "epoch",
        ] {
            assert!(log.contains(what), "{what} is not in {log}");
        }
        drop(ballast);
        daemon.end();
    });
}

#[test]
fn a_start_that_fails_for_want_of_something_may_be_tried_again() {
    netns::run(
        "exhausted::a_start_that_fails_for_want_of_something_may_be_tried_again",
        || {
            let world = two_services(RETRY);
            // The directory itself, and not one file.
            mount_tmpfs("nr_inodes=1,mode=700", &world.path("run"));
            // 78 would mean the file, and systemd would leave it at that.
            let said = world.keepstart(&["run"]);
            assert_eq!(said.code, 71, "{said:?}");
            assert!(said.err.contains("No space left on device"), "{said:?}");
            // Some for the directories, and not for what comes after.
            mount_tmpfs("nr_inodes=3,mode=700", &world.path("run"));
            let said = world.keepstart(&["run"]);
            assert_eq!(said.code, 71, "{said:?}");
        },
    );
}

#[test]
fn without_memory() {
    netns::run("exhausted::without_memory", || {
        let world = two_services(RETRY);
        let mut daemon = world.daemon();
        world.settles("staged", "BACKUP", "stopped");
        let size = proc_status(daemon.pid(), "VmSize").unwrap();
        let size_kb: u64 = size.split(' ').next().unwrap().parse().unwrap();
        let limited = limit(&daemon, Resource::As, size_kb * 1024);
        add_vip();
        pause(ms(500));
        // It goes on with what it has, or it ends at once, and whoever started it starts it again. It never goes on
        // by half.
        match daemon.child().try_wait().unwrap() {
            None => lift(&daemon, Resource::As, limited),
            Some(status) => {
                assert!(!status.success(), "{status}");
                daemon = world.daemon();
            }
        }
        for name in ["plain", "staged"] {
            world.settles(name, "MASTER", "running");
            assert_eq!(world.ran(&format!("hooks-{name}")), ["start"]);
        }
        daemon.end();
    });
}

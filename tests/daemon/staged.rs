//! Actions that are another user's or have other limits, while the stage is still on its way to them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::netns::{self, ip};
use crate::process::{add_vip, world};
use crate::world::{VIP, World, children_of, is_alive, ms, pause};

/// Holds a write lease on a file, so that its exec hangs, until it is dropped.
pub(crate) struct Lease(std::process::Child);

impl Lease {
    pub(crate) fn take(world: &World, name: &str) -> Self {
        // F_SETLEASE is 1024, F_WRLCK is 1 (fcntl(2)).
        let text = "$SIG{IO} = 'IGNORE'; open(F, '<', $ARGV[0]) or die; fcntl(F, 1024, 1) or die \"lease: $!\"; \
                    open(G, '>', $ARGV[1]) or die; close(G); sleep 1000";
        let held = world.path("held");
        let mut command = world.command_of("perl".as_ref());
        command.args(["-e", text]).arg(world.path(name)).arg(&held);
        let lease = Self(command.spawn().unwrap());
        world.until("the lease", || held.exists());
        fs::remove_file(held).unwrap();
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_between_its_two_execs_is_found_again() {
    netns::run(
        "staged::a_process_between_its_two_execs_is_found_again",
        || {
            let world = world();
            world.service("sleep 0.1");
            world.script("other.sh", "echo $$ >> HERE/others");
            world.config(&format!(
            "instances:\n  hangs: {{vip: {VIP}, stop: 'true', start: {{run: HERE/start.sh, umask: 077}}}}\n  \
             other: {{vip: {VIP}, stop: 'true', start: {{run: HERE/other.sh, umask: 077}}}}\n"
        ));
            let daemon = world.daemon();
            world.settles("hangs", "BACKUP", "stopped");
            let lease = Lease::take(&world, "start.sh");
            add_vip();
            // Nobody waits for the one that hangs.
            world.settles("other", "MASTER", "running");
            world.until("it is told", || {
                world.log().contains("hangs: start waits for")
            });
            assert!(!world.exists("hooks"));
            daemon.kill();
            let daemon = world.daemon();
            pause(ms(300));
            let hangs = world.instance("hangs");
            assert!(!hangs["job"].is_null(), "adopted: {hangs:#}");
            drop(lease);
            world.settles("hangs", "MASTER", "running");
            // What was adopted has ended unseen, so it is run once more, after it.
            assert_eq!(world.ran("hooks"), ["start", "start"]);
            daemon.end();
        },
    );
}

/// The processes of the daemon that have not become their actions yet: their words.
fn stages(daemon: u32) -> Vec<(u32, String)> {
    let words = |pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let stages = children_of(daemon).into_iter().map(|pid| (pid, words(pid)));
    stages
        .filter(|(_, words)| words.starts_with("keepstart-stage\0"))
        .collect()
}

#[test]
fn a_stage_that_hangs_is_ended_in_time_and_tells_nothing() {
    netns::run(
        "staged::a_stage_that_hangs_is_ended_in_time_and_tells_nothing",
        || {
            let world = world();
            world.script("start.sh", "touch HERE/started");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  retry: {{first: 50ms, longest: 50ms}}\n  \
                 start: {{run: HERE/start.sh, umask: 077, timeout: 1s, environment: {{TOKEN: quiet-word}}}}\n"
            ));
            let daemon = world.daemon();
            let lease = Lease::take(&world, "start.sh");
            add_vip();
            let mut seen = Vec::new();
            world.until("the stage", || {
                seen = stages(daemon.pid());
                !seen.is_empty()
            });
            assert!(!seen[0].1.contains("quiet-word"), "{seen:?}");
            world.until("its end", || {
                world
                    .log()
                    .contains("default: start timed out after 1s; it took 1")
            });
            assert!(!world.exists("started"));
            drop(lease);
            world.settles("default", "MASTER", "running");
            daemon.end();
        },
    );
}

#[test]
fn a_stage_that_is_stopped_is_killed_in_the_end() {
    netns::run(
        "staged::a_stage_that_is_stopped_is_killed_in_the_end",
        || {
            let world = world();
            world.script("start.sh", "touch HERE/started");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  retry: {{first: 50ms, longest: 50ms}}\n  \
                 start: {{run: HERE/start.sh, umask: 077, timeout: 1s, kill-after: 500ms}}\n"
            ));
            let daemon = world.daemon();
            let lease = Lease::take(&world, "start.sh");
            add_vip();
            let mut seen = Vec::new();
            world.until("the stage", || {
                seen = stages(daemon.pid());
                !seen.is_empty()
            });
            let stage = seen[0].0;
            let pid = Pid::from_raw(stage.cast_signed()).unwrap();
            kill_process(pid, Signal::STOP).unwrap();
            for said in [
                "default: start is sent SIGTERM",
                "default: start is sent SIGKILL",
                "default: start timed out after 1s",
            ] {
                world.until(said, || world.log().contains(said));
            }
            assert!(!is_alive(stage) && !world.exists("started"));
            drop(lease);
            world.settles("default", "MASTER", "running");
            daemon.end();
        },
    );
}

#[test]
fn an_action_has_no_descriptor_of_its_stage() {
    netns::run("staged::an_action_has_no_descriptor_of_its_stage", || {
        let world = world();
        let start = "run: 'ls /proc/self/fd > HERE/$KEEPSTART_INSTANCE'";
        world.config(&format!(
            "instances:\n  plain: {{vip: {VIP}, nic: lo, stop: 'true', start: {{{start}}}}}\n  \
             staged: {{vip: {VIP}, nic: lo, stop: 'true', start: {{{start}, umask: 077}}}}\n"
        ));
        add_vip();
        let daemon = world.daemon();
        for instance in ["plain", "staged"] {
            world.settles(instance, "MASTER", "running");
        }
        let plain = world.lines("plain");
        assert!(plain.len() > 3, "{plain:?}");
        assert_eq!(world.lines("staged"), plain);
        daemon.end();
    });
}

#[test]
fn a_user_runs_in_a_workspace_that_it_may_not_enter() {
    netns::run(
        "staged::a_user_runs_in_a_workspace_that_it_may_not_enter",
        || {
            let world = world();
            fs::create_dir(world.path("private")).unwrap();
            fs::set_permissions(world.path("private"), fs::Permissions::from_mode(0o700)).unwrap();
            world.config(&format!(
                "  workspace: HERE/private\nkeepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  \
                 start: {{run: [readlink, /proc/self/cwd], user: daemon}}\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            let there = format!("| {} role=", world.path("private").display());
            world.until("where it runs", || world.log().contains(&there));
            daemon.end();
        },
    );
}

#[test]
fn a_stage_that_cannot_tell_ends_with_no_answer_either() {
    // Its input is no door to a daemon.
    let world = World::new();
    let mut stage = world.command();
    stage.arg0("keepstart-stage").arg("{}");
    assert_eq!(stage.status().unwrap().code(), Some(126));
}

/// The least number that the limit of descriptors may be for so many to be free.
fn limit_for(daemon: u32, free: usize) -> u32 {
    let entries = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap();
    let taken: Vec<u32> = entries
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let unused = (0..).filter(|number| !taken.contains(number));
    unused.take(free).last().unwrap() + 1
}

fn limit_descriptors(daemon: u32, limit: u32) {
    let mut command = Command::new("prlimit");
    command.args([format!("--pid={daemon}"), format!("--nofile={limit}:")]);
    assert!(command.status().unwrap().success());
}

#[test]
fn with_few_descriptors_an_action_runs_once_or_not_at_all() {
    netns::run(
        "staged::with_few_descriptors_an_action_runs_once_or_not_at_all",
        || {
            let world = world();
            world.service("");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: HERE/stop.sh\n  debounce: 0\n  \
                 start: {{run: HERE/start.sh, umask: 077}}\n  retry: {{first: 50ms, longest: 50ms}}\n"
            ));
            let daemon = world.daemon();
            world.settles("default", "BACKUP", "stopped");
            for free in 1..6 {
                fs::remove_file(world.path("hooks")).unwrap_or_default();
                // What the last question has opened is closed again.
                pause(ms(300));
                limit_descriptors(daemon.pid(), limit_for(daemon.pid(), free));
                add_vip();
                pause(ms(500));
                limit_descriptors(daemon.pid(), 1024);
                world.settles("default", "MASTER", "running");
                assert_eq!(world.ran("hooks"), ["start"], "{free} free");
                ip(&format!("addr del {VIP}/32 dev lo"));
                world.settles("default", "BACKUP", "stopped");
            }
            daemon.end();
        },
    );
}

#[test]
fn a_user_can_open_the_output_anew() {
    netns::run("staged::a_user_can_open_the_output_anew", || {
        let world = world();
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  start:\n    user: daemon\n    \
             run: echo to-stderr >/dev/stderr && echo to-stdout >>/dev/stdout\n"
        ));
        add_vip();
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        for word in ["to-stderr", "to-stdout"] {
            world.until(word, || world.log().contains(word));
        }
        daemon.end();
    });
}

#[test]
fn a_daemon_that_cannot_end_the_actions_of_others_says_so() {
    netns::run(
        "staged::a_daemon_that_cannot_end_the_actions_of_others_says_so",
        || {
            let world = world();
            let config = |user: &str| {
                world.config(&format!(
                    "keepstart: {{vip: {VIP}, nic: lo, start: 'true', stop: {{run: 'true', user: {user}}}}}\n"
                ));
            };
            config("daemon");
            let daemon = world.daemon_with(|command| {
                let log = File::options().append(true).open(world.path("log"));
                let log = log.unwrap();
                let mut weak = world.command_of("setpriv".as_ref());
                weak.arg("--bounding-set=-kill,-sys_ptrace")
                    .arg(command.get_program())
                    .args(command.get_args())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log);
                *command = weak;
            });
            let sentence = "the stop of instance default runs as user daemon, and the daemon lacks CAP_KILL and \
                            CAP_SYS_PTRACE: it cannot end such an action at its timeout";
            assert_eq!(world.log().matches(sentence).count(), 1, "{}", world.log());
            let said = world.keepstart(&["doctor"]);
            assert!(said.out.contains(sentence), "{said:?}");
            config("root");
            assert_eq!(world.keepstart(&["reload"]).code, 0);
            assert!(!world.keepstart(&["doctor"]).out.contains("CAP_KILL"));
            assert_eq!(world.log().matches(sentence).count(), 1);
            daemon.end();
        },
    );
}

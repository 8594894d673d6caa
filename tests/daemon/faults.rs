//! What must not delay anybody else: a script whose exec hangs, a log that nobody reads, and thousands of instances.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{PipeWriter, Read};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::held::{Freeze, Held};
use crate::netns::{self, ip};
use crate::wait::wait_until;
use crate::world::{PATIENCE, VIP, World, children_of, is_alive, ms, pause};

/// Holds write leases on files until it is dropped, whoever asks for them.
struct Leases {
    _held: Held,
}

impl Leases {
    fn take(world: &World, files: &[&str]) -> Self {
        // F_SETLEASE is 1024, F_WRLCK is 1. The kernel asks for a lease back by SIGIO, and takes it by force only
        // after /proc/sys/fs/lease-break-time, usually 45 s.
        let script = "import fcntl, os, signal, sys\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                      held = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]\n\
                      for fd in held: fcntl.fcntl(fd, 1024, 1)\nopen(sys.argv[1], 'w').close()\nsys.stdin.read()\n";
        let files = files.iter().map(|file| world.path(file).into());
        Self {
            _held: Held::by(world, script, "leased", files),
        }
    }
}

#[test]
fn scripts_under_a_write_lease_delay_nobody_else() {
    netns::run(
        "faults::scripts_under_a_write_lease_delay_nobody_else",
        || {
            let world = World::new();
            let hanging = ["a", "b", "c"];
            let free = ["x", "y", "z"];
            let mut text = "instances:\n".to_owned();
            for (number, name) in hanging.into_iter().chain(free).enumerate() {
                world.service_named(name, "");
                // Writing into a string has no way to fail.
                let _ = writeln!(
                    text,
                    "  {name}: {{vip: 10.77.0.{number}, start: HERE/start-{name}.sh, stop: HERE/stop-{name}.sh, debounce: 0}}"
                );
            }
            world.config(&text);
            let daemon = world.daemon();
            let files = hanging.map(|name| format!("start-{name}.sh"));
            let leases = Leases::take(&world, &files.each_ref().map(String::as_str));
            for number in 0..hanging.len() {
                ip(&format!("addr add 10.77.0.{number}/32 dev lo"));
            }
            for round in 0..3 {
                for (number, name) in (hanging.len()..).zip(free) {
                    ip(&format!("addr add 10.77.0.{number}/32 dev lo"));
                    world.settles(name, "MASTER", "running");
                    ip(&format!("addr del 10.77.0.{number}/32 dev lo"));
                    world.settles(name, "BACKUP", "stopped");
                    assert_eq!(world.ran(&format!("hooks-{name}")).len(), 2 * (round + 1));
                }
            }
            for name in hanging {
                assert!(
                    !world.exists(&format!("hooks-{name}")),
                    "{name} was not held back, so this tests nothing"
                );
                let instance = world.instance(name);
                assert_eq!(instance["job"]["action"], "start", "{instance:#}");
            }
            assert_eq!(world.keepstart(&["status"]).code, 0, "the reactor is alive");
            let told = |name: &str| {
                let log = world.log();
                let lines = log.lines();
                lines
                    .filter(|line| line.contains(&format!("{name}: start waits for 1.")))
                    .count()
            };
            for name in hanging {
                world.until("the log says which spawn hangs", || told(name) == 1);
            }
            let status = world.status();
            let executor = &status["daemon"]["counters"]["executor"];
            assert_eq!(executor["spawns_hanging"], 3, "{executor:#}");
            assert_eq!(executor["spawns_hung"], 3, "{executor:#}");
            drop(leases);
            for name in hanging {
                world.settles(name, "MASTER", "running");
                assert_eq!(world.ran(&format!("hooks-{name}")), ["start"]);
            }
            daemon.end();
        },
    );
}

#[test]
fn a_lock_held_by_a_hung_spawn_of_a_killed_daemon_says_so() {
    netns::run(
        "faults::a_lock_held_by_a_hung_spawn_of_a_killed_daemon_says_so",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
            ));
            let daemon = world.daemon();
            let leases = Leases::take(&world, &["start.sh"]);
            ip(&format!("addr add {VIP}/32 dev lo"));
            world.until("it hangs", || world.log().contains("start waits for 1."));
            let children = children_of(daemon.pid());
            let [unborn] = children[..] else {
                panic!("{children:?}")
            };
            let killed = daemon.pid();
            daemon.kill();
            for command in ["run", "start"] {
                let said = world.keepstart(&[command]);
                assert_eq!(said.code, 75, "{said:?}");
                let expected = format!(
                    "the daemon with pid {killed} has ended, but process {unborn}, of which it was making a script"
                );
                assert!(said.err.contains(&expected), "{said:?}");
                assert!(said.err.contains(&format!("`kill -9 {unborn}`")));
            }
            let said = world.keepstart(&["status"]);
            assert_eq!(said.code, 3, "{said:?}");
            assert!(said.err.contains(&unborn.to_string()), "{said:?}");
            assert_eq!(world.keepstart(&["stop"]).code, 0);
            // What it says helps.
            kill_process(Pid::from_raw(unborn.cast_signed()).unwrap(), Signal::KILL).unwrap();
            world.until("it is gone", || !is_alive(unborn));
            drop(leases);
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            assert_eq!(world.ran("hooks"), ["start"]);
            daemon.end();
        },
    );
}

/// Prints more than a pipe and the queue before it hold, and takes a few seconds for it.
const CHATTER: &str = "seq 1 300 | while read n; do seq 1 100; sleep 0.02; done";

#[test]
fn a_log_that_nobody_reads_delays_nobody() {
    netns::run("faults::a_log_that_nobody_reads_delays_nobody", || {
        delays_nobody("", |command, pipe| {
            command.stderr(pipe);
        });
    });
}

#[test]
fn a_stdout_that_nobody_reads_delays_nobody() {
    netns::run("faults::a_stdout_that_nobody_reads_delays_nobody", || {
        let logging = "logging:\n  version: 1\n  \
             handlers: {out: {class: logging.StreamHandler, stream: 'ext://sys.stdout'}}\n  \
             root: {level: DEBUG, handlers: [out]}\n";
        delays_nobody(logging, |command, pipe| {
            command.stdout(pipe);
        });
    });
}

/// The log goes into a pipe, and nobody reads that until the end.
fn delays_nobody(logging: &str, into: impl FnOnce(&mut Command, PipeWriter)) {
    let world = World::new();
    world.service_named("quiet", "");
    world.script("start-loud.sh", CHATTER);
    world.config(&format!(
        "{logging}instances:\n  loud: {{vip: 10.77.0.1, start: HERE/start-loud.sh, stop: 'true'}}\n  \
         quiet: {{vip: 10.77.0.2, start: HERE/start-quiet.sh, stop: HERE/stop-quiet.sh, debounce: 0}}\n"
    ));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let daemon = world.daemon_unready(|command| {
        into(command, writer);
        command.arg("--log-level").arg("trace");
    });
    world.until("ready", || world.keepstart(&["status"]).code == 0);
    ip("addr add 10.77.0.1/32 dev lo");
    let dropped = || world.status()["daemon"]["log_dropped"].as_u64().unwrap();
    let mut flips = 0;
    let mut flip = || {
        ip("addr add 10.77.0.2/32 dev lo");
        world.settles("quiet", "MASTER", "running");
        ip("addr del 10.77.0.2/32 dev lo");
        world.settles("quiet", "BACKUP", "stopped");
        flips += 1;
    };
    wait_until(
        PATIENCE,
        || {
            flip();
            dropped() > 0
        },
        || "the log is never full".into(),
    );
    for _ in 0..3 {
        flip();
    }
    assert_eq!(world.ran("hooks-quiet").len(), 2 * flips);
    world.settles("loud", "MASTER", "running");
    assert_eq!(world.status()["daemon"]["stale"], false);

    // Somebody reads again, to the end of the daemon.
    let read = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    pause(ms(200));
    daemon.end();
    let log = read.join().unwrap();
    assert!(
        log.contains("log records were dropped"),
        "{}",
        &log[log.len().saturating_sub(3000)..]
    );
    assert!(log.contains("ended"));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_daemon_from_ending() {
    netns::run(
        "faults::a_log_that_nobody_reads_does_not_keep_the_daemon_from_ending",
        || {
            let world = World::new();
            world.script("start.sh", CHATTER);
            world.config("keepstart: {vip: 127.0.0.1, start: HERE/start.sh, stop: 'true'}\n");
            let (reader, writer) = std::io::pipe().unwrap();
            let daemon = world.daemon_unready(|command| {
                command.stderr(writer);
            });
            world.until("ready", || world.keepstart(&["status"]).code == 0);
            // A pipe holds 64 KiB, and what comes then waits in the queue for ever.
            world.until("the log is full", || {
                rustix::io::ioctl_fionread(&reader).unwrap() > 60 * 1024
            });
            pause(ms(500));
            daemon.end();
            drop(reader);
        },
    );
}

#[test]
fn thousands_of_instances_begin_and_end() {
    netns::run("faults::thousands_of_instances_begin_and_end", || {
        let world = World::new();
        // More than updates fit into the queue to the service thread, and each is touched by the beginning and
        // by the end.
        let count = 6_000;
        let mut text = "instances:\n".to_owned();
        for number in 0..count {
            let (high, low) = (number / 250, number % 250);
            // Writing into a string has no way to fail.
            let _ = writeln!(
                text,
                "  i{number}: {{vip: 10.{high}.0.{low}, start: 'true', stop: 'true', on-exit: stop}}"
            );
        }
        world.config(&text);
        let daemon = world.daemon();
        let status = world.status();
        let instances = status["instances"].as_array().unwrap();
        assert_eq!(instances.len(), count);
        assert_eq!(status["daemon"]["kernel"]["synchronized"], true);
        world.until("all have a role", || {
            world.status()["instances"]
                .as_array()
                .unwrap()
                .iter()
                .all(|instance| instance["role"] == "BACKUP")
        });
        assert_eq!(world.keepstart(&["reload"]).code, 0);
        ip("addr add 10.3.0.7/32 dev lo");
        world.settles("i757", "MASTER", "running");
        daemon.end();
    });
}

#[test]
fn without_inotify_the_daemon_does_its_work_and_says_what_to_raise() {
    netns::run(
        "faults::without_inotify_the_daemon_does_its_work_and_says_what_to_raise",
        || {
            let world = World::new();
            world.service("echo here I am");
            world.config("keepstart: {vip: 127.0.0.1, start: HERE/start.sh, stop: HERE/stop.sh}\n");
            let script = "echo 0 >/proc/sys/user/max_inotify_instances; exec \"$0\" -c \"$1\" run";
            let mut command = world.command_of("unshare".as_ref());
            command
                .args(["--user", "--map-root-user", "sh", "-c", script])
                .args([
                    env!("CARGO_BIN_EXE_keepstart").into(),
                    world.path("config.yaml"),
                ]);
            let daemon = world.daemon_with(|changed| {
                let log = || {
                    File::options()
                        .append(true)
                        .open(world.path("log"))
                        .unwrap()
                };
                command.stdout(log()).stderr(log());
                *changed = command;
            });
            assert!(
                world.log().contains("fs.inotify.max_user_instances"),
                "{}",
                world.log()
            );
            world.settles("default", "MASTER", "running");
            let outputs = std::fs::read_dir(world.path("run/output")).unwrap();
            let kept = outputs.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
            assert!(
                kept.into_iter().any(|text| text.contains("here I am")),
                "it is in its file"
            );
            daemon.end();
        },
    );
}

#[test]
fn a_disk_thread_that_cannot_wait_goes_on_when_it_can() {
    netns::run(
        "faults::a_disk_thread_that_cannot_wait_goes_on_when_it_can",
        || {
            let world = World::new();
            world.service("( i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done ) &");
            world.config("keepstart: {vip: 127.0.0.1, start: HERE/start.sh, stop: HERE/stop.sh}\n");
            let daemon = world.daemon();
            world.until("it talks", || world.log().contains("tick 2"));
            let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
            let before = getrlimit(Resource::Nofile);
            // poll(2) refuses more descriptors than this limit allows.
            let none = Rlimit {
                current: Some(1),
                ..before
            };
            prlimit(pid, Resource::Nofile, none).unwrap();
            world.until("it cannot wait", || {
                world.log().contains("cannot wait for work")
            });
            prlimit(pid, Resource::Nofile, before).unwrap();
            let told = || world.log().matches("tick ").count();
            let seen = told();
            world.until("it is read on", || told() > seen + 20);
            daemon.end();
        },
    );
}

#[test]
fn a_disk_thread_that_hangs_delays_no_failover() {
    netns::run(
        "faults::a_disk_thread_that_hangs_delays_no_failover",
        || {
            let world = World::new();
            world.service("echo here I am");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, debounce: 0}}\n"
            ));
            let daemon = world.daemon();
            let freeze = Freeze::of_thread(&world, daemon.pid(), "disk");
            for _ in 0..3 {
                ip(&format!("addr add {VIP}/32 dev lo"));
                world.settles("default", "MASTER", "running");
                ip(&format!("addr del {VIP}/32 dev lo"));
                world.settles("default", "BACKUP", "stopped");
            }
            assert!(!world.log().contains("here I am"), "it does not hang");
            drop(freeze);
            world.until("what they printed is told", || {
                world.log().matches("here I am").count() == 6
            });
            assert_eq!(world.ran("hooks"), ["start", "stop"].repeat(3));
            daemon.end();
        },
    );
}

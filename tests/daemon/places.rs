//! Where a daemon's files are when nothing is given, and who gets in: real users, on a machine whose /run and
//! /var/lib are the test's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::netns;
use crate::world::{Said, World, said};

const USER: u32 = 1001;
const GROUP: u32 = 1002;

/// A world that everybody may look into, on a machine of which /run and /var/lib are empty. Mounts are the
/// calling thread's and its children's, as its network is.
fn machine() -> World {
    unshare(CloneFlags::CLONE_NEWNS).expect("make a mount namespace");
    mount(&["--make-rprivate", "/"]);
    for directory in ["/run", "/var/lib"] {
        mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", directory]);
    }
    let world = World::new();
    fs::set_permissions(world.here(), Permissions::from_mode(0o755)).unwrap();
    // The one of the build directory may be in somebody's home.
    fs::copy(env!("CARGO_BIN_EXE_keepstart"), world.path("keepstart")).unwrap();
    world
}

fn mount(arguments: &[&str]) {
    let mounted = Command::new("mount").args(arguments).status();
    assert!(mounted.expect("run mount").success(), "mount {arguments:?}");
}

/// Runs a command about `config.yaml` as another user, who is in no group but `groups`.
fn as_user(world: &World, groups: Option<u32>, arguments: &[&str]) -> Said {
    as_uid(world, USER, groups, arguments)
}

fn as_uid(world: &World, uid: u32, groups: Option<u32>, arguments: &[&str]) -> Said {
    let mut command = world.command_of("setpriv".as_ref());
    let groups = groups.map_or("--clear-groups".to_owned(), |gid| format!("--groups={gid}"));
    command
        .args([format!("--reuid={uid}"), format!("--regid={uid}"), groups])
        .arg(world.path("keepstart"))
        .arg("-c")
        .arg(world.path("config.yaml"))
        .args(arguments)
        .env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"))
        .env("XDG_STATE_HOME", "/nonexistent");
    said(command)
}

fn only_directory(directory: &str) -> PathBuf {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let directories: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert_eq!(directories.len(), 1, "{directories:?}");
    directories[0].clone()
}

const CONFIG: &str = "application: {daemon: true, control-group: 1002}\n\
                      keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n";

#[test]
fn readers_read_and_steer_nothing() {
    netns::run("places::readers_read_and_steer_nothing", || {
        let world = machine();
        let config = |keys: &str| {
            let keys = format!("runtime-dir: HERE/run, state-dir: HERE/state{keys}");
            let instance = "keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}";
            world.write(
                "config.yaml",
                &format!("application: {{{keys}}}\n{instance}\n"),
            );
        };
        let codes = |groups| {
            let code = |command| as_user(&world, groups, &[command]).code;
            ["status", "audit", "reload", "stop"].map(code)
        };
        let mode = |name: &str| fs::metadata(world.path(name)).map(|found| found.mode() & 0o777);

        config("");
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        assert_eq!(codes(Some(GROUP)), [77, 77, 77, 77]);
        assert!(!world.path("run/status").exists());
        assert_eq!(mode("run").unwrap(), 0o700);
        // Who can connect only because somebody has opened the socket by hand has no right.
        for (name, mode) in [("run", 0o711), ("run/control", 0o666)] {
            fs::set_permissions(world.path(name), Permissions::from_mode(mode)).unwrap();
        }
        let said = as_user(&world, Some(GROUP), &["status"]);
        assert_eq!(said.code, 77, "{said:?}");
        let refusal = format!("user {USER} may not read what this daemon tells");
        assert!(said.err.contains(&refusal), "{said:?}");
        daemon.end();

        config(", control-readers: everyone");
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        assert_eq!(codes(None), [0, 77, 77, 77]);
        let said = as_user(&world, None, &["stop"]);
        assert!(
            said.err
                .contains(&format!("user {USER} may not stop this daemon")),
            "{said:?}"
        );
        world.until("the refusal is logged", || {
            world.log().contains(&format!(
                "user {USER} may not have this daemon audit, and was refused"
            ))
        });
        // Whoever asks in a loop fills no log.
        for _ in 0..5 {
            assert_eq!(as_user(&world, None, &["stop"]).code, 77);
        }
        assert_eq!(world.keepstart(&["audit"]).code, 0);
        daemon.end();
        assert_eq!(
            world.log().matches("was refused").count(),
            2,
            "{}",
            world.log()
        );
        assert!(!world.path("run/status").exists());

        config(&format!(
            ", control-group: {GROUP}, control-readers: {USER}"
        ));
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        let shown = ["run", "run/control", "run/status"].map(|name| mode(name).unwrap());
        assert_eq!(shown, [0o711, 0o660, 0o660]);
        assert_eq!(codes(None), [0, 77, 77, 77], "his own group reads");
        let of_group = as_user(&world, Some(GROUP), &["audit"]);
        assert_eq!(of_group.code, 0, "{of_group:?}");
        // What stands beside the sockets is nobody else's.
        for entry in fs::read_dir(world.path("run")).unwrap() {
            let path = entry.unwrap().path();
            let is_socket = path.ends_with("control") || path.ends_with("status");
            let others = fs::metadata(&path).unwrap().mode() & 0o077;
            assert!(is_socket || others == 0, "{} {others:o}", path.display());
        }
        daemon.end();
    });
}

/// Follows the events until there is one of a job that begins.
const FOLLOW: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; \
                      print $s qq({\"v\":1,\"op\":\"events\"}\\n); \
                      while (<$s>) { print; STDOUT->flush; last if /\"command\"/ }";

#[test]
fn readers_of_events_see_no_command_line() {
    netns::run("places::readers_of_events_see_no_command_line", || {
        let world = machine();
        world.write(
            "config.yaml",
            "application: {runtime-dir: HERE/run, state-dir: HERE/state, control-readers: everyone}\n\
             keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true', is-running: 'test -n secret'}\n",
        );
        let daemon = world.daemon();
        world.settles("default", "MASTER", "running");
        let followed = |door: &str, user: &[String]| {
            let told = world.path(&format!("told-{door}"));
            let mut follower = world.command_of("setpriv".as_ref());
            follower
                .args(user)
                .args(["perl", "-e", FOLLOW])
                .arg(world.path("run").join(door))
                .stdout(fs::File::create(&told).unwrap());
            let mut follower = follower.spawn().unwrap();
            let read = || fs::read_to_string(&told).unwrap();
            world.until("it follows", || read().contains("pong"));
            assert_eq!(world.keepstart(&["audit"]).code, 0);
            assert!(follower.wait().unwrap().success());
            read()
        };
        let of_root = followed("control", &["--clear-groups".into()]);
        assert!(of_root.contains("test -n secret"), "{of_root}");
        let user = ["--reuid", "--regid"].map(|what| format!("{what}={USER}"));
        let of_reader = followed("status", &[&user[..], &["--clear-groups".into()]].concat());
        assert!(!of_reader.contains("secret"), "{of_reader}");
        daemon.end();
    });
}

#[test]
fn members_of_the_control_group_find_roots_daemon() {
    netns::run(
        "places::members_of_the_control_group_find_roots_daemon",
        || {
            let world = machine();
            world.write("config.yaml", CONFIG);
            let before = as_user(&world, Some(GROUP), &["status"]);
            assert_eq!(before.code, 3, "{before:?}");
            let own = format!("/run/user/{USER}/keepstart/config-");
            assert!(before.err.contains(&own), "{before:?}");
            assert!(
                before.err.contains(" and /run/keepstart/config-"),
                "{before:?}"
            );

            // A careful root's umask keeps the members out of nothing that is meant for them.
            let mut start = world.command_of("sh".as_ref());
            start
                .args(["-c", "umask 077; exec \"$0\" -c \"$1\" start"])
                .args([world.path("keepstart"), world.path("config.yaml")]);
            let started = said(start);
            assert_eq!(started.code, 0, "{started:?}");

            let place = only_directory("/run/keepstart");
            let rights = |path: PathBuf| {
                let found = fs::metadata(path).unwrap();
                (found.mode() & 0o7777, found.uid(), found.gid())
            };
            assert_eq!(rights("/run/keepstart".into()).0, 0o755);
            assert_eq!(rights(place.clone()), (0o710, 0, GROUP));
            assert_eq!(rights(place.join("control")), (0o660, 0, GROUP));
            assert_eq!(rights(only_directory("/var/lib/keepstart")).0, 0o700);

            let stranger = as_user(&world, None, &["status"]);
            assert_eq!(stranger.code, 77, "{stranger:?}");
            assert!(stranger.err.contains("control-group"), "{stranger:?}");
            assert_eq!(as_user(&world, None, &["stop"]).code, 77);

            let status = as_user(&world, Some(GROUP), &["status"]);
            assert_eq!(status.code, 0, "{status:?}");
            assert!(status.out.contains("MASTER"), "{status:?}");
            // Other directories in the file hide root's daemon from nobody, and let no second one in.
            let elsewhere = CONFIG.replace(
                "daemon: true",
                "daemon: true, runtime-dir: HERE/run, state-dir: HERE/run",
            );
            world.write("config.yaml", &elsewhere);
            chown(world.here(), Some(USER), None).unwrap();
            let status = as_user(&world, Some(GROUP), &["status"]);
            assert_eq!(status.code, 0, "{status:?}");
            assert_eq!(as_user(&world, None, &["status"]).code, 77);
            let second = as_user(&world, None, &["start"]);
            assert_eq!(second.code, 75, "{second:?}");
            assert!(second.err.contains("already running"), "{second:?}");
            let stopped = as_user(&world, Some(GROUP), &["stop"]);
            assert_eq!(stopped.code, 0, "{stopped:?}");
            assert!(stopped.out.contains("stopped"), "{stopped:?}");
            assert_eq!(as_user(&world, Some(GROUP), &["status"]).code, 3);
        },
    );
}

/// What a user's daemon says of itself in the one directory that is not the test's own; removed with this.
struct Register {
    entry: PathBuf,
}

impl Register {
    const DIRECTORY: &str = "/tmp/keepstart-1001";

    fn of(world: &World) -> Self {
        let config = world.path("config.yaml");
        let mut paths = fs::read_dir(Self::DIRECTORY)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let entry = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
            entry["config"] == config.to_str().unwrap()
        };
        let entry = paths.find(is_it).expect("an entry");
        Self { entry }
    }
}

impl Drop for Register {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.entry);
        let _ = fs::remove_file(self.entry.with_extension("lock"));
        let _ = fs::remove_dir(Self::DIRECTORY);
    }
}

/// A daemon of the other user, whose file names other directories by now: only what he says of it leads to it.
fn daemon_of_the_user(world: &World) -> Register {
    chown(world.here(), Some(USER), None).unwrap();
    let config = "application: {daemon: true, runtime-dir: HERE/PLACE, state-dir: HERE/PLACE}\n\
                  keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n";
    world.write("config.yaml", &config.replace("PLACE", "one"));
    let started = as_user(world, None, &["start"]);
    assert_eq!(started.code, 0, "{started:?}");
    world.write("config.yaml", &config.replace("PLACE", "two"));
    Register::of(world)
}

#[test]
fn root_finds_the_daemon_of_another_and_is_told_whose_it_is() {
    netns::run(
        "places::root_finds_the_daemon_of_another_and_is_told_whose_it_is",
        || {
            let world = machine();
            let _register = daemon_of_the_user(&world);
            let status = as_user(&world, None, &["status"]);
            assert_eq!(status.code, 0, "{status:?}");
            assert_eq!(status.err, "", "it is his own");
            assert_eq!(as_user(&world, None, &["start"]).code, 75);
            let whose = format!("this is the one of user {USER}\n");
            for (command, words) in [
                ("status", "MASTER"),
                ("audit", "begun"),
                ("stop", "stopped"),
            ] {
                let said = world.keepstart(&[command]);
                assert!(said.code == 0 && said.out.contains(words), "{said:?}");
                assert!(said.err.ends_with(&whose), "{said:?}");
                assert_eq!(said.err.lines().count(), 1, "once: {said:?}");
            }
            assert_eq!(world.keepstart(&["status"]).code, 3);
        },
    );
}

#[test]
fn what_another_user_only_pretends_leads_root_nowhere() {
    netns::run(
        "places::what_another_user_only_pretends_leads_root_nowhere",
        || {
            let world = machine();
            world.write("roots.yaml", &CONFIG.replace("1002", "0"));
            let started = world.keepstart_of("roots.yaml", &["start"]);
            assert_eq!(started.code, 0, "{started:?}");
            let roots = world.status_of("roots.yaml")["daemon"]["pid"].clone();
            let place = only_directory("/run/keepstart");
            let register = daemon_of_the_user(&world);
            let path = &register.entry;
            let text = fs::read_to_string(path).unwrap();
            let pretend = |change: &dyn Fn(&mut serde_json::Value)| {
                let mut entry = serde_json::from_str(&text).unwrap();
                change(&mut entry);
                fs::write(path, entry.to_string()).unwrap();
                world.keepstart(&["status"])
            };
            assert_eq!(pretend(&|_| {}).code, 0);
            let claims: [&dyn Fn(&mut serde_json::Value); 5] = [
                &|entry| entry["runtime-dir"] = place.to_str().into(),
                &|entry| entry["pid"] = roots.clone(),
                &|entry| entry["start-ticks"] = 1.into(),
                &|entry| entry["start-ticks"] = serde_json::Value::Null,
                &|entry| {
                    entry["pid"] = roots.clone();
                    entry["start-ticks"] = start_of(&roots).into();
                    entry["runtime-dir"] = place.to_str().into();
                },
            ];
            for (number, claim) in claims.into_iter().enumerate() {
                let said = pretend(claim);
                assert_eq!(said.code, 3, "claim {number}: {said:?}");
            }
            assert_eq!(pretend(&|_| {}).code, 0);
            assert_eq!(world.keepstart(&["stop"]).code, 0);
            let stopped = world.keepstart_of("roots.yaml", &["stop"]);
            assert_eq!(stopped.code, 0, "{stopped:?}");
        },
    );
}

/// When a process began (field 22 of proc_pid_stat(5)).
fn start_of(pid: &serde_json::Value) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(19).unwrap().parse().unwrap()
}

/// The directory of a user's daemons that is not the test's own, taken from him; removed with this.
struct Taken(u32);

impl Taken {
    fn directory(&self) -> PathBuf {
        format!("/tmp/keepstart-{}", self.0).into()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.directory());
    }
}

#[test]
fn a_strangers_lock_keeps_nobody_from_starting() {
    netns::run(
        "places::a_strangers_lock_keeps_nobody_from_starting",
        || {
            // Not the user of the other tests, which have a directory of his at the same time.
            const VICTIM: u32 = 1003;
            let world = machine();
            let register = Taken(VICTIM);
            chown(world.here(), Some(VICTIM), None).unwrap();
            world.write(
                "config.yaml",
                "application: {daemon: true, runtime-dir: HERE/run, state-dir: HERE/run}\n\
             keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n",
            );
            let starts = || {
                let started = as_uid(&world, VICTIM, None, &["start"]);
                assert_eq!(started.code, 0, "{started:?}");
            };
            starts();
            let entries = fs::read_dir(register.directory()).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let is_lock = |path: &PathBuf| path.extension().is_some_and(|end| end == "lock");
            let locks: Vec<_> = paths.filter(is_lock).collect();
            assert!(!locks.is_empty());
            assert_eq!(as_uid(&world, VICTIM, None, &["stop"]).code, 0);

            fs::remove_dir_all(register.directory()).unwrap();
            fs::create_dir(register.directory()).unwrap();
            chown(register.directory(), Some(USER), None).unwrap();
            let held: Vec<_> = locks
                .iter()
                .map(|lock| {
                    let file = fs::File::create(lock).unwrap();
                    file.set_permissions(Permissions::from_mode(0o666)).unwrap();
                    file.lock().unwrap();
                    file
                })
                .collect();
            starts();
            // A second one is refused by what nobody else can hold.
            let second = as_uid(&world, VICTIM, None, &["start"]);
            assert_eq!(second.code, 75, "{second:?}");
            assert_eq!(as_uid(&world, VICTIM, None, &["stop"]).code, 0);
            drop(held);
        },
    );
}

#[test]
fn root_in_somebody_elses_workspace_is_told_and_follows_no_link() {
    netns::run(
        "places::root_in_somebody_elses_workspace_is_told_and_follows_no_link",
        || {
            let world = machine();
            let application = "application: {daemon: true, workspace: HERE/work}";
            world.write(
                "config.yaml",
                &CONFIG.replace(CONFIG.lines().next().unwrap(), application),
            );
            let work = world.path("work");
            fs::create_dir(&work).unwrap();
            chown(&work, Some(USER), Some(USER)).unwrap();

            let started = world.keepstart(&["start"]);
            assert_eq!(started.code, 0, "{started:?}");
            let path = started
                .out
                .trim()
                .rsplit("log: ")
                .next()
                .unwrap()
                .to_owned();
            let told = format!("work belongs to user {USER}, who can replace");
            world.until("who can interfere", || {
                let log = fs::read_to_string(&path).unwrap_or_default();
                log.contains(&told) && log.contains("set `runtime-dir`")
            });
            assert_eq!(world.keepstart(&["stop"]).code, 0);

            fs::rename(work.join(".keepstart"), work.join("taken")).unwrap();
            symlink(work.join("taken"), work.join(".keepstart")).unwrap();
            let refused = world.keepstart(&["start"]);
            assert_eq!(refused.code, 78, "{refused:?}");
            assert!(
                refused.err.contains(".keepstart is a symbolic link"),
                "{refused:?}"
            );
        },
    );
}

#[test]
fn directories_that_cannot_be_made_end_every_start_alike() {
    netns::run(
        "places::directories_that_cannot_be_made_end_every_start_alike",
        || {
            let world = World::new();
            world.write("in-the-way", "");
            let hooks = CONFIG.lines().nth(1).unwrap();
            for daemon in ["true", "false"] {
                let start = |application: &str| {
                    let text =
                        format!("application: {{daemon: {daemon}, {application}}}\n{hooks}\n");
                    world.write("config.yaml", &text);
                    let said = world.keepstart(&["start"]);
                    assert_eq!(said.code, 78, "{application}: {said:?}");
                    said.err
                };
                let err = start("runtime-dir: HERE/in-the-way/run, state-dir: HERE/state");
                assert!(err.contains("in-the-way"), "{err}");
                let err = start("runtime-dir: HERE/run, state-dir: HERE/in-the-way");
                assert!(err.contains("in-the-way"), "{err}");
                let err = start("workspace: HERE/nowhere");
                assert!(err.contains("/nowhere"), "{err}");
                assert!(!world.exists("nowhere"));
                let err = start(
                    "runtime-dir: HERE/run, state-dir: HERE/state, pidfile: HERE/in-the-way/pid",
                );
                assert!(err.contains("in-the-way/pid"), "{err}");
            }
        },
    );
}

#[test]
fn a_start_that_comes_to_nothing_leaves_nothing() {
    netns::run(
        "places::a_start_that_comes_to_nothing_leaves_nothing",
        || {
            let world = machine();
            let hooks = CONFIG.lines().nth(1).unwrap();
            let start = |application: &str| {
                world.write(
                    "config.yaml",
                    &format!("application: {{{application}}}\n{hooks}\n"),
                );
                let said = world.keepstart(&["start"]);
                // Who is not known may be later.
                let code = if application.contains("no-such") {
                    75
                } else {
                    78
                };
                assert_eq!(said.code, code, "{application}: {said:?}");
            };
            let left = |directory: &str| {
                let inside = fs::read_dir(directory).into_iter().flatten();
                inside
                    .map(|entry| entry.unwrap().path())
                    .collect::<Vec<_>>()
            };
            for fault in [
                "pidfile: HERE/nowhere/pid",
                "control-group: no-such-group",
                "control-readers: no-such-group",
                "runtime-dir: /proc/nowhere",
            ] {
                start(fault);
                assert_eq!(left("/var/lib/keepstart"), Vec::<PathBuf>::new(), "{fault}");
                assert_eq!(left("/run/keepstart"), Vec::<PathBuf>::new(), "{fault}");
            }
            // What was there before stays, and so does what a log says of it.
            fs::create_dir(world.path("run")).unwrap();
            start("runtime-dir: HERE/run, state-dir: HERE/state, pidfile: HERE/nowhere/pid");
            assert!(world.exists("run") && !world.exists("state"));
            start("daemon: true, pidfile: HERE/nowhere/pid");
            let log = only_directory("/var/lib/keepstart").join("keepstart.log");
            let log = fs::read_to_string(log).unwrap();
            assert!(log.contains("nowhere/pid"), "{log}");
        },
    );
}

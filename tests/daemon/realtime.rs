//! `realtime-priority`: the reactor and the spawners are real-time threads and nothing else is, no action either. Where
//! this machine allows no such thread (it takes root), the same daemon is ordinary and says so.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::netns;
use crate::process::{add_vip, world};
use crate::staged::Lease;
use crate::world::{Daemon, VIP, World, proc_status};

const SCHED_OTHER: u8 = 0;
const SCHED_FIFO: u8 = 1;

/// Whether this process, and so its daemon, may have real-time threads.
fn is_allowed() -> bool {
    let tried = Command::new("chrt").args(["-f", "7", "true"]).output();
    tried.expect("run chrt of util-linux").status.success()
}

/// The policy of what has this `/proc/…/stat`, and its real-time priority (proc_pid_stat(5)); `None`: it has ended.
fn scheduled(stat: &str) -> Option<(u8, u8)> {
    let text = fs::read_to_string(stat).ok()?;
    // The second field is in brackets and may be anything; what follows begins with the third.
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(40 - 3);
    let priority = fields.next()?.parse().ok()?;
    Some((fields.next()?.parse().ok()?, priority))
}

/// The threads of a process: name, policy, priority.
fn threads(pid: u32) -> BTreeSet<(String, u8, u8)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| {
            let task = task.unwrap().path().display().to_string();
            let name = fs::read_to_string(format!("{task}/comm")).ok()?;
            let (policy, priority) = scheduled(&format!("{task}/stat"))?;
            Some((name.trim().to_owned(), policy, priority))
        })
        .collect()
}

/// The names of the real-time threads; each has to have the priority 7.
#[track_caller]
fn realtime_threads(daemon: &Daemon) -> BTreeSet<String> {
    let all = threads(daemon.pid());
    let realtime = all.into_iter().filter(|(_, policy, priority)| {
        assert!(
            matches!((*policy, *priority), (SCHED_OTHER, 0) | (SCHED_FIFO, 7)),
            "policy {policy}, priority {priority}"
        );
        *policy == SCHED_FIFO
    });
    realtime.map(|(name, ..)| name).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The daemon, executed by another command of this machine.
fn daemon_by(world: &World, by: &[&str]) -> Daemon {
    world.daemon_with(|command| {
        let log = File::options()
            .append(true)
            .open(world.path("log"))
            .unwrap();
        let mut wrapped = world.command_of(by[0].as_ref());
        wrapped
            .args(&by[1..])
            .arg(command.get_program())
            .args(command.get_args());
        wrapped.stdout(log.try_clone().unwrap()).stderr(log);
        *command = wrapped;
    })
}

/// What stands in `/proc` of the limit on real time.
fn rttime(limits: &str) -> String {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max realtime timeout"));
    let words = line.unwrap().split_whitespace().skip(3);
    words.take(2).collect::<Vec<_>>().join(":")
}

#[test]
fn the_reactor_and_the_spawners_are_real_time_and_no_other_thread_is() {
    netns::run(
        "realtime::the_reactor_and_the_spawners_are_real_time_and_no_other_thread_is",
        || {
            let world = world();
            world.script("hangs.sh", "true");
            world.script(
                "start.sh",
                "cp /proc/$$/stat HERE/stat.new; mv HERE/stat.new HERE/stat",
            );
            // Each hangs a spawner, so that others are made, by the reactor. The bus of the unit is not there.
            let hangs = "stop: 'true', start: HERE/hangs.sh";
            world.config(&format!(
                "  realtime-priority: 7\ninstances:\n  hangs: {{vip: {VIP}, {hangs}}}\n  hangs-too: {{vip: {VIP}, {hangs}}}\n  \
                 other: {{vip: {VIP}, stop: 'true', start: HERE/start.sh}}\n  \
                 unit: {{vip: 10.77.0.9, unit: nowhere.service}}\n"
            ));
            let daemon = world.daemon_with(|command| {
                command.arg("--record").arg(world.path("tape"));
            });
            let is = if is_allowed() {
                names(&["reactor", "spawner-1", "spawner-2"])
            } else {
                names(&[])
            };
            assert_eq!(realtime_threads(&daemon), is);
            let all: BTreeSet<_> = threads(daemon.pid())
                .into_iter()
                .map(|(name, ..)| name)
                .collect();
            let ordinary = names(&["keepstart", "log", "disk", "units", "recorder"]);
            assert!(all.is_superset(&ordinary), "{all:?}");
            let lease = Lease::take(&world, "hangs.sh");
            add_vip();
            world.until("a third one runs what the first two do not", || {
                world.exists("stat")
            });
            let (policy, _) = scheduled(&world.path("stat").display().to_string()).unwrap();
            assert_eq!(policy, SCHED_OTHER);
            let made: BTreeSet<_> = realtime_threads(&daemon).difference(&is).cloned().collect();
            let is_spawner = |name: &String| name.starts_with("spawner-");
            assert!(
                made.is_empty() != is_allowed() && made.iter().all(is_spawner),
                "{made:?}"
            );
            drop(lease);
            world.settles("hangs", "MASTER", "running");
            let standing = &world.status()["daemon"]["realtime"];
            assert_eq!(
                (&standing["priority"], &standing["on"]),
                (&7.into(), &is_allowed().into())
            );
            daemon.end();
        },
    );
}

/// Leaves a child behind at once, works without a pause, and then tells how both are scheduled. With its first breath,
/// because whoever is real-time then would hand that on for good.
const TELL: &str = "sleep 30 & child=$!\n(sleep 30 & echo $! > HERE/$NAME.grandchild) &\n\
     i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done\nsleep 0.01\n\
     for pid in $$ $child $(cat HERE/$NAME.grandchild); do cut -d' ' -f41 /proc/$pid/stat; done > HERE/$NAME.new\n\
     cat /proc/$$/limits > HERE/$NAME.limits\ncat /proc/$$/status > HERE/$NAME.status\n\
     mv HERE/$NAME.new HERE/$NAME.told";

/// Runs an action of each kind, and looks at all that came of it.
fn no_action_is_real_time(by: &[&str]) {
    let world = world();
    world.script("tell.sh", &format!("NAME=$KEEPSTART_INSTANCE\n{TELL}"));
    fs::create_dir(world.path("work")).unwrap();
    let kinds = [
        ("file", "HERE/tell.sh"),
        ("line", "'sh HERE/tell.sh'"),
        ("list", "[sh, HERE/tell.sh]"),
        (
            "elsewhere",
            "{run: HERE/tell.sh, working-directory: HERE/work}",
        ),
        ("staged", "{run: HERE/tell.sh, umask: 077}"),
        ("limited", "{run: HERE/tell.sh, limits: {rttime: 4000000}}"),
    ];
    let instances = kinds
        .map(|(name, start)| format!("  {name}: {{vip: {VIP}, stop: 'true', start: {start}}}\n"));
    world.config(&format!(
        "  realtime-priority: 7\ninstances:\n{}",
        instances.concat()
    ));
    let before = &["prlimit", "--rttime=5000000:6000000", "--"];
    let daemon = daemon_by(&world, &[before, by].concat());
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let bounded = if is_allowed() {
        "1000000:6000000"
    } else {
        "5000000:6000000"
    };
    assert_eq!(rttime(&limits), bounded, "the daemon's own");
    add_vip();
    for (name, _) in kinds {
        world.until(name, || world.exists(&format!("{name}.told")));
        assert_eq!(
            world.lines(&format!("{name}.told")),
            ["0", "0", "0"],
            "{name}"
        );
        let limit = if name == "limited" {
            "4000000:4000000"
        } else {
            "5000000:6000000"
        };
        assert_eq!(
            rttime(&world.read(&format!("{name}.limits"))),
            limit,
            "{name}"
        );
        let status = world.read(&format!("{name}.status"));
        let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap();
        let locked = field("VmLck:");
        assert!(locked.ends_with(" 0 kB"), "{name}: {locked}");
        let processors = proc_status(daemon.pid(), "Cpus_allowed_list").unwrap();
        let has = field("Cpus_allowed_list:");
        assert!(has.ends_with(&format!("\t{processors}")), "{name}: {has}");
    }
    let locked = proc_status(daemon.pid(), "VmLck").unwrap();
    assert_eq!(locked != "0 kB", is_allowed(), "{locked}");
    daemon.end();
}

#[test]
fn no_action_is_real_time_nor_inherits_the_daemons_limits() {
    netns::run(
        "realtime::no_action_is_real_time_nor_inherits_the_daemons_limits",
        || {
            no_action_is_real_time(&["env"]);
        },
    );
}

#[test]
fn no_action_is_real_time_on_a_machine_with_one_processor() {
    netns::run(
        "realtime::no_action_is_real_time_on_a_machine_with_one_processor",
        || {
            let allowed = proc_status(std::process::id(), "Cpus_allowed_list").unwrap();
            let first = allowed.split(['-', ',']).next().unwrap();
            no_action_is_real_time(&["taskset", "-c", first]);
        },
    );
}

#[test]
fn without_the_right_the_daemon_is_an_ordinary_one_and_says_so() {
    netns::run(
        "realtime::without_the_right_the_daemon_is_an_ordinary_one_and_says_so",
        || {
            let world = world();
            world.service("true");
            world.config(&format!(
            "  realtime-priority: 7\nkeepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
        ));
            let without = [
                "setpriv",
                "--bounding-set",
                "-sys_nice",
                "--inh-caps",
                "-sys_nice",
            ];
            let daemon = daemon_by(&world, &without);
            assert_eq!(realtime_threads(&daemon), names(&[]));
            add_vip();
            world.settles("default", "MASTER", "running");
            let why = "realtime-priority 7 is not in force";
            assert_eq!(world.log().matches(why).count(), 1, "{}", world.log());
            assert!(world.log().contains("CAP_SYS_NICE"), "{}", world.log());
            assert!(world.keepstart(&["status"]).out.contains(why));
            let doctor = world.keepstart(&["doctor"]);
            assert!(doctor.out.contains(why), "{doctor:?}");
            daemon.end();
        },
    );
}

#[test]
fn without_the_right_to_lock_memory_only_that_is_missing() {
    netns::run(
        "realtime::without_the_right_to_lock_memory_only_that_is_missing",
        || {
            let world = world();
            world.service("true");
            world.config(&format!(
            "  realtime-priority: 7\nkeepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
        ));
            let without = [
                "setpriv",
                "--bounding-set",
                "-ipc_lock",
                "--inh-caps",
                "-ipc_lock",
            ];
            let daemon = daemon_by(
                &world,
                &[&["prlimit", "--memlock=65536", "--"], &without[..]].concat(),
            );
            assert_eq!(
                realtime_threads(&daemon).len(),
                if is_allowed() { 3 } else { 0 }
            );
            assert_eq!(
                world.log().contains("memory is not locked"),
                is_allowed(),
                "{}",
                world.log()
            );
            assert_eq!(proc_status(daemon.pid(), "VmLck").unwrap(), "0 kB");
            daemon.end();
        },
    );
}

#[test]
fn a_thread_that_runs_away_makes_the_daemon_an_ordinary_one() {
    netns::run(
        "realtime::a_thread_that_runs_away_makes_the_daemon_an_ordinary_one",
        || {
            let world = world();
            world.script(
                "tell.sh",
                "cat /proc/$$/limits > HERE/limits.new; mv HERE/limits.new HERE/limits",
            );
            let config = |more: u32| {
                let more = (0..more).map(|number| {
                    let vip = format!("10.78.{}.{}", number / 250, number % 250);
                    format!("  more-{number}: {{vip: {vip}, start: /x/a, stop: /x/b}}\n")
                });
                let more: String = more.collect();
                world.config(&format!(
                    "  realtime-priority: 7\ninstances:\n  \
                 told: {{vip: {VIP}, start: HERE/tell.sh, stop: 'true'}}\n{more}"
                ));
            };
            config(0);
            let daemon = daemon_by(&world, &["prlimit", "--rttime=5000000:6000000", "--"]);
            // A reload of many instances is a long turn for the reactor; with this limit, too long a one.
            let pid = Pid::from_raw(daemon.pid().cast_signed());
            let limit = Rlimit {
                current: Some(1),
                maximum: Some(6_000_000),
            };
            prlimit(pid, Resource::Rttime, limit).unwrap();
            let why = "realtime-priority 7 is not in force";
            let mut reloads = 0;
            world.until("it has run away", || {
                reloads += 1;
                config(reloads % 2 * 2000);
                assert_eq!(world.keepstart(&["reload"]).code, 0);
                world.log().contains(why)
            });
            assert_eq!(world.log().matches(why).count(), 1, "{}", world.log());
            world.until("all are ordinary", || realtime_threads(&daemon).is_empty());
            if is_allowed() {
                assert!(world.keepstart(&["status"]).out.contains("without a pause"));
            }
            add_vip();
            world.until("it goes on as an ordinary one", || world.exists("limits"));
            assert_eq!(rttime(&world.read("limits")), "5000000:6000000");
            daemon.end();
        },
    );
}

//! What does not grow: the daemon's memory, its log and its disk under a script that prints without end, and its
//! descriptors, threads and children over many flips.

use crate::netns::{self, ip};
use crate::wait::wait_until;
use crate::world::{PATIENCE, VIP, World, children_of, count_of, ms, pause, proc_status};

fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

fn del_vip() {
    ip(&format!("addr del {VIP}/32 dev lo"));
}

#[test]
fn a_script_that_prints_without_end_fills_nothing() {
    netns::run(
        "bounds::a_script_that_prints_without_end_fills_nothing",
        || {
            let world = World::new();
            world.script("print.sh", "yes 'a line of some length, as scripts print them' | head -c 300000000\nsleep 1\necho the last word");
            world.service_named("other", "");
            world.config(&format!(
                "instances:\n  loud: {{vip: {VIP}, start: HERE/print.sh, stop: 'true'}}\n  \
             other: {{vip: 10.77.0.2, start: HERE/start-other.sh, stop: HERE/stop-other.sh}}\n"
            ));
            add_vip();
            let daemon = world.daemon();
            ip("addr add 10.77.0.2/32 dev lo");
            world.settles("other", "MASTER", "running");
            world.settles("loud", "MASTER", "running");
            let loud = world.instance("loud");
            assert_eq!(loud["last_job"]["result"], "done", "{loud:#}");
            let memory = proc_status(daemon.pid(), "VmHWM").unwrap();
            let memory_kb: u64 = memory.split_whitespace().next().unwrap().parse().unwrap();
            assert!(memory_kb < 64 * 1024, "{memory}");
            world.until("a word on what was left out", || {
                world.log().contains("left out")
            });
            world.until("the end of the output", || {
                world.log().contains("the last word")
            });
            let log = std::fs::metadata(world.path("log")).unwrap().len();
            assert!(log < 20_000_000, "a log of {log} bytes");
            // When nobody writes any more, its file goes.
            world.until("the file is gone", || outputs(&world) == 0);
            daemon.end();
        },
    );
}

#[test]
fn a_flood_that_ends_in_a_failure_keeps_its_last_word() {
    netns::run(
        "bounds::a_flood_that_ends_in_a_failure_keeps_its_last_word",
        || {
            let world = World::new();
            // More lines than the log takes at once.
            world.script("fail.sh", "seq 1 900; echo 'the last word' >&2; exit 3");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  start: HERE/fail.sh\n  stop: 'true'\n  \
                 retry: {{first: 10m, longest: 10m}}\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.until("the end of the output", || {
                world.log().contains("the last word")
            });
            world.until("the file is gone", || outputs(&world) == 0);
            let status = world.status();
            assert_eq!(status["daemon"]["log_dropped"], 0, "{status:#}");
            let output = &status["daemon"]["counters"]["output"];
            assert_eq!(output["lines_left_out"], 501, "{output:#}");
            daemon.end();
        },
    );
}

/// How many files of output there are.
fn outputs(world: &World) -> usize {
    std::fs::read_dir(world.path("run/output")).unwrap().count()
}

#[test]
fn two_hundred_flips_leave_nothing_behind() {
    netns::run("bounds::two_hundred_flips_leave_nothing_behind", || {
        let world = World::new();
        world.service("");
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: HERE/start.sh\n  stop: HERE/stop.sh\n  debounce: 0\n  \
             is-running: test -e HERE/running\n"
        ));
        let daemon = world.daemon();
        let descriptors = || count_of(&format!("/proc/{}/fd", daemon.pid()));
        let threads = || count_of(&format!("/proc/{}/task", daemon.pid()));
        let flip = || {
            add_vip();
            pause(ms(15));
            del_vip();
            pause(ms(15));
        };
        flip();
        world.settles("default", "BACKUP", "stopped");
        world.until("the output is gone", || outputs(&world) == 0);
        let before = descriptors();
        for _ in 0..200 {
            flip();
        }
        world.settles("default", "BACKUP", "stopped");
        assert!(!world.exists("running"));
        world.ran("hooks");
        world.until("the output is gone", || outputs(&world) == 0);
        wait_until(
            PATIENCE,
            || descriptors() <= before,
            || format!("{} descriptors after {before}", descriptors()),
        );
        wait_until(
            PATIENCE,
            || threads() <= 6,
            || format!("{} threads", threads()),
        );
        assert_eq!(
            children_of(daemon.pid()),
            Vec::<u32>::new(),
            "neither jobs nor zombies"
        );
        let instance = world.instance("default");
        assert_eq!(
            instance["transitions"].as_u64().unwrap() % 2,
            1,
            "{instance:#}"
        );
        let status = world.status();
        assert_eq!(status["daemon"]["log_dropped"], 0, "{status:#}");
        daemon.end();
    });
}

/// How many windows of ten seconds a daemon has to show that it is calm in one.
const WINDOWS_MAX: u32 = 3;

/// How often the daemon's threads have gone to sleep.
fn sleeps_of(daemon: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
    let of_task = |task: std::fs::DirEntry| -> u64 {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        let field = "voluntary_ctxt_switches:";
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap().trim().parse().unwrap()
    };
    tasks.map(|task| of_task(task.unwrap())).sum()
}

#[test]
fn a_watcher_of_an_idle_daemon_does_not_wake_it() {
    netns::run(
        "bounds::a_watcher_of_an_idle_daemon_does_not_wake_it",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
            ));
            let daemon = world.daemon();
            world.settles("default", "BACKUP", "stopped");
            let mut watch = world.command();
            watch.arg("-c").arg(world.path("config.yaml"));
            watch.args(["status", "--watch", "--json"]);
            let told = std::fs::File::create(world.path("watch")).unwrap();
            let mut watcher = watch.stdout(told).spawn().unwrap();
            world.until("the watcher is told", || {
                world.read("watch").contains("\"default\"")
            });
            pause(ms(1000));
            // A thread also sleeps for a page or a lock that others have, where the machine is busy; a daemon that is
            // woken by its watcher is so in every window.
            let woken = |_| {
                let before = sleeps_of(daemon.pid());
                pause(ms(10_000));
                sleeps_of(daemon.pid()) - before
            };
            let mut windows = (0..WINDOWS_MAX).map(woken);
            // A tenth of one in a second, and the watcher is still being told.
            assert!(
                windows.any(|woken| woken <= 1),
                "more than once in ten seconds, {WINDOWS_MAX} times"
            );
            add_vip();
            world.until("the watcher hears", || {
                world.read("watch").contains("\"MASTER\"")
            });
            watcher.kill().unwrap();
            watcher.wait().unwrap();
            daemon.end();
        },
    );
}

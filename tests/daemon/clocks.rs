//! Which clocks the daemon believes. The time of day is for people and for logs: it may jump. What is timed is timed
//! by the monotonic clock, which stands still while the host is suspended, as the scripts do.

use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::netns::{self, ip};
use crate::world::{VIP, World, ms, pause};

/// A time of day that jumps by twenty years each time it is asked for, forwards and back. In place of the C library's,
/// because the clock of the machine is not the test's to set.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static time_t jump(void) {
    static long asked;
    return (__atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST) % 2 ? 10 : -10) * 31536000L;
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *time) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (time) *time = now.tv_sec;
    return now.tv_sec;
}
"#;

fn compile(world: &World) {
    let source = world.write("jumping.c", JUMPING);
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"])
        .arg(world.path("jumping.so"));
    let compiled = cc.arg(source).arg("-ldl").status().expect("run cc");
    assert!(compiled.success());
}

#[test]
fn a_time_of_day_that_jumps_changes_nothing() {
    netns::run("clocks::a_time_of_day_that_jumps_changes_nothing", || {
        let world = World::new();
        compile(&world);
        world.service("");
        world.script("hang.sh", "exec sleep 1000");
        world.config(&format!(
            "logging:\n  version: 1\n  formatters: {{all: {{format: '%(asctime)s %(message)s'}}}}\n  \
             handlers: {{file: {{class: logging.FileHandler, filename: HERE/told, formatter: all}}}}\n  \
             root: {{level: INFO, handlers: [file]}}\n\
             instances:\n  \
             default: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n  \
             hung: {{vip: {VIP}, start: {{run: HERE/hang.sh, timeout: 1s, kill-after: 1s}}, stop: 'true', \
             retry: {{first: 10m, longest: 10m}}}}\n"
        ));
        let jumping = || {
            let daemon = world.daemon_unready(|command| {
                command.env("LD_PRELOAD", world.path("jumping.so"));
            });
            world.until("ready", || world.keepstart(&["status"]).code == 0);
            daemon
        };
        let daemon = jumping();
        let years = |world: &World| {
            let told = world.lines("told");
            let mut years: Vec<_> = told
                .iter()
                .map(|line| line.get(..4).unwrap().to_owned())
                .collect();
            years.sort();
            years.dedup();
            years
        };
        for _ in 0..3 {
            ip(&format!("addr add {VIP}/32 dev lo"));
            world.settles("default", "MASTER", "running");
            ip(&format!("addr del {VIP}/32 dev lo"));
            world.settles("default", "BACKUP", "stopped");
        }
        ip(&format!("addr add {VIP}/32 dev lo"));
        world.settles("default", "MASTER", "running");
        world.until("it is given its time, and no more", || {
            world.instance("hung")["last_action"]["result"] == "timed-out"
        });
        let last = &world.instance("hung")["last_action"];
        assert!(last["duration_ms"].as_u64() >= Some(1_000), "{last:#}");
        let status = world.status();
        let uptime = status["daemon"]["uptime_ms"].as_u64().unwrap();
        assert!(uptime < 1_000_000, "{status:#}");
        for instance in status["instances"].as_array().unwrap() {
            let age = instance["role_age_ms"].as_u64().unwrap();
            assert!(age <= uptime, "{instance:#}");
        }
        let epoch = world.instance("default")["epoch"].as_u64().unwrap();
        daemon.kill();
        let daemon = jumping();
        world.settles("default", "MASTER", "running");
        assert!(world.instance("default")["epoch"].as_u64().unwrap() > epoch);
        let ran = ["start", "stop"].repeat(3);
        assert_eq!(world.ran("hooks"), [ran, vec!["start"]].concat());
        assert!(
            years(&world).len() > 1,
            "it did not jump: {:?}",
            years(&world)
        );
        daemon.end();
    });
}

/// A boot that was a day ago by the clock that counts suspension, and just now by the one that does not.
#[test]
fn time_in_suspend_is_nobodys_time() {
    netns::run("clocks::time_in_suspend_is_nobodys_time", || {
        let world = World::new();
        world.script("hang.sh", "exec sleep 1000");
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: {{run: HERE/hang.sh, timeout: 10m}}, stop: 'true'}}\n"
        ));
        ip(&format!("addr add {VIP}/32 dev lo"));
        let daemon = world.daemon_with(|command| {
            let log = || {
                std::fs::File::options()
                    .append(true)
                    .open(world.path("log"))
            };
            let mut asleep = world.command_of("unshare".as_ref());
            asleep.args(["--time", "--boottime", "86400", "--"]);
            asleep.arg(command.get_program()).args(command.get_args());
            asleep.stdout(log().unwrap()).stderr(log().unwrap());
            *command = asleep;
        });
        world.until("the intent is written", || {
            world.read("run/run.json").contains("deadline-monotonic")
        });
        let now_s = clock_gettime(ClockId::Monotonic).tv_sec;
        let record = world.read("run/run.json");
        let intent = record
            .lines()
            .find(|line| line.contains("\"intent\""))
            .unwrap();
        let intent: Value = serde_json::from_str(intent).unwrap();
        let deadline = &intent["intent"]["deadline-monotonic"];
        let deadline_s = deadline["secs"]
            .as_i64()
            .unwrap_or_else(|| panic!("{intent:#}"));
        assert!(
            (now_s..=now_s + 601).contains(&deadline_s),
            "{deadline_s} at {now_s}"
        );
        pause(ms(200));
        let age = world.instance("default")["job"]["age_ms"].as_u64().unwrap();
        assert!(age < 86_400_000, "{age}");
        drop(daemon);
    });
}

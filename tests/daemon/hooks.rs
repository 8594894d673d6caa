//! What is done with scripts: their environment, their end, their failures, what they print, and what is asked of
//! is-running.

use crate::netns::{self, ip};
use crate::world::{VIP, World, is_alive};
use std::fmt::Write as _;

fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

fn del_vip() {
    ip(&format!("addr del {VIP}/32 dev lo"));
}

#[test]
fn start_and_stop_follow_the_address() {
    netns::run("hooks::start_and_stop_follow_the_address", || {
        let world = World::new();
        world.service("");
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
        ));
        let daemon = world.daemon();
        world.settles("default", "BACKUP", "stopped");
        for _ in 0..3 {
            add_vip();
            world.settles("default", "MASTER", "running");
            del_vip();
            world.settles("default", "BACKUP", "stopped");
        }
        assert_eq!(
            world.ran("hooks"),
            ["start", "stop", "start", "stop", "start", "stop"]
        );
        // One epoch for each transition, and they only grow.
        let of = |line: &String| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
        let epochs: Vec<u64> = world.lines("hooks").iter().map(of).collect();
        assert!(epochs.is_sorted(), "{epochs:?}");
        assert_eq!(world.instance("default")["epoch"], *epochs.last().unwrap());
        daemon.end();
    });
}

#[test]
fn a_script_gets_an_environment_of_its_own() {
    netns::run("hooks::a_script_gets_an_environment_of_its_own", || {
        let world = World::new();
        world.script(
            "start.sh",
            // What a shell hands on is not all that it was given: IFS, for one, it keeps for itself.
            "tr '\\0' '\\n' < /proc/$$/environ > HERE/env.new\nreadlink /proc/self/fd/0 > HERE/stdin\n\
             echo $$ $(cut -d' ' -f5 /proc/$$/stat) > HERE/group\nls /proc/$$/fd > HERE/fds\n\
             echo \"$@\" > HERE/arguments\nmv HERE/env.new HERE/env",
        );
        world.config(&format!(
            "instances:\n  web:\n    vip: {VIP}\n    nic: lo\n    start: HERE/start.sh\n    stop: 'true'\n    \
             arguments: keepalived\n    environment: {{COLOUR: blue, TERM: none}}\n"
        ));
        add_vip();
        let daemon = world.daemon_with(|command| {
            command
                .env("LD_LIBRARY_PATH", "/nowhere")
                .env("BASH_ENV", "/nowhere")
                .env("ENV", "/nowhere");
            command
                .env("LISTEN_FDS", "3")
                .env("LISTEN_PID", "1")
                .env("IFS", "x")
                .env("WATCHDOG_PID", "1");
            command
                .env("INVOCATION_ID", "abc")
                .env("JOURNAL_STREAM", "1:1")
                .env("KEEPSTART_OUTER", "yes")
                .env("HANDED_ON", "yes");
            command.env("TERM", "vt100");
        });
        world.until("the environment", || world.exists("env"));
        let environment = world.lines("env");
        let has = |line: &str| environment.iter().any(|one| one == line);
        for line in [
            "KEEPSTART_INSTANCE=web",
            "KEEPSTART_ROLE=MASTER",
            "KEEPSTART_PREVIOUS_ROLE=UNKNOWN",
            "KEEPSTART_VIP=10.77.0.1",
            "KEEPSTART_NIC=lo",
            "KEEPSTART_ACTION=start",
            "KEEPSTART_EPOCH=1",
            "HANDED_ON=yes",
            "COLOUR=blue",
            "TERM=none",
        ] {
            assert!(has(line), "{line} is not in {environment:#?}");
        }
        for name in ["KEEPSTART_REASON", "KEEPSTART_JOB"] {
            let given = environment
                .iter()
                .filter_map(|one| one.strip_prefix(name)?.strip_prefix('='));
            assert_eq!(given.filter(|value| !value.is_empty()).count(), 1, "{name}");
        }
        for name in [
            "LD_",
            "BASH_ENV",
            "ENV=",
            "LISTEN_",
            "WATCHDOG_",
            "INVOCATION_ID",
            "JOURNAL_STREAM",
            "IFS=",
            "KEEPSTART_OUTER",
        ] {
            assert!(
                !environment.iter().any(|one| one.starts_with(name)),
                "{name} is in {environment:#?}"
            );
        }
        assert_eq!(world.read("stdin").trim(), "/dev/null");
        let group = world.read("group");
        let (pid, group) = group.trim().split_once(' ').unwrap();
        assert_eq!(pid, group, "a process group of its own");
        // 10 and above are the shell's own.
        let inherited = world
            .lines("fds")
            .iter()
            .filter(|fd| fd.parse::<u32>().unwrap() < 10)
            .count();
        assert_eq!(inherited, 3, "{:?}", world.lines("fds"));
        assert_eq!(world.read("arguments").trim(), "INSTANCE web MASTER 0");
        daemon.end();
    });
}

#[test]
fn a_hanging_script_is_ended_with_all_its_group() {
    netns::run(
        "hooks::a_hanging_script_is_ended_with_all_its_group",
        || {
            let world = World::new();
            // It ignores TERM, and so do its children: only a KILL of the whole group ends them.
            world.script(
                "start.sh",
                "trap 'echo TERM >> HERE/terms' TERM\n(trap '' TERM; while :; do sleep 1; done) &\n\
             echo $$ $! > HERE/pids.new; mv HERE/pids.new HERE/pids\nwhile :; do sleep 0.1; done",
            );
            world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: {{run: HERE/start.sh, timeout: 300ms, kill-after: 300ms}}\n  \
             stop: 'true'\n  retry: {{first: 10m, longest: 10m}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.until("a timeout", || {
                world.instance("default")["last_job"]["result"] == "timed-out"
            });
            let pids = world.read("pids");
            for pid in pids.split_whitespace() {
                assert!(!is_alive(pid.parse().unwrap()), "{pid} of {pids}");
            }
            assert_eq!(world.read("terms").trim(), "TERM");
            let default = world.instance("default");
            assert_eq!(default["service"], "maybe", "{default:#}");
            assert_eq!(default["next"]["kind"], "retry", "{default:#}");
            let log = world.log();
            let (term, kill) = (log.find("SIGTERM"), log.find("SIGKILL"));
            assert!(term.is_some() && term < kill, "{log}");
            daemon.end();
        },
    );
}

#[test]
fn a_start_whose_role_is_lost_is_cancelled() {
    netns::run("hooks::a_start_whose_role_is_lost_is_cancelled", || {
        let world = World::new();
        world.service("");
        world.script("hang.sh", "echo hangs >> HERE/hangs; exec sleep 1000");
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: HERE/hang.sh\n  stop: HERE/stop.sh\n  start-cancel-after: 200ms\n"
        ));
        add_vip();
        let daemon = world.daemon();
        world.until("the start hangs", || world.exists("hangs"));
        del_vip();
        world.settles("default", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks"), ["stop"]);
        assert!(world.log().contains("start cancelled"), "{}", world.log());
        assert_eq!(world.lines("hangs").len(), 1);
        daemon.end();
    });
}

#[test]
fn a_failing_start_is_tried_again_and_says_when() {
    netns::run(
        "hooks::a_failing_start_is_tried_again_and_says_when",
        || {
            let world = World::new();
            world.script(
            "start.sh",
            "date +%s%N >> HERE/tries; test -e HERE/may-start || { echo no such luck >&2; exit 7; }; touch HERE/running",
        );
            world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: HERE/start.sh\n  stop: 'true'\n  retry: {{first: 300ms, longest: 1s}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.until("three failures", || world.lines("tries").len() >= 3);
            let mut shown = serde_json::Value::Null;
            world.until("a retry", || {
                shown = world.instance("default");
                shown["next"]["kind"] == "retry"
            });
            assert!(
                shown["next"]["in_ms"]
                    .as_u64()
                    .is_some_and(|left| left <= 1000),
                "{shown:#}"
            );
            assert_eq!(shown["last_job"]["code"], 7, "{shown:#}");
            assert!(
                shown["why"].as_str().unwrap().contains("exit status 7"),
                "{shown:#}"
            );
            assert!(world.log().contains("no such luck"), "{}", world.log());
            world.write("may-start", "");
            world.settles("default", "MASTER", "running");
            let tries: Vec<u128> = world
                .lines("tries")
                .iter()
                .map(|line| line.parse().unwrap())
                .collect();
            // The waits are 300 ms, 600 ms, then 1 s each; a slow machine makes them longer only.
            for (pair, least) in tries
                .windows(2)
                .zip([300, 600, 1000].into_iter().chain(std::iter::repeat(1000)))
            {
                assert!(pair[1] - pair[0] >= least * 1_000_000, "{tries:?}");
            }
            daemon.end();
        },
    );
}

/// What is-running may answer, and what it is taken for.
const ANSWERS: [(&str, &str, &str); 7] = [
    ("running", "exit 0", "running"),
    ("stopped", "exit 1", "stopped"),
    ("other", "exit 77", "stopped"),
    ("exec", "exit 126", "maybe"),
    ("found", "exit 127", "maybe"),
    ("signal", "kill -9 $$", "maybe"),
    ("timeout", "exec sleep 1000", "maybe"),
];

#[test]
fn is_running_is_believed_as_far_as_it_goes() {
    netns::run("hooks::is_running_is_believed_as_far_as_it_goes", || {
        let world = World::new();
        let mut text = "instances:\n".to_owned();
        for (role, vip) in [("master", VIP), ("backup", "10.77.0.2")] {
            for (name, answer, _) in ANSWERS {
                world.script(
                    &format!("ask-{role}-{name}.sh"),
                    &format!("echo >> HERE/asked-{role}-{name}\n{answer}"),
                );
                // Writing into a string has no way to fail.
                let _ = write!(
                    text,
                    "  {role}-{name}:\n    vip: {vip}\n    start: 'echo start >> HERE/{role}-{name}'\n    \
                     stop: 'echo stop >> HERE/{role}-{name}'\n    retry: {{first: 200ms, longest: 200ms}}\n    \
                     is-running: {{run: HERE/ask-{role}-{name}.sh, timeout: 200ms, kill-after: 100ms}}\n"
                );
            }
        }
        world.config(&text);
        add_vip();
        let daemon = world.daemon();
        for (name, _, taken_for) in ANSWERS {
            let (master, backup) = (format!("master-{name}"), format!("backup-{name}"));
            let asked = |of: &str| world.lines(&format!("asked-{of}")).len();
            match taken_for {
                "running" => {
                    // On the MASTER all is well; on the BACKUP it is stopped, and again, for it goes on running.
                    world.until(&format!("{backup} is stopped twice"), || {
                        world.lines(&backup).len() >= 2
                    });
                    world.settles(&master, "MASTER", "running");
                }
                "stopped" => {
                    world.until(&format!("{master} is started twice"), || {
                        world.lines(&master).len() >= 2
                    });
                    world.settles(&backup, "BACKUP", "stopped");
                }
                _ => {
                    // An unknown answer is asked for again and again on the MASTER, and stops on the BACKUP.
                    world.until(&format!("{master} is asked"), || asked(&master) >= 3);
                    world.until(&format!("{backup} is stopped"), || {
                        !world.lines(&backup).is_empty()
                    });
                    assert_eq!(world.instance(&master)["service"], "maybe");
                }
            }
            let never = |of: &str, word: &str| {
                assert!(
                    !world.lines(of).iter().any(|line| line == word),
                    "{of}: {word}: {}",
                    world.log()
                );
            };
            never(&master, "stop");
            never(&backup, "start");
            if taken_for != "stopped" {
                never(&master, "start");
            }
            if taken_for == "stopped" {
                never(&backup, "stop");
            }
        }
        daemon.end();
    });
}

#[test]
fn what_died_or_ran_beside_the_daemon_is_repaired_by_the_audit() {
    netns::run(
        "hooks::what_died_or_ran_beside_the_daemon_is_repaired_by_the_audit",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
                "keepstart:\n  vip: {VIP}\n  start: HERE/start.sh\n  stop: HERE/stop.sh\n  \
             is-running: test -e HERE/running\n  sleep: 300ms\n  force-test-cycle: 2\n"
            ));
            add_vip();
            let daemon = world.daemon();
            world.settles("default", "MASTER", "running");
            std::fs::remove_file(world.path("running")).unwrap();
            world.until("started again", || world.exists("running"));
            world.settles("default", "MASTER", "running");
            del_vip();
            world.settles("default", "BACKUP", "stopped");
            world.write("running", "");
            world.until("stopped again", || !world.exists("running"));
            world.settles("default", "BACKUP", "stopped");
            assert_eq!(world.ran("hooks"), ["start", "start", "stop", "stop"]);
            // By hand.
            world.write("running", "");
            assert_eq!(world.keepstart(&["audit"]).code, 0);
            world.until("stopped by hand", || !world.exists("running"));
            daemon.end();
        },
    );
}

#[test]
fn an_unstartable_script_is_tried_again() {
    netns::run("hooks::an_unstartable_script_is_tried_again", || {
        let world = World::new();
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  start: HERE/missing.sh\n  stop: 'true'\n  retry: {{first: 100ms, longest: 200ms}}\n"
        ));
        add_vip();
        let daemon = world.daemon();
        world.until("a failure", || {
            world.instance("default")["last_job"]["result"] == "not-started"
        });
        let why = world.instance("default")["last_job"]["outcome"].to_string();
        assert!(why.contains("missing.sh"), "{why}");
        assert_eq!(world.instance("default")["service"], "stopped");
        // Without an interpreter line: the kernel does not know it, the shell does.
        world.script("made.sh", "");
        world.write("plain.sh", "touch HERE/running\n");
        std::fs::set_permissions(
            world.path("plain.sh"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        std::fs::rename(world.path("plain.sh"), world.path("missing.sh")).unwrap();
        world.settles("default", "MASTER", "running");
        assert!(world.exists("running"));
        daemon.end();
    });
}

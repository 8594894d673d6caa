//! `timeline` and `why` of a real daemon: the stages of flaps, failures, hung scripts and repairs, in order and
//! adding up.

use serde_json::Value;

use crate::netns::{self, ip};
use crate::world::{VIP, World, ms, pause, said};

fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

fn del_vip() {
    ip(&format!("addr del {VIP}/32 dev lo"));
}

/// The entries of `timeline --json`, each of which adds up.
#[track_caller]
fn entries(world: &World) -> Vec<Value> {
    let said = world.keepstart(&["timeline", "--json", "--last", "100"]);
    let document: Value = serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {said:?}\n{}", world.log()));
    assert_eq!(document["v"], 1);
    let entries = document["entries"].as_array().unwrap().clone();
    assert_eq!(document["timeline"]["entries"], entries.len());
    for entry in &entries {
        let mut at_us = 0;
        for stage in entry["stages"].as_array().unwrap() {
            assert_eq!(stage["at_us"], at_us, "{entry:#}");
            at_us += stage["took_us"].as_u64().unwrap();
        }
        assert_eq!(entry["took_us"], at_us, "{entry:#}");
    }
    entries
}

/// What its stages are, with the action and the result where they have one.
fn stages(entry: &Value) -> Vec<String> {
    let stages = entry["stages"].as_array().unwrap();
    let of = |stage: &Value| {
        let words = ["stage", "action", "result"];
        let words: Vec<_> = words
            .iter()
            .filter_map(|word| stage[word].as_str())
            .collect();
        words.join(" ")
    };
    stages.iter().map(of).collect()
}

#[track_caller]
fn last_where(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    world.until(what, || {
        found = entries(world).into_iter().rfind(|entry| is_so(entry));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_gain_and_a_flap_show_their_stages() {
    netns::run("timeline::a_gain_and_a_flap_show_their_stages", || {
        let world = World::new();
        world.service("");
        world.config(&format!(
            "instances:\n  web: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, \
             is-running: test -e HERE/running}}\n"
        ));
        let daemon = world.daemon();
        world.settles("web", "BACKUP", "stopped");
        let first = last_where(&world, "the first transition", |entry| {
            entry["id"] == "web/1"
        });
        assert_eq!(first["from"], "UNKNOWN");
        assert!(first["first_instruction_us"].is_null(), "{first:#}");
        pause(ms(300));
        add_vip();
        world.settles("web", "MASTER", "running");
        let gain = last_where(&world, "the gain is complete", |entry| {
            entry["id"] == "web/2" && entry["state"] == "settled"
        });
        // is-running is asked before the start, and after it.
        assert_eq!(
            stages(&gain),
            [
                "debounce",
                "check is-running no",
                "spawn start",
                "run start done",
                "check is-running done"
            ]
        );
        let (first, whole) = (&gain["first_instruction_us"], &gain["took_us"]);
        assert!(
            first.as_u64().unwrap() < whole.as_u64().unwrap(),
            "{gain:#}"
        );
        let job = world.lines("hooks");
        assert!(job[0].starts_with("begin start 2 "), "{job:?}");
        // Away, and back and away within the window: the gain is never believed.
        del_vip();
        pause(ms(20));
        add_vip();
        pause(ms(20));
        del_vip();
        let flap = last_where(&world, "the flap", |entry| entry["kind"] == "unbelieved");
        assert!(flap["id"].is_null() && flap["role"] == "MASTER", "{flap:#}");
        world.settles("web", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks"), ["start", "stop"]);
        let mut command = world.command();
        command.env("NO_COLOR", "1").arg("-c");
        command
            .arg(world.path("config.yaml"))
            .args(["timeline", "web"]);
        let said = said(command);
        for part in [
            "web/2  ",
            "BACKUP -> MASTER: 10.77.0.1 is on lo",
            "was over before it was believed",
            "# start/stop",
        ] {
            assert!(said.out.contains(part), "{part}: {said:?}");
        }
        let wob = world.keepstart(&["timeline", "wob"]);
        assert_eq!(wob.code, 1, "{wob:?}");
        assert!(wob.err.contains("did you mean \"web\"?"), "{wob:?}");
        // The log has one line for what is complete.
        let log = world.log();
        let complete = log
            .lines()
            .filter(|line| line.contains("MASTER took ") && line.contains("seen → decided"));
        assert_eq!(complete.count(), 1, "{log}");
        daemon.end();
    });
}

#[test]
fn a_failed_start_shows_its_retries_and_why_says_what_to_do() {
    netns::run(
        "timeline::a_failed_start_shows_its_retries_and_why_says_what_to_do",
        || {
            let world = World::new();
            world.script(
                "start.sh",
                "test -e HERE/mended && exit 0\necho broken\nexit 7",
            );
            world.config(&format!(
            "instances:\n  web: {{vip: {VIP}, start: HERE/start.sh, stop: 'true', retry: {{first: 100ms, longest: 3s}}}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.until("some retries", || {
                entries(&world).iter().any(|entry| {
                    let waits = stages(entry)
                        .iter()
                        .filter(|stage| *stage == "wait")
                        .count();
                    entry["state"] == "retrying" && waits >= 3
                })
            });
            let why = world.keepstart(&["why"]);
            assert_eq!(why.code, 0, "{why:?}");
            for part in [
                "web is MASTER",
                "kernel says MASTER: 10.77.0.1 is on lo",
                "failures in a row",
                "journalctl KEEPSTART_JOB=",
                "start failed with exit status 7",
            ] {
                assert!(why.out.contains(part), "{part}: {}", why.out);
            }
            world.write("mended", "");
            world.settles("web", "MASTER", "running");
            let entry = last_where(&world, "complete", |entry| entry["state"] == "settled");
            let stages = stages(&entry);
            assert_eq!(
                stages[..4],
                ["debounce", "spawn start", "run start failed", "wait"]
            );
            assert_eq!(stages.last().unwrap(), "run start done");
            let why = world.keepstart(&["why", "web", "--json"]);
            let why: Value = serde_json::from_str(&why.out).unwrap();
            assert_eq!(why["rules"][1]["rule"], "content");
            assert_eq!(why["advice"], Value::Array(Vec::new()));
            assert_eq!(why["transitions"][0]["id"], "web/1");
            daemon.end();
        },
    );
}

#[test]
fn a_hung_start_that_is_cancelled_is_shown_until_it_is_gone() {
    netns::run(
        "timeline::a_hung_start_that_is_cancelled_is_shown_until_it_is_gone",
        || {
            let world = World::new();
            world.script(
                "start.sh",
                "trap '' TERM\ntouch HERE/hangs\nwhile :; do sleep 0.1; done",
            );
            world.config(&format!(
            "instances:\n  web: {{vip: {VIP}, start: {{run: [HERE/start.sh], kill-after: 500ms}}, stop: 'true', \
             start-cancel-after: 300ms}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.until("it hangs", || world.exists("hangs"));
            let why = world.keepstart(&["why", "web"]);
            assert!(why.out.contains("start as process "), "{}", why.out);
            assert!(why.out.contains("(timeout); due in"), "{}", why.out);
            del_vip();
            world.settles("web", "BACKUP", "stopped");
            let gain = last_where(&world, "overtaken", |entry| entry["state"] == "overtaken");
            assert_eq!(gain["overtaken_by"], "web/2");
            assert_eq!(
                stages(&gain),
                [
                    "debounce",
                    "spawn start",
                    "run start cancelled",
                    "end start cancelled"
                ]
            );
            let ending = gain["stages"][3]["took_us"].as_u64().unwrap();
            assert!(ending >= 500_000, "{gain:#}");
            let loss = last_where(&world, "the loss", |entry| entry["id"] == "web/2");
            assert_eq!(
                stages(&loss),
                ["debounce", "wait", "spawn stop", "run stop done"]
            );
            assert!(
                loss["stages"][1]["took_us"].as_u64().unwrap() >= 700_000,
                "{loss:#}"
            );
            daemon.end();
        },
    );
}

#[test]
fn an_audit_that_repairs_is_shown_as_what_it_is() {
    netns::run(
        "timeline::an_audit_that_repairs_is_shown_as_what_it_is",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
            "instances:\n  web: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, \
             is-running: test -e HERE/running}}\n  db: {{vip: 10.77.0.9, start: 'true', stop: 'true'}}\n"
        ));
            add_vip();
            let daemon = world.daemon();
            world.settles("web", "MASTER", "running");
            let before = entries(&world).len();
            // An audit that finds all well is no entry.
            assert_eq!(world.keepstart(&["audit", "web"]).code, 0);
            world.until("it was asked", || {
                let job = world.instance("web")["last_job"].clone();
                job["reason"] == "audit-wanted"
            });
            assert_eq!(entries(&world).len(), before);
            std::fs::remove_file(world.path("running")).unwrap();
            assert_eq!(world.keepstart(&["audit", "web"]).code, 0);
            let repair = last_where(&world, "the repair", |entry| {
                entry["kind"] == "jobs" && entry["state"] == "settled"
            });
            assert_eq!(repair["reason"], "found-stopped");
            assert_eq!(
                stages(&repair),
                [
                    "check is-running no",
                    "spawn start",
                    "run start done",
                    "check is-running done"
                ]
            );
            // Two instances, and none named: the list.
            let why = world.keepstart(&["why"]);
            assert!(
                why.out.contains("web  ") && why.out.contains("db  "),
                "{why:?}"
            );
            assert!(why.out.contains("keepstart why INSTANCE"), "{why:?}");
            let why = world.keepstart(&["why", "wbe"]);
            assert_eq!(why.code, 1, "{why:?}");
            assert!(why.err.contains("did you mean \"web\"?"), "{why:?}");
            daemon.end();
            assert_eq!(world.keepstart(&["timeline"]).code, 3);
            assert_eq!(world.keepstart(&["why"]).code, 3);
        },
    );
}

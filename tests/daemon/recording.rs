//! Recordings of a real daemon: the file of `--record`, the ring over the control socket, and what both say when they are
//! replayed.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::netns::{self, ip};
use crate::world::{VIP, World};

const CONFIG: &str = "\
instances:
  web:
    nic: lo
    vip: 10.77.0.1
    start: HERE/start.sh
    stop: HERE/stop.sh
    environment: {PASSWORD: hunter2}
";

#[test]
fn what_a_daemon_decided_is_decided_again() {
    netns::run("recording::what_a_daemon_decided_is_decided_again", || {
        let world = World::new();
        world.service("true");
        world.config(CONFIG);
        let all = world.path("all.jsonl");
        let ring = world.path("ring.jsonl");
        let daemon = world.daemon_with(|command| {
            command.arg("--record").arg(&all);
        });
        ip(&format!("address add {VIP}/32 dev lo"));
        world.settles("web", "MASTER", "running");
        ip(&format!("address del {VIP}/32 dev lo"));
        world.settles("web", "BACKUP", "stopped");
        let said = world.keepstart(&["record", "--output", ring.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{said:?}");
        let streamed = world.keepstart(&["record"]);
        daemon.end();

        let mut transitions = Vec::new();
        for file in [&all, &ring] {
            let mode = std::fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
            let text = std::fs::read_to_string(file).unwrap();
            assert!(
                text.contains("PASSWORD") && !text.contains("hunter2"),
                "{text}"
            );
            let mut replay = world.command();
            replay.arg("replay").arg(file).arg("--json");
            let output = replay.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && said.contains("the same"),
                "{said}"
            );
            let events = String::from_utf8(output.stdout).unwrap();
            let events = events
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            let of = |event: &Value| event["event"]["event"] == "transition";
            transitions.push(events.filter(of).collect::<Vec<_>>());
        }
        // Both begin before the first role was known.
        assert_eq!(transitions[0], transitions[1]);
        let roles: Vec<_> = transitions[0]
            .iter()
            .map(|one| &one["event"]["to"])
            .collect();
        assert_eq!(roles, ["BACKUP", "MASTER", "BACKUP"]);
        // The log tells the same epochs.
        assert!(world.log().contains("web/3"), "{}", world.log());
        assert!(streamed.out.lines().count() > 5, "{streamed:?}");
    });
}

#[test]
fn a_daemon_that_is_started_again_records_behind_its_earlier_life() {
    netns::run(
        "recording::a_daemon_that_is_started_again_records_behind_its_earlier_life",
        || {
            let world = World::new();
            world.service("true");
            world.config(CONFIG);
            let all = world.path("all.jsonl");
            ip(&format!("address add {VIP}/32 dev lo"));
            for _ in 0..2 {
                let daemon = world.daemon_with(|command| {
                    command.arg("--record").arg(&all);
                });
                world.settles("web", "MASTER", "running");
                daemon.kill();
            }
            let mut replay = world.command();
            let output = replay.arg("replay").arg(&all).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{said}");
            assert_eq!(said.matches("# recorded from").count(), 2, "{said}");
            assert_eq!(said.matches("the recording stops").count(), 2, "{said}");
            // The second life found the service running, and did not start it again.
            assert_eq!(said.matches("start begins").count(), 1, "{said}");
        },
    );
}

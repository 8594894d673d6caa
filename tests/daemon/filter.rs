//! What wakes the daemon: the events of those that its file names, and of nobody else; and all of them where the
//! kernel takes no filter.

use std::fmt::Write as _;

use serde_json::Value;

use crate::netns::{self, ip};
use crate::overrun::{churn, forbid_filters};
use crate::world::{VIP, World, ms, pause};

fn daemon_status(world: &World) -> Value {
    world.status()["daemon"].clone()
}

fn decoded(world: &World) -> u64 {
    let status = daemon_status(world);
    status["counters"]["netlink"]["decoded"].as_u64().unwrap()
}

fn world_with_a_service(vip: &str) -> World {
    let world = World::new();
    world.service("");
    configure(&world, vip);
    world
}

fn configure(world: &World, vip: &str) {
    world.config(&format!(
        "keepstart: {{nic: lo, vip: {vip}, start: HERE/start.sh, stop: HERE/stop.sh}}\n"
    ));
}

#[test]
fn nobody_elses_events_wake_the_daemon() {
    netns::run("filter::nobody_elses_events_wake_the_daemon", || {
        let world = world_with_a_service(VIP);
        let daemon = world.daemon();
        assert_eq!(daemon_status(&world)["filter"]["kind"], "exact");
        let before = decoded(&world);
        churn(2_000);
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        ip("link set v0 mtu 1400");
        ip("link set v1 name v2");
        ip(&format!("addr add {VIP}/32 dev lo"));
        world.settles("default", "MASTER", "running");
        assert_eq!(decoded(&world) - before, 1);
        // What was kept from it the audit does not take for a fault.
        assert_eq!(world.keepstart(&["audit"]).code, 0);
        world.until("the audit's dump", || {
            daemon_status(&world)["kernel"]["dumps"] == 2
        });
        assert_eq!(daemon_status(&world)["kernel"]["audits_repaired"], 0);
        // After a reload it is another address that counts.
        configure(&world, "10.77.0.2");
        assert_eq!(world.keepstart(&["reload"]).code, 0);
        world.settles("default", "BACKUP", "stopped");
        ip("addr add 10.77.0.2/32 dev lo");
        world.settles("default", "MASTER", "running");
        let before = decoded(&world);
        ip(&format!("addr del {VIP}/32 dev lo"));
        pause(ms(50));
        assert_eq!(decoded(&world), before);
        let said = world.keepstart(&["status"]).out;
        assert!(!said.contains("filter"), "{said}");
        daemon.end();
    });
}

#[test]
fn without_a_filter_it_works_and_says_so() {
    netns::run("filter::without_a_filter_it_works_and_says_so", || {
        forbid_filters();
        let world = world_with_a_service(VIP);
        let daemon = world.daemon();
        assert_eq!(daemon_status(&world)["filter"]["kind"], "off");
        let before = decoded(&world);
        churn(100);
        ip(&format!("addr add {VIP}/32 dev lo"));
        world.settles("default", "MASTER", "running");
        assert!(decoded(&world) - before > 100);
        configure(&world, "10.77.0.2");
        assert_eq!(world.keepstart(&["reload"]).code, 0);
        world.settles("default", "BACKUP", "stopped");
        let says = "no notification filter: each change of any address wakes the daemon (";
        assert!(world.keepstart(&["status"]).out.contains(says));
        assert_eq!(world.log().matches(says).count(), 1, "{}", world.log());
        daemon.end();
    });
}

#[test]
fn more_addresses_than_a_filter_holds_are_followed() {
    netns::run(
        "filter::more_addresses_than_a_filter_holds_are_followed",
        || {
            let world = World::new();
            for name in ["first", "last"] {
                world.service_named(name, "");
            }
            let mut text = "instances:\n".to_owned();
            for number in 0..6_000_u32 {
                let [_, high, middle, low] = (3 * number).to_be_bytes();
                let name = match number {
                    0 => "first",
                    5_999 => "last",
                    _ => "none",
                };
                // Writing into a string has no way to fail.
                let _ = writeln!(
                    text,
                    "  i{number}: {{nic: lo, vip: 10.{high}.{middle}.{low}, start: HERE/start-{name}.sh, \
                 stop: HERE/stop-{name}.sh}}"
                );
            }
            world.config(&text);
            let daemon = world.daemon();
            let said = world.keepstart(&["status"]).out;
            assert!(
                said.contains("too many for an exact notification filter"),
                "{said}"
            );
            for (name, vip) in [("i0", "10.0.0.0"), ("i5999", "10.0.70.77")] {
                let before = decoded(&world);
                ip(&format!("addr add {vip}/32 dev lo"));
                world.until(name, || world.instance(name)["role"] == "MASTER");
                ip("addr add 192.0.2.1/32 dev lo");
                ip("addr del 192.0.2.1/32 dev lo");
                assert_eq!(decoded(&world) - before, 1);
            }
            daemon.end();
        },
    );
}

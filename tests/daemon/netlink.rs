//! The daemon on a real kernel: by which names an interface is found, which addresses count, and what follows when
//! links go, come back and change their names.

use std::fmt::Write as _;
use std::process::Command;

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::world::{World, ms, pause};

fn pair() {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
}

/// A world with one instance for each name, nic and VIP.
fn world_of(instances: &[(&str, &str, &str)]) -> World {
    let world = World::new();
    let mut text = "instances:\n".to_owned();
    for (name, nic, vip) in instances {
        world.service_named(name, "");
        // Writing into a string has no way to fail.
        let _ = writeln!(
            text,
            "  {name}: {{nic: '{nic}', vip: '{vip}', start: HERE/start-{name}.sh, stop: HERE/stop-{name}.sh, \
             debounce: 0}}"
        );
    }
    world.config(&text);
    world
}

#[test]
fn an_interface_is_found_by_each_of_its_names() {
    netns::run(
        "netlink::an_interface_is_found_by_each_of_its_names",
        || {
            pair();
            ip("link property add dev v0 altname uplink-with-a-long-name");
            let world = world_of(&[
                ("name", "v0", "10.77.0.1"),
                ("altname", "uplink-with-a-long-name", "10.77.0.1"),
                ("label", "v0:vip", "10.77.0.1"),
                ("other", "v1", "10.77.0.1"),
                ("label2", "v0:nix", "10.77.0.1"),
            ]);
            let daemon = world.daemon();
            for _ in 0..2 {
                ip("addr add 10.77.0.1/24 dev v0 label v0:vip");
                for name in ["name", "altname", "label"] {
                    world.settles(name, "MASTER", "running");
                }
                ip("addr del 10.77.0.1/24 dev v0");
                for name in ["name", "altname", "label"] {
                    world.settles(name, "BACKUP", "stopped");
                }
            }
            for name in ["name", "altname", "label"] {
                assert_eq!(
                    world.ran(&format!("hooks-{name}")),
                    ["start", "stop", "start", "stop"]
                );
            }
            assert!(!world.exists("hooks-other") && !world.exists("hooks-label2"));
            // An altname that is taken away takes the role with it.
            ip("addr add 10.77.0.1/24 dev v0 label v0:vip");
            world.settles("altname", "MASTER", "running");
            ip("link property del dev v0 altname uplink-with-a-long-name");
            world.settles("altname", "BACKUP", "stopped");
            world.settles("name", "MASTER", "running");
            daemon.end();
        },
    );
}

#[test]
fn host_prefixes_and_secondary_addresses_count() {
    netns::run(
        "netlink::host_prefixes_and_secondary_addresses_count",
        || {
            pair();
            ip("addr add 10.77.0.250/24 dev v0");
            let world = world_of(&[("host", "v0", "10.88.0.1"), ("second", "v0", "10.77.0.1")]);
            let daemon = world.daemon();
            ip("addr add 10.88.0.1/32 dev v0");
            ip("addr add 10.77.0.1/24 dev v0");
            world.settles("host", "MASTER", "running");
            world.settles("second", "MASTER", "running");
            // A secondary address goes with its primary.
            ip("addr del 10.77.0.250/24 dev v0");
            world.settles("second", "BACKUP", "stopped");
            world.settles("host", "MASTER", "running");
            // One address twice, with two prefixes: there as long as one of them is.
            ip("addr add 10.88.0.1/24 dev v0");
            ip("addr del 10.88.0.1/32 dev v0");
            pause(ms(200));
            world.settles("host", "MASTER", "running");
            assert_eq!(world.ran("hooks-host"), ["start"]);
            ip("addr del 10.88.0.1/24 dev v0");
            world.settles("host", "BACKUP", "stopped");
            daemon.end();
        },
    );
}

#[test]
fn an_interface_that_goes_and_comes_back_with_another_index() {
    netns::run(
        "netlink::an_interface_that_goes_and_comes_back_with_another_index",
        || {
            pair();
            let world = world_of(&[("vmac", "vrrp.51", "10.77.0.1")]);
            let daemon = world.daemon();
            // It has never been there: it may be misspelt, so nothing is known and nothing is done.
            world.settles("vmac", "UNKNOWN", "stopped");
            for _ in 0..3 {
                ip("link add link v0 name vrrp.51 type macvlan mode private");
                ip("addr add 10.77.0.1/32 dev vrrp.51");
                world.settles("vmac", "MASTER", "running");
                ip("link del vrrp.51");
                world.settles("vmac", "BACKUP", "stopped");
            }
            assert_eq!(world.ran("hooks-vmac").len(), 6);
            assert_eq!(world.status()["daemon"]["kernel"]["audits_repaired"], 0);
            daemon.end();
        },
    );
}

#[test]
fn a_renamed_interface_is_another() {
    netns::run("netlink::a_renamed_interface_is_another", || {
        pair();
        ip("addr add 10.77.0.1/24 dev v0");
        let world = world_of(&[("old", "v0", "10.77.0.1"), ("new", "wan", "10.77.0.1")]);
        let daemon = world.daemon();
        world.settles("old", "MASTER", "running");
        world.settles("new", "UNKNOWN", "stopped");
        ip("link set v0 down");
        ip("link set v0 name wan");
        world.settles("new", "MASTER", "running");
        world.settles("old", "BACKUP", "stopped");
        ip("link set wan name v0");
        world.settles("old", "MASTER", "running");
        world.settles("new", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks-old"), ["start", "stop", "start"]);
        assert_eq!(world.ran("hooks-new"), ["start", "stop"]);
        daemon.end();
    });
}

#[test]
fn v6_waits_for_duplicate_address_detection() {
    netns::run("netlink::v6_waits_for_duplicate_address_detection", || {
        pair();
        // The first is written in another way than the kernel does: it is the address that counts.
        let world = world_of(&[
            ("dad", "v0", "FD00:0:0:0::1"),
            ("old", "v0", "fd00::2"),
            ("twice", "v0", "fd00::3"),
        ]);
        let daemon = world.daemon();
        // Detection takes a second, and while it does the address is not usable.
        ip("addr add fd00::1/64 dev v0");
        world.settles("dad", "MASTER", "running");
        let log = world.log();
        let is_transition = |line: &&str| line.contains("dad: BACKUP -> MASTER");
        assert_eq!(log.lines().filter(is_transition).count(), 1, "{log}");
        assert_eq!(world.ran("hooks-dad"), ["start"]);
        ip("addr add fd00::2/64 dev v0 nodad preferred_lft 0");
        world.settles("old", "MASTER", "running");
        // Somebody else has this one.
        ip("addr add fd00::3/64 dev v1 nodad");
        ip("addr add fd00::3/64 dev v0");
        let failed = || {
            let shown = Command::new("ip")
                .args(["addr", "show", "dadfailed"])
                .output()
                .unwrap();
            String::from_utf8_lossy(&shown.stdout).contains("fd00::3")
        };
        world.until("the kernel finds the other", failed);
        pause(ms(300));
        world.settles("twice", "BACKUP", "stopped");
        assert!(
            world.instance("twice")["cause"]
                .as_str()
                .unwrap()
                .contains("tentative or failed")
        );
        assert!(!world.exists("hooks-twice"));
        ip("addr del fd00::1/64 dev v0");
        world.settles("dad", "BACKUP", "stopped");
        daemon.end();
    });
}

#[test]
fn several_addresses_all_or_any() {
    netns::run("netlink::several_addresses_all_or_any", || {
        let world = World::new();
        for name in ["all", "any"] {
            world.service_named(name, "");
        }
        let one = |name: &str| {
            format!(
                "  {name}:\n    role: {{vip: {{nic: lo, addresses: [10.77.0.1, 'fd00::1'], match: {name}}}}}\n    \
                 start: HERE/start-{name}.sh\n    stop: HERE/stop-{name}.sh\n    debounce: 0\n"
            )
        };
        world.config(&format!("instances:\n{}{}", one("all"), one("any")));
        let daemon = world.daemon();
        ip("addr add 10.77.0.1/32 dev lo");
        world.settles("any", "MASTER", "running");
        world.settles("all", "BACKUP", "stopped");
        ip("addr add fd00::1/128 dev lo");
        world.settles("all", "MASTER", "running");
        ip("addr del 10.77.0.1/32 dev lo");
        world.settles("all", "BACKUP", "stopped");
        world.settles("any", "MASTER", "running");
        ip("addr del fd00::1/128 dev lo");
        world.settles("any", "BACKUP", "stopped");
        assert_eq!(world.ran("hooks-all"), ["start", "stop"]);
        assert_eq!(world.ran("hooks-any"), ["start", "stop"]);
        daemon.end();
    });
}

#[test]
fn an_add_and_a_delete_that_arrive_together_cause_nothing() {
    netns::run(
        "netlink::an_add_and_a_delete_that_arrive_together_cause_nothing",
        || {
            let world = world_of(&[("web", "lo", "10.77.0.1")]);
            let daemon = world.daemon();
            daemon.stop();
            ip("addr add 10.77.0.1/32 dev lo");
            ip("addr del 10.77.0.1/32 dev lo");
            daemon.signal(Signal::CONT);
            world.until("it has heard", || {
                world.status()["daemon"]["kernel"]["events"]
                    .as_u64()
                    .unwrap()
                    >= 2
            });
            world.settles("web", "BACKUP", "stopped");
            assert!(!world.exists("hooks-web"), "{}", world.log());
            assert_eq!(world.status()["daemon"]["kernel"]["overruns"], 0);
            daemon.end();
        },
    );
}

//! What the kernel takes away: the notification socket, and the interface while all is in motion.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::held::Freeze;
use crate::netns::{self, ip};
use crate::random::Random;
use crate::world::{VIP, World, ms, pause};

/// Has system calls of one thread fail, until it is dropped.
struct Failing(Child);

impl Failing {
    /// `inject` is of `strace --inject`.
    fn calls_of(world: &World, pid: u32, thread: &str, inject: &str) -> Self {
        let task = Freeze::find(pid, thread).expect("a thread of that name");
        let tracer = Command::new("strace")
            .arg(format!("--attach={}", task.file_name().unwrap().display()))
            .arg(format!("--inject={inject}"))
            .arg("--output")
            .arg(world.path("calls"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(world.path("strace")).unwrap())
            .spawn()
            .expect("run strace");
        let failing = Self(tracer);
        world.until("it is traced", || world.read("strace").contains("attached"));
        failing
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Asked to end it lets the thread go on.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        let _ = self.0.wait();
    }
}

#[test]
fn without_notifications_it_asks() {
    netns::run("kernel::without_notifications_it_asks", || {
        let world = World::new();
        world.service("");
        world.config(&format!(
            "keepstart: {{vip: {VIP}, sleep: 1, start: HERE/start.sh, stop: HERE/stop.sh, debounce: 0}}\n"
        ));
        let daemon = world.daemon();
        let inject = "recvfrom:error=EBADF";
        let failing = Failing::calls_of(&world, daemon.pid(), "reactor", inject);
        ip(&format!("addr add {VIP}/32 dev lo"));
        world.settles("default", "MASTER", "running");
        ip(&format!("addr del {VIP}/32 dev lo"));
        world.settles("default", "BACKUP", "stopped");
        let said = world.keepstart(&["status"]);
        assert!(said.out.contains("Bad file descriptor"), "{said:?}");
        drop(failing);
        world.until("it is told again", || {
            kernel(&world)["synchronized"] == true
        });
        ip(&format!("addr add {VIP}/32 dev lo"));
        world.settles("default", "MASTER", "running");
        assert_eq!(world.ran("hooks"), ["start", "stop", "start"]);
        daemon.end();
    });
}

fn kernel(world: &World) -> Value {
    world.status()["daemon"]["kernel"].clone()
}

#[test]
fn a_socket_that_is_closed_by_force_is_opened_again() {
    netns::run(
        "kernel::a_socket_that_is_closed_by_force_is_opened_again",
        || {
            let world = World::new();
            world.service("");
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, debounce: 0}}\n"
            ));
            let daemon = world.daemon();
            let mut expected = Vec::new();
            for (action, role, service, ran) in [
                ("add", "MASTER", "running", "start"),
                ("del", "BACKUP", "stopped", "stop"),
            ] {
                let before = kernel(&world)["dumps"].as_u64().unwrap();
                let failing = Failing::calls_of(
                    &world,
                    daemon.pid(),
                    "reactor",
                    "recvfrom:error=EBADF:when=1..3",
                );
                // The daemon reads this event from a socket that is gone, and the next two are no better.
                ip(&format!("addr {action} {VIP}/32 dev lo"));
                world.until("it has a new one", || {
                    let now = kernel(&world);
                    now["synchronized"] == true && now["dumps"].as_u64() > Some(before)
                });
                drop(failing);
                let failed = world.read("calls").matches("(INJECTED)").count();
                assert_eq!(failed, 3, "{}", world.read("calls"));
                expected.push(ran);
                world.settles("default", role, service);
                assert_eq!(world.ran("hooks"), expected, "{}", world.log());
            }
            assert!(
                world.log().contains("Bad file descriptor"),
                "{}",
                world.log()
            );
            // And it hears.
            let before = kernel(&world)["dumps"].clone();
            ip(&format!("addr add {VIP}/32 dev lo"));
            world.settles("default", "MASTER", "running");
            assert_eq!(kernel(&world)["dumps"], before);
            daemon.end();
        },
    );
}

#[test]
fn an_interface_deleted_in_the_middle_of_everything() {
    netns::run(
        "kernel::an_interface_deleted_in_the_middle_of_everything",
        || {
            let mut random = Random::new(Random::seed("KEEPSTART_LOST_SEED"));
            let world = World::new();
            world.service("sleep 0.03");
            world.config(&format!(
                "keepstart: {{nic: vrrp.1, vip: {VIP}, start: HERE/start.sh, stop: HERE/stop.sh, debounce: 20ms}}\n"
            ));
            let daemon = world.daemon();
            ip("link add v0 type veth peer name v1");
            for round in 0..20 {
                ip("link add link v0 name vrrp.1 type macvlan mode private");
                ip(&format!("addr add {VIP}/32 dev vrrp.1"));
                match random.below(4) {
                    0 => daemon.signal(Signal::HUP),
                    1 => assert_eq!(world.keepstart(&["audit"]).code, 0),
                    _ => {}
                }
                // Held back, being started, or started.
                pause(ms(random.below(90)));
                if round % 5 == 4 {
                    world.settles("default", "MASTER", "running");
                }
                ip("link del vrrp.1");
                pause(ms(random.below(40)));
                if round % 5 == 4 {
                    world.settles("default", "BACKUP", "stopped");
                    assert!(!world.exists("running"));
                }
            }
            world.ran("hooks");
            assert_eq!(kernel(&world)["audits_repaired"], 0);
            // Another of the same name is the same to it.
            ip("link add link v0 name vrrp.1 type macvlan mode private");
            ip(&format!("addr add {VIP}/32 dev vrrp.1"));
            world.settles("default", "MASTER", "running");
            daemon.end();
        },
    );
}

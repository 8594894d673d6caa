//! The talk with systemd, whose part the test plays: what is said on the notification socket, and when.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::held::Freeze;
use crate::netns::{self, ip};
use crate::wait::wait_until;
use crate::world::{Daemon, PATIENCE, VIP, World, ms, pause};

/// systemd's end of the socket, and all that it was told, datagram by datagram.
struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    fn new(world: &World) -> Self {
        let socket = UnixDatagram::bind(world.path("notify")).unwrap();
        socket.set_read_timeout(Some(ms(50))).unwrap();
        Self {
            socket,
            told: Vec::new(),
        }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.told
                .push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
    }

    /// Waits until a datagram has a line that begins so, from the datagram `from` on; returns its place.
    #[track_caller]
    fn hears(&mut self, from: usize, line: &str) -> usize {
        let mut found = None;
        wait_until(
            PATIENCE,
            || {
                self.listen();
                let has = |told: &String| told.lines().any(|one| one.starts_with(line));
                found = self.told.iter().skip(from).position(has);
                found.is_some()
            },
            || format!("{line} is never told"),
        );
        from + found.unwrap()
    }

    fn count(&self, line: &str) -> usize {
        self.told
            .iter()
            .filter(|told| told.lines().any(|one| one == line))
            .count()
    }

    fn has_life(&mut self, signs: usize) {
        wait_until(
            PATIENCE,
            || {
                self.listen();
                self.count("WATCHDOG=1") >= signs
            },
            || "no signs of life".into(),
        );
    }
}

fn daemon_of(world: &World, watchdog: Option<Duration>) -> Daemon {
    let socket = world.path("notify");
    world.daemon_unready(|command| {
        command.env("NOTIFY_SOCKET", socket);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
    })
}

#[test]
fn it_says_what_it_does() {
    netns::run("systemd::it_says_what_it_does", || {
        let world = World::new();
        world.script(
            "start.sh",
            "env > HERE/env; while ! test -e HERE/go; do sleep 0.05; done",
        );
        let text =
            format!("instances:\n  web: {{vip: {VIP}, start: HERE/start.sh, stop: 'true'}}\n");
        world.config(&text);
        let mut manager = Manager::new(&world);
        let mut daemon = daemon_of(&world, None);
        let ready = manager.hears(0, "READY=1");
        assert_eq!(world.status()["daemon"]["kernel"]["synchronized"], true);
        manager.hears(0, "STATUS=web BACKUP stopped");
        assert!(
            !manager.told[..ready]
                .iter()
                .any(|told| told.contains("BACKUP")),
            "{:?}",
            manager.told
        );

        // A faulty file, then a good one: both are reloads that begin and end.
        world.config("instances: 7\n");
        let told = manager.told.len();
        daemon.signal(Signal::HUP);
        let reloading = manager.hears(told, "RELOADING=1");
        assert!(
            manager.told[reloading]
                .lines()
                .any(|line| line.starts_with("MONOTONIC_USEC=")),
            "in one message"
        );
        manager.hears(reloading, "READY=1");
        world.config(&text);
        let told = manager.told.len();
        let reload = world.keepstart(&["reload"]);
        assert_eq!(reload.code, 0, "{reload:?}");
        let reloading = manager.hears(told, "RELOADING=1");
        manager.hears(reloading, "READY=1");
        assert_eq!(manager.count("READY=1"), 3, "{:?}", manager.told);

        ip(&format!("addr add {VIP}/32 dev lo"));
        manager.hears(0, "STATUS=web MASTER");
        world.until("the start runs", || world.exists("env"));
        let told = manager.told.len();
        daemon.signal(Signal::TERM);
        let stopping = manager.hears(told, "STOPPING=1");
        let extended = manager.hears(stopping, "EXTEND_TIMEOUT_USEC=");
        // At least as long as it is willing to wait: stop-wait, 60 s.
        let span = manager.told[extended]
            .lines()
            .find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
        assert!(
            span.unwrap().parse::<u64>().unwrap() >= 60_000_000,
            "{:?}",
            manager.told
        );
        world.write("go", "");
        assert!(daemon.ended().success());

        let environment = world.read("env");
        for name in ["NOTIFY_SOCKET", "WATCHDOG_"] {
            assert!(!environment.contains(name), "{environment}");
        }
        assert_eq!(manager.count("WATCHDOG=1"), 0, "nobody asked for it");
    });
}

#[test]
fn it_shows_that_it_is_alive() {
    netns::run("systemd::it_shows_that_it_is_alive", || {
        let world = World::new();
        world.config(&format!(
            "keepstart: {{vip: {VIP}, start: 'true', stop: 'true'}}\n"
        ));
        let mut manager = Manager::new(&world);
        let daemon = daemon_of(&world, Some(ms(400)));
        manager.hears(0, "READY=1");
        manager.has_life(5);
        daemon.end();
    });
}

#[test]
fn a_reactor_that_hangs_shows_no_sign_of_life() {
    netns::run(
        "systemd::a_reactor_that_hangs_shows_no_sign_of_life",
        || {
            let world = World::new();
            world.config(&format!(
                "keepstart: {{vip: {VIP}, start: 'true', stop: 'true'}}\n"
            ));
            let mut manager = Manager::new(&world);
            let daemon = daemon_of(&world, Some(ms(400)));
            manager.has_life(1);
            let freeze = Freeze::of_thread(&world, daemon.pid(), "reactor");
            // One that was on its way may still come.
            pause(ms(1500));
            manager.listen();
            let before = manager.count("WATCHDOG=1");
            pause(ms(1500));
            manager.listen();
            assert_eq!(
                manager.count("WATCHDOG=1"),
                before,
                "the service thread speaks for a dead reactor"
            );
            let status = world.keepstart(&["status"]);
            assert_eq!(status.code, 4, "{status:?}");
            assert!(status.out.contains("does not answer"), "{status:?}");
            drop(freeze);
            manager.has_life(before + 1);
            assert_eq!(world.keepstart(&["status"]).code, 0);
            daemon.end();
        },
    );
}

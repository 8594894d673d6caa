//! What a person is told where something is not as it should be: a daemon that does not answer, a file that has gone, a
//! name in the list of processes.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::held::Freeze;
use crate::netns;
use crate::wait::wait_until;
use crate::world::{PATIENCE, Said, World, is_alive, ms, pause, said};

fn started(world: &World) -> u32 {
    world.write(
        "config.yaml",
        "application: {daemon: true, runtime-dir: HERE/run, state-dir: HERE/state}\n\
         keepstart: {vip: 127.0.0.1, start: 'true', stop: 'true'}\n",
    );
    let said = world.keepstart(&["start"]);
    assert_eq!(said.code, 0, "{said:?}");
    let pid = &world.status()["daemon"]["pid"];
    u32::try_from(pid.as_u64().unwrap()).unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn a_detached_daemon_is_known_by_its_name() {
    netns::run("told::a_detached_daemon_is_known_by_its_name", || {
        let world = World::new();
        let pid = started(&world);
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(comm, "keepstart\n");
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let words: Vec<_> = line.split_terminator('\0').collect();
        let file = world.path("config.yaml");
        let expected = ["keepstart", "run", "--detached", "--config"];
        assert_eq!(words[..4], expected, "{words:?}");
        assert_eq!(words[4..], [file.to_str().unwrap()]);
        assert_eq!(world.keepstart(&["stop"]).code, 0);
    });
}

#[test]
fn a_stopped_daemon_is_said_to_be_stopped_by_each_command() {
    netns::run(
        "told::a_stopped_daemon_is_said_to_be_stopped_by_each_command",
        || {
            let world = World::new();
            let pid = started(&world);
            signal(pid, Signal::STOP);
            let way_out = format!("it is stopped: `kill -CONT {pid}` lets it go on");
            let commands = [
                "reload", "stop", "audit", "why", "timeline", "record", "status",
            ];
            let asked = commands.map(|command| {
                // The 80 s that a reload may take would end with 124.
                let mut asked = world.command_of("timeout".as_ref());
                asked
                    .args(["30", env!("CARGO_BIN_EXE_keepstart"), "-c"])
                    .arg(world.path("config.yaml"))
                    .arg(command);
                asked.stdout(Stdio::piped()).stderr(Stdio::piped());
                (command, asked.spawn().unwrap())
            });
            for (command, child) in asked {
                let said = Said::of(&child.wait_with_output().unwrap());
                assert_eq!(said.code, 4, "{command}: {said:?}");
                assert!(said.err.contains(&way_out), "{command}: {said:?}");
            }
            signal(pid, Signal::CONT);
            world.until("it answers", || world.keepstart(&["status"]).code == 0);
            assert_eq!(world.keepstart(&["stop"]).code, 0);
            assert!(!is_alive(pid));
        },
    );
}

#[test]
fn a_file_that_has_gone_is_not_called_faulty() {
    netns::run("told::a_file_that_has_gone_is_not_called_faulty", || {
        let world = World::new();
        started(&world);
        fs::remove_file(world.path("config.yaml")).unwrap();
        for command in ["status", "stop"] {
            let said = world.keepstart(&[command]);
            assert_eq!(said.code, 0, "{said:?}");
            let words = "config.yaml is not there any more; the daemon that was started with it";
            assert!(said.err.contains(words), "{said:?}");
        }
        let gone = world.keepstart(&["status"]);
        assert_eq!(gone.code, 78, "{gone:?}");
        assert!(
            gone.err.ends_with("config.yaml: there is no such file\n"),
            "{gone:?}"
        );
        let mut elsewhere = world.command();
        elsewhere
            .current_dir(world.here())
            .args(["-c", "web.yaml", "validate"]);
        let found = said(elsewhere);
        let looked = format!("looked for {}", world.path("web.yaml").display());
        assert!(found.code == 78 && found.err.contains(&looked), "{found:?}");
    });
}

#[test]
fn a_reload_that_takes_long_is_explained_and_waited_for() {
    netns::run(
        "told::a_reload_that_takes_long_is_explained_and_waited_for",
        || {
            let world = World::new();
            let pid = started(&world);
            // It takes long enough to be read that the thread which reads it can be held up.
            let text = world.read("config.yaml");
            let values = "0,".repeat(900_000);
            world.write("config.yaml", &format!("{text}x-much: [{values}]\n"));
            let mut reload = world.command();
            reload
                .arg("-c")
                .arg(world.path("config.yaml"))
                .arg("reload");
            reload.stdout(Stdio::piped()).stderr(Stdio::piped());
            let reload = reload.spawn().unwrap();
            wait_until(
                PATIENCE,
                || Freeze::find(pid, "reload").is_some(),
                || "nobody reads the file".into(),
            );
            let freeze = Freeze::of_thread(&world, pid, "reload");
            pause(ms(4_000));
            drop(freeze);
            let said = Said::of(&reload.wait_with_output().unwrap());
            assert_eq!(said.code, 0, "{said:?}");
            assert!(said.out.contains("reloaded"), "{said:?}");
            let words = "keepstart: the daemon is still reading";
            assert!(said.err.contains(words), "{said:?}");
            assert_eq!(world.keepstart(&["stop"]).code, 0);
        },
    );
}

#[test]
fn what_was_not_run_by_this_daemon_is_said_so() {
    netns::run("told::what_was_not_run_by_this_daemon_is_said_so", || {
        let world = World::new();
        started(&world);
        world.settles("default", "MASTER", "running");
        assert_eq!(world.keepstart(&["stop"]).code, 0);
        assert_eq!(world.keepstart(&["start"]).code, 0);
        world.settles("default", "MASTER", "running");
        let status = world.keepstart(&["status"]);
        let words = "it is running; nothing has been run since the daemon started; nothing is left";
        assert!(status.out.contains(words), "{status:?}");
        assert_eq!(world.keepstart(&["stop"]).code, 0);
    });
}

#[test]
fn a_service_that_is_being_started_is_not_called_stopped() {
    netns::run(
        "told::a_service_that_is_being_started_is_not_called_stopped",
        || {
            let world = World::new();
            let config = "keepstart: {vip: 127.0.0.1, start: HERE/slow.sh, stop: 'true'}\n";
            world.config(config);
            world.script("slow.sh", "while [ ! -e HERE/go ]; do sleep 0.01; done");
            let daemon = world.daemon();
            world.until("it starts", || {
                let out = world.keepstart(&["status"]).out;
                out.contains("  starting  ") && out.contains("it is being started;")
            });
            world.write("go", "");
            world.settles("default", "MASTER", "running");
            daemon.end();
        },
    );
}

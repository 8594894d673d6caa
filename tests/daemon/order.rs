//! What a reader of the log finds in which order, and what he finds of scripts that print more than the log takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::netns::{self, ip};
use crate::world::{VIP, World, ms, pause};

/// The lines of the log that are about each job, in their order.
fn lines_by_job(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let found = words.find_map(|word| word.strip_prefix("job="));
        if let Some(job) = found {
            jobs.entry(job.to_owned())
                .or_default()
                .push(line.to_owned());
        }
    }
    jobs
}

#[test]
fn a_script_speaks_between_the_lines_of_its_start_and_its_end() {
    netns::run(
        "order::a_script_speaks_between_the_lines_of_its_start_and_its_end",
        || {
            let world = World::new();
            // The quickest scripts there are, and one that goes on for a while. The last line has no end.
            let says = "echo one\necho two >&2\nprintf three";
            world.script("quick.sh", says);
            world.script("slow.sh", &format!("echo one\nsleep 0.02\n{}", &says[9..]));
            let mut config = "instances:\n".to_owned();
            for (name, script) in [
                ("a", "quick"),
                ("b", "quick"),
                ("c", "slow"),
                ("d", "quick"),
            ] {
                let _ = writeln!(
                    config,
                    "  {name}: {{vip: {VIP}, start: HERE/{script}.sh, stop: HERE/{script}.sh, debounce: 0}}"
                );
            }
            world.config(&config);
            let daemon = world.daemon();
            for _ in 0..15 {
                ip(&format!("addr add {VIP}/32 dev lo"));
                world.settles("c", "MASTER", "running");
                ip(&format!("addr del {VIP}/32 dev lo"));
                world.settles("c", "BACKUP", "stopped");
            }
            daemon.end();
            let log = world.log();
            let jobs = lines_by_job(&log);
            let mut whole = 0;
            for (job, lines) in &jobs {
                let steps: Vec<_> = lines.iter().map(|line| step_of(line)).collect();
                assert_eq!(
                    steps,
                    ["begins", "one", "two", "three", "ends"],
                    "{job}: {lines:#?}"
                );
                whole += 1;
            }
            assert!(whole >= 4 * 20, "{whole} jobs:\n{log}");
        },
    );
}

/// What a line says of its job.
fn step_of(line: &str) -> &str {
    let said = [
        (": | one", "one"),
        (": | two", "two"),
        (": | three", "three"),
    ];
    let found = said.iter().find(|(part, _)| line.contains(part));
    match found {
        Some((_, step)) => step,
        None if line.contains("the role was") => "begins",
        None if line.contains(" done; it took") => "ends",
        None => line,
    }
}

/// More than the log takes at once, of each of several scripts, while nobody reads the log.
#[test]
fn scripts_that_burst_at_once_keep_their_last_words() {
    netns::run(
        "order::scripts_that_burst_at_once_keep_their_last_words",
        || {
            const LINES: u32 = 700;
            let names = ["a", "b", "c", "d", "e", "f"];
            let world = World::new();
            world.script(
                "burst.sh",
                &format!(
                    "touch HERE/waits-$KEEPSTART_INSTANCE\nuntil test -e HERE/go; do sleep 0.02; done\n\
                     seq 1 {LINES}\necho last words of $KEEPSTART_INSTANCE\ntouch HERE/said-$KEEPSTART_INSTANCE"
                ),
            );
            let mut config = "instances:\n".to_owned();
            for name in names {
                let _ = writeln!(
                    config,
                    "  {name}: {{vip: {VIP}, start: HERE/burst.sh, stop: 'true'}}"
                );
            }
            world.config(&config);
            ip(&format!("addr add {VIP}/32 dev lo"));
            let (mut log, log_end) = std::io::pipe().unwrap();
            let daemon = world.daemon_unready(|command| {
                command.stderr(log_end);
            });
            world.until("an answer", || world.keepstart(&["status"]).code != 3);
            let all = |what: &str| {
                let have = || {
                    names
                        .iter()
                        .all(|name| world.exists(&format!("{what}-{name}")))
                };
                world.until(what, have);
            };
            // The daemon finds at once what they have said one after the other.
            all("waits");
            daemon.signal(Signal::STOP);
            world.write("go", "");
            all("said");
            daemon.signal(Signal::CONT);
            for name in names {
                world.settles(name, "MASTER", "running");
            }
            // The pipe and the queue are full by now, all has been read or left out, and somebody begins to read.
            let left_out = || {
                let status = world.status();
                status["daemon"]["counters"]["output"]["lines_left_out"].clone()
            };
            let mut before = left_out();
            world.until("nothing more is left out", || {
                pause(ms(100));
                let now = left_out();
                now.as_u64() > Some(0) && now == std::mem::replace(&mut before, now.clone())
            });
            let read = Arc::new(Mutex::new(Vec::new()));
            let reader = std::thread::spawn({
                let read = read.clone();
                move || {
                    let mut piece = [0; 4096];
                    while let Ok(length @ 1..) = std::io::Read::read(&mut log, &mut piece) {
                        read.lock().unwrap().extend_from_slice(&piece[..length]);
                    }
                }
            });
            let log = || String::from_utf8_lossy(&read.lock().unwrap()).into_owned();
            world.until("all last words", || {
                let log = log();
                names
                    .iter()
                    .all(|name| log.contains(&format!("last words of {name}")))
            });
            daemon.end();
            reader.join().unwrap();
            let log = log();
            let mut shares = Vec::new();
            for name in names {
                let of_it = |line: &&str| line.contains(&format!(" {name}: | "));
                let lines: Vec<_> = log.lines().filter(of_it).collect();
                let last = format!("last words of {name}");
                assert!(
                    lines.iter().any(|line| line.contains(&last)),
                    "{name}: {log}"
                );
                let left_out = |line: &&str| -> Option<u32> {
                    let (_, rest) = line.split_once("[keepstart: ")?;
                    rest.split_once(" lines left out]")?.0.parse().ok()
                };
                let (said, sentences): (Vec<_>, Vec<_>) =
                    lines.into_iter().partition(|line| left_out(line).is_none());
                let missing: u32 = sentences.iter().filter_map(left_out).sum();
                let said = u32::try_from(said.len()).unwrap();
                assert!(missing > 0, "{name}: {said}");
                assert_eq!(said + missing, LINES + 1, "{name}: {log}");
                shares.push(said);
            }
            // Nobody had the room to himself. The log is written meanwhile, so who comes later finds more of it.
            let mean = shares.iter().sum::<u32>() / u32::try_from(shares.len()).unwrap();
            assert!(shares.iter().all(|said| 5 * said >= mean), "{shares:?}");
            assert!(!log.contains("log records were dropped"), "{log}");
        },
    );
}

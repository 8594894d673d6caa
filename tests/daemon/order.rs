//! What a reader of the log finds in which order, and what he finds of scripts that print more than the log takes.

use std::collections::BTreeMap;

use crate::netns::{self, ip};
use crate::world::{VIP, World};

/// The lines of the log that are about each job, in their order.
fn lines_by_job(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut jobs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let words = line.split(' ');
        let found = words.filter_map(|word| word.strip_prefix("job=")).next();
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
                config += &format!(
                    "  {name}: {{vip: {VIP}, start: HERE/{script}.sh, stop: HERE/{script}.sh, debounce: 0}}\n"
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

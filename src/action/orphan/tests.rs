//! Tests of `action/orphan`.

use std::fs;

use super::super::process::has_ended;
use super::super::testing::{Bench, Reaper, job, until};
use super::*;
use crate::machine::job::{Action, Job};
use crate::machine::settings::Command;

fn start(number: u64, line: &str) -> Job {
    job(number, Action::Start, Command::Shell(line.into()))
}

#[tokio::test]
async fn a_recorded_process_is_found_while_it_is_the_same() {
    let mut bench = Bench::new();
    let job = start(77_001, "sleep 1000");
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let reaper = Reaper(pid);
    let start = ProcessStat::read(pid).unwrap().start;
    let record = |start| OrphanRecord {
        job: job.id,
        process: Some((pid, start)),
    };
    let found = find_orphan(&record(start)).unwrap();
    assert_eq!((found.pid, found.start), (pid, start));
    let pidfd = found.pidfd.unwrap();
    assert!(!has_ended(&pidfd));
    assert!(find_orphan(&record(ProcessStart(start.0 + 1))).is_none());
    drop(reaper);
    until("it is a zombie", || ProcessStat::read(pid).unwrap().ended).await;
    assert!(has_ended(&pidfd));
    assert!(find_orphan(&record(start)).is_none());
}

#[tokio::test]
async fn a_process_without_a_record_is_found_by_its_environment() {
    let mut bench = Bench::new();
    // Besides the job there are a child in its group, and a session of its own, all with the variable.
    let line = "sleep 1000 & setsid sleep 1000 & wait";
    let job = start(77_002, line);
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let record = OrphanRecord {
        job: job.id,
        process: None,
    };
    let children = format!("/proc/{pid}/task/{pid}/children");
    let mut left = Vec::new();
    until("both children run", || {
        let text = fs::read_to_string(&children).unwrap();
        left = text
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect::<Vec<u32>>();
        left.len() == 2
    })
    .await;
    let reapers: Vec<Reaper> = left.into_iter().map(Reaper).collect();
    let found = find_orphan(&record).map(|orphan| orphan.pid);
    assert_eq!(found, Some(pid));
    let other = OrphanRecord {
        job: start(77_003, "").id,
        process: None,
    };
    assert!(find_orphan(&other).is_none());
    let reaper = Reaper(pid);
    drop(reaper);
    assert_eq!(bench.ended().await.0, job.id);
    // What it has left behind is not the job.
    assert!(find_orphan(&record).is_none());
    drop(reapers);
}

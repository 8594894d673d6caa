//! Tests of `action/orphan`.

use std::fs;
use std::path::Path;

use super::super::process::has_ended;
use super::super::testing::{Bench, Reaper, daemon, job, until};
use super::*;
use crate::machine::job::Job;
use crate::machine::settings::Command;

fn start(number: u64, line: &str) -> Job {
    job(number, Action::Start, Command::Shell(line.into()))
}

fn found(job: &Job) -> Option<Candidate> {
    let all = Candidates::look(&daemon(), |_, _, _| true);
    all.of(job.id).cloned()
}

/// Waits until a process has these many children.
async fn children(pid: u32, count: usize) -> Vec<Reaper> {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let mut left = Vec::new();
    until("the children run", || {
        let text = fs::read_to_string(&children).unwrap();
        left = text
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect::<Vec<u32>>();
        left.len() == count
    })
    .await;
    left.into_iter().map(Reaper).collect()
}

#[tokio::test]
async fn a_recorded_process_is_found_while_it_is_the_same() {
    let mut bench = Bench::new();
    let job = start(77_001, "sleep 1000");
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let reaper = Reaper(pid);
    let start = ProcessStat::read(pid).unwrap().start;
    let found = find_process(pid, start).unwrap();
    assert_eq!((found.pid, found.start), (pid, start));
    let pidfd = found.pidfd.unwrap();
    assert!(!has_ended(&pidfd));
    assert!(find_process(pid, ProcessStart(start.0 + 1)).is_none());
    drop(reaper);
    until("it is a zombie", || ProcessStat::read(pid).unwrap().ended).await;
    assert!(has_ended(&pidfd));
    assert!(find_process(pid, start).is_none());
}

#[tokio::test]
async fn a_process_without_a_record_is_found_by_its_environment() {
    let mut bench = Bench::new();
    // Besides the job there are a child in its group, and a session of its own, all with the variables.
    let job = start(77_002, "sleep 1000 & setsid sleep 1000 & wait");
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let left = children(pid, 2).await;
    let script = found(&job).unwrap();
    assert_eq!((script.pid, script.action), (pid, Action::Start));
    assert_eq!(script.instance, job.settings.name);
    assert_eq!(script.serves, (job.role, job.epoch));
    assert!(found(&start(77_003, "")).is_none());
    drop(Reaper(pid));
    assert_eq!(bench.ended().await.0, job.id);
    // What it has left behind is not the job.
    assert!(found(&job).is_none());
    drop(left);
}

#[tokio::test]
async fn what_a_script_begins_in_a_group_of_its_own_is_not_taken_for_it_while_it_runs() {
    let mut bench = Bench::new();
    // As a shell does under job control (`set -m`).
    let line = "perl -e 'setpgrp(0, 0); exec @ARGV' sleep 1000 & sleep 1000; true";
    let job = start(77_004, line);
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let left = children(pid, 2).await;
    let leads = |one: &&Reaper| ProcessStat::read(one.0).is_ok_and(|stat| stat.group == one.0);
    until("one leads a group", || left.iter().any(|one| leads(&one))).await;
    assert_eq!(found(&job).map(|one| one.pid), Some(pid));
    drop(Reaper(pid));
    assert_eq!(bench.ended().await.0, job.id);
    // Afterwards nothing tells the one from the other: so it is never signalled.
    assert!(found(&job).is_some());
    drop(left);
    until("they are gone", || found(&job).is_none()).await;
}

#[tokio::test]
async fn of_an_instance_the_newest_job_counts() {
    let mut bench = Bench::new();
    let mut reapers = Vec::new();
    for number in [77_005, 77_006] {
        let job = start(number, "sleep 1000");
        bench.executor.submit(Box::new(job.clone()));
        let (_, pid) = bench.spawned().await;
        // The clock of their beginnings ticks a hundred times a second.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        reapers.push((pid, Reaper(pid)));
    }
    let all = Candidates::look(&daemon(), |_, _, _| true);
    let ours = |one: &&Candidate| reapers.iter().any(|(pid, _)| *pid == one.pid);
    let newest: Vec<_> = all.newest().filter(ours).map(|one| one.pid).collect();
    assert_eq!(newest, [reapers[1].0]);
}

#[tokio::test]
async fn a_process_of_another_user_or_another_daemon_is_no_job() {
    let mut bench = Bench::new();
    let job = start(77_007, "sleep 1000");
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    let _reaper = Reaper(pid);
    let own = rustix::process::getuid().as_raw();
    let look = |daemon: &DaemonName, user: u32| {
        let may_own = |name: &InstanceName, action, found| {
            assert!(*name != job.settings.name || action == Action::Start);
            found == user
        };
        Candidates::look(daemon, may_own).of(job.id).is_some()
    };
    assert!(look(&daemon(), own));
    assert!(!look(&daemon(), own + 1));
    let other = DaemonName::of(Path::new("/etc/other.yaml"));
    assert!(!look(&other, own));
}

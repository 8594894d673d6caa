//! Tests of `action/executor: adoption`.

use std::process::{Command as Process, Stdio};

use super::*;
use crate::action::process::open_pidfd;
use crate::machine::job::Role;
use crate::machine::message::Identity;
use crate::machine::reason::Reason;
use crate::machine::time::Time;

/// A line in a process group of its own whose parent has ended: init is its parent, as if the daemon that
/// began it had been killed.
fn foreign(line: &str) -> u32 {
    let text = "my $pid = fork; if ($pid) { print $pid; exit } \
                setpgrp(0, 0); open(STDOUT, '>', '/dev/null'); exec 'sh', '-c', $ARGV[0]";
    let output = Process::new("perl")
        .args(["-e", text, line])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

fn adopted(pid: u32) -> Adopted {
    Adopted {
        job: start(1, shell("")).id,
        action: Action::Start,
        role: Role::Master,
        epoch: 7,
        reason: Reason::RoleGained,
        pid,
        identity: Identity::Recorded,
        started: Time::ZERO,
        deadline: Time::ZERO,
    }
}

#[tokio::test]
async fn an_adopted_process_is_waited_for_and_its_end_is_unseen() {
    let mut bench = Bench::new();
    let go = bench.path("go");
    let line = format!("while ! test -e {}; do sleep 0.02; done", go.display());
    let pid = foreign(&line);
    let _reaper = Reaper(pid);
    bench.executor.adopt(&adopted(pid), open_pidfd(pid));
    assert!(bench.is_quiet_for(Duration::from_millis(100)).await);
    fs::write(go, "").unwrap();
    assert_eq!(bench.ended().await, (adopted(pid).job, Exit::Unseen));
    // It is gone now, so a second adoption ends soon.
    until("it is reaped", || ProcessStat::read(pid).is_err()).await;
    bench.executor.adopt(&adopted(pid), None);
    assert_eq!(bench.ended().await, (adopted(pid).job, Exit::Unseen));
}

#[tokio::test]
async fn an_adopted_group_is_signalled_like_our_own() {
    let mut bench = Bench::new();
    let pid = foreign("sleep 1000; true");
    let _reaper = Reaper(pid);
    until("it leads its group", || {
        ProcessStat::read(pid).is_ok_and(|stat| stat.group == pid)
    })
    .await;
    bench.executor.adopt(&adopted(pid), open_pidfd(pid));
    bench.executor.signal(adopted(pid).job, JobSignal::Kill);
    assert_eq!(bench.ended().await, (adopted(pid).job, Exit::Unseen));
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn what_an_adopted_process_left_is_not_signalled_without_a_pidfd_either() {
    let mut bench = Bench::new();
    let left = bench.path("left");
    let line = format!(
        "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}",
        left.display()
    );
    let pid = foreign(&line);
    let _reaper = Reaper(pid);
    until("it is reaped", || ProcessStat::read(pid).is_err()).await;
    let left: u32 = fs::read_to_string(left).unwrap().trim().parse().unwrap();
    bench.executor.adopt(&adopted(pid), None);
    bench.executor.signal(adopted(pid).job, JobSignal::Kill);
    assert_eq!(bench.ended().await, (adopted(pid).job, Exit::Unseen));
    assert!(is_alive(left));
}

#[tokio::test]
async fn a_process_that_is_let_go_of_is_left_alone_and_not_heard_of_again() {
    let mut bench = Bench::new();
    let pid = foreign("sleep 1000; true");
    let reaper = Reaper(pid);
    bench.executor.adopt(&adopted(pid), open_pidfd(pid));
    bench.executor.let_go(adopted(pid).job);
    bench.executor.signal(adopted(pid).job, JobSignal::Kill);
    assert!(bench.executor.is_idle());
    assert!(is_alive(pid));
    drop(reaper);
    until("it is gone", || !is_alive(pid)).await;
    assert!(bench.is_quiet_for(Duration::from_millis(200)).await);
    let counters = bench.executor.counters();
    assert_eq!((counters.submitted, counters.ended), (1, 1));
}

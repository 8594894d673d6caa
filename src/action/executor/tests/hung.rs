//! Tests of `action/executor: hung`.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use super::super::super::testing::PATIENCE;
use super::*;
use crate::machine::job::Role;

/// Longer than a spawn may hang before it is told.
const TELL_AFTER: Duration = Duration::from_millis(1100);

/// Holds a write lease on a file and does not give it back when the kernel asks for it.
struct Lease(Child);

impl Lease {
    fn take(path: &Path) -> Self {
        // F_SETLEASE is 1024, F_WRLCK is 1 (fcntl(2)).
        let text = "$SIG{IO} = 'IGNORE'; open(F, '<', $ARGV[0]) or die; \
                    fcntl(F, 1024, 1) or die \"lease: $!\"; $| = 1; print 'x'; sleep 1000";
        let mut holder = Process::new("perl")
            .args(["-e", text])
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0];
        holder.stdout.take().unwrap().read_exact(&mut held).unwrap();
        Self(holder)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn hung_spawns_delay_nobody_and_keep_their_signals() {
    const HUNG: u64 = 6;
    let mut bench = Bench::new();
    let file = bench.script("leased", "#!/bin/sh\nsleep 1000\n");
    let lease = Lease::take(&file);
    for number in 1..=HUNG {
        let job = start(number, Command::File(file.clone()));
        bench.executor.submit(Box::new(job));
    }
    // The scripts are stuck until the lease is broken (/proc/sys/fs/lease-break-time, 45 s) or dropped.
    for number in 100..120 {
        assert_eq!(
            bench.run(start(number, shell("exit 3"))).await,
            Exit::Code(3)
        );
    }
    until("all are seen hanging", || {
        bench.executor.counters().spawns_hanging == HUNG
    })
    .await;
    let counters = bench.executor.counters();
    assert!(
        counters.spawns_hung >= HUNG - 1 && counters.threads > HUNG,
        "{counters:?}"
    );
    for number in 1..=HUNG {
        let job = start(number, shell("")).id;
        bench.executor.signal(job, JobSignal::Kill);
        bench.executor.signal(job, JobSignal::Term);
    }
    assert!(bench.is_quiet_for(Duration::from_millis(100)).await);
    drop(lease);
    for _ in 0..HUNG {
        assert_eq!(bench.ended().await.1, Exit::Signal(9));
    }
    assert!(bench.executor.is_idle());
    assert_eq!(bench.executor.counters().spawns_hanging, 0);
    // What hung has become too many, and goes after ten idle seconds.
    until("the threads are two again", || {
        bench.executor.counters().threads == 2
    })
    .await;
}

#[tokio::test]
async fn a_spawn_that_hangs_alone_is_told_once_and_leaves_no_timer_behind() {
    let mut bench = Bench::new();
    let file = bench.script("leased", "#!/bin/sh\nexit 4\n");
    let lease = Lease::take(&file);
    let stuck = job(1, Action::Stop, Command::File(file));
    let id = stuck.id;
    bench.executor.submit(Box::new(stuck));
    match bench.next().await {
        ExecEvent::Hangs {
            job,
            action,
            instance,
            serves,
            so_far,
        } => {
            assert_eq!(serves, (Role::Master, 7));
            assert_eq!(
                (job, action, instance.as_str()),
                (id, Action::Stop, "web.1")
            );
            assert!(so_far >= Duration::from_secs(1), "{so_far:?}");
        }
        other @ (ExecEvent::Spawned { .. }
        | ExecEvent::Ended { .. }
        | ExecEvent::UnitsChanged(_)) => panic!("{other:?}"),
    }
    let counters = bench.executor.counters();
    assert_eq!((counters.spawns_hung, counters.spawns_hanging), (1, 1));
    assert_eq!(bench.executor.look(now()), None);
    let more = tokio::time::timeout(Duration::from_millis(100), bench.executor.next()).await;
    assert!(more.is_err(), "{more:?}");
    drop(lease);
    assert_eq!(bench.spawned().await.0, id);
    assert_eq!(bench.ended().await, (id, Exit::Code(4)));
    let counters = bench.executor.counters();
    assert_eq!((counters.spawns_hung, counters.spawns_hanging), (1, 0));
}

#[tokio::test]
async fn stops_are_spawned_while_more_starts_hang_than_there_are_threads() {
    const HUNG: u64 = 70;
    let mut bench = Bench::new();
    let file = bench.script("leased", "#!/bin/sh\n");
    let lease = Lease::take(&file);
    for number in 1..=HUNG {
        bench
            .executor
            .submit(Box::new(start(number, Command::File(file.clone()))));
    }
    let full = async {
        while bench.executor.counters().spawns_hanging < 62 {
            let step = Duration::from_millis(10);
            let event = tokio::time::timeout(step, bench.executor.next()).await;
            assert!(matches!(event, Err(_) | Ok(ExecEvent::Hangs { .. })));
        }
    };
    tokio::time::timeout(PATIENCE, full)
        .await
        .expect("all hang");
    // A start that waits for a place has nothing to look for.
    tokio::time::sleep(TELL_AFTER).await;
    assert_eq!(bench.executor.look(now()), None);
    let counters = bench.executor.counters();
    assert_eq!((counters.spawns_hanging, counters.waiting), (62, HUNG - 62));
    // On a busy machine one that was slow to get ready has had a stand-in.
    assert!((62..=64).contains(&counters.threads), "{counters:?}");
    for number in 100..110 {
        let stop = job(number, Action::Stop, shell("exit 3"));
        assert_eq!(bench.run(stop).await, Exit::Code(3));
    }
    let counters = bench.executor.counters();
    assert_eq!((counters.threads, counters.waiting), (64, HUNG - 62));
    drop(lease);
    for _ in 0..HUNG {
        assert_eq!(bench.ended().await.1, Exit::Code(0));
    }
    assert!(bench.executor.is_idle());
}

#[tokio::test]
async fn a_job_that_still_waits_for_a_thread_is_withdrawn() {
    let mut bench = Bench::new();
    let file = bench.script("leased", "#!/bin/sh\n");
    let _lease = Lease::take(&file);
    for number in 1..=2 {
        let job = start(number, Command::File(file.clone()));
        bench.executor.submit(Box::new(job));
    }
    // Nothing polls the executor yet, so nobody relieves the two threads that hang.
    until("both hang", || {
        bench.executor.counters().spawns_hanging == 2
    })
    .await;
    let late = start(3, shell("exit 0"));
    bench.executor.submit(Box::new(late.clone()));
    bench.executor.signal(late.id, JobSignal::Term);
    let (ended, exit) = bench.ended().await;
    let expected = "it was told to end before it was started";
    assert_eq!((ended, not_started(exit)), (late.id, expected.to_owned()));
    let calls = bench.recorder.calls.lock().unwrap().clone();
    assert!(!calls.contains(&Call::Intent(late.id)));
}

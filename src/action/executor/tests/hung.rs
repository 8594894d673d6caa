//! Tests of `action/executor: hung`.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use super::*;

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
        bench.executor.hanging_spawns().len() == usize::try_from(HUNG).unwrap()
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
    assert!(bench.executor.hanging_spawns().is_empty());
    // What hung has become too many, and goes after ten idle seconds.
    until("the threads are two again", || {
        bench.executor.counters().threads == 2
    })
    .await;
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
    until("both hang", || bench.executor.hanging_spawns().len() == 2).await;
    let late = start(3, shell("exit 0"));
    bench.executor.submit(Box::new(late.clone()));
    bench.executor.signal(late.id, JobSignal::Term);
    let (ended, exit) = bench.ended().await;
    let expected = "it was told to end before it was started";
    assert_eq!((ended, not_started(exit)), (late.id, expected.to_owned()));
    let calls = bench.recorder.calls.lock().unwrap().clone();
    assert!(!calls.contains(&Call::Intent(late.id)));
}

//! Tests of `systemd/status`.

use super::*;
use crate::control::samples::settings;
use crate::machine::job::{InstanceId, JobId, Means};
use crate::machine::reason::{Cause, Reason};
use crate::machine::settings::InstanceName;
use crate::machine::view::JobView;

const POLL: Duration = Duration::from_secs(2);

fn at(seconds: u64) -> Time {
    Time::from_start(Duration::from_secs(seconds))
}

fn instance(name: &str, role: Role, knowledge: Knowledge) -> InstanceView {
    InstanceView {
        id: InstanceId(1),
        name: InstanceName::new(name).unwrap(),
        settings: settings(name),
        at: at(0),
        role,
        role_since: at(10),
        cause: Cause::NicAbsent {
            nic: "eth9".to_owned(),
        },
        cause_since: at(10),
        epoch: 1,
        transitions: 1,
        superseded: 0,
        knowledge,
        knowledge_since: at(20),
        job: None,
        last_action: None,
        last_check: None,
        next: Next::Content { role, knowledge },
        leaving: false,
    }
}

fn with_job(view: InstanceView, action: Action) -> InstanceView {
    let job = JobView {
        means: Means::Process,
        job: JobId { life: 1, number: 1 },
        action,
        reason: Reason::RoleGained,
        started: at(195),
        pid: None,
        adopted: false,
    };
    InstanceView {
        job: Some(job),
        ..view
    }
}

fn kernel() -> KernelView {
    KernelView {
        subscribed: true,
        error: None,
        synchronized: true,
        dumped_at: None,
        overruns: 0,
        dumps: 1,
        dumps_failed: 0,
        audits_repaired: 0,
        events: 0,
    }
}

fn line(instances: &[InstanceView]) -> String {
    status_line(instances, &kernel(), POLL, at(200))
}

#[test]
fn a_person_understands_it() {
    let web = instance("web", Role::Master, Knowledge::Running);
    let db = instance("db", Role::Backup, Knowledge::Stopped);
    assert_eq!(line(&[web, db]), "web MASTER running 3m; db BACKUP stopped");
}

#[test]
fn each_state_has_its_words() {
    let web = |role, knowledge| instance("web", role, knowledge);
    let stopped = web(Role::Master, Knowledge::Stopped);
    let retry = Next::RetryAt {
        action: Action::Start,
        at: at(205),
        failures: 3,
        outcome: None,
    };
    let failing = InstanceView {
        next: retry,
        ..web(Role::Master, Knowledge::Maybe)
    };
    let cases = [
        (
            with_job(stopped.clone(), Action::Start),
            "web MASTER starting 5s",
        ),
        (
            with_job(stopped.clone(), Action::Stop),
            "web MASTER stopping 5s",
        ),
        (
            with_job(stopped, Action::IsRunning),
            "web MASTER stopped 3m",
        ),
        (
            web(Role::Backup, Knowledge::Running),
            "web BACKUP running 3m",
        ),
        (
            web(Role::Unknown, Knowledge::Running),
            "web UNKNOWN running 3m (there is no interface eth9)",
        ),
        (
            failing,
            "web MASTER maybe running, start again in 5s (3 failures in a row)",
        ),
    ];
    for (view, expected) in cases {
        assert_eq!(line(&[view]), expected);
    }
    assert_eq!(line(&[]), "no instance configured");
}

#[test]
fn trouble_with_the_kernel_stands_in_front() {
    let web = [instance("web", Role::Master, Knowledge::Running)];
    let lost = KernelView {
        subscribed: false,
        ..kernel()
    };
    assert_eq!(
        status_line(&web, &lost, POLL, at(200)),
        "kernel notifications lost, polling every 2s; web MASTER running 3m"
    );
    let reading = KernelView {
        synchronized: false,
        ..kernel()
    };
    assert_eq!(
        status_line(&web, &reading, POLL, at(200)),
        "the kernel's addresses are being read; web MASTER running 3m"
    );
}

#[test]
fn many_instances_are_counted_and_the_failing_one_is_named() {
    let mut instances: Vec<_> = (0..9_999)
        .map(|n| match n % 2 {
            0 => instance(&format!("a{n:04}"), Role::Master, Knowledge::Running),
            _ => instance(&format!("a{n:04}"), Role::Backup, Knowledge::Stopped),
        })
        .collect();
    instances.push(instance("zz", Role::Unknown, Knowledge::Stopped));
    let line = line(&instances);
    let (list, rest) = line.split_once(" … and ").unwrap();
    assert!(list.starts_with("zz UNKNOWN stopped 3m (there is no interface eth9); a0000 MASTER"));
    assert!((150..=LIST_BYTES_MAX).contains(&list.len()), "{list}");
    let masters = 5_000 - list.matches("MASTER").count();
    let backups = 4_999 - list.matches("BACKUP").count();
    let (masters, backups, all) = (
        grouped(masters),
        grouped(backups),
        grouped(masters + backups),
    );
    assert_eq!(
        rest,
        format!("{all} more: {masters} MASTER, {backups} BACKUP")
    );
}

#[test]
fn spans_and_numbers_are_short() {
    let spans = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 8_640_000].map(Duration::from_secs);
    let texts = ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "100d"];
    assert_eq!(spans.map(short), texts);
    let numbers = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
    assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,234,567"]);
}

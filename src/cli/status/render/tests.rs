//! What a person sees of a status, word for word.

use super::*;
use crate::control::protocol::VERSION;
use crate::control::samples::{kernel, time, view};
use crate::control::status::Freshness;
use crate::machine::job::{JobId, Means, Outcome};
use crate::machine::reason::{Cause, Next, Reason};
use crate::machine::view::{InstanceView, JobView};
use crate::source::netlink::Filter;

fn daemon_status() -> DaemonStatus {
    DaemonStatus {
        pid: 812,
        version: "0.1.0".into(),
        config: "/etc/keepstart/config.yaml".into(),
        config_age_ms: None,
        uptime_ms: 273_600_000,
        stale: false,
        kernel: Some(KernelStatus::of(&kernel(), time(205))),
        filter: Some(Filter::Exact { instructions: 57 }),
        instances: 2,
        connections: 1,
        log_dropped: 0,
        systemd_refused: 0,
        counters: crate::bus::Counters::default(),
        updates_dropped: 0,
        realtime: None,
    }
}

fn instance(name: &str, change: impl FnOnce(&mut InstanceView)) -> InstanceStatus {
    let mut view = (*view(1, name)).clone();
    change(&mut view);
    InstanceStatus::of(&view, time(202_050), Freshness::Fresh)
}

fn backup(view: &mut InstanceView) {
    view.role = Role::Backup;
    view.knowledge = Knowledge::Stopped;
    view.cause = Cause::VipAbsent {
        address: "192.0.2.10".parse().expect("an address"),
    };
    view.last_action = None;
    view.next = Next::Content {
        role: Role::Backup,
        knowledge: Knowledge::Stopped,
    };
}

#[test]
fn a_table_with_a_reason_for_each_instance() {
    let instances = vec![instance("database", backup), instance("web", |_| {})];
    let text = status(
        &Status {
            v: VERSION,
            daemon: daemon_status(),
            instances,
        },
        Out::plain(),
    );
    assert_eq!(
        text,
        "\
keepstart 0.1.0, process 812, up 3d4h, /etc/keepstart/config.yaml

database  BACKUP  3m12s  stopped  no start or stop since the daemon started
          why: 192.0.2.10 is not here, so the role is BACKUP and the service shall not run here; \
it is stopped; nothing has been run since the daemon started; nothing is left to do
web       MASTER  3m12s  running  start done 3m12s ago (took 50ms)
          why: 192.0.2.10 is on lo, so the role is MASTER and the service shall run here; \
it is running; start done 3m12s ago (took 50ms), asked for because the role was gained; nothing is left to do
"
    );
}

#[test]
fn a_long_reason_makes_no_column_wide() {
    let failed = |view: &mut InstanceView| {
        let mut last = view.last_action.as_deref().cloned().expect("a last job");
        last.outcome = Outcome::NotStarted {
            error: "cannot run /opt/web/start.sh: ".to_owned() + &"x".repeat(200),
        };
        view.last_action = Some(last.into());
    };
    let checked = |view: &mut InstanceView| view.last_check = view.last_action.clone();
    let [failed, checked] = [instance("db", failed), instance("web", checked)];
    let text = table(&[&failed, &checked], Out::plain());
    let line = text.lines().find(|line| line.starts_with("web "));
    let line = line.expect("a line of its own");
    assert!(line.chars().count() < 120, "{line}");
}

#[test]
fn the_last_start_or_stop_and_the_last_is_running_stand_side_by_side() {
    let checked = |view: &mut InstanceView| {
        let mut check = view.last_action.as_deref().cloned().expect("a last job");
        check.action = Action::IsRunning;
        check.ended = time(190_050);
        view.last_check = Some(check.into());
    };
    let line = |change: &dyn Fn(&mut InstanceView)| {
        let text = table(&[&instance("web", change)], Out::plain());
        text.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        line(&checked),
        "web  MASTER  3m12s  running  start done 3m12s ago (took 50ms)  is-running said yes 12s ago"
    );
    let only_checked = |view: &mut InstanceView| {
        checked(view);
        view.last_action = None;
    };
    assert_eq!(
        line(&only_checked),
        "web  MASTER  3m12s  running  no start or stop since the daemon started  is-running said yes 12s ago"
    );
    let asking = |view: &mut InstanceView| {
        checked(view);
        view.job = Some(JobView {
            job: JobId { life: 1, number: 2 },
            action: Action::IsRunning,
            reason: Reason::Audit,
            started: time(200_050),
            pid: Some(77),
            means: Means::Process,
            adopted: false,
        });
    };
    assert_eq!(
        line(&asking),
        "web  MASTER  3m12s  running  start done 3m12s ago (took 50ms)  \
         is-running has been running for 2.0s (process 77)"
    );
}

#[test]
fn trouble_is_said_and_calm_is_not() {
    let out = Out::plain();
    let mut status = daemon_status();
    let realtime = |why_not: Option<&str>| Standing {
        priority: 10,
        on: why_not.is_none(),
        why_not: why_not.map(str::to_owned),
        memory_locked: true,
    };
    status.realtime = Some(realtime(None));
    assert_eq!(daemon(&status, out).lines().count(), 1);
    status.realtime = Some(realtime(Some("no right")));
    status.stale = true;
    status.log_dropped = 3;
    let kernel = status.kernel.as_mut().expect("a kernel");
    kernel.subscribed = false;
    kernel.error = Some("no buffer".into());
    assert_eq!(
        daemon(&status, out),
        "\
keepstart 0.1.0, process 812, up 3d4h, /etc/keepstart/config.yaml
the reactor does not answer: what follows may be out of date
the kernel's notifications are not available (no buffer): addresses are polled, last 200ms ago
realtime-priority 10 is not in force, and on a busy machine a failover takes longer: no right
3 log records were dropped: the log's sink is too slow
"
    );
}

#[test]
fn a_file_without_instances_says_so() {
    let whole = Status {
        v: VERSION,
        daemon: daemon_status(),
        instances: Vec::new(),
    };
    assert!(status(&whole, Out::plain()).ends_with("\nno instance configured\n"));
}

#[test]
fn colours_do_not_move_the_columns() {
    let (a, b) = (instance("a", backup), instance("bb", |_| {}));
    let coloured = table(&[&a, &b], Out::coloured());
    assert!(coloured.contains("\x1b[32mMASTER\x1b[0m"));
    let mut plain = String::new();
    let mut inside = false;
    for c in coloured.chars() {
        match (inside, c) {
            (false, '\x1b') => inside = true,
            (true, 'm') => inside = false,
            (true, _) => {}
            (false, c) => plain.push(c),
        }
    }
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&plain), squeeze(&table(&[&a, &b], Out::plain())));
    let lines: Vec<_> = plain
        .lines()
        .filter(|line| !line.trim_start().starts_with("why"))
        .collect();
    let column = |line: &str| line.find("3m12s");
    assert_eq!(
        lines.first().and_then(|l| column(l)),
        lines.get(2).or(lines.get(1)).and_then(|l| column(l))
    );
}

#[test]
fn reasons_are_broken_at_blanks_and_indented() {
    assert_eq!(wrap("aa bb cc dd", 2, Some(40)), "aa bb cc dd");
    let text = "why: one two three four five six seven eight nine";
    let wrapped = wrap(text, 4, Some(30));
    assert_eq!(
        wrapped,
        "why: one two three four\n    five six seven eight nine"
    );
    assert!(wrapped.lines().skip(1).all(|line| line.len() <= 30));
    assert_eq!(wrap(text, 4, None), text);
}

//! systemd units as actions, on booted machines: started, stopped and watched; what fails is said and tried again;
//! what systemd and the daemon live through meanwhile changes nothing. No audit comes within a test's time.

use std::fs;

use tempfile::TempDir;

use crate::machine::Machine;
use crate::{BINARY, packaging};

const CONFIG: &str = "/etc/keepstart/config.yaml";

/// A machine on which the daemon runs, and what it sees of this one.
pub(crate) struct Node {
    pub(crate) machine: Machine,
    _shared: TempDir,
}

/// A machine with these unit files and this configuration.
pub(crate) fn node(name: &str, units: &[(&str, &str)], instances: &str) -> Node {
    let shared = tempfile::tempdir().unwrap();
    let own = |name: &str| shared.path().join(name);
    // The binary lies where it was built; a link to it would lead nowhere inside.
    fs::hard_link(BINARY, own("keepstart"))
        .or_else(|_| fs::copy(BINARY, own("keepstart")).map(drop))
        .unwrap();
    for file in ["keepstart.service", "hardening.conf"] {
        fs::copy(packaging(file), own(file)).unwrap();
    }
    for (unit, lines) in units {
        fs::write(own(unit), format!("{lines}\n")).unwrap();
    }
    fs::write(own("config.yaml"), instances).unwrap();
    let machine = Machine::boot(name, shared.path());
    machine.run(
        "ln -s /shared/keepstart /usr/bin/keepstart
         mkdir /etc/keepstart
         cp /shared/config.yaml /etc/keepstart
         cp /shared/*.service /etc/systemd/system
         systemctl daemon-reload
         systemctl start keepstart",
    );
    Node {
        machine,
        _shared: shared,
    }
}

fn vip(machine: &Machine, what: &str, number: u32) {
    machine.run(&format!("ip address {what} 192.0.2.{number}/32 dev lo"));
}

#[track_caller]
fn until_state(machine: &Machine, unit: &str, wanted: &str) {
    let script = format!("systemctl show --value -p ActiveState {unit}");
    machine.until(&format!("{unit} is {wanted}"), &script, |said| {
        said == wanted
    });
}

fn property(machine: &Machine, unit: &str, name: &str) -> String {
    machine.run(&format!("systemctl show --value -p {name} {unit}"))
}

fn log_of(machine: &Machine, instance: &str) -> String {
    machine.run(&format!(
        "journalctl --no-pager -o cat KEEPSTART_INSTANCE={instance}"
    ))
}

/// Kills a unit's processes and waits until others run: no audit comes so soon.
#[track_caller]
fn comes_back(machine: &Machine, unit: &str) {
    let pid = property(machine, unit, "MainPID");
    machine.run(&format!("systemctl kill --signal=KILL {unit}"));
    machine.until(
        "it runs again",
        &format!("systemctl is-active {unit}; systemctl show --value -p MainPID {unit}"),
        |said| {
            said.lines()
                .eq(["active", said.lines().last().unwrap_or_default()])
                && !said.ends_with(&format!("\n{pid}"))
        },
    );
}

const WEB: &str = "[Service]\nExecStart=/bin/sleep 100000\n[Install]\nWantedBy=multi-user.target";
const SLOW: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 8";

#[test]
fn units_follow_the_role() {
    let node = node(
        "by-unit",
        &[("web.service", WEB), ("slow.service", SLOW)],
        "instances:
  web: {vip: 192.0.2.10, unit: web, force-test-cycle: 100000}
  slow: {vip: 192.0.2.11, unit: [slow.service], force-test-cycle: 100000}
",
    );
    let machine = &node.machine;
    two_masters_are_reported(machine);

    vip(machine, "add", 10);
    until_state(machine, "web", "active");
    until_running(machine, "web");
    let invocation = property(machine, "web", "InvocationID");
    machine.run("systemctl restart keepstart");
    until_running(machine, "web");
    machine.run("systemctl kill --signal=KILL keepstart");
    let restarts = "systemctl show --value -p NRestarts keepstart; systemctl is-active keepstart";
    machine.until("restarted", restarts, |said| said == "1\nactive");
    until_running(machine, "web");
    assert_eq!(
        property(machine, "web", "InvocationID"),
        invocation,
        "a new daemon does not touch what runs"
    );

    comes_back(machine, "web");
    let log = log_of(machine, "web");
    assert!(log.contains("it was found stopped on the MASTER"), "{log}");

    systemd_executes_itself_anew(machine);
    // One that died before a moment ago waits a second, as after a failed attempt.
    comes_back(machine, "web");

    vip(machine, "del", 10);
    until_state(machine, "web", "inactive");
    // Somebody starts it where it must not run.
    machine.run("systemctl start web");
    until_state(machine, "web", "inactive");
    let log = log_of(machine, "web");
    assert!(log.contains("it was found running on the BACKUP"), "{log}");
    assert_eq!(property(machine, "keepstart", "NRestarts"), "1");
    the_strict_drop_in_lets_it_work(machine);
}

#[track_caller]
fn until_running(machine: &Machine, instance: &str) {
    machine.until(
        &format!("{instance} MASTER running"),
        "systemctl show --value -p StatusText keepstart",
        |said| said.contains(&format!("{instance} MASTER running")),
    );
}

fn two_masters_are_reported(machine: &Machine) {
    machine.run("systemctl enable web 2>/dev/null; systemctl reload keepstart");
    let wanted = "web.service is enabled at boot as well";
    let log = "journalctl -u keepstart --no-pager -o cat";
    let said = machine.until("reported", log, |said| said.contains(wanted));
    assert!(said.contains("systemctl disable web.service"), "{said}");
    let validate = machine.try_run("keepstart validate 2>&1; keepstart validate --strict");
    let said = String::from_utf8_lossy(&validate.stdout);
    assert!(
        said.contains(&format!("{CONFIG}:2:")) && said.contains(wanted),
        "{said}"
    );
    assert_eq!(validate.status.code(), Some(78));
    machine.run("systemctl disable web 2>/dev/null; keepstart validate --strict");
}

fn systemd_executes_itself_anew(machine: &Machine) {
    vip(machine, "add", 11);
    until_state(machine, "slow", "activating");
    machine.run("systemctl daemon-reexec");
    until_running(machine, "slow");
    let log = log_of(machine, "slow");
    assert!(log.contains("start done"), "{log}");
    assert!(!log.contains("attempt"), "{log}");
    assert!(!log.contains("failed"), "{log}");
}

fn the_strict_drop_in_lets_it_work(machine: &Machine) {
    machine.run(
        "mkdir /etc/systemd/system/keepstart.service.d
         cp /shared/hardening.conf /etc/systemd/system/keepstart.service.d
         systemctl daemon-reload; systemctl restart keepstart",
    );
    vip(machine, "add", 10);
    until_running(machine, "web");
    vip(machine, "del", 10);
    until_state(machine, "web", "inactive");
}

const BAD: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/false";
/// It holds on to life with all its might.
const STUCK: &str = "[Service]\nExecStart=/bin/sh -c \"trap : TERM; while :; do sleep 1; done\"\n\
                     KillMode=mixed\nTimeoutStopSec=infinity";

#[test]
fn what_fails_is_said_and_tried_again() {
    let node = node(
        "by-unit-bad",
        &[
            ("bad.service", BAD),
            ("stuck.service", STUCK),
            ("one.service", WEB),
            ("two.service", WEB),
            ("slow.service", SLOW),
        ],
        "x-stuck: &stuck {unit: stuck, timeout: 2s, kill-after: 1s}
instances:
  bad: {vip: 192.0.2.10, unit: bad, force-test-cycle: 100000}
  stuck: {vip: 192.0.2.11, start: *stuck, stop: *stuck, is-running: *stuck, force-test-cycle: 100000}
  pair: {vip: 192.0.2.12, unit: [one, two], force-test-cycle: 100000}
  slow: {vip: 192.0.2.13, unit: slow, force-test-cycle: 100000}
",
    );
    let machine = &node.machine;
    vip(machine, "add", 10);
    machine.until(
        "the reason is shown",
        "keepstart status --json || true",
        |said| {
            said.contains(
                "bad.service: its start failed (exit-code); see `systemctl status bad.service`",
            )
        },
    );
    machine.run(
        "sed -i s,/bin/false,/bin/true, /etc/systemd/system/bad.service; systemctl daemon-reload",
    );
    until_running(machine, "bad");

    a_stuck_stop_meets_its_timeout(machine);
    each_unit_of_a_pair_comes_back(machine);
    the_bus_goes_and_comes(machine);
    a_killed_daemon_does_not_start_twice(machine);
}

fn a_stuck_stop_meets_its_timeout(machine: &Machine) {
    vip(machine, "add", 11);
    until_running(machine, "stuck");
    vip(machine, "del", 11);
    until_state(machine, "stuck", "deactivating");
    until_state(machine, "stuck", "failed");
    let log = log_of(machine, "stuck");
    assert!(
        log.contains("stop is sent SIGKILL: timed out after 2s"),
        "{log}"
    );
    machine.until(
        "stopped",
        "systemctl show --value -p StatusText keepstart",
        |said| said.contains("stuck BACKUP stopped"),
    );
}

fn each_unit_of_a_pair_comes_back(machine: &Machine) {
    vip(machine, "add", 12);
    until_running(machine, "pair");
    let one = property(machine, "one", "InvocationID");
    comes_back(machine, "two");
    until_running(machine, "pair");
    assert_eq!(
        property(machine, "one", "InvocationID"),
        one,
        "it was not touched"
    );
}

/// Without the bus nothing can be done, and that is said; with it everything is caught up with.
fn the_bus_goes_and_comes(machine: &Machine) {
    machine.run("systemctl stop dbus.socket dbus.service 2>/dev/null");
    vip(machine, "del", 12);
    machine.until(
        "the reason is shown",
        "keepstart status --json || true",
        |said| said.contains("the system bus cannot be reached"),
    );
    assert_eq!(property(machine, "one", "ActiveState"), "active");
    machine.run("systemctl start dbus.socket");
    until_state(machine, "one", "inactive");
    until_state(machine, "two", "inactive");
    // And changes are noticed again.
    vip(machine, "add", 12);
    until_running(machine, "pair");
    machine.until(
        "the units are followed again",
        "journalctl -u keepstart --no-pager -o cat",
        |said| said.contains("changes of units are noticed again"),
    );
    comes_back(machine, "two");
}

fn a_killed_daemon_does_not_start_twice(machine: &Machine) {
    vip(machine, "add", 13);
    until_state(machine, "slow", "activating");
    let invocation = property(machine, "slow", "InvocationID");
    machine.run("systemctl kill --signal=KILL keepstart");
    until_running(machine, "slow");
    assert_eq!(property(machine, "slow", "InvocationID"), invocation);
}

//! `realtime-priority` and the units: the shipped one allows it, the strict drop-in does not, and with what that names
//! itself it does.

use crate::by_unit::node;
use crate::machine::Machine;

const CONFIG: &str = "application: {realtime-priority: 10}\n\
                      instances: {web: {vip: 192.0.2.10, start: 'touch /run/web', stop: 'rm /run/web'}}\n";

/// How many threads of the daemon are real-time.
fn realtime_threads(machine: &Machine) -> usize {
    let policies = machine
        .run("chrt --all-tasks --pid $(systemctl show --value -p MainPID keepstart) | grep policy");
    policies.matches("SCHED_FIFO").count()
}

const REFUSED: &str = "realtime-priority 10 is not in force";

fn log(machine: &Machine) -> String {
    machine.run("journalctl -u keepstart --no-pager -o cat")
}

#[test]
fn the_unit_allows_it_and_the_strict_drop_in_says_what_that_takes() {
    let node = node("realtime", &[], CONFIG);
    let machine = &node.machine;
    assert_eq!(realtime_threads(machine), 3, "{}", log(machine));
    assert!(!log(machine).contains(REFUSED), "{}", log(machine));
    machine.run(
        "mkdir /etc/systemd/system/keepstart.service.d; cd /etc/systemd/system/keepstart.service.d
         cp /shared/hardening.conf .; systemctl daemon-reload; systemctl restart keepstart",
    );
    assert_eq!(realtime_threads(machine), 0);
    assert!(log(machine).contains(REFUSED), "{}", log(machine));
    machine.run(
        "cd /etc/systemd/system/keepstart.service.d
         (echo '[Service]'; sed -n 's/^#   \\([A-Z][A-Za-z]*=\\)/\\1/p' hardening.conf) > realtime.conf
         systemctl daemon-reload; systemctl restart keepstart",
    );
    assert_eq!(realtime_threads(machine), 3, "{}", log(machine));
    machine.run("ip address add 192.0.2.10/32 dev lo");
    let running = "keepstart status --json";
    machine.until("it does its work", running, |said| {
        said.contains("it is running")
    });
}

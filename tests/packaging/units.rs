//! The units as systemd reads them: valid, as safe as the documentation says, and the strict drop-in does not keep
//! the daemon from its work.

use crate::machine::Machine;
use crate::packages::Packages;

/// What the strict drop-in is for: a script that only calls systemctl.
const SETUP: &str = "
dpkg --install /shared/1/*.deb
printf '[Service]\\nExecStart=/bin/sleep 100000\\n' > /etc/systemd/system/web.service
cat > /etc/keepstart/config.yaml <<'END'
instances:
  web:
    vip: 192.0.2.10
    start: systemctl start web
    stop: systemctl stop web
    is-running: systemctl is-active --quiet web
END
systemctl reload keepstart
";

#[test]
fn the_units_are_valid_and_the_strict_one_works() {
    let machine = Machine::boot("units", Packages::get().directory());
    machine.run(SETUP);
    let verified = machine
        .run("systemd-analyze verify --man=no keepstart.service keepstart@second.service 2>&1");
    assert_eq!(verified, "");
    // The unit for further files differs in the file only.
    let unit = |name: &str| machine.run(&format!("systemctl cat {name} | grep -v '^#'"));
    let first = unit("keepstart.service").replace("config.yaml", "%i.yaml");
    assert_eq!(first, unit("keepstart@second.service").replace(" (%i)", ""));
    let as_shipped = exposure(&machine);
    machine.run(
        "mkdir -p /etc/systemd/system/keepstart.service.d
         ln -s /usr/share/keepstart/hardening.conf /etc/systemd/system/keepstart.service.d/
         systemctl daemon-reload; systemctl restart keepstart
         systemd-analyze verify --man=no keepstart.service 2>&1",
    );
    let strict = exposure(&machine);
    // The figures move a little with the version of systemd; those of 252 are in packaging/README.md.
    assert!(as_shipped > 90 && strict < 25, "{as_shipped} {strict}");
    machine.run("ip address add 192.0.2.10/32 dev lo");
    machine.until("started", "systemctl is-active web", |said| {
        said == "active"
    });
    machine.run("ip address del 192.0.2.10/32 dev lo");
    machine.until("stopped", "systemctl is-active web", |said| {
        said == "inactive"
    });
}

/// Tenths, from 0 (safe) to 100.
fn exposure(machine: &Machine) -> u32 {
    let table = machine.run("systemd-analyze security --no-pager keepstart.service");
    let figure = table
        .lines()
        .last()
        .and_then(|line| line.split(": ").nth(1));
    let figure = figure
        .and_then(|figure| figure.split(' ').next())
        .expect("a figure");
    figure.replace('.', "").parse().expect("a number")
}

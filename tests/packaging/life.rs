//! A package's life on a booted machine: installed, configured, its daemon hung and restarted, upgraded, removed.
//! All the while the service that the daemon has started goes on, and is never started a second time.

use std::collections::BTreeSet;
use std::process::Command;

use keepstart::telemetry::MessageId;
use serde_json::Value;

use crate::machine::{self, Machine};
use crate::packages::{Kind, Packages};

const VIP: &str = "192.0.2.10";

/// A start script that leaves its service in the background, as such scripts do, and counts its runs.
const SETUP: &str = "
mkdir -p /opt/web
cat > /opt/web/start <<'END'
#!/bin/sh
echo x >> /opt/web/starts
echo the service begins
sleep 100000 &
echo $! > /opt/web/pid
END
cat > /opt/web/stop <<'END'
#!/bin/sh
echo x >> /opt/web/stops
kill $(cat /opt/web/pid)
END
cat > /opt/web/running <<'END'
#!/bin/sh
kill -0 $(cat /opt/web/pid)
END
chmod 755 /opt/web/*
cat > /etc/keepstart/config.yaml <<'END'
instances:
  web: {nic: lo, vip: 192.0.2.10, start: /opt/web/start, stop: /opt/web/stop, is-running: /opt/web/running}
END
echo 'instances: {other: {vip: 192.0.2.99, start: /bin/true, stop: /bin/true}}' > /etc/keepstart/second.yaml
touch /opt/web/starts /opt/web/stops
";

/// A machine on which the package is installed, and all that the tests ask of it.
struct Node {
    machine: Machine,
    kind: Kind,
}

impl Node {
    fn new(kind: Kind) -> Self {
        let machine = Machine::boot(kind.as_str(), Packages::get().directory());
        Self { machine, kind }
    }

    #[track_caller]
    fn install(&self, revision: &str) {
        self.machine.run(&match self.kind {
            Kind::Deb => format!("apt-get install --yes /shared/{revision}/*.deb"),
            Kind::Rpm => format!("{RPM} --upgrade /shared/{revision}/*.rpm"),
        });
    }

    #[track_caller]
    fn property(&self, name: &str) -> String {
        self.machine
            .run(&format!("systemctl show --value -p {name} keepstart"))
    }

    #[track_caller]
    fn daemon(&self) -> String {
        self.property("MainPID")
    }

    /// The service's process, which must be there, and how often start and stop have run.
    #[track_caller]
    fn service(&self) -> (String, usize, usize) {
        let count = |name| {
            self.machine
                .run(&format!("wc -l < /opt/web/{name}"))
                .parse()
                .unwrap()
        };
        let pid = self
            .machine
            .run("cat /opt/web/pid; test sleep = $(cat /proc/$(cat /opt/web/pid)/comm)");
        (pid, count("starts"), count("stops"))
    }

    #[track_caller]
    fn until_status(&self, wanted: &str) {
        self.machine.until(
            wanted,
            "systemctl show --value -p StatusText keepstart",
            |said| said.contains(wanted),
        );
    }

    /// The journal's records with this field, oldest first.
    fn journal(&self, field: &str) -> Vec<Value> {
        let lines = self
            .machine
            .run(&format!("journalctl -o json --no-pager {field}"));
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Debian's rpm, which is told that it may be used here, and that dpkg has what the package needs.
const RPM: &str = "rpm --force-debian --nodeps";

#[test]
fn a_deb_lives_and_goes() {
    let node = Node::new(Kind::Deb);
    node.install("1");
    // Debian starts what is installed; it does nothing yet, and says so.
    node.until_status("no instance configured");
    assert_eq!(node.property("Type"), "notify");
    assert_eq!(
        node.machine.run("systemctl is-enabled keepstart"),
        "enabled"
    );
    lives(&node);

    node.machine.run("dpkg --remove keepstart");
    is_gone(&node);
    node.machine
        .run("test -e /etc/keepstart/config.yaml; test -e /var/lib/keepstart");
    node.machine.run("dpkg --purge keepstart");
    node.machine
        .run("! test -e /var/lib/keepstart; ! test -e /run/keepstart");
    node.machine.run("! test -e /etc/keepstart/config.yaml");
}

#[test]
fn an_rpm_lives_and_goes() {
    let node = Node::new(Kind::Rpm);
    node.install("1");
    node.machine.run("systemctl enable --now keepstart");
    node.until_status("no instance configured");
    assert_eq!(node.machine.run(&format!("{RPM} --verify keepstart")), "");
    lives(&node);

    node.machine.run(&format!("{RPM} --erase keepstart"));
    is_gone(&node);
    // RPM has no purge: what is remembered, and the changed file, are left.
    node.machine
        .run("test -e /etc/keepstart/config.yaml.rpmsave; test -e /var/lib/keepstart");
    node.machine.run("! systemctl is-enabled keepstart");
}

/// All that is the same for both kinds.
fn lives(node: &Node) {
    let machine = &node.machine;
    machine.run(SETUP);
    machine.run("systemctl reload keepstart; systemctl start keepstart@second");
    machine.run(&format!("ip address add {VIP}/32 dev lo"));
    node.until_status("web MASTER running");
    let service = node.service();
    assert_eq!((service.1, service.2), (1, 0), "one start");
    the_journal_has_the_whole_chain(node);
    a_faulty_file_fails_the_reload(node);

    let before = node.daemon();
    machine.run("systemctl restart keepstart");
    node.until_status("web MASTER running");
    assert_ne!(node.daemon(), before);
    assert_eq!(
        node.service(),
        service,
        "a restart of the daemon is none of the service"
    );

    the_watchdog_ends_a_hung_daemon(node);
    assert_eq!(node.service(), service, "nor is a crash of the daemon");

    let daemons = "systemctl show --value -p MainPID keepstart keepstart@second | grep .";
    let before = machine.run(daemons);
    let edited = machine.run("sha256sum /etc/keepstart/config.yaml");
    node.install("2");
    node.until_status("web MASTER running");
    let after = machine.run(daemons);
    let is_new = |(before, after)| before != after;
    assert!(
        before.lines().zip(after.lines()).all(is_new),
        "{before} {after}"
    );
    assert!(
        !after.lines().any(|pid| pid == "0"),
        "both daemons run: {after}"
    );
    assert_eq!(machine.run("sha256sum /etc/keepstart/config.yaml"), edited);
    assert_eq!(node.service(), service, "nor is an upgrade");

    machine.run(&format!("ip address del {VIP}/32 dev lo"));
    node.until_status("web BACKUP stopped");
    machine.run(&format!("ip address add {VIP}/32 dev lo"));
    node.until_status("web MASTER running");
    assert_eq!(
        (node.service().1, node.service().2),
        (2, 1),
        "the new daemon does its work"
    );
}

/// The removed package's daemons are gone; the service is not.
fn is_gone(node: &Node) {
    node.machine
        .run("! pidof keepstart; ! systemctl is-active keepstart; ! test -e /usr/bin/keepstart");
    node.machine.run("! systemctl is-active keepstart@second");
    node.service();
}

/// One transition, the job that it caused, and what the script has printed: found by one field, told apart by
/// others.
fn the_journal_has_the_whole_chain(node: &Node) {
    let message_id = format!("{:032x}", MessageId::Transition.number());
    let changes = node.journal(&format!("MESSAGE_ID={message_id} KEEPSTART_INSTANCE=web"));
    let change = changes.last().expect("a transition");
    assert_eq!(change["KEEPSTART_ROLE"], "MASTER");
    let transition = change["KEEPSTART_TRANSITION"].as_str().unwrap();
    let chain = node.journal(&format!(
        "KEEPSTART_TRANSITION={transition} KEEPSTART_ACTION=start"
    ));
    let jobs: BTreeSet<_> = chain
        .iter()
        .map(|record| record["KEEPSTART_JOB"].as_str().unwrap())
        .collect();
    let [job] = Vec::from_iter(jobs)[..] else {
        panic!("not one job: {chain:?}");
    };
    let of_job = node.journal(&format!("KEEPSTART_JOB={job}"));
    let said = |words: &str| {
        let has = |record: &Value| {
            record["MESSAGE"]
                .as_str()
                .is_some_and(|said| said.contains(words))
        };
        of_job
            .iter()
            .position(has)
            .unwrap_or_else(|| panic!("no {words}: {of_job:?}"))
    };
    assert!(said("the role was gained") < said("start done"));
    said("the service begins");
    // The package has made its texts known to the journal, each of them.
    let known = node.machine.run("journalctl --list-catalog --no-pager");
    for id in MessageId::ALL {
        assert!(known.contains(&format!("{:032x}", id.number())), "{known}");
    }
    let explained = node
        .machine
        .run(&format!("journalctl -x --no-pager MESSAGE_ID={message_id}"));
    assert!(
        explained.contains("web is now MASTER on this node"),
        "{explained}"
    );
    assert!(
        explained.contains(&format!("KEEPSTART_TRANSITION={transition}\n")),
        "{explained}"
    );
}

fn a_faulty_file_fails_the_reload(node: &Node) {
    node.machine.run("cp /etc/keepstart/config.yaml /root/good; echo 'instances: 7' > /etc/keepstart/config.yaml");
    let reload = node.machine.try_run("systemctl reload keepstart");
    assert!(!reload.status.success(), "{reload:?}");
    let log = node.machine.run("journalctl -u keepstart --no-pager -n 20");
    assert!(
        log.contains("config.yaml:1:12: instances: found the number 7"),
        "{log}"
    );
    node.machine
        .run("cp /root/good /etc/keepstart/config.yaml; systemctl reload keepstart");
    node.until_status("web MASTER running");
}

fn the_watchdog_ends_a_hung_daemon(node: &Node) {
    let machine = &node.machine;
    machine.run(
        "mkdir -p /run/systemd/system/keepstart.service.d
         printf '[Service]\\nWatchdogSec=3s\\n' > /run/systemd/system/keepstart.service.d/hurry.conf
         systemctl daemon-reload; systemctl restart keepstart",
    );
    node.until_status("web MASTER running");
    let hung = node.daemon();
    machine.run(&format!("kill -STOP {hung}"));
    machine.until(
        "restarted by the watchdog",
        "systemctl show --value -p NRestarts,MainPID keepstart",
        |said| {
            let lines: Vec<_> = said.lines().collect();
            !lines.contains(&"0") && !lines.contains(&&*hung)
        },
    );
    node.until_status("web MASTER running");
    let log = machine.run("journalctl -u keepstart --no-pager");
    assert!(log.contains("Watchdog timeout"), "{log}");
    machine.run("rm -r /run/systemd/system/keepstart.service.d; systemctl daemon-reload");
}

/// As when an image of a disk is made: systemd does not run, and no script of a package may mind.
#[test]
fn both_kinds_install_where_systemd_does_not_run() {
    let shared = Packages::get().directory();
    let said = machine::without_boot(
        "image-deb",
        shared,
        "dpkg --install /shared/1/*.deb; systemctl is-enabled keepstart
         dpkg --install /shared/2/*.deb; dpkg --purge keepstart; ! test -e /usr/bin/keepstart",
    );
    assert!(said.contains("enabled"), "{said}");
    machine::without_boot(
        "image-rpm",
        shared,
        &format!(
            "{RPM} --install /shared/1/*.rpm; {RPM} --upgrade /shared/2/*.rpm; keepserver version
             {RPM} --erase keepstart; ! test -e /usr/bin/keepstart"
        ),
    );
}

#[test]
fn an_rpm_goes_into_an_empty_root() {
    let directory = tempfile::tempdir().unwrap();
    let rpm = |arguments: &[&str]| {
        let output = Command::new("rpm")
            .arg("--root")
            .arg(directory.path())
            .args(arguments)
            .output()
            .expect("run rpm");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let package = Packages::get().path(Kind::Rpm, "1");
    rpm(&["--initdb"]);
    rpm(&[
        "--install",
        "--nodeps",
        "--noscripts",
        "--force-debian",
        package.to_str().unwrap(),
    ]);
    assert_eq!(
        rpm(&["--verify", "--nodeps", "--noscripts", "keepstart"]),
        ""
    );
    assert_eq!(
        rpm(&["--query", "--configfiles", "keepstart"]),
        "/etc/keepstart/config.yaml\n"
    );
    rpm(&["--erase", "--noscripts", "--force-debian", "keepstart"]);
    assert!(!directory.path().join("usr/bin/keepstart").exists());
}

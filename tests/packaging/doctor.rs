//! `keepstart doctor` on a booted machine: of a good one it says that all is fine; each fault that is planted is found,
//! by its sentence, and where its command mends it, that command is run as it stands there.

use serde_json::Value;

use crate::machine::{self, Machine};
use crate::packages::Packages;

/// A machine as it should be: keepalived's own unit has brought the address, keepstart's has started the service.
const SETUP: &str = "
dpkg --install /shared/1/*.deb
mkdir -p /opt/web
printf '[Service]\\nExecStart=/bin/sleep 100000\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/web.service
for action in start stop; do printf '#!/bin/sh\\nsystemctl %s web\\n' $action > /opt/web/$action; done
chmod 755 /opt/web/*
cat > /etc/keepstart/config.yaml <<'END'
instances:
  web:
    nic: eth0
    vip: 192.0.2.10
    start: /opt/web/start
    stop: /opt/web/stop
    is-running: systemctl is-active --quiet web
END
cat > /etc/keepalived/keepalived.conf <<'END'
vrrp_instance V1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 255
    virtual_ipaddress {
        192.0.2.10/32
    }
}
END
cat > /etc/systemd/system/wire.service <<'END'
[Unit]
Before=network.target keepalived.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link add eth0 type veth peer name far0
ExecStart=/usr/sbin/ip link set far0 up
ExecStart=/usr/sbin/ip link set eth0 up
ExecStart=/usr/sbin/ip address add 192.0.2.1/24 dev eth0
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now wire
systemctl reload keepstart
systemctl enable --now keepalived
";

/// A fault.
struct Plant {
    check: &'static str,
    /// What plants it.
    script: &'static str,
    /// What is found.
    sentence: &'static str,
    undo: Undo,
}

impl Plant {
    /// Plants the fault, and mends it again; says what was wrong with the finding, if anything was.
    fn missed(&self, machine: &Machine) -> Option<String> {
        let Self {
            check,
            script,
            sentence,
            undo,
        } = self;
        machine.run(&format!("FILE={FILE}\n{script}"));
        let (json, code) = ask(machine);
        let of_check = findings(&json, Some(check));
        let has = |finding: &&&Value| finding["what"].as_str().unwrap().contains(sentence);
        let command = of_check
            .iter()
            .find(has)
            .and_then(|finding| finding["command"].as_str());
        let missed = match command {
            Some(_) if code == Some(1) => None,
            Some(_) | None => Some(format!(
                "{check}: not found: {sentence} (exit code {code:?}): {json:#}"
            )),
        };
        match (undo, command) {
            (Undo::AsTold, Some(command)) => drop(machine.run(command)),
            // The next plant would find this one.
            (Undo::AsTold, None) => panic!("{missed:?}"),
            (Undo::By(script), _) => drop(machine.run(&format!("FILE={FILE}\n{script}"))),
        }
        until_fine(machine, script);
        missed
    }
}

/// How the fault is mended.
enum Undo {
    /// By the command that the finding names.
    AsTold,
    /// By this.
    By(&'static str),
}

const FILE: &str = "/etc/keepstart/config.yaml";

const PLANTS: [Plant; 26] = [
    Plant {
        check: "file",
        script: "cp $FILE /root/good; printf '  twin: {nic: eth0, vip: 192.0.2.10, start: /opt/web/start, stop: /bin/true}\\n' >> $FILE
                systemctl reload keepstart",
        sentence: "instance twin has the same vip, nic and start as instance web",
        undo: Undo::By("cp /root/good $FILE; systemctl reload keepstart"),
    },
    Plant {
        check: "scripts",
        script: "mv /opt/web/start /opt/web/elsewhere",
        sentence: "/opt/web/start does not exist, but it is the start of instance web",
        undo: Undo::By("mv /opt/web/elsewhere /opt/web/start"),
    },
    Plant {
        check: "scripts",
        script: "chmod 644 /opt/web/stop",
        sentence: "/opt/web/stop is not executable, but it is the stop of instance web",
        undo: Undo::AsTold,
    },
    Plant {
        check: "scripts",
        script: "cp -r /opt/web /root/; mount -t tmpfs -o noexec tmpfs /opt/web; cp /root/web/* /opt/web/; chmod 755 /opt/web",
        sentence: "/opt/web/start is on a file system that is mounted with noexec",
        undo: Undo::By("umount /opt/web"),
    },
    Plant {
        check: "scripts",
        script: "sed -i.good '1s/.*/#!\\/opt\\/shell/' /opt/web/start",
        sentence: "/opt/web/start begins with #!/opt/shell, which does not exist",
        undo: Undo::By("mv /opt/web/start.good /opt/web/start"),
    },
    Plant {
        check: "script-permissions",
        script: "chmod o+w /opt/web",
        sentence: "/opt/web can be written by everybody (mode 0757), and is on the way to what is the start of instance web",
        undo: Undo::AsTold,
    },
    Plant {
        check: "script-permissions",
        script: "mkdir /srv/mine; chown nobody /srv/mine; cp /opt/web/stop /srv/mine/; mv /opt/web/stop /opt/web/old
                ln -s /srv/mine/stop /opt/web/stop",
        sentence: "/srv/mine belongs to user 65534",
        undo: Undo::By("mv /opt/web/old /opt/web/stop"),
    },
    Plant {
        check: "nic",
        script: "cp $FILE /root/good; sed -i s/eth0/eth9/ $FILE",
        sentence: "instance web looks for its address on eth9, but this node has no such interface",
        undo: Undo::By("cp -p /root/good $FILE; systemctl reload keepstart"),
    },
    Plant {
        check: "vip",
        script: "ip address add 192.0.2.10/32 dev lo",
        sentence: "192.0.2.10 is on lo, but instance web looks for it on eth0",
        undo: Undo::By("ip address del 192.0.2.10/32 dev lo"),
    },
    Plant {
        check: "static-vip",
        script: "mkdir -p /etc/network; printf 'iface eth0 inet static\\n  address 192.0.2.10/24\\n' > /etc/network/interfaces",
        sentence: "192.0.2.10, the address of instance web, is in this node's own network configuration",
        undo: Undo::By("rm /etc/network/interfaces"),
    },
    Plant {
        check: "static-vip",
        script: "printf '[Match]\\nName=eth0\\n[Network]\\nAddress=192.0.2.10/24\\n' > /etc/systemd/network/eth0.network",
        sentence: "192.0.2.10, the address of instance web, is in this node's own network configuration",
        undo: Undo::By("rm /etc/systemd/network/eth0.network"),
    },
    Plant {
        check: "keepalived",
        script: "systemctl stop keepalived",
        sentence: "keepalived does not run on this node: it never becomes MASTER",
        undo: Undo::AsTold,
    },
    Plant {
        check: "vip",
        script: "systemctl stop keepalived; ip address add 192.0.2.10/32 dev eth0",
        sentence: "192.0.2.10 is on eth0 although no keepalived runs here to give it up",
        undo: Undo::AsTold,
    },
    Plant {
        check: "virtual-ipaddress",
        script: "sed -i.good s/192.0.2.10/192.0.2.11/ /etc/keepalived/keepalived.conf",
        sentence: "192.0.2.10, the address of instance web, is in no virtual_ipaddress of /etc/keepalived/keepalived.conf",
        undo: Undo::By("mv /etc/keepalived/keepalived.conf.good /etc/keepalived/keepalived.conf"),
    },
    Plant {
        check: "virtual-ipaddress",
        script: "sed -i.good 's/192.0.2.10.32/& dev far0/' /etc/keepalived/keepalived.conf",
        sentence: "keepalived brings 192.0.2.10 to far0 (vrrp_instance V1), but instance web looks for it on eth0",
        undo: Undo::By("mv /etc/keepalived/keepalived.conf.good /etc/keepalived/keepalived.conf"),
    },
    Plant {
        check: "notify",
        script: "sed -i '/state MASTER/a notify_master /opt/web/start' /etc/keepalived/keepalived.conf",
        sentence: "keepalived runs /opt/web/start in notify_master of vrrp_instance V1 as well as keepstart, as the start of \
                   instance web: two hands on one service",
        undo: Undo::AsTold,
    },
    Plant {
        check: "daemon",
        script: "systemctl stop keepstart",
        sentence: "no daemon runs with this file: nothing on this node follows the address",
        undo: Undo::AsTold,
    },
    Plant {
        check: "in-force",
        script: "sleep 0.1; echo '# changed' >> $FILE",
        sentence: "the file was changed after the daemon had read it",
        undo: Undo::AsTold,
    },
    Plant {
        check: "second-keepstart",
        script: "cp $FILE /etc/keepstart/second.yaml; systemctl start keepstart@second",
        sentence: "with /etc/keepstart/second.yaml) follows 192.0.2.10 as well: its instance web and instance web of this file \
                   act on one address, and neither waits for the other, with the same start",
        undo: Undo::AsTold,
    },
    Plant {
        check: "limits",
        script: "mkdir -p /etc/systemd/system/keepstart.service.d
                printf '[Service]\\nLimitNOFILE=60\\n' > /etc/systemd/system/keepstart.service.d/few.conf
                systemctl daemon-reload; systemctl restart keepstart",
        sentence: "the daemon may have only 60 files open",
        undo: Undo::By("rm -r /etc/systemd/system/keepstart.service.d; systemctl daemon-reload; systemctl restart keepstart"),
    },
    Plant {
        check: "receive-buffer",
        script: "mkdir -p /etc/systemd/system/keepstart.service.d
                printf '[Service]\\nCapabilityBoundingSet=~CAP_NET_ADMIN\\n' > /etc/systemd/system/keepstart.service.d/less.conf
                systemctl daemon-reload; systemctl restart keepstart",
        sentence: "for the kernel's notifications instead of 8388608",
        undo: Undo::By("rm -r /etc/systemd/system/keepstart.service.d; systemctl daemon-reload; systemctl restart keepstart"),
    },
    Plant {
        check: "systemd",
        script: "systemctl disable keepstart",
        sentence: "the unit keepstart.service is disabled: after the next boot nothing follows the address",
        undo: Undo::AsTold,
    },
    Plant {
        check: "systemd",
        script: "mkdir -p /etc/systemd/system/keepstart.service.d
                printf '[Service]\\nKillMode=mixed\\n' > /etc/systemd/system/keepstart.service.d/a.conf; systemctl daemon-reload",
        sentence: "the unit keepstart.service has KillMode=mixed",
        undo: Undo::AsTold,
    },
    Plant {
        check: "systemd",
        script: "systemctl disable keepalived",
        sentence: "the unit keepalived.service is not enabled: after the next boot this node never becomes MASTER",
        undo: Undo::AsTold,
    },
    Plant {
        check: "boot",
        script: "systemctl enable web",
        sentence: "web.service, which instance web starts on the MASTER, is enabled at boot as well",
        undo: Undo::AsTold,
    },
    Plant {
        check: "clock",
        script: "touch -d 'now + 3 hours' /var/lib/keepstart/*/epoch",
        sentence: "behind the daemon's last write of its epochs",
        undo: Undo::By("touch /var/lib/keepstart/*/epoch"),
    },
];

/// What the doctor says, and its exit code.
fn ask(machine: &Machine) -> (Value, Option<i32>) {
    let output = machine.try_run("keepstart doctor --json");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let json =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{complained}"));
    (json, output.status.code())
}

/// The findings of a check, or of all checks but that of the clock: whether a kernel's clock is synchronized is not this
/// test's to say.
fn findings<'a>(json: &'a Value, of: Option<&str>) -> Vec<&'a Value> {
    let checks = json["checks"].as_array().unwrap();
    let wanted = checks.iter().filter(|check| match of {
        Some(name) => check["name"] == name,
        None => check["name"] != "clock",
    });
    wanted
        .flat_map(|check| check["findings"].as_array().unwrap())
        .collect()
}

fn unseen(json: &Value) -> Vec<&Value> {
    let checks = json["checks"].as_array().unwrap();
    checks
        .iter()
        .flat_map(|check| check["unseen"].as_array().unwrap())
        .collect()
}

/// Waits until all is as it should be again: a daemon that was restarted has to ask its service first.
fn until_fine(machine: &Machine, after: &str) {
    machine.until(
        &format!("fine again after {after}"),
        "keepstart doctor --json || true",
        |said| {
            let Ok(json) = serde_json::from_str::<Value>(said) else {
                return false;
            };
            findings(&json, None).is_empty() && unseen(&json).is_empty()
        },
    );
}

#[test]
fn the_doctor_finds_each_planted_fault() {
    let machine = Machine::boot("doctor", Packages::get().directory());
    machine.run(SETUP);
    machine.until("started", "systemctl is-active web", |said| {
        said == "active"
    });
    until_fine(&machine, "the setup");
    the_clock_is_as_the_kernel_says(&machine);

    let missed: Vec<_> = PLANTS
        .iter()
        .filter_map(|plant| plant.missed(&machine))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    what_a_person_sees(&machine);
    who_is_not_root_sees_less(&machine);
    machine.run(&format!("echo 'instances: 7' > {FILE}"));
    assert_eq!(machine.try_run("keepstart doctor").status.code(), Some(78));
}

/// What the kernel says of its clock is the kernel's; what is said of it has to be that.
fn the_clock_is_as_the_kernel_says(machine: &Machine) {
    let kernel = machine.run("timedatectl show -p NTPSynchronized --value");
    let (json, code) = ask(machine);
    let found = findings(&json, Some("clock"));
    let synchronized = "the clock of this node is not synchronized: no decision depends on it";
    match kernel.as_str() {
        "yes" => assert!(found.is_empty() && code == Some(0), "{json:#}"),
        "no" => assert!(
            found.len() == 1
                && found[0]["what"].as_str().unwrap().contains(synchronized)
                && code == Some(1),
            "{json:#}"
        ),
        other => panic!("{other}"),
    }
}

fn what_a_person_sees(machine: &Machine) {
    machine.run("chmod o+w /opt/web");
    let output = machine.try_run("keepstart doctor");
    let said = String::from_utf8_lossy(&output.stdout);
    let first: Vec<_> = said.lines().take(2).collect();
    assert!(
        first[0].starts_with("hurts     script-permissions: /opt/web can be written by everybody")
            && first[1] == "            # chmod o-w /opt/web",
        "{said}"
    );
    assert!(
        said.contains(
            "\nok        scripts: 2 files can be executed: /opt/web/start, /opt/web/stop; of 1 line for a shell only the"
        ),
        "{said}"
    );
    assert!(
        said.lines()
            .last()
            .unwrap()
            .starts_with(&format!("{FILE}: 19 checks, ")),
        "{said}"
    );
    machine.run("chmod o-w /opt/web");
}

/// What may not be looked at is said, and is no pass.
fn who_is_not_root_sees_less(machine: &Machine) {
    machine.run("chmod 700 /opt/web");
    let output = machine
        .try_run("setpriv --reuid=65534 --regid=65534 --clear-groups keepstart doctor --json");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{json:#}");
    let unseen = unseen(&json);
    let has = |words: &str| {
        unseen
            .iter()
            .any(|why| why.as_str().unwrap().contains(words))
    };
    assert!(
        has("/opt/web/start: it cannot be looked at: Permission denied"),
        "{json:#}"
    );
    assert!(has("not allowed to talk to the daemon"), "{json:#}");
    let buffer = findings(&json, Some("receive-buffer"));
    assert!(
        buffer[0]["what"]
            .as_str()
            .unwrap()
            .starts_with("a daemon of this user gets a receive buffer of "),
        "{json:#}"
    );
    machine.run("chmod 755 /opt/web");
}

#[test]
fn the_doctor_says_that_there_is_no_systemd() {
    let said = machine::without_boot(
        "doctor-image",
        Packages::get().directory(),
        "dpkg --install /shared/1/*.deb > /dev/null 2>&1; keepstart doctor || echo code $?",
    );
    for words in [
        "may hurt  systemd: this system was not booted with systemd: after a crash or a boot nobody starts the daemon",
        "hurts     daemon: no daemon runs with this file",
        "unseen    clock: whether the clock is synchronized is asked of systemd, which does not run here",
        "code 1",
    ] {
        assert!(said.contains(words), "no {words}: {said}");
    }
}

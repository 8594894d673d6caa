//! A machine on which all is well, and with one thing changed at a time: exactly one finding, by its words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::facts::{
    Buffer, Clock, Daemon, Facts, FailedJob, Hook, Keepalived, KeepalivedConf, Modules, Moved,
    NetworkFiles, Other, OtherInstance, OtherKind, Place, Script, ScriptState, Systemd, Unit,
    UsedUnit,
};
use super::super::finding::{Diagnosis, Severity};
use super::all;
use crate::capabilities::Capabilities;
use crate::config;
use crate::machine::job::Action;
use crate::machine::kernel::{Address, AddressKey, KernelDump, Link, ShortName};
use crate::machine::settings::InstanceName;
use crate::scheduling::Standing;
use crate::trust::{Fault, Trouble};

mod address;
mod daemon;
mod keepalived;
mod scripts;
mod system;
mod systemd;

const FILE: &str = "/etc/keepstart/config.yaml";
const TEXT: &str = "instances: {web: {nic: eth0, vip: 10.0.0.1, start: /x/start, stop: /x/stop}}";

fn web() -> InstanceName {
    InstanceName::new("web").unwrap()
}

fn place(file: &str, line: usize) -> Place {
    Place {
        file: file.into(),
        line,
    }
}

fn script(path: &str, action: Action) -> Script {
    Script {
        path: path.into(),
        used: vec![(web(), action)],
        state: ScriptState::Executable,
        resolved: Some(path.into()),
        weak: Ok(Vec::new()),
    }
}

fn unit(file: &str) -> Unit {
    Unit {
        load: "loaded".into(),
        file: file.into(),
        active: "active".into(),
        kill_mode: "process".into(),
        before: vec!["keepalived.service".into()],
    }
}

fn daemon() -> Daemon {
    let read = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    Daemon {
        pid: 7,
        stale: false,
        deaf: None,
        overruns: 0,
        instances: vec!["web".into()],
        failed: Vec::new(),
        file_changed: Ok(read - Duration::from_secs(1)),
        file_read: Some(read),
        user: Ok(0),
        capabilities: Ok(Capabilities {
            ipc_lock: true,
            kill: true,
            net_admin: true,
            sys_ptrace: true,
        }),
        realtime: None,
        open_files: Ok(1024),
        is_in_this_network: Ok(true),
    }
}

/// A machine on which all is well.
fn fine() -> Facts {
    let link = |index, name: &str| Link {
        index,
        name: name.into(),
        altnames: Vec::new(),
    };
    let moved = Moved {
        owner: "vrrp_instance V".into(),
        address: [10, 0, 0, 1].into(),
        interface: Some("eth0".into()),
        label: None,
        place: place("/etc/keepalived/keepalived.conf", 5),
    };
    Facts {
        config: config::parse(TEXT, Path::new(FILE)).unwrap().config,
        warnings: config::Faults::default(),
        scripts: vec![
            script("/x/start", Action::Start),
            script("/x/stop", Action::Stop),
        ],
        units: Vec::new(),
        kernel: Ok(KernelDump {
            links: vec![link(1, "lo"), link(2, "eth0")],
            addresses: Vec::new(),
        }),
        buffer: Buffer {
            wanted: 1000,
            granted: Ok(1000),
            limit: Ok(100),
        },
        configured: NetworkFiles::default(),
        keepalived: Keepalived {
            processes: vec![5],
            file: "/etc/keepalived/keepalived.conf".into(),
            conf: Ok(Some(KeepalivedConf {
                files: vec!["/etc/keepalived/keepalived.conf".into()],
                unread: Vec::new(),
                addresses: vec![moved],
                hooks: Vec::new(),
            })),
        },
        daemon: Ok(Some(daemon())),
        others: Vec::new(),
        systemd: Some(Systemd {
            own: Some("keepstart.service".into()),
            units: Ok(BTreeMap::from([
                ("keepstart.service".into(), unit("enabled")),
                ("keepalived.service".into(), unit("enabled")),
                ("web.service".into(), unit("disabled")),
            ])),
        }),
        clock: Clock {
            synchronized: Ok(true),
            behind: Ok(Duration::ZERO),
        },
        modules: Modules::default(),
    }
}

/// What is found of these facts: `check: sentence [place] # command`, hurting ones marked with `!`.
fn found(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for check in all(facts) {
        for it in &check.said.findings {
            let mark = match it.severity {
                Severity::Hurts => "!",
                Severity::MayHurt => "?",
                Severity::Note => "",
            };
            let place = it
                .place
                .as_ref()
                .map_or(String::new(), |place| format!(" [{place}]"));
            let command = it.command.as_deref().unwrap_or_default();
            found.push(format!(
                "{mark}{}: {}{place} # {command}",
                check.name, it.what
            ));
        }
        found.extend(
            check
                .said
                .unseen
                .iter()
                .map(|why| format!("unseen {}: {why}", check.name)),
        );
    }
    found
}

/// A machine with one thing changed: exactly one finding, which has these words.
#[track_caller]
fn one(change: impl FnOnce(&mut Facts), words: &[&str]) {
    let mut facts = fine();
    change(&mut facts);
    let found = found(&facts);
    let [only] = &found[..] else {
        panic!("not one finding: {found:#?}");
    };
    for word in words {
        assert!(only.contains(word), "no {word:?} in {only}");
    }
}

fn conf(facts: &mut Facts) -> &mut KeepalivedConf {
    facts.keepalived.conf.as_mut().unwrap().as_mut().unwrap()
}

fn with_daemon(change: impl FnOnce(&mut Daemon)) -> impl FnOnce(&mut Facts) {
    |facts| change(facts.daemon.as_mut().unwrap().as_mut().unwrap())
}

fn here(facts: &mut Facts, link: u32, usable: bool, label: Option<&str>) {
    let key = AddressKey {
        link,
        local: [10, 0, 0, 1].into(),
        prefix_length: 32,
        peer: None,
    };
    let label = label.map(|label| ShortName::new(label).unwrap());
    facts
        .kernel
        .as_mut()
        .unwrap()
        .addresses
        .push(Address { key, label, usable });
}

#[test]
fn of_a_machine_without_faults_each_check_says_what_it_has_looked_at() {
    let facts = fine();
    assert_eq!(found(&facts), Vec::<String>::new());
    let checks = all(&facts);
    for check in &checks {
        assert!(!check.said.looked_at.is_empty(), "{}", check.name);
    }
    let diagnosis = Diagnosis::of(FILE.into(), checks);
    assert_eq!(
        (diagnosis.hurting, diagnosis.notes, diagnosis.unseen),
        (0, 0, 0)
    );
}

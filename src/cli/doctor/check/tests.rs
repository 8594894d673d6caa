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

#[test]
fn scripts_that_cannot_run() {
    let state = |state: ScriptState| move |facts: &mut Facts| facts.scripts[0].state = state;
    one(
        state(ScriptState::Missing),
        &[
            "!scripts: /x/start does not exist, but it is the start of instance web",
            "ls -l /x",
        ],
    );
    one(state(ScriptState::NotAFile), &["/x/start is no file"]);
    one(
        state(ScriptState::NotExecutable),
        &["/x/start is not executable", "# chmod 755 /x/start"],
    );
    one(
        state(ScriptState::OnNoexec),
        &["mounted with noexec", "findmnt"],
    );
    one(
        state(ScriptState::NoInterpreter("/no/sh".into())),
        &["begins with #!/no/sh, which does not exist"],
    );
    one(
        state(ScriptState::Unseen("closed".into())),
        &["unseen scripts: /x/start: closed"],
    );
}

#[test]
fn paths_in_the_wrong_hands() {
    let weak = Fault {
        component: "/x".into(),
        trouble: Trouble::Writable {
            group: None,
            everybody: true,
            mode: 0o757,
        },
    };
    one(
        |facts| facts.scripts[1].weak = Ok(vec![weak]),
        &[
            "!script-permissions: /x can be written by everybody (mode 0757), and is on the way to what is the stop of",
            "# chmod o-w /x",
        ],
    );
    let home = Fault {
        component: "/x".into(),
        trouble: Trouble::DirectoryOwner { uid: 1000 },
    };
    one(
        |facts| facts.scripts[1].weak = Ok(vec![home]),
        &[
            "!script-permissions: /x belongs to user 1000, and is on the way to what is the stop of",
            "; move what is run into a directory of root's, or run it as that user (`user: 1000`)",
            "# ls -ld /x",
        ],
    );
    one(
        |facts| facts.scripts[0].weak = Err("closed".into()),
        &["unseen script-permissions: /x/start: closed"],
    );
}

#[test]
fn interfaces_and_addresses() {
    let config = |text: &'static str| {
        move |facts: &mut Facts| facts.config = config::parse(text, Path::new(FILE)).unwrap().config
    };
    let mut facts = fine();
    config("instances: {web: {nic: eth9, vip: 10.0.0.1, start: /x/start, stop: /x/stop}}")(
        &mut facts,
    );
    let said = found(&facts).join("\n");
    assert!(
        said.contains(
            "!nic: instance web looks for its address on eth9, but this node has no such interface \
    (lo, eth0)"
        ),
        "{said}"
    );
    assert!(said.contains("!virtual-ipaddress: keepalived brings 10.0.0.1 to eth0 (vrrp_instance V), but instance \
    web"), "{said}");
    one(
        |facts| here(facts, 2, false, None),
        &["!vip: 10.0.0.1 is on eth0 cannot be used: another node was found to have it"],
    );
    one(
        |facts| here(facts, 1, true, None),
        &["!vip: 10.0.0.1 is on lo, but instance web looks for it on eth0"],
    );
    one(
        |facts| {
            facts
                .configured
                .addresses
                .push(([10, 0, 0, 1].into(), place("/etc/network/interfaces", 3)));
        },
        &[
            "!static-vip: 10.0.0.1, the address of instance web, is in this node's own network",
            "[/etc/network/interfaces:3]",
        ],
    );
    one(
        |facts| facts.configured.unread.push("closed".into()),
        &["unseen static-vip: closed"],
    );
    let mut facts = fine();
    facts.kernel = Err("deaf".into());
    assert_eq!(found(&facts), ["unseen nic: deaf", "unseen vip: deaf"]);
}

#[test]
fn a_label_and_an_altname_count_as_the_nic() {
    let mut facts = fine();
    facts.config = config::parse(&TEXT.replace("eth0", "eth0:vip"), Path::new(FILE))
        .unwrap()
        .config;
    conf(&mut facts).addresses[0].label = Some("eth0:vip".into());
    here(&mut facts, 2, true, Some("eth0:vip"));
    assert_eq!(found(&facts), Vec::<String>::new());
    conf(&mut facts).addresses[0].label = None;
    assert!(
        found(&facts)[0].contains("keepalived brings 10.0.0.1 to eth0 (vrrp_instance V), but"),
        "{:?}",
        found(&facts)
    );

    let mut facts = fine();
    facts.config = config::parse(&TEXT.replace("eth0", "lan"), Path::new(FILE))
        .unwrap()
        .config;
    facts.kernel.as_mut().unwrap().links[1]
        .altnames
        .push("lan".into());
    here(&mut facts, 2, true, None);
    assert_eq!(found(&facts), Vec::<String>::new());
}

#[test]
fn actions_of_other_users() {
    let weak = |facts: &mut Facts| {
        with_daemon(|daemon| daemon.capabilities.as_mut().unwrap().kill = false)(facts);
    };
    let mut facts = fine();
    weak(&mut facts);
    assert_eq!(found(&facts), Vec::<String>::new());
    let text = TEXT.replace("stop: /x/stop", "stop: {run: /x/stop, user: daemon}");
    let loaded = config::parse(&text, Path::new(FILE)).unwrap();
    one(
        |facts| {
            weak(facts);
            facts.config = loaded.config;
        },
        &[
            "?rights: the stop of instance web runs as user daemon, and the daemon lacks CAP_KILL: it cannot end",
            "CapabilityBoundingSet",
        ],
    );
}

#[test]
fn a_priority_that_is_not_in_force() {
    let standing = |why_not: Option<&str>| Standing {
        priority: 10,
        on: why_not.is_none(),
        why_not: why_not.map(str::to_owned),
        memory_locked: true,
    };
    let mut facts = fine();
    with_daemon(|daemon| daemon.realtime = Some(standing(None)))(&mut facts);
    assert!(found(&facts).is_empty());
    one(
        with_daemon(|daemon| daemon.realtime = Some(standing(Some("no right")))),
        &[
            "?rights: realtime-priority 10 is not in force",
            "no right",
            "RestrictRealtime",
        ],
    );
}

#[test]
fn the_receive_buffer() {
    one(
        with_daemon(|daemon| daemon.capabilities.as_mut().unwrap().net_admin = false),
        &[
            "?receive-buffer: the daemon gets a receive buffer of 100 bytes",
            "rmem_max = 500",
        ],
    );
    let mut facts = fine();
    with_daemon(|daemon| daemon.capabilities = Err("closed".into()))(&mut facts);
    assert_eq!(
        found(&facts),
        ["unseen receive-buffer: closed", "unseen rights: closed"]
    );
    one(
        with_daemon(|daemon| daemon.overruns = 3),
        &["receive-buffer: the kernel has dropped notifications 3 times"],
    );
    let mut facts = fine();
    facts.daemon = Ok(None);
    facts.buffer.granted = Ok(10);
    let said = found(&facts);
    assert!(
        said[0].contains("?receive-buffer: a daemon of this user gets a receive buffer of 5 bytes"),
        "{said:?}"
    );
}

#[test]
fn keepalived_beside_it() {
    one(
        |facts| facts.keepalived.processes.clear(),
        &[
            "!keepalived: keepalived does not run",
            "systemctl enable --now keepalived",
        ],
    );
    let mut facts = fine();
    facts.keepalived.processes.clear();
    here(&mut facts, 2, true, None);
    assert!(
        found(&facts)[0].contains("!vip: 10.0.0.1 is on eth0 although no keepalived runs here"),
        "{:?}",
        found(&facts)
    );
    one(
        |facts| {
            facts.keepalived.processes.clear();
            facts.keepalived.conf = Ok(None);
        },
        &["keepalived: no keepalived runs on this node, and none is configured: something else"],
    );
    one(
        |facts| conf(facts).addresses.clear(),
        &["!virtual-ipaddress: 10.0.0.1, the address of instance web, is in no virtual_ipaddress"],
    );
    one(
        |facts| conf(facts).unread.push("closed".into()),
        &["unseen virtual-ipaddress: closed"],
    );
}

#[test]
fn two_hands_on_one_service() {
    let hook = |program: &str, resolved: &str, units: &[&str]| Hook {
        owner: "vrrp_instance V".into(),
        keyword: "notify_master".into(),
        program: program.into(),
        resolved: Some(resolved.into()),
        units: units.iter().map(ToString::to_string).collect(),
        place: place("/k.conf", 9),
    };
    let mend = "# sed -i.bak '9s/^/#/' /k.conf && systemctl reload keepalived";
    let same = hook("/link", "/x/start", &[]);
    one(
        |facts| conf(facts).hooks.push(same),
        &[
            "!notify: keepalived runs /link in notify_master of vrrp_instance V as well",
            "two hands on one service",
            mend,
        ],
    );
    let used = UsedUnit {
        name: "web.service".into(),
        instance: web(),
        action: Action::Start,
    };
    let starts = hook("/y", "/y", &["web.service"]);
    one(
        |facts| {
            facts.units.push(used);
            conf(facts).hooks.push(starts);
        },
        &[
            "!notify: keepalived runs /y in notify_master of vrrp_instance V, which has a hand on web.service",
            mend,
        ],
    );
    let other = hook("/mail", "/mail", &[]);
    one(
        |facts| conf(facts).hooks.push(other),
        &[
            "notify: keepalived runs /mail in notify_master",
            "no action of the file runs it",
        ],
    );
}

#[test]
fn the_daemon_and_its_file() {
    one(
        |facts| facts.daemon = Ok(None),
        &[
            "!daemon: no daemon runs with this file",
            "# systemctl start keepstart.service",
        ],
    );
    one(
        with_daemon(|daemon| daemon.stale = true),
        &["!daemon: the daemon (process 7) answers, but its reactor does not"],
    );
    one(
        with_daemon(|daemon| daemon.deaf = Some("no".into())),
        &["gets no notifications of the kernel", ": no"],
    );
    let job = FailedJob {
        job: "1-2".into(),
        instance: "web".into(),
        action: Action::Start,
        outcome: "exit status 3".into(),
    };
    one(
        with_daemon(|daemon| daemon.failed.push(job)),
        &[
            "!daemon: the last start of instance web went wrong: exit status 3",
            "KEEPSTART_JOB=1-2",
        ],
    );
    one(
        with_daemon(|daemon| daemon.is_in_this_network = Ok(false)),
        &["?daemon: the daemon is in another network namespace"],
    );
    let later = |daemon: &mut Daemon| {
        daemon.file_changed = Ok(daemon.file_read.unwrap() + Duration::from_secs(30));
    };
    one(
        with_daemon(later),
        &[
            "?in-force: the file was changed after the daemon had read it, 30 s later",
            "reload",
        ],
    );
    one(
        with_daemon(|daemon| daemon.file_read = None),
        &["unseen in-force: the daemon does not say when"],
    );
    one(
        with_daemon(|daemon| daemon.instances.clear()),
        &["!in-force: the daemon does not know of what is in the file: web"],
    );
    one(
        with_daemon(|daemon| daemon.instances.push("db".into())),
        &["!in-force: the daemon still has what is no longer in the file: db"],
    );
    one(
        with_daemon(|daemon| daemon.open_files = Ok(20)),
        &[
            "?limits: the daemon may have only 20 files open",
            "LimitNOFILE=256",
        ],
    );
    let mut facts = fine();
    facts.daemon = Err("mute".into());
    let unseen: Vec<_> = ["daemon", "in-force", "limits", "rights"]
        .map(|name| format!("unseen {name}: mute"))
        .into();
    assert_eq!(found(&facts), unseen);
}

#[test]
fn another_keepstart() {
    let other = |kind: OtherKind| Other {
        pid: 9,
        command_line: "keepstart -c /b.yaml run".into(),
        kind,
    };
    let daemon = |start: &str, address: [u8; 4]| OtherKind::Daemon {
        file: PathBuf::from("/b.yaml"),
        instances: vec![OtherInstance {
            name: "b".into(),
            addresses: vec![address.into()],
            start: start.into(),
        }],
    };
    let with = |kind: OtherKind| move |facts: &mut Facts| facts.others.push(other(kind));
    one(
        with(daemon("/x/start", [10, 0, 0, 1])),
        &[
            "!second-keepstart: another keepstart (process 9, with /b.yaml) follows 10.0.0.1 as well",
            "with the same start",
            "# keepstart -c /b.yaml stop",
        ],
    );
    one(
        with(daemon("/y", [10, 0, 0, 1])),
        &["?second-keepstart: another keepstart"],
    );
    one(
        with(OtherKind::Foreign),
        &["?second-keepstart: process 9 calls itself keepstart too"],
    );
    one(
        with(OtherKind::Unseen("closed".into())),
        &["unseen second-keepstart: process 9 (keepstart -c /b.yaml run): closed"],
    );
    let mut facts = fine();
    facts.others.push(other(daemon("/x/start", [10, 0, 0, 2])));
    assert_eq!(found(&facts), Vec::<String>::new());
}

#[test]
fn what_systemd_does() {
    fn units(facts: &mut Facts) -> &mut BTreeMap<String, Unit> {
        facts.systemd.as_mut().unwrap().units.as_mut().unwrap()
    }
    fn own(facts: &mut Facts) -> &mut Unit {
        units(facts).get_mut("keepstart.service").unwrap()
    }
    one(
        |facts| own(facts).file = "disabled".into(),
        &[
            "!systemd: the unit keepstart.service is disabled",
            "# systemctl enable keepstart.service",
        ],
    );
    one(
        |facts| own(facts).load = "masked".into(),
        &["!systemd: the unit keepstart.service is masked"],
    );
    one(
        |facts| own(facts).active = "failed".into(),
        &["!systemd: the unit keepstart.service has failed"],
    );
    one(
        |facts| own(facts).kill_mode = "control-group".into(),
        &["!systemd: the unit keepstart.service has KillMode=control-group"],
    );
    one(
        |facts| own(facts).before.clear(),
        &["?systemd: the unit keepstart.service is not ordered before keepalived.service"],
    );
    one(
        |facts| units(facts).get_mut("keepalived.service").unwrap().file = "disabled".into(),
        &["?systemd: the unit keepalived.service is not enabled"],
    );
    // One that is installed, and has nothing to do here, need not be.
    one(
        |facts| {
            units(facts).get_mut("keepalived.service").unwrap().file = "disabled".into();
            facts.keepalived.processes.clear();
            facts.keepalived.conf = Ok(None);
        },
        &["keepalived: no keepalived runs on this node"],
    );
    one(
        |facts| drop(units(facts).remove("keepstart.service")),
        &["?systemd: there is no unit keepstart.service"],
    );
    one(
        |facts| facts.systemd.as_mut().unwrap().own = None,
        &["?systemd: no unit runs the daemon with this file"],
    );
    one(
        |facts| facts.systemd.as_mut().unwrap().units = Err("mute".into()),
        &["unseen systemd: mute"],
    );
    one(
        |facts| facts.systemd = None,
        &["?systemd: this system was not booted with systemd"],
    );
    let used = UsedUnit {
        name: "web.service".into(),
        instance: web(),
        action: Action::Start,
    };
    let with = |facts: &mut Facts, change: fn(&mut Unit)| {
        facts.units.push(used.clone());
        change(units(facts).get_mut("web.service").unwrap());
    };
    one(
        |facts| with(facts, |unit| unit.file = "enabled".into()),
        &[
            "!boot: web.service, which instance web starts on the MASTER, is enabled at boot",
            "# systemctl disable web.service",
        ],
    );
    one(
        |facts| with(facts, |unit| unit.load = "not-found".into()),
        &["!boot: the start of instance web starts web.service, but there is no such unit"],
    );
    one(
        |facts| with(facts, |unit| unit.load = "masked".into()),
        &["!boot: ", "masked", "systemctl unmask web.service"],
    );
}

#[test]
fn the_system() {
    one(
        |facts| facts.clock.synchronized = Ok(false),
        &["?clock: the clock of this node is not synchronized: no decision depends on it"],
    );
    one(
        |facts| facts.clock.synchronized = Err("mute".into()),
        &["unseen clock: mute"],
    );
    one(
        |facts| facts.clock.behind = Ok(Duration::from_hours(3)),
        &["?clock: the clock of this node is 3 h behind"],
    );
    one(
        |facts| facts.modules.selinux_enforces = true,
        &["confinement: SELinux enforces here"],
    );
    one(
        |facts| facts.modules.apparmor = Some("keepstart (enforce)".into()),
        &[
            "?confinement: AppArmor confines the daemon",
            "keepstart (enforce)",
        ],
    );
}

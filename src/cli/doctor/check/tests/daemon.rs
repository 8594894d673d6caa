//! The daemon, its file and its rights.

use super::*;

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

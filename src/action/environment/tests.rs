//! Tests of `action/environment`.

use super::super::testing::{daemon, job, with_settings};
use super::*;
use crate::machine::job::Action;
use crate::machine::settings::Command;

fn start() -> Job {
    job(3, Action::Start, Command::Shell("true".into()))
}

#[test]
fn what_would_mislead_a_script_is_withheld() {
    let withheld = [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "IFS",
        "ENV",
        "BASH_ENV",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "JOURNAL_STREAM",
        "INVOCATION_ID",
        "KEEPSTART_JOB",
    ];
    for name in withheld {
        assert!(!is_handed_on(OsStr::new(name)), "{name}");
    }
    for name in [
        "PATH",
        "HOME",
        "LANG",
        "ENVIRONMENT",
        "MY_LD_X",
        "IFSX",
        "KEEPSTART",
    ] {
        assert!(is_handed_on(OsStr::new(name)), "{name}");
    }
}

#[test]
fn the_variables_of_a_job() {
    let id = start().id.to_string();
    let expected = [
        ("KEEPSTART_INSTANCE", "web.1"),
        ("KEEPSTART_ROLE", "MASTER"),
        ("KEEPSTART_PREVIOUS_ROLE", "UNKNOWN"),
        ("KEEPSTART_VIP", "127.0.0.7,fd00::7"),
        ("KEEPSTART_NIC", "lo"),
        ("KEEPSTART_ACTION", "start"),
        ("KEEPSTART_REASON", "the role was gained"),
        ("KEEPSTART_EPOCH", "7"),
        ("KEEPSTART_JOB", id.as_str()),
    ];
    let variables = job_variables(&start());
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    assert_eq!(variables, expected);
}

#[test]
fn keepalived_knows_these_states() {
    let state = |role, reason| {
        let job = Job {
            role,
            reason,
            ..start()
        };
        keepalived_arguments(&job).map(str::to_owned)
    };
    let expected = |state: &str| ["INSTANCE", "web.1", state, "0"].map(str::to_owned);
    assert_eq!(state(Role::Master, Reason::Retry), expected("MASTER"));
    assert_eq!(state(Role::Backup, Reason::RoleLost), expected("BACKUP"));
    assert_eq!(
        state(Role::Unknown, Reason::UnknownTooLong),
        expected("FAULT")
    );
    assert_eq!(state(Role::Master, Reason::DaemonEnds), expected("STOP"));
    assert_eq!(
        state(Role::Master, Reason::InstanceRemoved),
        expected("STOP")
    );
}

#[test]
fn the_nearest_path_is_searched() {
    let inherited = Inherited::new(vec![("PATH".into(), "/inherited".into())], &daemon());
    assert_eq!(search_path(&start(), &inherited), "/inherited");
    assert_eq!(
        search_path(&start(), &Inherited::new(Vec::new(), &daemon())),
        DEFAULT_PATH
    );
    let own = with_settings(start(), |settings| {
        let path = |value: &str| ("PATH".to_owned(), value.to_owned());
        settings.environment = vec![path("/own")];
    });
    assert_eq!(search_path(&own, &inherited), "/own");
}

#[test]
fn each_name_stands_once_in_the_block() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let inherited = ["HOME", "LANG", "ODD"].map(|name| (name.into(), "inherited".into()));
    let inherited = Inherited::new(inherited.to_vec(), &daemon());
    let job = with_settings(start(), |settings| {
        settings.environment = vec![pair("LANG", "a=b")];
    });
    let block = Block::of(&job, &inherited).unwrap();
    let texts = block.variables().iter();
    let texts: Vec<_> = texts.map(|text| text.to_str().unwrap()).collect();
    let of = |name: &str| {
        let all = texts.iter().filter_map(|text| text.split_once('='));
        let all = all.filter(|(known, _)| *known == name);
        all.map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(of("HOME"), ["inherited"]);
    assert_eq!(of("LANG"), ["a=b"]);
    assert_eq!(of("KEEPSTART_EPOCH"), ["7"]);
    assert_eq!(of("KEEPSTART_CONFIG"), ["/etc/bench.yaml"]);
    let bad = with_settings(start(), |settings| {
        settings.environment = vec![pair("A", "\0")];
    });
    assert!(Block::of(&bad, &inherited).is_err());
}

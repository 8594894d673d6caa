//! Tests of `action/output`.

use super::super::testing::job;
use super::*;
use crate::machine::settings::Command;

#[test]
fn a_name_is_read_as_it_was_written() {
    for action in [Action::Start, Action::Stop, Action::IsRunning] {
        let job = job(12, action, Command::Shell("true".into()));
        let name = OutputName::of(&job);
        assert_eq!(OutputName::parse(&name.file_name()), Some(name));
    }
    let older = OutputName::parse("web.start.stop.0000000c-3").unwrap();
    assert_eq!(older.instance, "web.start");
    assert_eq!((older.action, older.serves), (Action::Stop, None));
    assert_eq!(older.file_name(), "web.start.stop.0000000c-3");
    for foreign in [
        "",
        ".",
        "web",
        "web.start",
        "web.start.1",
        ".start.00000001-1",
        "web.begin.00000001-1",
        "web.MASTER-7.00000001-1",
        "web.start.MASTER-x.00000001-1",
        ".start.MASTER-7.00000001-1",
    ] {
        assert_eq!(OutputName::parse(foreign), None, "{foreign}");
    }
}

#[test]
fn a_name_is_found_in_an_environment() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut variables = vec![
        pair("PATH", "/bin"),
        pair("KEEPSTART_INSTANCE", "web.1"),
        pair("KEEPSTART_ACTION", "stop"),
        pair("KEEPSTART_ROLE", "BACKUP"),
        pair("KEEPSTART_EPOCH", "12"),
        pair("KEEPSTART_JOB", "00000001-7"),
    ];
    let name = OutputName::among(&variables).unwrap();
    assert_eq!(name.file_name(), "web.1.stop.BACKUP-12.00000001-7");
    variables.pop();
    assert_eq!(OutputName::among(&variables), None);
}

#[test]
fn the_longest_name_is_a_file_name() {
    let longest = OutputName {
        instance: "x".repeat(64),
        action: Action::IsRunning,
        serves: Some((Role::Unknown, u64::MAX)),
        job: JobId {
            life: u32::MAX,
            number: u64::MAX,
        },
    };
    let name = longest.file_name();
    assert_eq!(name.len(), 134);
    assert_eq!(OutputName::parse(&name), Some(longest));
}

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
    for foreign in [
        "",
        ".",
        "web",
        "web.start",
        "web.start.1",
        ".start.00000001-1",
        "web.begin.00000001-1",
    ] {
        assert_eq!(OutputName::parse(foreign), None, "{foreign}");
    }
}

#[test]
fn a_new_file_is_locked_for_its_writer() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(12, Action::Stop, Command::Shell("true".into()));
    let name = OutputName::of(&job);
    let writer = name.create(directory.path()).unwrap();
    let other = File::open(directory.path().join(name.file_name())).unwrap();
    assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
    drop(writer);
    assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok());
    // While the reader has it, it cannot be had.
    assert!(name.create(directory.path()).is_err());
}

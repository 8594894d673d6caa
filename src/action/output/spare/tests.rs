//! Tests of `action/output/spare`.

use std::process::{Command, Stdio};

use super::*;

fn directories() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    fs::create_dir(&output).unwrap();
    make_room(&output);
    (directory, output)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn is_locked(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
}

#[test]
fn a_file_is_locked_for_its_writers_and_named_when_it_is_handed_over() {
    let (_directory, output) = directories();
    let name = OutputName::parse("web.start.00000001-1").unwrap();
    let mut spare = Spare::new(&output, 7, 1);
    let writer = spare.file().unwrap().try_clone().unwrap();
    assert!(names(&output).is_empty());
    assert_eq!(spare.hand_over(&name), OutputFate::Kept);
    assert_eq!(names(&output), ["web.start.00000001-1"]);
    assert!(is_locked(&output.join(name.file_name())));
    drop(writer);
    assert!(!is_locked(&output.join(name.file_name())));
    // Without a file in hand there is nothing to hand over.
    assert_eq!(spare.hand_over(&name), OutputFate::Lost);
    assert!(spare.file().is_some());
    assert_eq!(names(&waiting_room(&output)).len(), 1);
    drop(spare);
    assert!(names(&waiting_room(&output)).is_empty());
}

#[test]
fn what_a_killed_daemon_left_is_removed_or_named_after_its_writer() {
    let (_directory, output) = directories();
    let room = waiting_room(&output);
    fs::write(room.join("unused"), "").unwrap();
    let file = make(&room.join("written")).unwrap();
    let mut writer = Command::new("/bin/sleep")
        .arg("1000")
        .env("KEEPSTART_INSTANCE", "web")
        .env("KEEPSTART_ACTION", "start")
        .env("KEEPSTART_ROLE", "MASTER")
        .env("KEEPSTART_EPOCH", "7")
        .env("KEEPSTART_JOB", "00000001-1")
        .stdin(Stdio::null())
        .stdout(file)
        .spawn()
        .unwrap();
    make_room(&output);
    let is_held = is_locked(&output.join("web.start.MASTER-7.00000001-1"));
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(is_held);
    assert!(names(&room).is_empty());
    assert_eq!(names(&output), ["web.start.MASTER-7.00000001-1"]);
}

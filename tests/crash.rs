//! What a panic leaves. A test binary of its own, because the panic hook is the whole process's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use keepstart::machine::message::{Input, RestoredMap};
use keepstart::machine::{Machine, Time};
use keepstart::record::{Origin, Recorded, Tape, crash};

#[test]
fn a_panic_leaves_the_last_inputs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crash.jsonl");
    let text =
        "instances:\n  web: {vip: 10.0.0.1, start: a, stop: b, environment: {KEY: hunter2}}\n";
    let loaded = keepstart::config::parse(text, Path::new("/config.yaml")).unwrap();
    let at = |ms| Time::from_start(Duration::from_millis(ms));
    let machine = Machine::new(&loaded.config.settings, &RestoredMap::new(), 7, at(0));
    let origin = Origin {
        boot_id: "boot".into(),
        life: 7,
        unix_ns: 0,
    };
    let tape = Tape::new(origin, &machine, None);
    crash::leave_at(file.clone(), &tape);
    let panicked = std::thread::spawn(move || {
        let mut recorded = Recorded::new(machine, tape);
        recorded.handle(Input::Subscribed, at(1));
        while recorded.poll_output().is_some() {}
        recorded.handle(Input::Overrun, at(2));
        panic!("a fault that this test makes");
    })
    .join();
    assert!(panicked.is_err());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = crash::take_up(&file).unwrap().unwrap();
    assert!(!file.exists());
    assert_eq!(crash::take_up(&file).unwrap(), None);
    let recording = fs::read_to_string(&told).unwrap();
    assert!(!recording.contains("hunter2"), "{recording}");
    let said = Command::new(env!("CARGO_BIN_EXE_keepstart"))
        .arg("replay")
        .arg(&told)
        .output()
        .unwrap();
    let (code, said) = (said.status.code(), String::from_utf8(said.stdout).unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("was just taking in when it ended"),
        "{}",
        said
    );
    assert!(said.contains("a fault that this test makes"), "{}", said);
}

//! Tests of `state/run_log`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::machine::job::{Action, Role};
use crate::machine::message::Identity;
use crate::machine::reason::Reason;

fn boot() -> BootId {
    BootId::parse("11111111-2222-3333-4444-555555555555").unwrap()
}

fn system_start() -> SystemStart {
    SystemStart {
        boot: boot(),
        init_start_ticks: Some(17),
    }
}

fn name(text: &str) -> InstanceName {
    InstanceName::new(text).unwrap()
}

fn id(number: u64) -> JobId {
    JobId { life: 0xab, number }
}

fn job(number: u64, instance: &str, action: Action) -> InFlight {
    InFlight {
        job: id(number),
        instance: name(instance),
        action,
        role: Role::Master,
        epoch: 7,
        reason: Reason::RoleGained,
        deadline_monotonic: Duration::from_nanos(90_000_000_001),
        timeout: Duration::from_secs(90),
        identity: Identity::Recorded,
        process: None,
    }
}

#[test]
fn a_job_that_an_older_daemon_noted_without_its_role_and_reason_is_known() {
    let mut noted = serde_json::to_value(job(1, "web", Action::Start)).unwrap();
    for key in ["role", "reason"] {
        noted.as_object_mut().unwrap().remove(key).unwrap();
    }
    let read: InFlight = serde_json::from_value(noted).unwrap();
    assert_eq!((read.role, read.epoch), (Role::Unknown, 7));
    assert_eq!(read.reason, Reason::Adopted);
    assert_eq!(read.started_monotonic(), Duration::from_nanos(1));
}

fn process(pid: u32) -> Process {
    Process {
        pid,
        start_ticks: 1 << 40,
    }
}

struct Place {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    Place { dir, path }
}

impl Place {
    fn open(&self) -> (RunLog, RunState, Vec<Finding>) {
        RunLog::open(&self.path, &system_start())
    }

    /// Opens a file that must be in order.
    fn state(&self) -> RunState {
        let (_, state, findings) = self.open();
        assert!(findings.is_empty(), "{findings:?}");
        state
    }

    fn lines(&self) -> usize {
        fs::read_to_string(&self.path).unwrap().lines().count()
    }
}

#[test]
fn nothing_is_known_without_a_file() {
    let place = place();
    let state = place.state();
    assert_eq!(state, RunState::default());
    assert_eq!(state.knowledge(&name("web")), None);
}

#[test]
fn a_killed_daemon_is_remembered_with_its_job() {
    let place = place();
    let (log, ..) = place.open();
    log.knowledge(name("db"), Knowledge::Running).unwrap();
    log.knowledge(name("web"), Knowledge::Stopped).unwrap();
    log.intent(job(1, "web", Action::Start)).unwrap();
    let state = place.state();
    assert_eq!(state.in_flight[&id(1)], job(1, "web", Action::Start));

    // Opening has replaced the file, so the first log stands for a daemon that wrote before it was killed.
    let (log, ..) = place.open();
    log.spawned(id(1), process(4711)).unwrap();
    let state = place.state();
    assert_eq!(state.in_flight[&id(1)].process, Some(process(4711)));
    assert_eq!(state.knowledge(&name("web")), Some(Knowledge::Maybe));
    assert_eq!(state.knowledge(&name("db")), Some(Knowledge::Running));
}

#[test]
fn a_job_leaves_maybe_behind_until_more_is_known() {
    let place = place();
    let (log, ..) = place.open();
    log.knowledge(name("web"), Knowledge::Stopped).unwrap();
    log.intent(job(1, "web", Action::Start)).unwrap();
    log.spawned(id(1), process(1)).unwrap();
    log.ended(id(1)).unwrap();
    let (log, state, _) = place.open();
    assert!(state.in_flight.is_empty());
    assert_eq!(state.knowledge(&name("web")), Some(Knowledge::Maybe));
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    assert_eq!(
        place.state().knowledge(&name("web")),
        Some(Knowledge::Running)
    );
}

#[test]
fn what_changes_nothing_leaves_the_knowledge_alone() {
    let place = place();
    let (log, ..) = place.open();
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    log.intent(job(1, "web", Action::IsRunning)).unwrap();
    assert_eq!(
        place.open().1.knowledge(&name("web")),
        Some(Knowledge::Running)
    );
    let (log, ..) = place.open();
    log.ended(id(1)).unwrap();
    log.intent(job(2, "web", Action::Stop)).unwrap();
    log.not_spawned(id(2)).unwrap();
    // The end of a job that was never noted (its intent could not be written) says nothing.
    log.ended(id(99)).unwrap();
    let state = place.state();
    assert!(state.in_flight.is_empty());
    assert_eq!(state.knowledge(&name("web")), Some(Knowledge::Running));
}

#[test]
fn a_removed_instance_is_forgotten() {
    let place = place();
    let (log, ..) = place.open();
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    log.forget(name("web")).unwrap();
    assert_eq!(place.state(), RunState::default());
}

#[test]
fn an_interface_that_was_seen_outlives_its_instance_and_damage() {
    let place = place();
    let (log, ..) = place.open();
    log.nic_seen(name("web"), "eth0".into()).unwrap();
    log.nic_seen(name("web"), "vrrp.51".into()).unwrap();
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    log.forget(name("web")).unwrap();
    // It is read, written by the rewrite of the opening, and read again.
    for _ in 0..2 {
        let state = place.state();
        assert_eq!(state.nic_seen(&name("web")), Some("vrrp.51"));
        assert_eq!(state.knowledge(&name("web")), None);
        assert_eq!(state.nic_seen(&name("db")), None);
    }
    let whole = fs::read_to_string(&place.path).unwrap();
    fs::write(&place.path, whole + "torn\n").unwrap();
    let (_, state, findings) = place.open();
    assert_eq!((findings.len(), state.damaged), (1, true));
    assert_eq!(state.nic_seen(&name("web")), Some("vrrp.51"));
}

#[test]
fn a_record_that_is_removed_under_the_daemon_is_written_anew() {
    let place = place();
    let inside = place.dir.path().join("run");
    fs::create_dir(&inside).unwrap();
    let path = inside.join("run.json");
    let (log, ..) = RunLog::open(&path, &system_start());
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    let knows = |instance: &str| {
        let bytes = fs::read(&path).unwrap();
        let state =
            parse(&bytes, &system_start()).unwrap_or_else(|damage| panic!("{}", damage.why));
        state.knowledge(&name(instance))
    };
    fs::remove_dir_all(&inside).unwrap();
    log.keep().unwrap();
    assert_eq!(knows("web"), Some(Knowledge::Running));
    fs::remove_dir_all(&inside).unwrap();
    log.knowledge(name("db"), Knowledge::Stopped).unwrap();
    assert_eq!(knows("web"), Some(Knowledge::Running));
    assert_eq!(knows("db"), Some(Knowledge::Stopped));
    // Not where nobody has removed anything.
    let inode = fs::metadata(&path).unwrap().ino();
    log.keep().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn another_boot_is_forgotten_quietly_whatever_its_version() {
    let place = place();
    let other = r#"{"version":99,"boot":"99999999-2222-3333-4444-555555555555"}"#;
    fs::write(&place.path, format!("{other}\nwhatever\n")).unwrap();
    assert_eq!(place.state(), RunState::default());
    assert_eq!(place.lines(), 1);
}

#[test]
fn another_start_of_a_container_is_forgotten_quietly() {
    let place = place();
    let (log, ..) = place.open();
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    let knowledge = |init_start_ticks| {
        let start = SystemStart {
            init_start_ticks,
            ..system_start()
        };
        let (_, state, findings) = RunLog::open(&place.path, &start);
        assert!(findings.is_empty(), "{findings:?}");
        state.knowledge(&name("web"))
    };
    // Where PID 1 may not be looked at, the boot decides.
    assert_eq!(knowledge(None), Some(Knowledge::Running));
    assert_eq!(knowledge(Some(17)), Some(Knowledge::Running));
    assert_eq!(knowledge(Some(18)), None);
}

/// A file with all kinds of records, and the state after each of its lines.
fn full_file(place: &Place) -> (Vec<u8>, Vec<RunState>) {
    let (log, first, _) = place.open();
    let mut states = vec![first];
    let mut note = |result: Result<(), RunLogError>| {
        result.unwrap();
        states.push(log.lock().state.clone());
    };
    note(log.knowledge(name("web"), Knowledge::Stopped));
    note(log.intent(job(1, "web", Action::Start)));
    note(log.spawned(id(1), process(4711)));
    note(log.ended(id(1)));
    note(log.knowledge(name("web"), Knowledge::Running));
    note(log.intent(job(2, "db", Action::IsRunning)));
    note(log.not_spawned(id(2)));
    note(log.knowledge(name("old"), Knowledge::Maybe));
    note(log.forget(name("old")));
    note(log.intent(job(3, "web", Action::Stop)));
    (fs::read(&place.path).unwrap(), states)
}

#[test]
fn a_file_cut_anywhere_gives_the_state_before_the_cut() {
    let place = place();
    let (bytes, states) = full_file(&place);
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in 0..=bytes.len() {
        fs::write(&place.path, &bytes[..length]).unwrap();
        let (log, state, findings) = place.open();
        if length < header {
            assert!(state.damaged && state.in_flight.is_empty(), "{length}");
            assert_eq!(findings.len(), 1, "{length}");
        } else {
            let records = bytes[header..length].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(state, states[records], "{length}");
            assert!(findings.is_empty(), "{length}: {findings:?}");
        }
        // The log goes on from there.
        log.knowledge(name("next"), Knowledge::Running).unwrap();
        assert_eq!(
            place.state().knowledge(&name("next")),
            Some(Knowledge::Running)
        );
    }
}

#[test]
fn a_damaged_byte_anywhere_never_stops_the_daemon_and_never_means_stopped() {
    let place = place();
    let (bytes, states) = full_file(&place);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] = 0;
        fs::write(&place.path, &damaged).unwrap();
        let (_, state, findings) = place.open();
        if at + 1 == bytes.len() {
            // Without its end the last line was never written.
            assert_eq!(state, states[states.len() - 2]);
        } else {
            assert_eq!(findings.len(), 1, "{at}");
            assert_eq!(
                state.knowledge(&name("web")),
                Some(Knowledge::Maybe),
                "{at}"
            );
            assert_eq!(state.knowledge(&name("never-seen")), Some(Knowledge::Maybe));
        }
    }
}

#[test]
fn damage_is_reported_once_but_remembered_for_this_boot() {
    let place = place();
    fs::write(&place.path, "no JSON\n").unwrap();
    let (log, state, findings) = place.open();
    assert!(state.damaged);
    let text = findings[0].to_string();
    assert!(
        text.contains("run.json is not usable (its header:"),
        "{text}"
    );
    assert!(text.ends_with("run.json.damaged-1"), "{text}");
    assert_eq!(
        fs::read_to_string(place.dir.path().join("run.json.damaged-1")).unwrap(),
        "no JSON\n"
    );

    log.knowledge(name("web"), Knowledge::Stopped).unwrap();
    let state = place.state();
    assert_eq!(state.knowledge(&name("web")), Some(Knowledge::Stopped));
    assert_eq!(state.knowledge(&name("db")), Some(Knowledge::Maybe));
}

#[test]
fn another_version_in_this_boot_and_a_directory_are_set_aside() {
    let place = place();
    let header = format!(r#"{{"version":2,"boot":"{}"}}"#, boot());
    fs::write(&place.path, header + "\n").unwrap();
    let (_, state, findings) = place.open();
    assert!(state.damaged);
    assert!(findings[0].to_string().contains("its version is 2, not 1"));

    fs::remove_file(&place.path).unwrap();
    fs::create_dir(&place.path).unwrap();
    let (log, state, findings) = place.open();
    assert!(state.damaged);
    assert!(
        matches!(findings[..], [Finding::SetAside { .. }]),
        "{findings:?}"
    );
    log.knowledge(name("web"), Knowledge::Running).unwrap();
    assert_eq!(
        place.state().knowledge(&name("web")),
        Some(Knowledge::Running)
    );
}

#[test]
fn the_file_stays_small_however_much_happens() {
    let place = place();
    let (log, ..) = place.open();
    let mut longest = 0;
    for number in 0..5_000 {
        log.intent(job(number, "web", Action::Start)).unwrap();
        log.spawned(id(number), process(1)).unwrap();
        log.ended(id(number)).unwrap();
        log.knowledge(name("web"), Knowledge::Running).unwrap();
        longest = longest.max(fs::metadata(&place.path).unwrap().len());
    }
    assert!(longest < COMPACT_BYTES_MIN + 1_000, "{longest}");
    assert_eq!(
        place.state().knowledge(&name("web")),
        Some(Knowledge::Running)
    );
    assert_eq!(place.lines(), 2);
}

#[test]
fn a_record_that_was_not_written_comes_with_the_next() {
    let place = place();
    let (log, ..) = place.open();
    // Nothing can be renamed over the file while its temporary name is a directory with something in it.
    let obstacle = place.dir.path().join("run.json.new");
    fs::create_dir_all(obstacle.join("something")).unwrap();
    log.lock().file = Some(File::options().append(true).open("/dev/full").unwrap());
    let error = log.intent(job(1, "web", Action::Start)).unwrap_err();
    assert!(error.to_string().contains("run.json"), "{error}");
    log.spawned(id(1), process(4711)).unwrap_err();

    fs::remove_dir_all(&obstacle).unwrap();
    log.knowledge(name("db"), Knowledge::Running).unwrap();
    let state = place.state();
    assert_eq!(state.in_flight[&id(1)].process, Some(process(4711)));
    assert_eq!(state.knowledge(&name("db")), Some(Knowledge::Running));
}

/// Runs itself again in a mount namespace of its own, with a file system of 128 kB.
#[test]
fn a_full_file_system_loses_nothing_that_is_noted_after_it() {
    const MOUNTED: &str = "KEEPSTART_TEST_SMALL_FILE_SYSTEM";
    if std::env::var_os(MOUNTED).is_some() {
        return on_a_small_file_system();
    }
    let this = std::thread::current().name().unwrap().to_owned();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec"])
        .arg("mount -t tmpfs -o size=128k none /mnt; exec \"$0\" --exact \"$1\" --nocapture")
        .arg(std::env::current_exe().unwrap())
        .arg(this)
        .env(MOUNTED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{output:?}"
    );
}

fn on_a_small_file_system() {
    let path = Path::new("/mnt/run.json");
    let (log, ..) = RunLog::open(path, &system_start());
    let ballast = Path::new("/mnt/ballast");
    fs::write(ballast, vec![0; 200 << 10]).unwrap_err();
    let mut failures = 0;
    for number in 0..200 {
        failures += u32::from(log.intent(job(number, "web", Action::Start)).is_err());
    }
    assert!(failures > 0);
    // What had been written before is whole.
    let before = fs::read(path).unwrap();
    assert!(parse(&before, &system_start()).is_ok());
    fs::remove_file(ballast).unwrap();
    log.knowledge(name("db"), Knowledge::Running).unwrap();
    let (_, state, findings) = RunLog::open(path, &system_start());
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(state.in_flight.len(), 200);
    assert_eq!(state.knowledge(&name("db")), Some(Knowledge::Running));
}

//! Tests of `state/lock`.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use super::*;

fn refused_with(error: &LockError) -> Option<u32> {
    match error {
        LockError::Held {
            holder: Holder::Daemon(pid),
            ..
        } => *pid,
        LockError::Held { .. } | LockError::NotAPidfile { .. } | LockError::Io { .. } => {
            panic!("{error}")
        }
    }
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let held = Lock::acquire(&path).unwrap();
    let error = Lock::acquire(&path).unwrap_err();
    assert_eq!(refused_with(&error), Some(std::process::id()));
    assert!(
        error
            .to_string()
            .contains(&format!("pid {}", std::process::id()))
    );
    drop(held);
    Lock::acquire(&path).unwrap();
}

#[test]
fn the_holder_is_named_without_being_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert_eq!(Lock::holder(&path).unwrap(), None);
    let held = Lock::acquire(&path).unwrap();
    assert_eq!(
        Lock::holder(&path).unwrap(),
        Some(Holder::Daemon(Some(std::process::id())))
    );
    drop(held);
    assert_eq!(Lock::holder(&path).unwrap(), None);
}

#[test]
fn a_lock_dies_with_a_killed_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut child = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(&path)
        .args(["sh", "-c", "echo locked; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    child.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"locked\n");
    assert_eq!(refused_with(&Lock::acquire(&path).unwrap_err()), None);
    child.kill().unwrap();
    child.wait().unwrap();
    Lock::acquire(&path).unwrap();
}

#[test]
fn a_lock_that_outlives_its_daemon_is_told_with_both_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    // The shell inherits the open file and with it the lock of the one that ends.
    let mut child = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(&path)
        .args(["sh", "-c", "echo locked; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    fs::write(&path, ended.id().to_string()).unwrap();
    let expected = Holder::Unborn {
        daemon: ended.id(),
        process: child.id(),
    };
    assert_eq!(Lock::holder(&path).unwrap(), Some(expected));
    let error = Lock::acquire(&path).unwrap_err().to_string();
    let way_out = format!("`kill -9 {}`", child.id());
    assert!(error.contains(&way_out), "{error}");
    // A number that another process has got since is not taken for the daemon's.
    let stranger = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&path, stranger.id().to_string()).unwrap();
    assert!(matches!(
        Lock::holder(&path).unwrap(),
        Some(Holder::Unborn { process, .. }) if process == child.id()
    ));
    for mut one in [child, stranger] {
        one.kill().unwrap();
        one.wait().unwrap();
    }
    Lock::acquire(&path).unwrap();
}

#[test]
fn a_stale_pidfile_with_a_reused_pid_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.pid");
    // The pid of a process that is certainly alive and certainly is no daemon of this file.
    fs::write(&path, "1\n").unwrap();
    let pidfile = Pidfile::create(&path).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{}\n", std::process::id())
    );
    assert_eq!(
        refused_with(&Pidfile::create(&path).unwrap_err()),
        Some(std::process::id())
    );
    pidfile.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_pidfile_is_readable_by_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.pid");
    let _pidfile = Pidfile::create(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444);
    assert_eq!(mode & 0o022, 0);
}

#[test]
fn a_pidfile_that_another_has_replaced_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.pid");
    let first = Pidfile::create(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let second = Pidfile::create(&path).unwrap();
    first.remove().unwrap();
    assert!(path.exists());
    second.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_pidfile_that_is_gone_already_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.pid");
    let pidfile = Pidfile::create(&path).unwrap();
    fs::remove_file(&path).unwrap();
    pidfile.remove().unwrap();
}

#[test]
fn nothing_but_a_pidfile_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.pid");
    let refuses = || matches!(Pidfile::create(&path), Err(LockError::NotAPidfile { .. }));

    let precious = dir.path().join("precious");
    fs::write(&precious, "1").unwrap();
    symlink(&precious, &path).unwrap();
    assert!(refuses());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "1");
    fs::remove_file(&path).unwrap();

    for content in ["127.0.0.1 localhost\n", "-1", &"1".repeat(40)] {
        fs::write(&path, content).unwrap();
        assert!(refuses());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();

    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    assert!(refuses());
}

#[test]
fn a_missing_directory_is_named() {
    let error = Pidfile::create(Path::new("/nonexistent/it.pid")).unwrap_err();
    assert_eq!(error.to_string(), "cannot lock /nonexistent/it.pid");
}

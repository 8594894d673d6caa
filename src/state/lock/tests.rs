//! Tests of `state/lock`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};

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
    assert_eq!(
        refused_with(&Lock::acquire(&path).unwrap_err()),
        Some(child.id())
    );
    child.kill().unwrap();
    child.wait().unwrap();
    Lock::acquire(&path).unwrap();
}

/// Runs a line of Perl that has the locked file as `$file`; gives back its child and the number that it prints.
fn perl(path: &Path, line: &str) -> (Child, u32) {
    let program =
        format!("use Fcntl ':flock'; $| = 1; open(my $file, '+>>', $ARGV[0]) or die; {line}");
    let mut child = Command::new("perl")
        .args(["-e", &program])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut said).unwrap();
    let number = said.trim().parse().unwrap();
    (child, number)
}

/// The number of a process that has been.
fn ended() -> u32 {
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    ended.id()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Locks the file, forks, and ends; its child has not executed anything and says its number.
const UNBORN: &str = "flock($file, LOCK_EX) or die; my $parent = $$; exit if fork; \
                      select(undef, undef, undef, 0.01) while getppid() == $parent; print \"$$\\n\"; sleep 60";

#[test]
fn a_lock_that_outlives_its_daemon_is_told_with_both_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (mut daemon, unborn) = perl(&path, UNBORN);
    daemon.wait().unwrap();
    let expected = Holder::Unborn {
        daemon: daemon.id(),
        process: unborn,
    };
    let stranger = Command::new("sleep").arg("60").spawn().unwrap();
    // The number of the daemon; one that another process has got since, and that is not taken for the daemon's.
    for written in [daemon.id(), stranger.id()] {
        fs::write(&path, written.to_string()).unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), Some(expected));
    }
    let error = Lock::acquire(&path).unwrap_err().to_string();
    let way_out = format!("`kill -9 {unborn}`");
    assert!(error.contains(&way_out), "{error}");
    end(stranger);
    let unborn = rustix::process::Pid::from_raw(unborn.cast_signed()).unwrap();
    rustix::process::kill_process(unborn, rustix::process::Signal::KILL).unwrap();
    while matches!(Lock::holder(&path), Ok(Some(_))) {
        thread::sleep(PAUSE);
    }
    Lock::acquire(&path).unwrap();
}

#[test]
fn a_daemon_that_has_not_written_its_number_yet_is_not_unborn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    fs::write(&path, ended().to_string()).unwrap();
    let (daemon, number) = perl(
        &path,
        "flock($file, LOCK_EX) or die; print \"$$\\n\"; sleep 60",
    );
    assert_eq!(
        Lock::holder(&path).unwrap(),
        Some(Holder::Daemon(Some(number)))
    );
    end(daemon);
}

#[test]
fn a_daemon_that_makes_a_process_is_still_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let line = "flock($file, LOCK_EX) or die; my $child = fork; unless ($child) { sleep 60; exit } \
                print \"$child\\n\"; wait";
    let (daemon, unborn) = perl(&path, line);
    // Whichever of the two is found first.
    for written in [daemon.id(), unborn, ended()] {
        fs::write(&path, written.to_string()).unwrap();
        let expected = Holder::Daemon(Some(daemon.id()));
        assert_eq!(Lock::holder(&path).unwrap(), Some(expected));
    }
    let unborn = rustix::process::Pid::from_raw(unborn.cast_signed()).unwrap();
    rustix::process::kill_process(unborn, rustix::process::Signal::KILL).unwrap();
    end(daemon);
}

#[test]
fn one_that_merely_has_the_file_open_is_not_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (looking, number) = perl(&path, "print \"$$\\n\"; sleep 60");
    let held = Lock::acquire(&path).unwrap();
    let own = Holder::Daemon(Some(std::process::id()));
    for written in [number, ended()] {
        fs::write(&path, written.to_string()).unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), Some(own));
    }
    drop(held);
    assert_eq!(Lock::holder(&path).unwrap(), None);
    end(looking);
}

#[test]
fn a_daemon_in_another_pid_namespace_is_told_by_its_number_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let line = "flock($file, LOCK_EX) or die; open(my $out, '>', $ARGV[0]) or die; print $out $$; \
                close $out; print \"$$\\n\"; sleep 60";
    let program =
        format!("use Fcntl ':flock'; $| = 1; open(my $file, '+>>', $ARGV[0]) or die; {line}");
    let mut outside = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["perl", "-e", &program])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = outside.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut said).unwrap();
    assert_eq!(
        (said.trim(), fs::read_to_string(&path).unwrap().trim()),
        ("1", "1")
    );
    let children = format!("/proc/{0}/task/{0}/children", outside.id());
    let inside = fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(
        Lock::holder(&path).unwrap(),
        Some(Holder::Daemon(Some(inside)))
    );
    end(outside);
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

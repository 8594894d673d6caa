//! Tests of `action/process`.

use std::process::Command;

use super::*;

#[test]
fn a_zombie_has_ended_and_is_not_reaped_by_looking() {
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let pid = to_pid(child.id()).unwrap();
    let pidfd = open_pidfd(child.id()).unwrap();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
    assert!(has_ended(&pidfd));
    assert!(ProcessStat::read(child.id()).unwrap().ended);
    assert!(child.wait().unwrap().success());
    assert!(ProcessStat::read(pid.as_raw_nonzero().get().cast_unsigned()).is_err());
}

#[test]
fn texts_of_errors_have_no_numbers() {
    let error = fs::File::open("/nowhere").unwrap_err();
    assert_eq!(plain(&error), "No such file or directory");
    assert_eq!(plain(&io::Error::other("odd")), "odd");
}

#[test]
fn an_ignored_sigchld_is_no_longer_ignored() {
    // A shell that ignores SIGCHLD hands that down to this very test program, run once more.
    const MARK: &str = "IGNORED_SIGCHLD_TEST";
    if std::env::var_os(MARK).is_some() {
        keep_children().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exit 3"])
            .spawn()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        return;
    }
    let program = std::env::current_exe().unwrap();
    let perl = "$SIG{CHLD} = 'IGNORE'; exec @ARGV";
    let test = "action::process::tests::an_ignored_sigchld_is_no_longer_ignored";
    let output = Command::new("perl")
        .args(["-e", perl])
        .arg(program)
        .args([test, "--exact"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}

//! Tests of `action/process`.

use std::process::Command;

use super::*;

#[test]
fn a_program_name_with_parentheses_and_spaces_does_not_mislead() {
    let text = b"17 (a) R 9 (b) S 1 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0\n";
    let stat = ProcessStat::parse(text).unwrap();
    let expected = ProcessStat {
        ended: false,
        group: 17,
        session: 16,
        start: ProcessStart(12345),
    };
    assert_eq!(stat, expected);
    // The first thread of a process is a zombie when it ends before the others.
    for (threads, ended) in [("1", true), ("2", false)] {
        let text = format!("17 (a) Z 1 17 16 0 -1 4 1 2 3 4 5 6 7 8 20 0 {threads} 0 12345 0");
        assert_eq!(ProcessStat::parse(text.as_bytes()).unwrap().ended, ended);
    }
    assert_eq!(ProcessStat::parse(b"17 (a) Z 1"), None);
    assert_eq!(ProcessStat::parse(b""), None);
}

#[test]
fn the_own_stat_is_what_the_kernel_says_elsewhere() {
    let stat = ProcessStat::read(std::process::id()).unwrap();
    let group = rustix::process::getpgrp().as_raw_nonzero().get();
    assert_eq!(stat.group, u32::try_from(group).unwrap());
    assert!(!stat.ended);
    assert!(stat.start.0 > 0);
}

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

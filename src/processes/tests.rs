//! Tests of `processes`.

use super::*;

#[test]
fn this_process_is_among_them() {
    assert!(all().unwrap().any(|pid| pid == std::process::id()));
}

#[test]
fn a_program_name_with_parentheses_and_spaces_does_not_mislead() {
    let text = b"17 (a) R 9 (b) S 1 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0\n";
    let stat = ProcessStat::parse(text).unwrap();
    let expected = ProcessStat {
        ended: false,
        stopped: false,
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
    for (state, stopped) in [("T", true), ("t", true), ("S", false)] {
        let text = format!("17 (a) {state} 1 17 16 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 12345 0");
        assert_eq!(
            ProcessStat::parse(text.as_bytes()).unwrap().stopped,
            stopped
        );
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

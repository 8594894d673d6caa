//! Tests of `telemetry/journal`.

use std::time::SystemTime;

use super::*;

fn record(level: Level, message: &str) -> Record {
    Record::new(
        SystemTime::UNIX_EPOCH,
        level,
        "keepstart::reactor",
        message.to_owned(),
    )
}

#[test]
fn a_datagram_has_exactly_these_bytes() {
    let mut record = record(Level::WARN, "start failed");
    record.common =
        ["web", "MASTER", "start", "0000000a-1", "7", "web/7"].map(|v| Some(v.to_owned()));
    record.message_id = Some(0xab);
    record.others = vec![("exit.code", "3".to_owned()), ("said", "a\nb".to_owned())];
    let expected: &[&[u8]] = &[
        b"MESSAGE\n\x26\0\0\0\0\0\0\0web: start failed exit.code=3 said=a\nb\n",
        b"PRIORITY=4\nSYSLOG_IDENTIFIER=keepstart\nMESSAGE_ID=000000000000000000000000000000ab\n",
        b"TARGET=keepstart::reactor\n",
        b"KEEPSTART_INSTANCE=web\nKEEPSTART_ROLE=MASTER\nKEEPSTART_ACTION=start\n",
        b"KEEPSTART_JOB=0000000a-1\nKEEPSTART_EPOCH=7\nKEEPSTART_TRANSITION=web/7\n",
        b"KEEPSTART_EXIT_CODE=3\nKEEPSTART_SAID\n\x03\0\0\0\0\0\0\0a\nb\n",
    ];
    assert_eq!(
        String::from_utf8_lossy(&datagram(&record)),
        String::from_utf8_lossy(&expected.concat())
    );
}

#[test]
fn levels_are_those_of_syslog() {
    let levels = [
        Level::ERROR,
        Level::WARN,
        Level::INFO,
        Level::DEBUG,
        Level::TRACE,
    ];
    let numbers = levels.map(|level| datagram(&record(level, "")));
    for (bytes, number) in numbers.iter().zip(["3", "4", "6", "7", "7"]) {
        let text = str::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(&format!("MESSAGE=\nPRIORITY={number}\n")),
            "{text}"
        );
    }
}

#[test]
fn names_of_fields_are_what_journald_takes() {
    assert_eq!(name_of("log.target-2ä"), "KEEPSTART_LOG_TARGET_2_");
    assert_eq!(name_of(&"x".repeat(100)).len(), NAME_BYTES_MAX);
}

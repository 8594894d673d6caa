//! Tests of `telemetry/line`.

use super::*;

fn record(message: &str) -> Record {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_793_712_896_007);
    Record::new(time, Level::INFO, "t", message.to_owned())
}

#[test]
fn a_line_has_time_level_instance_message_and_fields() {
    let mut record = record("became MASTER");
    record.common[0] = Some("web".to_owned());
    record.common[4] = Some("7".to_owned());
    record.others = vec![("vip", "10.0.0.1".to_owned()), ("why", "a b".to_owned())];
    assert_eq!(
        line(&record, Style::Terminal),
        "13:34:56.007Z  INFO web: became MASTER epoch=7 vip=10.0.0.1 why=\"a b\"\n"
    );
    assert_eq!(
        line(&record, Style::File),
        "2026-11-03T13:34:56.007Z  INFO web: became MASTER epoch=7 vip=10.0.0.1 why=\"a b\"\n"
    );
}

#[test]
fn what_a_script_prints_is_marked() {
    let text = "start: done".to_owned();
    let mut record = Record::new(SystemTime::UNIX_EPOCH, Level::INFO, OUTPUT_TARGET, text);
    record.common[0] = Some("web".to_owned());
    assert_eq!(
        line(&record, Style::Terminal),
        "00:00:00.000Z  INFO web: | start: done\n"
    );
}

#[test]
fn colours_only_where_they_are_wanted() {
    let record = record("hi");
    assert_eq!(
        line(&record, Style::Coloured),
        "\x1b[2m13:34:56.007Z\x1b[0m \x1b[32m INFO\x1b[0m hi\n"
    );
    for style in [Style::Terminal, Style::File] {
        assert!(!line(&record, style).contains('\x1b'));
    }
}

#[test]
fn nothing_that_is_logged_can_move_the_cursor_or_fake_a_line() {
    let mut record = record("a\x1b[2J\r\n00:00 ERROR fake\u{9b}31m\u{202e}\tü");
    record.common[0] = Some("x\ny".to_owned());
    record.others = vec![("f", "1\n2".to_owned()), ("g", "3 \x1b".to_owned())];
    let line = line(&record, Style::Terminal);
    let body = line.strip_suffix('\n').unwrap();
    assert!(
        !body.contains(|c: char| c.is_control() && c != '\t'),
        "{body:?}"
    );
    assert!(
        body.ends_with(
            "x\\ny: a\\u{1b}[2J\\r\\n00:00 ERROR fake\\u{9b}31m\\u{202e}\tü f=1\\n2 g=\"3 \\u{1b}\""
        ),
        "{body}"
    );
}

#[test]
fn dates_are_those_of_date_1() {
    for day in [
        0, 58, 59, 60, 365, 11_015, 11_016, 11_017, 20_760, 20_880, 47_540, 47_541,
    ] {
        let output = std::process::Command::new("date")
            .args(["-u", "+%Y %-m %-d", "-d", &format!("@{}", day * 86_400)])
            .output()
            .unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        let (year, month, day) = date(day);
        assert_eq!(format!("{year} {month} {day}\n"), expected);
    }
}

//! Tests of `telemetry/sink`.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use tracing::Level;

use super::*;

fn record(message: &str) -> Record {
    Record::new(SystemTime::UNIX_EPOCH, Level::INFO, "t", message.to_owned())
}

fn pipe() -> (File, File) {
    let (reader, writer) = io::pipe().unwrap();
    (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
}

#[test]
fn the_journal_gets_one_datagram_a_record_on_a_real_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let journald = UnixDatagram::bind(&path).unwrap();
    let (_reader, writer) = pipe();
    let mut sink = Sink::journal(path, Stream::to(writer, Style::File));
    let longest = "m".repeat(6 << 10);
    for message in ["one", "two\nlines", &longest] {
        let mut record = record(message);
        record.others = vec![("field", "v".repeat(512)); 8];
        assert_eq!(sink.write(&record), Written::Well);
        let mut bytes = vec![0; 1 << 20];
        let length = journald.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..length], datagram(&record));
    }
}

#[test]
fn without_journald_records_go_to_stderr_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let (mut reader, writer) = pipe();
    let mut sink = Sink::journal(path.clone(), Stream::to(writer, Style::Terminal));
    assert_eq!(sink.write(&record("away")), Written::Elsewhere);

    for _ in 0..2 {
        let journald = UnixDatagram::bind(&path).unwrap();
        assert_eq!(sink.write(&record("back")), Written::Well);
        assert!(journald.recv(&mut [0; 1024]).unwrap() > 0);
        drop(journald);
        fs::remove_file(&path).unwrap();
    }
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "00:00:00.000Z  INFO away\n");
}

#[test]
fn a_journald_that_reads_nothing_costs_a_second_and_then_counts_as_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _journald = UnixDatagram::bind(&path).unwrap();
    let (_reader, writer) = pipe();
    let mut sink = Sink::journal(path, Stream::to(writer, Style::Terminal));
    let mut results = (0..10_000).map(|_| sink.write(&record("hello")));
    assert_eq!(results.next(), Some(Written::Well));
    assert_eq!(
        results.find(|written| *written != Written::Well),
        Some(Written::Elsewhere)
    );
}

#[test]
fn a_file_is_appended_to_and_renamed_when_it_is_long() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let before = dir.path().join("log.1");
    fs::write(&path, "before\n").unwrap();
    let mut sink = Sink::file(&path).unwrap();
    sink.write(&record("first"));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "before\n1970-01-01T00:00:00.000Z  INFO first\n");

    let length = fs::metadata(&path).unwrap().len();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(FILE_BYTES_MAX)
        .unwrap();
    let mut sink = Sink::file(&path).unwrap();
    assert_eq!(sink.write(&record("second")), Written::Well);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "1970-01-01T00:00:00.000Z  INFO second\n");
    assert!(fs::metadata(&before).unwrap().len() > length);

    // Where it cannot be renamed it grows on.
    fs::remove_file(&before).unwrap();
    fs::create_dir(&before).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(FILE_BYTES_MAX)
        .unwrap();
    let mut sink = Sink::file(&path).unwrap();
    assert_eq!(sink.write(&record("third")), Written::Well);
    assert!(fs::metadata(&path).unwrap().len() > FILE_BYTES_MAX);
}

#[test]
fn a_link_is_not_logged_into_and_a_full_disk_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    symlink(dir.path().join("elsewhere"), &path).unwrap();
    assert!(Sink::file(&path).is_err());

    let mut sink = Sink::file(Path::new("/dev/full")).unwrap();
    assert_eq!(sink.write(&record("lost")), Written::Not);
}

#[test]
fn the_journal_stream_is_known_by_its_numbers() {
    let (reader, writer) = pipe();
    let stat = rustix::fs::fstat(&writer).unwrap();
    let text = format!("{}:{}", stat.st_dev, stat.st_ino);
    assert!(is_stream(&text, &writer));
    assert!(!is_stream(&text, File::open("/dev/null").unwrap()));
    for text in ["", ":", "1", "1:2:3", "x:y"] {
        assert!(!is_stream(text, &reader), "{text}");
    }
}

//! Tests of `telemetry/queue`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use super::super::line::Style;
use super::super::sink::Stream;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn record(text: &str) -> Record {
    Record::new(SystemTime::UNIX_EPOCH, Level::INFO, "t", text.to_owned())
}

/// A queue whose writer writes into a pipe.
fn piped() -> (Queue, BufReader<File>, thread::JoinHandle<()>) {
    let (reader, writer) = std::io::pipe().unwrap();
    let (queue, writer) = queue(Sink::Stream(Stream::to(
        OwnedFd::from(writer).into(),
        Style::Terminal,
    )));
    let thread = thread::spawn(move || writer.run());
    (queue, BufReader::new(OwnedFd::from(reader).into()), thread)
}

fn read_all(reader: BufReader<File>) -> Vec<String> {
    reader.lines().map(Result::unwrap).collect()
}

#[test]
fn records_are_written_in_order() {
    let (queue, reader, thread) = piped();
    for number in 0..200 {
        queue.offer("t", || record(&number.to_string()));
    }
    assert_eq!(queue.flush(PATIENCE), Flushed::All);
    drop(queue);
    thread.join().unwrap();
    for (number, line) in read_all(reader).iter().enumerate() {
        assert_eq!(*line, format!("00:00:00.000Z  INFO {number}"));
    }
}

#[test]
fn a_pipe_that_nobody_reads_costs_records_and_no_time() {
    let (queue, reader, thread) = piped();
    let long = "x".repeat(1000);
    let offered = 5_000;
    for _ in 0..offered {
        queue.offer("t", || record(&long));
    }
    // The writer is stuck in the pipe (64 KiB), the queue is full, and this thread has come here.
    assert_eq!(queue.flush(Duration::from_millis(50)), Flushed::NotAll);
    let dropped = queue.counts().dropped;
    assert!(dropped >= offered - CAPACITY as u64 - 100, "{dropped}");

    let reading = thread::spawn(move || read_all(reader));
    assert_eq!(queue.flush(PATIENCE), Flushed::All);
    drop(queue);
    thread.join().unwrap();
    let lines = reading.join().unwrap();
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("dropped"))
        .collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains(&format!("{dropped} log records were dropped")),
        "{told:?}"
    );
    assert_eq!(lines.len() as u64, offered - dropped + 1);
}

#[test]
fn what_scripts_print_leaves_room_for_the_daemons_own_words() {
    let (queue, writer) = queue(Sink::file(std::path::Path::new("/dev/null")).unwrap());
    for _ in 0..CAPACITY {
        queue.offer(OUTPUT_TARGET, || record("tick"));
    }
    assert_eq!(queue.counts().dropped, (CAPACITY - OUTPUT_CAPACITY) as u64);
    for _ in 0..CAPACITY - OUTPUT_CAPACITY {
        queue.offer("keepstart::reactor", || record("became MASTER"));
    }
    assert_eq!(queue.counts().dropped, (CAPACITY - OUTPUT_CAPACITY) as u64);
    queue.offer("keepstart::reactor", || {
        panic!("no record is made for a full queue")
    });
    drop(writer);
    assert_eq!(queue.flush(PATIENCE), Flushed::NotAll);
}

//! The client against servers that answer well, badly, late and not at all.

use std::os::unix::net::UnixListener;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::control::protocol::{ErrorCode, Pong, push_answer, push_refusal};

/// A server that reads one line, writes these bytes, and closes.
fn server(answer: Vec<u8>) -> (TempDir, PathBuf, thread::JoinHandle<Vec<u8>>) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("control");
    let listener = UnixListener::bind(&path).expect("a listener");
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut line = Vec::new();
        BufReader::new(&stream)
            .read_until(b'\n', &mut line)
            .expect("a line");
        stream.write_all(&answer).expect("an answer written");
        line
    });
    (directory, path, serving)
}

#[test]
fn nobody_there_is_told_apart_from_trouble() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("control");
    assert!(matches!(
        Client::connect(&path),
        Err(ClientError::NoDaemon { .. })
    ));
    drop(UnixListener::bind(&path).expect("a listener"));
    assert!(matches!(
        Client::connect(&path),
        Err(ClientError::NoDaemon { .. })
    ));
    std::fs::remove_file(&path).expect("the socket");
    std::fs::write(&path, "").expect("a file");
    assert!(matches!(
        Client::connect(&path),
        Err(ClientError::NoDaemon { .. })
    ));
}

#[test]
fn answers_come_one_by_one_until_the_end() {
    let pong = Answer::Pong(Pong {
        pid: 1,
        uptime_ms: 2,
        stale: false,
    });
    let mut bytes = Vec::new();
    push_answer(&mut bytes, &pong);
    bytes.extend_from_slice(b"{\"v\":1,\"ok\":{\"of-a-newer-daemon\":1}}\n");
    push_refusal(&mut bytes, &Refusal::new(ErrorCode::Busy, "busy".into()));
    let (_directory, path, serving) = server(bytes);
    let mut client = Client::connect(&path).expect("a connection");
    client.ask(&Request::Ping).expect("a request");
    let patience = Duration::from_secs(5);
    assert_eq!(client.answer(patience).expect("an answer"), pong);
    assert!(matches!(
        client.answer(patience),
        Err(ClientError::Refused(_))
    ));
    assert!(matches!(client.next(patience), Ok(Next::End)));
    assert_eq!(serving.join().expect("the server"), Request::Ping.to_line());
}

#[test]
fn silence_is_bounded_and_a_broken_line_is_no_answer() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("control");
    let listener = UnixListener::bind(&path).expect("a listener");
    let mut client = Client::connect(&path).expect("a connection");
    let (mut stream, _) = listener.accept().expect("a connection");
    let patience = Duration::from_millis(20);
    assert!(matches!(client.next(patience), Ok(Next::Silence)));
    stream
        .write_all(b"{\"v\":1,\"ok\":{\"audi")
        .expect("a piece");
    assert!(matches!(client.next(patience), Ok(Next::Silence)));
    stream
        .write_all(b"ting\":{}}}\n{\"v\":1")
        .expect("the rest");
    assert!(matches!(client.answer(patience), Ok(Answer::Auditing {})));
    drop(stream);
    assert!(matches!(client.next(patience), Err(ClientError::Closed)));
}

#[test]
fn the_daemons_process_is_known_and_waited_for() {
    let (_directory, path, serving) = server(Vec::new());
    let mut client = Client::connect(&path).expect("a connection");
    let daemon = client.daemon().expect("a process");
    assert_eq!(u32::try_from(daemon.pid()), Ok(std::process::id()));
    assert!(
        !daemon.wait(Duration::from_millis(1)).expect("an answer"),
        "it is this process"
    );
    client.ask(&Request::Ping).expect("a request");
    drop(serving.join());
}

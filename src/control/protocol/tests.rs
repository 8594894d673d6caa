//! Requests and answers as bytes: all that is written reads back, and nothing else is taken.

use super::*;
use crate::control::samples::{kernel, name, time, view};
use crate::control::status::{Freshness, KernelStatus};
use crate::machine::job::Role;
use crate::machine::reason::Cause;
use crate::source::netlink::Filter;

fn refused(line: &str) -> Refusal {
    Request::parse(line.as_bytes()).expect_err("not a request")
}

#[test]
fn every_request_reads_back() {
    let web = || Some(name("web"));
    let requests = [
        Request::Ping,
        Request::Status(None),
        Request::Status(web()),
        Request::Watch(web()),
        Request::Events(None),
        Request::Reload,
        Request::Stop,
        Request::Audit(web()),
        Request::Record,
    ];
    for request in requests {
        let line = request.to_line();
        assert_eq!(line.last(), Some(&b'\n'));
        assert_eq!(Request::parse(&line), Ok(request));
    }
}

#[test]
fn a_request_is_what_the_page_says() {
    let line = Request::Status(Some(name("web"))).to_line();
    assert_eq!(line, b"{\"v\":1,\"op\":\"status\",\"instance\":\"web\"}\n");
    assert_eq!(Request::Stop.to_line(), b"{\"v\":1,\"op\":\"stop\"}\n");
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let bad = [
        "",
        "{",
        "[]",
        "17",
        "\"status\"",
        "{\"op\":\"status\"}",
        "{\"v\":1}",
        "{\"v\":1,\"op\":\"shutdown\"}",
        "{\"v\":1,\"op\":\"status\",\"instnace\":\"web\"}",
        "{\"v\":1,\"op\":\"status\",\"instance\":\"../etc\"}",
        "{\"v\":1,\"op\":\"stop\",\"instance\":\"web\"}",
        "{\"v\":1,\"op\":\"status\"} trailing",
    ];
    for line in bad {
        assert_eq!(refused(line).code, ErrorCode::BadRequest, "{line}");
        assert!(!refused(line).message.is_empty());
    }
    let deep = "[".repeat(60_000);
    assert_eq!(refused(&deep).code, ErrorCode::BadRequest);
    assert_eq!(
        Request::parse(b"\xff\xfe\x00").expect_err("bytes").code,
        ErrorCode::BadRequest
    );
}

#[test]
fn another_version_is_told_apart_from_garbage() {
    let refusal = refused("{\"v\":2,\"op\":\"something-new\",\"more\":[1]}");
    assert_eq!(refusal.code, ErrorCode::Version);
    assert_eq!(
        refusal.message,
        "this daemon speaks version 1 of the protocol, not 2"
    );
}

#[test]
fn every_answer_reads_back() {
    let view = view(1, "web");
    let event = Event::Transition {
        instance: name("web"),
        from: Role::Backup,
        to: Role::Master,
        epoch: 7,
        cause: Cause::NotLookedYet,
        seen: time(1),
        decided: time(2),
    };
    let daemon = DaemonStatus {
        pid: 1,
        version: "0.1.0".into(),
        config: "/etc/keepstart/config.yaml".into(),
        config_age_ms: Some(4),
        uptime_ms: 5,
        stale: false,
        kernel: Some(KernelStatus::of(&kernel(), time(10))),
        filter: Some(Filter::Exact { instructions: 57 }),
        instances: 1,
        connections: 1,
        log_dropped: 0,
        systemd_refused: 0,
        counters: crate::bus::Counters::default(),
        updates_dropped: 0,
        realtime: None,
    };
    let answers = [
        Answer::Pong(Pong {
            pid: 1,
            uptime_ms: 2,
            stale: true,
        }),
        Answer::Daemon(Box::new(daemon)),
        Answer::Instance(Box::new(InstanceStatus::of(
            &view,
            time(12_000),
            Freshness::Fresh,
        ))),
        Answer::Gone(name("web")),
        Answer::Complete { instances: 3 },
        Answer::Event(EventLine {
            at: time(3),
            unix_ms: 4,
            event: Arc::new(event),
        }),
        Answer::Lagged { missed: 9 },
        Answer::Reloaded {
            summary: "done".into(),
        },
        Answer::Stopping { pid: 1 },
        Answer::Auditing {},
    ];
    for answer in answers {
        let mut line = Vec::new();
        push_answer(&mut line, &answer);
        let breaks = line.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(breaks, 1, "one line");
        let read = parse_answer(&line)
            .expect("an answer")
            .expect("a known kind");
        assert_eq!(read, Ok(answer));
    }
}

#[test]
fn a_refusal_reads_back_and_what_is_new_is_skipped() {
    let refusal = Refusal::new(
        ErrorCode::UnknownInstance,
        "there is no instance web".into(),
    );
    let mut line = Vec::new();
    push_refusal(&mut line, &refusal);
    assert_eq!(
        String::from_utf8_lossy(&line),
        "{\"v\":1,\"error\":{\"code\":\"unknown-instance\",\"message\":\"there is no instance web\"}}\n"
    );
    assert_eq!(parse_answer(&line).expect("an answer"), Some(Err(refusal)));
    assert_eq!(
        parse_answer(b"{\"v\":1,\"ok\":{\"weather\":{}}}").expect("an answer"),
        None
    );
    let newer = b"{\"v\":1,\"error\":{\"code\":\"too-hot\",\"message\":\"m\"}}";
    let read = parse_answer(newer).expect("an answer").expect("a refusal");
    assert_eq!(read.expect_err("a refusal").code, ErrorCode::Other);
    assert!(parse_answer(b"hello").is_err());
}

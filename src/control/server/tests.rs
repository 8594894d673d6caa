//! The real server on a real socket, inside a runtime whose clock jumps when nothing can happen, so that
//! deadlines of seconds pass at once.

mod daemon;

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::bus::{Update, Whole};
use crate::control::explain::TRANSITIONS_SHOWN;
use crate::control::protocol::{self, Answer, REQUEST_BYTES_MAX};
use crate::control::samples::{kernel, name, time, view};
use crate::machine::message::Event;
use crate::timeline::testing::Story;
use daemon::{all, next, refusal, status, told, with_daemon};

#[test]
fn status_tells_the_daemon_and_its_instances() {
    with_daemon(async |daemon| {
        let mut reader = daemon.ask(protocol::Request::Status(None)).await;
        let Answer::Daemon(told_daemon) = told(next(&mut reader).await) else {
            panic!("no daemon")
        };
        assert_eq!(told_daemon.pid, std::process::id());
        assert_eq!(
            (told_daemon.log_dropped, told_daemon.updates_dropped),
            (1, 2)
        );
        let counters = told_daemon.counters;
        assert_eq!(told_daemon.systemd_refused, 3);
        assert_eq!(counters.executor.spawns_hanging, 4);
        assert_eq!(counters.output.files, 5);
        assert_eq!(counters.netlink.foreign, 6);
        assert_eq!(told_daemon.instances, 2);
        let rest = all(reader).await;
        assert_eq!(rest.len(), 3);
        let mut reader = daemon
            .ask(protocol::Request::Status(Some(name("web"))))
            .await;
        assert_eq!(status(&mut reader).await, ["web"]);
        assert!(next(&mut reader).await.is_none());
        let reader = daemon
            .ask(protocol::Request::Status(Some(name("nope"))))
            .await;
        assert_eq!(refusal(reader).await, ErrorCode::UnknownInstance);
    });
}

#[test]
fn a_status_of_ten_thousand_instances_arrives_whole() {
    with_daemon(async |daemon| {
        let instances = (0..10_000)
            .map(|id| view(id, &format!("i{id:05}")))
            .collect();
        daemon.board.borrow_mut().replace(Whole {
            finished: false,
            at: time(0),
            kernel: kernel(),
            instances,
        });
        let mut reader = daemon.ask(protocol::Request::Status(None)).await;
        assert_eq!(status(&mut reader).await.len(), 10_000);
    });
}

#[test]
fn a_reactor_that_does_not_answer_makes_everything_stale() {
    with_daemon(async |daemon| {
        daemon.alive.send_replace(false);
        let answers = all(daemon.ask(protocol::Request::Status(None)).await).await;
        for answer in answers {
            let answer = answer.expect("no refusal");
            if let Answer::Daemon(daemon) = answer {
                assert!(daemon.stale);
            } else if let Answer::Instance(status) = answer {
                assert!(status.stale);
            } else {
                assert_eq!(answer, Answer::Complete { instances: 2 });
            }
        }
        let pong = told(next(&mut daemon.ask(protocol::Request::Ping).await).await);
        assert!(matches!(pong, Answer::Pong(pong) if pong.stale));
    });
}

#[test]
fn garbage_gets_an_error_and_harms_nothing() {
    with_daemon(async |daemon| {
        let garbage: [&[u8]; 5] = [
            b"hello\n",
            b"\0\xff\n",
            b"{\"v\":1}\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"[[[[[[\n",
        ];
        for bytes in garbage {
            assert_eq!(
                refusal(daemon.send(bytes).await).await,
                ErrorCode::BadRequest
            );
        }
        let long = vec![b'a'; REQUEST_BYTES_MAX + 1];
        assert_eq!(refusal(daemon.send(&long).await).await, ErrorCode::TooLong);
        let huge = vec![b'a'; 4 * REQUEST_BYTES_MAX];
        assert_eq!(refusal(daemon.send(&huge).await).await, ErrorCode::TooLong);
        drop(daemon.connect().await);
        let mut reader = daemon.ask(protocol::Request::Status(None)).await;
        assert_eq!(status(&mut reader).await, ["db", "web"]);
    });
}

#[test]
fn a_request_may_end_with_the_stream_and_must_come_in_time() {
    with_daemon(async |daemon| {
        let mut reader = daemon.send(b"{\"v\":1,\"op\":\"ping\"}").await;
        reader.shutdown().await.expect("a half-closed stream");
        assert!(matches!(told(next(&mut reader).await), Answer::Pong(_)));
        // Nothing follows the half line, so the clock jumps to the deadline.
        let reader = daemon.send(b"{\"v\":1,").await;
        assert_eq!(refusal(reader).await, ErrorCode::TooSlow);
    });
}

#[test]
fn one_connection_too_many_is_told_and_a_free_place_is_used() {
    with_daemon(async |daemon| {
        let mut watchers = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut watcher = daemon.ask(protocol::Request::Watch(None)).await;
            status(&mut watcher).await;
            watchers.push(watcher);
        }
        assert_eq!(
            refusal(daemon.ask(protocol::Request::Ping).await).await,
            ErrorCode::Busy
        );
        watchers.pop();
        // The server notices the free place before the heartbeat.
        sleep(Duration::from_millis(10)).await;
        let pong = told(next(&mut daemon.ask(protocol::Request::Ping).await).await);
        assert!(matches!(pong, Answer::Pong(_)));
    });
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_delays_nobody() {
    with_daemon(async |daemon| {
        let instances = (0..10_000)
            .map(|id| view(id, &format!("i{id:05}")))
            .collect();
        daemon.board.borrow_mut().replace(Whole {
            finished: false,
            at: time(0),
            kernel: kernel(),
            instances,
        });
        let mut lazy = daemon.ask(protocol::Request::Status(None)).await;
        sleep(Duration::from_secs(9)).await;
        let mut other = daemon
            .ask(protocol::Request::Status(Some(name("i00001"))))
            .await;
        assert_eq!(status(&mut other).await, ["i00001"]);
        sleep(Duration::from_secs(2)).await;
        let mut bytes = Vec::new();
        let read = lazy.read_to_end(&mut bytes).await;
        let complete = String::from_utf8_lossy(&bytes).contains("\"complete\"");
        assert!(
            !complete,
            "cut off, with {read:?} after {} bytes",
            bytes.len()
        );
    });
}

#[test]
fn watch_tells_the_whole_and_then_the_latest_of_each_change() {
    with_daemon(async |daemon| {
        let mut watcher = daemon.ask(protocol::Request::Watch(None)).await;
        assert_eq!(status(&mut watcher).await, ["db", "web"]);
        // A hundred changes at once are one or two lines, the last of which is the last change.
        for epoch in 1..=100 {
            let mut changed = (*view(2, "web")).clone();
            changed.epoch = epoch;
            daemon.change(Arc::new(changed));
        }
        let mut lines = 0;
        loop {
            let Answer::Instance(status) = told(next(&mut watcher).await) else {
                panic!("no instance")
            };
            lines += 1;
            if status.epoch == 100 {
                break;
            }
        }
        assert!(lines <= 2, "{lines} lines");
        daemon
            .board
            .borrow_mut()
            .take(Update::Gone(crate::machine::job::InstanceId(1)));
        assert_eq!(told(next(&mut watcher).await), Answer::Gone(name("db")));
        // Nothing happens for long: the daemon shows that it is alive.
        assert!(matches!(told(next(&mut watcher).await), Answer::Daemon(_)));
    });
}

#[test]
fn a_watcher_that_falls_behind_is_told_the_whole_again() {
    with_daemon(async |daemon| {
        let mut watcher = daemon.ask(protocol::Request::Watch(None)).await;
        status(&mut watcher).await;
        for _ in 0..2 * crate::bus::NOTICES_MAX {
            daemon.change(view(2, "web"));
        }
        assert_eq!(status(&mut watcher).await, ["db", "web"]);
    });
}

#[test]
fn watching_one_instance_leaves_the_others_out() {
    with_daemon(async |daemon| {
        let mut watcher = daemon
            .ask(protocol::Request::Watch(Some(name("web"))))
            .await;
        assert_eq!(status(&mut watcher).await, ["web"]);
        daemon.change(view(1, "db"));
        daemon.change(view(2, "web"));
        let Answer::Instance(status) = told(next(&mut watcher).await) else {
            panic!("no instance")
        };
        assert_eq!(status.name, name("web"));
    });
}

#[test]
fn events_are_told_in_order_and_those_missed_are_counted() {
    with_daemon(async |daemon| {
        let mut watcher = daemon
            .ask(protocol::Request::Events(Some(name("web"))))
            .await;
        assert!(matches!(told(next(&mut watcher).await), Answer::Pong(_)));
        let epochs = |instance: &str, epoch| Event::EpochsExhausted {
            instance: name(instance),
            epoch,
        };
        let tell = |event| {
            daemon
                .board
                .borrow_mut()
                .take(Update::Event(Arc::new(event), None));
        };
        tell(epochs("web", 1));
        tell(epochs("db", 2));
        tell(epochs("web", 3));
        tell(Event::Subscribed);
        for expected in [epochs("web", 1), epochs("web", 3), Event::Subscribed] {
            let Answer::Event(line) = told(next(&mut watcher).await) else {
                panic!("no event")
            };
            assert_eq!(*line.event, expected);
            assert!(line.unix_ms > 1_700_000_000_000);
        }
        for _ in 0..crate::bus::NOTICES_MAX + 7 {
            tell(epochs("web", 4));
        }
        assert_eq!(told(next(&mut watcher).await), Answer::Lagged { missed: 7 });
    });
}

#[test]
fn the_application_is_asked_and_its_faults_are_passed_on() {
    with_daemon(async |daemon| {
        assert_eq!(
            refusal(daemon.ask(protocol::Request::Reload).await).await,
            ErrorCode::Faults
        );
        let stopping = told(next(&mut daemon.ask(protocol::Request::Stop).await).await);
        assert_eq!(
            stopping,
            Answer::Stopping {
                pid: std::process::id()
            }
        );
        let auditing = told(next(&mut daemon.ask(protocol::Request::Audit(None)).await).await);
        assert_eq!(auditing, Answer::Auditing {});
    });
}

#[test]
fn a_timeline_is_told_whole_and_an_unknown_instance_has_its_neighbour_named() {
    with_daemon(async |daemon| {
        let mut story = Story::default();
        for at in [0, 10_000_000, 20_000_000] {
            story.gain(at);
        }
        *daemon.timeline.borrow_mut() = story.timeline;
        let ask = protocol::Request::Timeline(Some(name("web")), Some(2));
        let mut answers = daemon.ask(ask).await;
        let Answer::Timeline(head) = told(next(&mut answers).await) else {
            panic!("no head")
        };
        assert_eq!((head.entries, head.kept), (2, 3));
        for id in ["web/2", "web/3"] {
            let Answer::Entry(entry) = told(next(&mut answers).await) else {
                panic!("no entry")
            };
            assert_eq!(entry.id.as_deref(), Some(id));
        }
        // One that exists and has done nothing yet.
        let ask = protocol::Request::Timeline(Some(name("db")), None);
        let Answer::Timeline(head) = told(next(&mut daemon.ask(ask).await).await) else {
            panic!("no head")
        };
        assert_eq!(head.entries, 0);
        let ask = protocol::Request::Timeline(Some(name("wbe")), None);
        let line = daemon.ask(ask).await;
        assert_eq!(refusal(line).await, ErrorCode::UnknownInstance);
    });
}

#[test]
fn why_is_told_with_the_last_transitions() {
    with_daemon(async |daemon| {
        let mut story = Story::default();
        for at in 0..9 {
            story.gain(at * 10_000_000);
        }
        *daemon.timeline.borrow_mut() = story.timeline;
        let ask = protocol::Request::Why(name("web"));
        let Answer::Why(said) = told(next(&mut daemon.ask(ask).await).await) else {
            panic!("no reason")
        };
        assert_eq!(said.status.name, name("web"));
        assert_eq!(said.transitions.len(), TRANSITIONS_SHOWN);
        assert_eq!(said.transitions[2].id.as_deref(), Some("web/9"));
        let ask = protocol::Request::Why(name("nothing-like-it"));
        assert_eq!(
            refusal(daemon.ask(ask).await).await,
            ErrorCode::UnknownInstance
        );
    });
}

//! Tests of `telemetry`.

use std::fs;
use std::time::Duration;

use tracing::{debug, error, info, trace};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn to_file(text: Option<&str>) -> (tempfile::TempDir, impl Subscriber + Send + Sync, Guard) {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::file(&dir.path().join("log")).unwrap();
    let (subscriber, guard) = start(sink, filter(text).unwrap()).unwrap();
    (dir, subscriber, guard)
}

/// What was logged, without the times.
fn logged(dir: &tempfile::TempDir, guard: &Guard) -> Vec<String> {
    assert_eq!(guard.flush(PATIENCE), Flushed::All);
    let text = fs::read_to_string(dir.path().join("log")).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split_at("2026-11-03T14:54:56.007Z ".len()).1);
    lines.map(str::to_owned).collect()
}

#[test]
fn events_become_lines_with_their_fields() {
    let (dir, subscriber, guard) = to_file(None);
    tracing::subscriber::with_default(subscriber, || {
        info!(instance = %"web", epoch = 7_u64, transition = "web/7", "became {}", "MASTER");
        let error = io::Error::other("disk on fire");
        error!(
            error = &error as &dyn std::error::Error,
            pid = 4711,
            "cannot start"
        );
        debug!("not at this level");
    });
    let expected = [
        " INFO web: became MASTER epoch=7 transition=web/7",
        "ERROR cannot start error=\"disk on fire\" pid=4711",
    ];
    assert_eq!(logged(&dir, &guard), expected);
    assert_eq!(guard.counts(), Counts::default());
}

#[test]
fn the_filter_goes_by_target_and_can_be_changed() {
    let (dir, subscriber, guard) = to_file(Some("warn,keepstart::telemetry=debug"));
    tracing::subscriber::with_default(subscriber, || {
        debug!("one");
        info!(target: "elsewhere", "two");
        guard.set_filter(filter(Some("trace")).unwrap());
        trace!(target: "elsewhere", "three");
    });
    assert_eq!(logged(&dir, &guard), ["DEBUG one", "TRACE three"]);
}

#[test]
fn a_filter_that_means_nothing_is_refused() {
    assert!(filter(Some("")).is_ok());
    assert!(filter(Some("info,keepstart::source")).is_ok());
    let error = filter(Some("info, inof")).unwrap_err();
    assert!(error.to_string().contains("\"info, inof\""), "{error}");
    let error = filter(Some("a=loud")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot understand \"a=loud\": expected a level"),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let options = TelemetryOptions {
        destination: Destination::File("/nonexistent/log".into()),
        filter: filter(None).unwrap(),
        plan: None,
    };
    let error = init(options).unwrap_err();
    assert_eq!(error.to_string(), "cannot log to /nonexistent/log");
}

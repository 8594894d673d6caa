//! Waiting for something that another process does: a look every few milliseconds, up to a deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until `done`, or panics with what `said` says.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test's patience needs a clock")]
pub(crate) fn wait_until(
    patience: Duration,
    mut done: impl FnMut() -> bool,
    said: impl FnOnce() -> String,
) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "{}", said());
        sleep(Duration::from_millis(3));
    }
}

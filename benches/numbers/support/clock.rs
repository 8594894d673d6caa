//! `CLOCK_MONOTONIC` in nanoseconds, the clock that hooks and benches share. Any thread; keeps nothing.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// Now.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts from boot and is never negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let rest = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds * 1_000_000_000 + rest
}

/// Sleeps until then; not at all where that is past.
pub(crate) fn sleep_until(ns: u64) {
    thread::sleep(Duration::from_nanos(ns.saturating_sub(now_ns())));
}

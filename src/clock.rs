//! The reactor's clock: the one place that turns the system's monotonic clock into the machine's time.

use std::time::{Duration, Instant};

use crate::machine::Time;

/// A clock that began at the reactor's start. It is `CLOCK_MONOTONIC`: setting the time of day does not touch
/// it, and it stands still while the host is suspended, as the scripts do that it times.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others ask"
    )]
    pub fn begin() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others ask"
    )]
    pub fn now(&self) -> Time {
        Time::from_start(Instant::now().saturating_duration_since(self.start))
    }

    /// A machine's time as an instant, for the runtime's timers.
    pub fn instant(&self, time: Time) -> Instant {
        // Instants reach centuries ahead; a deadline beyond that is never waited for in full.
        let far = Duration::from_secs(10 * 365 * 24 * 3600);
        self.start
            .checked_add(time.since_start())
            .unwrap_or(self.start + far)
    }
}

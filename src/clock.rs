//! The reactor's clock: the one place that turns the system's monotonic clock into the machine's time.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::machine::Time;

/// A clock that counts from the boot of the system, so that what an earlier life of the daemon has noted fits into
/// this one's time. It is `CLOCK_MONOTONIC`: setting the time of day does not touch it, and it stands still while the
/// host is suspended, as the scripts do that it times.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: Instant,
    /// When this life of the daemon began.
    begun: Instant,
}

impl Clock {
    /// A clock for a life that begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others ask"
    )]
    pub fn begin() -> Self {
        let since_boot = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let begun = Instant::now();
        Self {
            // An instant of this system is never before its boot.
            boot: begun.checked_sub(since_boot).unwrap_or(begun),
            begun,
        }
    }

    /// The time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others ask"
    )]
    pub fn now(&self) -> Time {
        Time::from_start(Instant::now().saturating_duration_since(self.boot))
    }

    /// When this life of the daemon began.
    pub fn begun(&self) -> Time {
        Time::from_start(self.begun.saturating_duration_since(self.boot))
    }

    /// How long this life of the daemon has been.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all others ask"
    )]
    pub fn uptime(&self) -> Duration {
        Instant::now().saturating_duration_since(self.begun)
    }

    /// The beginning of the machine's time by the clock on the wall, milliseconds since 1970, as both clocks run
    /// now. It moves when the time of day is set, and by each suspend.
    #[expect(
        clippy::disallowed_methods,
        reason = "people read the time of day of what has happened"
    )]
    pub fn zero_unix_ms(&self) -> u64 {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let since_start = self.now().since_start();
        let zero = wall.unwrap_or_default().saturating_sub(since_start);
        u64::try_from(zero.as_millis()).unwrap_or(u64::MAX)
    }

    /// A machine's time as an instant, for the runtime's timers.
    pub fn instant(&self, time: Time) -> Instant {
        // Instants reach centuries ahead; a deadline beyond that is never waited for in full.
        let far = Duration::from_secs(10 * 365 * 24 * 3600);
        self.boot
            .checked_add(time.since_start())
            .unwrap_or(self.boot + far)
    }
}

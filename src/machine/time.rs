//! Time as the machine knows it: the span since the start of its clock, which is the boot of the system. Pure; the
//! reactor converts.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, counted in nanoseconds from the boot (`CLOCK_MONOTONIC`), in tests from wherever they begin.
///
/// Unlike `Instant` it can be written down and read back, so recorded inputs can be replayed.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The point `since_start` after the start; saturates after 584 years.
    pub fn from_start(since_start: Duration) -> Self {
        Self(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long after the start this is.
    pub fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The span from `earlier` to this point; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

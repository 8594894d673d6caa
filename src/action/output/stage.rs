//! Where an output file stands between its first writer and its removal. Disk thread only.
//!
//! ```text
//!               a close          lock free
//!   Written ──────────▶ Closing ────────┬─ is-running ─────────────────────────────▶ unlinked
//!      ▲                   │          └─ start, stop ─▶ Left ─▶ nobody has it open ──▲
//!      └── still locked ───┘                             ▲ └──▶ somebody has ─▶ Held
//!                                                        └───── a close ──────────┘
//! ```

use std::time::{Duration, Instant};

use super::files::OutputFile;

/// How long after a file's lock has come free it is looked for in `/proc` at the latest. A look costs
/// milliseconds on a machine with many processes, so one serves all files that have come free until then.
const HOLDERS_AFTER: Duration = Duration::from_secs(5);

/// How often a file that somebody has opened anew is looked for again.
const HELD_EVERY: Duration = Duration::from_secs(30);

/// How long after a close the lock is tried again, and by what factor that time grows up to what limit. Once is
/// not enough: of the last close of a file the kernel tells first, and takes its lock away after that.
const LOCK_STEP_FIRST: Duration = Duration::from_millis(10);
const LOCK_STEP_FACTOR: u32 = 10;
const LOCK_STEP_MAX: Duration = Duration::from_secs(1);

/// What an event tells of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// It is new or has grown.
    Changed,
    /// A writer has closed it.
    Closed,
}

/// Who may still write into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Somebody who inherited its descriptor.
    Written,
    /// As `Written`, but one has closed it, and was perhaps the last.
    Closing { look_at: Instant, step: Duration },
    /// Nobody who did; whether somebody opened it anew is looked up at that time.
    Left { look_at: Instant },
    /// Somebody who opened it anew. The close tells of the end; should it have been missed, a look at that time
    /// finds out.
    Held { look_at: Instant },
}

impl Stage {
    /// Somebody was found to have the file open.
    pub(super) fn held(now: Instant) -> Self {
        Self::Held {
            look_at: now + HELD_EVERY,
        }
    }

    /// The stage after an event, or after its time has come.
    pub(super) fn after(self, news: News, file: &OutputFile, now: Instant) -> Self {
        let closing = |step| Self::Closing {
            look_at: now + step,
            step,
        };
        let left = Self::Left {
            look_at: now + HOLDERS_AFTER,
        };
        match (self, news) {
            (Self::Written | Self::Closing { .. }, News::Closed) => {
                if file.is_left() {
                    left
                } else {
                    closing(LOCK_STEP_FIRST)
                }
            }
            (Self::Closing { look_at, step }, News::Changed) if look_at <= now => {
                if file.is_left() {
                    left
                } else if step < LOCK_STEP_MAX {
                    closing(step * LOCK_STEP_FACTOR)
                } else {
                    Self::Written
                }
            }
            (Self::Held { .. }, News::Closed) => left,
            (stage @ Self::Left { .. }, News::Closed) | (stage, News::Changed) => stage,
        }
    }
}

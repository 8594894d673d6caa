//! What systemd is told: readiness, progress, a sentence for `systemctl status`, and that the reactor is alive.
//! Used by the task that owns the notifier; sends never wait. Without systemd nothing here does anything.

mod notifier;
mod status;

pub use notifier::{Notifier, NotifyError};
pub use status::status_line;

//! A look at the scripts of a configuration, for the warnings in the log. A script may be on a file server that
//! does not answer, so a short-lived thread looks, and nobody ever waits for it: neither the start of the daemon
//! nor its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::config::{Faults, Scripts};
use crate::report;

/// Looks at the scripts of a configuration, and says what of them it does not see.
pub(super) fn look_at(scripts: &Scripts) -> Faults {
    if let Some(sentence) = scripts.unjudged() {
        tracing::info!("{sentence}");
    }
    scripts.look()
}

/// At most one look at a time: reloads must not gather threads that hang.
#[derive(Debug, Default)]
pub(super) struct ScriptLook {
    is_under_way: Arc<AtomicBool>,
}

impl ScriptLook {
    /// Begins to look; what is found goes into the log. While an earlier look hangs there is none.
    pub(super) fn begin(&self, look: impl FnOnce() -> Faults + Send + 'static) {
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "the scripts are not looked at: an earlier look has not ended, a file server may not answer"
            );
            return;
        }
        let is_under_way = self.is_under_way.clone();
        let body = move || {
            let warnings = look();
            is_under_way.store(false, Ordering::Release);
            report::warnings(&warnings);
        };
        if let Err(error) = thread::Builder::new().name("scripts".into()).spawn(body) {
            self.is_under_way.store(false, Ordering::Release);
            tracing::warn!("cannot start a thread to look at the scripts: {error}");
        }
    }
}

#[cfg(test)]
mod tests;

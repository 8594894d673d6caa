//! A look at the scripts and units of a configuration, for the warnings in the log. A script may be on a file server
//! that does not answer, so a short-lived thread looks, and nobody ever waits for it: neither the start of the daemon
//! nor its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::config::{Faults, Scripts, Units};
use crate::report;

/// What is odd about what a configuration names; says what of it is not seen. May wait for a file server, and some
/// seconds for systemd.
pub(super) fn odd(scripts: &Scripts, units: &Units) -> Faults {
    if let Some(sentence) = scripts.unjudged() {
        tracing::info!("{sentence}");
    }
    let mut odd = scripts.look();
    odd.merge(odd_units(units));
    odd
}

/// What is odd about its units, as systemd says. May wait some seconds for it.
pub(crate) fn odd_units(units: &Units) -> Faults {
    #[cfg(feature = "units")]
    if units.names().len() > 0 {
        return units.warnings(crate::action::look_at_units(units.names()));
    }
    units.warnings(Vec::new())
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

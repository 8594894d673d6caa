//! Files whose job's start has not been told yet: a log in which a script answers before it was called is no help.
//! They wait here by name, unread. Disk thread only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::OutputName;
use super::stage::News;
use crate::machine::job::JobId;

/// How long a file is held at most: whoever tells of starts may hang, and the lines are worth more than their order.
const HELD_MAX: Duration = Duration::from_millis(100);

/// Says whether the start of a job has been told.
pub type HasStarted = Box<dyn Fn(JobId) -> bool + Send>;

/// The files that wait. At most as many as there are jobs at once.
#[derive(Default)]
pub(super) struct Held {
    /// `None`: nobody tells of starts, and nothing is held.
    has_started: Option<HasStarted>,
    files: BTreeMap<String, (News, Instant)>,
}

impl Held {
    pub(super) fn until(has_started: HasStarted) -> Self {
        Self {
            has_started: Some(has_started),
            files: BTreeMap::new(),
        }
    }

    /// Whether the file waits after these news; if not, it does not wait any longer.
    pub(super) fn hold(&mut self, name: &str, news: News, now: Instant) -> bool {
        let Some(has_started) = &self.has_started else {
            return false;
        };
        if OutputName::parse(name).is_none_or(|parsed| has_started(parsed.job)) {
            self.files.remove(name);
            return false;
        }
        let entry = self.files.entry(name.to_owned());
        let (known, until) = entry.or_insert((news, now + HELD_MAX));
        *known = news.max(*known);
        if *until <= now {
            self.files.remove(name);
            return false;
        }
        true
    }

    /// All that wait, with the weightiest news of each.
    pub(super) fn all(&self) -> Vec<(String, News)> {
        let files = self.files.iter();
        files
            .map(|(name, (news, _))| (name.clone(), *news))
            .collect()
    }

    /// When the first has waited for long enough.
    pub(super) fn until_at(&self) -> Option<Instant> {
        self.files.values().map(|(_, until)| *until).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

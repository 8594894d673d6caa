//! The end of output files: whose writers have gone is found out, what is left of them is told, and they are
//! unlinked. Disk thread only.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Instant;

use super::super::files::OutputFile;
use super::super::holders;
use super::super::lines::ChunkEnd;
use super::super::stage::{News, Stage};
use super::{OutputFollower, OutputLine, line};
use crate::kill_points;

impl OutputFollower {
    /// Visits the files of which the lock is to be tried again.
    pub(super) fn try_locks(&mut self, now: Instant, sink: &mut dyn FnMut(OutputLine<'_>)) {
        let is_due = |stage: Stage| match stage {
            Stage::Closing { look_at, .. } => look_at <= now,
            Stage::Written | Stage::Left { .. } | Stage::Held { .. } => false,
        };
        let files = self.files.iter();
        let due: Vec<String> = files
            .filter(|(_, followed)| is_due(followed.stage))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.visit(&name, News::Changed, now, sink);
        }
    }

    /// Unlinks the files that nobody has open: all that wait for the look, when one of them is due.
    pub(super) fn look_for_holders(&mut self, now: Instant, sink: &mut dyn FnMut(OutputLine<'_>)) {
        let is_due = |stage: Stage| match stage {
            Stage::Left { look_at } | Stage::Held { look_at } => look_at <= now,
            Stage::Written | Stage::Closing { .. } => false,
        };
        if !self.files.values().any(|followed| is_due(followed.stage)) {
            return;
        }
        let waits = |stage: Stage| matches!(stage, Stage::Left { .. } | Stage::Held { .. });
        let due: BTreeSet<String> = self
            .files
            .iter()
            .filter(|(name, followed)| waits(followed.stage) && !self.unfinished.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        let held = holders::held(&due);
        for name in due {
            if !held.contains_key(&name) {
                // Whoever wrote last had closed the file before the look, so this is its end.
                self.read(&name, ChunkEnd::Final, now, sink);
                self.remove(&name, now, sink);
            } else if let Some(followed) = self.files.get_mut(&name) {
                followed.stage = Stage::held(now);
            }
        }
    }

    pub(super) fn remove(
        &mut self,
        name: &str,
        now: Instant,
        sink: &mut dyn FnMut(OutputLine<'_>),
    ) {
        let Some(followed) = self.files.remove(name) else {
            return;
        };
        let OutputFile {
            name: own,
            mut budget,
            ..
        } = followed.file;
        if self.room.has_room_for_last_words() {
            budget.say_last(&mut |text| sink(line(&own, text)));
        } else if budget.is_silent() {
            self.unsaid.keep(own, budget, now);
        }
        // Somebody may have tidied up.
        kill_points::pass("output", "unread");
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.counters.failures += 1,
            Ok(()) | Err(_) => {}
        }
    }
}

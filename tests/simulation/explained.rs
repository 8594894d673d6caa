//! What people are told of every state: the timeline that follows from the events, and the reasons that `why` gives.
//! They have to be there, and to be true.

use keepstart::control::explain::{Explanation, RuleKind};
use keepstart::control::peer::CommandLines;
use keepstart::control::status::Freshness;
use keepstart::machine::job::{Action, Knowledge, Role};
use keepstart::machine::message::Output;
use keepstart::machine::reason::Next;
use keepstart::machine::view::InstanceView;
use keepstart::timeline::document::EntryDocument;
use keepstart::timeline::{ENTRIES_MAX, Entry, STAGES_MAX, State};

use crate::world::{Daemon, Verdict, World};

/// Sentences take longer to make than the states they are about: of so many steps, one has its sentences looked at.
const ONE_OF: u64 = 16;

impl World {
    /// Feeds an event into the timeline, and looks at what it has brought to its end.
    pub(crate) fn keep_time(&mut self, output: &Output) -> Verdict {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let over = match (output, &mut daemon.check.timeline) {
            (Output::Event(event), timeline) => timeline.take(event, 0),
            (Output::Gone(id), timeline) => match daemon.names.get(id) {
                Some(name) => timeline.gone(name, 0),
                None => return Err("an instance is gone that nobody knew".into()),
            },
            (_, _) => return Ok(()),
        };
        for entry in over {
            if entry.state == State::Open || entry.running.is_some() {
                return Err(format!("what is over goes on: {entry:#?}"));
            }
            check_entry(&entry, self.now)?;
        }
        Ok(())
    }

    /// After a step: what goes on in the timeline is what goes on, and reasons are there and true.
    pub(crate) fn check_told(&self) -> Verdict {
        let Some(daemon) = &self.daemon else {
            return Ok(());
        };
        if !self.outputs.is_multiple_of(ONE_OF) {
            return Ok(());
        }
        let entries = daemon.check.timeline.entries(None);
        let open: Vec<_> = entries
            .iter()
            .filter(|entry| entry.state == State::Open)
            .collect();
        if entries.len() - open.len() > ENTRIES_MAX {
            return Err("the timeline grows without bound".into());
        }
        for entry in &open {
            check_entry(entry, self.now)?;
        }
        for view in daemon.machine.views(self.now) {
            let its: Vec<_> = open
                .iter()
                .filter(|entry| entry.instance == view.name)
                .collect();
            check_open(&view, &its)
                .and_then(|()| self.check_explanation(daemon, &view))
                .map_err(|fault| format!("{}: {fault}\n{view:#?}\n{its:#?}", view.name))?;
        }
        Ok(())
    }

    fn check_explanation(&self, daemon: &Daemon, view: &InstanceView) -> Verdict {
        let kernel = daemon.machine.kernel_view();
        let said = Explanation::of(
            view,
            Some(&kernel),
            self.now,
            Freshness::Fresh,
            CommandLines::Told,
        );
        let sources = said
            .sources
            .iter()
            .flat_map(|one| [&one.what, &one.followed]);
        let rules = said.rules.iter().map(|rule| &rule.what);
        let mut texts = sources
            .chain(rules)
            .chain(&said.advice)
            .chain([&said.status.why, &said.status.next.what]);
        if texts.any(|text| text.trim().is_empty()) {
            return Err(format!("a reason is empty: {said:#?}"));
        }
        let ([source], [_, rule]) = (&said.sources[..], &said.rules[..]) else {
            return Err(format!("a source or a rule is missing: {said:#?}"));
        };
        let level = daemon.told.levels.get(&view.name);
        if level.is_some_and(|level| !view.leaving && level.says != source.role) {
            return Err(format!("the source says otherwise than {source:?}"));
        }
        let action = view.job.as_ref().map(|job| job.action);
        let true_ = match rule.rule {
            RuleKind::Quorum => false,
            RuleKind::Debounce => source.role == Role::Master && view.role != Role::Master,
            RuleKind::HoldOnLoss => source.role != Role::Master && view.role == Role::Master,
            RuleKind::UnknownStop => view.role == Role::Unknown && source.role != Role::Backup,
            RuleKind::Retry => action.is_none() && !said.advice.is_empty(),
            RuleKind::StartsAtOnce => action.is_none() && view.role == Role::Master,
            RuleKind::CancelAfter => match action {
                Some(Action::Start) => view.role != Role::Master || view.leaving || daemon.ending,
                Some(Action::Stop) => view.role == Role::Master,
                Some(Action::IsRunning) | None => false,
            },
            RuleKind::Presumed => view.job.as_ref().is_some_and(|job| job.adopted),
            RuleKind::Timeout | RuleKind::KillAfter => action.is_some(),
            RuleKind::Content => {
                let fits = match view.role {
                    Role::Master => view.knowledge == Knowledge::Running,
                    Role::Backup | Role::Unknown => view.knowledge == Knowledge::Stopped,
                };
                action.is_none() && fits
            }
            RuleKind::Release => daemon.ending || view.leaving,
        };
        if true_ {
            Ok(())
        } else {
            Err(format!("a rule that does not hold: {rule:#?}"))
        }
    }
}

/// The stages follow each other without a gap and add up to the whole, also in the document, and words are there.
fn check_entry(entry: &Entry, now: keepstart::machine::Time) -> Verdict {
    let document = EntryDocument::of(entry, now, 0);
    let mut at_us = 0;
    for stage in &document.stages {
        if stage.at_us != at_us || stage.what.is_empty() {
            return Err(format!("a stage that does not follow: {document:#?}"));
        }
        at_us += stage.took_us;
    }
    if at_us != document.took_us || document.text.is_empty() || document.cause.is_empty() {
        return Err(format!("it does not add up: {document:#?}"));
    }
    if entry.stages.len() > STAGES_MAX {
        return Err(format!("too many stages: {document:#?}"));
    }
    Ok(())
}

/// What runs is shown by the timeline, and nothing is shown as open where nothing is left to be done.
fn check_open(view: &InstanceView, open: &[&&std::sync::Arc<Entry>]) -> Verdict {
    let runs = |entry: &&&&std::sync::Arc<Entry>| entry.running.is_some();
    let running = open
        .iter()
        .find(runs)
        .and_then(|entry| entry.running.as_ref());
    let acts = view.job.as_ref().filter(|job| job.action.changes_service());
    if let Some(job) = acts
        && running.map(|running| running.job) != Some(job.job)
    {
        return Err("a start or stop runs and no entry shows it".into());
    }
    if view.job.is_none() && running.is_some() {
        return Err("an entry shows a job that does not run".into());
    }
    if matches!(view.next, Next::Content { .. }) && !open.is_empty() {
        return Err("nothing is left to be done, and an entry is open".into());
    }
    if matches!(view.next, Next::RetryAt { .. }) && open.is_empty() {
        return Err("a retry has no entry".into());
    }
    Ok(())
}

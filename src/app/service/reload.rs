//! Reading the configuration again: a part of the service loop. A faulty file changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bus::Order;
use crate::config::{self, Application, Config, Loaded, Logging};
use crate::machine::Time;
use crate::machine::message::Changes;
use crate::machine::settings::InstanceName;
use crate::report;
use crate::state::register::{Renewal, Renewed};
use crate::systemd::Notifier;

use super::super::{rights, scripts};
use super::{ENDING, REACTOR_DEADLINE, Service};

/// How long a configuration may take to be read: it may be on a file server that does not answer.
const RELOAD_DEADLINE: Duration = Duration::from_secs(60);
/// The names of more instances than this are not told one by one.
const NAMES_TOLD_MAX: usize = 10;

/// A file that is being read, by a thread of its own, and who waits for it.
pub(super) struct Reading {
    /// What changes in the file after this may not be in it.
    begun: Time,
    fresh: oneshot::Receiver<Result<Fresh, String>>,
    deadline: Instant,
    asked: Vec<Answer>,
    /// Those who asked since the reading began: the file may have been written since, so it is read again.
    again: Option<Vec<Answer>>,
}

/// A file that has been read, and the daemon entered by the paths that the file had then.
pub(super) struct Fresh {
    loaded: Loaded,
    renewed: Renewed,
}

type Answer = oneshot::Sender<Result<String, String>>;

/// At most one thread reads at a time: reloads must not gather threads that hang.
#[derive(Debug, Default)]
pub(super) struct FileReader {
    is_under_way: Arc<AtomicBool>,
}

impl FileReader {
    /// Begins to read. While an earlier thread hangs, that is the answer.
    fn begin<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, String>> {
        let (sender, receiver) = oneshot::channel();
        if self.is_under_way.swap(true, Ordering::AcqRel) {
            let still = "the configuration file is still being read since an earlier reload: \
                         a file server may not answer";
            // The receiver is still here.
            let _ = sender.send(Err(still.to_owned()));
            return receiver;
        }
        let is_under_way = self.is_under_way.clone();
        let body = move || {
            let result = read();
            // First, because whoever is told may ask for the next at once.
            is_under_way.store(false, Ordering::Release);
            drop(sender.send(result));
        };
        // A thread that could not be made drops the sender, which is told as an error.
        if let Err(error) = thread::Builder::new().name("reload".into()).spawn(body) {
            self.is_under_way.store(false, Ordering::Release);
            tracing::error!("cannot start a thread to read the configuration: {error}");
        }
        receiver
    }
}

/// Waits for the file that is being read; pends for ever while none is.
pub(super) async fn read(reading: &mut Option<Reading>) -> Result<Fresh, String> {
    let Some(reading) = reading else {
        return std::future::pending().await;
    };
    match timeout_at(reading.deadline, &mut reading.fresh).await {
        Ok(Ok(fresh)) => fresh,
        Ok(Err(_)) => Err("the thread that read the configuration file has ended".into()),
        Err(_) => Err("the configuration file could not be read in time".into()),
    }
}

impl Service {
    /// Begins to read the file again; the service goes on meanwhile.
    pub(super) fn begin_reload(&mut self, answer: Option<Answer>) {
        if self.ending.is_some() {
            tracing::warn!("not reloaded: {ENDING}");
            tell(answer, &Err(ENDING.into()));
        } else if let Some(reading) = &mut self.reading {
            reading.again.get_or_insert_default().extend(answer);
        } else {
            self.notify(Notifier::reloading);
            self.start_reading(answer.into_iter().collect());
        }
    }

    fn start_reading(&mut self, asked: Vec<Answer>) {
        let file = self.config.file.clone();
        let renewal = self.registration.borrow().renewal(&file);
        let fresh = self.file_reader.begin(move || read_anew(&file, renewal));
        let deadline = self.now() + RELOAD_DEADLINE;
        self.reading = Some(Reading {
            begun: self.clock.now(),
            fresh,
            deadline,
            asked,
            again: None,
        });
    }

    /// The file has been read, or could not be. A faulty one is reported and changes nothing.
    pub(super) async fn end_reload(&mut self, read: Result<Fresh, String>) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let result = match read {
            Ok(_) if self.ending.is_some() => Err(ENDING.to_owned()),
            Ok(Fresh { loaded, renewed }) => {
                let adopted = self.adopt(loaded).await;
                if adopted.is_ok() {
                    self.registration.borrow_mut().take_in(renewed);
                    self.config_read_at.set(reading.begun);
                }
                adopted
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(said) => tracing::info!("{said}"),
            Err(error) => {
                for line in error.lines() {
                    tracing::error!("the running configuration stays: {line}");
                }
            }
        }
        tell(reading.asked, &result);
        if let Some(again) = reading.again {
            self.start_reading(again);
        } else if self.on_ready.is_none() && self.ending.is_none() {
            // Before the first dump READY=1 is not owed yet, and while it ends not any longer.
            self.ready_owed = true;
            self.say_ready();
        }
    }

    /// Takes the logging section of a new configuration, unless it is the same or a file that could not be read.
    fn adopt_logging(&self, new: &mut Config) {
        (self.reopen_log)();
        let is_unread = |logging: &Logging| logging.plan.is_none();
        if new.logging.as_ref().is_some_and(is_unread) {
            new.logging.clone_from(&self.config.logging);
        }
        let (old, log_level) = (&self.config, self.config.application.log_level);
        if (&old.logging, log_level) != (&new.logging, new.application.log_level) {
            (self.change_log)(new);
        }
    }

    async fn adopt(&mut self, mut loaded: Loaded) -> Result<String, String> {
        report::warnings(&loaded.warnings);
        rights::warn(&loaded.config.settings);
        let (scripts, units) = (loaded.scripts, loaded.units);
        self.script_look
            .begin(move || scripts::odd(&scripts, &units));
        let fixed = fixed_changes(&self.fixed, &loaded.config.application);
        let (asks, changes) = oneshot::channel();
        loaded.config.settings.share(&self.config.settings);
        let settings = Box::new(loaded.config.settings.clone());
        self.order(Order::Reload(settings, asks)).await?;
        self.adopt_logging(&mut loaded.config);
        self.config = loaded.config;
        let changes = match timeout(REACTOR_DEADLINE, changes).await {
            Ok(Ok(changes)) => in_words(&changes),
            Ok(Err(_)) | Err(_) => "the reactor does not tell yet what has changed".into(),
        };
        let mut said = format!("reloaded {}: {changes}", self.config.file.display());
        if !fixed.is_empty() {
            said.push_str("; a restart is needed for the change of ");
            said.push_str(&fixed.join(", "));
        }
        Ok(said)
    }
}

/// Reads the file. Where a link leads to another one by now, this is a daemon of that one too: it is entered as one
/// before it does what that one says, and does not if another daemon is.
fn read_anew(file: &Path, renewal: Renewal) -> Result<Fresh, String> {
    let (renewed, troubles) = renewal.enter().map_err(|held| {
        let file = file.display();
        format!("{file} leads to a file by now that another daemon runs: {held}")
    })?;
    let loaded = config::load_with_logging(file).map_err(|error| error.to_string())?;
    if !renewed.is_of(file) {
        let file = file.display();
        return Err(format!(
            "{file} led to another file while it was read; reload again"
        ));
    }
    for trouble in troubles {
        let trouble = anyhow::Error::from(trouble);
        tracing::warn!(
            "{trouble:#}; so commands will not find this daemon by the path that its file has by now"
        );
    }
    Ok(Fresh { loaded, renewed })
}

fn tell(asked: impl IntoIterator<Item = Answer>, result: &Result<String, String>) {
    for answer in asked {
        // Whoever asked may have gone.
        let _ = answer.send(result.clone());
    }
}

/// What a reload has done to the instances.
fn in_words(changes: &Changes) -> String {
    let list = |what: &str, names: &[InstanceName]| {
        let told: Vec<_> = names
            .iter()
            .take(NAMES_TOLD_MAX)
            .map(InstanceName::as_str)
            .collect();
        match (told.len(), names.len() - told.len()) {
            (0, _) => None,
            (_, 0) => Some(format!("{} {what}", told.join(", "))),
            (_, more) => Some(format!("{} and {more} more {what}", told.join(", "))),
        }
    };
    let lists = [
        list("added", &changes.added),
        list("changed", &changes.changed),
        list("removed", &changes.removed),
        list("may run on (on-remove: keep)", &changes.left),
    ];
    let mut words: Vec<_> = lists.into_iter().flatten().collect();
    words.push(format!("{} unchanged", changes.unchanged));
    words.join("; ")
}

/// The keys that only a restart can change, and that are not what this daemon was started with.
fn fixed_changes(old: &Application, new: &Application) -> Vec<&'static str> {
    let changes = [
        ("daemon", old.daemon != new.daemon),
        ("workspace", old.workspace != new.workspace),
        ("pidfile", old.pidfile != new.pidfile),
        ("runtime-dir", old.runtime_dir != new.runtime_dir),
        ("state-dir", old.state_dir != new.state_dir),
        ("control-group", old.control_group != new.control_group),
        (
            "control-readers",
            old.control_readers != new.control_readers,
        ),
        (
            "realtime-priority",
            old.realtime_priority != new.realtime_priority,
        ),
    ];
    changes
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
}

#[cfg(test)]
mod tests;

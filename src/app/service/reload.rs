//! Reading the configuration again: a part of the service loop. A faulty file changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::config::{self, Config, Loaded};
use crate::machine::message::Input;
use crate::machine::settings::{InstanceName, InstanceSettings, Settings};
use crate::systemd::Notifier;

use super::Service;

/// How long a configuration may take to be read: it may be on a file server that does not answer.
const RELOAD_DEADLINE: Duration = Duration::from_secs(60);
/// The names of more instances than this are not told one by one.
const NAMES_TOLD_MAX: usize = 10;

impl Service {
    /// Reads the file again. A faulty one is reported and changes nothing.
    pub(super) async fn reload(&mut self) -> Result<String, String> {
        self.notify(Notifier::reloading);
        let result = self.read_again().await;
        let result = match result {
            Ok(loaded) => self.adopt(loaded).await,
            Err(error) => Err(error),
        };
        match &result {
            Ok(said) => tracing::info!("{said}"),
            Err(error) => tracing::error!("the running configuration stays: {error}"),
        }
        self.ready_owed = true;
        self.say_ready();
        result
    }

    async fn read_again(&self) -> Result<Loaded, String> {
        let (sender, receiver) = oneshot::channel();
        let file = self.config.file.clone();
        let load = move || drop(sender.send(config::load(&file)));
        std::thread::Builder::new()
            .name("reload".into())
            .spawn(load)
            .map_err(|error| format!("cannot start a thread to read the configuration: {error}"))?;
        match timeout(RELOAD_DEADLINE, receiver).await {
            Ok(Ok(Ok(loaded))) => Ok(loaded),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) | Err(_) => Err("the configuration file could not be read in time".into()),
        }
    }

    async fn adopt(&mut self, loaded: Loaded) -> Result<String, String> {
        if !loaded.warnings.is_empty() {
            tracing::warn!("{}", loaded.warnings);
        }
        let fixed = fixed_changes(&self.config, &loaded.config);
        let changes = instance_changes(&self.config.settings, &loaded.config.settings);
        self.order(Input::Reload(loaded.config.settings.clone()))
            .await?;
        self.config = loaded.config;
        let mut said = format!("reloaded {}: {changes}", self.config.file.display());
        if !fixed.is_empty() {
            said.push_str("; a restart is needed for the change of ");
            said.push_str(&fixed.join(", "));
        }
        Ok(said)
    }
}

/// What a reload does to the instances, in words.
fn instance_changes(old: &Settings, new: &Settings) -> String {
    let by_name = |settings: &Settings| -> BTreeMap<InstanceName, Arc<InstanceSettings>> {
        settings
            .instances
            .iter()
            .map(|one| (one.name.clone(), one.clone()))
            .collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let list = |what: &str, names: Vec<&InstanceName>| {
        let told: Vec<_> = names
            .iter()
            .take(NAMES_TOLD_MAX)
            .map(|name| name.as_str())
            .collect();
        match (told.len(), names.len() - told.len()) {
            (0, _) => None,
            (_, 0) => Some(format!("{} {what}", told.join(", "))),
            (_, more) => Some(format!("{} and {more} more {what}", told.join(", "))),
        }
    };
    let added = new.keys().filter(|name| !old.contains_key(*name)).collect();
    let removed = old.keys().filter(|name| !new.contains_key(*name)).collect();
    let differs = |name: &&InstanceName| {
        old.get(*name)
            .is_some_and(|one| new.get(*name) != Some(one))
    };
    let changed: Vec<_> = new.keys().filter(differs).collect();
    let unchanged = new
        .keys()
        .filter(|name| old.get(*name) == new.get(*name))
        .count();
    let lists = [
        list("added", added),
        list("changed", changed),
        list("removed", removed),
    ];
    let mut words: Vec<_> = lists.into_iter().flatten().collect();
    words.push(format!("{unchanged} unchanged"));
    words.join("; ")
}

/// The keys that only a restart can change, and that have changed.
fn fixed_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let (old, new) = (&old.application, &new.application);
    let changes = [
        ("daemon", old.daemon != new.daemon),
        ("workspace", old.workspace != new.workspace),
        ("pidfile", old.pidfile != new.pidfile),
        ("runtime-dir", old.runtime_dir != new.runtime_dir),
        ("state-dir", old.state_dir != new.state_dir),
        ("control-group", old.control_group != new.control_group),
        ("log-level", old.log_level != new.log_level),
    ];
    changes
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
}

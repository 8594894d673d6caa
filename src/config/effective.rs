//! The way back: a checked configuration as a file, with every default written out. Pure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Config;
use super::action::is_plain_path;
use super::application::{Daemon, LogLevel, Readers};
use super::instance::Pace;
use super::logging::{Logging, written};
use super::value::write_duration;
use crate::machine::process::{EnvironmentFrom, ScriptSecurity};
use crate::machine::settings::{
    ActionSettings, Arguments, Command, InstanceSettings, NicNeverSeen, Quorum, Release,
};
use crate::machine::unit::UnitName;
use crate::scheduling::Priority;

/// The configuration in the native form, with all defaults. Loaded under the same file name it gives an equal
/// configuration again, but for a logging.conf, which stands in it as the mapping that says the same.
pub fn effective(config: &Config) -> String {
    let file = File::of(config);
    // Strings, numbers, lists and mappings with text keys: the serializer refuses none of them.
    let text = serde_yaml::to_string(&file).unwrap_or_else(|error| format!("# {error}\n"));
    match &config.logging {
        Some(Logging {
            file: Some(file),
            plan: Some(_),
        }) => format!("{text}# logging: read from {}\n", file.display()),
        Some(_) | None => text,
    }
}

/// A time as text.
struct Time(Duration);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write_duration(self.0))
    }
}

#[derive(Serialize)]
struct File<'c> {
    application: Application<'c>,
    instances: BTreeMap<&'c str, Instance<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logging: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Application<'c> {
    daemon: bool,
    workspace: Option<&'c Path>,
    pidfile: Option<&'c Path>,
    runtime_dir: Option<&'c Path>,
    state_dir: Option<&'c Path>,
    stop_wait: Time,
    starts_at_once: NonZeroU32,
    control_group: Option<&'c str>,
    control_readers: Option<&'c str>,
    log_level: Option<&'c str>,
    script_security: Option<ScriptSecurity>,
    realtime_priority: Option<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Instance<'c> {
    role: Role<'c>,
    start: Action<'c>,
    stop: Action<'c>,
    is_running: Option<Action<'c>>,
    sleep: Option<Time>,
    force_test_cycle: Option<NonZeroU32>,
    running_report_cycle: Time,
    debounce: Time,
    hold_on_loss: Time,
    maximum_hold: Time,
    unknown_stop_after: Option<Time>,
    nic_never_seen: NicNeverSeen,
    start_cancel_after: Time,
    retry: Retry,
    on_exit: Release,
    on_remove: Release,
    environment: BTreeMap<&'c str, &'c str>,
    arguments: Arguments,
}

#[derive(Serialize)]
struct Role<'c> {
    vip: Vip<'c>,
}

#[derive(Serialize)]
struct Vip<'c> {
    nic: Option<&'c str>,
    addresses: Vec<String>,
    r#match: Quorum,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Action<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'c [UnitName]>,
    timeout: Time,
    kill_after: Time,
    user: Option<&'c str>,
    group: Option<&'c str>,
    umask: Option<String>,
    working_directory: Option<&'c Path>,
    nice: Option<i32>,
    limits: BTreeMap<&'static str, String>,
    environment: &'c BTreeMap<String, String>,
    environment_from: EnvironmentFrom,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Run<'c> {
    Text(String),
    List(&'c [String]),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Retry {
    first: Time,
    factor: NonZeroU32,
    longest: Time,
    reset_after: Time,
}

impl<'c> File<'c> {
    fn of(config: &'c Config) -> Self {
        let application = &config.application;
        let home = config.file.parent().unwrap_or(Path::new(""));
        let base = application.workspace.as_deref().unwrap_or(home);
        let instances = config.settings.instances.iter().map(|settings| {
            let pace = config.paces.get(&settings.name);
            (settings.name.as_str(), Instance::of(settings, pace, base))
        });
        Self {
            application: Application {
                daemon: application.daemon == Daemon::Detached,
                workspace: application.workspace.as_deref(),
                pidfile: application.pidfile.as_deref(),
                runtime_dir: application.runtime_dir.as_deref(),
                state_dir: application.state_dir.as_deref(),
                stop_wait: Time(application.stop_wait),
                starts_at_once: config.settings.starts_at_once,
                control_group: application
                    .control_group
                    .as_ref()
                    .map(|group| group.written.as_str()),
                control_readers: application.control_readers.as_ref().map(Readers::as_str),
                log_level: application.log_level.map(LogLevel::as_str),
                script_security: application.script_security,
                realtime_priority: application.realtime_priority.map(Priority::number),
            },
            instances: instances.collect(),
            logging: config.logging.as_ref().and_then(|logging| match logging {
                Logging {
                    plan: Some(plan), ..
                } => Some(written(plan)),
                Logging { file, plan: None } => file.as_ref().map(|file| serde_json::json!(file)),
            }),
        }
    }
}

impl<'c> Instance<'c> {
    fn of(settings: &'c InstanceSettings, pace: Option<&Pace>, base: &Path) -> Self {
        let environment = settings.environment.iter();
        let addresses = settings.role.addresses.iter();
        Self {
            role: Role {
                vip: Vip {
                    nic: settings.role.nic.as_deref(),
                    addresses: addresses.map(ToString::to_string).collect(),
                    r#match: settings.role.quorum,
                },
            },
            start: Action::of(&settings.start, base),
            stop: Action::of(&settings.stop, base),
            is_running: settings
                .is_running
                .as_ref()
                .map(|action| Action::of(action, base)),
            sleep: pace.map(|pace| Time(pace.sleep)),
            force_test_cycle: pace.map(|pace| pace.force_test_cycle),
            running_report_cycle: Time(settings.report_every),
            debounce: Time(settings.debounce.window),
            hold_on_loss: Time(settings.debounce.hold_on_loss),
            maximum_hold: Time(settings.debounce.hold_max),
            unknown_stop_after: settings.unknown_stop_after.map(Time),
            nic_never_seen: settings.role.nic_never_seen,
            start_cancel_after: Time(settings.start_cancel_after),
            retry: Retry {
                first: Time(settings.retry.first),
                factor: settings.retry.factor,
                longest: Time(settings.retry.longest),
                reset_after: Time(settings.retry.reset_after),
            },
            on_exit: settings.on_exit,
            on_remove: settings.on_remove,
            environment: environment
                .map(|(name, value)| (&**name, &**value))
                .collect(),
            arguments: settings.arguments,
        }
    }
}

impl<'c> Action<'c> {
    fn of(settings: &'c ActionSettings, base: &Path) -> Self {
        let process = &settings.process;
        let limits = process.limits.iter();
        Self {
            run: match &settings.run {
                Command::File(path) => Some(Run::Text(plain(path, base))),
                Command::Shell(line) => Some(Run::Text(line.clone())),
                Command::Argv(words) => Some(Run::List(words)),
                Command::Units(_) => None,
            },
            unit: match &settings.run {
                Command::Units(units) => Some(units),
                Command::File(_) | Command::Shell(_) | Command::Argv(_) => None,
            },
            timeout: Time(settings.timeout),
            kill_after: Time(settings.kill_after),
            user: process.user.as_ref().map(|user| &*user.written),
            group: process.group.as_ref().map(|group| &*group.written),
            umask: process.umask.map(|mask| format!("{mask:04o}")),
            working_directory: settings.working_directory.as_deref(),
            nice: process.nice,
            limits: limits
                .map(|(what, limit)| (what.as_str(), limit.to_string()))
                .collect(),
            environment: &process.environment,
            environment_from: process.environment_from,
        }
    }
}

/// A file so that it is read as one plain path again. It was written as one; if the whole path no longer looks
/// so, a directory with a blank came before it, and goes again.
fn plain(path: &Path, base: &Path) -> String {
    let whole = path.to_string_lossy();
    let inside = path.strip_prefix(base).ok();
    match inside.filter(|_| !is_plain_path(&whole)) {
        Some(inside) => format!("./{}", inside.to_string_lossy()),
        None => whole.into_owned(),
    }
}

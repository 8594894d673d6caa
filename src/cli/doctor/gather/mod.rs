//! Gathers the facts. Reads, asks, and changes nothing; runs on the main thread. What can hang (a file server, a
//! command) is done on a thread that is waited for with a deadline and left behind when it is over.

mod ask;
mod daemons;
mod keepalived;
mod kernel;
mod network_files;
mod processes;
mod scripts;
mod system;
mod systemd;

use std::path::Path;

use super::facts::Facts;
use crate::cli::exit::Failure;
use crate::cli::locate::{self, Target};
use crate::cli::out::Out;

/// All facts about the machine and the daemon of this configuration.
///
/// # Errors
///
/// There is no usable configuration to be about.
pub(super) fn facts(out: Out, given: Option<&Path>) -> Result<Facts, Failure> {
    let file = locate::config_file(given)?;
    let loaded = locate::read(&file)?;
    let config = loaded.config;
    let target = Target::find(out, Some(&file))?;
    let daemon = daemons::own(&config, &target);
    let own = daemon.as_ref().ok().and_then(Option::as_ref);
    let instances = &config.settings.instances;
    let user = own.and_then(|daemon| daemon.user.as_ref().ok());
    let scripts = scripts::of(instances, user.copied());
    let units = scripts::units(instances);
    let (kernel, buffer) = kernel::ask(&config);
    Ok(Facts {
        warnings: loaded.warnings,
        configured: network_files::read(),
        keepalived: keepalived::look(),
        others: daemons::others(own.map(|daemon| daemon.pid)),
        systemd: systemd::ask(&config, own.map(|daemon| daemon.pid), &units),
        clock: system::clock(&config),
        modules: system::modules(own.map(|daemon| daemon.pid)),
        scripts,
        units,
        kernel,
        buffer,
        daemon,
        config,
    })
}

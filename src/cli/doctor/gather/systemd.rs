//! Asks systemd for units, in one call of systemctl.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::facts::{KEEPALIVED, Seen, Systemd, Unit, UsedUnit};
use super::ask;
use crate::config::Config;

/// What is asked of each unit.
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,KillMode,Before";

/// What systemd says of the daemon's unit, of keepalived's, and of those that actions start; `None`: there is none.
pub(super) fn ask(config: &Config, daemon: Option<u32>, used: &[UsedUnit]) -> Option<Systemd> {
    if !is_booted() {
        return None;
    }
    let own = daemon
        .and_then(unit_of_process)
        .or_else(|| unit_of_file(&config.file));
    let mut names: Vec<String> = own.iter().cloned().chain([KEEPALIVED.to_owned()]).collect();
    names.extend(used.iter().map(|unit| unit.name.clone()));
    names.dedup();
    Some(Systemd {
        units: show(&names),
        own,
    })
}

/// As sd_booted(3) finds out.
pub(super) fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The unit that a process belongs to: the last part of its control group, where that is a service.
fn unit_of_process(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let names = text.lines().filter_map(|line| line.rsplit('/').next());
    let mut services =
        names.filter(|name| name.ends_with(".service") && !name.starts_with("user@"));
    services.next().map(str::to_owned)
}

/// The shipped unit whose file this is.
fn unit_of_file(file: &Path) -> Option<String> {
    let name = file
        .strip_prefix("/etc/keepstart")
        .ok()?
        .to_str()?
        .strip_suffix(".yaml")?;
    match name {
        "config" => Some("keepstart.service".into()),
        name if name.contains('/') => None,
        name => Some(format!("keepstart@{name}.service")),
    }
}

fn show(names: &[String]) -> Seen<BTreeMap<String, Unit>> {
    let property = format!("--property={PROPERTIES}");
    let mut arguments = vec!["show", "--no-pager", &property, "--"];
    arguments.extend(names.iter().map(String::as_str));
    let text = ask::command("systemctl", &arguments)?;
    // One block for each name, in the order in which they were asked for.
    let units: Vec<_> = text.trim_end().split("\n\n").map(unit).collect();
    if units.len() != names.len() {
        return Err(
            "`systemctl show` has answered for another number of units than it was asked for"
                .into(),
        );
    }
    Ok(names.iter().cloned().zip(units).collect())
}

fn unit(block: &str) -> Unit {
    let value = |name: &str| {
        let found = block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    Unit {
        load: value("LoadState"),
        file: value("UnitFileState"),
        active: value("ActiveState"),
        kill_mode: value("KillMode"),
        before: value("Before")
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    }
}

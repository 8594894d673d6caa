//! Random settings: instances, rules, patience. What the operator of a world writes into the file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keepstart::machine::settings::{
    ActionSettings, Arguments, Command, Debounce, InstanceName, InstanceSettings, NicNeverSeen,
    Quorum, Release, Retry, Settings, VipRule,
};
use keepstart::machine::unit::UnitName;

use crate::choice::Choices;

/// How many VIPs a world has at most, and how many instances.
pub(crate) const SLOTS: usize = 8;
/// The links that a world begins with.
pub(crate) const LINKS: [&str; 3] = ["eth0", "eth1", "vrrp0"];

/// How hard a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hardship {
    /// All that can happen on a real machine.
    Usual,
    /// Notifications get lost without an overrun too, and some interfaces of the file never exist.
    Extreme,
}

impl Hardship {
    /// That of a world with this number. None of those that went wrong before is extreme, and may not become so.
    pub(crate) fn of(seed: u64) -> Self {
        if seed % 4 == 3 {
            Self::Extreme
        } else {
            Self::Usual
        }
    }
}

/// The address of a slot: every third is IPv6.
pub(crate) fn vip(slot: usize) -> IpAddr {
    let low = u8::try_from(slot).unwrap_or(0);
    if slot % 3 == 2 {
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(low) + 1))
    } else {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, low + 1))
    }
}

/// The link that a slot's address usually comes to.
pub(crate) fn home(slot: usize) -> &'static str {
    LINKS[slot % LINKS.len()]
}

/// Settings to begin with.
pub(crate) fn settings(choices: &mut Choices, hardship: Hardship) -> Settings {
    let mut settings = Settings {
        starts_at_once: starts_at_once(choices),
        poll_every: poll_every(choices),
        audit_every: audit_every(choices),
        instances: Vec::new(),
    };
    let count = 1 + choices.index(SLOTS);
    for slot in 0..count {
        if let Some(mut instance) = instance(choices, slot) {
            if hardship == Hardship::Extreme && slot > 0 && choices.chance(300) {
                instance.role.nic = Some("eth9".to_owned());
            }
            settings.instances.push(Arc::new(instance));
        }
    }
    settings
}

/// The same file after an operator has edited it.
pub(crate) fn edited(choices: &mut Choices, old: &Settings) -> Settings {
    let mut new = old.clone();
    for _ in 0..=choices.below(3) {
        let slot = choices.index(SLOTS);
        let name = format!("i{slot}");
        let at = new
            .instances
            .iter()
            .position(|one| one.name.as_str() == name);
        let fresh = instance(choices, slot).map(Arc::new);
        match (at, fresh) {
            (Some(at), _) if choices.chance(400) => {
                new.instances.remove(at);
            }
            (Some(at), Some(fresh)) => {
                new.instances[at] = amended(choices, &new.instances[at], fresh);
            }
            (None, Some(fresh)) => new.instances.push(fresh),
            (_, None) => {}
        }
    }
    if choices.chance(200) {
        new.starts_at_once = starts_at_once(choices);
    }
    if choices.chance(200) {
        new.poll_every = poll_every(choices);
        new.audit_every = audit_every(choices);
    }
    new.instances.sort_by(|a, b| a.name.cmp(&b.name));
    new
}

/// Some of the old definition, some of a fresh one.
fn amended(
    choices: &mut Choices,
    old: &InstanceSettings,
    fresh: Arc<InstanceSettings>,
) -> Arc<InstanceSettings> {
    let mut one = old.clone();
    match choices.below(6) {
        0 => one.role = fresh.role.clone(),
        1 => one.start = fresh.start.clone(),
        2 => one.stop = fresh.stop.clone(),
        3 => one.debounce = fresh.debounce,
        4 => one.unknown_stop_after = fresh.unknown_stop_after,
        _ => return fresh,
    }
    Arc::new(one)
}

fn poll_every(choices: &mut Choices) -> Duration {
    Duration::from_millis(choices.pick(&[500, 2_000, 10_000]))
}

fn audit_every(choices: &mut Choices) -> Duration {
    Duration::from_secs(choices.pick(&[20, 120]))
}

fn starts_at_once(choices: &mut Choices) -> NonZeroU32 {
    let number = if choices.chance(400) {
        1
    } else {
        1 + choices.below(16)
    };
    u32::try_from(number)
        .ok()
        .and_then(NonZeroU32::new)
        .unwrap_or(NonZeroU32::MIN)
}

fn instance(choices: &mut Choices, slot: usize) -> Option<InstanceSettings> {
    let units = units(choices, slot);
    let action = |choices: &mut Choices, name: &str, timeouts_ms: &[u64]| {
        action(choices, name, &units, timeouts_ms)
    };
    Some(InstanceSettings {
        name: InstanceName::new(&format!("i{slot}")).ok()?,
        role: rule(choices, slot),
        start: action(choices, "start", &[300, 5_000, 30_000, 90_000]),
        stop: action(choices, "stop", &[300, 5_000, 90_000]),
        is_running: choices
            .chance(650)
            .then(|| action(choices, "is-running", &[200, 10_000])),
        debounce: Debounce {
            window: Duration::from_millis(choices.pick(&[0, 10, 50, 200, 200])),
            hold_max: Duration::from_millis(choices.pick(&[0, 500, 2_000])),
            hold_on_loss: Duration::from_millis(choices.pick(&[0, 0, 0, 100, 1_000])),
        },
        unknown_stop_after: match choices.below(4) {
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_secs(8)),
            _ => None,
        },
        start_cancel_after: Duration::from_millis(choices.pick(&[0, 500, 10_000])),
        retry: Retry {
            first: Duration::from_millis(choices.pick(&[100, 1_000])),
            factor: NonZeroU32::new(2)?,
            longest: Duration::from_secs(choices.pick(&[5, 60])),
            reset_after: Duration::from_secs(600),
        },
        audit_every: Duration::from_secs(choices.pick(&[10, 120])),
        report_every: Duration::from_secs(choices.pick(&[60, 3_600])),
        on_exit: release(choices),
        on_remove: release(choices),
        environment: Vec::new(),
        arguments: Arguments::None,
    })
}

fn release(choices: &mut Choices) -> Release {
    choices.pick(&[Release::Keep, Release::Stop])
}

/// The units of a slot; none where it has scripts.
fn units(choices: &mut Choices, slot: usize) -> Vec<UnitName> {
    let count = choices.pick(&[0, 0, 1, 2]);
    let name = |number| UnitName::new(&format!("i{slot}-{number}")).ok();
    (0..count).filter_map(name).collect()
}

fn action(
    choices: &mut Choices,
    name: &str,
    units: &[UnitName],
    timeouts_ms: &[u64],
) -> Arc<ActionSettings> {
    Arc::new(ActionSettings {
        run: if units.is_empty() {
            Command::File(PathBuf::from(format!("/opt/{name}")))
        } else {
            Command::Units(units.to_vec())
        },
        timeout: Duration::from_millis(choices.pick(timeouts_ms)),
        kill_after: Duration::from_millis(choices.pick(&[0, 200, 10_000])),
        working_directory: None,
        process: Arc::default(),
    })
}

fn rule(choices: &mut Choices, slot: usize) -> VipRule {
    let mut addresses = vec![vip(slot)];
    if choices.chance(250) {
        addresses.push(vip((slot + 3) % SLOTS));
    }
    let home = home(slot);
    let nic = match choices.below(8) {
        0..=2 => None,
        3 | 4 => Some(home.to_owned()),
        5 => Some(format!("{home}-alt")),
        6 => Some(format!("{home}:vip")),
        _ => Some(LINKS[choices.index(LINKS.len())].to_owned()),
    };
    VipRule {
        nic,
        addresses,
        quorum: choices.pick(&[Quorum::All, Quorum::Any]),
        nic_never_seen: choices.pick(&[NicNeverSeen::Unknown, NicNeverSeen::Backup]),
    }
}

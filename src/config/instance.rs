//! One instance: the `keepstart:` section, or an entry of `instances:`, which has the same keys. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::action::Places;
use super::actions::{Actions, actions};
use super::application::path;
use super::fault::Offset;
use super::process;
use super::section::{Notes, Section, named};
use super::tree::{Node, Value, quoted};
use super::value::{LONGEST, address, any_text, choice, count, duration, text, write_duration};
use crate::machine::settings::{
    Arguments, Debounce, InstanceName, InstanceSettings, NicNeverSeen, Quorum, Release, Retry,
    VipRule,
};

pub(super) const KEYS: [&str; 28] = [
    "nic",
    "vip",
    "role",
    "start",
    "stop",
    "is-running",
    "unit",
    "sleep",
    "force-test-cycle",
    "running-report-cycle",
    "debounce",
    "hold-on-loss",
    "maximum-hold",
    "unknown-stop-after",
    "nic-never-seen",
    "start-cancel-after",
    "retry",
    "on-exit",
    "on-remove",
    "environment",
    "arguments",
    "user",
    "group",
    "umask",
    "working-directory",
    "nice",
    "limits",
    "environment-from",
];

/// What can give a role; other sources will stand beside it.
pub(super) const ROLE_KEYS: [&str; 1] = ["vip"];
pub(super) const VIP_KEYS: [&str; 3] = ["nic", "addresses", "match"];
pub(super) const RETRY_KEYS: [&str; 4] = ["first", "factor", "longest", "reset-after"];

/// The defaults of the Python tool.
pub(super) const SLEEP: Duration = Duration::from_secs(2);
pub(super) const FORCE_TEST_CYCLE: NonZeroU32 = NonZeroU32::new(60).unwrap();
const RUNNING_REPORT_CYCLE: Duration = Duration::from_hours(1);

const DEBOUNCE: Debounce = Debounce {
    window: Duration::from_millis(200),
    hold_max: Duration::from_secs(2),
    hold_on_loss: Duration::ZERO,
};
const RETRY: Retry = Retry {
    first: Duration::from_secs(1),
    factor: NonZeroU32::new(2).unwrap(),
    longest: Duration::from_mins(1),
    reset_after: Duration::from_mins(10),
};

/// The shortest time between two polls or two attempts: what is shorter only keeps a core busy.
const PACE_LEAST: Duration = Duration::from_millis(10);
/// The shortest period of the alive line.
const REPORT_LEAST: Duration = Duration::from_secs(1);
/// The shortest wait where waiting is the purpose.
const WAIT_LEAST: Duration = Duration::from_millis(1);

/// The longest name of an interface: an altname has at most 127 bytes (`ALTIFNAMSIZ`).
const NIC_LENGTH_MAX: usize = 127;

/// The names that no `environment:` may set: the daemon finds its own jobs by them.
const RESERVED: &str = "KEEPSTART_";

/// How often an instance is looked at, as the file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// `sleep`: the time between two tests while the kernel's notifications are not available.
    pub sleep: Duration,
    /// `force-test-cycle`: an audit comes every so many sleeps.
    pub force_test_cycle: NonZeroU32,
}

/// One instance as it was read.
pub(super) struct Instance {
    pub(super) at: Offset,
    pub(super) settings: Arc<InstanceSettings>,
    pub(super) pace: Pace,
}

/// Reads one instance; `at` is where its name stands.
pub(super) fn read(
    name: InstanceName,
    section_name: &str,
    at: Offset,
    node: &Node<'_>,
    places: &Places<'_>,
    notes: &mut Notes<'_>,
) -> Option<Instance> {
    let section = Section::open(node, at, section_name, &KEYS, notes)?;
    let role = role(&section, notes);
    let directory = section.read("working-directory", notes, |node| path(node, places.base));
    let places = &Places {
        base: places.base,
        working_directory: directory.as_deref().or(places.working_directory),
        process: process::read(&section, &places.process, notes),
    };
    let Actions {
        start,
        stop,
        is_running,
        cancel_after,
    } = actions(&section, places, notes);

    let sleep = time(&section, "sleep", PACE_LEAST, notes).unwrap_or(SLEEP);
    let cycle = section.read("force-test-cycle", notes, count);
    let pace = Pace {
        sleep,
        force_test_cycle: cycle.unwrap_or(FORCE_TEST_CYCLE),
    };
    let report_every = time(&section, "running-report-cycle", REPORT_LEAST, notes);
    let told_cancel_after = time(&section, "start-cancel-after", Duration::ZERO, notes);
    let settings = InstanceSettings {
        debounce: debounce(&section, notes),
        unknown_stop_after: time(&section, "unknown-stop-after", WAIT_LEAST, notes),
        start_cancel_after: told_cancel_after.unwrap_or(cancel_after),
        retry: retry(&section, notes),
        audit_every: audit_every(&section, pace, notes),
        report_every: report_every.unwrap_or(RUNNING_REPORT_CYCLE),
        on_exit: release(&section, "on-exit", notes),
        on_remove: release(&section, "on-remove", notes),
        environment: environment(&section, notes),
        arguments: arguments(&section, notes),
        // A missing or faulty part is reported above: without it there is no instance.
        name,
        role: role?,
        start: start?,
        stop: stop?,
        is_running,
    };
    let settings = Arc::new(settings);
    Some(Instance { at, settings, pace })
}

fn time(
    section: &Section<'_, '_>,
    key: &str,
    least: Duration,
    notes: &mut Notes<'_>,
) -> Option<Duration> {
    section.read(key, notes, |node| duration(node, least))
}

/// Reads what gives the role: the short form or the long one.
fn role(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Option<VipRule> {
    let nic_never_seen = section.read("nic-never-seen", notes, |node| {
        let words = [
            ("unknown", NicNeverSeen::Unknown),
            ("backup", NicNeverSeen::Backup),
        ];
        choice(node, &words)
    });
    let nic_never_seen = nic_never_seen.unwrap_or(NicNeverSeen::Unknown);
    let Some(node) = section.get("role") else {
        let nic = section.read("nic", notes, nic);
        section.required("vip", "the address that makes this node MASTER", notes)?;
        let vip = section.read("vip", notes, |node| {
            match node.value {
            Value::List(_) => Err(
                "found a list, expected one address; several stand in role: {vip: {addresses: […]}}"
                    .into(),
            ),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => address(node),
        }
        });
        return Some(VipRule {
            nic,
            addresses: vec![vip?],
            quorum: Quorum::All,
            nic_never_seen,
        });
    };
    for key in ["nic", "vip"] {
        if let Some(at) = section.get(key).and(section.key_at(key)) {
            let name = &section.name;
            let message = format!(
                "{key} stands beside role in {name}, expected one of the two forms: nic and vip, or role"
            );
            notes.faults.add(at, message);
        }
    }
    let role = Section::open(
        node,
        node.at,
        format!("{}.role", section.name),
        &ROLE_KEYS,
        notes,
    )?;
    let vip = role.required("vip", "a mapping with addresses", notes)?;
    let vip = Section::open(vip, vip.at, format!("{}.vip", role.name), &VIP_KEYS, notes)?;
    let quorum = vip.read("match", notes, |node| {
        choice(node, &[("all", Quorum::All), ("any", Quorum::Any)])
    });
    Some(VipRule {
        nic: vip.read("nic", notes, nic),
        addresses: addresses(&vip, notes)?,
        quorum: quorum.unwrap_or(Quorum::All),
        nic_never_seen,
    })
}

fn addresses(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Option<Vec<IpAddr>> {
    let node = section.required("addresses", "a list of addresses", notes)?;
    let items = match &node.value {
        Value::List(items) if items.is_empty() => {
            let message = "addresses: found an empty list, expected at least one address";
            notes.faults.add(node.at, message.into());
            return None;
        }
        Value::List(items) => items.as_slice(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => std::slice::from_ref(node),
    };
    let mut seen = BTreeSet::new();
    let mut addresses = Vec::with_capacity(items.len());
    for item in items {
        match address(item) {
            Ok(address) if seen.insert(address) => addresses.push(address),
            Ok(address) => {
                let message = format!("addresses: {address} stands here twice");
                notes.warnings.add(item.at, message);
            }
            Err(message) => notes.faults.add(item.at, format!("addresses: {message}")),
        }
    }
    Some(addresses)
}

fn nic(node: &Node<'_>) -> Result<String, String> {
    let expected = "the name of an interface such as eth0";
    let name = text(node, expected)?;
    let name = name.trim();
    let impossible = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if name.len() > NIC_LENGTH_MAX || name.contains(impossible) {
        let found = quoted(name);
        return Err(format!(
            "found {found}, expected {expected} (no blanks, no '/', at most {NIC_LENGTH_MAX} bytes)"
        ));
    }
    Ok(name.into())
}

fn debounce(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Debounce {
    let window = time(section, "debounce", Duration::ZERO, notes).unwrap_or(DEBOUNCE.window);
    let hold_max = time(section, "maximum-hold", WAIT_LEAST, notes);
    if let (Some(hold), Some(at)) = (hold_max, section.key_at("maximum-hold"))
        && hold < window
    {
        let (hold, window) = (write_duration(hold), write_duration(window));
        let message = format!(
            "maximum-hold ({hold}) is shorter than debounce ({window}), so it decides first"
        );
        notes.warnings.add(at, message);
    }
    let hold_on_loss = time(section, "hold-on-loss", Duration::ZERO, notes);
    Debounce {
        window,
        // A longer window without a word about the hold means a longer hold.
        hold_max: hold_max.unwrap_or(DEBOUNCE.hold_max.max(window)),
        hold_on_loss: hold_on_loss.unwrap_or(DEBOUNCE.hold_on_loss),
    }
}

fn retry(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Retry {
    let Some(node) = section.get("retry") else {
        return RETRY;
    };
    let name = format!("{}.retry", section.name);
    let Some(section) = Section::open(node, node.at, name, &RETRY_KEYS, notes) else {
        return RETRY;
    };
    let first = time(&section, "first", PACE_LEAST, notes).unwrap_or(RETRY.first);
    let longest = time(&section, "longest", PACE_LEAST, notes);
    if let (Some(longest), Some(at)) = (longest, section.key_at("longest"))
        && longest < first
    {
        let (longest, first) = (write_duration(longest), write_duration(first));
        let message =
            format!("longest: found {longest}, expected at least first, which is {first}");
        notes.faults.add(at, message);
    }
    let factor = section.read("factor", notes, count);
    let reset_after = time(&section, "reset-after", PACE_LEAST, notes);
    Retry {
        first,
        factor: factor.unwrap_or(RETRY.factor),
        longest: longest.unwrap_or(RETRY.longest.max(first)),
        reset_after: reset_after.unwrap_or(RETRY.reset_after),
    }
}

fn audit_every(section: &Section<'_, '_>, pace: Pace, notes: &mut Notes<'_>) -> Duration {
    let product = pace.sleep.checked_mul(pace.force_test_cycle.get());
    let allowed = product.filter(|&product| product <= LONGEST);
    allowed.unwrap_or_else(|| {
        let at = section.key_at("force-test-cycle").or(section.key_at("sleep"));
        let message = "force-test-cycle: sleep × force-test-cycle is more than ten years, expected at most ten years";
        notes.faults.add(at.unwrap_or(section.at), message.into());
        LONGEST
    })
}

fn release(section: &Section<'_, '_>, key: &str, notes: &mut Notes<'_>) -> Release {
    let words = [("keep", Release::Keep), ("stop", Release::Stop)];
    let release = section.read(key, notes, |node| choice(node, &words));
    release.unwrap_or(Release::Keep)
}

fn arguments(section: &Section<'_, '_>, notes: &mut Notes<'_>) -> Arguments {
    let words = [
        ("none", Arguments::None),
        ("keepalived", Arguments::Keepalived),
    ];
    let arguments = section.read("arguments", notes, |node| choice(node, &words));
    arguments.unwrap_or(Arguments::None)
}

/// Reads the variables, sorted by name, so that their order in the file makes no difference.
pub(super) fn environment(
    section: &Section<'_, '_>,
    notes: &mut Notes<'_>,
) -> Vec<(String, String)> {
    let Some(node) = section.get("environment") else {
        return Vec::new();
    };
    let name = format!("{}.environment", section.name);
    let mut variables = Vec::new();
    for entry in named(node, &name, notes).unwrap_or_default() {
        let key = quoted(&entry.key);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let digit_first = entry.key.starts_with(|c: char| c.is_ascii_digit());
        if entry.key.is_empty() || digit_first || !entry.key.chars().all(allowed) {
            let message = format!(
                "environment: {key} is no name of a variable, expected letters, digits and '_'"
            );
            notes.faults.add(entry.at, message);
        } else if entry.key.starts_with(RESERVED) {
            let message =
                format!("environment: {key} is set by keepstart itself, expected another name");
            notes.faults.add(entry.at, message);
        }
        match any_text(&entry.value, "a text (\"\" for an empty one)") {
            Ok(value) => variables.push((entry.key.clone().into_owned(), value)),
            Err(message) => {
                let message = format!("environment: {key}: {message}");
                notes.faults.add(entry.value.at, message);
            }
        }
    }
    variables.sort();
    variables
}

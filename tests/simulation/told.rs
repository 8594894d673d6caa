//! What the machine has been told, folded in the plainest way, and the level that follows for each instance.
//! Independent of the machine: no index, no differences, everything looked at again each time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::job::Role;
use keepstart::machine::kernel::{Address, KernelDump, KernelEvent, Link};
use keepstart::machine::message::Input;
use keepstart::machine::settings::{
    InstanceName, InstanceSettings, NicNeverSeen, Quorum, Settings, VipRule,
};

/// Roles are believed for at least this long without an answer.
const PATIENCE_MIN: Duration = Duration::from_secs(5);

/// The interface that was seen last of those that the file has named for an instance.
pub(crate) type NicsSeen = BTreeMap<InstanceName, String>;

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct Told {
    links: Vec<Link>,
    addresses: Vec<Address>,
    up: bool,
    synced: bool,
    believed: bool,
    /// Since when nothing is told as it comes: after some patience the table is no longer believed.
    silent_since: Option<Time>,
    dump: Option<PendingDump>,
    /// Instances of which no dump has shown anything yet.
    unseen: BTreeSet<InstanceName>,
    /// The interface of the file that has been seen last, by instance.
    nic_seen: NicsSeen,
    pub(crate) levels: BTreeMap<InstanceName, Level>,
}

#[derive(Debug)]
struct PendingDump {
    good_for: Use,
    since: Vec<KernelEvent>,
}

/// What the dump that is under way will be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// All that was told since it began is laid over it.
    Whole,
    /// Something was not told: it is true alone, of a moment past.
    Alone,
    /// None.
    Nothing,
}

/// What the sources say of an instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) says: Role,
    pub(crate) since: Time,
    known: Option<Role>,
    flipped: Option<Time>,
    /// Whether the present level came out of the calm.
    pub(crate) calm: bool,
    /// The longest window and hold-on-loss that were in force since it came.
    pub(crate) window: Duration,
    /// The shortest window that was.
    pub(crate) window_min: Duration,
    pub(crate) hold_on_loss: Duration,
}

impl Told {
    /// For a machine that begins: `nic_seen` is what was seen in earlier lives, as far as the record of it is whole.
    pub(crate) fn new(settings: &Settings, nic_seen: NicsSeen) -> Self {
        let unseen = settings
            .instances
            .iter()
            .map(|one| one.name.clone())
            .collect();
        Self {
            unseen,
            nic_seen,
            ..Self::default()
        }
    }

    /// The machine has asked for a dump. False if one was asked for before.
    pub(crate) fn dump_asked(&mut self) -> bool {
        let pending = PendingDump {
            good_for: Use::Whole,
            since: Vec::new(),
        };
        self.dump.replace(pending).is_none()
    }

    /// An input, or (with `None`) that time has passed; `old` are the settings before it.
    pub(crate) fn input(&mut self, input: Option<&Input>, old: &Settings, now: Time) {
        match input {
            None => {
                let due = |since| since + patience(old) <= now;
                if self.silent_since.is_some_and(due) {
                    self.believed = false;
                    self.silent_since = None;
                }
            }
            Some(Input::Subscribed) => {
                self.up = true;
                self.overtake_dump();
            }
            Some(Input::SubscriptionLost { .. }) => {
                self.up = false;
                self.overtake_dump();
                self.fall_behind(now);
            }
            Some(Input::Overrun) => {
                self.overtake_dump();
                self.fall_behind(now);
            }
            Some(Input::Kernel(events)) => self.events(events),
            Some(Input::Dumped(dump)) => self.dumped(dump, now),
            Some(Input::DumpFailed { .. }) => self.dump = None,
            Some(Input::Reload(new)) => self.reloaded(old, new),
            Some(
                Input::Spawned { .. }
                | Input::Ended { .. }
                | Input::EpochsReserved(_)
                | Input::UnitsChanged(_)
                | Input::Audit(_)
                | Input::Shutdown,
            ) => {}
        }
    }

    /// What the truth makes of an instance, for a machine that has been told what this one was.
    pub(crate) fn level_of(&self, truth: &KernelDump, one: &InstanceSettings) -> Role {
        let mut seen = self.has_seen(&one.name, &one.role);
        level(&truth.links, &truth.addresses, &one.role, &mut seen)
    }

    /// Whether nothing has been looked at for an instance, and not for so long that it means anything.
    pub(crate) fn waits_in_good_hope(&self, name: &InstanceName, now: Time) -> bool {
        let young = |level: &Level| now.since(level.since) < PATIENCE_MIN;
        self.unseen.contains(name) && self.levels.get(name).is_none_or(young)
    }

    /// The instance is gone for good.
    pub(crate) fn gone(&mut self, name: &InstanceName) {
        self.levels.remove(name);
    }

    /// What is left of it for the next life of the daemon.
    pub(crate) fn into_nics_seen(self) -> NicsSeen {
        self.nic_seen
    }

    fn has_seen(&self, name: &InstanceName, rule: &VipRule) -> bool {
        let seen = self.nic_seen.get(name);
        seen.is_some() && seen == rule.nic.as_ref()
    }

    /// Looks at all instances again.
    pub(crate) fn look(&mut self, settings: &Settings, now: Time) {
        for one in &settings.instances {
            let level = self.level_now(&one.name, &one.role);
            let window = one.debounce.window;
            let entry = self.levels.entry(one.name.clone()).or_insert(Level {
                says: Role::Unknown,
                since: now,
                known: None,
                flipped: None,
                calm: true,
                window,
                window_min: window,
                hold_on_loss: Duration::ZERO,
            });
            if entry.says != level {
                entry.becomes(level, window, now);
            }
            entry.window = entry.window.max(window);
            entry.window_min = entry.window_min.min(window);
            entry.hold_on_loss = entry.hold_on_loss.max(one.debounce.hold_on_loss);
        }
    }

    fn level_now(&mut self, name: &InstanceName, rule: &VipRule) -> Role {
        if !self.believed || self.unseen.contains(name) {
            return Role::Unknown;
        }
        let mut seen = self.has_seen(name, rule);
        let level = level(&self.links, &self.addresses, rule, &mut seen);
        if let Some(nic) = rule.nic.as_ref().filter(|_| seen) {
            self.nic_seen.insert(name.clone(), nic.clone());
        }
        level
    }

    fn events(&mut self, events: &[KernelEvent]) {
        if let Some(dump) = &mut self.dump {
            dump.since.extend_from_slice(events);
        }
        if self.synced {
            for event in events {
                self.apply(event);
            }
        }
    }

    fn dumped(&mut self, dump: &KernelDump, now: Time) {
        let Some(pending) = self
            .dump
            .take()
            .filter(|dump| dump.good_for != Use::Nothing)
        else {
            return;
        };
        let whole = pending.good_for == Use::Whole;
        self.links.clone_from(&dump.links);
        self.addresses.clone_from(&dump.addresses);
        for event in pending.since.iter().filter(|_| whole) {
            self.apply(event);
        }
        self.believed = true;
        self.synced = self.up && whole;
        self.silent_since = (!self.synced).then_some(now);
        self.unseen.clear();
    }

    fn reloaded(&mut self, old: &Settings, new: &Settings) {
        for one in &new.instances {
            let before = old.instances.iter().find(|two| two.name == one.name);
            if before.is_none_or(|two| two.role != one.role) {
                self.unseen.insert(one.name.clone());
                self.spoil_dump();
            }
        }
    }

    /// Whether the dump that is under way is no longer good for everything.
    pub(crate) fn dump_is_overtaken(&self) -> bool {
        let dump = self.dump.as_ref();
        dump.is_some_and(|dump| dump.good_for != Use::Whole)
    }

    pub(crate) fn spoil_dump(&mut self) {
        if let Some(dump) = &mut self.dump {
            dump.good_for = Use::Nothing;
        }
    }

    /// Something was not told while a dump is under way. What is known may be newer than the dump only if it
    /// was kept up to date meanwhile.
    fn overtake_dump(&mut self) {
        let synced = self.synced;
        if let Some(dump) = self
            .dump
            .as_mut()
            .filter(|dump| dump.good_for == Use::Whole)
        {
            dump.good_for = if synced { Use::Nothing } else { Use::Alone };
        }
    }

    fn fall_behind(&mut self, now: Time) {
        if self.synced {
            self.synced = false;
            self.silent_since = Some(now);
        }
    }

    fn apply(&mut self, event: &KernelEvent) {
        match event {
            KernelEvent::LinkPresent(link) => {
                self.links.retain(|one| one.index != link.index);
                self.links.push(link.clone());
            }
            KernelEvent::LinkGone(index) => {
                self.links.retain(|one| one.index != *index);
                self.addresses.retain(|one| one.key.link != *index);
            }
            KernelEvent::AddressPresent(address) => {
                self.addresses.retain(|one| one.key != address.key);
                self.addresses.push(*address);
            }
            KernelEvent::AddressGone(key) => self.addresses.retain(|one| one.key != *key),
        }
    }
}

impl Level {
    fn becomes(&mut self, level: Role, window: Duration, now: Time) {
        self.calm = self.flipped.is_none_or(|at| now.since(at) >= window);
        if level != Role::Unknown {
            if self.known.is_some_and(|known| known != level) {
                self.flipped = Some(now);
            }
            self.known = Some(level);
        }
        self.says = level;
        self.since = now;
        self.window = Duration::ZERO;
        self.window_min = Duration::MAX;
        self.hold_on_loss = Duration::ZERO;
    }
}

/// What a rule makes of links and addresses.
pub(crate) fn level(
    links: &[Link],
    addresses: &[Address],
    rule: &VipRule,
    seen: &mut bool,
) -> Role {
    let named = |nic: &str, index| {
        links
            .iter()
            .filter(|link| index == link.index)
            .any(|link| link.name == nic || link.altnames.iter().any(|alt| alt == nic))
    };
    let fits = |one: &Address| match rule.nic.as_deref() {
        None => true,
        Some(nic) => {
            one.label.is_some_and(|label| label.as_str() == nic) || named(nic, one.key.link)
        }
    };
    let present = |vip: &IpAddr| {
        addresses
            .iter()
            .any(|one| one.key.local == *vip && one.usable && fits(one))
    };
    let count = rule.addresses.iter().filter(|vip| present(vip)).count();
    let there = rule.nic.as_deref().is_none_or(|nic| {
        let base = nic.split(':').next().unwrap_or(nic);
        links
            .iter()
            .any(|link| named(nic, link.index) || named(base, link.index))
    });
    *seen |= there || count > 0;
    let master = match rule.quorum {
        Quorum::All => count == rule.addresses.len(),
        Quorum::Any => count > 0,
    };
    if master {
        Role::Master
    } else if !*seen && rule.nic_never_seen == NicNeverSeen::Unknown {
        Role::Unknown
    } else {
        Role::Backup
    }
}

/// How long roles are believed without an answer: three polls, at least five seconds.
fn patience(settings: &Settings) -> Duration {
    PATIENCE_MIN.max(settings.poll_every * 3)
}

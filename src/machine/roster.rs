//! The roster: instances taken up, changed and let go of by a configuration. Pure; part of the machine.

use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;
use super::job::{Action, InstanceId, JobId, Knowledge};
use super::kernel::Links;
use super::message::{Changes, Event, Output, Restored};
use super::reason::Reason;
use super::settings::{InstanceName, InstanceSettings, Release, Settings};
use super::timers::InstanceTimer;
use super::{Machine, Time};

/// Signs of life of many instances are spread over this span.
const REPORT_SPREAD_MAX: Duration = Duration::from_secs(60);

impl Machine {
    /// Takes a new configuration: what is the same is not disturbed.
    pub(super) fn reload(&mut self, settings: &Settings, now: Time) {
        let (poll, audit) = (settings.poll_every, settings.audit_every);
        self.follow.configure(poll, audit, now, &mut self.shared);
        self.shared.places.set_limit(settings.starts_at_once);
        let (removed, left) = self.remove_all_but(&settings.instances, now);
        let mut changes = Changes {
            removed,
            left,
            ..Changes::default()
        };
        let mut look = false;
        for instance in &settings.instances {
            let change = match self.names.get(&instance.name).copied() {
                Some(id) => self.change(id, instance, now),
                None => {
                    self.add(instance.clone(), now);
                    Change::New
                }
            };
            look |= matches!(change, Change::New | Change::Rule);
            match change {
                Change::New => changes.added.push(instance.name.clone()),
                Change::Rule | Change::Actions => changes.changed.push(instance.name.clone()),
                Change::None => changes.unchanged += 1,
            }
        }
        let addresses = self.watch.addresses();
        self.table.retain(&addresses);
        look |= addresses != self.watched.addresses;
        self.watched.addresses = addresses;
        // Of names that nobody watched before, the table may have heard nothing.
        if look {
            self.watched.links = Links::All;
        }
        self.shared.outbox.act(Output::Watch(self.watched.clone()));
        self.watch_units();
        if look {
            self.follow.dump_anew(&mut self.shared);
        }
        self.shared.outbox.event(Event::Reloaded(changes));
    }

    /// What earlier lives left of instances that are not in the file. Nobody looks after their services: should
    /// one come back, in this life or the next, its service may run or not. A job that still runs is neither
    /// signalled nor waited for at the end of the daemon, because nobody here has a say in it; but an instance
    /// that comes back takes it over, so nothing is ever run beside it.
    pub(super) fn take_up_absent(&mut self) {
        for (name, absent) in &mut self.absent {
            if let Some(adopted) = &absent.adopted {
                self.shared.outbox.event(adopted.event(name));
            }
            if absent.in_doubt()
                || matches!(
                    absent.knowledge,
                    Some(Knowledge::Running | Knowledge::Partly)
                )
            {
                absent.knowledge = Some(Knowledge::Maybe);
                self.shared.outbox.tell(Output::Remember {
                    name: name.clone(),
                    knowledge: absent.knowledge,
                });
            }
        }
    }

    /// A job has ended that belongs to no instance of the file.
    pub(super) fn absent_ended(&mut self, job: JobId, now: Time) {
        // What it may have done to the service is in doubt since it was taken up.
        for (name, absent) in &mut self.absent {
            if let Some(adopted) = absent.adopted.take_if(|adopted| adopted.job == job) {
                self.shared.outbox.event(adopted.ended(name, now));
            }
        }
    }

    /// Gives back which are removed, and of which of them the service may run on.
    fn remove_all_but(
        &mut self,
        keep: &[Arc<InstanceSettings>],
        now: Time,
    ) -> (Vec<InstanceName>, Vec<InstanceName>) {
        let stays = |name: &InstanceName| keep.binary_search_by(|one| one.name.cmp(name)).is_ok();
        let gone: Vec<_> = self
            .names
            .keys()
            .filter(|name| !stays(name))
            .cloned()
            .collect();
        let instances = gone.iter().filter_map(|name| self.names.get(name));
        let instances = instances.filter_map(|id| self.instances.get(id));
        let left = instances
            .filter(|instance| runs_on_when_removed(instance))
            .map(|instance| instance.settings.name.clone())
            .collect();
        for name in &gone {
            self.remove(name, now);
        }
        (gone, left)
    }

    pub(super) fn add(&mut self, settings: Arc<InstanceSettings>, now: Time) {
        let restored = self.absent.remove(&settings.name).unwrap_or_default();
        let id = InstanceId(self.next_id);
        self.next_id += 1;
        self.watch.add(id, &settings.role);
        self.watch.add_units(id, &settings);
        self.names.insert(settings.name.clone(), id);
        self.set_periods(id, &settings, now);
        if let Some(adopted) = &restored.adopted {
            self.shared.jobs.insert(adopted.job, id);
            let event = adopted.event(&settings.name);
            self.shared.outbox.event(event);
        }
        let look_by = now + self.follow.distrust_after();
        let mut instance = Instance::new(id, settings, &restored, look_by, now);
        instance.reserve_epochs(&mut self.shared);
        if restored.knowledge != Some(instance.knowledge) {
            // The next life may begin before anything is learnt in this one.
            instance.remember(&mut self.shared);
        }
        instance.settle(&mut self.shared, now);
        self.instances.insert(id, Box::new(instance));
    }

    fn change(&mut self, id: InstanceId, new: &Arc<InstanceSettings>, now: Time) -> Change {
        let Some(instance) = self.instances.get_mut(&id) else {
            return Change::None;
        };
        let returns = instance.leaving.take().is_some();
        if instance.settings == *new && !returns {
            return Change::None;
        }
        let old = std::mem::replace(&mut instance.settings, new.clone());
        self.watch.remove_units(id, &old);
        self.watch.add_units(id, new);
        let rule = old.role != new.role || returns;
        if rule {
            self.watch.remove(id, &old.role);
            self.watch.add(id, &new.role);
            // What the old rule said, or what was last seen before the instance left, says nothing now.
            let look_by = now + self.follow.distrust_after();
            instance.unlook(look_by, &mut self.shared, now);
        }
        // Another is-running may see the service otherwise.
        if old.is_running != new.is_running && instance.job.is_none() {
            instance.ask = Some(Reason::TakenUp);
        }
        instance.retry.until = None;
        instance.settle(&mut self.shared, now);
        self.set_periods(id, new, now);
        if rule { Change::Rule } else { Change::Actions }
    }

    /// Sets the timers of what happens regularly, evenly spread over the instances: the first audit lies
    /// somewhere in the first period, the first sign of life somewhat after the first period.
    fn set_periods(&mut self, id: InstanceId, settings: &InstanceSettings, now: Time) {
        let spread = spread(id);
        let audit = now + settings.audit_every.mul_f64(1.0 - spread);
        let audit = settings.is_running.is_some().then_some(audit);
        self.shared.set_timer(id, InstanceTimer::Audit, audit);
        let report = now + settings.report_every + REPORT_SPREAD_MAX.mul_f64(spread);
        self.shared
            .set_timer(id, InstanceTimer::Report, Some(report));
    }

    fn remove(&mut self, name: &InstanceName, now: Time) {
        let Some(id) = self.names.get(name).copied() else {
            return;
        };
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if instance.leaving.is_none() {
            instance.leaving = Some(instance.settings.on_remove);
            instance.retry.until = None;
            if instance.knowledge != Knowledge::Stopped {
                instance.ask = None;
            }
            instance.settle(&mut self.shared, now);
        }
        self.bury(id);
    }

    /// Forgets an instance that is leaving, once nothing is left to be done for it.
    pub(super) fn bury(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let done = match instance.leaving {
            None => return,
            Some(Release::Keep) => true,
            Some(Release::Stop) => instance.knowledge == Knowledge::Stopped,
        };
        if !done || instance.job.is_some() {
            return;
        }
        let settings = instance.settings.clone();
        let remembered = Restored {
            epoch: instance.epoch,
            epoch_reserved: instance.epoch_reserved,
            // Nobody looks after it from now on.
            knowledge: Some(match instance.knowledge {
                Knowledge::Stopped => Knowledge::Stopped,
                Knowledge::Running | Knowledge::Maybe | Knowledge::Partly => Knowledge::Maybe,
            }),
            adopted: None,
            interrupted: false,
            nic_seen: instance.nic_seen.clone(),
        };
        let noted = remembered
            .knowledge
            .filter(|known| *known != Knowledge::Stopped);
        self.absent.insert(settings.name.clone(), remembered);
        self.instances.remove(&id);
        self.names.remove(&settings.name);
        self.watch.remove(id, &settings.role);
        self.watch.remove_units(id, &settings);
        self.shared.timers.clear_instance(id);
        self.shared.places.withdraw(id);
        self.shared.outbox.forget(id);
        let name = settings.name.clone();
        self.shared.outbox.tell(Output::Remember {
            name,
            knowledge: noted,
        });
        self.shared.outbox.tell(Output::Gone(id));
    }
}

/// Whether the service may run on when the instance is removed.
fn runs_on_when_removed(instance: &Instance) -> bool {
    let job = instance.job.as_ref();
    let starts = job.is_some_and(|job| job.action == Action::Start);
    match instance.settings.on_remove {
        Release::Keep => starts || instance.knowledge != Knowledge::Stopped,
        Release::Stop => false,
    }
}

/// What a reload does to an instance.
enum Change {
    New,
    None,
    Actions,
    Rule,
}

/// A fraction from 0 to 1 for each instance, evenly spread however many there are: multiples of the golden
/// ratio, modulo 1 (Weyl's equidistribution theorem).
fn spread(id: InstanceId) -> f64 {
    const GOLDEN: u32 = 0x9E37_79B9;
    f64::from(id.0.wrapping_mul(GOLDEN)) / (f64::from(u32::MAX) + 1.0)
}

//! What happens in a world outside the machine: trouble in the kernel, answers, scripts' ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keepstart::machine::job::{Action, Exit, InstanceId, JobId};
use keepstart::machine::kernel::{AddressKey, KernelEvent};
use keepstart::machine::message::Input;
use keepstart::machine::settings::{InstanceName, InstanceSettings};
use keepstart::machine::unit::UnitName;

use crate::agenda::Happening;
use crate::scripts::{Service, Word};
use crate::setup::{self, LINKS, SLOTS};
use crate::tally::Kind;
use crate::world::{Verdict, World};

/// A notification that is read later than this is late.
const LATE: Duration = Duration::from_millis(10);

impl World {
    /// Plans the first of everything that goes on by itself.
    pub(crate) fn begin_troubles(&mut self) {
        for slot in 0..SLOTS {
            self.paces[slot] = self.choices.pick(&[1, 5, 20, 100, 250, 1_000]);
            self.later(&[1, 100], Happening::Flip(slot));
        }
        self.later(&[1_000], Happening::Churn);
        self.later(&[5_000], Happening::Crash);
        self.later(&[5_000], Happening::SubscriptionBreaks);
        self.later(&[1_000], Happening::Operator);
    }

    pub(crate) fn later(&mut self, around_ms: &[u64], happening: Happening) {
        let at = self.now + self.choices.around_ms(around_ms);
        self.agenda.put(at, happening);
    }

    fn lives(&self, life: u32) -> bool {
        self.daemon
            .as_ref()
            .is_some_and(|daemon| daemon.life == life)
    }

    pub(crate) fn happen(&mut self, happening: Happening) -> Verdict {
        if self.frozen && happening.is_trouble() || !self.concerns(&happening) {
            return Ok(());
        }
        match happening {
            Happening::Flip(slot) => self.flip(slot),
            Happening::Churn => self.churn(),
            Happening::Usable(key) => {
                self.kernel.make_usable(&mut self.choices, key);
                self.announce();
            }
            Happening::LinkBack(name) => {
                self.kernel.restore_link(&mut self.choices, name);
                self.announce();
            }
            Happening::Snapshot { .. } => {
                let daemon = self.daemon.as_ref();
                self.kernel.snapshot = daemon.map(|one| self.kernel.dump(&one.watched));
            }
            Happening::Effect(job) => {
                self.note("   effect of", &job);
                let changed = self.scripts.effect(job);
                self.unit_changes(changed.as_ref());
            }
            Happening::Hint { units } => return self.hint(units),
            Happening::Crash => self.crash(),
            Happening::StopWaitOver { .. } => {
                self.tally.count(Kind::ShutdownCutShort);
                self.end_life();
            }
            Happening::Deliver { .. } => return self.deliver(),
            Happening::SubscribeAnswer { .. } => return self.answer_subscribe(),
            Happening::SubscriptionBreaks => return self.break_subscription(),
            Happening::DumpAnswer { .. } => return self.answer_dump(),
            Happening::EpochsNoted {
                life,
                instance,
                name,
                through,
            } => {
                self.disk.reserve(&name, through);
                if self.lives(life) {
                    return self.reserved(instance, &name, through);
                }
            }
            Happening::Spawned(job) => return self.spawned(job),
            Happening::Ends { job, version, exit } => return self.ends(job, version, exit),
            Happening::Operator => return self.operate(),
            Happening::DaemonBegins => return self.begin_life(),
        }
        Ok(())
    }

    /// Whether it concerns the daemon that lives, or none at all.
    fn concerns(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Deliver { life }
            | Happening::SubscribeAnswer { life }
            | Happening::Snapshot { life }
            | Happening::DumpAnswer { life }
            | Happening::StopWaitOver { life } => self.lives(*life),
            Happening::Flip(_)
            | Happening::Churn
            | Happening::Usable(_)
            | Happening::LinkBack(_)
            | Happening::SubscriptionBreaks
            | Happening::EpochsNoted { .. }
            | Happening::Spawned(_)
            | Happening::Effect(_)
            | Happening::Ends { .. }
            | Happening::Hint { .. }
            | Happening::Crash
            | Happening::Operator
            | Happening::DaemonBegins => true,
        }
    }

    fn reserved(&mut self, instance: InstanceId, name: &InstanceName, through: u64) -> Verdict {
        if let Some(daemon) = &mut self.daemon {
            daemon.check.reserved(name, through);
        }
        self.feed(Some(Input::EpochsReserved(vec![(instance, through)])))
    }

    fn flip(&mut self, slot: usize) {
        self.flips += 1;
        self.note("   flip of", &setup::vip(slot));
        if let Some(key) = self.kernel.flip(&mut self.choices, slot) {
            self.later(&[1, 50, 1_000], Happening::Usable(key));
        }
        if self.choices.chance(30) {
            let paces = [1, 1, 5, 20, 100, 150, 250, 1_000, 5_000, 30_000];
            self.paces[slot] = self.choices.pick(&paces);
        }
        let pace = self.paces[slot];
        self.later(&[pace], Happening::Flip(slot));
        self.announce();
    }

    fn churn(&mut self) {
        let name = self.choices.pick(&LINKS);
        let slot = self.choices.index(SLOTS);
        match self.choices.below(4) {
            0 => self.kernel.delete_link(&mut self.choices, name),
            1 | 2 => self.kernel.disguise_link(&mut self.choices, name),
            _ => self.kernel.double_vip(&mut self.choices, slot),
        }
        self.later(&[1, 20, 500, 10_000], Happening::LinkBack(name));
        self.later(&[50, 1_000, 10_000], Happening::Churn);
        self.announce();
    }

    /// The daemon will come round to reading.
    fn announce(&mut self) {
        if let Some(daemon) = &self.daemon
            && self.kernel.readable()
        {
            self.kernel.unread_since.get_or_insert(self.now);
            let life = daemon.life;
            let at = self.now + self.choices.within(self.kernel.manners.lag);
            self.agenda.put(at, Happening::Deliver { life });
        }
    }

    fn deliver(&mut self) -> Verdict {
        let Some(daemon) = &self.daemon else {
            return Ok(());
        };
        if !self.kernel.readable() {
            return Ok(());
        }
        let input = match self.kernel.read(&daemon.watched) {
            None => {
                self.tally.count(Kind::Overrun);
                if self.is_hidden() {
                    self.tally.count(Kind::OverrunHides);
                }
                Input::Overrun
            }
            Some(events) => {
                self.count_batch(&events);
                Input::Kernel(events)
            }
        };
        let since = self.kernel.unread_since.take();
        if since.is_some_and(|since| self.now.since(since) >= LATE) {
            self.tally.count(Kind::NewsLate);
        }
        self.feed(Some(input))?;
        self.announce();
        Ok(())
    }

    /// Whether some instance's role is another than what the machine was told.
    fn is_hidden(&self) -> bool {
        let truth = self.kernel.truth();
        self.daemon.as_ref().is_some_and(|daemon| {
            let told = |name| daemon.told.levels.get(name).map(|level| level.says);
            let mut instances = self.settings.instances.iter();
            instances.any(|one| told(&one.name) != Some(daemon.told.level_of(&truth, one)))
        })
    }

    fn count_batch(&self, events: &[KernelEvent]) {
        let gone = |key: &AddressKey| {
            let is_end = |event: &&KernelEvent| matches!(event, KernelEvent::AddressGone(other) if other == key);
            events.iter().any(|event| is_end(&event))
        };
        let came = |event: &KernelEvent| matches!(event, KernelEvent::AddressPresent(address) if gone(&address.key));
        if events.iter().any(came) {
            self.tally.count(Kind::NewsBatched);
        }
    }

    fn answer_subscribe(&mut self) -> Verdict {
        if let Some(daemon) = &mut self.daemon {
            daemon.subscribing = false;
        }
        if self.kernel.refuses_until > self.now {
            self.tally.count(Kind::SubscriptionRefused);
            let error = "no buffer space".into();
            return self.feed(Some(Input::SubscriptionLost { error }));
        }
        self.kernel.open_socket();
        self.feed(Some(Input::Subscribed))
    }

    fn break_subscription(&mut self) -> Verdict {
        self.later(&[500, 30_000, 120_000], Happening::SubscriptionBreaks);
        if self.choices.chance(500) {
            let refused = self.choices.around_ms(&[1, 1_000, 20_000]);
            self.kernel.refuses_until = self.now + refused;
        }
        if self.choices.chance(300) {
            let failing = self.choices.around_ms(&[100, 5_000, 40_000]);
            self.kernel.dumps_fail_until = self.now + failing;
        }
        if self.kernel.close_socket() {
            self.tally.count(Kind::SubscriptionBroken);
            let error = "the socket broke".into();
            return self.feed(Some(Input::SubscriptionLost { error }));
        }
        Ok(())
    }

    fn answer_dump(&mut self) -> Verdict {
        let fails = self.choices.chance(self.kernel.manners.dump_failures);
        let daemon = self.daemon.as_ref();
        if daemon.is_some_and(|daemon| daemon.told.dump_is_overtaken()) {
            self.tally.count(Kind::DumpOvertaken);
        }
        let input = match self.kernel.snapshot.take() {
            Some(dump) if !fails && self.kernel.dumps_fail_until <= self.now => Input::Dumped(dump),
            Some(_) | None => {
                self.tally.count(Kind::DumpFailed);
                let error = "interrupted".into();
                Input::DumpFailed { error }
            }
        };
        self.feed(Some(input))
    }

    fn spawned(&mut self, job: JobId) -> Verdict {
        let (choices, agenda) = (&mut self.choices, &mut self.agenda);
        let Some(pid) = self.scripts.spawned(job, choices, agenda, self.now) else {
            return Ok(());
        };
        self.feed(Some(Input::Spawned { job, pid }))
    }

    fn ends(&mut self, job: JobId, version: u32, exit: Option<Exit>) -> Verdict {
        let Some((process, exit)) = self.scripts.ends(job, version, exit) else {
            return Ok(());
        };
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        if process.life != daemon.life && !process.adopted {
            return Ok(());
        }
        if process.adopted {
            self.tally.count(Kind::AdoptedEnds);
        }
        let exit = if process.adopted { Exit::Unseen } else { exit };
        let (slow, word) = (process.is_slow_at(self.now), process.word);
        let (name, action) = (process.instance, process.action);
        let told = process.term_at.is_some();
        let done = exit == Exit::Code(0) && !told;
        if !told && slow {
            self.tally.count(Kind::ScriptSlow);
        }
        if action != Action::IsRunning && !told && matches!(exit, Exit::Code(1..) | Exit::Signal(_))
        {
            self.tally.count(Kind::ScriptFailing);
        }
        let check = &mut daemon.check;
        check.unanswered.remove(&name);
        // Whoever comes back to what a stray script has left asks first, as after any restart.
        let waited_for = daemon.machine.views(self.now).any(|view| view.name == name);
        if waited_for && action == Action::Start && !done && !matches!(exit, Exit::NotStarted(_)) {
            check.half_started.insert(name.clone());
        }
        let answer = matches!(
            exit,
            Exit::Code(0..=1) | Exit::NotRunning(_) | Exit::PartlyRunning(_)
        );
        if waited_for && action == Action::IsRunning && (told || !answer) {
            check.unanswered.insert(name.clone());
            self.tally.count(Kind::QuestionUnanswered);
        }
        self.disk.ended(&name);
        if done && word == Word::Good && action.changes_service() {
            self.excused.remove(&name);
        }
        self.feed(Some(Input::Ended { job, exit }))?;
        if done && !process.adopted {
            self.check_verified(&name, action)?;
        }
        Ok(())
    }

    /// A service ends by itself: only where is-running can tell.
    fn crash(&mut self) {
        self.later(&[500, 10_000, 60_000], Happening::Crash);
        let index = self.choices.index(self.settings.instances.len());
        let Some(one) = self.settings.instances.get(index) else {
            return;
        };
        if one.is_running.is_some() && self.scripts.service(&one.name) == Service::Running {
            let units = one.units().collect::<BTreeSet<_>>().len();
            let left = if units > 1 && self.choices.chance(500) {
                Service::Partly
            } else {
                Service::Stopped
            };
            self.scripts.services.insert(one.name.clone(), left);
            self.tally.count(Kind::ServiceCrashed);
            let name = one.name.clone();
            self.note("   crash of", &name);
            self.unit_changes(Some(&name));
        }
    }

    /// A service has changed. If systemd has it, the daemon hears of that: soon, late, twice, or never.
    fn unit_changes(&mut self, name: Option<&InstanceName>) {
        let one = name.and_then(|name| self.instance(name));
        let units: BTreeSet<_> = one
            .into_iter()
            .flat_map(|one| one.units().cloned())
            .collect();
        if units.is_empty() {
            return;
        }
        let times = self.choices.pick(&[0, 1, 1, 1, 2]);
        for _ in 0..times {
            let units = units.clone();
            self.later(&[0, 0, 1, 50, 2_000], Happening::Hint { units });
        }
    }

    /// The daemon hears that units have changed: it may not be content before it has asked since.
    pub(crate) fn hint(&mut self, mut units: BTreeSet<UnitName>) -> Verdict {
        let Some(daemon) = &self.daemon else {
            return Ok(());
        };
        units.retain(|unit| daemon.watched_units.contains(unit));
        if units.is_empty() {
            return Ok(());
        }
        let concerned = |one: &&Arc<InstanceSettings>| one.units().any(|unit| units.contains(unit));
        let names = self.settings.instances.iter().filter(concerned);
        let names: Vec<_> = names.map(|one| one.name.clone()).collect();
        if let Some(daemon) = &mut self.daemon {
            daemon.check.hinted.extend(names);
        }
        self.feed(Some(Input::UnitsChanged(units)))
    }
}

//! What happens in a world outside the machine: trouble in the kernel, answers, scripts' ends, the operator.

use std::time::Duration;

use keepstart::machine::Machine;
use keepstart::machine::job::{Action, Exit, JobId};
use keepstart::machine::message::Input;

use crate::agenda::Happening;
use crate::check::LifeCheck;
use crate::kernel::Manners;
use crate::scripts::Mood;
use crate::setup::{self, LINKS, SLOTS};
use crate::told::Told;
use crate::world::{Daemon, Verdict, World};

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

    fn later(&mut self, around_ms: &[u64], happening: Happening) {
        let at = self.now + self.choices.around_ms(around_ms);
        self.agenda.put(at, happening);
    }

    fn lives(&self, life: u32) -> bool {
        self.daemon
            .as_ref()
            .is_some_and(|daemon| daemon.life == life)
    }

    pub(crate) fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Flip(_)
            | Happening::Churn
            | Happening::Crash
            | Happening::SubscriptionBreaks
            | Happening::Operator
                if self.frozen =>
            {
                Ok(())
            }
            Happening::Flip(slot) => self.flip(slot),
            Happening::Churn => self.churn(),
            Happening::Usable(key) => {
                self.kernel.make_usable(&mut self.choices, key);
                self.announce()
            }
            Happening::LinkBack(name) => {
                self.kernel.restore_link(&mut self.choices, name);
                self.announce()
            }
            Happening::Deliver { life } if self.lives(life) => self.deliver(),
            Happening::SubscribeAnswer { life } if self.lives(life) => self.answer_subscribe(),
            Happening::SubscriptionBreaks => self.break_subscription(),
            Happening::Snapshot { life } if self.lives(life) => {
                let daemon = self.daemon.as_ref();
                self.kernel.snapshot = daemon.map(|one| self.kernel.dump(&one.watched));
                Ok(())
            }
            Happening::DumpAnswer { life } if self.lives(life) => self.answer_dump(),
            Happening::EpochsNoted {
                life,
                instance,
                name,
                through,
            } => {
                self.disk.reserve(&name, through);
                if !self.lives(life) {
                    return Ok(());
                }
                if let Some(daemon) = &mut self.daemon {
                    daemon.check.reserved(&name, through);
                }
                self.feed(Some(Input::EpochsReserved { instance, through }))
            }
            Happening::Spawned(job) => self.spawned(job),
            Happening::Effect(job) => {
                self.note("   effect of", &job);
                self.scripts.effect(job);
                Ok(())
            }
            Happening::Ends { job, version, exit } => self.ends(job, version, exit),
            Happening::Crash => {
                self.crash();
                Ok(())
            }
            Happening::Operator => self.operate(),
            Happening::DaemonBegins => self.begin_life(),
            Happening::StopWaitOver { life } if self.lives(life) => {
                self.end_life();
                Ok(())
            }
            Happening::Deliver { .. }
            | Happening::SubscribeAnswer { .. }
            | Happening::Snapshot { .. }
            | Happening::DumpAnswer { .. }
            | Happening::StopWaitOver { .. } => Ok(()),
        }
    }

    fn flip(&mut self, slot: usize) -> Verdict {
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
        self.announce()
    }

    fn churn(&mut self) -> Verdict {
        let name = self.choices.pick(&LINKS);
        let slot = self.choices.index(SLOTS);
        match self.choices.below(4) {
            0 => self.kernel.delete_link(&mut self.choices, name),
            1 | 2 => self.kernel.disguise_link(&mut self.choices, name),
            _ => self.kernel.double_vip(&mut self.choices, slot),
        }
        self.later(&[1, 20, 500, 10_000], Happening::LinkBack(name));
        self.later(&[50, 1_000, 10_000], Happening::Churn);
        self.announce()
    }

    /// The daemon will come round to reading.
    fn announce(&mut self) -> Verdict {
        if let Some(daemon) = &self.daemon
            && self.kernel.readable()
        {
            let life = daemon.life;
            let at = self.now + self.choices.within(self.kernel.manners.lag);
            self.agenda.put(at, Happening::Deliver { life });
        }
        Ok(())
    }

    fn deliver(&mut self) -> Verdict {
        let Some(daemon) = &self.daemon else {
            return Ok(());
        };
        if !self.kernel.readable() {
            return Ok(());
        }
        let input = match self.kernel.read(&daemon.watched) {
            None => Input::Overrun,
            Some(events) => Input::Kernel(events),
        };
        self.feed(Some(input))?;
        self.announce()
    }

    fn answer_subscribe(&mut self) -> Verdict {
        if let Some(daemon) = &mut self.daemon {
            daemon.subscribing = false;
        }
        if self.kernel.refuses_until > self.now {
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
            let error = "the socket broke".into();
            return self.feed(Some(Input::SubscriptionLost { error }));
        }
        Ok(())
    }

    fn answer_dump(&mut self) -> Verdict {
        let fails = self.choices.chance(self.kernel.manners.dump_failures);
        let input = match self.kernel.snapshot.take() {
            Some(dump) if !fails && self.kernel.dumps_fail_until <= self.now => Input::Dumped(dump),
            Some(_) | None => Input::DumpFailed {
                error: "interrupted".into(),
            },
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
        let exit = if process.adopted { Exit::Unseen } else { exit };
        let done = exit == Exit::Code(0) && process.term_at.is_none();
        if process.action == Action::Start && !done && !matches!(exit, Exit::NotStarted(_)) {
            daemon.check.half_started.insert(process.instance.clone());
        }
        self.disk.ended(&process.instance);
        self.feed(Some(Input::Ended { job, exit }))
    }

    /// A service ends by itself: only where is-running can tell.
    fn crash(&mut self) {
        self.later(&[500, 10_000, 60_000], Happening::Crash);
        let index = self.choices.index(self.settings.instances.len());
        let Some(one) = self.settings.instances.get(index) else {
            return;
        };
        if one.is_running.is_some() && self.scripts.runs(&one.name) {
            self.scripts.services.insert(one.name.clone(), false);
            let name = one.name.clone();
            self.note("   crash of", &name);
        }
    }

    fn operate(&mut self) -> Verdict {
        self.later(&[20, 500, 5_000, 60_000], Happening::Operator);
        if self.choices.chance(300) {
            let moods = [
                Mood::Good,
                Mood::Mixed,
                Mood::Mixed,
                Mood::Bad,
                Mood::Deaf,
                Mood::Lame,
            ];
            self.scripts.mood = self.choices.pick(&moods);
        }
        match self.choices.below(20) {
            0..=7 => {
                let new = setup::edited(&mut self.choices, &self.settings);
                self.reload(new)
            }
            8..=11 => {
                let index = self.choices.index(self.settings.instances.len() + 1);
                let name = self
                    .settings
                    .instances
                    .get(index)
                    .map(|one| one.name.clone());
                self.feed(Some(Input::Audit(name)))
            }
            12 | 13 => {
                if let Some(daemon) = &mut self.daemon {
                    daemon.ending = true;
                    let life = daemon.life;
                    self.later(&[200, 60_000], Happening::StopWaitOver { life });
                }
                self.feed(Some(Input::Shutdown))
            }
            14..=16 => {
                self.note("   kill -9", &());
                self.end_life();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn reload(&mut self, new: keepstart::machine::settings::Settings) -> Verdict {
        for one in &self.settings.instances {
            let fresh = new.instances.iter().find(|two| two.name == one.name);
            if fresh.is_some_and(|two| two.is_running.is_none()) && one.is_running.is_some() {
                self.excused.insert(one.name.clone());
            }
        }
        if self.daemon.is_some() {
            self.feed(Some(Input::Reload(new)))
        } else {
            self.settings = new;
            Ok(())
        }
    }

    /// The daemon is gone, at once and without a word; another will come.
    pub(crate) fn end_life(&mut self) {
        if self.daemon.take().is_none() {
            return;
        }
        self.kernel.close_socket();
        self.kernel.snapshot = None;
        self.scripts.orphan();
        self.later(&[1, 50, 3_000], Happening::DaemonBegins);
    }

    fn begin_life(&mut self) -> Verdict {
        self.lives += 1;
        let life = self.lives;
        let stays = |name: &_| self.settings.instances.iter().any(|one| one.name == *name);
        self.scripts.processes.retain(|_, one| stays(&one.instance));
        self.scripts.services.retain(|name, _| stays(name));
        for process in self.scripts.processes.values_mut() {
            process.adopted = true;
            process.deadline = process.deadline.max(self.now);
            process.term_at = None;
            process.killed = false;
        }
        let restored = self.disk.restored(&self.scripts, &mut self.choices);
        self.note("   a new life with", &restored);
        let machine = Machine::new(&self.settings, &restored, life, self.now);
        self.daemon = Some(Daemon {
            machine,
            life,
            told: Told::new(&self.settings),
            check: LifeCheck::new(&restored),
            ending: false,
            finished: false,
            watched: std::collections::BTreeSet::new(),
            subscribing: false,
            names: std::collections::BTreeMap::new(),
        });
        if let Some(daemon) = &mut self.daemon {
            daemon.told.look(&self.settings, self.now);
        }
        self.drain()
    }

    /// Freezes the world: nothing changes any more, and nothing fails.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
        self.kernel.calm_down();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        self.frozen = false;
        self.kernel.manners = Manners::any(&mut self.choices);
        self.begin_troubles();
    }

    /// A while in which nothing is new but nothing succeeds either.
    pub(crate) fn despair(&mut self) -> Verdict {
        let moods = [Mood::Good, Mood::Bad, Mood::Deaf, Mood::Lame];
        self.scripts.mood = self.choices.pick(&moods);
        self.live_until(self.now + Duration::from_secs(300))?;
        self.scripts.mood = Mood::Good;
        Ok(())
    }

    /// Time enough for every timeout and retry, and for the audits to find what was missed.
    pub(crate) fn calm_down(&mut self) -> Verdict {
        self.live_until(self.now + Duration::from_secs(900))
    }
}

//! What the operator does: reloads, audits, shutdowns, kill -9; and how the daemon's lives begin and end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keepstart::machine::Machine;
use keepstart::machine::job::{Action, JobId};
use keepstart::machine::message::{Identity, Input};
use keepstart::machine::settings::Settings;

use crate::agenda::Happening;
use crate::check::LifeCheck;
use crate::kernel::Manners;
use crate::scripts::Mood;
use crate::setup;
use crate::tally::Kind;
use crate::told::{self, NicsSeen, Told};
use crate::world::{Daemon, Verdict, World};

impl World {
    pub(crate) fn operate(&mut self) -> Verdict {
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
                self.tally.count(Kind::AuditWanted);
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
                self.tally.count(Kind::DaemonKilled);
                self.end_life();
                Ok(())
            }
            17 => {
                // The bus was lost and is back: anything may have changed.
                let daemon = self.daemon.as_ref();
                let units = daemon.map(|one| one.watched_units.clone());
                self.hint(units.unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    fn reload(&mut self, new: Settings) -> Verdict {
        for one in &new.instances {
            if one.is_running.is_some() {
                self.asked.insert(one.name.clone());
            } else if self.asked.contains(&one.name) {
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
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        self.nics_seen = daemon.told.into_nics_seen();
        self.kernel.close_socket();
        self.kernel.snapshot = None;
        self.scripts.orphan();
        self.later(&[1, 50, 3_000], Happening::DaemonBegins);
    }

    pub(crate) fn begin_life(&mut self) -> Verdict {
        self.lives += 1;
        let life = self.lives;
        for process in self.scripts.processes.values_mut() {
            process.adopted = true;
            process.deadline = process.deadline.max(self.now);
            process.term_at = None;
            process.killed = false;
        }
        let mut nics_seen = std::mem::take(&mut self.nics_seen);
        let restored = self.disk.restored(
            &self.scripts,
            &mut self.choices,
            &self.tally,
            &mut nics_seen,
        );
        self.count_nics_gone(&nics_seen);
        for one in restored.values().filter_map(|one| one.adopted.as_ref()) {
            if let Some(process) = self.scripts.processes.get_mut(&one.job) {
                process.identity = one.identity;
            }
        }
        self.note("   a new life with", &restored);
        self.tally.count(Kind::DaemonBegins);
        for one in restored.values() {
            if one.interrupted {
                self.tally.count(Kind::JobInterrupted);
            }
        }
        let machine = Machine::new(&self.settings, &restored, life, self.now);
        self.tape_life(&machine, &restored);
        self.daemon = Some(Daemon {
            machine,
            life,
            told: Told::new(&self.settings, nics_seen),
            check: LifeCheck::new(&restored),
            ending: false,
            finished: false,
            watched: BTreeSet::new(),
            watched_units: BTreeSet::new(),
            subscribing: false,
            names: BTreeMap::new(),
        });
        if let Some(daemon) = &mut self.daemon {
            daemon.told.look(&self.settings, self.now);
        }
        self.drain()
    }

    /// The daemon no longer waits for a process. Its outcome is as unknown as that of any that ends unseen.
    pub(crate) fn let_go(&mut self, job: JobId) -> Verdict {
        self.tally.count(Kind::JobLetGo);
        let process = match self.scripts.let_go(job) {
            Some(one) if one.identity == Identity::Presumed && one.deadline <= self.now => one,
            other => return Err(format!("{job} is let go of: {other:?}")),
        };
        self.disk.ended(&process.instance);
        if let Some(daemon) = self.daemon.as_mut() {
            let after = match process.action {
                Action::Start => &mut daemon.check.half_started,
                Action::IsRunning => &mut daemon.check.unanswered,
                Action::Stop => return Ok(()),
            };
            after.insert(process.instance);
        }
        Ok(())
    }

    /// A nic that is not there at the beginning of a life, and is known to have been there.
    fn count_nics_gone(&self, nics_seen: &NicsSeen) {
        let truth = self.kernel.truth();
        for one in &self.settings.instances {
            let has_seen = |nic: &&String| nics_seen.get(&one.name) == Some(nic);
            let mut is_there = false;
            told::level(&truth.links, &truth.addresses, &one.role, &mut is_there);
            if one.role.nic.as_ref().is_some_and(|nic| has_seen(&nic)) && !is_there {
                self.tally.count(Kind::NicGoneMeanwhile);
            }
        }
    }

    /// Freezes the world: nothing changes any more, and nothing fails.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
        self.kernel.calm_down();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self) {
        self.frozen = false;
        self.kernel.manners = Manners::any(&mut self.choices, self.hardship);
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

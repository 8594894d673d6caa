//! What outlives the daemon: the run record and the epochs, as the disk has them.

use std::collections::BTreeMap;

use keepstart::machine::job::{Action, Job, JobId, Knowledge, Role};
use keepstart::machine::message::{Adopted, Identity, Restored, RestoredMap};
use keepstart::machine::reason::Reason;
use keepstart::machine::settings::InstanceName;
use keepstart::machine::{EPOCH_BLOCK, Time};

use crate::choice::Choices;
use crate::scripts::Scripts;
use crate::tally::{Kind, Tally};
use crate::told::NicsSeen;

/// The record of each instance that ever was.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: BTreeMap<InstanceName, Record>,
}

/// One instance's.
#[derive(Debug, Default)]
struct Record {
    knowledge: Option<Knowledge>,
    nic_seen: Option<String>,
    /// The job in flight, noted before it is spawned.
    job: Option<InFlight>,
    /// Epochs up to this one may have been used.
    reserved: u64,
    /// The highest epoch that was used.
    used: u64,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    job: JobId,
    action: Action,
    role: Role,
    epoch: u64,
    reason: Reason,
    started: Time,
    deadline: Time,
    identity: Identity,
}

impl InFlight {
    fn adopted(self, pid: u32) -> Adopted {
        Adopted {
            job: self.job,
            action: self.action,
            role: self.role,
            epoch: self.epoch,
            reason: self.reason,
            pid,
            identity: self.identity,
            started: self.started,
            deadline: self.deadline,
        }
    }
}

impl Disk {
    fn record(&mut self, name: &InstanceName) -> &mut Record {
        self.records.entry(name.clone()).or_default()
    }

    pub(crate) fn intends(&mut self, job: &Job, now: Time) {
        self.record(&job.settings.name).job = Some(InFlight {
            job: job.id,
            action: job.action,
            role: job.role,
            epoch: job.epoch,
            reason: job.reason,
            started: now,
            deadline: now + job.command.timeout,
            identity: Identity::Recorded,
        });
    }

    pub(crate) fn ended(&mut self, name: &InstanceName) {
        self.record(name).job = None;
    }

    pub(crate) fn remember(&mut self, name: &InstanceName, knowledge: Option<Knowledge>) {
        self.record(name).knowledge = knowledge;
    }

    pub(crate) fn remember_nic(&mut self, name: &InstanceName, nic: &str) {
        self.record(name).nic_seen = Some(nic.to_owned());
    }

    pub(crate) fn reserve(&mut self, name: &InstanceName, through: u64) {
        let record = self.record(name);
        record.reserved = record.reserved.max(through);
    }

    /// An epoch is used. False if it, or a later one, was used before.
    pub(crate) fn uses(&mut self, name: &InstanceName, epoch: u64) -> bool {
        let record = self.record(name);
        let grows = epoch > record.used;
        record.used = epoch;
        grows
    }

    /// What a new life of the daemon is given. What a damaged record has lost is forgotten in `seen` too; a job that it
    /// has lost is found by its environment, which proves nothing.
    pub(crate) fn restored(
        &mut self,
        scripts: &Scripts,
        choices: &mut Choices,
        tally: &Tally,
        seen: &mut NicsSeen,
    ) -> RestoredMap {
        let mut map = RestoredMap::new();
        for (name, record) in &mut self.records {
            let mut in_flight = record.job.take();
            // What was used beyond the reservation was announced, or was the first, and may be used again.
            record.used = record.used.min(record.reserved);
            let epoch = record.reserved;
            if choices.chance(700) {
                record.reserved += EPOCH_BLOCK;
            }
            // More often where it matters most: a third of the jobs in flight is lost with the rest.
            let loses = |job: &InFlight| job.job.number.is_multiple_of(3);
            let damaged = choices.chance(50) || in_flight.as_ref().is_some_and(loses);
            if damaged {
                tally.count(Kind::RecordDamaged);
                // Whoever opens a damaged record notes that for as long as nothing better is known.
                record.knowledge = Some(Knowledge::Maybe);
                record.nic_seen = None;
                seen.remove(name);
            }
            if let Some(job) = in_flight.as_mut().filter(|job| loses(job)) {
                job.identity = Identity::Presumed;
            }
            let live = scripts
                .of(name)
                .and_then(|(job, one)| Some((*job, one.pid?)));
            let adopted = in_flight.and_then(|one| {
                let (_, pid) = live.filter(|(other, _)| *other == one.job)?;
                Some(one.adopted(pid))
            });
            if let Some(adopted) = &adopted {
                record.job = in_flight;
                if adopted.identity == Identity::Presumed {
                    tally.count(Kind::JobPresumed);
                }
            }
            map.insert(
                name.clone(),
                Restored {
                    knowledge: record.knowledge,
                    interrupted: in_flight.is_some() && adopted.is_none(),
                    adopted,
                    nic_seen: record.nic_seen.clone(),
                    epoch,
                    epoch_reserved: record.reserved,
                },
            );
        }
        map
    }
}

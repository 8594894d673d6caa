//! The end of the machine's work: a shutdown, what follows every input, and when all is at rest. Pure; part of the
//! machine.

use super::Machine;
use super::Time;
use super::instance::Instance;
use super::job::Knowledge;
use super::message::Output;
use super::settings::Release;

impl Machine {
    pub(super) fn shutdown(&mut self, now: Time) {
        if self.shared.ending {
            return;
        }
        self.shared.ending = true;
        for instance in self.instances.values_mut() {
            // A stop on exit is due at once, whatever was waited for.
            instance.retry.until = None;
            if instance.knowledge != Knowledge::Stopped {
                instance.ask = None;
            }
            instance.settle(&mut self.shared, now);
        }
    }

    /// What follows every input: free places are given away, and a shutdown is seen to be complete.
    pub(super) fn after(&mut self, now: Time) {
        while let Some(id) = self.shared.places.next() {
            match self.instances.get_mut(&id) {
                Some(instance) => instance.settle(&mut self.shared, now),
                None => self.shared.places.withdraw(id),
            }
        }
        if self.shared.ending && !self.finished && self.at_rest() {
            self.finished = true;
            self.shared.outbox.tell(Output::Finished);
        }
    }

    fn at_rest(&self) -> bool {
        let release = |one: &Instance| one.leaving.unwrap_or(one.settings.on_exit);
        let rests = |instance: &Instance| match release(instance) {
            Release::Keep => true,
            Release::Stop => instance.knowledge == Knowledge::Stopped,
        };
        self.shared.jobs.is_empty() && self.instances.values().map(Box::as_ref).all(rests)
    }
}

//! What the kernel says, and that it says nothing: into the table, and on to the instances that it concerns. Pure;
//! part of the machine.

use super::address::Touched;
use super::follow::Arrived;
use super::kernel::{KernelDump, KernelEvent, Link, Links};
use super::message::{Event, Output};
use super::{Machine, Time};

impl Machine {
    pub(super) fn subscribed(&mut self) {
        self.follow.subscribed(&mut self.shared);
        self.shared.outbox.event(Event::Subscribed);
    }

    pub(super) fn subscription_lost(&mut self, error: String, now: Time) {
        if self.follow.first_loss() {
            self.shared.outbox.event(Event::SubscriptionLost {
                error: error.clone(),
            });
        }
        // The next one begins with all, until a dump has shown which links bear the watched names.
        if self.watched.links != Links::All {
            self.watched.links = Links::All;
            let watched = self.watched.clone();
            self.shared.outbox.act(Output::Watch(watched));
        }
        self.follow.subscription_lost(error, now, &mut self.shared);
    }

    /// Narrows or widens what has to be told of links to those that bear the watched names now.
    ///
    /// While all are told of, the table has them as they are, but for what is queued. Afterwards only a message
    /// with a watched name can make another link one of them, and that is told: so either nothing of one of them
    /// was dropped, or one has just become known that was none before. What it did until it was let through was
    /// dropped; a dump that begins then shows it.
    fn follow_links(&mut self) {
        if !self.follow.synchronized() {
            return;
        }
        let links = self.watch.links(&self.table);
        if links == self.watched.links {
            return;
        }
        let is_known = |index: &_| match &self.watched.links {
            Links::All => true,
            Links::Named { indexes, .. } => indexes.contains(index),
        };
        let is_wider = match &links {
            Links::All => self.watched.links != Links::All,
            Links::Named { indexes, .. } => !indexes.iter().all(is_known),
        };
        self.watched.links = links;
        let watched = self.watched.clone();
        self.shared.outbox.act(Output::Watch(watched));
        if is_wider {
            self.follow.dump_anew(&mut self.shared);
        }
    }

    pub(super) fn overrun(&mut self, now: Time) {
        let burst = self.follow.synchronized();
        self.follow.overrun(now, &mut self.shared);
        if burst {
            self.shared.outbox.event(Event::Overrun {
                total: self.follow.overruns(),
            });
        }
    }

    pub(super) fn kernel(&mut self, events: &[KernelEvent], now: Time) {
        self.follow.record(events);
        if !self.follow.synchronized() {
            return;
        }
        let mut touched = Touched::default();
        for event in events {
            self.table.apply(event, &mut touched);
        }
        if !touched.names.is_empty() {
            self.follow_links();
        }
        self.look_at_touched(&touched, now);
    }

    pub(super) fn dumped(&mut self, dump: &KernelDump, now: Time) {
        let trusted = self.follow.trusted();
        let synchronized = self.follow.synchronized();
        let arrived = self.follow.dumped(now, &mut self.shared);
        let Arrived::Use { since, audit } = arrived else {
            return;
        };
        let watch = &self.watch;
        let matters = |link: &Link| watch.matters(link);
        let touched = self.table.replace(dump, &since, matters);
        self.follow_links();
        if audit && touched.differences > 0 {
            self.follow.audits_repaired += 1;
            let differences = touched.differences;
            self.shared
                .outbox
                .event(Event::AuditRepaired { differences });
        }
        if !trusted || (self.follow.synchronized() && !synchronized) {
            let addresses = u32::try_from(self.table.addresses()).unwrap_or(u32::MAX);
            self.shared.outbox.event(Event::Synchronized { addresses });
        }
        if trusted {
            self.look_at_touched(&touched, now);
            self.look_at_unlooked(now);
        } else {
            self.look_at_all(now);
        }
    }

    pub(super) fn dump_failed(&mut self, error: String, now: Time) {
        self.follow.dump_failed(now, &mut self.shared);
        let failures = self.follow.dump_failures();
        self.shared
            .outbox
            .event(Event::DumpFailed { error, failures });
    }
}

//! Following the kernel: subscribe first, then dump, then follow; dump again whenever something may have
//! been missed. Decides when; the reactor does. Pure.
//!
//! The table is *synchronized* while every notification since the start of a complete dump has been taken
//! in. While it is not, the table stands still between dumps: each complete one is the truth of a moment after
//! the dump was asked for, hence newer than the table, and is taken as it is. Without any for `distrust_after`
//! the table is no longer believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kernel::KernelEvent;
use super::message::Output;
use super::shared::Shared;
use super::time::Time;
use super::timers::{FollowTimer, TimerKey};
use super::view::KernelView;

/// Notifications kept while a dump is under way, to be taken in again after it. When it is full the dump is
/// thrown away and made anew, which is always right.
const RECORD_MAX: usize = 65_536;
/// The first wait before a failed dump or subscription is tried again; doubled up to `poll_every`.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Roles stay believed for at least this long without an answer from the kernel.
const DISTRUST_MIN: Duration = Duration::from_secs(5);

/// What is known of the kernel, and what has been asked of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Follow {
    subscription: Subscription,
    dump: Dump,
    synchronized: bool,
    /// Whether other addresses are watched since the last dump that was taken in: what the next one has and
    /// the table lacks was never to be told, so it says nothing about the notifications.
    rewatched: bool,
    /// Whether the table says anything that may be believed.
    trusted: bool,
    poll_every: Duration,
    audit_every: Duration,
    subscribe_failures: u32,
    dump_failures: u32,
    dumped_at: Option<Time>,
    overruns: u64,
    dumps: u64,
    dumps_failed: u64,
    pub(crate) audits_repaired: u64,
    pub(crate) events: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Subscription {
    /// Asked for.
    Opening,
    Up,
    Down {
        error: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Dump {
    /// None is under way.
    Idle,
    /// One is; these events were told since it began.
    Running { since: Vec<KernelEvent> },
    /// One is, and notifications were lost since it began. What else was told cannot be laid over it, because
    /// what was lost may have undone it. But the table has stood still since before the dump began, so the
    /// dump alone is newer; and in a storm that overtakes every dump it is all that can be known.
    Overtaken,
    /// One is, and its answer will be of no use: it may be older than the table, or lack addresses that are
    /// watched by now. Another follows.
    Stale,
}

/// What to do with a dump that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Take it as the table, followed by these events.
    Use {
        /// What was told since it began.
        since: Vec<KernelEvent>,
        /// Whether the table was synchronized before and watched the same, so that any difference was missed.
        audit: bool,
    },
    /// Throw it away; the next is already asked for.
    Discard,
}

impl Follow {
    /// Nothing is known, and nothing asked for.
    pub(crate) fn new(poll_every: Duration, audit_every: Duration) -> Self {
        Self {
            subscription: Subscription::Opening,
            dump: Dump::Idle,
            synchronized: false,
            rewatched: false,
            trusted: false,
            poll_every,
            audit_every,
            subscribe_failures: 0,
            dump_failures: 0,
            dumped_at: None,
            overruns: 0,
            dumps: 0,
            dumps_failed: 0,
            audits_repaired: 0,
            events: 0,
        }
    }

    /// Asks for the subscription.
    pub(crate) fn subscribe(&mut self, shared: &mut Shared) {
        self.subscription = Subscription::Opening;
        shared.outbox.act(Output::Subscribe);
    }

    /// Takes the periods of a new configuration. What is waited for is due as if they had been in force when the
    /// wait began; a poll or an attempt that is due sooner than its new period asks comes at its old time.
    pub(crate) fn configure(
        &mut self,
        poll_every: Duration,
        audit_every: Duration,
        now: Time,
        shared: &mut Shared,
    ) {
        let patience = self.distrust_after();
        let before = std::mem::replace(&mut self.audit_every, audit_every);
        self.poll_every = poll_every;
        let moved = |at: Time, old: Duration, new: Duration| {
            let left = (new + at.since(now)).saturating_sub(old);
            now + left
        };
        for timer in [FollowTimer::Subscribe, FollowTimer::Dump] {
            shared
                .timers
                .adjust(TimerKey::Follow(timer), |at| at.min(now + poll_every));
        }
        let new = self.distrust_after();
        shared
            .timers
            .adjust(TimerKey::Follow(FollowTimer::Distrust), |at| {
                moved(at, patience, new)
            });
        shared
            .timers
            .adjust(TimerKey::Follow(FollowTimer::Audit), |at| {
                moved(at, before, audit_every)
            });
    }

    /// Whether roles may be taken from the table.
    pub(crate) fn trusted(&self) -> bool {
        self.trusted
    }

    /// Whether notifications are taken into the table as they come.
    pub(crate) fn synchronized(&self) -> bool {
        self.synchronized
    }

    /// How many times the kernel dropped notifications.
    pub(crate) fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Whether the loss of the subscription is news.
    pub(crate) fn first_loss(&self) -> bool {
        self.subscribe_failures == 0
    }

    /// How many dumps have failed in a row.
    pub(crate) fn dump_failures(&self) -> u32 {
        self.dump_failures
    }

    pub(crate) fn subscribed(&mut self, shared: &mut Shared) {
        self.subscription = Subscription::Up;
        self.subscribe_failures = 0;
        // A dump that is under way began before all was told.
        self.overtake();
        self.dump_now(shared);
    }

    pub(crate) fn subscription_lost(&mut self, error: String, now: Time, shared: &mut Shared) {
        self.subscription = Subscription::Down { error };
        self.overtake();
        // While polling, the next dump has its own time; the loss itself wants one at once.
        if self.synchronized || !self.trusted {
            self.dump_now(shared);
        }
        self.desynchronize(now, shared);
        let wait = backoff(self.subscribe_failures, self.poll_every);
        self.subscribe_failures = self.subscribe_failures.saturating_add(1);
        shared
            .timers
            .set(TimerKey::Follow(FollowTimer::Subscribe), Some(now + wait));
    }

    pub(crate) fn overrun(&mut self, now: Time, shared: &mut Shared) {
        self.overruns += 1;
        self.overtake();
        self.desynchronize(now, shared);
        self.dump_now(shared);
    }

    /// Keeps events for the dump that is under way.
    pub(crate) fn record(&mut self, events: &[KernelEvent]) {
        self.events += events.len() as u64;
        if let Dump::Running { since } = &mut self.dump {
            if since.len() + events.len() > RECORD_MAX {
                self.overtake();
            } else {
                since.extend_from_slice(events);
            }
        }
    }

    pub(crate) fn dumped(&mut self, now: Time, shared: &mut Shared) -> Arrived {
        let up = self.subscription == Subscription::Up;
        let (since, complete) = match std::mem::replace(&mut self.dump, Dump::Idle) {
            Dump::Running { since } => (since, up),
            Dump::Overtaken => (Vec::new(), false),
            Dump::Idle => return Arrived::Discard,
            Dump::Stale => {
                self.dump_now(shared);
                return Arrived::Discard;
            }
        };
        if up && !complete {
            self.dump_now(shared);
        }
        self.dumps += 1;
        self.dump_failures = 0;
        self.dumped_at = Some(now);
        self.trusted = true;
        let rewatched = std::mem::replace(&mut self.rewatched, false);
        let audit = self.synchronized && !rewatched;
        self.synchronized = complete;
        let (poll, distrust, next_audit) = if self.synchronized {
            (None, None, Some(now + self.audit_every))
        } else {
            (
                Some(now + self.poll_every),
                Some(now + self.distrust_after()),
                None,
            )
        };
        shared.timers.set(TimerKey::Follow(FollowTimer::Dump), poll);
        shared
            .timers
            .set(TimerKey::Follow(FollowTimer::Distrust), distrust);
        shared
            .timers
            .set(TimerKey::Follow(FollowTimer::Audit), next_audit);
        Arrived::Use { since, audit }
    }

    pub(crate) fn dump_failed(&mut self, now: Time, shared: &mut Shared) {
        let another = match std::mem::replace(&mut self.dump, Dump::Idle) {
            Dump::Idle | Dump::Running { .. } => false,
            Dump::Overtaken | Dump::Stale => true,
        };
        self.dumps_failed += 1;
        if another && self.dump_failures == 0 {
            self.dump_failures = 1;
            self.dump_now(shared);
            return;
        }
        let wait = backoff(self.dump_failures, self.poll_every);
        self.dump_failures = self.dump_failures.saturating_add(1);
        shared
            .timers
            .set(TimerKey::Follow(FollowTimer::Dump), Some(now + wait));
    }

    /// A timer of this file is due. Returns whether the table is no longer believed.
    pub(crate) fn timeout(&mut self, timer: FollowTimer, shared: &mut Shared) -> bool {
        match timer {
            FollowTimer::Subscribe => self.subscribe(shared),
            FollowTimer::Dump | FollowTimer::Audit => self.dump_now(shared),
            FollowTimer::Distrust => {
                self.trusted = false;
                return true;
            }
        }
        false
    }

    /// Asks for a dump, unless one is under way that will do.
    pub(crate) fn dump_now(&mut self, shared: &mut Shared) {
        if matches!(self.dump, Dump::Idle) {
            self.dump = Dump::Running { since: Vec::new() };
            shared.outbox.act(Output::Dump);
        }
    }

    /// Other addresses are watched, or others matter. Asks for a dump that begins after this moment: one that
    /// is under way lacks what is new, and would bring back what is not watched any longer.
    pub(crate) fn dump_anew(&mut self, shared: &mut Shared) {
        self.rewatched = true;
        if matches!(self.dump, Dump::Running { .. } | Dump::Overtaken) {
            self.dump = Dump::Stale;
        }
        self.dump_now(shared);
    }

    /// Notifications are missing since the dump that is under way began. Over a table that has followed them in
    /// the meantime it could bring back what is gone.
    fn overtake(&mut self) {
        self.dump = match std::mem::replace(&mut self.dump, Dump::Idle) {
            Dump::Running { .. } if self.synchronized => Dump::Stale,
            Dump::Running { .. } => Dump::Overtaken,
            as_before @ (Dump::Idle | Dump::Overtaken | Dump::Stale) => as_before,
        };
    }

    pub(crate) fn view(&self) -> KernelView {
        let error = match &self.subscription {
            Subscription::Down { error } => Some(error.clone()),
            Subscription::Opening | Subscription::Up => None,
        };
        KernelView {
            subscribed: self.subscription == Subscription::Up,
            error,
            synchronized: self.synchronized,
            dumped_at: self.dumped_at,
            overruns: self.overruns,
            dumps: self.dumps,
            dumps_failed: self.dumps_failed,
            audits_repaired: self.audits_repaired,
            events: self.events,
        }
    }

    fn desynchronize(&mut self, now: Time, shared: &mut Shared) {
        if self.synchronized {
            self.synchronized = false;
            let at = now + self.distrust_after();
            shared
                .timers
                .set(TimerKey::Follow(FollowTimer::Distrust), Some(at));
        }
        shared
            .timers
            .set(TimerKey::Follow(FollowTimer::Audit), None);
    }

    /// How long the kernel may go without a complete dump before that counts as no answer.
    pub(crate) fn distrust_after(&self) -> Duration {
        DISTRUST_MIN.max(self.poll_every.saturating_mul(3))
    }
}

fn backoff(failures: u32, longest: Duration) -> Duration {
    RETRY_FIRST
        .saturating_mul(1 << failures.min(16))
        .min(longest.max(RETRY_FIRST))
}

#[cfg(test)]
mod tests;

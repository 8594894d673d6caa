//! What the reactor does with the kernel: subscribes, says what matters, reads what is told, takes dumps. Runs on
//! the reactor's thread, never waits, and decides nothing.

use super::{READS_MAX, Reactor};
use crate::machine::kernel::KernelDump;
use crate::machine::message::Input;
use crate::report;
use crate::source::netlink::{Filter, NetlinkError, Read, Subscription, Watched};

impl Reactor {
    /// Reads the notifications that are there and hands them over as one batch.
    pub(super) fn read_kernel(&mut self) {
        for _ in 0..READS_MAX {
            let Some(subscription) = &mut self.subscription else {
                return;
            };
            match subscription.read(&self.watched, &mut self.events) {
                Read::Drained => break,
                Read::More => {}
                Read::Overrun => return self.input(Input::Overrun),
                Read::Lost(error) => return self.lose_subscription(&error),
            }
        }
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            self.input(Input::Kernel(events));
        }
    }

    pub(super) fn lose_subscription(&mut self, error: &NetlinkError) {
        let lost = self.without_subscription(error);
        self.input(lost);
    }

    /// Gives the subscription up, and says so.
    fn without_subscription(&mut self, error: &NetlinkError) -> Input {
        if let Some(lost) = self.subscription.take() {
            self.netlink_before = self.netlink_before.plus(lost.counters());
        }
        self.events.clear();
        let error = sentence(error);
        Input::SubscriptionLost { error }
    }

    /// A dump has been read. What was queued until now is older or as old, so it is taken in first: the machine
    /// lays it over the dump, and nothing older than the dump is left to contradict it later.
    pub(super) fn dumped(&mut self, result: Result<KernelDump, NetlinkError>) {
        self.dump = None;
        self.read_kernel();
        self.drain();
        self.input(match result {
            Ok(dump) => Input::Dumped(dump),
            Err(error) => Input::DumpFailed {
                error: sentence(&error),
            },
        });
    }

    /// Tells the kernel what matters from now on. A dump of it is asked for after this, so nothing of what is new
    /// is missed in between; and what mattered before and still does, both filters let through.
    pub(super) fn watch(&mut self, watched: Watched) {
        self.watched = watched;
        if let Some(subscription) = &mut self.subscription {
            match subscription.watch(&self.watched) {
                Ok(()) => self.look_at_filter(),
                Err(error) => {
                    let lost = self.without_subscription(&error);
                    self.answers.push_back(lost);
                }
            }
        }
    }

    /// Says once in the log that there is no filter.
    fn look_at_filter(&mut self) {
        let filter = self.subscription.as_ref().map(Subscription::filter);
        if let Some(filter @ Filter::Off { .. }) = filter
            && !std::mem::replace(&mut self.filter_missed, true)
        {
            report::filter_missing(filter);
        }
    }

    pub(super) fn subscribe(&mut self) {
        let opened = Subscription::open(self.receive_buffer_bytes);
        let opened = opened.and_then(|mut subscription| {
            subscription.watch(&self.watched)?;
            Ok(subscription)
        });
        let answer = match opened {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.look_at_filter();
                Input::Subscribed
            }
            Err(error) => Input::SubscriptionLost {
                error: sentence(&error),
            },
        };
        self.answers.push_back(answer);
    }
}

/// An error and what caused it, in one line.
fn sentence(error: &NetlinkError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

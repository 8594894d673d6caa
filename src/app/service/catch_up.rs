//! Reading the whole anew after updates were dropped, any of which may have been the last. Runs on the service
//! thread; asks the reactor within a deadline, and again where it does not answer.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{REACTOR_DEADLINE, Service};
use crate::bus::{Order, Whole};

impl Service {
    /// Takes in the whole where updates were dropped. Returns whether the shutdown is complete.
    pub(super) async fn catch_up(&mut self) -> bool {
        self.fetch_due = None;
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped == self.dropped_seen {
            return false;
        }
        let Some(whole) = self.fetch().await else {
            // There may never be another update: the last one may be among the dropped.
            self.fetch_due = Some(self.now() + REACTOR_DEADLINE);
            return false;
        };
        self.dropped_seen = dropped;
        self.lose_time();
        let (finished, synchronized) = (whole.finished, whole.kernel.dumped_at.is_some());
        self.board.borrow_mut().replace(whole);
        if synchronized {
            self.become_ready();
        }
        if self.status_due.is_none() {
            self.status_due = Some(self.now());
        }
        finished
    }

    /// Reads everything anew, after updates were dropped.
    async fn fetch(&self) -> Option<Whole> {
        let (sender, receiver) = oneshot::channel();
        self.orders.try_send(Order::Fetch(sender)).ok()?;
        timeout(REACTOR_DEADLINE, receiver).await.ok()?.ok()
    }
}

//! The state in the log, when SIGUSR1 asks for it. Runs on the service thread; asks the reactor within a deadline
//! and tells what is on the board otherwise.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{REACTOR_DEADLINE, Service};
use crate::bus::{Order, Pulse};

impl Service {
    /// Writes one line with what has been counted, and one for each instance: of thousands, the last ones may find
    /// the log's queue full.
    pub(super) async fn log_state(&self) {
        match self.pulse().await {
            Some(pulse) => self.board.borrow_mut().take_pulse(pulse),
            None => tracing::warn!("the reactor does not answer: what follows may be out of date"),
        }
        let board = self.board.borrow();
        match serde_json::to_string(&board.counters()) {
            Ok(counters) => tracing::info!("state: counted so far: {counters}"),
            Err(error) => tracing::warn!(%error, "cannot write the counters down"),
        }
        for view in board.instances() {
            tracing::info!(
                instance = %view.name,
                role = view.role.as_str(),
                epoch = view.epoch,
                transition = format!("{}/{}", view.name, view.epoch),
                "state: {} because {}; the service is {}; next: {}",
                view.role,
                view.cause,
                view.knowledge,
                view.next,
            );
        }
    }

    async fn pulse(&self) -> Option<Pulse> {
        let (sender, receiver) = oneshot::channel();
        self.orders.try_send(Order::Ping(sender)).ok()?;
        timeout(REACTOR_DEADLINE, receiver).await.ok()?.ok()
    }
}

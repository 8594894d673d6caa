//! Who listens on the control socket and what its connections share. Runs on the service thread, one
//! local task for the listener and one for each connection; never waits for a client longer than its
//! deadline, and touches the reactor only through its queue of orders.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::conversation;
use super::peer::{Denied, Door, Peer, Refusals, Right};
use super::protocol::{ErrorCode, Pong, Refusal, push_refusal};
use super::status::{DaemonStatus, Freshness, KernelStatus, millis};
use crate::bus::{Board, Order, Request};
use crate::clock::Clock;
use crate::machine::Time;
use crate::scheduling::Realtime;
use crate::timeline::Timeline;

/// The most connections at once. One more is told that the daemon is busy, and closed.
pub const CONNECTIONS_MAX: usize = 64;

/// How many of them those may have who can only read: however many readers there are, somebody can steer.
pub const READERS_MAX: usize = 32;

/// How long the listener rests after a failed accept (EMFILE, for instance): the error would come at once
/// again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the reactor may take to show that it is alive before what is told of it counts as stale.
const PING_DEADLINE: Duration = Duration::from_secs(1);

/// What the connections need of the daemon.
pub struct ServerContext {
    /// The latest of everything.
    pub board: Rc<RefCell<Board>>,
    /// What became of each change of role.
    pub timeline: Rc<RefCell<Timeline>>,
    /// The reactor, to be asked whether it is alive.
    pub orders: mpsc::Sender<Order>,
    /// The application, to be asked for everything that changes something.
    pub requests: mpsc::Sender<Request>,
    /// The reactor's clock.
    pub clock: Clock,
    /// The configuration file.
    pub config_file: PathBuf,
    /// When the daemon began to read what it goes by now.
    pub config_read_at: Rc<Cell<Time>>,
    /// What was lost on the way, read anew for each status.
    pub counters: Box<dyn Fn() -> Counters>,
    /// The daemon's real-time threads, where its file asks for such.
    pub realtime: Option<Arc<Realtime>>,
}

/// What was lost on the way, since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Log records that found the log's queue full.
    pub log_dropped: u64,
    /// Updates that found the queue to the service thread full.
    pub updates_dropped: u64,
    /// Messages that systemd did not take.
    pub systemd_refused: u64,
}

/// All that the connections share.
pub(super) struct Shared {
    pub(super) context: Rc<ServerContext>,
    connections: Cell<usize>,
    /// Those of them who can only read.
    readers: Cell<usize>,
    refusals: RefCell<Refusals>,
}

/// Where the daemon listens.
pub struct Listeners {
    /// For those who may steer.
    pub steering: UnixListener,
    /// Who gets in there, beside the daemon's own user.
    pub door: Door,
    /// For those who may read, if there are any.
    pub reading: Option<UnixListener>,
}

/// Answers clients for as long as it is polled. Must run in a `LocalSet`.
pub async fn serve(listeners: Listeners, context: Rc<ServerContext>) {
    let shared = Rc::new(Shared {
        context,
        connections: Cell::new(0),
        readers: Cell::new(0),
        refusals: RefCell::default(),
    });
    let reading = async {
        if let Some(listener) = listeners.reading {
            listen(&listener, Door::Reading, &shared).await;
        }
    };
    let steering = listen(&listeners.steering, listeners.door, &shared);
    tokio::join!(steering, reading);
}

async fn listen(listener: &UnixListener, door: Door, shared: &Rc<Shared>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                admit(stream, door, shared);
            }
            Err(error) => {
                if !failing {
                    failing = true;
                    tracing::warn!("the control socket cannot accept a connection: {error}");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(stream: UnixStream, door: Door, shared: &Rc<Shared>) {
    let peer = match Peer::of(&stream, door) {
        Ok(peer) => peer,
        Err(error) => {
            tracing::warn!(
                "a client of the control socket was dropped: who it is, is unknown: {error}"
            );
            return;
        }
    };
    match Place::take(shared, peer) {
        Some(place) => {
            spawn_local(async move {
                conversation::hold(stream, place.peer, &place.shared).await;
                drop(place);
            });
        }
        None => {
            let connections = shared.connections.get();
            let message = format!("the daemon has {connections} connections already, try again");
            let mut line = Vec::new();
            push_refusal(&mut line, &Refusal::new(ErrorCode::Busy, message));
            // The buffer of a new socket has room for a line; a client that has gone needs none.
            let _ = stream.try_write(&line);
        }
    }
}

/// One of the places for connections; free again when dropped.
struct Place {
    shared: Rc<Shared>,
    peer: Peer,
}

impl Place {
    fn take(shared: &Rc<Shared>, peer: Peer) -> Option<Self> {
        let (taken, readers) = (shared.connections.get(), shared.readers.get());
        let reads = usize::from(peer.right < Right::Steer);
        if taken >= CONNECTIONS_MAX || reads + readers > READERS_MAX {
            return None;
        }
        shared.connections.set(taken + 1);
        shared.readers.set(readers + reads);
        let shared = shared.clone();
        Some(Self { shared, peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (taken, readers) = (&self.shared.connections, &self.shared.readers);
        taken.set(taken.get() - 1);
        readers.set(readers.get() - usize::from(self.peer.right < Right::Steer));
    }
}

impl Shared {
    /// Somebody has not the right to what he has asked for.
    pub(super) fn deny(&self, denied: Denied) -> Refusal {
        self.refusals.borrow_mut().log(denied, Instant::now());
        denied.refusal()
    }

    /// Asks the reactor whether it is alive.
    pub(super) async fn freshness(&self) -> Freshness {
        let ping = async {
            let (sender, receiver) = oneshot::channel();
            self.context.orders.send(Order::Ping(sender)).await.ok()?;
            receiver.await.ok()
        };
        match timeout(PING_DEADLINE, ping).await {
            Ok(Some(pulse)) => {
                self.context.board.borrow_mut().take_pulse(pulse);
                Freshness::Fresh
            }
            Ok(None) | Err(_) => Freshness::Stale,
        }
    }

    pub(super) fn pong(&self, freshness: Freshness) -> Pong {
        Pong {
            pid: std::process::id(),
            uptime_ms: millis(self.context.clock.uptime()),
            stale: freshness.is_stale(),
        }
    }

    pub(super) fn daemon(&self, freshness: Freshness) -> DaemonStatus {
        let now = self.context.clock.now();
        let counters = (self.context.counters)();
        let board = self.context.board.borrow();
        DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            config: self.context.config_file.clone(),
            config_age_ms: Some(millis(now.since(self.context.config_read_at.get()))),
            uptime_ms: millis(self.context.clock.uptime()),
            stale: freshness.is_stale(),
            kernel: board.kernel().map(|view| KernelStatus::of(view, now)),
            filter: board.filter().cloned(),
            instances: board.instances().len(),
            connections: self.connections.get(),
            log_dropped: counters.log_dropped,
            updates_dropped: counters.updates_dropped,
            systemd_refused: counters.systemd_refused,
            counters: board.counters(),
            realtime: self.context.realtime.as_ref().map(|it| it.standing()),
        }
    }
}

#[cfg(test)]
mod tests;

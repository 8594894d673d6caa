//! The messages between the reactor's thread and the service thread, and the board on which the service
//! thread keeps the latest of everything. Owns no task.
//!
//! ```text
//!  service thread                                   reactor thread
//!  signals, control socket, systemd  ──── Order ──▶  owns the Machine
//!  Board (latest views), watchers    ◀─── Update ──  never waits for anybody
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::action::{ExecutorCounters, OutputCounters};
use crate::machine::Time;
use crate::machine::job::InstanceId;
use crate::machine::message::{Changes, Event, Input};
use crate::machine::settings::{InstanceName, Settings};
use crate::machine::view::{InstanceView, KernelView};
use crate::record::Copied;
use crate::source::netlink;

/// Orders wait here for the reactor. They come from people and signals; when it is full, the one who orders
/// waits, with a deadline of his own.
pub const ORDERS_MAX: usize = 64;

/// Updates wait here for the service thread. When it is full, the reactor drops the update and counts it;
/// the service thread then fetches the whole once ([`Order::Fetch`]), because only the latest matters.
pub const UPDATES_MAX: usize = 4_096;

/// Notices wait here for each watcher. One that lags loses the oldest, is told so, and reads the board.
pub const NOTICES_MAX: usize = 1_024;

/// What the service thread wants of the reactor.
#[derive(Debug)]
pub enum Order {
    /// An input for the machine: `Audit` or `Shutdown`.
    Input(Input),
    /// A new configuration, and who is told what it has changed. A machine that is ending takes none and tells
    /// nothing.
    Reload(Box<Settings>, oneshot::Sender<Changes>),
    /// Show that you are alive, and what changes too often to be told of.
    Ping(oneshot::Sender<Pulse>),
    /// Everything, as it is now.
    Fetch(oneshot::Sender<Whole>),
    /// The last inputs; `None`: there are too many instances for keeping them.
    Record(oneshot::Sender<Option<Copied>>),
}

/// A sign of life of the reactor. Small, whatever the number of instances.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// How the kernel is followed.
    pub kernel: KernelView,
    /// What is counted outside of the machine.
    pub counters: Counters,
    /// Which filter is on the notification socket, where there is one.
    pub filter: Option<netlink::Filter>,
}

/// What the threads that act and listen have counted since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Jobs and their processes.
    pub executor: ExecutorCounters,
    /// The following of the scripts' output.
    pub output: OutputCounters,
    /// Records that found the queue to the disk thread full: a restart of the daemon would know less.
    pub records_dropped: u64,
    /// The kernel's notifications.
    pub netlink: netlink::Counters,
}

/// Everything that can be seen of the machine.
#[derive(Debug, Clone)]
pub struct Whole {
    /// When this was true.
    pub at: Time,
    /// How the kernel is followed.
    pub kernel: KernelView,
    /// All instances.
    pub instances: Vec<Arc<InstanceView>>,
    /// Whether the shutdown is complete.
    pub finished: bool,
}

/// What the reactor tells.
#[derive(Debug, Clone)]
pub enum Update {
    /// An instance has changed.
    Instance(Arc<InstanceView>),
    /// An instance exists no more.
    Gone(InstanceId),
    /// Something happened; with how the kernel is followed since, where the event is about that.
    Event(Arc<Event>, Option<Box<KernelView>>),
    /// The shutdown is complete.
    Finished,
}

/// The reactor's end of the updates.
#[derive(Debug, Clone)]
pub struct Updates {
    sender: mpsc::Sender<Update>,
    dropped: Arc<AtomicU64>,
}

impl Updates {
    /// A channel for updates, with the number of those that were dropped.
    pub fn channel() -> (Self, mpsc::Receiver<Update>, Arc<AtomicU64>) {
        let (sender, receiver) = mpsc::channel(UPDATES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        (
            Self {
                sender,
                dropped: dropped.clone(),
            },
            receiver,
            dropped,
        )
    }

    /// Tells the service thread, or counts that it could not be told. Never waits.
    pub fn send(&self, update: Update) {
        if self.sender.try_send(update).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a watcher of the board is told.
#[derive(Debug, Clone)]
pub enum Notice {
    /// An instance has changed.
    Instance(Arc<InstanceView>),
    /// An instance is gone.
    Gone(InstanceName),
    /// Something happened.
    Event(Arc<Event>),
    /// Much may have changed: read the board.
    Whole,
}

/// The latest of everything, on the service thread.
#[derive(Debug)]
pub struct Board {
    instances: BTreeMap<InstanceName, Arc<InstanceView>>,
    names: BTreeMap<InstanceId, InstanceName>,
    kernel: Option<KernelView>,
    counters: Counters,
    filter: Option<netlink::Filter>,
    /// When the whole was last fetched: what is older and not in it exists no more.
    whole_at: Time,
    notices: tokio::sync::broadcast::Sender<Notice>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            instances: BTreeMap::new(),
            names: BTreeMap::new(),
            kernel: None,
            counters: Counters::default(),
            filter: None,
            whole_at: Time::ZERO,
            notices: tokio::sync::broadcast::Sender::new(NOTICES_MAX),
        }
    }
}

impl Board {
    /// Takes in one update and tells the watchers.
    pub fn take(&mut self, update: Update) {
        let notice = match update {
            Update::Instance(view) => {
                self.put(view.clone());
                Notice::Instance(view)
            }
            Update::Gone(id) => {
                let Some(name) = self.names.remove(&id) else {
                    return;
                };
                // A new instance of the same name may have come before the old one's end was told.
                if self.instances.get(&name).is_some_and(|view| view.id == id) {
                    self.instances.remove(&name);
                }
                Notice::Gone(name)
            }
            Update::Event(event, kernel) => {
                if let Some(kernel) = kernel {
                    self.kernel = Some(*kernel);
                }
                Notice::Event(event)
            }
            Update::Finished => return,
        };
        // Nobody may be watching.
        let _ = self.notices.send(notice);
    }

    /// Replaces everything.
    pub fn replace(&mut self, whole: Whole) {
        self.instances.clear();
        self.names.clear();
        self.kernel = Some(whole.kernel);
        self.whole_at = whole.at;
        for view in whole.instances {
            self.put(view);
        }
        let _ = self.notices.send(Notice::Whole);
    }

    /// All instances by name.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<InstanceView>> {
        self.instances.values()
    }

    /// One instance.
    pub fn instance(&self, name: &str) -> Option<&Arc<InstanceView>> {
        self.instances.get(name)
    }

    /// The name of an instance that was told of.
    pub fn name(&self, id: InstanceId) -> Option<&InstanceName> {
        self.names.get(&id)
    }

    /// How the kernel is followed; `None` before anything was heard of the reactor.
    pub fn kernel(&self) -> Option<&KernelView> {
        self.kernel.as_ref()
    }

    /// What was counted when the reactor last gave a sign of life.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Which filter was on the notification socket when the reactor last gave a sign of life.
    pub fn filter(&self) -> Option<&netlink::Filter> {
        self.filter.as_ref()
    }

    /// Takes in a sign of life.
    pub fn take_pulse(&mut self, pulse: Pulse) {
        self.kernel = Some(pulse.kernel);
        self.counters = pulse.counters;
        self.filter = pulse.filter;
    }

    /// Watches the board from now on.
    pub fn watch(&self) -> tokio::sync::broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Updates that were queued before the whole was fetched come after it, and must not undo it.
    fn put(&mut self, view: Arc<InstanceView>) {
        let known = self.instances.get(&view.name);
        let overtaken = known.is_some_and(|known| known.id == view.id && known.at > view.at);
        if overtaken || view.at < self.whole_at {
            return;
        }
        self.names.insert(view.id, view.name.clone());
        self.instances.insert(view.name.clone(), view);
    }
}

/// What the control socket wants of the application.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration again; answers with what was done or every fault of the file.
    Reload(oneshot::Sender<Result<String, String>>),
    /// End the daemon; answered when the ending has begun.
    Shutdown(oneshot::Sender<()>),
    /// Audit one instance or all now; `Err` names an unknown instance.
    Audit(Option<InstanceName>, oneshot::Sender<Result<(), String>>),
}

/// Requests wait here for the application. When it is full, the connection waits, within its own deadline.
pub const REQUESTS_MAX: usize = 16;

#[cfg(test)]
mod tests;

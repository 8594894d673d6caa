//! The queue between the threads that log and the thread that writes, and what happens at both of its ends.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::OUTPUT_TARGET;
use super::python::Loggers;
use super::record::Record;
use super::sink::{Sink, Written};
use crate::config::logging::Plan;

/// How many records wait for the writer at most. When it is full, a record is dropped and counted, and one
/// line says how many when there is room again. At about 200 bytes a record this is 200 kB, and at most 11 MB.
pub(super) const CAPACITY: usize = 1024;

/// How many records there may be for one more of a script's output to be taken.
const OUTPUT_CAPACITY: usize = CAPACITY / 2;

/// Dropped records are reported once the queue is as short as this.
const REPORT_BELOW: usize = CAPACITY / 4;

/// How often a flush tries to get into a full queue.
const FLUSH_PAUSE: Duration = Duration::from_millis(2);

/// What was lost on the way, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that found the queue full.
    pub dropped: u64,
    /// Records that the journal or a log file did not take and stderr did.
    pub elsewhere: u64,
    /// Records that could not be written anywhere.
    pub unwritten: u64,
}

/// How a flush went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is written.
    All,
    /// Time was up before: the writer is busy or stuck.
    NotAll,
}

enum Message {
    Record(Box<Record>),
    /// Answered when all that came before is written.
    Flush(SyncSender<()>),
    /// There are [`Orders`].
    Look,
}

/// What the writer is to do besides writing. It stands beside the queue, so that a full one loses no order.
#[derive(Debug, Default)]
struct Orders {
    /// The log files are opened again.
    reopen: bool,
    change: Change,
}

/// Whether another `logging:` section is followed.
#[derive(Debug, Default)]
enum Change {
    #[default]
    None,
    /// This one is, or none.
    To(Option<Plan>),
}

/// Orders, and whether there are any, which the writer looks at with every record.
#[derive(Debug, Default)]
struct OrderBook {
    is_written: AtomicBool,
    orders: Mutex<Orders>,
}

/// What both ends count.
#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    elsewhere: AtomicU64,
    unwritten: AtomicU64,
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    counters: Arc<Counters>,
    book: Arc<OrderBook>,
}

/// The receiving end, which the log thread owns.
pub(super) struct Writer {
    receiver: Receiver<Message>,
    counters: Arc<Counters>,
    book: Arc<OrderBook>,
    /// Where records go without a `logging:` section, and what a section's own ways fall back on.
    sink: Sink,
    /// The `logging:` section.
    loggers: Option<Loggers>,
    /// How many dropped records have been told of.
    told: u64,
}

/// Makes the two ends.
pub(super) fn queue(sink: Sink) -> (Queue, Writer) {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    let counters = Arc::new(Counters::default());
    let book = Arc::new(OrderBook::default());
    let queue = Queue {
        sender,
        counters: Arc::clone(&counters),
        book: Arc::clone(&book),
    };
    let writer = Writer {
        receiver,
        counters,
        book,
        sink,
        loggers: None,
        told: 0,
    };
    (queue, writer)
}

impl Queue {
    /// Takes a record if there is room; never waits, and does not even make a record that has none.
    fn offer(&self, target: &str, record: impl FnOnce() -> Record) {
        let capacity = if target == OUTPUT_TARGET {
            OUTPUT_CAPACITY
        } else {
            CAPACITY
        };
        let is_taken = self.counters.waiting.fetch_add(1, Ordering::Relaxed) < capacity
            && self
                .sender
                .try_send(Message::Record(Box::new(record())))
                .is_ok();
        if !is_taken {
            self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many more records of scripts' output would be taken now.
    pub(super) fn output_room(&self) -> usize {
        let waiting = self.counters.waiting.load(Ordering::Relaxed);
        OUTPUT_CAPACITY.saturating_sub(waiting)
    }

    /// Opens the log files again, as soon as the writer gets to it.
    pub(super) fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    /// Follows this `logging:` section from now on, or none.
    pub(super) fn set_plan(&self, plan: Option<Plan>) {
        self.order(|orders| orders.change = Change::To(plan));
    }

    fn order(&self, write: impl FnOnce(&mut Orders)) {
        write(
            &mut self
                .book
                .orders
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.book.is_written.store(true, Ordering::Release);
        // A writer with a full queue looks before its next record.
        let _ = self.sender.try_send(Message::Look);
    }

    pub(super) fn counts(&self) -> Counts {
        let Counters {
            waiting: _,
            dropped,
            elsewhere,
            unwritten,
        } = &*self.counters;
        Counts {
            dropped: dropped.load(Ordering::Relaxed),
            elsewhere: elsewhere.load(Ordering::Relaxed),
            unwritten: unwritten.load(Ordering::Relaxed),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a patience is spent in real time, by the thread that ends the process"
    )]
    pub(super) fn flush(&self, patience: Duration) -> Flushed {
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let (done, is_done) = mpsc::sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Flushed::NotAll,
                Err(TrySendError::Full(back)) => message = back,
            }
            if left().is_zero() {
                return Flushed::NotAll;
            }
            thread::sleep(FLUSH_PAUSE);
        }
        match is_done.recv_timeout(left()) {
            Ok(()) => Flushed::All,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Flushed::NotAll,
        }
    }
}

impl Writer {
    /// The log thread: until the other end is gone.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.receiver.recv() {
            if self.book.is_written.swap(false, Ordering::Acquire) {
                self.obey();
            }
            match message {
                Message::Look => {}
                Message::Record(record) => {
                    self.write(&record);
                    let waiting = self.counters.waiting.fetch_sub(1, Ordering::Relaxed) - 1;
                    if waiting < REPORT_BELOW {
                        self.tell_of_dropped();
                    }
                }
                Message::Flush(done) => {
                    self.tell_of_dropped();
                    // Whoever flushes may have lost patience.
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn obey(&mut self) {
        let mut book = self
            .book
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Orders { reopen, change } = std::mem::take(&mut *book);
        drop(book);
        if reopen {
            self.sink.reopen();
            if let Some(loggers) = &mut self.loggers {
                loggers.reopen(now(), &mut self.sink);
            }
        }
        if let Change::To(plan) = change {
            // The files of the old ones are closed first: they may be those of the new ones.
            self.loggers = None;
            self.loggers = plan.map(|plan| Loggers::new(&plan, now(), &mut self.sink));
        }
    }

    fn write(&mut self, record: &Record) {
        let written = match &mut self.loggers {
            Some(loggers) => loggers.write(record, &mut self.sink),
            None => self.sink.write(record),
        };
        let counter = match written {
            Written::Well => return,
            Written::Elsewhere => &self.counters.elsewhere,
            Written::Not => &self.counters.unwritten,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn tell_of_dropped(&mut self) {
        let dropped = self.counters.dropped.load(Ordering::Relaxed);
        let untold = dropped - self.told;
        if untold == 0 {
            return;
        }
        self.told = dropped;
        let text = format!(
            "{untold} log records were dropped, because the log could not be written as fast"
        );
        self.write(&Record::new(now(), Level::WARN, module_path!(), text));
    }
}

/// The `tracing` layer that feeds the queue.
pub(super) struct QueueLayer(pub(super) Arc<Queue>);

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let target = event.metadata().target();
        self.0.offer(target, || Record::of(event, now()));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log record carries the time of day at which it was made"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;

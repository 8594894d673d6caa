//! The reactor: one thread, one owner of all state. It waits for one thing, hands it to the machine, does what
//! the machine says, and waits again. It makes no call that can wait for a disk, a pipe or a script.
//!
//! ```text
//!   netlink ─┐                                  ┌─▶ Runner     submit, signal
//!   dumps   ─┤                                  ├─▶ netlink    subscribe, dump
//!   jobs    ─┼─▶ Machine::handle ─▶ outputs ─▶ ─┼─▶ disk       knowledge, epochs
//!   orders  ─┤        one, then drain           ├─▶ log        events
//!   timers  ─┘                                  └─▶ updates    views
//! ```

mod kernel;
mod news;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use crate::action::{ExecEvent, Runner};
use crate::bus::{Counters, Order, Pulse, Updates, Whole};
use crate::clock::Clock;
use crate::disk::{Disk, TURN_MAX, Task};
use crate::machine::kernel::{KernelDump, KernelEvent};
use crate::machine::message::{Changes, Event, Input, Output};
use crate::record::Recorded;
use crate::report;
use crate::source::netlink::{self, NetlinkError, RECEIVE_BUFFER_BYTES, Subscription, Watched};

/// The reads of one wake-up before the machine is asked in between: with datagrams coming faster than they
/// can be read for this long, the machine sees a level that is true of a moment just past.
const READS_MAX: u32 = 64;

/// How long the news of a wake-up that gave orders is held back at most. To tell takes some tens of
/// microseconds and wakes two threads, on the very cores that are to make the job's process; so it is told once
/// the process exists, or after this time.
const NEWS_HELD_MAX: Duration = Duration::from_millis(1);

type DumpTask = Pin<Box<dyn Future<Output = Result<KernelDump, NetlinkError>> + Send>>;

use news::News;

/// All that lives on the reactor's thread.
pub struct Reactor {
    clock: Clock,
    machine: Recorded,
    runner: Runner,
    disk: Disk,
    updates: Updates,
    receive_buffer_bytes: usize,
    subscription: Option<Subscription>,
    /// What the subscriptions before this one have counted.
    netlink_before: netlink::Counters,
    watched: Watched,
    /// Whether the log has been told that the kernel takes no filter.
    filter_missed: bool,
    dump: Option<DumpTask>,
    /// Answers that were known at once while outputs were drained: at most one for each output.
    answers: VecDeque<Input>,
    events: Vec<KernelEvent>,
    /// What is to be told, oldest first.
    news: VecDeque<News>,
    /// Who is told what the reload that was just handed over has changed.
    reload_asked: Option<oneshot::Sender<Changes>>,
}

/// Whether a wake-up has given the executor something to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Orders {
    Given,
    None,
}

/// What woke the reactor.
enum Wake {
    Order(Option<Order>),
    Kernel(Result<(), NetlinkError>),
    Dump(Result<KernelDump, NetlinkError>),
    Job(ExecEvent),
    Answer(Option<Input>),
    /// The disk thread has told what some jobs have printed, or the time for that is over.
    OutputTold,
    Deadline,
}

impl Reactor {
    /// Puts the parts together; nothing happens before [`Reactor::run`].
    pub fn new(
        clock: Clock,
        machine: Recorded,
        runner: Runner,
        disk: Disk,
        updates: Updates,
    ) -> Self {
        Self {
            clock,
            machine,
            runner,
            disk,
            updates,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            subscription: None,
            netlink_before: netlink::Counters::default(),
            watched: Watched::default(),
            filter_missed: false,
            dump: None,
            answers: VecDeque::new(),
            events: Vec::new(),
            news: VecDeque::new(),
            reload_asked: None,
        }
    }

    /// Asks for another size of the socket's receive buffer, in bytes (for tests of overruns).
    pub fn set_receive_buffer_bytes(&mut self, bytes: usize) {
        self.receive_buffer_bytes = bytes;
    }

    /// Runs until nobody gives orders any more.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut answers: mpsc::Receiver<Input>,
    ) {
        loop {
            if self.drain() == Orders::None {
                self.tell();
            }
            self.machine.trim();
            let wake = self.wait(&mut orders, &mut answers).await;
            self.tell();
            match wake {
                Wake::Order(None) => break,
                Wake::Order(Some(order)) => self.order(order),
                Wake::Kernel(Ok(())) => self.read_kernel(),
                Wake::Kernel(Err(error)) => self.lose_subscription(&error),
                Wake::Dump(result) => self.dumped(result),
                Wake::Job(event) => self.job(event),
                Wake::Answer(Some(input)) => self.input(input),
                // The disk thread has ended: it has said why.
                Wake::Answer(None) | Wake::OutputTold => {}
                Wake::Deadline => self.machine.handle_timeout(self.clock.now()),
            }
        }
        self.disk.send(Task::End);
    }

    /// Waits for the first of all that can happen. Which of several is taken is left to chance: with an order
    /// among them, a flood of one kind would starve those after it.
    async fn wait(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        answers: &mut mpsc::Receiver<Input>,
    ) -> Wake {
        let now = self.clock.now();
        let end_held = self.end_held(now);
        let tell_at = end_held.or_else(|| (!self.news.is_empty()).then(|| now + NEWS_HELD_MAX));
        let deadline = self
            .machine
            .next_deadline()
            .into_iter()
            .chain(tell_at)
            .min();
        let deadline = deadline.map(|at| self.clock.instant(at));
        let subscription = &mut self.subscription;
        let kernel = async {
            match subscription {
                Some(subscription) => subscription.ready().await,
                None => std::future::pending().await,
            }
        };
        let dump = &mut self.dump;
        let dumped = async {
            match dump {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let answers_open = !answers.is_closed();
        tokio::select! {
            ready = kernel => Wake::Kernel(ready),
            event = self.runner.next() => Wake::Job(event),
            result = dumped => Wake::Dump(result),
            order = orders.recv() => Wake::Order(order),
            () = timer => Wake::Deadline,
            answer = answers.recv(), if answers_open => Wake::Answer(answer),
            () = self.disk.output_told(), if end_held.is_some() => Wake::OutputTold,
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(input, self.clock.now());
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Input(input) => self.input(input),
            Order::Reload(settings, answer) => {
                self.reload_asked = Some(answer);
                self.input(Input::Reload(*settings));
            }
            // Whoever asked may have gone.
            Order::Ping(answer) => drop(answer.send(self.pulse())),
            Order::Record(answer) => drop(answer.send(self.machine.copy())),
            Order::Fetch(answer) => {
                let at = self.clock.now();
                let instances = self.machine.views(at).map(Arc::new).collect();
                let kernel = self.machine.kernel_view();
                let finished = self.machine.is_finished();
                drop(answer.send(Whole {
                    at,
                    kernel,
                    instances,
                    finished,
                }));
            }
        }
    }

    fn pulse(&self) -> Pulse {
        let netlink = match &self.subscription {
            Some(subscription) => self.netlink_before.plus(subscription.counters()),
            None => self.netlink_before,
        };
        let disk = self.disk.counters();
        Pulse {
            kernel: self.machine.kernel_view(),
            counters: Counters {
                executor: self.runner.counters(),
                output: disk.output,
                records_dropped: disk.tasks_dropped,
                netlink,
            },
            filter: self
                .subscription
                .as_ref()
                .map(|subscription| subscription.filter().clone()),
        }
    }

    fn job(&mut self, event: ExecEvent) {
        match event {
            ExecEvent::Spawned { job, pid, at: _ } => self.input(Input::Spawned { job, pid }),
            ExecEvent::Ended { job, exit, at: _ } => {
                self.disk.ended(job);
                self.input(Input::Ended { job, exit });
            }
            ExecEvent::Hangs {
                job,
                action,
                instance,
                serves,
                so_far,
            } => report::hanging_spawn(&instance, action, job, serves, so_far),
            ExecEvent::UnitsChanged(units) => self.input(Input::UnitsChanged(units)),
        }
    }

    /// Does what the machine says, and gives it the answers that are known at once, until it is content. What
    /// others are to be told waits in `news`.
    fn drain(&mut self) -> Orders {
        let mut orders = Orders::None;
        loop {
            while let Some(output) = self.machine.poll_output() {
                if matches!(output, Output::Start(_)) {
                    orders = Orders::Given;
                }
                self.output(output);
            }
            let Some(answer) = self.answers.pop_front() else {
                return orders;
            };
            self.input(answer);
        }
    }

    fn news_of(&self, event: Arc<Event>) -> News {
        if matches!(*event, Event::JobEnded { .. }) {
            let until = self.clock.now() + TURN_MAX;
            News::Ended(event, self.disk.ends(), until)
        } else {
            News::Event(event)
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Watch(watched) => self.watch(watched.into()),
            Output::WatchUnits(units) => self.runner.watch_units(units),
            Output::Subscribe => self.subscribe(),
            Output::Dump => {
                let watched = self.watched.clone();
                self.dump = Some(Box::pin(netlink::dump_aside(watched)));
            }
            Output::Start(job) => self.runner.submit(job),
            Output::Signal {
                job,
                signal,
                because,
            } => self.runner.signal(job, signal, &because),
            Output::LetGo {
                job,
                instance,
                action,
                pid,
            } => {
                self.runner.let_go(job);
                self.disk.ended(job);
                report::let_go(&instance, action, job, pid);
            }
            Output::ReserveEpochs {
                instance,
                name,
                through,
            } => {
                self.disk.send(Task::ReserveEpochs(instance, name, through));
            }
            Output::Remember { name, knowledge } => {
                self.disk.send(Task::Knowledge(name, knowledge));
            }
            Output::RememberNic { name, nic } => self.disk.send(Task::Nic(name, nic)),
            Output::Event(event) => self.news.push_back(self.news_of(event)),
            Output::Changed(id) => self.news.push_back(News::Changed(id)),
            Output::Gone(id) => self.news.push_back(News::Gone(id)),
            Output::Finished => self.news.push_back(News::Finished),
        }
    }
}

//! The service loop: signals, the control socket, systemd and the board. Runs on the main thread; decides
//! nothing about roles, and nothing here can delay the reactor.

mod catch_up;
mod doors;
mod reload;
mod timeline;
mod told;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bus::{Board, Order, REQUESTS_MAX, Request, Update};
use crate::clock::Clock;
use crate::config::{Application, Config, Faults};
use crate::control::server::{self, Counters, Listeners, ServerContext};
use crate::kill_points;
use crate::machine::Time;
use crate::machine::message::{Event, Input};
use crate::machine::settings::InstanceName;
use crate::scheduling::Realtime;
use crate::state::{Paths, Registration};
use crate::systemd::{Notifier, NotifyError, status_line};
use crate::timeline::Timeline;

use super::AppError;
use super::scripts::ScriptLook;
pub(super) use doors::{Doors, Guests};
use reload::{FileReader, Fresh, Reading};

/// How long the reactor may take to answer before it counts as hanging.
const REACTOR_DEADLINE: Duration = Duration::from_secs(1);
/// READY=1 is tried again after this where the socket was full.
const READY_AGAIN: Duration = Duration::from_millis(100);
/// Why a request comes too late.
const ENDING: &str = "the daemon is ending";
/// Asked of systemd beyond `stop-wait`, for the end of the threads and the log.
const END_MARGIN: Duration = Duration::from_secs(10);

/// All that the main thread owns.
pub(super) struct Service {
    config: Config,
    /// What this daemon was started with: some keys only a restart can change.
    fixed: Application,
    /// When the reading of `config` began.
    config_read_at: Rc<Cell<Time>>,
    paths: Paths,
    /// By which commands find this daemon.
    registration: Rc<RefCell<Registration>>,
    clock: Clock,
    orders: mpsc::Sender<Order>,
    updates: mpsc::Receiver<Update>,
    dropped: Arc<AtomicU64>,
    dropped_seen: u64,
    board: Rc<RefCell<Board>>,
    timeline: Rc<RefCell<Timeline>>,
    notifier: Rc<RefCell<Notifier>>,
    /// READY=1 is owed to systemd: it comes after the first dump and after each reload.
    ready_owed: bool,
    on_ready: Option<Box<dyn FnOnce()>>,
    /// Handed to the control socket when it begins.
    log_dropped: Option<Box<dyn Fn() -> u64>>,
    script_look: ScriptLook,
    reopen_log: Box<dyn Fn()>,
    change_log: Box<dyn Fn(&Config)>,
    realtime: Option<Arc<Realtime>>,
    file_reader: FileReader,
    /// A configuration that is being read.
    reading: Option<Reading>,
    /// When systemd is told what has changed.
    status_due: Option<Instant>,
    /// When the reactor is asked again for what was dropped, because it did not answer.
    fetch_due: Option<Instant>,
    ending: Option<Instant>,
}

/// What the service is made of.
pub(super) struct ServiceParts {
    pub(super) config: Config,
    pub(super) paths: Paths,
    pub(super) registration: Rc<RefCell<Registration>>,
    pub(super) clock: Clock,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) updates: mpsc::Receiver<Update>,
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) on_ready: Box<dyn FnOnce()>,
    pub(super) log_dropped: Box<dyn Fn() -> u64>,
    pub(super) reopen_log: Box<dyn Fn()>,
    pub(super) change_log: Box<dyn Fn(&Config)>,
    pub(super) realtime: Option<Arc<Realtime>>,
}

/// What woke the service.
enum Wake {
    Update(Option<Update>),
    Signal(Option<i32>),
    Request(Option<Request>),
    Status,
    Fetch,
    Watchdog,
    Read(Box<Result<Fresh, String>>),
    TooLong,
}

impl Service {
    pub(super) fn new(parts: ServiceParts) -> Self {
        // A daemon that cannot talk to systemd is told to end by it; one that it does not know goes on.
        let notifier = Notifier::from_env().unwrap_or_else(|error| {
            tracing::error!("{:#}", anyhow::Error::from(error));
            Notifier::default()
        });
        Self {
            fixed: parts.config.application.clone(),
            config: parts.config,
            config_read_at: Rc::new(Cell::new(parts.clock.begun())),
            paths: parts.paths,
            registration: parts.registration,
            clock: parts.clock,
            orders: parts.orders,
            updates: parts.updates,
            dropped: parts.dropped,
            dropped_seen: 0,
            board: Rc::default(),
            timeline: Rc::new(RefCell::new(Timeline::new(parts.clock.now()))),
            notifier: Rc::new(RefCell::new(notifier)),
            ready_owed: false,
            on_ready: Some(parts.on_ready),
            log_dropped: Some(parts.log_dropped),
            script_look: ScriptLook::default(),
            reopen_log: parts.reopen_log,
            change_log: parts.change_log,
            realtime: parts.realtime,
            file_reader: FileReader::default(),
            reading: None,
            status_due: None,
            fetch_due: None,
            ending: None,
        }
    }

    /// Runs until the daemon has ended.
    pub(super) async fn run(
        mut self,
        doors: Doors,
        look: impl FnOnce() -> Faults + Send + 'static,
    ) -> Result<(), AppError> {
        self.script_look.begin(look);
        let (requests, mut receiver) = mpsc::channel(REQUESTS_MAX);
        let Doors {
            mut signals,
            listeners,
        } = doors;
        self.listen(listeners, requests);
        let every = self.notifier.borrow().watchdog_interval();
        let mut watchdog = every.map(|every| tokio::time::interval(every / 2));
        let result = loop {
            let wake = tokio::select! {
                update = self.updates.recv() => Wake::Update(update),
                signal = signals.next() => Wake::Signal(signal),
                request = receiver.recv() => Wake::Request(request),
                () = at(self.status_due) => Wake::Status,
                () = at(self.fetch_due) => Wake::Fetch,
                () = at(self.ending) => Wake::TooLong,
                () = tick(&mut watchdog) => Wake::Watchdog,
                read = reload::read(&mut self.reading) => Wake::Read(Box::new(read)),
            };
            match wake {
                Wake::Update(None) => break Err(AppError::ReactorEnded),
                Wake::Update(Some(Update::Finished)) => break Ok(()),
                Wake::Update(Some(update)) => {
                    if self.update(update).await {
                        break Ok(());
                    }
                }
                Wake::Signal(signal) => {
                    if self.signal(signal.unwrap_or(SIGTERM)).await {
                        break Ok(());
                    }
                }
                Wake::Request(request) => self.request(request).await,
                Wake::Status => self.send_status(),
                Wake::Fetch => {
                    if self.catch_up().await {
                        break Ok(());
                    }
                }
                Wake::Watchdog => self.watchdog(),
                Wake::Read(read) => self.end_reload(*read).await,
                Wake::TooLong => {
                    tracing::warn!("stop-wait is over: what runs is left running");
                    break Ok(());
                }
            }
        };
        // The next daemon makes its own; a stale one would only be refused connections.
        drop(std::fs::remove_file(self.paths.control_socket()));
        drop(std::fs::remove_file(self.paths.status_socket()));
        kill_points::pass("sockets", "removed");
        tracing::info!("ended");
        result
    }

    fn listen(&mut self, listeners: Listeners, requests: mpsc::Sender<Request>) {
        let dropped = self.dropped.clone();
        let log_dropped = self.log_dropped.take();
        let notifier = self.notifier.clone();
        let counters = move || Counters {
            log_dropped: log_dropped.as_ref().map_or(0, |count| count()),
            updates_dropped: dropped.load(Ordering::Relaxed),
            systemd_refused: notifier.borrow().refused(),
        };
        let context = ServerContext {
            board: self.board.clone(),
            timeline: self.timeline.clone(),
            orders: self.orders.clone(),
            requests,
            clock: self.clock,
            config_file: self.config.file.clone(),
            config_read_at: self.config_read_at.clone(),
            counters: Box::new(counters),
            realtime: self.realtime.clone(),
        };
        tokio::task::spawn_local(server::serve(listeners, Rc::new(context)));
    }

    /// Takes an update in. Returns whether the shutdown is complete.
    ///
    /// Any update may have been dropped, the one that says so and the one that says that the addresses are known
    /// among them; then the whole says it.
    async fn update(&mut self, update: Update) -> bool {
        let synchronized = matches!(
            &update,
            Update::Event(event, _) if matches!(**event, Event::Synchronized { .. })
        );
        self.keep_time(&update);
        self.board.borrow_mut().take(update);
        if synchronized {
            self.become_ready();
        }
        if self.status_due.is_none() {
            self.status_due = Some(self.now());
        }
        // A reactor that has just not answered is not asked for each update that waits here.
        self.fetch_due.is_none() && self.catch_up().await
    }

    /// The addresses are known.
    fn become_ready(&mut self) {
        if let Some(on_ready) = self.on_ready.take() {
            self.ready_owed = true;
            self.say_ready();
            on_ready();
            self.log_ready();
        }
    }

    fn log_ready(&self) {
        let file = self.config.file.display();
        match self.config.settings.instances.len() {
            // The packaged file is like this: nothing is wrong, but nothing will ever happen either.
            0 => tracing::warn!("ready: no instance configured in {file}; add one and reload"),
            1 => tracing::info!("ready: 1 instance from {file}"),
            count => tracing::info!("ready: {count} instances from {file}"),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_std(self.clock.instant(self.clock.now()))
    }

    /// Pays READY=1. A socket that is full takes it later: systemd waits for this one.
    fn say_ready(&mut self) {
        if self.ready_owed {
            match self.notifier.borrow_mut().ready() {
                Ok(()) => self.ready_owed = false,
                Err(error) => {
                    tracing::warn!("{:#}", anyhow::Error::from(error));
                    self.status_due = Some(self.now() + READY_AGAIN);
                }
            }
        }
    }

    /// Tells systemd something that it can do without.
    fn notify(&self, tell: impl FnOnce(&mut Notifier) -> Result<(), NotifyError>) {
        if let Err(error) = tell(&mut self.notifier.borrow_mut()) {
            tracing::warn!("{:#}", anyhow::Error::from(error));
        }
    }

    /// Returns whether the daemon is to end at once.
    async fn signal(&mut self, signal: i32) -> bool {
        match signal {
            SIGHUP => self.begin_reload(None),
            SIGUSR1 => self.log_state().await,
            SIGUSR2 => (self.reopen_log)(),
            SIGXCPU => self.realtime.iter().for_each(|it| it.ran_away()),
            _ if self.ending.is_some() => {
                tracing::warn!("told to end for the second time: what runs is left running");
                return true;
            }
            _ => self.shut_down().await,
        }
        false
    }

    async fn request(&mut self, request: Option<Request>) {
        match request {
            None => {}
            Some(Request::Reload(answer)) => self.begin_reload(Some(answer)),
            Some(Request::Shutdown(answer)) => {
                // An idle daemon ends so soon that the connection would be gone before its answer is written:
                // its task gets a turn first.
                let _ = answer.send(());
                tokio::task::yield_now().await;
                self.shut_down().await;
            }
            Some(Request::Audit(name, answer)) => drop(answer.send(self.audit(name).await)),
        }
    }

    async fn audit(&mut self, name: Option<InstanceName>) -> Result<(), String> {
        if self.ending.is_some() {
            return Err(ENDING.into());
        }
        if let Some(name) = &name
            && self.board.borrow().instance(name.as_str()).is_none()
        {
            return Err(format!("there is no instance {name}"));
        }
        self.order(Order::Input(Input::Audit(name))).await
    }

    async fn order(&self, order: Order) -> Result<(), String> {
        match timeout(REACTOR_DEADLINE, self.orders.send(order)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("the reactor does not answer".into()),
        }
    }

    async fn shut_down(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let stop_wait = self.config.application.stop_wait;
        tracing::info!("ending: no new action begins; running ones are waited for");
        self.notify(Notifier::stopping);
        self.notify(|notifier| notifier.extend_timeout(stop_wait + END_MARGIN));
        let now = self.now();
        self.ending = Some(now + stop_wait);
        if let Err(error) = self.order(Order::Input(Input::Shutdown)).await {
            tracing::error!("cannot end in order: {error}");
            self.ending = Some(now);
        }
    }

    fn send_status(&mut self) {
        self.status_due = None;
        self.say_ready();
        let board = self.board.borrow();
        let Some(kernel) = board.kernel() else { return };
        let poll_every = self.config.settings.poll_every;
        let now = self.clock.now();
        let views = board.instances().map(Arc::as_ref);
        let sentence = || status_line(views, kernel, poll_every, now);
        let again = self.notifier.borrow_mut().status(now, sentence);
        match again {
            Ok(None) => {}
            Ok(Some(again)) => {
                self.status_due = Some(Instant::from_std(self.clock.instant(again)));
            }
            // The next change says it.
            Err(error) => tracing::debug!("{:#}", anyhow::Error::from(error)),
        }
    }

    /// Says to systemd that the daemon is alive, if the reactor says so itself.
    fn watchdog(&mut self) {
        let (sender, receiver) = oneshot::channel();
        if self.orders.try_send(Order::Ping(sender)).is_err() {
            return;
        }
        let notifier = self.notifier.clone();
        tokio::task::spawn_local(async move {
            if let Ok(Ok(_)) = timeout(REACTOR_DEADLINE, receiver).await
                && let Err(error) = notifier.borrow_mut().watchdog()
            {
                tracing::warn!("{:#}", anyhow::Error::from(error));
            }
        });
        self.send_status();
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

//! The daemon put together: makes the channels, starts the threads in order, and stops them in reverse.
//!
//! ```text
//!  main      service: signals, control socket, systemd, the board        (service.rs)
//!  reactor   the machine, netlink, the ends of jobs                      (crate::reactor)
//!  spawner-N posix_spawn, the run record before and after it             (crate::action)
//!  units     systemd over D-Bus, only where the file names units         (crate::action)
//!  disk      epochs, the rest of the run record, the scripts' output     (crate::disk)
//!  log       the sinks of the log                                        (crate::telemetry)
//! ```
//!
//! Three more come and go, because what they ask may not answer: `dump` (netlink), `reload` (the file) and
//! `scripts` (whether the scripts are there). With `--record FILE` there is one more: `recorder`.
//!
//! With `realtime-priority` the reactor and the spawners are real-time threads ([`crate::scheduling`]).
//!
//! The threads know each other only by bounded queues. A panic on any of them ends the process.

mod orphans;
mod prepare;
mod recording;
pub(crate) mod rights;
pub(crate) mod scripts;
mod service;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc;

use crate::action::{
    DaemonName, ExecutorError, ExecutorOptions, LogRoom, OutputError, OutputFollower, Runner,
    inherited_environment,
};
use crate::bus::{ORDERS_MAX, Order, Updates};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::disk::{Disk, DiskParts};
use crate::kill_points;
use crate::machine::message::RestoredMap;
use crate::reactor::Reactor;
use crate::record::Recorded;
use crate::report;
use crate::scheduling::Realtime;
use crate::state::{LockError, Paths, PathsError, Pidfile, RunLog};

use service::{Doors, Guests, Service, ServiceParts};

/// Answers of the disk thread wait here for the reactor, one for each write whatever the number of instances.
/// When it is full the disk thread writes again some seconds later and answers then.
const ANSWERS_MAX: usize = 256;

/// How long the reactor may take to come up, and threads to end.
const THREAD_DEADLINE: Duration = Duration::from_secs(2);

/// Why the daemon could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A directory is not usable.
    #[error("cannot prepare the daemon's directories")]
    Paths(#[source] PathsError),
    /// Another daemon runs with this configuration.
    #[error(transparent)]
    Lock(LockError),
    /// The system does not tell which boot this is.
    #[error("cannot read the id of this boot")]
    Boot(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The workspace is not there.
    #[error("cannot change to the workspace {}", path.display())]
    Workspace {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output of scripts cannot be followed.
    #[error("cannot follow the output of scripts")]
    Output(#[source] OutputError),
    /// The executor cannot be made.
    #[error("cannot make the executor")]
    Executor(#[source] ExecutorError),
    /// The control socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A runtime, a thread or the signal handlers cannot be made.
    #[error("cannot {what}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The reactor's thread has ended by itself.
    #[error("the reactor has ended unexpectedly")]
    ReactorEnded,
}

impl AppError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// How the daemon is run.
pub struct RunOptions {
    /// Called once, when the first complete dump has been taken in.
    pub on_ready: Box<dyn FnOnce()>,
    /// How many log records have been dropped because their queue was full, for `status`.
    pub log_dropped: Box<dyn Fn() -> u64>,
    /// How many more lines of scripts' output the log would take now.
    pub log_room: LogRoom,
    /// Opens the log files again.
    pub reopen_log: Box<dyn Fn()>,
    /// Logs as this configuration says, after a reload.
    pub change_log: Box<dyn Fn(&Config)>,
    /// Whether commands find it by its file.
    pub entered: Entered,
    /// The size of the netlink receive buffer, in bytes; `None`: the default. Small ones are for tests.
    pub receive_buffer_bytes: Option<usize>,
    /// Where every input is recorded: a file that is open for appending.
    pub record: Option<(PathBuf, File)>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            on_ready: Box::new(|| {}),
            log_dropped: Box::new(|| 0),
            log_room: Box::new(|| usize::MAX),
            reopen_log: Box::new(|| {}),
            change_log: Box::new(|_| {}),
            entered: Entered::Yes,
            receive_buffer_bytes: None,
            record: None,
        }
    }
}

/// Whether a daemon is entered in the register ([`crate::state::register`]).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is.
    #[default]
    Yes,
    /// It leaves no trace outside of its own directories: the demo's.
    No,
}

/// Runs the daemon until it is told to end. Must be called before the process has any other thread but that of
/// the log.
///
/// # Errors
///
/// Whatever keeps it from starting; afterwards only the unexpected end of the reactor.
pub fn run(loaded: Loaded, paths: &Paths, options: RunOptions) -> Result<(), AppError> {
    let clock = Clock::begin();
    report::warnings(&loaded.warnings);
    rights::warn(&loaded.config.settings);
    let (config, scripts, units) = (loaded.config, loaded.scripts, loaded.units);
    enter_workspace(&config)?;
    let guests = Guests::of(&config.application);
    let prepared = prepare::prepare(&config, paths, options.entered)?;
    let runtime = new_runtime()?;
    let realtime = begin_realtime(&config);
    let doors = {
        let _inside = runtime.enter();
        Doors::open(&config.application, &guests, paths)?
    };
    let mut follower = OutputFollower::open(&paths.output_dir()).map_err(AppError::Output)?;
    follower.keep_within(options.log_room);
    let (answer_sender, answers) = mpsc::channel(ANSWERS_MAX);
    let life = prepare::life();
    let parts = DiskParts {
        run_log: prepared.run_log.clone(),
        epochs: prepared.epochs,
        follower,
        life,
    };
    let (disk, disk_thread) =
        Disk::start(parts, answer_sender).map_err(AppError::system("start the disk thread"))?;
    let (machine, recorder_thread) = recording::begin(
        (&config.settings, &prepared.restored, clock.now()),
        prepare::origin(&prepared.boot, life, clock),
        (options.record, paths.crash()),
    )?;
    let executor = executor_options(&config, paths, prepared.run_log, life, realtime.clone());
    let (updates, receiver, dropped) = Updates::channel();
    let (orders, order_receiver) = mpsc::channel(ORDERS_MAX);
    let parts = ReactorParts {
        clock,
        machine,
        executor,
        restored: prepared.restored,
        orphans: prepared.orphans,
        disk,
        updates,
        receive_buffer_bytes: options.receive_buffer_bytes,
        realtime: realtime.clone(),
    };
    let reactor_thread = start_reactor(parts, order_receiver, answers)?;
    let service = Service::new(ServiceParts {
        config,
        registration: prepared.registration.clone(),
        paths: paths.clone(),
        clock,
        orders,
        updates: receiver,
        dropped,
        on_ready: options.on_ready,
        log_dropped: options.log_dropped,
        reopen_log: options.reopen_log,
        change_log: options.change_log,
        realtime,
    });
    let result = on_this_thread(
        runtime,
        service.run(doors, move || scripts::odd(&scripts, &units)),
    );
    let threads = [reactor_thread, disk_thread].into_iter();
    threads.chain(recorder_thread).for_each(join);
    remove(prepared.pidfile);
    drop(prepared.registration.take());
    result
}

fn begin_realtime(config: &Config) -> Option<Arc<Realtime>> {
    let priority = config.application.realtime_priority?;
    Some(Arc::new(Realtime::begin(priority)))
}

fn remove(pidfile: Option<Pidfile>) {
    if let Some(Err(error)) = pidfile.map(Pidfile::remove) {
        let error = anyhow::Error::from(error);
        tracing::warn!("{error:#}");
    }
    kill_points::pass("pidfile", "removed");
}

fn executor_options(
    config: &Config,
    paths: &Paths,
    run_log: Arc<RunLog>,
    life: u32,
    realtime: Option<Arc<Realtime>>,
) -> ExecutorOptions {
    ExecutorOptions {
        output_directory: paths.output_dir(),
        recorder: Arc::new(prepare::Recorder(run_log)),
        environment: inherited_environment(),
        daemon: DaemonName::of(&config.file),
        life,
        realtime,
    }
}

fn enter_workspace(config: &Config) -> Result<(), AppError> {
    let Some(workspace) = &config.application.workspace else {
        return Ok(());
    };
    std::env::set_current_dir(workspace).map_err(|source| AppError::Workspace {
        path: workspace.clone(),
        source,
    })
}

struct ReactorParts {
    clock: Clock,
    machine: Recorded,
    executor: ExecutorOptions,
    restored: RestoredMap,
    orphans: orphans::Orphans,
    disk: Disk,
    updates: Updates,
    receive_buffer_bytes: Option<usize>,
    realtime: Option<Arc<Realtime>>,
}

fn start_reactor(
    parts: ReactorParts,
    orders: mpsc::Receiver<Order>,
    answers: mpsc::Receiver<crate::machine::message::Input>,
) -> Result<JoinHandle<()>, AppError> {
    let runner = Runner::new(parts.executor).map_err(AppError::Executor)?;
    let runtime = new_runtime()?;
    let body = move || {
        if let Some(realtime) = parts.realtime {
            realtime.enter();
        }
        runtime.block_on(async move {
            let mut runner = runner;
            let mut orphans = parts.orphans;
            for adopted in parts.restored.into_values().filter_map(|one| one.adopted) {
                runner.adopt(&adopted, orphans.remove(&adopted.job));
            }
            let mut reactor = Reactor::new(
                parts.clock,
                parts.machine,
                runner,
                parts.disk,
                parts.updates,
            );
            if let Some(bytes) = parts.receive_buffer_bytes {
                reactor.set_receive_buffer_bytes(bytes);
            }
            reactor.run(orders, answers).await;
        });
    };
    std::thread::Builder::new()
        .name("reactor".into())
        .spawn(body)
        .map_err(AppError::system("start the reactor's thread"))
}

fn on_this_thread<T>(runtime: runtime::Runtime, future: impl Future<Output = T>) -> T {
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, future);
    // Whatever still talks to a client that does not listen is not waited for.
    runtime.shutdown_background();
    result
}

fn new_runtime() -> Result<runtime::Runtime, AppError> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AppError::system("make a runtime"))
}

/// Waits for a thread that has been told to end; one that hangs in a system call is left behind.
fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or("unnamed").to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::Builder::new()
        .name(format!("join-{name}"))
        .spawn(move || {
            // A panic would have ended the process already.
            drop(thread.join());
            let _ = sender.send(());
        });
    if waiter.is_ok() && receiver.recv_timeout(THREAD_DEADLINE).is_err() {
        tracing::warn!("the {name} thread hangs and is left behind");
    }
}

//! The disk thread: all that may wait for a file system and is not part of a spawn. It owns the epochs file,
//! the following of the scripts' output, and the run record's entries that no spawn writes. The reactor hands
//! it tasks and never waits for it.

mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::action::{OutputCounters, OutputFollower, OutputLine};
use crate::machine::job::{InstanceId, JobId, Knowledge, Role};
use crate::machine::message::Input;
use crate::machine::settings::InstanceName;
use crate::state::{Epochs, RunLog};
use crate::telemetry::OUTPUT_TARGET;

pub use turns::TURN_MAX;
use turns::Turns;

/// Tasks wait here for the disk thread. A job causes at most three. No job is spawned while the runtime
/// directory hangs, because its intent is written there first: then what can queue is a few per instance. But
/// while only the directory of the epochs hangs, jobs go on and their tasks queue. When it is full, the task is
/// dropped and counted: after a crash the instance's service is then looked at with older knowledge.
const TASKS_MAX: usize = 65_536;

/// Epochs that could not be reserved, or whose answer found the reactor's queue full, are tried again after this.
const RESERVE_AGAIN: Duration = Duration::from_secs(10);

/// How often it looks for work where it cannot wait for any (a limit of descriptors below two, or no memory).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One thing to be written down.
#[derive(Debug)]
pub enum Task {
    /// What is known of a service; `None`: the instance is gone.
    Knowledge(InstanceName, Option<Knowledge>),
    /// The interface that the file names for an instance has been seen.
    Nic(InstanceName, String),
    /// A job has ended.
    Ended(JobId),
    /// Epochs up to this one may be used; answered to the reactor.
    ReserveEpochs(InstanceId, InstanceName, u64),
    /// Nothing more will come: write what is there and end.
    End,
}

/// The reactor's end of the disk thread. Sending never waits for the disk.
#[derive(Debug)]
pub struct Disk {
    queue: Arc<Queue>,
    /// How many ends have been handed over.
    ends: u64,
}

/// The ends that had been handed over at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends(u64);

/// What both ends share. The lock is held for one push or one exchange, never while anything is written.
#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    bell: OwnedFd,
    turns: Turns,
}

/// It grows when it is used: most daemons never have two tasks waiting.
#[derive(Debug, Default)]
struct Waiting {
    tasks: VecDeque<Task>,
    dropped: u64,
    counters: DiskCounters,
}

/// What has been counted since the thread began.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskCounters {
    /// Tasks that found the queue full.
    pub tasks_dropped: u64,
    /// The following of the scripts' output.
    pub output: OutputCounters,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A push or an exchange leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // Only a counter that is full can refuse, and then the thread is about to wake anyway.
        let _ = write(self.bell.as_fd(), &1_u64.to_ne_bytes());
    }
}

/// What the disk thread works with.
pub struct DiskParts {
    /// The run record, shared with the spawner threads.
    pub run_log: Arc<RunLog>,
    /// The epochs.
    pub epochs: Epochs,
    /// Follows what scripts print.
    pub follower: OutputFollower,
    /// The life of the daemon, as its jobs have it in their names.
    pub life: u32,
}

impl Disk {
    /// Starts the thread. What it answers goes to `answers`.
    pub fn start(
        mut parts: DiskParts,
        answers: mpsc::Sender<Input>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            bell,
            turns: Turns::new(parts.life),
        });
        let turns = queue.clone();
        parts
            .follower
            .hold_until(Box::new(move |job| turns.turns.has_started(job)));
        let thread = DiskThread {
            parts,
            owed: BTreeMap::new(),
            reserve_at: None,
            ends: VecDeque::new(),
            queue: queue.clone(),
            answers,
        };
        let handle = std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || thread.run())?;
        Ok((Self { queue, ends: 0 }, handle))
    }

    /// Hands a task over, or counts that it could not be.
    pub fn send(&self, task: Task) {
        self.hand_over(task);
    }

    /// Says whether it was taken.
    fn hand_over(&self, task: Task) -> bool {
        let mut waiting = self.queue.lock();
        let taken = waiting.tasks.len() < TASKS_MAX;
        if taken {
            waiting.tasks.push_back(task);
        } else {
            waiting.dropped += 1;
            waiting.counters.tasks_dropped += 1;
        }
        drop(waiting);
        self.queue.ring();
        taken
    }

    /// The start of a job has been told: what it prints may be told from now on.
    pub fn start_told(&self, job: JobId) {
        if self.queue.turns.start(job) {
            self.queue.ring();
        }
    }

    /// A job has ended; what it has printed is told at once.
    pub fn ended(&mut self, job: JobId) {
        self.ends += u64::from(self.hand_over(Task::Ended(job)));
    }

    /// All ends that were handed over so far.
    pub fn ends(&self) -> Ends {
        Ends(self.ends)
    }

    /// Whether all has been told that the jobs of these ends have printed.
    pub fn has_told_output_of(&self, ends: Ends) -> bool {
        self.queue.turns.ended() >= ends.0
    }

    /// Pends until that may be true of more.
    pub async fn output_told(&self) {
        self.queue.turns.moved().await;
    }

    /// What has been counted. Never waits for the disk.
    pub fn counters(&self) -> DiskCounters {
        self.queue.lock().counters
    }
}

struct DiskThread {
    parts: DiskParts,
    /// Reservations that are not on disk yet: at most one per instance.
    owed: BTreeMap<InstanceName, (InstanceId, u64)>,
    /// When they are tried again.
    reserve_at: Option<Instant>,
    /// Jobs that have ended and whose output is to be told to its end, in the order of their ends, and until when it
    /// may wait for their starts to be told. As many as the tasks at most.
    ends: VecDeque<(JobId, Instant)>,
    queue: Arc<Queue>,
    answers: mpsc::Sender<Input>,
}

impl DiskThread {
    fn run(mut self) {
        let mut failing = false;
        loop {
            let tasks = self.take_tasks();
            // First what somebody may wait to read: a write to a slow disk would hold it up.
            let look_at = self.tell_output();
            let ended = self.work(tasks);
            self.queue.lock().counters.output = self.parts.follower.counters();
            if ended {
                return;
            }
            let again = look_at.into_iter().chain(self.reserve_at).min();
            if let Some(error) = self.parts.follower.trouble() {
                let error = anyhow::Error::from(error);
                tracing::error!("{error:#}");
            }
            match self.wait(again) {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::error!(
                            "the disk thread cannot wait for work, so it looks every {LOOK_EVERY:?}: {error}"
                        );
                        failing = true;
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        }
    }

    /// Sleeps until a task or a script's output has come, or the follower wants to look again.
    fn wait(&self, again: Option<Instant>) -> Result<(), Errno> {
        let bell = PollFd::new(&self.queue.bell, PollFlags::IN);
        let output = self.parts.follower.as_fd();
        let output = output.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let left = again.map(|at| Timespec::try_from(until(at)).unwrap_or(LONG));
        let polled = match output {
            Some(output) => poll(&mut [bell, output], left.as_ref()),
            None => poll(&mut [bell], left.as_ref()),
        };
        match polled {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut count = [0; 8];
        match read(self.queue.bell.as_fd(), &mut count) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Tells what jobs have printed, and of those that have ended all of it. Gives back when to look again.
    fn tell_output(&mut self) -> Option<Instant> {
        self.queue.turns.hold(true);
        let again = self.parts.follower.drain(&mut log_line);
        let mut told = 0;
        while let Some((job, by)) = self.ends.front() {
            if !self.queue.turns.has_started(*job) && !until(*by).is_zero() {
                break;
            }
            self.parts.follower.finish(*job, &mut log_line);
            self.ends.pop_front();
            told += 1;
        }
        if told > 0 {
            self.queue.turns.end(told);
        }
        let held_until = self.ends.front().map(|(_, by)| *by);
        if held_until.is_none() && !self.parts.follower.holds() {
            self.queue.turns.hold(false);
        }
        again.into_iter().chain(held_until).min()
    }

    /// All tasks that are there.
    fn take_tasks(&mut self) -> VecDeque<Task> {
        let mut waiting = self.queue.lock();
        let tasks = std::mem::take(&mut waiting.tasks);
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        if dropped > 0 {
            tracing::error!(
                "{dropped} records were dropped; a restart of the daemon would know less"
            );
        }
        for task in &tasks {
            match task {
                Task::Ended(job) => self.ends.push_back((*job, in_the_future(TURN_MAX))),
                Task::Knowledge(..) | Task::Nic(..) | Task::ReserveEpochs(..) | Task::End => {}
            }
        }
        tasks
    }

    /// Does tasks. Returns whether the thread is to end.
    fn work(&mut self, tasks: VecDeque<Task>) -> bool {
        let mut ended = false;
        let mut reservations = Vec::new();
        for task in tasks {
            match task {
                Task::ReserveEpochs(id, name, through) => reservations.push((id, name, through)),
                Task::Knowledge(name, Some(knowledge)) => {
                    report(self.parts.run_log.knowledge(name, knowledge));
                }
                Task::Knowledge(name, None) => report(self.parts.run_log.forget(name)),
                Task::Nic(name, nic) => report(self.parts.run_log.nic_seen(name, nic)),
                Task::Ended(job) => report(self.parts.run_log.ended(job)),
                Task::End => {
                    report(self.parts.run_log.keep());
                    ended = true;
                }
            }
        }
        self.reserve(reservations);
        ended
    }

    /// One write for all that came together, and for what could not be written before.
    fn reserve(&mut self, reservations: Vec<(InstanceId, InstanceName, u64)>) {
        let due = self.reserve_at.is_some_and(|at| until(at).is_zero());
        if reservations.is_empty() && !due {
            return;
        }
        for (id, name, through) in reservations {
            self.owed.insert(name, (id, through));
        }
        let wanted = self
            .owed
            .iter()
            .map(|(name, (_, through))| (name, *through));
        if let Err(error) = self.parts.epochs.reserve_many(wanted) {
            let error = anyhow::Error::from(error);
            tracing::error!("{error:#}; epochs may repeat after a power cut until this is mended");
            self.reserve_at = Some(in_the_future(RESERVE_AGAIN));
            return;
        }
        let noted = self.owed.values().copied().collect();
        if let Err(TrySendError::Full(_)) = self.answers.try_send(Input::EpochsReserved(noted)) {
            // What is owed is written again, and answered then.
            self.reserve_at = Some(in_the_future(RESERVE_AGAIN));
            return;
        }
        self.reserve_at = None;
        self.owed.clear();
    }
}

/// For a deadline that does not fit the kernel's clock: it is only looked at again.
const LONG: Timespec = Timespec {
    tv_sec: 3600,
    tv_nsec: 0,
};

#[expect(
    clippy::disallowed_methods,
    reason = "poll takes a span, and the follower gives a moment"
)]
fn until(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}

#[expect(
    clippy::disallowed_methods,
    reason = "poll takes a span, and this gives it one"
)]
fn in_the_future(span: Duration) -> Instant {
    Instant::now() + span
}

fn report(result: Result<(), crate::state::RunLogError>) {
    if let Err(error) = result {
        let error = anyhow::Error::from(error);
        tracing::error!("{error:#}; a restart of the daemon would know less");
    }
}

fn log_line(line: OutputLine<'_>) {
    let (role, epoch) = line.serves.unzip();
    let transition = epoch.map(|epoch| format!("{}/{epoch}", line.instance));
    tracing::info!(
        target: OUTPUT_TARGET,
        instance = line.instance,
        role = role.map(Role::as_str),
        action = line.action.as_str(),
        job = %line.job,
        epoch,
        transition,
        "{}",
        line.text
    );
}

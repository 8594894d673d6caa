//! The executor: owns every job between its submission and its end. It lives on the reactor thread and makes
//! no call that can wait: it hands jobs to the spawner threads, hears of ends by pidfd, and signals groups.
//!
//! ```text
//!   submit ──▶ Spawning ──▶ Running ──▶ (main process ended) ──▶ Ended         never signalled
//!                 │            │                                   ▲
//!                 │            └─ signal ─▶ Running, signalled ─▶ Emptying ──┘  until its group is empty
//!                 └─ signal: withdrawn, or delivered as soon as the process exists
//!   adopt ─────────────────▶ Running
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustix::process::Pid;
use tokio::time::sleep_until;

use super::counters::ExecutorCounters;
use super::ends::{EndOfProcess, end_of, register};
use super::environment::{DaemonName, Inherited};
use super::event::ExecEvent;
use super::launch::{Launcher, Spawned};
use super::output::make_room;
use super::process::{
    Group, Kinship, group_state, groups_of_zombies, has_ended, is_gone, keep_children,
    reap_inherited, signal_group, to_pid,
};
use super::spawner::{Reply, Spawners};
use super::zombies::ZombiePasses;
use super::{JobRecorder, now};
use crate::machine::job::{Exit, Job, JobId, JobSignal};
use crate::machine::message::Adopted;
use crate::scheduling::Realtime;

/// Jobs at once at most; further ones end as not started and are counted. An instance has at most one, so
/// this is a bound for configurations beyond all reason, and for faults of the caller.
const JOBS_MAX: usize = 65_536;

/// The first and the longest step between two looks at a group that is to become empty.
const EMPTY_STEP_FIRST: Duration = Duration::from_millis(5);
const EMPTY_STEP_MAX: Duration = Duration::from_millis(100);

/// What the executor is given.
pub struct ExecutorOptions {
    /// Where the jobs' output files go: the directory that the [`OutputFollower`](super::OutputFollower) follows.
    pub output_directory: PathBuf,
    /// Writes down which processes exist.
    pub recorder: Arc<dyn JobRecorder>,
    /// What every job's environment begins with; see [`inherited_environment`](super::inherited_environment).
    pub environment: Vec<(OsString, OsString)>,
    /// By which its processes are known to be this daemon's.
    pub daemon: DaemonName,
    /// This life of the daemon; see [`JobId`].
    pub life: u32,
    /// What the spawner threads are to be beyond ordinary.
    pub realtime: Option<Arc<Realtime>>,
}

/// The executor could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The ends of children would be lost.
    #[error("cannot learn or change how this process treats SIGCHLD")]
    Children(#[source] io::Error),
    /// Without it no job has a stdin.
    #[error("cannot open /dev/null")]
    Null(#[source] io::Error),
    /// The system has no thread left.
    #[error("cannot make the spawner threads")]
    Threads(#[source] io::Error),
}

/// Where a job stands.
enum Run {
    /// With the spawners.
    Spawning {
        /// To be delivered once there is a process.
        wanted: Option<JobSignal>,
    },
    /// Its main process has not ended, as far as we have heard.
    Running {
        group: Pid,
        pidfd: Option<Arc<OwnedFd>>,
        signalled: bool,
    },
    /// Its main process has ended after a signal; members of its group have perhaps not.
    Emptying {
        group: Pid,
        exit: Exit,
        look_at: Instant,
        step: Duration,
    },
}

/// Runs jobs. See the file's head.
pub struct Executor {
    spawners: Spawners,
    runs: BTreeMap<JobId, Run>,
    /// One for each job that is `Running`.
    ends: FuturesUnordered<EndOfProcess>,
    /// Events not yet handed out: at most three for each job.
    ready: VecDeque<ExecEvent>,
    /// How many jobs are `Emptying`, so that the usual case looks at none.
    emptying: usize,
    /// The passes over `/proc` for those.
    zombie_passes: ZombiePasses,
    counters: ExecutorCounters,
}

impl Executor {
    /// Makes the executor and its normal spawner threads.
    pub fn new(options: ExecutorOptions) -> Result<Self, ExecutorError> {
        keep_children().map_err(ExecutorError::Children)?;
        make_room(&options.output_directory);
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(ExecutorError::Null)?;
        let launcher = Launcher {
            environment: Inherited::new(options.environment, &options.daemon),
            output_directory: options.output_directory,
            recorder: options.recorder,
            null,
            life: options.life,
            script_security: crate::trust::security(None),
            realtime: options.realtime,
        };
        Ok(Self {
            spawners: Spawners::new(launcher).map_err(ExecutorError::Threads)?,
            runs: BTreeMap::new(),
            ends: FuturesUnordered::new(),
            ready: VecDeque::new(),
            emptying: 0,
            zombie_passes: ZombiePasses::default(),
            counters: ExecutorCounters::default(),
        })
    }

    /// Takes a job over. Its end will be told, whatever happens.
    pub fn submit(&mut self, job: Box<Job>) {
        if self.runs.len() >= JOBS_MAX {
            self.counters.refused += 1;
            let error = format!("cannot run more than {JOBS_MAX} jobs at once");
            self.end(job.id, Exit::NotStarted(error));
            return;
        }
        self.counters.submitted += 1;
        self.runs.insert(job.id, Run::Spawning { wanted: None });
        self.spawners.submit(job);
    }

    /// Signals the job's process group, now or as soon as there is one. A job that has ended, or whose main
    /// process has ended without a signal, is left alone: what it left in the background is meant to stay.
    pub fn signal(&mut self, job: JobId, signal: JobSignal) {
        match self.runs.get_mut(&job) {
            None => {}
            Some(Run::Spawning { wanted }) => {
                // The stronger signal stays: after a KILL nobody is left to take a TERM.
                if *wanted != Some(JobSignal::Kill) {
                    *wanted = Some(signal);
                }
                if self.spawners.withdraw(job).is_some() {
                    let error = "it was told to end before it was started".to_owned();
                    self.runs.remove(&job);
                    self.counters.not_started += 1;
                    self.end(job, Exit::NotStarted(error));
                } else {
                    self.spawners.signal(job, signal);
                }
            }
            Some(Run::Running {
                group,
                pidfd,
                signalled,
            }) => {
                // The number is the group's: a child is reaped on this thread only. A process that is not our
                // child is looked at here, by its number where there is no pidfd, and then ten times a second as
                // well. Between two looks the number could only be lost to a whole round through all pids.
                let ended = match pidfd {
                    Some(pidfd) => has_ended(pidfd),
                    None => is_gone(*group),
                };
                if !*signalled && ended {
                    return;
                }
                *signalled = true;
                let group = *group;
                self.send(group, signal);
            }
            Some(Run::Emptying {
                group,
                look_at,
                step,
                ..
            }) => {
                *step = EMPTY_STEP_FIRST;
                *look_at = now();
                let group = *group;
                self.send(group, signal);
            }
        }
    }

    /// Watches a process of an earlier life of the daemon; its end will be told as [`Exit::Unseen`]. To be
    /// called within a tokio runtime. The pidfd is the one that [`find_process`](super::find_process) has opened;
    /// without it the process is looked after by its number.
    pub fn adopt(&mut self, adopted: &Adopted, pidfd: Option<OwnedFd>) {
        self.counters.submitted += 1;
        match to_pid(adopted.pid) {
            Some(pid) => self.watch(adopted.job, pid, pidfd, Kinship::Stranger),
            None => self.end(adopted.job, Exit::Unseen),
        }
    }

    /// No longer watches an adopted process, and tells nothing more of it: it may not be the job after all. Its
    /// pidfd is kept until it ends; there is at most one such process for each instance.
    pub fn let_go(&mut self, job: JobId) {
        self.counters.ended += u64::from(self.runs.remove(&job).is_some());
    }

    /// The next thing that happens to a job; pends for ever while there is none. Cancel-safe: what has happened
    /// is kept in `self`. To be called within a tokio runtime with its timer enabled.
    pub async fn next(&mut self) -> ExecEvent {
        loop {
            while let Some(reply) = self.spawners.take_reply() {
                self.launched(reply);
            }
            let look_at = self.look(now());
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let look = async {
                match look_at {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.spawners.replied() => {}
                Some((job, exit)) = self.ends.next(), if !self.ends.is_empty() => {
                    self.main_ended(job, exit);
                }
                () = look => {}
            }
        }
    }

    /// Whether there is no job, and nothing left to tell of one.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.ready.is_empty()
    }

    /// What has been counted.
    pub fn counters(&self) -> ExecutorCounters {
        let mut counters = self.counters;
        self.spawners.count(&mut counters);
        counters
    }

    fn launched(&mut self, reply: Reply) {
        let Reply {
            job,
            result,
            signalled,
        } = reply;
        let wanted = match self.runs.remove(&job) {
            Some(Run::Spawning { wanted }) => wanted,
            Some(Run::Running { .. } | Run::Emptying { .. }) | None => None,
        };
        match result {
            Err(error) => {
                self.counters.not_started += 1;
                self.end(job, Exit::NotStarted(error));
            }
            Ok(Spawned { pid, pidfd, at }) => {
                self.counters.spawned += 1;
                self.ready.push_back(ExecEvent::Spawned { job, pid, at });
                // A pid of the kernel always is a positive i32.
                if let Some(pid) = to_pid(pid) {
                    self.watch(job, pid, pidfd, Kinship::Child);
                }
                match self.runs.get_mut(&job) {
                    Some(Run::Running { signalled: was, .. }) => *was = signalled.is_some(),
                    Some(Run::Spawning { .. } | Run::Emptying { .. }) | None => {}
                }
                if let Some(signal) = wanted.filter(|_| wanted != signalled) {
                    self.signal(job, signal);
                }
            }
        }
    }

    fn watch(&mut self, job: JobId, pid: Pid, pidfd: Option<OwnedFd>, kinship: Kinship) {
        let pidfd = pidfd.map(Arc::new);
        let readable = pidfd.clone().and_then(register);
        self.counters.unwatched += u64::from(readable.is_none());
        self.ends
            .push(Box::pin(end_of(job, pid, readable, kinship)));
        let run = Run::Running {
            group: pid,
            pidfd,
            signalled: false,
        };
        self.runs.insert(job, run);
    }

    fn main_ended(&mut self, job: JobId, exit: Exit) {
        match self.runs.remove(&job) {
            Some(Run::Running {
                group,
                signalled: true,
                ..
            }) => {
                let run = Run::Emptying {
                    group,
                    exit,
                    look_at: now(),
                    step: EMPTY_STEP_FIRST,
                };
                self.runs.insert(job, run);
                self.emptying += 1;
                self.zombie_passes.hurry();
            }
            Some(Run::Running { .. } | Run::Spawning { .. } | Run::Emptying { .. }) => {
                self.end(job, exit);
            }
            // It was let go of.
            None => {}
        }
    }

    /// Does what is due and gives back when something is due next.
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let relief = self.spawners.relieve(now, &mut self.ready);
        let emptying = self.look_at_groups(now);
        relief.into_iter().chain(emptying).min()
    }

    /// Looks whether signalled groups have become empty. Of all that happens to a job this is the one thing
    /// that the kernel does not tell, so it is asked, in growing steps, and only between the end of a
    /// signalled main process and the end of the last process of its group.
    ///
    /// The main process has been reaped then: as a zombie it would be a member itself. Its number stays taken
    /// as long as the group has a member. After that it could come again only if all other pids of the system
    /// were handed out within one step, because the kernel hands them out in a circle.
    fn look_at_groups(&mut self, now: Instant) -> Option<Instant> {
        if self.emptying == 0 {
            return None;
        }
        let zombies = self.look_for_zombies(now);
        let mut next: Option<Instant> = None;
        let mut ended = Vec::new();
        for (job, run) in &mut self.runs {
            let Run::Emptying {
                group,
                look_at,
                step,
                exit,
            } = run
            else {
                continue;
            };
            if *look_at <= now {
                reap_inherited(*group);
                if group_state(*group) == Group::Empty || zombies.contains(group) {
                    ended.push((*job, exit.clone()));
                    continue;
                }
                *look_at = now + *step;
                *step = (*step * 2).min(EMPTY_STEP_MAX);
            }
            next = Some(next.map_or(*look_at, |next| next.min(*look_at)));
        }
        for (job, exit) in ended {
            self.runs.remove(&job);
            self.emptying -= 1;
            self.end(job, exit);
        }
        next
    }

    /// The groups that stay populated by zombies alone. Who has lost his parent is reaped by PID 1, and in many
    /// containers that is a program which never does: nobody would live in such a group, and it would never be
    /// empty. Looked for only in groups that have been asked in vain for a while.
    fn look_for_zombies(&mut self, began: Instant) -> Vec<Pid> {
        let late = |run: &Run| match run {
            Run::Emptying { group, step, .. } => (*step >= EMPTY_STEP_MAX).then_some(*group),
            Run::Spawning { .. } | Run::Running { .. } => None,
        };
        let groups: Vec<Pid> = self.runs.values().filter_map(late).collect();
        if groups.is_empty() || !self.zombie_passes.is_due(began) {
            return Vec::new();
        }
        let found = groups_of_zombies(groups);
        self.zombie_passes.made(began, now());
        found
    }

    fn send(&mut self, group: Pid, signal: JobSignal) {
        if signal_group(group, signal).is_err() {
            self.counters.signals_failed += 1;
        }
    }

    fn end(&mut self, job: JobId, exit: Exit) {
        self.counters.ended += 1;
        let at = now();
        self.ready.push_back(ExecEvent::Ended { job, exit, at });
    }
}

#[cfg(test)]
mod tests;

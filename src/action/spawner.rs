//! The spawner threads and the queue before them: owns the queue, the threads' whereabouts and the replies.
//! The executor calls it from the reactor thread; its lock is held for a few moves of pointers and never
//! across a system call that can wait.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::counters::ExecutorCounters;
use super::event::ExecEvent;
use super::launch::{Launcher, Spawned};
use super::now;
use super::output::{LostOutputs, Spare};
use crate::machine::job::{Action, Job, JobId, JobSignal};

mod births;
mod slow;

use births::Watched;
use slow::{Pace, Spawn};

/// Threads that are always there. Two, so that one slow exec is not felt even before it is called hung.
pub(super) const THREADS_NORMAL: usize = 2;

/// Threads at most. When so many spawns hang at once, further jobs wait in the queue until one comes free.
const THREADS_MAX: usize = 64;

/// Starts and checks that are spawned at once at most. The last threads are for stops alone, and made when one
/// comes: a file server that hangs the start of every instance must not keep a service running on two nodes.
const OTHERS_MAX: usize = THREADS_MAX - THREADS_NORMAL;

/// A spawn that takes longer, while another job waits for a thread, counts as hung. A healthy spawn takes a
/// fraction of a millisecond; on a machine that is busy to the last it can take some tens.
const HUNG_AFTER: Duration = Duration::from_millis(30);

/// A spawn that takes longer is told to people, once, whether anybody waits for its thread or not.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long a thread beyond the normal number waits for work before it ends.
const SURPLUS_IDLE_MAX: Duration = Duration::from_secs(10);

/// How long after a thread could not be made it is tried again.
const THREAD_RETRY: Duration = Duration::from_secs(1);

/// Stack of a thread, in bytes: a launch needs a few KiB, and the recorder's serialization some more.
const STACK_SIZE: usize = 256 * 1024;

/// What came of a launch.
pub(super) struct Reply {
    pub(super) job: JobId,
    pub(super) result: Result<Spawned, String>,
    /// The last signal that its process was sent already.
    pub(super) signalled: Option<JobSignal>,
}

/// The handle of the executor. Dropped, it lets idle threads end and drops what still waits.
pub(super) struct Spawners {
    shared: Arc<Shared>,
}

struct Shared {
    launcher: Launcher,
    state: Mutex<State>,
    /// Told when there is work or the end.
    work: Condvar,
    /// Told when there is a reply.
    news: Notify,
}

#[derive(Default)]
struct State {
    /// One queue for each action, in the order in which they are served: a stop that comes late means a
    /// service that runs on two nodes, a start that comes late means one that runs on none, and a late
    /// is-running means nothing. Bounded by the executor (`JOBS_MAX`), and in truth by the instances, of
    /// which each has at most one job.
    stops: VecDeque<Box<Job>>,
    starts: VecDeque<Box<Job>>,
    checks: VecDeque<Box<Job>>,
    /// Bounded by the same number: a job has one reply.
    replies: VecDeque<Reply>,
    threads: BTreeMap<u32, Doing>,
    last_thread: u32,
    ending: bool,
    spawns_hung: u64,
    outputs: LostOutputs,
    threads_failed: u64,
}

/// What a thread does.
enum Doing {
    Idle,
    Spawns(Spawn),
    /// It makes the next output file, which may wait for a disk.
    Prepares {
        since: Instant,
    },
}

impl State {
    fn queue(&mut self, action: Action) -> &mut VecDeque<Box<Job>> {
        match action {
            Action::Stop => &mut self.stops,
            Action::Start => &mut self.starts,
            Action::IsRunning => &mut self.checks,
        }
    }

    fn take(&mut self) -> Option<Box<Job>> {
        if let Some(stop) = self.stops.pop_front() {
            return Some(stop);
        }
        if !self.has_place_for_others() {
            return None;
        }
        self.starts.pop_front().or_else(|| self.checks.pop_front())
    }

    fn waiting(&self) -> usize {
        self.stops.len() + self.starts.len() + self.checks.len()
    }

    /// Whether a job waits that a thread may take.
    fn has_work(&self) -> bool {
        let others = self.starts.len() + self.checks.len();
        !self.stops.is_empty() || (others > 0 && self.has_place_for_others())
    }

    fn has_place_for_others(&self) -> bool {
        let others = self.spawns().filter(|spawn| match spawn.action {
            Action::Start | Action::IsRunning => true,
            Action::Stop => false,
        });
        others.count() < OTHERS_MAX
    }

    fn spawns(&self) -> impl Iterator<Item = &Spawn> {
        self.threads.values().filter_map(|doing| match doing {
            Doing::Idle | Doing::Prepares { .. } => None,
            Doing::Spawns(spawn) => Some(spawn),
        })
    }

    fn spawns_mut(&mut self) -> impl Iterator<Item = &mut Spawn> {
        self.threads.values_mut().filter_map(|doing| match doing {
            Doing::Idle | Doing::Prepares { .. } => None,
            Doing::Spawns(spawn) => Some(spawn),
        })
    }

    fn idle(&self) -> usize {
        let doing = self.threads.values();
        doing.filter(|doing| matches!(doing, Doing::Idle)).count()
    }

    /// Threads that are not hung.
    fn sound(&self, now: Instant) -> usize {
        let is_sound = |doing: &&Doing| match doing {
            Doing::Idle => true,
            Doing::Spawns(spawn) => spawn.pace < Pace::Hung,
            Doing::Prepares { since } => now < *since + HUNG_AFTER,
        };
        self.threads.values().filter(is_sound).count()
    }

    /// When the next one of those that prepare will have taken too long.
    fn prepared_by(&self, now: Instant) -> Option<Instant> {
        let due = self.threads.values().filter_map(|doing| match doing {
            Doing::Idle | Doing::Spawns(_) => None,
            Doing::Prepares { since } => Some(*since + HUNG_AFTER),
        });
        due.filter(|due| *due > now).min()
    }

    /// Finds the spawns that take longer than `after` and were not known to; gives back when the next one may.
    fn find_slow(
        &mut self,
        pace: Pace,
        after: Duration,
        now: Instant,
        mut found: impl FnMut(&Spawn),
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut newly_hung = 0;
        for spawn in self.spawns_mut() {
            let (due, was) = (spawn.since + after, spawn.pace);
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            } else if spawn.slows_to(pace) {
                newly_hung += u64::from(was == Pace::Healthy);
                found(spawn);
            }
        }
        self.spawns_hung += newly_hung;
        next
    }
}

impl Spawners {
    /// Makes the normal threads.
    pub(super) fn new(launcher: Launcher) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            launcher,
            state: Mutex::default(),
            work: Condvar::new(),
            news: Notify::new(),
        });
        let spawners = Self { shared };
        for _ in 0..THREADS_NORMAL {
            spawners.add_thread(&mut spawners.shared.lock())?;
        }
        Ok(spawners)
    }

    /// Puts the job into its queue and wakes a thread.
    pub(super) fn submit(&self, job: Box<Job>) {
        self.shared.lock().queue(job.action).push_back(job);
        self.shared.work.notify_one();
    }

    /// Takes a job back that no thread has begun; `None` where one has.
    pub(super) fn withdraw(&self, job: JobId) -> Option<Box<Job>> {
        let mut state = self.shared.lock();
        [Action::Stop, Action::Start, Action::IsRunning]
            .into_iter()
            .find_map(|action| {
                let queue = state.queue(action);
                let index = queue.iter().position(|waiting| waiting.id == job)?;
                queue.remove(index)
            })
    }

    /// The next reply that has come.
    pub(super) fn take_reply(&self) -> Option<Reply> {
        self.shared.lock().replies.pop_front()
    }

    /// Pends until a reply may be there. Cancel-safe: a permit that was not used stays.
    pub(super) async fn replied(&self) {
        self.shared.news.notified().await;
    }

    /// Tells of each spawn that hangs for long, and puts a new thread beside each one that hangs while work
    /// waits; gives back when to look again. There is nothing to look for while nothing is spawned and nothing
    /// waits, so an idle daemon has no timer here.
    pub(super) fn relieve(
        &self,
        now: Instant,
        events: &mut VecDeque<ExecEvent>,
    ) -> Option<Instant> {
        let mut state = self.shared.lock();
        let tell_at = state.find_slow(Pace::Told, TELL_AFTER, now, |spawn| {
            events.push_back(ExecEvent::Hangs {
                job: spawn.job,
                action: spawn.action,
                instance: spawn.instance.name.clone(),
                serves: spawn.serves,
                so_far: now.saturating_duration_since(spawn.since),
            });
        });
        let stand_in_at = self.stand_in(&mut state, now);
        tell_at.into_iter().chain(stand_in_at).min()
    }

    fn stand_in(&self, state: &mut State, now: Instant) -> Option<Instant> {
        if !state.has_work() {
            return None;
        }
        if state.idle() > 0 {
            // A thread is on its way; it may hang on the job that it takes.
            self.shared.work.notify_one();
            return Some(now + HUNG_AFTER);
        }
        let hung_at = state.find_slow(Pace::Hung, HUNG_AFTER, now, |_| {});
        let mut next = hung_at.into_iter().chain(state.prepared_by(now)).min();
        while state.sound(now) < THREADS_NORMAL && state.threads.len() < THREADS_MAX {
            if self.add_thread(state).is_err() {
                state.threads_failed += 1;
                return Some(now + THREAD_RETRY);
            }
            next = Some(now + HUNG_AFTER);
        }
        next
    }

    /// Fills in what is counted here.
    pub(super) fn count(&self, counters: &mut ExecutorCounters) {
        let state = self.shared.lock();
        let number = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let now = now();
        let hanging = state
            .spawns()
            .filter(|spawn| spawn.since + HUNG_AFTER <= now);
        counters.spawns_hanging = number(hanging.count());
        counters.outputs_lost = state.outputs.count;
        counters.spawns_hung = state.spawns_hung;
        counters.threads_failed = state.threads_failed;
        counters.threads = number(state.threads.len());
        counters.waiting = number(state.waiting());
    }

    /// Making a thread maps a stack and clones: some ten microseconds, and no wait for anything outside.
    fn add_thread(&self, state: &mut State) -> io::Result<()> {
        let number = state.last_thread + 1;
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name(format!("spawner-{number}"))
            .stack_size(STACK_SIZE)
            .spawn(move || shared.serve(number))?;
        state.last_thread = number;
        state.threads.insert(number, Doing::Idle);
        Ok(())
    }
}

impl Drop for Spawners {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ending = true;
        state.stops.clear();
        state.starts.clear();
        state.checks.clear();
        drop(state);
        // Not joined: a thread that hangs in an exec would keep the daemon from ending.
        self.shared.work.notify_all();
    }
}

impl Shared {
    /// A panic under the lock is impossible short of a lack of memory, and none of the moves made under it
    /// leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a spawner thread.
    fn serve(&self, thread: u32) {
        self.launcher.enter_class();
        let mut spare = Spare::new(&self.launcher.output_directory, self.launcher.life, thread);
        loop {
            self.prepare(thread, &mut spare);
            let Some(job) = self.next_job(thread) else {
                return;
            };
            let births = Watched {
                shared: self,
                thread,
            };
            let (result, fate) = self.launcher.launch(&job, &mut spare, &births);
            let mut state = self.lock();
            let signalled = match state.threads.insert(thread, Doing::Idle) {
                Some(Doing::Spawns(spawn)) => spawn.signalled,
                Some(Doing::Idle | Doing::Prepares { .. }) | None => None,
            };
            let is_first = result.is_ok() && state.outputs.note(fate);
            state.replies.push_back(Reply {
                job: job.id,
                result,
                signalled,
            });
            drop(state);
            self.news.notify_one();
            if is_first {
                spare.tell_lost(&job);
            }
        }
    }

    /// Makes the next job's output file ahead of it, unless a job waits already.
    fn prepare(&self, thread: u32, spare: &mut Spare) {
        let mut state = self.lock();
        if state.ending || state.has_work() {
            return;
        }
        state
            .threads
            .insert(thread, Doing::Prepares { since: now() });
        drop(state);
        spare.prepare();
    }

    /// Waits for a job; `None` when the thread is to end.
    fn next_job(&self, thread: u32) -> Option<Box<Job>> {
        let mut state = self.lock();
        loop {
            if state.ending {
                break;
            }
            state.threads.insert(thread, Doing::Idle);
            if let Some(job) = state.take() {
                let spawn = Spawn::of(&job);
                state.threads.insert(thread, Doing::Spawns(spawn));
                return Some(job);
            }
            if state.sound(now()) <= THREADS_NORMAL {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (woken, waited) = self
                .work
                .wait_timeout(state, SURPLUS_IDLE_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && !state.has_work() && state.sound(now()) > THREADS_NORMAL {
                break;
            }
        }
        state.threads.remove(&thread);
        None
    }
}

#[cfg(test)]
mod tests;

//! The daemon's real-time threads: those between an address change and the exec of a hook, and no other. Begun once, on
//! the main thread; asked by the reactor's and the spawners' about themselves.
//!
//! ```text
//!   main, log, disk, reload, …     ordinary
//!   reactor                        real-time
//!     ├─ units, dump               ordinary: they ask what may not answer
//!     └─ spawner-N                 real-time, and so is its child until posix_spawn(3) has returned:
//!          └─ child, one below,    an ordinary one would keep it waiting for the exec
//!             same processor
//!               └─ grandchild      ordinary
//! ```
//!
//! The child of a plain action stays real-time for its first millisecond: ordinary, it would be no sooner at its first
//! instruction than without all this. SCHED_RESET_ON_FORK keeps it from handing that on. The daemon's own threads do
//! without that flag, because what is made under it forgets the niceness of the daemon.
//!
//! A daemon that is killed while it spawns leaves that child as it is. The child's limit on real time is the daemon's
//! lowered one then, so it cannot run away either.

use std::cell::Cell;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::spawn::PosixSpawnAttr;
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::{Class, Priority, begin_below, enter, put};
use crate::capabilities::Capabilities;
use crate::machine::process::Limit;

/// How long a real-time thread of the daemon may run without ever sleeping, in microseconds. What the reactor does in
/// one go takes milliseconds, and keepalived on the same processor bears some seconds.
const RUNAWAY_US: u64 = 1_000_000;

/// How long a script is real-time: from its exec to its first instructions a shell takes most of it.
const FIRST_STEPS: Duration = Duration::from_millis(1);

/// What SIGXCPU says, in words.
const RAN_AWAY: &str = "a thread of the daemon has run for a second without a pause";

thread_local! {
    /// Whether this thread hands the class on to what it makes.
    static HANDS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Real-time threads, as far as they may be.
#[derive(Debug)]
pub struct Realtime {
    priority: Priority,
    /// The limit on real time as it was before this daemon lowered it, and as scripts get it.
    limit: Rlimit,
    memory_locked: bool,
    /// Whether this process may have real-time threads at all.
    allowed: bool,
    /// Whether threads are to be real-time. Once they are not they never are again in this life of the daemon.
    on: AtomicBool,
    /// Why they are not.
    why_not: Mutex<Option<String>>,
}

/// How it stands, for people's scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What the file asks for.
    pub priority: u8,
    /// Whether the daemon's threads have it.
    pub on: bool,
    /// Why they have not.
    pub why_not: Option<String>,
    /// Whether no page that the daemon has used is taken from memory again.
    pub memory_locked: bool,
}

impl Standing {
    /// What is wrong with it, in a sentence.
    pub fn trouble(&self) -> Option<String> {
        let Self {
            priority, why_not, ..
        } = self;
        let why = why_not.as_ref()?;
        Some(format!(
            "realtime-priority {priority} is not in force, and on a busy machine a failover takes longer: {why}"
        ))
    }
}

impl Realtime {
    /// Looks whether threads may be real-time, and prepares the process for it. Warns once of what may not be; the
    /// daemon is an ordinary one then. Before there are threads that it would concern.
    pub fn begin(priority: Priority) -> Self {
        let mut realtime = Self {
            priority,
            limit: getrlimit(Resource::Rttime),
            memory_locked: false,
            allowed: false,
            on: AtomicBool::new(true),
            why_not: Mutex::default(),
        };
        if let Err(why) = realtime.may_be() {
            realtime.give_up(why);
            return realtime;
        }
        realtime.allowed = true;
        // Whoever started the daemon may have given all of it such a class.
        make_ordinary();
        match lock_memory() {
            Ok(()) => realtime.memory_locked = true,
            Err(why) => tracing::warn!(
                "realtime-priority: the daemon's memory is not locked, and where memory is short a failover may wait \
                 for a disk: {why}"
            ),
        }
        realtime
    }

    fn may_be(&self) -> Result<(), String> {
        const NEEDS: &str =
            "it takes CAP_SYS_NICE or LimitRTPRIO=, and a unit without RestrictRealtime=";
        enter(Class::Realtime(self.priority))
            .and_then(|()| enter(Class::Ordinary))
            .map_err(|error| format!("{error}; {NEEDS}"))?;
        self.bound()
            .map_err(|error| format!("the time of a runaway thread cannot be limited: {error}"))
    }

    /// Lowers the limit at which the kernel sends SIGXCPU. The hard one stays, so that no right is needed to give
    /// scripts the old one.
    fn bound(&self) -> io::Result<()> {
        let Rlimit { current, maximum } = self.limit;
        let current = Some(current.map_or(RUNAWAY_US, |us| us.min(RUNAWAY_US)));
        Ok(setrlimit(Resource::Rttime, Rlimit { current, maximum })?)
    }

    /// Makes the calling thread, the reactor's or a spawner's, a real-time one.
    pub fn enter(&self) {
        if !self.allowed {
            return;
        }
        HANDS_ON.set(true);
        if self.is_on()
            && let Err(error) = enter(Class::Realtime(self.priority))
        {
            self.fall_back(error.to_string());
        }
        // Another thread may just have fallen back for all of them, and not have seen this one, which begins as the one
        // that made it was.
        if !self.is_on() {
            leave();
        }
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Whether the calling spawner's child begins as a real-time process. If not, the spawner is ordinary.
    pub fn is_handed_on(&self) -> bool {
        let is_on = self.is_on();
        if !is_on && HANDS_ON.get() {
            // Whoever falls back for all of them may not have come to this one yet.
            leave();
        }
        is_on
    }

    /// Has what is spawned with these attributes be real-time at first, where the calling spawner is.
    pub fn hand_on(&self, attributes: &mut PosixSpawnAttr) -> io::Result<HandedOn> {
        if !self.is_handed_on() {
            return Ok(HandedOn::Nothing);
        }
        begin_below(attributes, self.priority)?;
        Ok(HandedOn::class(self.priority))
    }

    /// The limit on real time that the daemon was started with. A script gets it: its service may have real-time
    /// threads of its own.
    pub fn limit(&self) -> Limit {
        Limit {
            soft: self.limit.current,
            hard: self.limit.maximum,
        }
    }

    /// Gives that limit to a process.
    pub fn give_limit(&self, process: Pid) {
        match prlimit(Some(process), Resource::Rttime, self.limit) {
            // It has ended, or is a set-user-id program, which can raise the limit by itself.
            Ok(_) | Err(Errno::SRCH | Errno::PERM) => {}
            Err(error) => {
                tracing::error!(
                    "process {process:?} keeps the daemon's limit on real time: {error}"
                );
            }
        }
    }

    /// Answers SIGXCPU. A thread that never sleeps keeps others from their work; a daemon that died of it would miss
    /// the failover. So all its threads become ordinary, for good.
    pub fn ran_away(&self) {
        self.fall_back(RAN_AWAY.into());
    }

    fn fall_back(&self, why: String) {
        self.give_up(why);
        make_ordinary();
        // Scripts inherit it from now on; and with each SIGXCPU the kernel has changed it.
        if let Err(error) = setrlimit(Resource::Rttime, self.limit) {
            tracing::warn!("scripts inherit the daemon's limit on real time: {error}");
        }
    }

    fn give_up(&self, why: String) {
        if self.on.swap(false, Ordering::SeqCst) {
            *self.lock() = Some(why);
            if let Some(trouble) = self.standing().trouble() {
                tracing::warn!("{trouble}");
            }
        }
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        let why_not = self.lock().clone();
        Standing {
            priority: self.priority.number(),
            on: self.is_on(),
            why_not,
            memory_locked: self.memory_locked,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.why_not.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a process is spawned with, to be taken from it again. Until this is dropped the spawner stays on its processor.
#[must_use]
#[derive(Debug)]
pub enum HandedOn {
    /// The real-time class, on the spawner's processor.
    Class {
        /// The spawner's own priority.
        above: Priority,
        /// Those that both may run on otherwise; `None`: they have not been kept from these.
        others: Option<CpuSet>,
    },
    /// It is as the daemon's ordinary threads are.
    Nothing,
}

impl HandedOn {
    /// Keeps the calling spawner on its processor, and so its child. The end of the child's exec wakes the spawner
    /// there, which therefore goes on before the child does. Elsewhere it could have to wait (for a processor that
    /// the host has taken away, or the kernel given to starving ordinary threads) while a script is real-time.
    fn class(above: Priority) -> Self {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        let others = sched_getaffinity(None).ok();
        let others = others.filter(|_| sched_setaffinity(None, &here).is_ok());
        Self::Class { above, others }
    }

    /// Makes the process ordinary, the first thing after its exec and before its first instruction.
    pub fn take_back(self, process: Pid) {
        if let Self::Class { others, .. } = &self {
            make_process_ordinary(process);
            free(process, others.as_ref());
        }
    }

    /// Makes the process ordinary once it has come to its first instructions. Until then it would only wait behind all
    /// that keeps the machine busy. What it makes meanwhile is ordinary.
    pub fn take_back_soon(self, process: Pid) {
        if let Self::Class { above, others } = &self {
            if put(process, Class::BelowAlone(*above)).is_ok() {
                free(process, others.as_ref());
                thread::sleep(FIRST_STEPS);
            }
            make_process_ordinary(process);
            free(process, others.as_ref());
        }
    }
}

fn make_process_ordinary(process: Pid) {
    let put = put(process, Class::Ordinary).or_else(|_| put(process, Class::OrdinaryAlone));
    if let Err(error) = put {
        tracing::error!("process {process:?} stays a real-time one: {error}");
    }
}

/// Lets the process run on all processors again.
fn free(process: Pid, others: Option<&CpuSet>) {
    if let Some(others) = others
        && let Err(error) = sched_setaffinity(Some(process), others)
    {
        tracing::error!("process {process:?} stays on one processor: {error}");
    }
}

impl Drop for HandedOn {
    fn drop(&mut self) {
        if let Self::Class {
            others: Some(others),
            ..
        } = self
            && let Err(error) = sched_setaffinity(None, others)
        {
            tracing::error!("a thread of the daemon stays on one processor: {error}");
        }
    }
}

/// Starts a thread that is ordinary, whatever the calling one is. The reactor and the spawners make theirs by it.
pub fn ordinary_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let handed_on = HANDS_ON.get();
    thread::Builder::new().name(name.into()).spawn(move || {
        if handed_on {
            leave();
        }
        body();
    })
}

/// Makes the calling thread ordinary, which every thread may.
fn leave() {
    HANDS_ON.set(false);
    if let Err(error) = enter(Class::Ordinary) {
        tracing::error!("a thread of the daemon stays a real-time one: {error}");
    }
}

/// Keeps what the daemon has used in memory. What it maps later is locked too, but none of it is brought in before it
/// is used (MCL_ONFAULT): stacks and reserves are ten times what an idle daemon needs.
fn lock_memory() -> Result<(), String> {
    // Under a limit the next thread, or the next allocation, would fail some day.
    let capable = Capabilities::own().is_ok_and(|own| own.ipc_lock);
    if !capable && getrlimit(Resource::Memlock).current.is_some() {
        return Err("it takes CAP_IPC_LOCK or LimitMEMLOCK=infinity".into());
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| error.to_string())
}

/// Makes all threads of this process ordinary.
fn make_ordinary() {
    let entries = fs::read_dir("/proc/self/task").into_iter().flatten();
    let threads =
        entries.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    for thread in threads {
        // It may have ended meanwhile; nothing else can keep one from becoming ordinary.
        let _ = put(thread, Class::Ordinary);
    }
}

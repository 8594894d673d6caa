//! In which scheduling class a thread runs, sched(7): ordinary, or real-time with a priority. On whatever thread asks;
//! no call here waits for anything.
//!
//! `realtime.rs` is what the daemon does with it, `calls.rs` the two system interfaces without a safe wrapper.

mod calls;
mod realtime;

use std::io;

use nix::libc::{SCHED_FIFO, SCHED_OTHER, SCHED_RESET_ON_FORK};
use nix::spawn::PosixSpawnAttr;
use rustix::process::Pid;

pub use realtime::{HandedOn, Realtime, Standing, ordinary_thread};

/// A priority in the real-time class, from 2 to 99: the greater goes first.
///
/// Not 1, because a process that is just being made begins one below the thread that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// The lowest.
    pub const MIN: u8 = 2;
    /// The highest.
    pub const MAX: u8 = 99;

    /// `None` where it is out of range.
    pub fn new(number: u32) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (Self::MIN..=Self::MAX)
            .contains(&number)
            .then_some(Self(number))
    }

    /// As a number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// How a thread is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_OTHER`: as all the others are.
    Ordinary,
    /// The same, with the mark of [`Class::BelowAlone`], which only `CAP_SYS_NICE` may take away: nothing that the
    /// thread makes has a negative niceness.
    OrdinaryAlone,
    /// `SCHED_FIFO`: before all ordinary threads. Threads and processes that it makes begin in the same.
    Realtime(Priority),
    /// `SCHED_FIFO`, one below this priority. Threads and processes that it makes are ordinary.
    BelowAlone(Priority),
}

/// Puts the calling thread into a class.
pub fn enter(class: Class) -> io::Result<()> {
    set(None, class)
}

/// Puts a thread into a class; of a process that is its first one.
pub fn put(thread: Pid, class: Class) -> io::Result<()> {
    set(Some(thread), class)
}

fn set(thread: Option<Pid>, class: Class) -> io::Result<()> {
    let (policy, priority) = match class {
        Class::Ordinary => (SCHED_OTHER, 0),
        Class::OrdinaryAlone => (SCHED_OTHER | SCHED_RESET_ON_FORK, 0),
        Class::Realtime(priority) => (SCHED_FIFO, priority.0),
        Class::BelowAlone(priority) => (SCHED_FIFO | SCHED_RESET_ON_FORK, priority.0 - 1),
    };
    calls::set_scheduler(thread, policy, priority)
}

/// Has a process that a real-time thread of this priority spawns begin one below it.
///
/// posix_spawn(3) suspends the thread until the exec. At the same priority it would then have to wait for a processor:
/// where there is but one, until the program first sleeps, and whatever that has started by then would be real-time for
/// good. Above its child it goes on at once.
pub fn begin_below(attributes: &mut PosixSpawnAttr, priority: Priority) -> io::Result<()> {
    calls::set_spawned(attributes, SCHED_FIFO, priority.0 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_has_one_below_it() {
        let number = |number| Priority::new(number).map(Priority::number);
        assert_eq!([number(1), number(2)], [None, Some(2)]);
        assert_eq!([number(99), number(100)], [Some(99), None]);
        assert_eq!([number(0), number(258)], [None, None]);
    }
}

//! A contestant's process, in a process group of its own that ends with its owner.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};

use super::clock::{MS, now_ns};

/// How long a process may take to end after SIGTERM. keepalived takes more than a second.
const END_DEADLINE_MS: u64 = 10_000;

/// A running process group.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).spawn();
        Ok(Self {
            child: child.with_context(|| format!("cannot start {command:?}"))?,
        })
    }

    /// The number of its first process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its first process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A group that is gone already needs no signal.
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = now_ns() + END_DEADLINE_MS * MS;
        while !self.ended() {
            if now_ns() > deadline {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

//! A Python process that does what no safe call here can, and undoes it by its end.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::wait::wait_until;
use crate::world::{PATIENCE, World};

/// What the process has done holds until this is dropped.
pub(crate) struct Held(Child);

impl Held {
    /// Runs the script, which makes the file of its first argument, `done`, and then reads its stdin to the end.
    pub(crate) fn by(
        world: &World,
        script: &str,
        done: &str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Self {
        let mut holder = Command::new("python3")
            .args(["-c", script])
            .arg(world.path(done))
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("run python3");
        wait_until(
            PATIENCE,
            || {
                assert!(
                    holder.try_wait().unwrap().is_none(),
                    "the script has failed"
                );
                world.exists(done)
            },
            || format!("never {done}"),
        );
        Self(holder)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// One thread of a daemon stopped, as a tracer does it (`PTRACE_SEIZE`, `PTRACE_INTERRUPT`), until this is dropped.
/// The tracer is a Python process, whose end lets the thread go on.
pub(crate) struct Freeze {
    _held: Held,
}

impl Freeze {
    /// The thread of this name.
    pub(crate) fn find(pid: u32, name: &str) -> Option<PathBuf> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let is_it = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        tasks.flatten().map(|task| task.path()).find(is_it)
    }

    pub(crate) fn of_thread(world: &World, pid: u32, name: &str) -> Self {
        let task = Self::find(pid, name).expect("a thread of that name");
        let script = "import ctypes, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n\
                      for request in (0x4206, 0x4207):\n    \
                      if libc.ptrace(request, int(sys.argv[2]), None, None): sys.exit(ctypes.get_errno())\n\
                      open(sys.argv[1], 'w').close()\nsys.stdin.read()\n";
        let task = task.file_name().unwrap().to_owned();
        Self {
            _held: Held::by(world, script, "frozen", [task]),
        }
    }
}

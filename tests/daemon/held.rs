//! A Python process that does what no safe call here can, and undoes it by its end.

use std::ffi::OsString;
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

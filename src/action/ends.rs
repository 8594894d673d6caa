//! The end of one process, as a future that the executor polls on the reactor thread: `pidfd_open(2)` makes it an
//! event like any other, so there is no SIGCHLD handler, and no polling unless descriptors are scarce.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::process::{Kinship, take_exit};
use crate::kill_points;
use crate::machine::job::{Exit, JobId};

/// Between two looks at a process for which there is no pidfd.
const UNWATCHED_STEP: Duration = Duration::from_millis(100);

/// See [`end_of`].
pub(super) type EndOfProcess = Pin<Box<dyn Future<Output = (JobId, Exit)> + Send>>;

/// Hands a pidfd to the runtime; `None` where it cannot take more.
#[expect(
    deprecated,
    reason = "its successor is unsafe for descriptors that may be closed or changed meanwhile; an Arc<OwnedFd> \
              owns one descriptor for as long as the AsyncFd lives"
)]
pub(super) fn register(pidfd: Arc<OwnedFd>) -> Option<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE).ok()
}

/// Pends until the process has ended; reaps it if it is a child. It may be dropped at any point before that.
pub(super) async fn end_of(
    job: JobId,
    pid: Pid,
    pidfd: Option<AsyncFd<Arc<OwnedFd>>>,
    kinship: Kinship,
) -> (JobId, Exit) {
    loop {
        match &pidfd {
            Some(pidfd) => match pidfd.readable().await {
                Ok(mut ready) => match kinship {
                    Kinship::Stranger => return (job, Exit::Unseen),
                    Kinship::Child => ready.clear_ready(),
                },
                // Only when the runtime itself is ending.
                Err(_) => sleep(UNWATCHED_STEP).await,
            },
            None => sleep(UNWATCHED_STEP).await,
        }
        if let Some(exit) = take_exit(pid, kinship) {
            kill_points::pass("process", "reaped");
            return (job, exit);
        }
    }
}

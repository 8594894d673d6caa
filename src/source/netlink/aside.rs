//! A dump on a thread of its own. The kernel serves some dumps under its configuration lock (`rtnl_lock`,
//! net/core/rtnetlink.c), inside the system call that asks or reads, where no flag keeps a caller from waiting:
//! while somebody else holds the lock, the reactor has timeouts to keep and processes to hear of.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dump::{DUMP_DEADLINE, dump};
use super::error::NetlinkError;
use super::watched::Watched;
use crate::machine::kernel::KernelDump;
use crate::scheduling::ordinary_thread;

/// Threads that may be in a dump at once. One is usual; more are ones that hang in the kernel. With all of them
/// hanging a dump fails at once, and is tried again later.
const THREADS_MAX: u32 = 4;

/// How much longer than a dump may take its thread is waited for.
const MARGIN: Duration = Duration::from_millis(500);

static THREADS: AtomicU32 = AtomicU32::new(0);

/// As [`dump`], but no system call of it is made on the calling thread.
///
/// # Errors
///
/// Those of [`dump`]; [`NetlinkError::Deadline`] also where the kernel keeps the thread waiting longer than
/// that, or already keeps four of them.
pub async fn dump_aside(watched: Watched) -> Result<KernelDump, NetlinkError> {
    if THREADS.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
        THREADS.fetch_sub(1, Ordering::Relaxed);
        return Err(NetlinkError::Deadline {
            deadline: DUMP_DEADLINE,
        });
    }
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        // Whoever asked may have given up.
        let _ = sender.send(dump_here(&watched));
        THREADS.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = ordinary_thread("dump", body) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
        return Err(NetlinkError::socket("start a thread for a netlink dump")(
            error,
        ));
    }
    match timeout(DUMP_DEADLINE + MARGIN, receiver).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(NetlinkError::Deadline {
            deadline: DUMP_DEADLINE,
        }),
    }
}

fn dump_here(watched: &Watched) -> Result<KernelDump, NetlinkError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let failed =
        |error: io::Error| NetlinkError::socket("make a runtime for a netlink dump")(error);
    runtime.map_err(failed)?.block_on(dump(watched))
}

//! Private network namespaces: each contestant lives in one of its own, where nobody else's addresses change.
//! Needs root, or a kernel that lets everybody make user namespaces. Leaves nothing behind: a namespace ends
//! with the last process and socket in it.

use std::process::Command;
use std::{fs, panic, thread};

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

/// Gives this process the right to make network namespaces. Must be called before it has a second thread.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER)
        .context("cannot make a user namespace: run the bench as root")?;
    let write = |file: &str, text: String| {
        fs::write(file, text).with_context(|| format!("cannot write {file}"))
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
    write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))
}

/// Runs `body` on a thread in a new network namespace whose loopback is up. The sockets that it opens and the
/// processes that it starts stay there; what it returns can be used from any thread.
pub(crate) fn inside<T: Send>(
    body: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let enter = || {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            ip("link set lo up")?;
            body()
        };
        scope
            .spawn(enter)
            .join()
            .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

/// Runs `ip` of iproute2 with these arguments in the namespace of the calling thread.
pub(crate) fn ip(arguments: &str) -> anyhow::Result<()> {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status()
        .context("cannot run ip of iproute2")?;
    ensure!(status.success(), "ip {arguments} failed with {status}");
    Ok(())
}

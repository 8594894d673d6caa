//! The calls of the C library for which neither rustix nor nix has a wrapper, and nothing beside them: the only unsafe
//! code of keepstart. What the real-time class is worth was measured: `cargo bench --bench numbers -- pressure`.

#![expect(
    unsafe_code,
    reason = "sched_setscheduler(2) and the scheduling attributes of posix_spawn(3) have no safe wrapper"
)]

use std::io;
use std::ptr;

use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFlags};
use rustix::process::Pid;

/// Sets policy and priority of a thread; `None`: of the calling one.
pub(super) fn set_scheduler(thread: Option<Pid>, policy: i32, priority: u8) -> io::Result<()> {
    let parameters = parameters(priority);
    let thread = thread.map_or(0, |thread| thread.as_raw_nonzero().get());
    // SAFETY: the pointer is to a local that lives until the call has returned, and the kernel only reads it. The call
    // changes no memory of this process.
    let failed = unsafe { libc::sched_setscheduler(thread, policy, &raw const parameters) };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has what is spawned with these attributes take a policy and a priority before its exec.
pub(super) fn set_spawned(
    attributes: &mut PosixSpawnAttr,
    policy: i32,
    priority: u8,
) -> io::Result<()> {
    let scheduler = PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSCHEDULER);
    attributes.set_flags(attributes.flags()? | scheduler)?;
    let parameters = parameters(priority);
    let attributes: *mut libc::posix_spawnattr_t = ptr::from_mut(attributes).cast();
    // SAFETY: a `PosixSpawnAttr` is a `posix_spawnattr_t` and nothing else (`repr(transparent)`), initialized by each
    // of its constructors, and borrowed for this function alone. Both calls write into it only; the second reads a
    // local that lives until it has returned, and copies it.
    let failed = unsafe {
        [
            libc::posix_spawnattr_setschedpolicy(attributes, policy),
            libc::posix_spawnattr_setschedparam(attributes, &raw const parameters),
        ]
    };
    // They give back the error itself.
    match failed.into_iter().find(|error| *error != 0) {
        None => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error)),
    }
}

fn parameters(priority: u8) -> libc::sched_param {
    libc::sched_param {
        sched_priority: priority.into(),
    }
}

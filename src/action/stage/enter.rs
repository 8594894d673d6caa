//! What the stage does: the whole program of a process that is about to become an action. Runs on the only thread of
//! that process, before anything else of keepstart's; never in the daemon.

use std::convert::Infallible;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, PipeWriter, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::ExitCode;
use std::sync::Arc;

use nix::unistd::{Gid, Uid, execve, setgid, setgroups, setuid};
use rustix::fs::{FileType, Mode, fchmod, fstat};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{
    Resource as Kernel, Rlimit, chdir, getegid, geteuid, setpriority_process, setrlimit, umask,
};
use rustix::stdio::{dup2_stdin, stdout};
use signal_hook::consts::SIGPIPE;

use super::{BEGINS, NAME, Orders, PACKED, Report, Step};
use crate::action::launch::{SHELL, is_here};
use crate::machine::process::{Limit, Resource};
use crate::scheduling::{Class, enter};

/// How the stage ends where it fails: not 1, which would be an answer of is-running.
const FAILED: u8 = 126;

/// Becomes an action, if this process was executed for that; `None`: it was not. Comes back from the former only with
/// a failure, which the daemon has been told.
pub fn staged(words: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut words = words.into_iter();
    if words.next()? != NAME {
        return None;
    }
    if let Ok(mut pipe) = open_pipe() {
        let Err((step, errno)) = try_to(words, &mut pipe);
        let errno = errno.raw_os_error();
        let written = serde_json::to_vec(&Report { step, errno }).unwrap_or_default();
        // A daemon that has ended is not told, and its successor finds no process.
        let _ = pipe.write_all(&written);
    }
    Some(ExitCode::from(FAILED))
}

/// Makes the pipe whose end says that the action has begun, and sends the daemon the end to read, through stdin. That
/// comes last: from then on the daemon waits for the pipe alone.
fn open_pipe() -> io::Result<PipeWriter> {
    // The standard library has this signal ignored, which an exec hands on; what is caught, it sets right.
    signal_hook::flag::register(SIGPIPE, Arc::default())?;
    let (reader, writer) = io::pipe()?;
    let door = io::stdin().as_fd().try_clone_to_owned()?;
    // What the action gets for its input.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let rights = [reader.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&rights));
    sendmsg(
        &door,
        &[IoSlice::new(b".")],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(writer)
}

/// Comes back only with what failed.
fn try_to(
    mut words: impl Iterator<Item = OsString>,
    pipe: &mut PipeWriter,
) -> Result<Infallible, (Step, Errno)> {
    let bad = || (Step::Orders, Errno::INVAL);
    let orders = words.next().ok_or_else(bad)?;
    let orders: Orders = serde_json::from_slice(orders.as_bytes()).map_err(|_| bad())?;
    let words: Result<Vec<CString>, _> = words.map(in_c).collect();
    let words = words.map_err(|_| bad())?;
    let program = words.first().ok_or_else(bad)?;
    let variables = variables().map_err(|_| bad())?;
    if let Some(limit) = orders.realtime {
        // The daemon does so too, and says where it cannot; once this is another user, it may not.
        let _ = enter(Class::Ordinary);
        let set = setrlimit(Kernel::Rttime, rlimit(limit));
        set.map_err(|errno| (Step::Limit(Resource::Rttime), errno))?;
    }
    // As long as it may: a limit can be raised, and others be overtaken, by root only.
    for (resource, limit) in &orders.limits {
        let set = setrlimit(in_kernel(*resource), rlimit(*limit));
        set.map_err(|errno| (Step::Limit(*resource), errno))?;
    }
    if let Some(nice) = orders.nice {
        setpriority_process(None, nice).map_err(|errno| (Step::Nice, errno))?;
    }
    if let Some(mask) = orders.umask {
        umask(Mode::from_raw_mode(mask));
    }
    if orders.uid.is_some() {
        let_reopen_output();
    }
    // It is looked at here and not by the daemon, because a process that waits for a file server can be killed. Who may
    // not enter the workspace is in it all the same, as every action is.
    let directory = orders.directory.as_deref();
    let directory = directory.filter(|directory| !is_here(directory));
    become_user(&orders)?;
    if let Some(directory) = directory {
        chdir(directory).map_err(|errno| (Step::Directory, errno))?;
    }
    // A daemon that has ended, or had no descriptor free, does not read it.
    let _ = pipe.write_all(BEGINS);
    let Err(mut error) = execve(program, &words, &variables);
    if orders.by_shell && error == nix::Error::ENOEXEC {
        let shell = in_c(SHELL.into()).map_err(|_| bad())?;
        let words = [std::slice::from_ref(&shell), &words].concat();
        Err(error) = execve(&shell, &words, &variables);
    }
    Err((Step::Exec, Errno::from_raw_os_error(error as i32)))
}

/// Lets the user open `/dev/stderr` and `/dev/stdout`, which is to open the output file anew. Nobody else comes by it,
/// because its directory is the daemon's alone, and the daemon stays its owner. It may be `/dev/null` instead, and
/// without this the action can still do what most do, write.
fn let_reopen_output() {
    let output = stdout();
    if fstat(output).is_ok_and(|is| FileType::from_raw_mode(is.st_mode) == FileType::RegularFile) {
        let _ = fchmod(output, Mode::from_raw_mode(0o622));
    }
}

/// Once it is another user it can do none of the rest, so that comes last. Who is that user already needs no right.
fn become_user(orders: &Orders) -> Result<(), (Step, Errno)> {
    let failed = |step| move |error: nix::Error| (step, Errno::from_raw_os_error(error as i32));
    let is_root = geteuid().is_root();
    let is_already = |uid: u32, gid: u32| (geteuid().as_raw(), getegid().as_raw()) == (uid, gid);
    let (uid, gid) = (orders.uid.unwrap_or_else(|| geteuid().as_raw()), orders.gid);
    if !is_root && is_already(uid, gid.unwrap_or_else(|| getegid().as_raw())) {
        return Ok(());
    }
    if let Some(groups) = &orders.groups {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(failed(Step::Groups))?;
    }
    if let Some(gid) = gid {
        setgid(Gid::from_raw(gid)).map_err(failed(Step::Group))?;
    }
    if orders.uid.is_some() {
        setuid(Uid::from_raw(uid)).map_err(failed(Step::User))?;
    }
    Ok(())
}

/// The action's environment: keepstart's own variables, and what is packed.
fn variables() -> Result<Vec<CString>, NulError> {
    let variables = std::env::vars_os().map(|(name, value)| {
        if name == PACKED {
            return in_c(value);
        }
        in_c([name, value].join(OsStr::new("=")))
    });
    variables.collect()
}

fn in_c(text: OsString) -> Result<CString, NulError> {
    CString::new(text.into_vec())
}

fn rlimit(limit: Limit) -> Rlimit {
    Rlimit {
        current: limit.soft,
        maximum: limit.hard,
    }
}

fn in_kernel(resource: Resource) -> rustix::process::Resource {
    match resource {
        Resource::As => Kernel::As,
        Resource::Core => Kernel::Core,
        Resource::Cpu => Kernel::Cpu,
        Resource::Data => Kernel::Data,
        Resource::Fsize => Kernel::Fsize,
        Resource::Locks => Kernel::Locks,
        Resource::Memlock => Kernel::Memlock,
        Resource::Msgqueue => Kernel::Msgqueue,
        Resource::Nice => Kernel::Nice,
        Resource::Nofile => Kernel::Nofile,
        Resource::Nproc => Kernel::Nproc,
        Resource::Rss => Kernel::Rss,
        Resource::Rtprio => Kernel::Rtprio,
        Resource::Rttime => Kernel::Rttime,
        Resource::Sigpending => Kernel::Sigpending,
        Resource::Stack => Kernel::Stack,
    }
}

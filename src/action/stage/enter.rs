//! What the stage does: the whole program of a process that is about to become an action. Runs on the only thread of
//! that process, before anything else of keepstart's; never in the daemon.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, PipeWriter, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Rlimit, chdir, getegid, geteuid, setpriority_process, setrlimit, umask};
use rustix::stdio::dup2_stdin;

use super::{NAME, Orders, Report, Step};
use crate::action::launch::SHELL;
use crate::machine::process::{Limit, Resource};

/// Becomes an action, if this process was executed for that; `None`: it was not. Comes back from the former only with
/// a failure, which the daemon has been told.
pub fn staged(words: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut words = words.into_iter();
    if words.next()? != NAME {
        return None;
    }
    if let Ok(mut pipe) = open_pipe() {
        let report = become_action(words);
        let written = serde_json::to_vec(&report).unwrap_or_default();
        // A daemon that has ended is not told, and its successor finds no process.
        let _ = pipe.write_all(&written);
    }
    Some(ExitCode::FAILURE)
}

/// Makes the pipe whose end says that the action has begun, and sends the daemon the end to read, through stdin.
fn open_pipe() -> io::Result<PipeWriter> {
    let (reader, writer) = io::pipe()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let rights = [reader.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&rights));
    let door = io::stdin();
    sendmsg(
        &door,
        &[IoSlice::new(b".")],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    // What the action gets for its input; the door is closed with it.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    Ok(writer)
}

/// Comes back only with what failed.
fn become_action(words: impl Iterator<Item = OsString>) -> Report {
    let Err((step, errno)) = try_to(words);
    let errno = errno.raw_os_error();
    Report { step, errno }
}

fn try_to(
    mut words: impl Iterator<Item = OsString>,
) -> Result<std::convert::Infallible, (Step, Errno)> {
    let bad = || (Step::Orders, Errno::INVAL);
    let orders = words.next().ok_or_else(bad)?;
    let orders: Orders = serde_json::from_slice(orders.as_bytes()).map_err(|_| bad())?;
    let variables: Vec<OsString> = words.by_ref().take(orders.variables).collect();
    let program = words.next().ok_or_else(bad)?;
    let arguments: Vec<OsString> = words.collect();
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
    become_user(&orders)?;
    if let Some(directory) = &orders.directory {
        chdir(directory).map_err(|errno| (Step::Directory, errno))?;
    }
    let mut error = execute(&program, &arguments, &variables);
    if orders.by_shell && error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) {
        let words: Vec<OsString> = std::iter::once(program).chain(arguments).collect();
        error = execute(OsStr::new(SHELL), &words, &variables);
    }
    Err((Step::Exec, errno_of(&error)))
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

/// Comes back only with an error. The standard library puts the signals right, which it has changed itself when this
/// process began.
fn execute(program: &OsStr, arguments: &[OsString], variables: &[OsString]) -> io::Error {
    let pair = |variable: &OsString| {
        let bytes = variable.as_bytes();
        let end = bytes.iter().position(|&byte| byte == b'=')?;
        let (name, value) = bytes.split_at_checked(end)?;
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        Some((text(name), text(value.get(1..)?)))
    };
    Command::new(Path::new(program))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().filter_map(pair))
        .exec()
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn rlimit(limit: Limit) -> Rlimit {
    Rlimit {
        current: limit.soft,
        maximum: limit.hard,
    }
}

fn in_kernel(resource: Resource) -> rustix::process::Resource {
    use rustix::process::Resource as Kernel;
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

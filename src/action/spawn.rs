//! The call that makes a process: program, words, environment and streams in, a process number out. Runs on a
//! spawner thread; posix_spawn(3) suspends its caller until the exec, and no process copies the daemon's memory.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::environment::Block;
use super::process::to_pid;
use crate::scheduling::{HandedOn, Realtime};

/// Where a process reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Streams<'a> {
    /// Its stdin.
    pub(super) input: &'a File,
    /// Its stdout and stderr.
    pub(super) output: &'a File,
}

/// Makes a process that leads a group of its own; gives back its number. It is ordinary, also where the calling thread
/// is real-time; that has no `directory` then.
///
/// `program` has a slash: it is not looked for in `PATH`. The error is that of the exec, or of the directory.
pub(super) fn spawn(
    program: &Path,
    arguments: &[OsString],
    environment: &Block<'_>,
    directory: Option<&Path>,
    streams: Streams<'_>,
    realtime: Option<&Realtime>,
) -> io::Result<u32> {
    match directory {
        None => spawn_here(program, arguments, environment, streams, realtime),
        Some(directory) => spawn_in(directory, program, arguments, environment, streams),
    }
}

/// The way of a failover: it copies no descriptor and sorts no environment, which together take the standard
/// library a tenth of the time from the address change to the hook.
fn spawn_here(
    program: &Path,
    arguments: &[OsString],
    environment: &Block<'_>,
    streams: Streams<'_>,
    realtime: Option<&Realtime>,
) -> io::Result<u32> {
    let mut words = vec![CString::new(program.as_os_str().as_bytes())?];
    for argument in arguments {
        words.push(CString::new(argument.as_bytes())?);
    }
    let variables = environment.variables();
    let (number, handed_on) = spawn_words(program, &words, variables, streams, realtime)?;
    if let (Some(realtime), Some(pid)) = (realtime, to_pid(number)) {
        realtime.give_limit(pid);
        handed_on.take_back_soon(pid);
    }
    Ok(number)
}

/// Spawns a program with the words and variables that are its own; gives back its number, and what is to be taken back
/// of it. Its limit on real time is the daemon's.
pub(super) fn spawn_words<V: AsRef<CStr>>(
    program: &Path,
    words: &[CString],
    variables: &[V],
    streams: Streams<'_>,
    realtime: Option<&Realtime>,
) -> io::Result<(u32, HandedOn)> {
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(streams.input.as_raw_fd(), 0)?;
    actions.add_dup2(streams.output.as_raw_fd(), 1)?;
    actions.add_dup2(streams.output.as_raw_fd(), 2)?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    // Whatever this process ignores, a script begins with every signal as it is by default.
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    let handed_on = match realtime {
        Some(realtime) => realtime.hand_on(&mut attributes)?,
        None => HandedOn::Nothing,
    };
    let number = posix_spawn(program, &actions, &attributes, words, variables)?;
    Ok((number.as_raw().cast_unsigned(), handed_on))
}

/// The same with a working directory, which only the standard library can ask of posix_spawn(3) safely. From an
/// ordinary thread only: it cannot ask for a class as well.
fn spawn_in(
    directory: &Path,
    program: &Path,
    arguments: &[OsString],
    environment: &Block<'_>,
    streams: Streams<'_>,
) -> io::Result<u32> {
    let pair = |variable: &CStr| {
        let bytes = variable.to_bytes();
        let end = bytes.iter().position(|&byte| byte == b'=')?;
        let (name, value) = bytes.split_at_checked(end)?;
        let value = value.get(1..)?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(name), text(value)))
    };
    let variables = environment.variables().iter();
    let child = process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(variables.filter_map(|variable| pair(variable)))
        .current_dir(directory)
        .process_group(0)
        .stdin(streams.input.try_clone()?)
        .stdout(streams.output.try_clone()?)
        .stderr(streams.output.try_clone()?)
        .spawn()?;
    // The executor reaps it; dropped, a child runs on.
    Ok(child.id())
}

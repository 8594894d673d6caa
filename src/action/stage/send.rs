//! The daemon's half of the stage: makes it, tells it what to become, and waits until it has or cannot. Runs on a
//! spawner thread, which waits for the action's exec as it does for one without a stage.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::process::{WaitOptions, waitpid};

use super::{NAME, Orders, Report, Staged, Step};
use crate::action::environment::Block;
use crate::action::process::{open_pidfd, to_pid};
use crate::action::spawn::{Streams, spawn_words};

/// This program, also when the file has been replaced by a newer one meanwhile.
const SELF: &str = "/proc/self/exe";

/// What the daemon's own variables begin with; the others are the action's alone.
const OWN: &[u8] = b"KEEPSTART_";

/// The longest report.
const REPORT_BYTES_MAX: u64 = 4096;

/// Why there is no action.
#[derive(Debug)]
pub(in crate::action) enum StageError {
    /// The stage could not be made.
    NoStage(io::Error),
    /// A step of it failed.
    Failed(Step, io::Error),
    /// It ended without a word.
    Silent,
}

/// Makes a process that leads a group of its own and becomes the action; gives back its number when it has.
pub(in crate::action) fn spawn_staged(
    staged: Staged<'_>,
    environment: &Block<'_>,
    output: &File,
) -> Result<u32, StageError> {
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    );
    let (ours, theirs) = pair.map_err(|errno| StageError::NoStage(errno.into()))?;
    let door = File::from(theirs);
    let streams = Streams {
        input: &door,
        output,
    };
    let words = words(staged, environment).map_err(StageError::NoStage)?;
    let variables = environment.variables().iter();
    let own: Vec<_> = variables
        .filter(|variable| variable.to_bytes().starts_with(OWN))
        .collect();
    let pid = spawn_words(Path::new(SELF), &words, &own, streams).map_err(StageError::NoStage)?;
    drop(door);
    match begun(pid, &ours) {
        Ok(()) => Ok(pid),
        Err(error) => {
            // It ends at once, and nobody else knows of it.
            if let Some(pid) = to_pid(pid) {
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
            Err(error)
        }
    }
}

/// The stage's words: its name, its orders, the variables, the program, the arguments.
fn words(staged: Staged<'_>, environment: &Block<'_>) -> io::Result<Vec<CString>> {
    let variables = environment.variables();
    let orders = Orders {
        directory: staged.directory.map(Path::to_path_buf),
        by_shell: staged.by_shell,
        variables: variables.len(),
        ..Orders::of(staged.process)
    };
    let mut words = vec![
        CString::new(NAME)?,
        CString::new(serde_json::to_vec(&orders)?)?,
    ];
    words.extend(
        variables
            .iter()
            .map(|variable| variable.clone().into_owned()),
    );
    words.push(CString::new(staged.program.as_os_str().as_bytes())?);
    for argument in staged.arguments {
        words.push(CString::new(argument.as_bytes())?);
    }
    Ok(words)
}

/// Waits until the process is the action, for as long as that takes.
fn begun(pid: u32, door: &OwnedFd) -> Result<(), StageError> {
    // Without a pidfd (EMFILE) the death of a stage that has not yet said anything is seen when the door closes.
    let pidfd = open_pidfd(pid);
    let mut polled = vec![PollFd::new(door, PollFlags::IN)];
    polled.extend(
        pidfd
            .as_ref()
            .map(|pidfd| PollFd::new(pidfd, PollFlags::IN)),
    );
    loop {
        match poll(&mut polled, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(StageError::NoStage(errno.into())),
        }
    }
    let mut report = Vec::new();
    let pipe = File::from(receive(door).ok_or(StageError::Silent)?);
    let read = pipe.take(REPORT_BYTES_MAX).read_to_end(&mut report);
    read.map_err(StageError::NoStage)?;
    if report.is_empty() {
        return Ok(());
    }
    let Report { step, errno } = serde_json::from_slice(&report).map_err(|_| StageError::Silent)?;
    Err(StageError::Failed(
        step,
        io::Error::from_raw_os_error(errno),
    ))
}

/// The pipe that the stage has sent; `None`: it has ended before.
fn receive(door: impl AsFd) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(
        door,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        flags,
    )
    .ok()?;
    let mut descriptors = ancillary.drain().filter_map(|message| {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            descriptors.next()
        } else {
            None
        }
    });
    descriptors.next()
}

//! The daemon's half of the stage: makes it, tells it what to become, and waits until it has or cannot. Runs on a
//! spawner thread, which waits for the action's exec as it does for one without a stage.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};

use super::{BEGINS, NAME, Orders, PACKED, Report, Staged, Step};
use crate::action::environment::Block;
use crate::action::process::{open_pidfd, to_pid};
use crate::action::spawn::{Streams, spawn_words};
use crate::kill_points;
use crate::scheduling::Realtime;

/// This program, also when the file has been replaced by a newer one meanwhile.
const SELF: &str = "/proc/self/exe";

/// What the daemon's own variables begin with; the others are the action's alone.
const OWN: &[u8] = b"KEEPSTART_";

/// The longest report.
const REPORT_BYTES_MAX: u64 = 4096;

/// The time between two looks at a stage whose end nothing tells of.
const LOOK_STEP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Why there is no action.
#[derive(Debug)]
pub(in crate::action) enum StageError {
    /// The stage could not be made.
    NoStage(io::Error),
    /// A step of it failed.
    Failed(Step, io::Error),
    /// It ended without a word; by this signal, if it was one.
    Died(Option<i32>),
}

/// Makes a process that leads a group of its own and becomes the action; gives back its number when it has. `born` is
/// told the number as soon as there is a process, and `dying` before that number can be another's again.
pub(in crate::action) fn spawn_staged(
    staged: Staged<'_>,
    environment: &Block<'_>,
    output: &File,
    born: impl FnOnce(u32),
    dying: impl FnOnce(),
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
    let words = words(staged).map_err(StageError::NoStage)?;
    let variables = packed(environment).map_err(StageError::NoStage)?;
    let (number, handed_on) = spawn_words(
        Path::new(SELF),
        &words,
        &variables,
        streams,
        staged.realtime,
    )
    .map_err(StageError::NoStage)?;
    kill_points::pass("stage", "made");
    drop(door);
    // A pid of the kernel always is a positive i32.
    let Some(pid) = to_pid(number) else {
        return Err(StageError::Died(None));
    };
    handed_on.take_back(pid);
    born(number);
    kill_points::pass("stage", "told");
    let Err(error) = begun(pid, &ours) else {
        kill_points::pass("stage", "begun");
        return Ok(number);
    };
    dying();
    // Whatever it is doing: nobody else will know of it.
    let _ = kill_process(pid, Signal::KILL);
    let status = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
    let status = status.ok().flatten();
    Err(match error {
        StageError::Died(_) => {
            StageError::Died(status.and_then(|(_, status)| status.terminating_signal()))
        }
        other @ (StageError::NoStage(_) | StageError::Failed(..)) => other,
    })
}

/// What the stage has in its environment: keepstart's own variables as they are, the others each as the value of
/// [`PACKED`].
fn packed<'a>(environment: &'a Block<'_>) -> io::Result<Vec<Cow<'a, CStr>>> {
    let variables = environment.variables().iter();
    let pack = |variable: &'a Cow<'_, CStr>| {
        let bytes = variable.to_bytes();
        if bytes.starts_with(OWN) {
            return Ok(Cow::Borrowed(variable.as_ref()));
        }
        let packed = [PACKED.as_bytes(), b"=", bytes].concat();
        Ok(Cow::Owned(CString::new(packed)?))
    };
    variables.map(pack).collect()
}

/// The stage's words: its name, its orders, the program, the arguments.
fn words(staged: Staged<'_>) -> io::Result<Vec<CString>> {
    let orders = Orders {
        directory: staged.directory.map(Path::to_path_buf),
        by_shell: staged.by_shell,
        realtime: staged.realtime.map(Realtime::limit),
        ..Orders::of(staged.process)
    };
    let mut words = vec![
        CString::new(NAME)?,
        CString::new(serde_json::to_vec(&orders)?)?,
        CString::new(staged.program.as_os_str().as_bytes())?,
    ];
    for argument in staged.arguments {
        words.push(CString::new(argument.as_bytes())?);
    }
    Ok(words)
}

/// Waits until the process is the action, for as long as that takes; whoever does not want to wait ends the process.
fn begun(pid: Pid, door: &OwnedFd) -> Result<(), StageError> {
    wait_for_word(pid, door).map_err(|errno| StageError::NoStage(errno.into()))?;
    let pipe = match receive(door) {
        Sent::Pipe(pipe) => File::from(pipe),
        Sent::PipeLost => return Ok(()),
        Sent::Nothing => return Err(StageError::Died(None)),
    };
    let mut told = Vec::new();
    let read = pipe.take(REPORT_BYTES_MAX).read_to_end(&mut told);
    read.map_err(StageError::NoStage)?;
    let report = match told.strip_prefix(BEGINS) {
        Some([]) => return Ok(()),
        Some(report) => report,
        None => &told,
    };
    let Report { step, errno } =
        serde_json::from_slice(report).map_err(|_| StageError::Died(None))?;
    Err(StageError::Failed(
        step,
        io::Error::from_raw_os_error(errno),
    ))
}

/// Waits until the stage has sent its pipe or has ended. The door alone does not tell of the latter: a child that
/// hangs in its own exec may hold a copy of the other side.
fn wait_for_word(pid: Pid, door: &OwnedFd) -> Result<(), Errno> {
    // Closed again before the pipe comes, which then finds a descriptor free.
    let number = pid.as_raw_nonzero().get().cast_unsigned();
    let pidfd = open_pidfd(number);
    let mut polled = vec![PollFd::new(door, PollFlags::IN)];
    polled.extend(
        pidfd
            .as_ref()
            .map(|pidfd| PollFd::new(pidfd, PollFlags::IN)),
    );
    // Without a pidfd (EMFILE) nothing tells of its end, so that is asked for.
    let step = pidfd.is_none().then_some(LOOK_STEP);
    loop {
        match poll(&mut polled, step.as_ref()) {
            Ok(0) if has_died(pid) => return Ok(()),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether a child has ended; it stays to be reaped.
fn has_died(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// What has come through the door.
enum Sent {
    Pipe(OwnedFd),
    /// The stage has sent it, and this process had no descriptor free (EMFILE). What becomes of the stage is seen as
    /// the end of the action only.
    PipeLost,
    /// The stage has ended before.
    Nothing,
}

fn receive(door: impl AsFd) -> Sent {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(
        door,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        flags,
    );
    if !received.is_ok_and(|message| message.bytes > 0) {
        return Sent::Nothing;
    }
    let mut descriptors = ancillary.drain().filter_map(|message| {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            descriptors.next()
        } else {
            None
        }
    });
    descriptors.next().map_or(Sent::PipeLost, Sent::Pipe)
}

//! The stage between the daemon and an action whose process is to be something else than the daemon's child: another
//! user, other limits. It is this program once more, executed under [`NAME`], which becomes what it is told to and
//! then executes the action in its own place. So nothing is done between a fork and an exec of a process with threads,
//! and what has to be asked, allocated and reported can be.
//!
//! ```text
//!   spawner thread                         the stage (enter.rs)
//!   posix_spawn /proc/self/exe ──────────▶ takes a pipe of its own; sends the daemon the end to read,
//!                                          through its stdin
//!   waits for the end of that pipe ◀────── class, limits, nice, umask, groups, user, directory
//!                                          "!" and exec, which closes the pipe; or writes what failed
//! ```
//!
//! The pipe is made by the stage and not by the daemon, because other threads of the daemon spawn at the same time:
//! their children have copies of all descriptors until they exec, and one whose exec hangs would keep this pipe open.
//!
//! An end of the pipe with nothing in it is the stage's own death, not the action's. Where the daemon has no descriptor
//! left for the pipe, the process counts as the action from then on.
//!
//! In the stage's environment keepstart's own variables stand as they are, so that a later daemon finds the process by
//! `KEEPSTART_JOB` at each moment. All others are packed ([`PACKED`]): what the file says for the action may be meant
//! for somebody else's libraries (`LD_LIBRARY_PATH`), which root's stage must not load. They are not among its words,
//! because those everybody can read in `/proc`.
//!
//! While the process is the stage it can be signalled like the action: the spawner says its number at once.

mod enter;
mod send;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::machine::process::{Limit, ProcessSettings, Resource};
use crate::scheduling::Realtime;

pub use enter::staged;
pub(super) use send::{StageError, spawn_staged};

/// What the stage is called, and known by.
const NAME: &str = "keepstart-stage";

/// The name under which the stage has each of the action's variables that is not keepstart's own, several times: the
/// value is `NAME=VALUE`. A file may not set it.
const PACKED: &str = "KEEPSTART_PACKED";

/// What the stage writes into the pipe right before the exec. Without it the stage itself has ended.
const BEGINS: &[u8] = b"!";

/// What the stage is told: the first of its words, as JSON. The others are the program and its arguments.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    limits: Vec<(Resource, Limit)>,
    nice: Option<i32>,
    umask: Option<u32>,
    /// The group, and with a user all supplementary ones.
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    uid: Option<u32>,
    directory: Option<PathBuf>,
    /// A file of an unknown format is handed to the shell.
    by_shell: bool,
    /// The limit on real time that the daemon was started with, if it has lowered it. The stage of such a daemon may
    /// have begun as a real-time process.
    realtime: Option<Limit>,
}

impl Orders {
    fn of(process: &ProcessSettings) -> Self {
        let user = process.user.as_ref();
        let group = process.group.as_ref().map(|group| group.gid);
        let gid = group.or(user.map(|user| user.gid));
        // The primary group is in the list too, as login(1) has it.
        let others = user.map(|user| user.groups.as_slice()).unwrap_or_default();
        let groups = gid.map(|gid| std::iter::once(gid).chain(others.iter().copied()).collect());
        Self {
            limits: process
                .limits
                .iter()
                .map(|(&what, &limit)| (what, limit))
                .collect(),
            nice: process.nice,
            umask: process.umask,
            gid,
            groups,
            uid: user.map(|user| user.uid),
            directory: None,
            by_shell: false,
            realtime: None,
        }
    }
}

/// What the stage writes where it cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    step: Step,
    errno: i32,
}

/// What the stage does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// It reads its words.
    Orders,
    Limit(Resource),
    Nice,
    Groups,
    Group,
    User,
    Directory,
    Exec,
}

/// A program with its words, as the stage is to execute it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged<'a> {
    pub(super) process: &'a ProcessSettings,
    pub(super) program: &'a std::path::Path,
    pub(super) arguments: &'a [OsString],
    pub(super) directory: Option<&'a std::path::Path>,
    pub(super) by_shell: bool,
    pub(super) realtime: Option<&'a Realtime>,
}

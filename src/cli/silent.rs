//! What is said of a daemon that is there and does not answer. Looks into `/proc`, once an answer is late; sends nobody
//! a signal.

use std::path::Path;

use super::exit::{Code, Failure};
use crate::control::client::{Client, ClientError};
use crate::processes::ProcessStat;

/// A daemon that has taken a question and gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silent {
    /// A signal or a debugger has stopped it, and it does nothing before it is let go on.
    Stopped(i32),
    /// It may answer yet.
    Busy(i32),
    /// It has ended meanwhile.
    Ended(i32),
}

impl Silent {
    /// Looks at the daemon of a connection; `None` where the system does not tell who that is.
    pub(super) fn of(client: &Client) -> Option<Self> {
        let pid = client.daemon().ok()?.pid();
        let stat = u32::try_from(pid).ok().map(ProcessStat::read);
        Some(match stat.and_then(Result::ok) {
            Some(stat) if stat.ended => Self::Ended(pid),
            Some(stat) if stat.stopped => Self::Stopped(pid),
            Some(_) => Self::Busy(pid),
            None => Self::Ended(pid),
        })
    }

    /// What that means for the command that asked, about the daemon of `file`.
    pub(super) fn failure(self, file: &Path, error: &ClientError) -> Failure {
        Failure::told(Code::Uncertain, self.sentence(file, error))
    }

    /// The same in words.
    pub(super) fn sentence(self, file: &Path, error: &ClientError) -> String {
        let (pid, what_to_do) = match self {
            Self::Stopped(pid) => (
                pid,
                format!("it is stopped: `kill -CONT {pid}` lets it go on"),
            ),
            Self::Busy(pid) => (
                pid,
                format!(
                    "if it stays so, end it with `kill -9 {pid}` and start it again: what it has started goes on \
                     running, and the new one takes it up"
                ),
            ),
            Self::Ended(pid) => (pid, "it has ended meanwhile: ask again".to_owned()),
        };
        format!(
            "keepstart: process {pid} runs {}, but {error}, so what it knows of its roles is not known here; \
             {what_to_do}",
            file.display()
        )
    }
}

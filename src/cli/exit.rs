//! How a command ends: the exit codes, and the failures that lead to them. Pure data.

use std::process::ExitCode;

/// The exit codes, after sysexits.h where it has a fitting one. The table in `--help` says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// All is well.
    Fine,
    /// Something else failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// There is no daemon.
    NoDaemon,
    /// A role is UNKNOWN, or the daemon or its reactor is there and does not answer.
    Uncertain,
    /// EX_DATAERR: a recording cannot be replayed.
    Recording,
    /// EX_UNAVAILABLE: the daemon did not do it, or not in time.
    Unavailable,
    /// EX_OSERR: the system refused, or is short of something.
    System,
    /// EX_IOERR: the output could not be written.
    Output,
    /// EX_TEMPFAIL: a daemon of this configuration runs already.
    AlreadyRunning,
    /// EX_TEMPFAIL as well: a user or group of the configuration is not known, and may be later.
    Unresolved,
    /// EX_NOPERM: not allowed.
    Permission,
    /// EX_CONFIG: the configuration cannot be used, or a place that it leads to: the workspace, the directories, the
    /// pidfile.
    Config,
}

impl Code {
    /// Its number.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoDaemon => 3,
            Self::Uncertain => 4,
            Self::Recording => 65,
            Self::Unavailable => 69,
            Self::System => 71,
            Self::Output => 74,
            Self::AlreadyRunning | Self::Unresolved => 75,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

/// Why a command ends before its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody reads its output any more: it ends quietly.
    ReaderGone,
    /// What went wrong, to be said on stderr.
    Told {
        /// How the command ends.
        code: Code,
        /// One line or more, without a newline at the end.
        message: String,
    },
    /// Another process has said what went wrong and chosen this code.
    Said(u8),
}

impl Failure {
    /// A failure with a message.
    pub(super) fn told(code: Code, message: impl Into<String>) -> Self {
        Self::Told {
            code,
            message: message.into(),
        }
    }

    /// A failure with an error and all its causes in one line.
    pub(super) fn of(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self::told(code, format!("keepstart: {:#}", error.into()))
    }
}

/// How a command ends.
pub(super) type Ending = Result<Code, Failure>;

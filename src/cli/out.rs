//! The one place that writes to stdout and stderr. A reader that has gone (`keepstart status | head -1`)
//! ends the command quietly; nothing here panics. Used by the commands, on their only thread.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

use super::exit::{Code, Failure};

/// Where a command talks to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    /// Whether stdout shows colours and can be redrawn.
    terminal: bool,
    colours: bool,
    /// Whether a person watches stderr.
    progress: bool,
}

/// How a word is painted on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Not so important.
    Dim,
    /// Important.
    Bold,
}

impl Out {
    /// Looks whether stdout and stderr are terminals, and whether colours are welcome
    /// (<https://no-color.org>).
    pub(super) fn new() -> Self {
        let wants = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let can = std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        let terminal = io::stdout().is_terminal();
        let progress = io::stderr().is_terminal();
        Self {
            terminal,
            colours: terminal && wants && can,
            progress,
        }
    }

    /// Whether stdout is a terminal that can be redrawn.
    pub(super) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// How many characters a line of the terminal has; `None`: there is no terminal.
    pub(super) fn width(self) -> Option<usize> {
        let size = self.terminal.then(|| tcgetwinsize(io::stdout()));
        size?
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0)
    }

    /// Writes to stdout as it is.
    pub(super) fn print(self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes())
    }

    /// Writes a line to stdout.
    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Writes bytes to stdout.
    #[expect(clippy::unused_self, reason = "who writes has been given the right to")]
    pub(super) fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Failure::ReaderGone;
            }
            let message = format!("keepstart: cannot write the output: {error}");
            Failure::told(Code::Output, message)
        })
    }

    /// Writes a line to stderr. If that fails there is nowhere left to say so.
    #[expect(clippy::unused_self, reason = "who writes has been given the right to")]
    pub(super) fn note(self, text: &str) {
        let _ = io::stderr()
            .lock()
            .write_all(format!("{text}\n").as_bytes());
    }

    /// Says on stderr what is waited for, if a person watches.
    pub(super) fn progress(self, text: &str) {
        if self.progress {
            self.note(text);
        }
    }

    /// The text in the escape sequences of its paint, or as it is.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Neither terminals nor colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self {
            terminal: false,
            colours: false,
            progress: false,
        }
    }

    /// A terminal with colours.
    #[cfg(test)]
    pub(super) fn coloured() -> Self {
        Self {
            terminal: true,
            colours: true,
            progress: false,
        }
    }
}

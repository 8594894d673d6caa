//! `record`: has the daemon tell its last inputs, and writes them down. The daemon writes to no place that a client
//! names. Also opens the file of `--record` for the daemon.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::protocol::{Answer, Request};

/// How long the daemon may take for each line.
const PATIENCE: Duration = Duration::from_secs(10);

/// For its owner alone: what runs here is nobody else's business.
const MODE: u32 = 0o600;

pub(super) fn record(out: Out, given: Option<&Path>, output: Option<&Path>) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = target.connect()?;
    client
        .ask(&Request::Record)
        .map_err(|error| target.failure(&client, error))?;
    let mut next = || match client.answer(PATIENCE) {
        Ok(Answer::Record(line)) => Ok(Some(line)),
        Ok(Answer::Recorded { .. }) => Ok(None),
        Ok(_) => Err(Failure::told(
            Code::Unavailable,
            "keepstart: the daemon answered something else",
        )),
        Err(error) => Err(target.failure(&client, error)),
    };
    // A daemon that refuses leaves a file of that name as it is.
    let mut line = next()?;
    let Some(path) = output else {
        while let Some(text) = line {
            out.line(&text)?;
            line = next()?;
        }
        return Ok(Code::Fine);
    };
    let unwritten = |error| unwritten(path, &error);
    let mut file = BufWriter::new(create(path).map_err(unwritten)?);
    let mut lines = 0_u64;
    while let Some(text) = line {
        writeln!(file, "{text}").map_err(unwritten)?;
        lines += 1;
        line = next()?;
    }
    file.flush().map_err(unwritten)?;
    // The first line is the state, the last one the end.
    let inputs = lines.saturating_sub(2);
    let path = path.display();
    out.line(&format!(
        "the last {inputs} inputs are in {path}; `keepstart replay {path}` shows what was decided"
    ))?;
    Ok(Code::Fine)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(path)
}

/// Opens the file of `--record FILE`, to go on at its end: a daemon that is started again records its new life behind
/// the old one.
pub(super) fn open_for_daemon(path: &Path) -> Result<(PathBuf, File), Failure> {
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path);
    let file = opened.map_err(|error| unwritten(path, &error))?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok((absolute, file))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let message = format!(
        "keepstart: cannot write the recording {}: {error}",
        path.display()
    );
    Failure::told(Code::Output, message)
}

//! The floor: what nothing that hears netlink and runs a program can undercut. A blocking receive, the least
//! parsing, posix_spawn, and nothing else. Runs in a process of its own, the bench binary once more.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, io};

use anyhow::{Context as _, ensure};

use super::hook::Flip;
use super::process::Process;
use super::route::Observer;

/// The bench binary is the floor where this is its first argument.
const ARGUMENT: &str = "--be-the-floor";

/// Starts a floor in the namespace of the calling thread; returns when it hears.
pub(crate) fn start(
    vip: Ipv4Addr,
    hook: &Path,
    reports: &Path,
    sleep_ms: Option<u32>,
) -> anyhow::Result<Process> {
    let mut command = Command::new(env::current_exe().context("the bench binary has no path")?);
    command
        .arg(ARGUMENT)
        .arg(vip.to_string())
        .arg(hook)
        .arg(reports);
    command.args(sleep_ms.map(|ms| ms.to_string()));
    let mut floor = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = floor
        .child()
        .stdout
        .take()
        .context("the floor has no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .context("cannot hear of the floor")?;
    ensure!(line == "ready\n", "the floor does not start");
    Ok(floor)
}

/// Whether this process is to be the floor; if so, it is until it is killed.
pub(crate) fn run_if_asked() -> anyhow::Result<bool> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return Ok(false);
    }
    let arguments: Vec<OsString> = arguments.collect();
    let [vip, hook, reports, sleep_ms @ ..] = arguments.as_slice() else {
        anyhow::bail!("the floor needs an address, a hook and a FIFO");
    };
    let vip = vip
        .to_string_lossy()
        .parse()
        .context("the floor needs an address")?;
    let command = |flip: Flip| {
        let mut command = Command::new(hook);
        command.arg(reports).arg(flip.action()).args(sleep_ms);
        command
    };
    let (mut start, mut stop) = (command(Flip::Gain), command(Flip::Loss));
    let mut observer = Observer::open(vip)?;
    io::stdout().write_all(b"ready\n")?;
    let mut children: Vec<Child> = Vec::new();
    loop {
        let Some(flip) = observer.next()? else {
            continue;
        };
        let command = match flip {
            Flip::Gain => &mut start,
            Flip::Loss => &mut stop,
        };
        children.push(command.spawn()?);
        children.retain_mut(|child| child.try_wait().is_ok_and(|status| status.is_none()));
    }
}

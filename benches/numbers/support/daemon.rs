//! keepstart as shipped: the program of this build on a configuration file, in the foreground.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::clock::now_ns;
use super::hook::Flip;
use super::places::Places;
use super::process::Process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keepstart");

/// How long a start may take: a file with ten thousand instances takes longest.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// A running daemon.
pub(crate) struct Daemon {
    /// Its process.
    pub(crate) process: Process,
    /// From the start of the program to READY=1.
    pub(crate) ready_ns: u64,
}

/// Writes a file with nothing in it but what has no default, and the directories of this bench. One instance is
/// written as the `keepstart:` section, more as `instances:`.
pub(crate) fn configure(
    places: &Places,
    vips: &[Ipv4Addr],
    hook: &Path,
    reports: &Path,
    sleep_ms: Option<u32>,
) -> anyhow::Result<PathBuf> {
    configure_with("", places, vips, hook, reports, sleep_ms)
}

/// The same with a line more for the daemon itself.
pub(crate) fn configure_with(
    application: &str,
    places: &Places,
    vips: &[Ipv4Addr],
    hook: &Path,
    reports: &Path,
    sleep_ms: Option<u32>,
) -> anyhow::Result<PathBuf> {
    let (disk, memory) = (places.disk().display(), places.memory().display());
    let mut text = format!(
        "application:\n  daemon: no\n  runtime-dir: {memory}/run\n  state-dir: {disk}/state\n{application}"
    );
    let (hook, reports) = (hook.display(), reports.display());
    let sleep = sleep_ms.map(|ms| format!(", '{ms}'")).unwrap_or_default();
    let section = |text: &mut String, indent: &str, vip: Ipv4Addr| {
        writeln!(text, "{indent}nic: lo\n{indent}vip: {vip}")?;
        [Flip::Gain, Flip::Loss].iter().try_for_each(|flip| {
            let action = flip.action();
            writeln!(
                text,
                "{indent}{action}: ['{hook}', '{reports}', {action}{sleep}]"
            )
        })
    };
    if let [vip] = vips {
        text.push_str("keepstart:\n");
        section(&mut text, "  ", *vip)?;
    } else {
        text.push_str("instances:\n");
        for (number, vip) in vips.iter().enumerate() {
            writeln!(text, "  web-{number}:")?;
            section(&mut text, "    ", *vip)?;
        }
    }
    let file = places.disk().join("config.yaml");
    fs::write(&file, text).context("cannot write the daemon's configuration")?;
    Ok(file)
}

/// A command of keepstart on a configuration file.
pub(crate) fn command(file: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("-c").arg(file).args(words).stdin(Stdio::null());
    command
}

/// Where the daemon logs.
pub(crate) fn log(places: &Places) -> PathBuf {
    places.disk().join("log")
}

/// Starts the daemon in the namespace of the calling thread; returns when it is ready.
pub(crate) fn start(places: &Places, file: &Path) -> anyhow::Result<Daemon> {
    let notify = places.disk().join("notify");
    let socket = UnixDatagram::bind(&notify).context("cannot make a notification socket")?;
    socket.set_read_timeout(Some(READY_DEADLINE))?;
    let log_path = log(places);
    let log = File::create(&log_path).context("cannot make the daemon's log")?;
    let mut command = command(file, &["run"]);
    command
        .env("NOTIFY_SOCKET", &notify)
        .stdout(log.try_clone()?)
        .stderr(log);
    let begin_ns = now_ns();
    let process = Process::start(&mut command)?;
    let ready = wait_until_ready(&socket);
    let ready_ns = now_ns() - begin_ns;
    fs::remove_file(&notify).context("cannot remove the notification socket")?;
    ready.with_context(|| {
        let said = fs::read_to_string(&log_path).unwrap_or_default();
        format!("keepstart does not get ready; it said:\n{said}")
    })?;
    Ok(Daemon { process, ready_ns })
}

fn wait_until_ready(socket: &UnixDatagram) -> anyhow::Result<()> {
    let mut message = [0; 4096];
    loop {
        let length = socket.recv(&mut message).context("no READY=1 came")?;
        let said = message.get(..length).unwrap_or_default();
        if said
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"READY=1")
        {
            return Ok(());
        }
    }
}

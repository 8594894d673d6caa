//! The hook that every contestant runs, and the FIFO on which it reports. The hook reads the clock first and
//! does everything else after that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::time::Timespec;

use super::clock::now_ns;

/// `hook FIFO start|stop [MILLISECONDS]`: reports its beginning, and its end where it sleeps.
const SOURCE: &str = r"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct report { uint64_t at_ns, ends; uint32_t is_start, pid; uint64_t unused; };

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct report report = { .at_ns = now() };
    if (argc < 3)
        return 2;
    report.is_start = argv[2][2] == 'a';
    report.pid = (uint32_t)getpid();
    int fifo = open(argv[1], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fifo < 0 || write(fifo, &report, sizeof report) != sizeof report)
        return 3;
    if (argc < 4)
        return 0;
    long ms = atol(argv[3]);
    struct timespec span = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&span, NULL);
    report.at_ns = now();
    report.ends = 1;
    return write(fifo, &report, sizeof report) == sizeof report ? 0 : 3;
}
";

const REPORT_BYTES: usize = 32;

/// A change of the VIP, and the action that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flip {
    /// The VIP comes: start.
    Gain,
    /// The VIP goes: stop.
    Loss,
}

impl Flip {
    /// The hook's argument.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Gain => "start",
            Self::Loss => "stop",
        }
    }

    /// The change that undoes it.
    pub(crate) fn back(self) -> Self {
        match self {
            Self::Gain => Self::Loss,
            Self::Loss => Self::Gain,
        }
    }
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The hook's first instruction.
    Begin,
    /// Its last but one.
    End,
}

/// One report of a hook.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) at_ns: u64,
    /// Its beginning or its end.
    pub(crate) moment: Moment,
    /// What it was called for.
    pub(crate) flip: Flip,
    /// Its process.
    pub(crate) pid: u32,
}

/// Compiles the hook into `directory`: linked statically where the system can, so that no loader's work lies
/// between exec and the first instruction.
pub(crate) fn compile(directory: &Path) -> anyhow::Result<PathBuf> {
    let source = directory.join("hook.c");
    std::fs::write(&source, SOURCE).context("cannot write the hook's source")?;
    let hook = directory.join("hook");
    for link in [&["-static"] as &[_], &[]] {
        let compiled = Command::new("cc")
            .args(["-O2", "-s"])
            .args(link)
            .arg("-o")
            .args([&hook, &source])
            .output()
            .context("cannot run cc, which Rust needs as its linker too")?;
        if compiled.status.success() {
            return Ok(hook);
        }
    }
    bail!("cc cannot compile the hook")
}

/// The bench's end of a FIFO.
pub(crate) struct Reports {
    path: PathBuf,
    fifo: File,
}

impl Reports {
    /// Makes the FIFO.
    pub(crate) fn make(path: PathBuf) -> anyhow::Result<Self> {
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)
            .with_context(|| format!("cannot make the FIFO {}", path.display()))?;
        // Open for writing too, so that it never ends between two hooks.
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        let fifo = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path);
        let fifo = fifo.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, fifo })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next report; `None` where none comes until then.
    pub(crate) fn next(&mut self, until_ns: u64) -> anyhow::Result<Option<Report>> {
        let mut bytes = [0; REPORT_BYTES];
        loop {
            match self.fifo.read(&mut bytes) {
                Ok(REPORT_BYTES) => return Ok(Some(decode(&bytes))),
                Ok(length) => bail!("a hook reported {length} bytes"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot read a hook's report"),
            }
            let left = Duration::from_nanos(until_ns.saturating_sub(now_ns()));
            if left.is_zero() {
                return Ok(None);
            }
            let mut fds = [PollFd::new(&self.fifo, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::try_from(left)?)).context("cannot wait for a hook")?;
        }
    }

    /// Waits for the beginning of the hook that `flip` asks for; any other report is an error.
    pub(crate) fn expect(&mut self, flip: Flip, until_ns: u64) -> anyhow::Result<Report> {
        loop {
            let report = self.next(until_ns)?;
            let report = report.with_context(|| format!("no {} hook was run", flip.action()))?;
            if report.moment == Moment::Begin {
                ensure!(
                    report.flip == flip,
                    "the hook was run for {}",
                    report.flip.action()
                );
                return Ok(report);
            }
        }
    }
}

fn decode(bytes: &[u8; REPORT_BYTES]) -> Report {
    let [
        a0,
        a1,
        a2,
        a3,
        a4,
        a5,
        a6,
        a7,
        ends,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        start,
        _,
        _,
        _,
        p0,
        p1,
        p2,
        p3,
        ..,
    ] = *bytes;
    Report {
        at_ns: u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        moment: if ends == 0 {
            Moment::Begin
        } else {
            Moment::End
        },
        flip: if start == 0 { Flip::Loss } else { Flip::Gain },
        pid: u32::from_ne_bytes([p0, p1, p2, p3]),
    }
}

//! What `/proc` says of a process.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

/// The proportional share of the memory that the process uses, in kB (proc(5), `smaps_rollup`).
pub(crate) fn pss_kb(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    field(&text, "Pss:").with_context(|| format!("{path} tells no Pss"))
}

/// The number of threads.
pub(crate) fn threads(pid: u32) -> anyhow::Result<usize> {
    Ok(tasks(pid)?.len())
}

/// How often a thread of the process has gone to sleep, that is, was woken.
pub(crate) fn wakeups(pid: u32) -> anyhow::Result<u64> {
    sum(pid, "status", |text| {
        field(text, "voluntary_ctxt_switches:")
    })
}

/// The time that the threads of the process have run, in nanoseconds.
pub(crate) fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    sum(pid, "schedstat", |text| {
        text.split_whitespace().next()?.parse().ok()
    })
}

/// The processes that the first thread of the process has started.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect())
}

fn tasks(pid: u32) -> anyhow::Result<Vec<PathBuf>> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn sum(pid: u32, file: &str, read: impl Fn(&str) -> Option<u64>) -> anyhow::Result<u64> {
    tasks(pid)?.iter().try_fold(0, |sum, task| {
        let path = task.join(file);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let value = read(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        Ok(sum + value)
    })
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

//! Processes, as `/proc` shows them. One that ends meanwhile is not there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::super::facts::Seen;
use crate::capabilities::Capabilities;

/// A process that was looked for by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) words: Vec<String>,
}

/// All others with one of these names (proc_pid_comm(5)) that are in this network namespace, or may be.
pub(super) fn named(names: &[&str]) -> Vec<Process> {
    let mut found: Vec<_> = crate::processes::all()
        .into_iter()
        .flatten()
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            names.contains(&name.trim_end())
        })
        .filter(|pid| is_in_this_network(*pid).unwrap_or(true))
        .map(|pid| Process {
            pid,
            words: words(pid),
        })
        // One that has ended and was not waited for has no words.
        .filter(|process| !process.words.is_empty())
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn words(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Whether a process is in the network namespace of this one.
pub(super) fn is_in_this_network(pid: u32) -> Seen<bool> {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    let unknown = |error: io::Error| {
        format!("the network namespace of process {pid} may not be looked at: {error}")
    };
    let own = of("self").map_err(unknown)?;
    Ok(own == of(&pid.to_string()).map_err(unknown)?)
}

/// The user that a process belongs to.
pub(super) fn user(pid: u32) -> Seen<u32> {
    fs::metadata(format!("/proc/{pid}"))
        .map(|found| found.uid())
        .map_err(|error| format!("the user of process {pid} is not known: {error}"))
}

/// What a process has open.
pub(super) fn open_files(pid: u32) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    Ok(entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect())
}

/// What a process may do beyond what its user may.
pub(super) fn capabilities(pid: u32) -> Seen<Capabilities> {
    Capabilities::of(pid)
        .map_err(|error| format!("the capabilities of process {pid} cannot be read: {error}"))
}

/// How many files a process may have open (the soft limit).
pub(super) fn open_files_max(pid: u32) -> Seen<u64> {
    let path = format!("/proc/{pid}/limits");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(u64::MAX),
        Some(number) => number
            .parse()
            .map_err(|_| format!("{path} cannot be understood")),
        None => Err(format!("{path} does not tell how many files may be open")),
    }
}

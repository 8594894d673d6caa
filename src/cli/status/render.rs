//! A status as a person reads it: a line for the daemon, a line and its reason for each instance. Pure.
//!
//! ```text
//! keepstart 0.1.0, process 812, up 3d4h, /etc/keepstart/config.yaml
//!
//! web  MASTER  3m12s  running  start done 3m12s ago (took 1.2s)  is-running said yes 12s ago
//!      why: 192.0.2.10 is on lo, so the role is MASTER and the service shall run here; …
//! ```

use crate::cli::out::{Out, Paint};
use crate::control::client::Status;
use crate::control::status::{
    DaemonStatus, InstanceStatus, JobStatus, KernelStatus, LastJobStatus, ResultKind,
};
use crate::control::why::{self, Span};
use crate::machine::job::{Action, Knowledge, Role};
use crate::machine::settings::InstanceName;
use crate::scheduling::Standing;
use crate::source::netlink::Filter;

/// On terminals narrower than this, reasons are not broken any more.
const ROOM_MIN: usize = 20;

/// One column of an instance's line.
struct Cell {
    text: String,
    paint: Option<Paint>,
}

/// The whole status.
pub(super) fn status(status: &Status, out: Out) -> String {
    let mut text = daemon(&status.daemon, out);
    text.push('\n');
    if status.instances.is_empty() {
        text.push_str("no instance configured\n");
    }
    let instances: Vec<_> = status.instances.iter().collect();
    text.push_str(&table(&instances, out));
    text
}

/// The daemon's own lines: more than one only where something is worth it.
pub(super) fn daemon(daemon: &DaemonStatus, out: Out) -> String {
    let up = Span::ms(daemon.uptime_ms);
    let mut lines = vec![format!(
        "keepstart {}, process {}, up {up}, {}",
        daemon.version,
        daemon.pid,
        daemon.config.display()
    )];
    if daemon.stale {
        let line = "the reactor does not answer: what follows may be out of date";
        lines.push(out.paint(Paint::Bad, line));
    }
    lines.extend(
        daemon
            .kernel
            .as_ref()
            .and_then(|kernel| trouble(kernel, out)),
    );
    lines.extend(
        daemon
            .filter
            .as_ref()
            .and_then(|filter| coarseness(filter, out)),
    );
    let trouble = daemon.realtime.as_ref().and_then(Standing::trouble);
    lines.extend(trouble.map(|line| out.paint(Paint::Warn, &line)));
    if daemon.log_dropped > 0 {
        let line = format!(
            "{} log records were dropped: the log's sink is too slow",
            daemon.log_dropped
        );
        lines.push(out.paint(Paint::Warn, &line));
    }
    lines.join("\n") + "\n"
}

fn trouble(kernel: &KernelStatus, out: Out) -> Option<String> {
    let dump = kernel
        .dump_age_ms
        .map(|age| format!(", last {} ago", Span::ms(age)));
    let dump = dump.unwrap_or_default();
    if !kernel.subscribed {
        let error = kernel
            .error
            .as_ref()
            .map(|error| format!(" ({error})"))
            .unwrap_or_default();
        let line = format!(
            "the kernel's notifications are not available{error}: addresses are polled{dump}"
        );
        return Some(out.paint(Paint::Warn, &line));
    }
    (!kernel.synchronized)
        .then(|| out.paint(Paint::Warn, &format!("addresses are being read{dump}")))
}

/// What wakes the daemon beside the addresses in the file.
fn coarseness(filter: &Filter, out: Out) -> Option<String> {
    match filter {
        Filter::Exact { .. } => None,
        Filter::Ranges { .. } => Some(out.paint(Paint::Dim, &filter.to_string())),
        Filter::Off { .. } => Some(out.paint(Paint::Warn, &filter.to_string())),
    }
}

/// No column is made wider than this, in characters, which is what a name can have: one long reason would push those
/// of all instances out of the screen.
const COLUMN_MAX: usize = InstanceName::LENGTH_MAX;

/// The instances, in columns as wide as their longest text, but for one that is longer than any column.
pub(in crate::cli) fn table(instances: &[&InstanceStatus], out: Out) -> String {
    let rows: Vec<_> = instances.iter().map(|instance| cells(instance)).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let length = cell.text.chars().count();
            if length <= COLUMN_MAX {
                *width = length.max(*width);
            }
        }
    }
    let [name_width, ..] = widths;
    let mut text = String::new();
    for (row, instance) in rows.iter().zip(instances) {
        text.push_str(&line(row, &widths, out));
        text.push('\n');
        let indent = name_width + 2;
        let why = wrap(&format!("why: {}", instance.why), indent, out.width());
        text.push_str(&" ".repeat(indent));
        text.push_str(&out.paint(Paint::Dim, &why));
        text.push('\n');
    }
    text
}

/// One instance on one line with its reason, for where nothing can be redrawn.
pub(super) fn one_line(instance: &InstanceStatus, out: Out) -> String {
    format!(
        "{}  why: {}",
        line(&cells(instance), &[0; 6], out),
        instance.why
    )
}

fn line(row: &[Cell; 6], widths: &[usize; 6], out: Out) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()) + 2);
        match cell.paint.filter(|_| !cell.text.is_empty()) {
            Some(paint) => text.push_str(&out.paint(paint, &cell.text)),
            None => text.push_str(&cell.text),
        }
        text.push_str(&padding);
    }
    text.trim_end().to_owned()
}

fn cells(instance: &InstanceStatus) -> [Cell; 6] {
    let cell = |text: String, paint| Cell { text, paint };
    let role_paint = match instance.role {
        Role::Master => Some(Paint::Good),
        Role::Backup => None,
        Role::Unknown => Some(Paint::Bad),
    };
    let acts = instance.job.as_ref();
    let acts = acts.is_some_and(|job| job.action.changes_service());
    let fits = match (instance.role, instance.service) {
        _ if acts => Some(Paint::Warn),
        (Role::Master, Knowledge::Running) => Some(Paint::Good),
        (Role::Backup, Knowledge::Stopped) => None,
        (Role::Unknown, _)
        | (_, Knowledge::Maybe | Knowledge::Partly)
        | (Role::Master, Knowledge::Stopped)
        | (Role::Backup, Knowledge::Running) => Some(Paint::Warn),
    };
    [
        cell(instance.name.to_string(), Some(Paint::Bold)),
        cell(instance.role.to_string(), role_paint),
        cell(Span::ms(instance.role_age_ms).to_string(), None),
        cell(instance.service_word(), fits),
        action(instance),
        check(instance),
    ]
}

/// The start or stop that runs, or the last one.
fn action(instance: &InstanceStatus) -> Cell {
    let runs = instance.job.as_ref();
    let runs = runs.filter(|job| job.action.changes_service());
    match (runs, &instance.last_action) {
        (Some(job), _) => running(job),
        (None, Some(job)) => last(job),
        (None, None) => dim("no start or stop since the daemon started"),
    }
}

/// The is-running that runs, or the last one.
fn check(instance: &InstanceStatus) -> Cell {
    let runs = instance.job.as_ref();
    let runs = runs.filter(|job| !job.action.changes_service());
    match (runs, &instance.last_check) {
        (Some(job), _) => running(job),
        (None, Some(job)) => last(job),
        (None, None) => dim(""),
    }
}

fn dim(text: &str) -> Cell {
    Cell {
        text: text.into(),
        paint: Some(Paint::Dim),
    }
}

fn running(job: &JobStatus) -> Cell {
    let pid = job
        .pid
        .map_or_else(String::new, |pid| format!(" (process {pid})"));
    Cell {
        text: format!(
            "{} has been running for {}{pid}",
            job.action,
            Span::ms(job.age_ms)
        ),
        paint: Some(Paint::Warn),
    }
}

fn last(job: &LastJobStatus) -> Cell {
    let paint = match (job.action, job.result) {
        (_, ResultKind::Done) | (Action::IsRunning, ResultKind::Failed) => None,
        (_, ResultKind::Cancelled | ResultKind::Unseen) => Some(Paint::Warn),
        (
            _,
            ResultKind::Failed | ResultKind::Killed | ResultKind::TimedOut | ResultKind::NotStarted,
        ) => Some(Paint::Bad),
    };
    Cell {
        text: why::last_job(job),
        paint,
    }
}

/// The text in lines of at most `width` characters, where it has blanks to break at; all but the first
/// begin with `indent` blanks, for which there is room in the first as well.
pub(in crate::cli) fn wrap(text: &str, indent: usize, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| {
        width.saturating_sub(indent).max(ROOM_MIN)
    });
    let mut wrapped = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

#[cfg(test)]
mod tests;

//! An explanation as a person reads it at 3 a.m.: the answer first, then what it follows from, then what to do. Pure.

use crate::cli::out::Paint;
use crate::cli::status::render::wrap;
use crate::cli::timeline::draw::{self, Canvas};
use crate::control::explain::Explanation;
use crate::control::status::{InstanceStatus, LastJobStatus};
use crate::control::why::{self, Span};
use crate::machine::job::{Knowledge, Role};

/// The column of the headings.
const HEADING_WIDTH: usize = 9;

/// The whole screen.
pub(super) fn explanation(said: &Explanation, canvas: &Canvas) -> String {
    let status = &said.status;
    let mut text = headline(status, canvas);
    text.push('\n');
    for source in &said.sources {
        let line = format!(
            "{} says {}: {}, for {}; {}",
            source.source,
            source.role,
            source.what,
            Span::ms(source.age_ms),
            source.followed
        );
        text.push_str(&row("source", &line, None, canvas));
    }
    for rule in &said.rules {
        let due = rule
            .in_ms
            .map_or_else(String::new, |ms| format!("; due in {}", Span::ms(ms)));
        text.push_str(&row("rule", &format!("{}{due}", rule.what), None, canvas));
    }
    text.push_str(&row("running", &running(status), None, canvas));
    for job in last_jobs(status) {
        let line = format!("{}, because {}", why::last_job(job), job.reason);
        text.push_str(&row("last", &line, None, canvas));
    }
    let due = status
        .next
        .in_ms
        .map_or_else(String::new, |ms| format!("in {}: ", Span::ms(ms)));
    text.push_str(&row(
        "next",
        &format!("{due}{}", status.next.what),
        None,
        canvas,
    ));
    if said.advice.is_empty() {
        text.push_str(&row("to do", "nothing is wrong", Some(Paint::Good), canvas));
    }
    for advice in &said.advice {
        text.push_str(&row("to do", advice, Some(Paint::Warn), canvas));
    }
    for entry in &said.transitions {
        text.push('\n');
        text.push_str(&draw::entry(entry, canvas));
    }
    text
}

/// The answer in one line.
fn headline(status: &InstanceStatus, canvas: &Canvas) -> String {
    let fits = match (status.role, status.service) {
        (Role::Master, Knowledge::Running) | (Role::Backup, Knowledge::Stopped) => Paint::Good,
        (Role::Unknown, _) => Paint::Bad,
        (Role::Master | Role::Backup, _) => Paint::Warn,
    };
    let age = Span::ms(status.role_age_ms);
    let line = format!(
        "{} for {age}, the service is {}",
        status.role,
        status.service_word()
    );
    let name = canvas.out.paint(Paint::Bold, status.name.as_str());
    format!(
        "{name} is {} (transition {}/{})\n",
        canvas.out.paint(fits, &line),
        status.name,
        status.epoch
    )
}

fn running(status: &InstanceStatus) -> String {
    let Some(job) = &status.job else {
        return "no action".into();
    };
    let process = match job.pid {
        Some(pid) => format!(" as process {pid}"),
        None => ", not executed yet".into(),
    };
    let life = if job.adopted {
        " of the daemon's earlier life"
    } else {
        ""
    };
    format!(
        "{}{life}{process} for {}, because {}; job {}",
        job.action,
        Span::ms(job.age_ms),
        job.reason,
        job.id
    )
}

/// What ran last: the start or stop, and the is-running.
fn last_jobs(status: &InstanceStatus) -> impl Iterator<Item = &LastJobStatus> {
    status.last_action.iter().chain(&status.last_check)
}

fn row(heading: &str, line: &str, paint: Option<Paint>, canvas: &Canvas) -> String {
    let text = wrap(line, HEADING_WIDTH, Some(canvas.width));
    let text = match paint {
        Some(paint) => canvas.out.paint(paint, &text),
        None => text,
    };
    let heading = canvas
        .out
        .paint(Paint::Dim, &format!("{heading:<HEADING_WIDTH$}"));
    format!("{heading}{text}\n")
}

#[cfg(test)]
mod tests;

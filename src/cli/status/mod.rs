//! `status`: asks the daemon once. `--watch` is in `watch`, what a person sees in `render`.

pub(super) mod render;
mod watch;

use std::path::Path;
use std::time::Duration;

use super::arguments;
use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::client::{ClientError, Status};
use crate::machine::job::Role;

/// How long the daemon may take for a line: it gives its reactor a second to show that it is alive.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn status(out: Out, given: Option<&Path>, what: &arguments::Status) -> Ending {
    let target = Target::find(out, given)?;
    if what.watch {
        return watch::watch(out, &target, what);
    }
    let mut client = target.connect().map_err(uncertain)?;
    let pid = client.daemon().ok().map(|daemon| daemon.pid());
    let status = client
        .status(what.instance.clone(), PATIENCE)
        .map_err(|error| match (&error, pid) {
            (
                ClientError::TimedOut(_) | ClientError::Closed | ClientError::Broken(_),
                Some(pid),
            ) => silent(&target, pid, &error),
            _ => target.failure(error),
        })?;
    if what.json {
        let json = serde_json::to_string_pretty(&status);
        out.line(&json.map_err(|error| Failure::of(Code::Failed, error))?)?;
    } else {
        out.print(&render::status(&status, out))?;
    }
    Ok(code(&status))
}

/// A daemon that cannot be talked to, but is there: its roles are not known. For other commands this is a failure.
fn uncertain(failure: Failure) -> Failure {
    match failure {
        Failure::Told {
            code: Code::Unavailable,
            message,
        } => Failure::told(Code::Uncertain, message),
        other @ (Failure::ReaderGone | Failure::Told { .. } | Failure::Said(_)) => other,
    }
}

/// A daemon that has taken the question and gives no answer.
fn silent(target: &Target, pid: i32, error: &ClientError) -> Failure {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    let what_to_do = match state {
        // Stopped by a signal, or by a debugger: proc_pid_stat(5).
        Some('T' | 't') => format!("it is stopped: `kill -CONT {pid}` lets it go on"),
        Some(_) => format!(
            "if it stays so, end it with `kill -9 {pid}` and start it again: what it has started goes on \
             running, and the new one takes it up"
        ),
        None => "it has ended meanwhile: ask again".to_owned(),
    };
    let message = format!(
        "keepstart: process {pid} runs {}, but {error}, so what it knows of its roles is not known here; \
         {what_to_do}",
        target.file.display()
    );
    Failure::told(Code::Uncertain, message)
}

/// Whether all roles are known to be what they are said to be.
fn code(status: &Status) -> Code {
    let unknown = status
        .instances
        .iter()
        .any(|instance| instance.role == Role::Unknown);
    if unknown || status.daemon.stale {
        Code::Uncertain
    } else {
        Code::Fine
    }
}

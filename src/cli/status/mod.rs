//! `status`: asks the daemon once. `--watch` is in `watch`, what a person sees in `render`.

pub(super) mod render;
mod watch;

use std::path::Path;
use std::time::Duration;

use super::arguments;
use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::client::Status;
use crate::machine::job::Role;

/// How long the daemon may take for a line: it gives its reactor a second to show that it is alive.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn status(out: Out, given: Option<&Path>, what: &arguments::Status) -> Ending {
    let target = Target::find(out, given)?;
    if what.watch {
        return watch::watch(out, &target, what);
    }
    let mut client = target.connect().map_err(uncertain)?;
    let status = client
        .status(what.instance.clone(), PATIENCE)
        .map_err(|error| target.failure(&client, error))?;
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

//! `reload`: has the daemon read its configuration again.

use std::path::Path;
use std::time::Duration;

use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use super::silent::Silent;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Answer, ErrorCode, Request};

/// How long the daemon may take: it gives the file 60 s, which may be on a slow file server.
const PATIENCE: Duration = Duration::from_secs(80);

/// How long nothing is said of a daemon that takes its time.
const QUIET: Duration = Duration::from_secs(3);

/// How long it may take to show that it is alive: whatever else it does, it answers that at once.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn reload(out: Out, given: Option<&Path>) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = target.connect()?;
    client
        .ask(&Request::Reload)
        .map_err(|error| target.failure(&client, error))?;
    let answer = match client.answer(QUIET) {
        Err(late @ ClientError::TimedOut(_)) => {
            explain(out, &target, &client, &late)?;
            client.answer(PATIENCE.saturating_sub(QUIET))
        }
        prompt => prompt,
    };
    match answer {
        Ok(Answer::Reloaded { summary }) => {
            out.line(&summary)?;
            Ok(Code::Fine)
        }
        Ok(_) => Err(Failure::told(
            Code::Unavailable,
            "keepstart: the daemon answered something else",
        )),
        Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Faults => {
            let message = format!(
                "{}\nkeepstart: the running configuration stays",
                refusal.message
            );
            Err(Failure::told(Code::Config, message))
        }
        Err(error) => Err(target.failure(&client, error)),
    }
}

/// Says why there is no answer yet. One that is stopped will not answer; any other may be reading the file still, and
/// is waited for.
fn explain(out: Out, target: &Target, client: &Client, late: &ClientError) -> Result<(), Failure> {
    let silent = Silent::of(client);
    if let Some(stopped @ Silent::Stopped(_)) = silent {
        return Err(stopped.failure(&target.file, late));
    }
    let alive = target.connect().is_ok_and(|mut other| {
        let asked = other.ask(&Request::Ping);
        asked.is_ok() && other.answer(SIGN_OF_LIFE_WITHIN).is_ok()
    });
    match silent {
        Some(silent) if !alive => {
            out.note(&silent.sentence(&target.file, late));
            out.note(&format!(
                "keepstart: waiting for it up to {} s",
                PATIENCE.as_secs()
            ));
        }
        Some(_) | None => out.note(&format!(
            "keepstart: the daemon is still reading {}, which may be large or on a slow file server; waiting up to \
             {} s",
            target.file.display(),
            PATIENCE.as_secs()
        )),
    }
    Ok(())
}

//! `reload`: has the daemon read its configuration again.

use std::path::Path;
use std::time::Duration;

use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use crate::control::client::ClientError;
use crate::control::protocol::{Answer, ErrorCode, Request};

/// How long the daemon may take: it gives the file 60 s, which may be on a slow file server.
const PATIENCE: Duration = Duration::from_secs(80);

pub(super) fn reload(out: Out, given: Option<&Path>) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = target.connect()?;
    client
        .ask(&Request::Reload)
        .map_err(|error| target.failure(error))?;
    match client.answer(PATIENCE) {
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
        Err(error) => Err(target.failure(error)),
    }
}

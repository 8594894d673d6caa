//! `audit`: has the daemon look at the addresses and at its services now.

use std::path::Path;
use std::time::Duration;

use super::exit::{Code, Ending};
use super::locate::Target;
use super::out::Out;
use crate::control::protocol::Request;
use crate::machine::settings::InstanceName;

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn audit(out: Out, given: Option<&Path>, instance: Option<InstanceName>) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = target.connect()?;
    let what = instance
        .as_ref()
        .map_or("all instances".to_owned(), ToString::to_string);
    client
        .ask(&Request::Audit(instance))
        .map_err(|error| target.failure(&client, error))?;
    client
        .answer(PATIENCE)
        .map_err(|error| target.failure(&client, error))?;
    out.line(&format!(
        "audit of {what} begun; `keepstart status` shows what comes of it"
    ))?;
    Ok(Code::Fine)
}

//! `doctor`: looks at this machine and says in sentences what will hurt. Facts are gathered first (`gather`, which
//! reads the disk and `/proc`, asks the kernel, systemd and the daemons, each with a deadline, and changes nothing);
//! then each check (`check`, pure) makes its findings of them. Runs on the main thread.

mod check;
mod facts;
mod finding;
mod gather;
mod keepalived_conf;
mod network_files;
mod render;
mod units;

use std::path::Path;

use super::arguments;
use super::exit::{Code, Ending, Failure};
use super::out::Out;
use finding::Diagnosis;

pub(super) fn doctor(out: Out, given: Option<&Path>, how: &arguments::Doctor) -> Ending {
    let facts = gather::facts(out, given)?;
    let config = facts.config.file.display().to_string();
    let diagnosis = Diagnosis::of(config, check::all(&facts));
    if how.json {
        let json = serde_json::to_string_pretty(&diagnosis);
        out.line(&json.map_err(|error| Failure::of(Code::Failed, error))?)?;
    } else {
        out.print(&render::text(&diagnosis, out))?;
    }
    Ok(code(&diagnosis))
}

/// What hurts says more than what could not be looked at.
fn code(diagnosis: &Diagnosis) -> Code {
    match (diagnosis.hurting, diagnosis.unseen) {
        (0, 0) => Code::Fine,
        (0, _) => Code::Uncertain,
        (_, _) => Code::Failed,
    }
}

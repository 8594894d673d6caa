//! `why`: asks the daemon once why an instance is as it is, and shows it on one screen.

mod render;

use std::path::Path;
use std::time::Duration;

use super::arguments;
use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use super::status::render::table;
use super::timeline::canvas;
use crate::control::explain::Explanation;
use crate::machine::job::Role;
use crate::machine::settings::InstanceName;

/// How long the daemon may take for a line: it gives its reactor a second to show that it is alive.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn why(out: Out, given: Option<&Path>, what: &arguments::Why) -> Ending {
    let target = Target::find(out, given)?;
    let name = match &what.instance {
        Some(name) => name.clone(),
        None => match only(out, &target)? {
            Some(name) => name,
            None => return Ok(Code::Fine),
        },
    };
    let mut client = target.connect()?;
    let said = client
        .why(name, PATIENCE)
        .map_err(|error| target.failure(&client, error))?;
    if what.json {
        let json = serde_json::to_string_pretty(&said);
        out.line(&json.map_err(|error| Failure::of(Code::Failed, error))?)?;
    } else {
        out.print(&render::explanation(&said, &canvas(out)))?;
    }
    Ok(code(&said))
}

/// The only instance, or with none or several the list of them.
fn only(out: Out, target: &Target) -> Result<Option<InstanceName>, Failure> {
    let mut client = target.connect()?;
    let status = client
        .status(None, PATIENCE)
        .map_err(|error| target.failure(&client, error))?;
    match &status.instances[..] {
        [one] => return Ok(Some(one.name.clone())),
        [] => out.line("no instance configured")?,
        several => {
            let all: Vec<_> = several.iter().collect();
            out.print(&table(&all, out))?;
            out.line("\nmore of one of them: keepstart why INSTANCE")?;
        }
    }
    Ok(None)
}

fn code(said: &Explanation) -> Code {
    if said.status.role == Role::Unknown || said.status.stale {
        Code::Uncertain
    } else {
        Code::Fine
    }
}

//! A look at units before anything is done with them: what systemd says of their files, for the warnings of
//! `validate` and in the log. Runs on the thread of whoever has the time, with a connection of its own.

use std::time::Duration;

use super::line::{Line, LineError, UNIT};
use crate::machine::unit::UnitName;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(10);

const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// What is odd about each unit, in a sentence that says how it is mended. Nothing where systemd cannot be asked, as
/// on the machine on which a configuration is only written. May wait for some seconds.
pub fn look_at_units<'u>(units: impl IntoIterator<Item = &'u UnitName>) -> Vec<(UnitName, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let mut odd = Vec::new();
    let look = async {
        let line = Line::default();
        line.connect(|_, _| {}).await?;
        for unit in units {
            let path = line.load(unit.as_str()).await?;
            if let Some(message) = oddity(&line, unit, &path).await? {
                odd.push((unit.clone(), message));
            }
        }
        Ok::<(), LineError>(())
    };
    let looked = runtime.block_on(async { tokio::time::timeout(DEADLINE, look).await });
    if let Ok(Err(error)) = looked {
        tracing::debug!("the units are not looked at: {error}");
    }
    runtime.shutdown_background();
    odd
}

async fn oddity(line: &Line, unit: &UnitName, path: &str) -> Result<Option<String>, LineError> {
    let loaded: String = line.property(path, UNIT, "LoadState").await?;
    match loaded.as_str() {
        "loaded" => {}
        "not-found" => return Ok(Some(format!("{unit} does not exist (yet)"))),
        "masked" => {
            return Ok(Some(format!(
                "{unit} is masked, so it cannot be started: systemctl unmask {unit}"
            )));
        }
        other => {
            return Ok(Some(format!(
                "{unit} cannot be used ({other}): see systemctl status {unit}"
            )));
        }
    }
    let file: String = line.property(path, UNIT, "UnitFileState").await?;
    let at_boot = match file.as_str() {
        "enabled" | "enabled-runtime" => true,
        // Made of an init script, or by another generator.
        "generated" => {
            let wanted: Vec<String> = line.property(path, UNIT, "WantedBy").await?;
            !wanted.is_empty()
        }
        _ => false,
    };
    if at_boot {
        return Ok(Some(format!(
            "{unit} is enabled at boot as well, so it has two masters: systemd starts it on nodes that do not hold \
             the role; mend it with `systemctl disable {unit}`"
        )));
    }
    if unit.as_str().ends_with(".service") {
        let kind: String = line.property(path, SERVICE, "Type").await?;
        let remains: bool = line.property(path, SERVICE, "RemainAfterExit").await?;
        if kind == "oneshot" && !remains {
            return Ok(Some(format!(
                "{unit} has Type=oneshot without RemainAfterExit=yes, so it never counts as running"
            )));
        }
    }
    Ok(None)
}

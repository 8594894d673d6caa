//! `validate`: checks a configuration and tells everything that is wrong with it.

use std::path::Path;

use super::arguments::Validate;
use super::exit::{Code, Ending, Failure};
use super::locate;
use super::out::Out;
use crate::app;
use crate::config;

pub(super) fn validate(out: Out, given: Option<&Path>, how: &Validate) -> Ending {
    let file = locate::config_file(given)?;
    let mut loaded = config::load_with_scripts(&file)
        .map_err(|error| Failure::told(Code::Config, error.to_string()))?;
    loaded
        .warnings
        .merge(app::scripts::odd_units(&loaded.units));
    locate::warn(out, &loaded.warnings);
    if how.effective {
        out.print(&config::effective(&loaded.config))?;
    }
    let warnings = loaded.warnings.list.len() + loaded.warnings.more;
    if how.strict && warnings > 0 {
        let message = match warnings {
            1 => "keepstart: one warning, which --strict counts as a fault".to_owned(),
            _ => format!("keepstart: {warnings} warnings, which --strict counts as faults"),
        };
        return Err(Failure::told(Code::Config, message));
    }
    if !how.effective {
        let count = loaded.config.settings.instances.len();
        let instances = if count == 1 { "instance" } else { "instances" };
        out.line(&format!("{}: good, {count} {instances}", file.display()))?;
    }
    Ok(Code::Fine)
}

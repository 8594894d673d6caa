//! `timeline`: asks the daemon once what became of each change of role; `draw` makes it visible.

pub(super) mod draw;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::arguments;
use super::exit::{Code, Ending, Failure};
use super::locate::Target;
use super::out::Out;
use draw::{Canvas, Glyphs};

/// How long the daemon may take for a line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The width of what no terminal shows.
const COLUMNS: usize = 100;

pub(super) fn timeline(out: Out, given: Option<&Path>, what: &arguments::Timeline) -> Ending {
    let target = Target::find(out, given)?;
    let mut client = target.connect()?;
    let answer = client
        .timeline(what.instance.clone(), Some(what.last), PATIENCE)
        .map_err(|error| target.failure(&client, error))?;
    if what.json {
        let json = serde_json::to_string_pretty(&answer);
        out.line(&json.map_err(|error| Failure::of(Code::Failed, error))?)?;
    } else {
        out.print(&draw::timeline(&answer, &canvas(out)))?;
    }
    Ok(Code::Fine)
}

/// What is drawn on: the terminal as it is.
pub(super) fn canvas(out: Out) -> Canvas {
    let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(variable);
    let is_utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    let glyphs = if is_utf8 && variable("NO_COLOR").is_none() {
        Glyphs::Blocks
    } else {
        Glyphs::Plain
    };
    Canvas {
        out,
        width: out.width().unwrap_or(COLUMNS),
        glyphs,
        zone: TimeZone::system(),
    }
}

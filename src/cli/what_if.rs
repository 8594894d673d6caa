//! `replay --config OTHER`: what another configuration would have decided in the world of a recording, as a
//! diff.

use std::path::Path;

use super::arguments::Replay;
use super::exit::{Code, Ending, Failure};
use super::locate;
use super::out::Out;
use super::replay::{Stopped, empty, open};
use crate::machine::Time;
use crate::machine::settings::Settings;
use crate::record::{Begin, Entry, Origin};
use crate::replay::{Clock, Difference, Other, Read, Reader, differences};

/// One recording of the file.
struct Life {
    origin: Origin,
    begin: Begin,
    entries: Vec<Entry>,
}

pub(super) fn what_if(out: Out, other: &Path, what: &Replay) -> Ending {
    let loaded = locate::read(other)?;
    let settings = &loaded.config.settings;
    let lives = read(&what.file).map_err(|stopped| stopped.failure(&what.file))?;
    if lives.is_empty() {
        return Err(empty(&what.file));
    }
    let name = other.display();
    let mut different = 0;
    for life in lives {
        different += compare(out, life, settings, what.json)?;
    }
    let code = if different == 0 {
        Code::Fine
    } else {
        Code::Failed
    };
    let said = match different {
        0 => format!("{name} would have decided the same"),
        1 => format!("1 decision would have been another one with {name}"),
        count => format!("{count} decisions would have been others with {name}"),
    };
    note(out, what.json, &said)?;
    Ok(code)
}

fn read(path: &Path) -> Result<Vec<Life>, Stopped> {
    let mut reader = Reader::new(open(path)?);
    let mut lives: Vec<Life> = Vec::new();
    let mut last = Time::ZERO;
    while let Some(told) = reader.read()? {
        match told {
            Read::Recording(header) => {
                last = Time::ZERO;
                lives.push(Life {
                    origin: header.origin,
                    begin: header.begin,
                    entries: Vec::new(),
                });
            }
            Read::Step(entry) if entry.at < last => {
                let line = reader.line();
                let message =
                    format!("line {line} is damaged: its time lies before that of the step before");
                return Err(Stopped::Damaged(message));
            }
            Read::Step(entry) => {
                last = entry.at;
                if let Some(life) = lives.last_mut() {
                    life.entries.push(entry);
                }
            }
            Read::End { .. } | Read::Torn | Read::Unended => {}
        }
    }
    Ok(lives)
}

/// Prints what differs in one recording, and what does not; returns how much.
fn compare(out: Out, life: Life, settings: &Settings, json: bool) -> Result<u64, Failure> {
    let Life {
        origin,
        begin,
        entries,
    } = life;
    let other = Other::of(&origin, begin, entries);
    let clock = Clock::new(&origin, other.begins());
    for address in other.unrecorded(settings) {
        note(
            out,
            json,
            &format!(
                "{address} was not watched, so the recording does not tell whether it was here: taken for absent"
            ),
        )?;
    }
    for nic in other.unrecorded_nics(settings) {
        note(
            out,
            json,
            &format!(
                "{nic} was not watched, so the recording does not tell how it came, went or changed its name: \
                 taken as it was at a reading of all"
            ),
        )?;
    }
    let before = other.live(None);
    let after = other.live(Some(settings));
    let mut different = 0;
    for difference in differences(&before, &after) {
        different += u64::from(!difference.is_none());
        show(out, &clock, &difference, json)?;
    }
    Ok(different)
}

fn show(out: Out, clock: &Clock, difference: &Difference, json: bool) -> Result<(), Failure> {
    let Difference {
        instance,
        what,
        before,
        after,
    } = difference;
    if json {
        let line = serde_json::json!({
            "instance": instance,
            "decision": what,
            "recorded_at": before,
            "other_at": after,
        });
        return out.line(&line.to_string());
    }
    let columns = clock.columns(difference.at());
    let (mark, verdict) = (difference.mark(), difference.verdict());
    out.line(&format!("{mark} {columns}  {instance}: {what} ({verdict})"))
}

fn note(out: Out, json: bool, text: &str) -> Result<(), Failure> {
    if json {
        out.note(text);
        return Ok(());
    }
    out.line(&format!("# {text}"))
}

//! The answers to `timeline` and `why`. Part of a connection's task on the service thread.

use std::io;

use super::conversation::unknown;
use super::explain::{Explanation, TRANSITIONS_SHOWN};
use super::peer::CommandLines;
use super::protocol::{Answer, Refusal};
use super::server::Shared;
use super::writer::Connection;
use crate::machine::settings::InstanceName;
use crate::timeline::document::TimelineDocument;

/// Says the timeline of one instance or of all. One that the configuration no longer has may still have entries.
pub(super) async fn say_timeline(
    connection: &mut Connection,
    shared: &Shared,
    name: Option<InstanceName>,
    last: Option<usize>,
) -> io::Result<Result<(), Refusal>> {
    let (document, entries) = {
        let clock = shared.context.clock;
        let timeline = shared.context.timeline.borrow();
        TimelineDocument::of(
            &timeline,
            name.as_ref(),
            last,
            clock.now(),
            clock.zero_unix_ms(),
        )
    };
    if let Some(name) = name.as_ref().filter(|_| document.kept == 0)
        && shared
            .context
            .board
            .borrow()
            .instance(name.as_str())
            .is_none()
    {
        return Ok(Err(unknown(name, shared)));
    }
    connection.say(&Answer::Timeline(document)).await?;
    for entry in entries {
        connection.say(&Answer::Entry(Box::new(entry))).await?;
    }
    Ok(Ok(()))
}

/// Why the instance is as it is.
pub(super) async fn explanation(
    shared: &Shared,
    name: &InstanceName,
    command_lines: CommandLines,
) -> Result<Answer, Refusal> {
    let freshness = shared.freshness().await;
    let context = &shared.context;
    let (now, zero_unix_ms) = (context.clock.now(), context.clock.zero_unix_ms());
    let board = context.board.borrow();
    let Some(view) = board.instance(name.as_str()).cloned() else {
        drop(board);
        return Err(unknown(name, shared));
    };
    let timeline = context.timeline.borrow();
    let last = Some(TRANSITIONS_SHOWN);
    let (_, entries) = TimelineDocument::of(&timeline, Some(name), last, now, zero_unix_ms);
    let mut explanation = Explanation::of(&view, board.kernel(), now, freshness, command_lines);
    explanation.transitions = entries;
    Ok(Answer::Why(Box::new(explanation)))
}

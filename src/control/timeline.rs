//! The answer to `timeline`. Part of a connection's task on the service thread.

use std::io;

use super::conversation::unknown;
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

//! The log: `tracing` events to a terminal, the journal or a file. Any thread may log and none ever waits: an
//! event becomes an owned record in a bounded queue, and one thread of its own, `log`, writes. What does not
//! fit is dropped and counted.
//!
//! With a `logging:` section ([`crate::config::logging`]) the thread writes as Python's logging would: `python` has
//! its loggers, handlers and formats. What it cannot write there it writes where the log goes without the section.

mod journal;
mod line;
mod message_id;
mod python;
mod queue;
mod record;
mod sink;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

pub use message_id::MessageId;
pub use queue::{Counts, Flushed};
use queue::{Queue, QueueLayer};
use sink::{JOURNAL_SOCKET, Sink, Stream};

use crate::config::logging::Plan;

/// The target of what scripts print. It may fill half of the queue, so that a script that prints without end
/// does not push the daemon's own words out.
pub const OUTPUT_TARGET: &str = "output";

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The journal where stderr is connected to it (`JOURNAL_STREAM`, systemd.exec(5)), else stderr.
    Automatic,
    /// This file, for a daemon without a terminal and without a journal. It is appended to, and renamed to
    /// `NAME.1` when it exceeds 10 MiB.
    File(PathBuf),
}

/// How to log.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// Where.
    pub destination: Destination,
    /// What; see [`filter`].
    pub filter: Targets,
    /// A `logging:` section; then `destination` is for what the section's own ways do not take.
    pub plan: Option<Plan>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The file cannot be written.
    #[error("cannot log to {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no stderr.
    #[error("cannot log to stderr")]
    Stderr(#[source] io::Error),
    /// There is no thread to be had.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Something in this process logs elsewhere already.
    #[error("the log is set up already")]
    Twice,
}

/// A text that says what to log, and means nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot understand {text:?}: expected a level (error, warn, info, debug, trace, off) or TARGET=LEVEL,…"
)]
pub struct FilterError {
    text: String,
    /// `None`: it has a word that is neither a level nor a part of this program.
    source: Option<tracing_subscriber::filter::ParseError>,
}

/// What to log: a level, or a list like `info,keepstart::source=debug`, which is the syntax of `RUST_LOG`
/// without its parts about fields. Without a text: INFO and above.
pub fn filter(text: Option<&str>) -> Result<Targets, FilterError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Targets::new().with_default(LevelFilter::INFO));
    };
    let refused = |source| FilterError {
        text: text.to_owned(),
        source,
    };
    // A word alone may be a target; but there is nothing to be heard of others, and a level that is misspelt would
    // be one of those.
    let means_something =
        |word: &str| LevelFilter::from_str(word).is_ok() || word.starts_with("keepstart");
    let mut words = text.split(',').map(str::trim);
    if !words.all(|word| word.contains('=') || means_something(word)) {
        return Err(refused(None));
    }
    Targets::from_str(text).map_err(|source| refused(Some(source)))
}

/// What the `logging:` section wants to be logged.
pub fn filter_of(plan: &Plan) -> Targets {
    Targets::new().with_default(python::filter(plan))
}

/// The handle of the running log.
#[derive(Debug)]
pub struct Guard {
    queue: Arc<Queue>,
    filter: reload::Handle<Targets, Registry>,
}

impl Guard {
    /// Waits until all that has been logged so far is written, but not longer than `patience`.
    pub fn flush(&self, patience: Duration) -> Flushed {
        self.queue.flush(patience)
    }

    /// What was lost on the way.
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }

    /// Says how many more lines of scripts' output would be taken now; may be asked on any thread.
    pub fn output_room(&self) -> impl Fn() -> usize + Send + use<> {
        let queue = Arc::clone(&self.queue);
        move || queue.output_room()
    }

    /// Opens the log files again: logrotate may have renamed them. Does not wait for it.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Follows another `logging:` section from now on, or none. Does not wait for it.
    pub fn set_plan(&self, plan: Option<Plan>) {
        self.queue.set_plan(plan);
    }

    /// Logs something else from now on.
    pub fn set_filter(&self, filter: Targets) {
        // The only error is that the subscriber is gone, and with it everything that could be filtered.
        let _ = self.filter.reload(filter);
    }
}

/// Sets the log up for the whole process. Call it when the process will not fork any more: the thread would
/// be missing in the child.
pub fn init(options: TelemetryOptions) -> Result<Guard, TelemetryError> {
    let sink = match options.destination {
        Destination::File(path) => {
            Sink::file(&path).map_err(|source| TelemetryError::Open { path, source })?
        }
        Destination::Automatic => {
            let stderr = Stream::stderr().map_err(TelemetryError::Stderr)?;
            if sink::stderr_is_the_journal() {
                Sink::journal(JOURNAL_SOCKET.into(), stderr)
            } else {
                Sink::Stream(stderr)
            }
        }
    };
    let (subscriber, guard) = start(sink, options.filter)?;
    if options.plan.is_some() {
        guard.set_plan(options.plan);
    }
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    Ok(guard)
}

fn start(
    sink: Sink,
    filter: Targets,
) -> Result<(impl Subscriber + Send + Sync, Guard), TelemetryError> {
    let (queue, writer) = queue::queue(sink);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writer.run())
        .map_err(TelemetryError::Thread)?;
    let (layer, handle) = reload::Layer::new(filter);
    let queue = Arc::new(queue);
    let subscriber = Registry::default()
        .with(layer)
        .with(QueueLayer(Arc::clone(&queue)));
    let guard = Guard {
        queue,
        filter: handle,
    };
    Ok((subscriber, guard))
}

#[cfg(test)]
mod tests;

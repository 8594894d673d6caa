//! Answers that go on: `watch` tells the latest of what has changed, `events` everything that happens.
//! Each runs in its connection's task on the service thread, until the client hangs up or does not read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::conversation::say_status;
use super::peer::CommandLines;
use super::protocol::{Answer, ErrorCode, EventLine, Refusal};
use super::server::Shared;
use super::status::{Freshness, InstanceStatus};
use super::writer::Connection;
use crate::bus::{Notice, Order};
use crate::machine::message::Event;
use crate::machine::settings::InstanceName;
use crate::machine::view::InstanceView;
use crate::record::INSTANCES_MAX;

/// Changes are gathered for so long: 20 times a second is more than a person sees, and few lines even where
/// a hundred changes come in one go.
const GATHER: Duration = Duration::from_millis(50);

/// The whole is told anew at most so often, however often the client falls behind.
const WHOLE_EVERY: Duration = Duration::from_secs(1);

/// A stream in which nothing happens shows so often that it is alive. Seldom: it asks the reactor, which wakes three
/// times for it that need not be woken. The end of the daemon closes the connection and is told at once.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// How long the reactor may take to copy its last inputs.
const RECORD_DEADLINE: Duration = Duration::from_secs(5);

/// What has changed since the last line: the latest of each instance, `None` for one that is gone.
#[derive(Default)]
struct Changes {
    latest: BTreeMap<InstanceName, Option<Arc<InstanceView>>>,
    whole: bool,
}

impl Changes {
    fn take(&mut self, notice: Notice, of: Option<&InstanceName>) {
        let (name, view) = match notice {
            Notice::Instance(view) => (view.name.clone(), Some(view)),
            Notice::Gone(name) => (name, None),
            Notice::Event(_) => return,
            Notice::Whole => return self.whole = true,
        };
        if of.is_none_or(|of| *of == name) {
            self.latest.insert(name, view);
        }
    }

    /// Takes in all that is there already.
    fn take_all(&mut self, notices: &mut Receiver<Notice>, of: Option<&InstanceName>) {
        loop {
            match notices.try_recv() {
                Ok(notice) => self.take(notice, of),
                Err(TryRecvError::Lagged(_)) => self.whole = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn any(&self) -> bool {
        self.whole || !self.latest.is_empty()
    }
}

/// Tells the status, and then every change.
pub(super) async fn watch(
    connection: &mut Connection,
    shared: &Shared,
    of: Option<InstanceName>,
) -> io::Result<()> {
    let of = of.as_ref();
    let mut notices = shared.context.board.borrow().watch();
    let mut freshness = say_status(connection, shared, of).await?;
    let mut told_at = Instant::now();
    let mut whole_told_at = told_at;
    loop {
        let mut changes = Changes::default();
        let heartbeat = told_at + HEARTBEAT;
        while !changes.any() {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(notice) => changes.take(notice, of),
                    Err(RecvError::Lagged(_)) => changes.whole = true,
                    Err(RecvError::Closed) => return Ok(()),
                },
                () = connection.hung_up() => return Ok(()),
                () = sleep_until(heartbeat) => break,
            }
        }
        sleep_until(told_at + GATHER).await;
        changes.take_all(&mut notices, of);
        if changes.whole {
            sleep_until(whole_told_at + WHOLE_EVERY).await;
            // What the queue holds is older than what is told now.
            notices = shared.context.board.borrow().watch();
            freshness = say_status(connection, shared, of).await?;
            whole_told_at = Instant::now();
        } else if changes.any() {
            say_changes(connection, shared, changes, freshness).await?;
        } else {
            freshness = shared.freshness().await;
            let daemon = shared.daemon(freshness);
            connection.say(&Answer::Daemon(Box::new(daemon))).await?;
        }
        connection.flush().await?;
        told_at = Instant::now();
    }
}

async fn say_changes(
    connection: &mut Connection,
    shared: &Shared,
    changes: Changes,
    freshness: Freshness,
) -> io::Result<()> {
    for (name, view) in changes.latest {
        let answer = match view {
            Some(view) => {
                let now = shared.context.clock.now();
                Answer::Instance(Box::new(InstanceStatus::of(&view, now, freshness)))
            }
            None => Answer::Gone(name),
        };
        connection.say(&answer).await?;
    }
    Ok(())
}

/// Tells everything that happens from now on.
pub(super) async fn events(
    connection: &mut Connection,
    shared: &Shared,
    of: Option<InstanceName>,
    command_lines: CommandLines,
) -> io::Result<()> {
    let mut notices = shared.context.board.borrow().watch();
    let pong = shared.pong(shared.freshness().await);
    connection.say(&Answer::Pong(pong)).await?;
    connection.flush().await?;
    let mut heartbeat = Instant::now() + HEARTBEAT;
    loop {
        tokio::select! {
            notice = timeout_at(heartbeat, notices.recv()) => match notice {
                Ok(Ok(Notice::Event(event))) => {
                    let event = match command_lines {
                        CommandLines::Told => event,
                        CommandLines::LeftOut => without_command_line(event),
                    };
                    say_event(connection, shared, event, of.as_ref()).await?;
                }
                Ok(Ok(Notice::Instance(_) | Notice::Gone(_) | Notice::Whole)) => {}
                Ok(Err(RecvError::Lagged(missed))) => {
                    connection.say(&Answer::Lagged { missed }).await?;
                }
                Ok(Err(RecvError::Closed)) => return Ok(()),
                Err(_) => {
                    let pong = shared.pong(shared.freshness().await);
                    connection.say(&Answer::Pong(pong)).await?;
                    heartbeat = Instant::now() + HEARTBEAT;
                }
            },
            () = connection.hung_up() => return Ok(()),
        }
        if notices.is_empty() {
            connection.flush().await?;
        }
    }
}

/// The event as who may not see the command lines is told it: theirs is empty.
fn without_command_line(event: Arc<Event>) -> Arc<Event> {
    let mut bare = event;
    if let Event::JobStarted { .. } = &*bare
        && let Event::JobStarted { command, .. } = Arc::make_mut(&mut bare)
    {
        command.clear();
    }
    bare
}

async fn say_event(
    connection: &mut Connection,
    shared: &Shared,
    event: Arc<Event>,
    of: Option<&InstanceName>,
) -> io::Result<()> {
    if let (Some(of), Some(whose)) = (of, event.instance())
        && of != whose
    {
        return Ok(());
    }
    let at = shared.context.clock.now();
    connection
        .say(&Answer::Event(EventLine {
            at,
            unix_ms: unix_ms(),
            event,
        }))
        .await
}

/// Tells the reactor's last inputs. What is told is copied at once and written down here, a line at a time.
pub(super) async fn record(
    connection: &mut Connection,
    shared: &Shared,
) -> io::Result<Result<(), Refusal>> {
    let ask = async {
        let (sender, receiver) = oneshot::channel();
        let order = Order::Record(sender);
        shared.context.orders.send(order).await.ok()?;
        receiver.await.ok()
    };
    let refusal = |message: String| Ok(Err(Refusal::new(ErrorCode::Unavailable, message)));
    let copied = match timeout(RECORD_DEADLINE, ask).await {
        Ok(Some(Some(copied))) => copied,
        Ok(Some(None)) => {
            return refusal(format!(
                "the last inputs are kept for up to {INSTANCES_MAX} instances; with more, start the daemon with \
                 --record FILE"
            ));
        }
        Ok(None) | Err(_) => return refusal("the reactor does not answer".into()),
    };
    let mut lines = 0;
    for line in copied.lines("an operator asked for it".into()) {
        lines += 1;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end().to_owned();
        connection.say(&Answer::Record(line)).await?;
    }
    connection.say(&Answer::Recorded { lines }).await?;
    Ok(Ok(()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "events carry the time of day for people"
)]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, super::status::millis)
}

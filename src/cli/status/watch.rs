//! `status --watch`: shows what changes, redrawn on a terminal, line by line elsewhere, and over restarts
//! of the daemon. Runs until the reader goes or a signal ends it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use super::render;
use crate::cli::arguments;
use crate::cli::exit::{Ending, Failure};
use crate::cli::locate::Target;
use crate::cli::out::Out;
use crate::control::client::{Client, ClientError, Next, Status};
use crate::control::protocol::{Answer, Request, VERSION, push_answer};
use crate::control::status::{DaemonStatus, InstanceStatus};
use crate::machine::settings::InstanceName;

/// Ages are brought up to date so often.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// Nobody reads faster.
const REDRAW_PAUSE: Duration = Duration::from_millis(100);

/// The daemon shows so often that it is alive, and twice that is too long.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// The waits before connecting again: the first, doubled up to the longest.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_LONGEST: Duration = Duration::from_secs(2);

pub(super) fn watch(out: Out, target: &Target, what: &arguments::Status) -> Ending {
    // A daemon that never was is no daemon to wait for.
    let mut client = target.connect()?;
    loop {
        match follow(&mut client, out, what) {
            Ok(never) => match never {},
            Err(Lost::Failure(failure)) => return Err(failure),
            Err(Lost::Client(error @ ClientError::Refused(_))) => {
                return Err(target.failure(&client, error));
            }
            Err(Lost::Client(error)) => {
                out.note(&format!("keepstart: {error}; waiting for the daemon"));
            }
        }
        client = reconnect(target);
        out.note("keepstart: connected again");
    }
}

fn reconnect(target: &Target) -> Client {
    let mut pause = RECONNECT_FIRST;
    loop {
        thread::sleep(pause);
        match target.connect() {
            Ok(client) => return client,
            Err(_) => pause = (pause * 2).min(RECONNECT_LONGEST),
        }
    }
}

/// Why following ended.
enum Lost {
    Client(ClientError),
    Failure(Failure),
}

impl From<ClientError> for Lost {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn follow(
    client: &mut Client,
    out: Out,
    what: &arguments::Status,
) -> Result<std::convert::Infallible, Lost> {
    client.ask(&Request::Watch(what.instance.clone()))?;
    if what.json {
        follow_json(client, out)
    } else if out.is_terminal() {
        follow_on_terminal(client, out)
    } else {
        follow_in_lines(client, out)
    }
}

fn follow_json(client: &mut Client, out: Out) -> Result<std::convert::Infallible, Lost> {
    loop {
        let mut line = Vec::new();
        push_answer(&mut line, &client.answer(SILENCE_MAX)?);
        out.write(&line)?;
    }
}

fn follow_in_lines(client: &mut Client, out: Out) -> Result<std::convert::Infallible, Lost> {
    let mut told = BTreeMap::new();
    loop {
        match client.answer(SILENCE_MAX)? {
            Answer::Instance(status) => {
                // The whole is told again after a lag: what has not changed is not repeated.
                let essence = (
                    status.role,
                    status.service,
                    status.job.as_ref().map(|job| job.action),
                    status.next.what.clone(),
                );
                if told.insert(status.name.clone(), essence.clone()) != Some(essence) {
                    out.line(&render::one_line(&status, out))?;
                }
            }
            Answer::Gone(name) => {
                told.remove(&name);
                out.line(&format!("{name}  is no longer configured"))?;
            }
            Answer::Daemon(_)
            | Answer::Complete { .. }
            | Answer::Pong(_)
            | Answer::Event(_)
            | Answer::Timeline(_)
            | Answer::Entry(_)
            | Answer::Why(_)
            | Answer::Lagged { .. }
            | Answer::Reloaded { .. }
            | Answer::Stopping { .. }
            | Answer::Auditing {}
            | Answer::Record(_)
            | Answer::Recorded { .. } => {}
        }
    }
}

/// What is on the screen.
#[derive(Default)]
struct Screen {
    daemon: Option<(DaemonStatus, Option<Instant>)>,
    instances: BTreeMap<InstanceName, (InstanceStatus, Option<Instant>)>,
    /// The instances of a status that is being told: what is not among them has gone.
    arriving: Option<BTreeMap<InstanceName, (InstanceStatus, Option<Instant>)>>,
}

fn follow_on_terminal(client: &mut Client, out: Out) -> Result<std::convert::Infallible, Lost> {
    let mut screen = Screen {
        arriving: Some(BTreeMap::new()),
        ..Screen::default()
    };
    let mut drawn_at = None;
    let mut heard_at = now();
    loop {
        let silent = match client.next(REDRAW_EVERY)? {
            Next::Answer(answer) => {
                heard_at = now();
                screen.take(*answer, heard_at);
                false
            }
            Next::Silence if now() - heard_at > SILENCE_MAX => {
                return Err(ClientError::TimedOut(SILENCE_MAX).into());
            }
            Next::Silence => true,
            Next::End => return Err(ClientError::Closed.into()),
        };
        let rested = drawn_at.is_none_or(|at| now() - at >= REDRAW_PAUSE);
        if screen.arriving.is_none() && (silent || rested) {
            out.print(&screen.draw(out, now()))?;
            drawn_at = Some(now());
        }
    }
}

impl Screen {
    fn take(&mut self, answer: Answer, at: Instant) {
        match answer {
            Answer::Daemon(daemon) => self.daemon = Some((*daemon, Some(at))),
            Answer::Instance(status) => {
                let instances = self.arriving.as_mut().unwrap_or(&mut self.instances);
                instances.insert(status.name.clone(), (*status, Some(at)));
            }
            Answer::Gone(name) => drop(self.instances.remove(&name)),
            Answer::Complete { .. } => {
                if let Some(arrived) = self.arriving.take() {
                    self.instances = arrived;
                }
            }
            Answer::Pong(_)
            | Answer::Event(_)
            | Answer::Timeline(_)
            | Answer::Entry(_)
            | Answer::Why(_)
            | Answer::Lagged { .. }
            | Answer::Reloaded { .. }
            | Answer::Stopping { .. }
            | Answer::Auditing {}
            | Answer::Record(_)
            | Answer::Recorded { .. } => {}
        }
    }

    /// The screen from its upper left corner; as many lines as it has.
    fn draw(&self, out: Out, now: Instant) -> String {
        let Some((daemon, told_at)) = &self.daemon else {
            return String::new();
        };
        let since = |at: &Option<Instant>| at.map_or(Duration::ZERO, |at| now - at);
        let mut daemon = daemon.clone();
        let age = u64::try_from(since(told_at).as_millis()).unwrap_or(u64::MAX);
        daemon.uptime_ms = daemon.uptime_ms.saturating_add(age);
        let instances = self.instances.values().map(|(status, at)| {
            let mut status = status.clone();
            status.grow_older(since(at));
            status
        });
        let status = Status {
            v: VERSION,
            daemon,
            instances: instances.collect(),
        };
        let text = render::status(&status, out);
        let rows = tcgetwinsize(std::io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        // Without the terminal's own line breaks, one line of text is one line of the screen.
        let mut screen = String::from("\x1b[?7l\x1b[H");
        let room = rows.saturating_sub(1).max(1);
        for line in text.lines().take(room) {
            screen.push_str(line);
            screen.push_str("\x1b[K\n");
        }
        screen.push_str("\x1b[J\x1b[?7h");
        screen
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ages on the screen grow between the daemon's answers"
)]
fn now() -> Instant {
    Instant::now()
}

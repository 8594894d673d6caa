//! One connection from its request to its last answer. A task of the service thread for each connection.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::peer::{CommandLines, Peer};
use super::protocol::{Answer, ErrorCode, Refusal, Request};
use super::server::Shared;
use super::status::{Freshness, InstanceStatus};
use super::stream;
use super::timeline::{explanation, say_timeline};
use super::writer::Connection;
use crate::bus;
use crate::config::did_you_mean;
use crate::machine::settings::InstanceName;

/// How long the application may take for a request: a reload reads a file, which it bounds itself.
const REQUEST_DEADLINE: Duration = Duration::from_secs(75);

/// So many names are compared with one that is not known: to compare takes a microsecond or so each.
const NAMES_COMPARED_MAX: usize = 1_000;

/// Reads the request and answers it. Whatever goes wrong concerns this client alone.
pub(super) async fn hold(stream: UnixStream, peer: Peer, shared: &Shared) {
    let mut connection = Connection::new(stream);
    if let Err(error) = answer(&mut connection, peer, shared).await {
        tracing::debug!("a client of the control socket was dropped: {error}");
    }
}

async fn answer(connection: &mut Connection, peer: Peer, shared: &Shared) -> io::Result<()> {
    let request = match connection.read_request().await? {
        // A client that connects and goes, as a probe does, gets no answer.
        Ok(line) if line.is_empty() => return Ok(()),
        Ok(line) => Request::parse(&line).and_then(|request| {
            peer.may(&request).map_err(|denied| shared.deny(denied))?;
            Ok(request)
        }),
        Err(refusal) => Err(refusal),
    };
    let result = match request {
        Ok(request) => fulfil(request, connection, peer.command_lines(), shared).await?,
        Err(refusal) => Err(refusal),
    };
    match result {
        Ok(()) => connection.flush().await,
        Err(refusal) => connection.refuse(&refusal).await,
    }
}

async fn fulfil(
    request: Request,
    connection: &mut Connection,
    command_lines: CommandLines,
    shared: &Shared,
) -> io::Result<Result<(), Refusal>> {
    if let Request::Status(Some(name))
    | Request::Watch(Some(name))
    | Request::Events(Some(name))
    | Request::Why(name) = &request
        && shared
            .context
            .board
            .borrow()
            .instance(name.as_str())
            .is_none()
    {
        return Ok(Err(unknown(name, shared)));
    }
    let answer = match request {
        Request::Ping => Ok(Answer::Pong(shared.pong(shared.freshness().await))),
        Request::Status(name) => {
            say_status(connection, shared, name.as_ref()).await?;
            return Ok(Ok(()));
        }
        Request::Timeline(name, last) => return say_timeline(connection, shared, name, last).await,
        Request::Watch(name) => return stream::watch(connection, shared, name).await.map(Ok),
        Request::Events(name) => {
            let told = stream::events(connection, shared, name, command_lines).await;
            return told.map(Ok);
        }
        Request::Why(name) => explanation(shared, &name, command_lines).await,
        Request::Record => return stream::record(connection, shared).await,
        Request::Reload => ask(shared, bus::Request::Reload).await.and_then(|result| {
            result
                .map(|summary| Answer::Reloaded { summary })
                .map_err(|faults| Refusal::new(ErrorCode::Faults, faults))
        }),
        Request::Stop => ask(shared, bus::Request::Shutdown)
            .await
            .map(|()| Answer::Stopping {
                pid: std::process::id(),
            }),
        Request::Audit(name) => {
            let result = ask(shared, |sender| bus::Request::Audit(name, sender)).await;
            result.and_then(|result| {
                result
                    .map(|()| Answer::Auditing {})
                    .map_err(|error| Refusal::new(ErrorCode::UnknownInstance, error))
            })
        }
    };
    match answer {
        Ok(answer) => connection.say(&answer).await.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// There is no such instance, but perhaps one of a similar name.
pub(super) fn unknown(name: &InstanceName, shared: &Shared) -> Refusal {
    let board = shared.context.board.borrow();
    let views = board.instances().take(NAMES_COMPARED_MAX);
    let known: Vec<_> = views.map(|view| view.name.as_str()).collect();
    let hint = did_you_mean(name.as_str(), &known).unwrap_or_default();
    let message = format!("there is no instance {name}{hint}");
    Refusal::new(ErrorCode::UnknownInstance, message)
}

/// Asks the application for something and waits for its answer.
async fn ask<T>(
    shared: &Shared,
    request: impl FnOnce(oneshot::Sender<T>) -> bus::Request,
) -> Result<T, Refusal> {
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        shared.context.requests.send(request(sender)).await.ok()?;
        receiver.await.ok()
    };
    match timeout(REQUEST_DEADLINE, asked).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Refusal::new(
            ErrorCode::Unavailable,
            "the daemon is ending".into(),
        )),
        Err(_) => {
            let message = format!("the daemon did not answer within {REQUEST_DEADLINE:?}");
            Err(Refusal::new(ErrorCode::Unavailable, message))
        }
    }
}

/// Says the daemon, one instance or all, and that this was all; returns how fresh it is.
pub(super) async fn say_status(
    connection: &mut Connection,
    shared: &Shared,
    name: Option<&InstanceName>,
) -> io::Result<Freshness> {
    let freshness = shared.freshness().await;
    connection
        .say(&Answer::Daemon(Box::new(shared.daemon(freshness))))
        .await?;
    // The board is not held over a wait: these are handles, and a change meanwhile is a later line's
    // matter.
    let views: Vec<_> = {
        let board = shared.context.board.borrow();
        match name {
            Some(name) => board.instance(name.as_str()).cloned().into_iter().collect(),
            None => board.instances().cloned().collect(),
        }
    };
    for view in &views {
        let now = shared.context.clock.now();
        let status = InstanceStatus::of(view, now, freshness);
        connection.say(&Answer::Instance(Box::new(status))).await?;
    }
    connection
        .say(&Answer::Complete {
            instances: views.len(),
        })
        .await?;
    connection.flush().await?;
    Ok(freshness)
}

//! What systemd tells unasked, read from the connection and handed on: ends of its jobs, changed states of units, and
//! that it was away. A task of the thread `units`, which never waits for anything else: as long as it reads, answers
//! to calls come through.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::Notify;
use zbus::message::Type;
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{Message, MessageStream};

use super::desk::Desk;
use super::line::{BUS, Line, PROPERTIES, UNIT};
use crate::machine::unit::UnitName;

/// The objects that are followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// By path, which units an object stands for (several where a unit has several names), and its last known state.
    pub(super) objects: BTreeMap<String, (BTreeSet<UnitName>, String)>,
}

/// What the task hands on to.
pub(super) struct Hearing {
    pub(super) line: Rc<Line>,
    /// Which connection it is.
    pub(super) attempt: u64,
    pub(super) desk: Arc<Desk>,
    pub(super) followed: Rc<RefCell<Followed>>,
    /// Rung when the units have to be followed anew.
    pub(super) anew: Rc<Notify>,
}

impl Hearing {
    /// Reads until the connection is lost.
    pub(super) async fn run(self, mut messages: MessageStream) {
        while let Some(Ok(message)) = messages.next().await {
            if message.message_type() == Type::Signal {
                // What cannot be read is nothing that is known here.
                let _ = self.hear(&message);
            }
        }
        if self.line.lost(self.attempt) {
            // A new connection is told anew what to hand on.
            self.followed.borrow_mut().objects.clear();
            self.line.broke();
            self.anew.notify_one();
        }
    }

    fn hear(&self, message: &Message) -> Result<(), zbus::Error> {
        let header = message.header();
        let sender = header.sender().map_or("", |name| name.as_str());
        let member = header.member().map_or("", |name| name.as_str());
        let body = message.body();
        // The bus says itself who sends; anybody may send us a signal.
        if sender == BUS && member == "NameOwnerChanged" {
            let (_, _, owner): (&str, &str, &str) = body.deserialize()?;
            self.line.set_owner(owner);
            if !owner.is_empty() {
                tracing::info!("systemd has executed itself anew: its units are looked at again");
                self.anew.notify_one();
            }
        } else if !self.line.is_systemd(sender) {
        } else if member == "JobRemoved" {
            let (_, job, _, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize()?;
            self.line.job_removed(&job, result);
        } else if member == "Reloading" {
            let begins: bool = body.deserialize()?;
            if !begins {
                // The units may have other names now.
                self.anew.notify_one();
            }
        } else if member == "PropertiesChanged"
            && header.interface().is_some_and(|name| name == PROPERTIES)
            && let Some(path) = header.path()
        {
            let (interface, changed, _): (&str, HashMap<&str, Value<'_>>, Vec<&str>) =
                body.deserialize()?;
            if interface == UNIT
                && let Some(Value::Str(state)) = changed.get("ActiveState")
            {
                self.state_is(path.as_str(), state.as_str());
            }
        }
        Ok(())
    }

    /// systemd repeats a unit's state with whatever else changes; only another state is worth a question.
    fn state_is(&self, path: &str, state: &str) {
        let mut followed = self.followed.borrow_mut();
        if let Some((units, last)) = followed.objects.get_mut(path)
            && last != state
        {
            state.clone_into(last);
            self.desk.changed(units.iter().cloned());
        }
    }
}

//! The line to systemd: one connection to the system bus, made when it is needed and made again when it is lost.
//! Used by the tasks of the thread `units` only. Every call has a deadline.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type};
use zbus::{Connection, Message};

/// How long the bus may take to let us in.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long systemd may take to answer. While it reads its units anew it answers nobody.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Why systemd was not asked, or did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum LineError {
    #[error("this machine was not booted with systemd (there is no /run/systemd/system)")]
    NoSystemd,
    #[error("the system bus cannot be reached: {0}")]
    NoBus(String),
    #[error("systemd has not answered for {} s", CALL_DEADLINE.as_secs())]
    NoAnswer,
    /// systemd is executing itself anew, or the bus has gone, perhaps while it was asked.
    #[error("systemd is away from the bus: {0}")]
    Away(String),
    #[error("{0}")]
    NoSuchUnit(String),
    #[error("{0}")]
    Refused(String),
    #[error("systemd gave an answer that cannot be read: {0}")]
    Odd(String),
}

impl LineError {
    /// Whether it passes when systemd is back.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// Whether it is certain that nothing was done.
    pub(super) fn did_nothing(&self) -> bool {
        matches!(
            self,
            Self::NoSystemd | Self::NoBus(_) | Self::NoSuchUnit(_) | Self::Refused(_)
        )
    }
}

/// What is heard of jobs between a question and its answer.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// Jobs of systemd that have ended, with their results.
    removed: RefCell<VecDeque<(OwnedObjectPath, String)>>,
    heard: tokio::sync::Notify,
}

impl Ear {
    /// The most ends that are kept. The end that is waited for comes within milliseconds of the answer that names
    /// its job, or while it is waited for; when this is full the oldest goes.
    const KEPT_MAX: usize = 256;

    pub(super) fn hear(&self, job: &OwnedObjectPath, result: &str) {
        let mut removed = self.removed.borrow_mut();
        if removed.len() >= Self::KEPT_MAX {
            removed.pop_front();
        }
        removed.push_back((job.clone(), result.to_owned()));
        drop(removed);
        self.heard.notify_waiters();
    }

    /// How this job has ended, as soon as it has.
    pub(super) async fn result_of(&self, job: &OwnedObjectPath) -> String {
        loop {
            let heard = self.heard.notified();
            let found = {
                let removed = self.removed.borrow();
                removed.iter().find(|(path, _)| path == job).cloned()
            };
            if let Some((_, result)) = found {
                return result;
            }
            heard.await;
        }
    }
}

/// See the file's head.
pub(super) struct Line {
    /// With the number of its attempt.
    connection: RefCell<Option<(u64, Connection)>>,
    attempts: Cell<u64>,
    connecting: Mutex<()>,
    /// Grows whenever something may have gone unheard: the bus was lost, or systemd was away.
    breaks: watch::Sender<u64>,
    ears: RefCell<BTreeMap<u64, Rc<Ear>>>,
    ears_made: Cell<u64>,
    /// systemd's own name on the bus: what comes from anybody else is not believed.
    owner: RefCell<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            connection: RefCell::default(),
            attempts: Cell::default(),
            connecting: Mutex::default(),
            breaks: watch::Sender::new(0),
            ears: RefCell::default(),
            ears_made: Cell::default(),
            owner: RefCell::default(),
        }
    }
}

impl Line {
    /// Listens from now on, until the closure of `Self::deafen`.
    pub(super) fn listen(&self) -> (u64, Rc<Ear>) {
        let number = self.ears_made.get();
        self.ears_made.set(number + 1);
        let ear = Rc::<Ear>::default();
        self.ears.borrow_mut().insert(number, ear.clone());
        (number, ear)
    }

    /// Listens no more.
    pub(super) fn deafen(&self, number: u64) {
        self.ears.borrow_mut().remove(&number);
    }

    /// A job of systemd has ended.
    pub(super) fn job_removed(&self, job: &OwnedObjectPath, result: &str) {
        for ear in self.ears.borrow().values() {
            ear.hear(job, result);
        }
    }

    /// Tells when something may have gone unheard.
    pub(super) fn breaks(&self) -> watch::Receiver<u64> {
        self.breaks.subscribe()
    }

    /// Something may have gone unheard.
    pub(super) fn broke(&self) {
        self.breaks.send_modify(|count| *count += 1);
    }

    /// The connection of this attempt is lost. False if it was none any more, or never became one.
    pub(super) fn lost(&self, attempt: u64) -> bool {
        let mut connection = self.connection.borrow_mut();
        let lost = connection.take_if(|(number, _)| *number == attempt);
        lost.is_some()
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.borrow().is_some()
    }

    pub(super) fn is_systemd(&self, sender: &str) -> bool {
        *self.owner.borrow() == sender
    }

    pub(super) fn set_owner(&self, owner: &str) {
        owner.clone_into(&mut self.owner.borrow_mut());
    }

    /// Sees to it that there is a connection. `begin` is called with a new one, and the number of the attempt.
    pub(super) async fn connect(
        &self,
        begin: impl FnOnce(&Connection, u64),
    ) -> Result<(), LineError> {
        let _one_at_a_time = self.connecting.lock().await;
        if self.is_up() {
            return Ok(());
        }
        let connection = connect().await?;
        let attempt = self.attempts.get() + 1;
        self.attempts.set(attempt);
        begin(&connection, attempt);
        match self.introduce(&connection).await {
            Ok(()) => {
                *self.connection.borrow_mut() = Some((attempt, connection));
                Ok(())
            }
            Err(error) => {
                // Whoever reads from it holds it as well.
                drop(connection.close().await);
                Err(error)
            }
        }
    }

    /// Says what is of interest.
    async fn introduce(&self, connection: &Connection) -> Result<(), LineError> {
        for rule in [
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
            "type='signal',sender='org.freedesktop.systemd1',member='JobRemoved'",
            "type='signal',sender='org.freedesktop.systemd1',member='Reloading'",
        ] {
            call(connection, BUS, BUS_PATH, BUS, "AddMatch", &rule).await?;
        }
        let owner = call(connection, BUS, BUS_PATH, BUS, "GetNameOwner", &SYSTEMD).await?;
        self.set_owner(&read::<String>(&owner)?);
        // Without a subscriber systemd tells nobody anything.
        call(connection, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", &()).await?;
        Ok(())
    }

    /// Has systemd tell of its doings again, after it has executed itself anew.
    pub(super) async fn subscribe(&self) -> Result<(), LineError> {
        self.manage::<()>("Subscribe", &()).await
    }

    /// Has the bus hand on, or no longer, what a unit tells of its properties.
    pub(super) async fn follow(&self, how: Following, path: &str) -> Result<(), LineError> {
        let rule = format!(
            "type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged',path='{path}',\
             arg0='{UNIT}'"
        );
        let method = match how {
            Following::Begin => "AddMatch",
            Following::End => "RemoveMatch",
        };
        let connection = self.current()?;
        call(&connection, BUS, BUS_PATH, BUS, method, &rule).await?;
        Ok(())
    }

    /// Asks systemd itself for something.
    pub(super) async fn manage<T>(
        &self,
        method: &'static str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> Result<T, LineError>
    where
        T: serde::de::DeserializeOwned + Type,
    {
        let connection = self.current()?;
        let answer = call(&connection, SYSTEMD, MANAGER_PATH, MANAGER, method, body).await?;
        read(&answer)
    }

    /// One property of a unit.
    pub(super) async fn property<T>(
        &self,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Result<T, LineError>
    where
        T: TryFrom<OwnedValue>,
        T::Error: std::fmt::Display,
    {
        let connection = self.current()?;
        let body = (interface, name);
        let answer = call(&connection, SYSTEMD, path, PROPERTIES, "Get", &body).await?;
        let value = read::<OwnedValue>(&answer)?;
        T::try_from(value).map_err(|error| LineError::Odd(error.to_string()))
    }

    /// The object of a unit; systemd reads its file where it has not.
    pub(super) async fn load(&self, unit: &str) -> Result<String, LineError> {
        let path: OwnedObjectPath = self.manage("LoadUnit", &unit).await?;
        Ok(path.as_str().to_owned())
    }

    fn current(&self) -> Result<Connection, LineError> {
        let connection = self.connection.borrow();
        let connection = connection
            .as_ref()
            .map(|(_, connection)| connection.clone());
        connection.ok_or_else(|| LineError::Away("the connection was lost".into()))
    }
}

/// Whether a unit's signals are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Following {
    Begin,
    End,
}

async fn connect() -> Result<Connection, LineError> {
    if !Path::new("/run/systemd/system").exists() {
        return Err(LineError::NoSystemd);
    }
    let builder = zbus::connection::Builder::system();
    let builder = builder.map_err(|error| LineError::NoBus(error.to_string()))?;
    match timeout(CONNECT_DEADLINE, builder.build()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(LineError::NoBus(error.to_string())),
        Err(_) => Err(LineError::NoBus("it does not answer".into())),
    }
}

async fn call(
    connection: &Connection,
    whom: &str,
    path: &str,
    interface: &str,
    method: &str,
    body: &(impl serde::Serialize + DynamicType),
) -> Result<Message, LineError> {
    let answer = connection.call_method(Some(whom), path, Some(interface), method, body);
    match timeout(CALL_DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(in_words(error)),
        Err(_) => Err(LineError::NoAnswer),
    }
}

fn read<T>(message: &Message) -> Result<T, LineError>
where
    T: serde::de::DeserializeOwned + Type,
{
    let body = message.body();
    body.deserialize()
        .map_err(|error| LineError::Odd(error.to_string()))
}

/// The names of errors that mean: whoever was asked has gone, perhaps to come back.
const AWAY: [&str; 5] = [
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Disconnected",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.systemd1.ShuttingDown",
];

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

fn in_words(error: zbus::Error) -> LineError {
    if let zbus::Error::MethodError(name, text, _) = error {
        let text = text.unwrap_or_else(|| name.to_string());
        return match name.as_str() {
            away if AWAY.contains(&away) => LineError::Away(text),
            NO_SUCH_UNIT => LineError::NoSuchUnit(text),
            _ => LineError::Refused(text),
        };
    }
    if let zbus::Error::InputOutput(error) = error {
        return LineError::Away(error.to_string());
    }
    LineError::Odd(error.to_string())
}

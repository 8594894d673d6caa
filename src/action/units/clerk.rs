//! The thread `units`: takes orders from the desk, runs a course for each job, and sees to it that the units of the
//! configuration are followed. One current-thread runtime; its tasks share what they know without locks.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zbus::MessageStream;

use super::super::{JobRecorder, now};
use super::course;
use super::desk::{Desk, Orders, Urge};
use super::line::{Following, Line, LineError, UNIT};
use super::signals::{Followed, Hearing};
use crate::machine::job::{Exit, JobId};
use crate::machine::unit::UnitName;
use crate::scheduling::ordinary_thread;

/// How long a question waits for systemd to come back to the bus. It executes itself anew in less than a second.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// The longest that goes by between two attempts in that time, where nobody tells that it is back.
const AWAY_STEP: Duration = Duration::from_millis(500);
/// The first and the longest wait before a bus that cannot be reached is tried again: nobody can tell when it comes.
const REACH_AGAIN_FIRST: Duration = Duration::from_secs(1);
const REACH_AGAIN_MAX: Duration = Duration::from_secs(30);

/// Starts the thread; it ends when the desk is closed.
pub(super) fn start(desk: Arc<Desk>, recorder: Arc<dyn JobRecorder>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let body = move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, work(desk, recorder));
        // A call that systemd does not answer is not waited for.
        runtime.shutdown_background();
    };
    ordinary_thread("units", body)?;
    Ok(())
}

async fn work(desk: Arc<Desk>, recorder: Arc<dyn JobRecorder>) {
    let office = Rc::new(Office {
        line: Rc::default(),
        desk: desk.clone(),
        followed: Rc::default(),
        wanted: RefCell::default(),
        anew: Rc::default(),
    });
    tokio::task::spawn_local(office.clone().follow());
    let mut courses: FuturesUnordered<LocalBoxFuture<'static, (JobId, Exit)>> =
        FuturesUnordered::new();
    let mut urges: BTreeMap<JobId, watch::Sender<Urge>> = BTreeMap::new();
    loop {
        let orders = tokio::select! {
            orders = desk.orders() => orders,
            Some((job, exit)) = courses.next(), if !courses.is_empty() => {
                urges.remove(&job);
                desk.ended(job, exit, now());
                continue;
            }
        };
        let Orders {
            jobs,
            urges: signals,
            watch: wanted,
            closed,
        } = orders;
        if closed {
            return;
        }
        if let Some(wanted) = wanted {
            *office.wanted.borrow_mut() = wanted;
            office.anew.notify_one();
        }
        for job in jobs {
            let (sender, receiver) = watch::channel(Urge::None);
            urges.insert(job.id, sender);
            let (office, recorder) = (office.clone(), recorder.clone());
            courses.push(Box::pin(async move {
                let id = job.id;
                (id, course::run(&office, &job, &*recorder, receiver).await)
            }));
        }
        for (job, urge) in signals {
            // A job may have ended while the signal lay on the desk.
            if let Some(sender) = urges.get(&job) {
                sender.send_modify(|strongest| *strongest = urge.max(*strongest));
            }
        }
    }
}

/// What the tasks of the thread share.
pub(super) struct Office {
    pub(super) line: Rc<Line>,
    desk: Arc<Desk>,
    followed: Rc<RefCell<Followed>>,
    /// The units of the configuration.
    wanted: RefCell<BTreeSet<UnitName>>,
    /// Rung when they have to be followed anew.
    anew: Rc<Notify>,
}

impl Office {
    /// Sees to it that the line is up.
    pub(super) async fn connect(&self) -> Result<(), LineError> {
        if self.line.is_up() {
            return Ok(());
        }
        self.line
            .connect(|connection, attempt| {
                let hearing = Hearing {
                    line: self.line.clone(),
                    attempt,
                    desk: self.desk.clone(),
                    followed: self.followed.clone(),
                    anew: self.anew.clone(),
                };
                tokio::task::spawn_local(hearing.run(MessageStream::from(connection)));
            })
            .await?;
        self.anew.notify_one();
        Ok(())
    }

    /// Asks again while systemd is away from the bus, for some seconds.
    pub(super) async fn patiently<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, LineError>,
    ) -> Result<T, LineError> {
        let patience = Instant::now() + AWAY_MAX;
        loop {
            let mut breaks = self.line.breaks();
            let asked = match self.connect().await {
                Ok(()) => ask().await,
                Err(error) => Err(error),
            };
            match asked {
                Err(error) if error.passes() && Instant::now() < patience => {
                    let until = patience.min(Instant::now() + AWAY_STEP);
                    let _ = timeout_at(until, breaks.changed()).await;
                }
                answered => return answered,
            }
        }
    }

    /// The object of a unit: known where it is followed.
    pub(super) async fn path_of(&self, unit: &UnitName) -> Result<String, LineError> {
        let known = {
            let followed = self.followed.borrow();
            let mut objects = followed.objects.iter();
            let known = objects.find(|(_, (units, _))| units.contains(unit));
            known.map(|(path, _)| path.clone())
        };
        match known {
            Some(path) => Ok(path),
            None => self.line.load(unit.as_str()).await,
        }
    }

    /// Follows the units of the configuration, for ever.
    async fn follow(self: Rc<Self>) {
        let mut again: Option<Duration> = None;
        loop {
            match again {
                None => self.anew.notified().await,
                // A job may reach the bus sooner.
                Some(pause) => drop(timeout(pause, self.anew.notified()).await),
            }
            match self.follow_all().await {
                Ok(()) => {
                    if again.take().is_some() {
                        tracing::info!("changes of units are noticed again");
                    }
                }
                Err(error) => {
                    if again.is_none() {
                        tracing::warn!(
                            "changes of units are not noticed before the audit: {error}"
                        );
                    }
                    let longer = again.map_or(REACH_AGAIN_FIRST, |pause| pause * 2);
                    again = Some(longer.min(REACH_AGAIN_MAX));
                    // What was rung until now is part of what has just failed.
                    sleep(REACH_AGAIN_FIRST.min(longer)).await;
                }
            }
        }
    }

    /// Follows exactly the units that are wanted. Then all of them are said to have changed: what happened before
    /// they were followed was not heard.
    async fn follow_all(&self) -> Result<(), LineError> {
        let wanted = self.wanted.borrow().clone();
        if wanted.is_empty() && !self.line.is_up() {
            return Ok(());
        }
        self.connect().await?;
        match self.line.subscribe().await {
            // It may know us still.
            Ok(()) | Err(LineError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        let mut objects: BTreeMap<String, BTreeSet<UnitName>> = BTreeMap::new();
        for unit in &wanted {
            match self.line.load(unit.as_str()).await {
                Ok(path) => drop(objects.entry(path).or_default().insert(unit.clone())),
                Err(error) if error.did_nothing() => {
                    tracing::warn!("changes of {unit} are not noticed before the audit: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let before: BTreeSet<_> = self.followed.borrow().objects.keys().cloned().collect();
        for path in before.iter().filter(|path| !objects.contains_key(*path)) {
            self.line.follow(Following::End, path).await?;
            self.followed.borrow_mut().objects.remove(path);
        }
        for (path, units) in objects {
            if !before.contains(&path) {
                self.line.follow(Following::Begin, &path).await?;
            }
            let state = self.line.property(&path, UNIT, "ActiveState").await?;
            let mut followed = self.followed.borrow_mut();
            followed.objects.insert(path, (units, state));
        }
        self.line.broke();
        self.desk.changed(wanted);
        Ok(())
    }
}

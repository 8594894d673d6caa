//! The course of one job: systemd is asked to start or stop the units, and the end of its own jobs is waited for; or
//! it is asked in what states they are. Runs as a task of the thread `units`.
//!
//! Units of one job are started, and stopped, together: their order is what the units say themselves (`After=`).

use futures::future::join_all;
use tokio::sync::watch;
use zbus::zvariant::OwnedObjectPath;

use super::super::JobRecorder;
use super::clerk::Office;
use super::desk::Urge;
use super::line::{LineError, UNIT};
use crate::machine::job::{Action, Exit, Job};
use crate::machine::unit::UnitName;

/// SIGKILL, signal(7).
const SIGKILL: i32 = 9;

/// Why a unit is not as it should be.
struct Trouble {
    text: String,
    /// Whether systemd has not even begun.
    did_nothing: bool,
}

/// Runs a job to its end.
pub(super) async fn run(
    office: &Office,
    job: &Job,
    recorder: &dyn JobRecorder,
    mut urges: watch::Receiver<Urge>,
) -> Exit {
    let units = job.command.run.units();
    match job.action {
        Action::IsRunning => tokio::select! {
            exit = ask(office, units) => exit,
            _ = urge_above(&mut urges, Urge::None) => Exit::UnitFailed("it was told to end".into()),
        },
        Action::Start | Action::Stop => {
            // A pending job of systemd is no process that another life of the daemon could find; what has become of
            // the units is asked then.
            recorder.intent(job);
            let exit = act(office, job.action, units, &urges).await;
            if matches!(exit, Exit::NotStarted(_)) {
                recorder.not_spawned(job);
            }
            exit
        }
    }
}

/// What the units do.
async fn ask(office: &Office, units: &[UnitName]) -> Exit {
    let states = office.patiently(async || {
        let mut states = Vec::with_capacity(units.len());
        for unit in units {
            let path = office.path_of(unit).await?;
            states.push(
                office
                    .line
                    .property::<String>(&path, UNIT, "ActiveState")
                    .await?,
            );
        }
        Ok(states)
    });
    match states.await {
        Ok(states) => answer(units, &states),
        Err(error) => Exit::NotStarted(error.to_string()),
    }
}

/// Whether a unit in this state is up. systemd reloads and refreshes a service while it serves.
fn is_up(state: &str) -> bool {
    matches!(state, "active" | "reloading" | "refreshing")
}

/// Whether nothing of a unit in this state runs.
fn is_down(state: &str) -> bool {
    matches!(state, "inactive" | "failed")
}

/// What states add up to. What is neither up nor down (`activating`, `deactivating`, `maintenance`, and what systemd
/// may come to call its states) is yet to be started on one node and yet to be stopped on the other.
fn answer(units: &[UnitName], states: &[String]) -> Exit {
    if states.iter().all(|state| is_up(state)) {
        return Exit::Code(0);
    }
    let each = units.iter().zip(states);
    let words: Vec<_> = each
        .map(|(unit, state)| format!("{unit} is {state}"))
        .collect();
    let words = words.join(", ");
    if states.iter().all(|state| is_down(state)) {
        Exit::NotRunning(words)
    } else {
        Exit::PartlyRunning(words)
    }
}

async fn act(
    office: &Office,
    action: Action,
    units: &[UnitName],
    urges: &watch::Receiver<Urge>,
) -> Exit {
    let each = units.iter().map(|unit| {
        let one = One {
            office,
            action,
            unit,
        };
        one.run(urges.clone())
    });
    let ends = join_all(each).await;
    let troubles: Vec<_> = units
        .iter()
        .zip(&ends)
        .filter_map(|(unit, end)| Some((unit, end.as_ref().err()?)))
        .collect();
    if troubles.is_empty() {
        return Exit::Code(0);
    }
    let words: Vec<_> = troubles
        .iter()
        .map(|(unit, trouble)| format!("{unit}: {}", trouble.text))
        .collect();
    let words = words.join("; ");
    let all = troubles.len() == units.len();
    if all && troubles.iter().all(|(_, trouble)| trouble.did_nothing) {
        Exit::NotStarted(words)
    } else {
        Exit::UnitFailed(words)
    }
}

/// The start or stop of one unit.
struct One<'a> {
    office: &'a Office,
    action: Action,
    unit: &'a UnitName,
}

impl One<'_> {
    async fn run(self, mut urges: watch::Receiver<Urge>) -> Result<(), Trouble> {
        // The end of systemd's job may be told before the answer that names it is read.
        let (number, ear) = self.office.line.listen();
        let end = self.order_and_wait(&ear, &mut urges).await;
        self.office.line.deafen(number);
        end
    }

    async fn order_and_wait(
        &self,
        ear: &super::line::Ear,
        urges: &mut watch::Receiver<Urge>,
    ) -> Result<(), Trouble> {
        let line = &self.office.line;
        let mut breaks = line.breaks();
        let method = match self.action {
            Action::Start => "StartUnit",
            Action::Stop | Action::IsRunning => "StopUnit",
        };
        let body = (self.unit.as_str(), "replace");
        let order = self
            .office
            .patiently(async || line.manage::<OwnedObjectPath>(method, &body).await);
        let ordered = tokio::select! {
            ordered = order => ordered,
            // A stop that is late is still wanted.
            _ = urge_above(urges, self.bears()) => return Err(told_to_end()),
        };
        let job = match ordered {
            Ok(job) => job,
            // Of a unit that systemd does not even know, nothing runs.
            Err(LineError::NoSuchUnit(_)) if self.action == Action::Stop => return Ok(()),
            Err(error) => return Err(trouble(&error)),
        };
        let mut seen = Urge::None;
        loop {
            tokio::select! {
                result = ear.result_of(&job) => return self.judge(&result).await,
                Ok(()) = breaks.changed() => {
                    if let Some(end) = self.look(&job).await {
                        return end;
                    }
                }
                urge = urge_above(urges, seen) => {
                    seen = urge;
                    self.obey(urge, &job).await?;
                }
            }
        }
    }

    /// The strongest urge that changes nothing.
    fn bears(&self) -> Urge {
        match self.action {
            Action::Start | Action::IsRunning => Urge::None,
            Action::Stop => Urge::Late,
        }
    }

    /// Does what an urge means; an error ends the waiting.
    async fn obey(&self, urge: Urge, job: &OwnedObjectPath) -> Result<(), Trouble> {
        let line = &self.office.line;
        match (self.action, urge) {
            // systemd has told the unit's processes to end long ago. They are given the time until the kill.
            (_, Urge::None) | (Action::Stop, Urge::Late) => Ok(()),
            (Action::Stop, Urge::Kill) => {
                let body = (self.unit.as_str(), "all", SIGKILL);
                let killed = line.manage::<()>("KillUnit", &body).await;
                killed.map_err(|error| Trouble {
                    text: format!("its processes cannot be killed: {error}"),
                    did_nothing: false,
                })
            }
            (Action::Start | Action::Stop | Action::IsRunning, _) => {
                // What the job has begun is looked at, or undone, by the next one; it may have ended by now.
                if let Some(id) = id_of(job) {
                    let _ = line.manage::<()>("CancelJob", &id).await;
                }
                Err(told_to_end())
            }
        }
    }

    /// How systemd's job has ended, where that may have gone unheard; `None`: it has not, or nobody says.
    async fn look(&self, job: &OwnedObjectPath) -> Option<Result<(), Trouble>> {
        let line = &self.office.line;
        let id = id_of(job)?;
        let gone = self.office.patiently(async || {
            match line.manage::<OwnedObjectPath>("GetJob", &id).await {
                Ok(_) => Ok(None),
                Err(LineError::Refused(_)) => {
                    let path = line.load(self.unit.as_str()).await?;
                    let state = line.property::<String>(&path, UNIT, "ActiveState").await?;
                    Ok(Some(state))
                }
                Err(error) => Err(error),
            }
        });
        match gone.await {
            Ok(None) => None,
            Ok(Some(state)) => {
                let fits = match self.action {
                    Action::Start => is_up(&state),
                    Action::Stop | Action::IsRunning => is_down(&state),
                };
                Some(if fits {
                    Ok(())
                } else {
                    Err(Trouble {
                        text: format!("it is {state} after its {} ended unseen", self.action),
                        did_nothing: false,
                    })
                })
            }
            Err(error) => Some(Err(Trouble {
                text: format!("what became of its {} is not known: {error}", self.action),
                did_nothing: false,
            })),
        }
    }

    /// What the result of a job of systemd means (org.freedesktop.systemd1(5), JobRemoved).
    async fn judge(&self, result: &str) -> Result<(), Trouble> {
        let (action, unit) = (self.action, self.unit);
        let see = format!("see `systemctl status {unit}`");
        let text = match result {
            "done" | "skipped" => return Ok(()),
            "failed" => match self.reason().await {
                Some(reason) => format!("its {action} failed ({reason}); {see}"),
                None => format!("its {action} failed; {see}"),
            },
            "timeout" => format!("its {action} took longer than systemd lets it; {see}"),
            "dependency" => format!("its {action} failed with a unit that it needs; {see}"),
            "canceled" => format!("its {action} was cancelled, or another job took its place"),
            other => format!("its {action} ended as {other:?}; {see}"),
        };
        Err(Trouble {
            text,
            did_nothing: false,
        })
    }

    /// What the unit says of its failure: `exit-code`, `timeout`, `start-limit-hit`. Not every kind of unit does.
    async fn reason(&self) -> Option<String> {
        let (_, kind) = self.unit.as_str().rsplit_once('.')?;
        let (first, rest) = kind.split_at_checked(1)?;
        let interface = format!(
            "org.freedesktop.systemd1.{}{rest}",
            first.to_ascii_uppercase()
        );
        let path = self.office.path_of(self.unit).await.ok()?;
        let reason = self.office.line.property(&path, &interface, "Result");
        reason.await.ok().filter(|reason| reason != "success")
    }
}

fn told_to_end() -> Trouble {
    Trouble {
        text: "it was told to end".into(),
        did_nothing: false,
    }
}

fn trouble(error: &LineError) -> Trouble {
    Trouble {
        text: error.to_string(),
        did_nothing: error.did_nothing(),
    }
}

/// The number of a job of systemd, which its object is named by.
fn id_of(job: &OwnedObjectPath) -> Option<u32> {
    job.as_str().rsplit_once('/')?.1.parse().ok()
}

/// The next urge that is stronger than this one.
async fn urge_above(urges: &mut watch::Receiver<Urge>, seen: Urge) -> Urge {
    match urges.wait_for(|urge| *urge > seen).await {
        Ok(urge) => *urge,
        // The sender lives as long as the job.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;

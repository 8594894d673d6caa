//! Fake scripts and the services behind them. They live on when the daemon is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use keepstart::machine::Time;
use keepstart::machine::job::{Action, Exit, Job, JobId, JobSignal, Means};
use keepstart::machine::message::Identity;
use keepstart::machine::settings::InstanceName;

use crate::agenda::{Agenda, Happening};
use crate::choice::Choices;
use crate::tally::{Kind, Tally};

/// A script that lasts as long is slow.
const SLOW: Duration = Duration::from_millis(300);

/// How scripts behave at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// They do what they are for, soon.
    Good,
    /// Now and then something is wrong.
    Mixed,
    /// Most things are wrong.
    Bad,
    /// is-running cannot be executed, all else is well.
    Deaf,
    /// Starts and stops fail at once, and is-running says the truth.
    Lame,
}

/// Whether a script's "done" may be a lie: only where is-running can find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    Doubtful,
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Stopped,
    /// One of its units runs and another does not, or one is between its states.
    Partly,
    Running,
}

/// A script that was handed to the executor and has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) instance: InstanceName,
    pub(crate) action: Action,
    /// The life of the daemon that watches it.
    pub(crate) life: u32,
    pub(crate) adopted: bool,
    /// What the daemon that adopted it had to go by.
    pub(crate) identity: Identity,
    /// Whether it is a script; what systemd does has no process and outlives the daemon that asked for it.
    means: Means,
    /// What it is still going to make of the service.
    to_come: Option<Service>,
    pub(crate) pid: Option<u32>,
    pub(crate) begun: Time,
    pub(crate) deadline: Time,
    pub(crate) kill_after: Duration,
    pub(crate) term_at: Option<Time>,
    pub(crate) killed: bool,
    obeys: bool,
    /// Whether it can be believed when it says that it is done.
    pub(crate) word: Word,
    /// Signals make plans of an older version void.
    version: u32,
}

/// All scripts and services.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) mood: Mood,
    pub(crate) processes: BTreeMap<JobId, Process>,
    pub(crate) services: BTreeMap<InstanceName, Service>,
    /// What systemd still does for a daemon that is gone.
    left: BTreeMap<JobId, Process>,
    next_pid: u32,
    /// Starts and stops that were ever begun.
    pub(crate) actions: u64,
    tally: Tally,
}

/// What a script is going to do.
struct Course {
    spawned_after: Duration,
    lasts: Option<Duration>,
    /// `None`: is-running says the truth.
    exit: Option<Exit>,
    effect: bool,
}

impl Scripts {
    pub(crate) fn new(tally: Tally) -> Self {
        Self {
            mood: Mood::Mixed,
            processes: BTreeMap::new(),
            services: BTreeMap::new(),
            left: BTreeMap::new(),
            next_pid: 100,
            actions: 0,
            tally,
        }
    }

    pub(crate) fn service(&self, name: &InstanceName) -> Service {
        if self.left.values().any(|one| one.instance == *name) {
            return Service::Partly;
        }
        self.services.get(name).copied().unwrap_or(Service::Stopped)
    }

    /// The live script of an instance.
    pub(crate) fn of(&self, name: &InstanceName) -> Option<(&JobId, &Process)> {
        self.processes.iter().find(|(_, one)| one.instance == *name)
    }

    /// The executor takes a job.
    pub(crate) fn begin(
        &mut self,
        job: &Job,
        choices: &mut Choices,
        agenda: &mut Agenda,
        now: Time,
    ) {
        let asks = job.settings.is_running.is_some();
        let course = self.course(job.action, asks, choices);
        let process = Process {
            instance: job.settings.name.clone(),
            action: job.action,
            life: job.id.life,
            adopted: false,
            identity: Identity::Recorded,
            means: job.command.run.means(),
            to_come: match job.action {
                Action::Start => Some(Service::Running),
                Action::Stop => Some(Service::Stopped),
                Action::IsRunning => None,
            }
            .filter(|_| course.effect && course.lasts.is_some()),
            pid: None,
            begun: now,
            deadline: now + job.command.timeout,
            kill_after: job.command.kill_after,
            term_at: None,
            killed: false,
            obeys: self.mood == Mood::Good || choices.chance(800),
            word: if asks { Word::Doubtful } else { Word::Good },
            version: 0,
        };
        let by_systemd = process.means == Means::Systemd;
        if by_systemd && job.action.changes_service() {
            // A new job of a unit takes the place of the one before.
            self.left.retain(|_, one| one.instance != job.settings.name);
        }
        self.processes.insert(job.id, process);
        self.count_course(job.action, &course);
        self.actions += u64::from(job.action != Action::IsRunning);
        let spawned = now + course.spawned_after;
        if !by_systemd && !matches!(course.exit, Some(Exit::NotStarted(_))) {
            agenda.put(spawned, Happening::Spawned(job.id));
        }
        if let Some(lasts) = course.lasts {
            let ends = Happening::Ends {
                job: job.id,
                version: 0,
                exit: course.exit,
            };
            if course.effect {
                agenda.put(spawned + choices.within(lasts), Happening::Effect(job.id));
            }
            agenda.put(spawned + lasts, ends);
        }
    }

    fn count_course(&self, action: Action, course: &Course) {
        if course.lasts.is_none() {
            self.tally.count(Kind::ScriptHanging);
        }
        if matches!(course.exit, Some(Exit::NotStarted(_))) {
            self.tally.count(Kind::ScriptNotStartable);
        }
        if course.spawned_after >= Duration::from_millis(25) {
            self.tally.count(Kind::ScriptSlowToSpawn);
        }
        if course.exit == Some(Exit::Code(0)) && !course.effect && action != Action::IsRunning {
            self.tally.count(Kind::ScriptLying);
        }
    }

    fn course(&self, action: Action, asks: bool, choices: &mut Choices) -> Course {
        let wrong = match self.mood {
            Mood::Mixed => choices.chance(150),
            Mood::Bad => choices.chance(800),
            Mood::Good | Mood::Deaf | Mood::Lame => false,
        };
        let micros = choices.pick(&[100, 300, 300, 2_000]);
        let mut course = Course {
            spawned_after: Duration::from_micros(micros),
            lasts: Some(choices.around_ms(&[1, 5, 20, 50])),
            exit: (action != Action::IsRunning).then_some(Exit::Code(0)),
            effect: true,
        };
        match (self.mood, action) {
            (Mood::Deaf, Action::IsRunning) => course.exit = Some(Exit::Code(127)),
            (Mood::Lame, Action::Start | Action::Stop) => {
                course.exit = Some(Exit::Code(1));
                course.effect = false;
            }
            _ => {}
        }
        if !wrong {
            return course;
        }
        match choices.below(8) {
            0 => course.lasts = None,
            1 => course.exit = Some(Exit::NotStarted("no such file".into())),
            2 => course.exit = Some(Exit::Signal(11)),
            3 => course.spawned_after = choices.around_ms(&[50, 500, 2_000]),
            4 | 5 => course.lasts = Some(choices.around_ms(&[300, 4_000, 20_000])),
            _ => course.exit = Some(Exit::Code(choices.pick(&[1, 126, 127]))),
        }
        // is-running is believed, so its 1 has to be the truth; nothing but is-running can tell that a
        // script which says 0 has done nothing.
        if action == Action::IsRunning && course.exit == Some(Exit::Code(1)) {
            course.exit = None;
        }
        let said_done = course.exit == Some(Exit::Code(0));
        course.effect = !matches!(course.exit, Some(Exit::NotStarted(_)))
            && (choices.chance(500) || said_done && !asks);
        course
    }

    /// The process exists. Its number, if there is still a daemon to be told; signals that came before it
    /// reach it now.
    pub(crate) fn spawned(
        &mut self,
        id: JobId,
        choices: &mut Choices,
        agenda: &mut Agenda,
        now: Time,
    ) -> Option<u32> {
        let process = self.processes.get_mut(&id)?;
        process.pid = Some(self.next_pid);
        self.next_pid += 1;
        process.react(id, choices, agenda, now);
        process.pid
    }

    /// The script does what it is for; whose service it has changed.
    pub(crate) fn effect(&mut self, id: JobId) -> Option<InstanceName> {
        let left = self.left.remove(&id);
        let (name, service) = match left {
            Some(process) => (process.instance, process.to_come),
            None => {
                let process = self.processes.get_mut(&id)?;
                (process.instance.clone(), process.to_come.take())
            }
        };
        self.services.insert(name.clone(), service?);
        Some(name)
    }

    /// The script ends, unless a signal has changed its course.
    pub(crate) fn ends(
        &mut self,
        id: JobId,
        version: u32,
        exit: Option<Exit>,
    ) -> Option<(Process, Exit)> {
        if self.processes.get(&id)?.version != version {
            return None;
        }
        let process = self.processes.remove(&id)?;
        let service = self.service(&process.instance);
        let exit = match process.means {
            Means::Process => exit.unwrap_or(Exit::Code(i32::from(service == Service::Stopped))),
            Means::Systemd => by_systemd(process.action, exit, service),
        };
        Some((process, exit))
    }

    /// The daemon signals a job.
    pub(crate) fn signal(
        &mut self,
        id: JobId,
        signal: JobSignal,
        choices: &mut Choices,
        agenda: &mut Agenda,
        now: Time,
    ) -> bool {
        let Some(process) = self.processes.get_mut(&id) else {
            return false;
        };
        if process.pid.is_none() {
            self.tally.count(Kind::SignalledUnspawned);
        }
        if signal == JobSignal::Kill && process.pid.is_some() && !process.obeys {
            self.tally.count(Kind::ScriptIgnoresTerm);
        }
        match signal {
            JobSignal::Term => process.term_at = Some(now),
            JobSignal::Kill => process.killed = true,
        }
        if process.pid.is_some() || process.means == Means::Systemd {
            process.react(id, choices, agenda, now);
        }
        true
    }

    /// The daemon no longer waits for it: so it is no script, but something that does nothing to the service.
    pub(crate) fn let_go(&mut self, id: JobId) -> Option<Process> {
        self.processes.remove(&id)
    }

    /// The daemon has been killed: what was not spawned yet never will be.
    pub(crate) fn orphan(&mut self) {
        let all = std::mem::take(&mut self.processes);
        for (id, process) in all {
            if process.pid.is_some() {
                self.processes.insert(id, process);
            } else if process.means == Means::Systemd && process.to_come.is_some() {
                self.left.insert(id, process);
            }
        }
    }
}

/// How a job that systemd does ends, where a script would have ended so; `None`: with the truth.
fn by_systemd(action: Action, exit: Option<Exit>, service: Service) -> Exit {
    match (action, exit) {
        (Action::IsRunning, None) => match service {
            Service::Running => Exit::Code(0),
            Service::Partly => Exit::PartlyRunning("one is active".into()),
            Service::Stopped => Exit::NotRunning("none is active".into()),
        },
        (_, None | Some(Exit::Code(0))) => Exit::Code(0),
        (Action::IsRunning, Some(Exit::Code(_) | Exit::NotStarted(_))) => {
            Exit::NotStarted("no bus".into())
        }
        (_, Some(Exit::NotStarted(error))) => Exit::NotStarted(error),
        (_, Some(other)) => Exit::UnitFailed(format!("{other:?}")),
    }
}

impl Process {
    /// Whether it has run for so long that whoever waited for it would be late.
    pub(crate) fn is_slow_at(&self, now: Time) -> bool {
        now.since(self.begun) >= SLOW
    }

    fn react(&mut self, id: JobId, choices: &mut Choices, agenda: &mut Agenda, now: Time) {
        let (after, exit) = if self.killed {
            (choices.within(Duration::from_millis(2)), Exit::Signal(9))
        } else if self.term_at.is_some() && self.obeys {
            // It may catch the signal and exit, or die of it.
            let exit = if choices.chance(500) {
                Exit::Code(0)
            } else {
                Exit::Signal(15)
            };
            (choices.around_ms(&[1, 20, 150]), exit)
        } else {
            return;
        };
        self.version += 1;
        let ends = Happening::Ends {
            job: id,
            version: self.version,
            exit: Some(exit),
        };
        agenda.put(now + after, ends);
    }
}

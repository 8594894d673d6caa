//! The world around a machine: a kernel, scripts, a disk, an operator, and time that jumps from one
//! happening to the next. Drives the machine by its public interface and by its law alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use keepstart::machine::job::InstanceId;
use keepstart::machine::kernel::Links;
use keepstart::machine::message::{Identity, Input, Output, RestoredMap};
use keepstart::machine::settings::{InstanceName, Settings};
use keepstart::machine::unit::UnitName;
use keepstart::machine::{Machine, Time};

use crate::agenda::{Agenda, Happening};
use crate::check::LifeCheck;
use crate::choice::Choices;
use crate::disk::Disk;
use crate::kernel::FakeKernel;
use crate::scripts::Scripts;
use crate::setup::{self, Hardship};
use crate::tally::{Kind, Tally};
use crate::tape::Tape;
use crate::told::{NicsSeen, Told};

/// How many inputs and outputs are shown of a world that went wrong.
const TRACE_LINES: usize = 60;
/// More outputs than this at one point in time are a busy loop.
const OUTPUTS_AT_ONCE: u64 = 5_000;

/// What is found wrong, as a sentence.
pub(crate) type Verdict = Result<(), String>;

/// Whether a world keeps what happened in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing: fast.
    Nothing,
    /// The last lines, and a hash over all.
    Trace,
    /// Every life, so that it can be lived through again.
    Tape,
}

/// Everything.
pub(crate) struct World {
    pub(crate) choices: Choices,
    pub(crate) now: Time,
    pub(crate) agenda: Agenda,
    pub(crate) kernel: FakeKernel,
    pub(crate) scripts: Scripts,
    pub(crate) disk: Disk,
    pub(crate) settings: Settings,
    pub(crate) daemon: Option<Daemon>,
    /// What the last life of the daemon was shown, and the next one has to know.
    pub(crate) nics_seen: NicsSeen,
    pub(crate) lives: u32,
    /// No more flips, faults or operators.
    pub(crate) frozen: bool,
    pub(crate) flips: u64,
    pub(crate) paces: [u64; setup::SLOTS],
    /// Instances that ever had is-running: their services may end by themselves, their scripts may lie.
    pub(crate) asked: BTreeSet<InstanceName>,
    /// Instances that cannot be expected to know their service: is-running was taken away.
    pub(crate) excused: BTreeSet<InstanceName>,
    pub(crate) outputs: u64,
    pub(crate) tally: Tally,
    pub(crate) hardship: Hardship,
    outputs_at: (Time, u64),
    record: Record,
    trace: VecDeque<String>,
    hash: DefaultHasher,
    /// The recording of the present life, the faults of earlier ones, and how many went well.
    pub(crate) tape: Option<Tape>,
    taped: Result<(u64, u64), String>,
}

/// One life of the daemon.
pub(crate) struct Daemon {
    pub(crate) machine: Machine,
    pub(crate) life: u32,
    pub(crate) told: Told,
    pub(crate) check: LifeCheck,
    pub(crate) ending: bool,
    pub(crate) finished: bool,
    pub(crate) watched: BTreeSet<IpAddr>,
    pub(crate) watched_units: BTreeSet<UnitName>,
    pub(crate) subscribing: bool,
    pub(crate) names: BTreeMap<InstanceId, InstanceName>,
}

impl World {
    pub(crate) fn new(mut choices: Choices, hardship: Hardship, record: Record) -> Self {
        let tally = Tally::default();
        let kernel = FakeKernel::new(&mut choices, hardship, tally.clone());
        let settings = setup::settings(&mut choices, hardship);
        let mut world = Self {
            kernel,
            settings,
            choices,
            now: Time::from_start(Duration::from_secs(1)),
            agenda: Agenda::default(),
            scripts: Scripts::new(tally.clone()),
            disk: Disk::default(),
            daemon: None,
            nics_seen: NicsSeen::new(),
            lives: 0,
            frozen: false,
            flips: 0,
            paces: [100; setup::SLOTS],
            asked: BTreeSet::new(),
            excused: BTreeSet::new(),
            outputs: 0,
            hardship,
            tally,
            outputs_at: (Time::ZERO, 0),
            record,
            trace: VecDeque::new(),
            hash: DefaultHasher::new(),
            tape: None,
            taped: Ok((0, 0)),
        };
        let asks = world
            .settings
            .instances
            .iter()
            .filter(|one| one.is_running.is_some());
        world.asked = asks.map(|one| one.name.clone()).collect();
        world.agenda.put(world.now, Happening::DaemonBegins);
        world.begin_troubles();
        world
    }

    /// Lives through this many flips.
    pub(crate) fn live(&mut self, flips: u64) -> Verdict {
        let end = self.flips + flips;
        while self.flips < end {
            self.step()?;
        }
        Ok(())
    }

    /// Lives until this time.
    pub(crate) fn live_until(&mut self, end: Time) -> Verdict {
        while self.next_time().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.now = end;
        Ok(())
    }

    fn next_time(&self) -> Option<Time> {
        let due = self.deadline();
        self.agenda.next().into_iter().chain(due).min()
    }

    fn deadline(&self) -> Option<Time> {
        self.daemon.as_ref()?.machine.next_deadline()
    }

    /// Time jumps to what comes next, and it happens.
    fn step(&mut self) -> Verdict {
        let due = self.deadline();
        let happens = self.agenda.next();
        let (at, timeout) = match (due, happens) {
            (None, None) => return Err("nothing will ever happen again".into()),
            (Some(due), None) => (due, true),
            (None, Some(happens)) => (happens, false),
            // Of what falls on the same moment either may come first.
            (Some(due), Some(happens)) if due == happens => (due, self.choices.chance(500)),
            (Some(due), Some(happens)) => (due.min(happens), due < happens),
        };
        if at < self.now {
            return Err(format!(
                "a deadline lies in the past: {at:?} at {:?}",
                self.now
            ));
        }
        self.now = at;
        if timeout {
            return self.feed(None);
        }
        let Some(happening) = self.agenda.pop() else {
            return Ok(());
        };
        self.happen(happening)
    }

    /// One mutation of the machine and all that comes of it; `None`: time has passed.
    pub(crate) fn feed(&mut self, input: Option<Input>) -> Verdict {
        self.note("in ", &input);
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        match &input {
            // An ending daemon takes no new configuration.
            Some(Input::Reload(_)) if daemon.ending => self.tally.count(Kind::ReloadWhileEnding),
            other => daemon.told.input(other.as_ref(), &self.settings, self.now),
        }
        if let Some(Input::Reload(new)) = &input
            && !daemon.ending
        {
            // Nobody ended a stray script in time; whoever takes it over does so now.
            let returns = |name: &_| new.instances.iter().any(|one| one.name == *name);
            for process in self.scripts.processes.values_mut() {
                if process.adopted && returns(&process.instance) && process.term_at.is_none() {
                    process.deadline = process.deadline.max(self.now);
                }
            }
            self.settings = new.clone();
        }
        if matches!(
            input,
            Some(Input::Reload(_) | Input::Audit(_) | Input::Shutdown)
        ) {
            daemon.check.stimulated();
        }
        daemon.told.look(&self.settings, self.now);
        if let Some(tape) = &mut self.tape {
            tape.before(self.now, input.as_ref());
        }
        match input {
            Some(input) => daemon.machine.handle(input, self.now),
            None => daemon.machine.handle_timeout(self.now),
        }
        self.drain()
    }

    /// Fetches and does what the machine wants, then looks whether all is well.
    pub(crate) fn drain(&mut self) -> Verdict {
        let mut outputs = Vec::new();
        if let Some(daemon) = &mut self.daemon {
            outputs.extend(std::iter::from_fn(|| daemon.machine.poll_output()));
        }
        if let Some(tape) = &mut self.tape {
            tape.after(&outputs);
        }
        if self.outputs_at.0 != self.now {
            self.outputs_at = (self.now, 0);
        }
        let count = u64::try_from(outputs.len()).unwrap_or(u64::MAX);
        self.outputs_at.1 += count;
        self.outputs += count;
        if self.outputs_at.1 > OUTPUTS_AT_ONCE {
            return Err("the machine is busy without end".into());
        }
        for output in &outputs {
            self.note("out", output);
            self.count_output(output);
            self.check_output(output)?;
            self.keep_time(output)?;
            self.perform(output)?;
        }
        self.check_state(&outputs)?;
        self.check_told()?;
        if self.daemon.as_ref().is_some_and(|daemon| daemon.finished) {
            self.tally.count(Kind::ShutdownFinished);
            self.end_life();
        }
        Ok(())
    }

    /// A life begins: it is recorded, if the world is.
    pub(crate) fn tape_life(&mut self, machine: &Machine, restored: &RestoredMap) {
        self.check_tape();
        if self.record == Record::Tape {
            let life = (self.lives, self.now);
            self.tape = Some(Tape::begin(&self.settings, restored, machine, life));
        }
    }

    fn check_tape(&mut self) {
        let Some(mut tape) = self.tape.take() else {
            return;
        };
        let checked = tape.check();
        let fallen = u64::try_from(tape.fallen).unwrap_or(u64::MAX);
        if let Ok((lives, steps)) = &mut self.taped {
            (*lives, *steps) = (*lives + 1, *steps + fallen);
        }
        if let Err(fault) = checked {
            self.taped = Err(fault);
        }
    }

    /// How many lives were the same when they were lived through again, and how many steps fell out of their rings.
    pub(crate) fn tapes_checked(&mut self) -> Result<(u64, u64), String> {
        self.check_tape();
        self.taped.clone()
    }

    /// The answer to the last lines and to the hash over everything.
    pub(crate) fn account(&self) -> (String, u64) {
        let lines: Vec<_> = self.trace.iter().cloned().collect();
        (lines.join("\n"), self.hash.finish())
    }

    pub(crate) fn note(&mut self, kind: &str, what: &impl Debug) {
        if self.record != Record::Trace {
            return;
        }
        let line = format!("{:>14?} {kind} {what:?}", self.now.since_start());
        line.hash(&mut self.hash);
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        let short: String = line.chars().take(900).collect();
        self.trace.push_back(short);
    }

    /// Does what an output says.
    fn perform(&mut self, output: &Output) -> Verdict {
        let now = self.now;
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let life = daemon.life;
        match output {
            Output::Watch(watched) => {
                let others = daemon.watched != watched.addresses;
                if others || is_wider(&self.kernel.filter, &watched.links) {
                    daemon.told.spoil_dump();
                }
                daemon.watched.clone_from(&watched.addresses);
                self.kernel.filter.clone_from(&watched.links);
            }
            Output::WatchUnits(units) => daemon.watched_units.clone_from(units),
            Output::Subscribe => {
                if std::mem::replace(&mut daemon.subscribing, true) {
                    return Err("a subscription was asked for twice".into());
                }
                let after = self.choices.around_ms(&[0, 1, 10]);
                self.agenda
                    .put(now + after, Happening::SubscribeAnswer { life });
            }
            Output::Dump => {
                if !daemon.told.dump_asked() {
                    return Err("a dump was asked for while one is under way".into());
                }
                let takes = self.choices.within(self.kernel.manners.dump_time);
                let shows = self.choices.within(takes);
                self.agenda.put(now + shows, Happening::Snapshot { life });
                self.agenda.put(now + takes, Happening::DumpAnswer { life });
            }
            Output::Start(job) => {
                self.disk.intends(job, now);
                self.scripts
                    .begin(job, &mut self.choices, &mut self.agenda, now);
            }
            Output::Signal { job, signal, .. } => {
                let process = self.scripts.processes.get(job);
                if process.is_some_and(|one| one.identity == Identity::Presumed) {
                    return Err(format!("{job} is signalled and may be a stranger"));
                }
                let (choices, agenda) = (&mut self.choices, &mut self.agenda);
                if !self.scripts.signal(*job, *signal, choices, agenda, now) {
                    return Err(format!("{job} is signalled and does not run"));
                }
            }
            Output::LetGo { job, .. } => return self.let_go(*job),
            Output::ReserveEpochs {
                instance,
                name,
                through,
            } => {
                let (instance, name, through) = (*instance, name.clone(), *through);
                let after = self.choices.around_ms(&[0, 5, 30_000]);
                let noted = Happening::EpochsNoted {
                    life,
                    instance,
                    name,
                    through,
                };
                self.agenda.put(now + after, noted);
            }
            Output::Remember { name, knowledge } => self.disk.remember(name, *knowledge),
            Output::RememberNic { name, nic } => self.disk.remember_nic(name, nic),
            Output::Gone(id) => {
                if let Some(name) = daemon.names.remove(id) {
                    daemon.told.gone(&name);
                    daemon.check.half_started.remove(&name);
                    daemon.check.last.remove(&name);
                    daemon.check.flapping.remove(&name);
                    daemon.check.unanswered.remove(&name);
                    daemon.check.hinted.remove(&name);
                    // Whoever has the service now, keepstart has let go of it.
                    self.scripts.services.remove(&name);
                }
            }
            Output::Finished => daemon.finished = true,
            Output::Event(_) | Output::Changed(_) => {}
        }
        Ok(())
    }
}

/// Whether another link has become known to bear a watched name.
fn is_wider(before: &Links, after: &Links) -> bool {
    match (before, after) {
        (
            Links::Named {
                indexes: before, ..
            },
            Links::Named { indexes: after, .. },
        ) => !after.is_subset(before),
        (Links::All, _) | (_, Links::All) => false,
    }
}

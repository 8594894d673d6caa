//! The outside world of a recording, lived through by a machine of another configuration. The kernel and people do
//! what they did; jobs are modelled (`service`), and so is what the kernel answers to questions that were not asked
//! then. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Decision;
use super::service::{self, Course, Examples};
use super::table::Table;
use crate::machine::job::{Action, Exit, Job, JobId, JobSignal};
use crate::machine::kernel::{Links, Watched};
use crate::machine::message::{Input, Output, RestoredMap};
use crate::machine::settings::{InstanceName, Settings};
use crate::machine::{Machine, Time};
use crate::record::{Begin, Entry, Origin};

/// What a question takes that the recorded daemon did not ask at that time.
const ANSWERED_AFTER: Duration = Duration::from_millis(1);
/// More steps than this without the time going on are a busy loop.
const STEPS_AT_ONCE: u32 = 100_000;

/// The outside world of one recording.
#[derive(Debug)]
pub struct Other {
    begin: Machine,
    /// What a machine of another configuration is made of, where the recording begins with the daemon.
    start: Option<(RestoredMap, u32)>,
    entries: Vec<Entry>,
    examples: Examples,
    /// From when to when the recorded daemon waited for an answer to its question for all addresses.
    dumps: Vec<(Time, Time)>,
    watched: BTreeSet<IpAddr>,
    /// The names of links that were watched.
    named: BTreeSet<String>,
    /// What was told of links in the end.
    links: Links,
}

impl Other {
    /// Lives through a recording as it was, to know its world; `entries` are all of its steps.
    pub fn of(origin: &Origin, begin: Begin, entries: Vec<Entry>) -> Self {
        let start = match &begin {
            Begin::Start { restored, .. } => Some((restored.clone(), origin.life)),
            Begin::State(_) => None,
        };
        let mut machine = begin.machine(origin.life);
        let mut other = Self {
            watched: BTreeSet::new(),
            named: BTreeSet::new(),
            links: Links::All,
            begin: machine.clone(),
            start,
            entries: Vec::new(),
            examples: Examples::default(),
            dumps: Vec::new(),
        };
        other.watch(machine.watched().clone());
        let mut asked = None;
        let begins = machine.decided_at();
        other.outputs(&mut machine, begins, &mut asked);
        for entry in &entries {
            let Entry { at, input, .. } = entry.clone();
            if let Some(input) = &input {
                other.examples.input(at, input);
            }
            match input {
                Some(input) => {
                    let answers = matches!(input, Input::Dumped(_) | Input::DumpFailed { .. });
                    if let Some(asked) = asked.take_if(|_| answers) {
                        other.dumps.push((asked, at));
                    }
                    machine.handle(input, at);
                }
                None => machine.handle_timeout(at),
            }
            other.outputs(&mut machine, at, &mut asked);
        }
        other.entries = entries;
        other
    }

    fn outputs(&mut self, machine: &mut Machine, at: Time, asked: &mut Option<Time>) {
        while let Some(output) = machine.poll_output() {
            self.examples.output(at, &output);
            match output {
                Output::Dump => *asked = Some(at),
                Output::Watch(watched) => self.watch(watched),
                Output::Subscribe
                | Output::WatchUnits(_)
                | Output::Start(_)
                | Output::Signal { .. }
                | Output::LetGo { .. }
                | Output::ReserveEpochs { .. }
                | Output::Remember { .. }
                | Output::RememberNic { .. }
                | Output::Event(_)
                | Output::Changed(_)
                | Output::Gone(_)
                | Output::Finished => {}
            }
        }
    }

    fn watch(&mut self, watched: Watched) {
        self.watched.extend(watched.addresses);
        if let Links::Named { names, .. } = &watched.links {
            self.named.extend(names.iter().cloned());
        }
        self.links = watched.links;
    }

    /// When the recording begins.
    pub fn begins(&self) -> Time {
        self.begin.decided_at()
    }

    /// The addresses that a configuration watches and the recording has nothing of.
    pub fn unrecorded(&self, settings: &Settings) -> BTreeSet<IpAddr> {
        let rules = settings.instances.iter().map(|one| &one.role);
        let watched = rules.flat_map(|rule| rule.addresses.iter().copied());
        watched
            .filter(|address| !self.watched.contains(address))
            .collect()
    }

    /// The interfaces that a configuration asks for and of whose changes the recording has nothing.
    pub fn unrecorded_nics(&self, settings: &Settings) -> BTreeSet<String> {
        // All are told of only until those of the file are known, unless it takes any.
        if self.links == Links::All {
            return BTreeSet::new();
        }
        let nics = settings
            .instances
            .iter()
            .filter_map(|one| one.role.nic.clone());
        nics.filter(|nic| !self.named.contains(nic)).collect()
    }

    /// What would have been decided in this world: with the recorded configuration (`None`), or with another one
    /// that is in force from the beginning.
    pub fn live(&self, with: Option<&Settings>) -> Vec<Decision> {
        let machine = match (with, &self.start) {
            (Some(settings), Some((restored, life))) => {
                Machine::new(settings, restored, *life, self.begin.decided_at())
            }
            (Some(_), None) | (None, _) => self.begin.clone(),
        };
        let mut world = World {
            outside: self,
            now: self.begin.decided_at(),
            subscribed: self.begin.kernel_view().subscribed,
            machine,
            configuration: if with.is_some() {
                Configuration::Other
            } else {
                Configuration::Recorded
            },
            agenda: BTreeMap::new(),
            order: 0,
            table: Table::of(self.begin.table()),
            dump_awaited: false,
            subscribing: false,
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            decisions: Vec::new(),
        };
        world.drain();
        if let (Some(settings), None) = (with, &self.start) {
            // The recording begins in the middle of a life, so the other file comes by a reload.
            world.feed(Input::Reload(settings.clone()));
        }
        world.live();
        world.decisions
    }
}

/// What comes to a machine that the recording does not bring.
#[derive(Debug, Clone)]
enum Happening {
    Input(Input),
    /// The kernel answers with all addresses, as they are then.
    Dump,
    /// A job ends by itself, unless it was signalled before.
    JobEnds(JobId, Exit),
    JobObeys(JobId),
}

/// Whose configuration is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configuration {
    Recorded,
    Other,
}

/// One machine in that world.
struct World<'a> {
    outside: &'a Other,
    machine: Machine,
    configuration: Configuration,
    now: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    order: u64,
    table: Table,
    /// The question that is under way is the one that the recording answers.
    dump_awaited: bool,
    subscribed: bool,
    subscribing: bool,
    jobs: BTreeMap<JobId, (Box<Job>, Course)>,
    runs: BTreeMap<InstanceName, bool>,
    decisions: Vec<Decision>,
}

impl World<'_> {
    /// Until the recording ends.
    fn live(&mut self) {
        let outside = self.outside;
        let Some(end) = outside.entries.last().map(|entry| entry.at) else {
            return;
        };
        let mut entries = outside.entries.iter().peekable();
        let mut changes: Vec<_> = outside.examples.changes.iter().collect();
        changes.sort_by_key(|change| change.at);
        let mut changes = changes.into_iter().peekable();
        let mut steps = (self.now, 0);
        loop {
            let recorded = entries.peek().map(|entry| entry.at);
            let own = self.agenda.keys().next().map(|(at, _)| *at);
            let due = self.machine.next_deadline();
            let Some(next) = recorded.into_iter().chain(own).chain(due).min() else {
                return;
            };
            self.now = self.now.max(next);
            if self.now > end {
                return;
            }
            steps = match steps {
                (at, count) if at == self.now => (at, count + 1),
                _ => (self.now, 0),
            };
            if steps.1 > STEPS_AT_ONCE {
                return;
            }
            while let Some(change) = changes.next_if(|change| change.at <= self.now) {
                self.runs.insert(change.instance.clone(), change.runs);
            }
            if recorded == Some(next) {
                if let Some(input) = entries.next().and_then(|entry| entry.input.clone()) {
                    self.recorded(input);
                }
            } else if own == Some(next) {
                if let Some((_, happening)) = self.agenda.pop_first() {
                    self.happen(happening);
                }
            } else {
                self.machine.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    /// What the recorded daemon was told. Time passes here by itself, and jobs are this machine's own.
    fn recorded(&mut self, input: Input) {
        match input {
            Input::Kernel(events) => {
                self.table.apply(&events);
                self.feed(Input::Kernel(events));
            }
            Input::Dumped(dump) => {
                let news = self.table.become_like(&dump);
                if std::mem::take(&mut self.dump_awaited) {
                    self.feed(Input::Dumped(dump));
                } else if !news.is_empty() {
                    self.feed(Input::Kernel(news));
                }
            }
            Input::DumpFailed { error } => {
                if std::mem::take(&mut self.dump_awaited) {
                    self.feed(Input::DumpFailed { error });
                }
            }
            Input::Subscribed => {
                self.subscribed = true;
                if std::mem::take(&mut self.subscribing) {
                    self.feed(Input::Subscribed);
                }
            }
            Input::SubscriptionLost { error } => {
                let concerns = std::mem::take(&mut self.subscribing) || self.subscribed;
                self.subscribed = false;
                if concerns {
                    self.feed(Input::SubscriptionLost { error });
                }
            }
            // Those that were running when the recording began.
            Input::Spawned { job, .. } | Input::Ended { job, .. }
                if self.outside.examples.knows(job) => {}
            Input::EpochsReserved(_) => {}
            Input::Reload(_) if self.configuration == Configuration::Other => {}
            Input::Spawned { .. }
            | Input::Ended { .. }
            | Input::Overrun
            | Input::Reload(_)
            | Input::UnitsChanged(_)
            | Input::Audit(_)
            | Input::Shutdown => self.feed(input),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(input) => self.feed(input),
            Happening::Dump => self.feed(Input::Dumped(self.table.dump())),
            Happening::JobEnds(job, exit) => {
                if let Some((begun, _)) = self.jobs.remove(&job) {
                    if let Some(runs) = service::outcome(begun.action, &exit)
                        && begun.action != Action::IsRunning
                    {
                        self.runs.insert(begun.settings.name.clone(), runs);
                    }
                    self.feed(Input::Ended { job, exit });
                }
            }
            Happening::JobObeys(job) => {
                if self.jobs.remove(&job).is_some() {
                    let exit = service::ended_by_signal();
                    self.feed(Input::Ended { job, exit });
                }
            }
        }
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Subscribe if self.subscribed => {
                self.put(ANSWERED_AFTER, Happening::Input(Input::Subscribed));
            }
            Output::Subscribe => self.subscribing = true,
            Output::Dump => {
                let under_way =
                    |(asked, answered): &(Time, Time)| *asked <= self.now && self.now < *answered;
                self.dump_awaited = self.outside.dumps.iter().any(under_way);
                if !self.dump_awaited {
                    self.put(ANSWERED_AFTER, Happening::Dump);
                }
            }
            Output::Start(job) => self.begin(job),
            Output::Signal { job, signal, .. } => self.signal(job, signal),
            Output::ReserveEpochs {
                instance, through, ..
            } => {
                let noted = Input::EpochsReserved(vec![(instance, through)]);
                self.put(ANSWERED_AFTER, Happening::Input(noted));
            }
            Output::Event(event) => self
                .decisions
                .extend(Decision::of(self.now, Arc::unwrap_or_clone(event))),
            Output::Watch(_)
            | Output::WatchUnits(_)
            | Output::LetGo { .. }
            | Output::Remember { .. }
            | Output::RememberNic { .. }
            | Output::Changed(_)
            | Output::Gone(_)
            | Output::Finished => {}
        }
    }

    fn begin(&mut self, job: Box<Job>) {
        let runs = self.runs.get(&job.settings.name).copied().unwrap_or(false);
        let course = self.outside.examples.course(&job, runs, self.now);
        let id = job.id;
        let spawned = Input::Spawned { job: id, pid: 1 };
        self.put(course.spawned_after, Happening::Input(spawned));
        if let Some((after, exit)) = course.ends.clone() {
            let after = after.max(course.spawned_after);
            self.put(after, Happening::JobEnds(id, exit));
        }
        self.jobs.insert(id, (job, course));
    }

    /// One that was seen to end only when it was killed is taken for one that does not listen.
    fn signal(&mut self, job: JobId, signal: JobSignal) {
        let Some((_, course)) = self.jobs.get(&job) else {
            return;
        };
        let after = course.after_signal;
        if signal == JobSignal::Kill || course.obeys == signal {
            self.put(after, Happening::JobObeys(job));
        }
    }

    fn put(&mut self, after: Duration, happening: Happening) {
        self.order += 1;
        self.agenda
            .insert((self.now + after, self.order), happening);
    }
}

//! The machine alone: inputs in, outputs drained, no process and no socket. Time is invented, so that every flip
//! comes out of the calm and the timers are due as often as on a real node.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use keepstart::machine::job::{Exit, JobId};
use keepstart::machine::kernel::{Address, AddressKey, KernelDump, KernelEvent, Link};
use keepstart::machine::message::{Input, Output, RestoredMap};
use keepstart::machine::settings::Settings;
use keepstart::machine::{Machine, Time};
use keepstart::record::{Origin, Recorded, Tape};

use super::SIZES;
use crate::support::clock::now_ns;
use crate::support::rounds;
use crate::support::stats::{Samples, ratio};
use crate::support::table::{Table, say};

/// Each instance flips this often: longer than the debounce window.
const FLIP_EVERY: Duration = Duration::from_millis(300);
/// Measured at once, so that the clock costs nothing.
const EVENTS_PER_BATCH: u32 = 10_000;
/// The ring is there up to the second of these.
const RECORDED_SIZES: [u32; 2] = [1, 256];
const LOOPBACK: u32 = 1;

/// A kind of event.
struct Kind {
    what: &'static str,
    address: fn(u32) -> Ipv4Addr,
    /// How many addresses come and go, with this many instances.
    addresses: fn(u32) -> u32,
    jobs_per_event: u32,
}

/// One address suffices for those of nobody: a source does not even tell of them, so the table never holds many.
const KINDS: [Kind; 2] = [
    Kind {
        what: "an address of nobody",
        address: nobodys,
        addresses: |_| 1,
        jobs_per_event: 0,
    },
    Kind {
        what: "a flip, its job and its end",
        address: somebodys,
        addresses: |instances| instances,
        jobs_per_event: 1,
    },
];

/// How the machine is driven: alone, or as the reactor does it, with the ring of its last inputs.
enum Driven {
    Bare(Machine),
    Recorded(Recorded),
}

impl Driven {
    fn recorded(machine: Machine) -> Self {
        let origin = Origin {
            boot_id: String::new(),
            life: 1,
            unix_ns: 0,
        };
        let tape = Tape::new(origin, &machine, None);
        Self::Recorded(Recorded::new(machine, tape))
    }

    fn handle(&mut self, input: Input, now: Time) {
        match self {
            Self::Bare(machine) => machine.handle(input, now),
            Self::Recorded(machine) => machine.handle(input, now),
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        match self {
            Self::Bare(machine) => machine.handle_timeout(now),
            Self::Recorded(machine) => machine.handle_timeout(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Bare(machine) => machine.poll_output(),
            Self::Recorded(machine) => machine.poll_output(),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match self {
            Self::Bare(machine) => machine.next_deadline(),
            Self::Recorded(machine) => machine.next_deadline(),
        }
    }

    /// What the reactor does before it waits again.
    fn rest(&mut self) {
        match self {
            Self::Bare(_) => {}
            Self::Recorded(machine) => machine.trim(),
        }
    }
}

/// A machine and the world around it.
struct World {
    machine: Driven,
    instances: u32,
    now: Time,
    events: u32,
    jobs: u32,
}

impl World {
    fn new(instances: u32) -> anyhow::Result<Self> {
        Self::driven(instances, Driven::Bare)
    }

    fn driven(instances: u32, by: fn(Machine) -> Driven) -> anyhow::Result<Self> {
        let now = Time::ZERO;
        let machine = Machine::new(&settings(instances)?, &RestoredMap::new(), 1, now);
        let machine = by(machine);
        let mut world = Self {
            machine,
            instances,
            now,
            events: 0,
            jobs: 0,
        };
        world.drain();
        world.handle(Input::Subscribed);
        let lo = Link {
            index: LOOPBACK,
            name: "lo".into(),
            altnames: Vec::new(),
        };
        world.handle(Input::Dumped(KernelDump {
            links: vec![lo],
            addresses: Vec::new(),
        }));
        ensure!(
            world.jobs == 0,
            "a machine without addresses starts something"
        );
        Ok(world)
    }

    /// One input, and everything that follows from it; jobs end at once, and well.
    fn handle(&mut self, input: Input) {
        self.machine.handle(input, self.now);
        while let Some(job) = self.drain() {
            self.jobs += 1;
            self.machine
                .handle(Input::Spawned { job, pid: 1 }, self.now);
            self.drain();
            self.machine.handle(
                Input::Ended {
                    job,
                    exit: Exit::Code(0),
                },
                self.now,
            );
        }
    }

    fn drain(&mut self) -> Option<JobId> {
        let mut started = None;
        while let Some(output) = self.machine.poll_output() {
            if let Output::Start(job) = &output {
                started = Some(job.id);
            }
            black_box(output);
        }
        started
    }

    /// The next event, of an address that comes and goes in turn with all others of its kind.
    fn event(&mut self, kind: &Kind) {
        self.now = self.now + FLIP_EVERY / self.instances;
        if self
            .machine
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        let addresses = (kind.addresses)(self.instances);
        let address = (kind.address)(self.events % addresses);
        let key = AddressKey {
            link: LOOPBACK,
            local: address.into(),
            prefix_length: 32,
            peer: None,
        };
        let event = if (self.events / addresses).is_multiple_of(2) {
            KernelEvent::AddressPresent(Address {
                key,
                label: None,
                usable: true,
            })
        } else {
            KernelEvent::AddressGone(key)
        };
        self.events += 1;
        self.handle(Input::Kernel(vec![event]));
        self.machine.rest();
    }

    /// The time of one event, in nanoseconds.
    fn measure(&mut self, kind: &Kind) -> u64 {
        let begin_ns = now_ns();
        for _ in 0..EVENTS_PER_BATCH {
            self.event(kind);
        }
        (now_ns() - begin_ns) / u64::from(EVENTS_PER_BATCH)
    }
}

pub(super) fn run() -> anyhow::Result<()> {
    let batches = rounds::rounds(30);
    say("\nThe machine alone, one event and all that follows from it, p50 of the batches:\n")?;
    let mut table = Table::new(&[
        "event",
        "instances",
        "ns per event",
        "events per second",
        "÷ 1 instance",
    ]);
    for kind in &KINDS {
        let what = kind.what;
        let mut worlds = SIZES
            .map(World::new)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut samples = SIZES.map(|_| Vec::new());
        for _ in 0..batches {
            for (world, samples) in worlds.iter_mut().zip(&mut samples) {
                samples.push(world.measure(kind));
            }
        }
        let mut first = None;
        for (world, samples) in worlds.iter().zip(samples) {
            ensure!(
                world.jobs == world.events * kind.jobs_per_event,
                "{what}: {} jobs",
                world.jobs
            );
            let ns = Samples::new(samples).quantile(50);
            let per_second = 1_000_000_000_u64.checked_div(ns).unwrap_or_default();
            let of_first = ratio(ns, *first.get_or_insert(ns));
            let figures = [u64::from(world.instances), ns, per_second].map(|it| it.to_string());
            table.row(
                [what.to_owned()]
                    .into_iter()
                    .chain(figures)
                    .chain([of_first]),
            );
        }
    }
    table.print()
}

/// What the ring of the last inputs costs, the second handling of each input when it falls out included.
pub(super) fn recorded() -> anyhow::Result<()> {
    let batches = rounds::rounds(30);
    say("\nThe same with the ring of the last inputs, p50 of the batches:\n")?;
    let mut table = Table::new(&[
        "event",
        "instances",
        "ns bare",
        "ns recorded",
        "recorded ÷ bare",
    ]);
    for kind in &KINDS {
        for size in RECORDED_SIZES {
            let mut worlds = [World::new(size)?, World::driven(size, Driven::recorded)?];
            let mut samples = [Vec::new(), Vec::new()];
            for _ in 0..batches {
                for (world, samples) in worlds.iter_mut().zip(&mut samples) {
                    samples.push(world.measure(kind));
                }
            }
            let [bare, recorded] = samples.map(|all| Samples::new(all).quantile(50));
            let figures = [u64::from(size), bare, recorded].map(|it| it.to_string());
            let of_bare = ratio(recorded, bare);
            table.row(
                [kind.what.to_owned()]
                    .into_iter()
                    .chain(figures)
                    .chain([of_bare]),
            );
        }
    }
    table.print()
}

/// The VIP of an instance.
pub(super) fn somebodys(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 64, 0, 0]) + number)
}

/// An address that no instance watches.
pub(super) fn nobodys(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 128, 0, 0]) + number)
}

/// Settings as the defaults of the file make them.
fn settings(instances: u32) -> anyhow::Result<Settings> {
    use std::fmt::Write as _;
    let mut text = String::from("instances:\n");
    for number in 0..instances {
        let vip = somebodys(number);
        writeln!(
            text,
            "  web-{number}: {{nic: lo, vip: {vip}, start: [run], stop: [run]}}"
        )?;
    }
    let loaded = keepstart::config::parse(&text, std::path::Path::new("/config.yaml"));
    Ok(loaded
        .context("the bench's own configuration is refused")?
        .config
        .settings)
}

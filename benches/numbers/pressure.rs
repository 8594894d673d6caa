//! From the address change to the hook's first instruction while others keep all processors busy: a floor and keepstart,
//! both ordinary, and keepstart with `realtime-priority`, in turns. About four minutes, as root. Prints a Markdown table;
//! fails where a contestant did not run its hook, or the priority is not in force.

use std::process::Command;

use anyhow::{Context as _, ensure};
use keepstart::scheduling::{Class, enter};
use rustix::process::{getpriority_process, setpriority_process};

use crate::support::contest::{Contestant, Lever, VIP, measure};
use crate::support::hook::Reports;
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::stats::{Samples, ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, rounds};

/// What keeps the processors busy: this many processes of ordinary priority that never sleep.
const HOGS: usize = 4;
/// Low, as the manual has it.
const PRIORITY: &str = "  realtime-priority: 10\n";

pub(crate) fn run() -> anyhow::Result<()> {
    // Whoever runs the other benches before the rest of the machine still wants this one among it.
    enter(Class::Ordinary).context("cannot be ordinary")?;
    let (ordinary, realtime) = (Places::make()?, Places::make()?);
    let mut contestants = contestants(&ordinary, &realtime)?;
    for contestant in &mut contestants {
        contestant.warm_up()?;
    }
    let said = std::fs::read_to_string(daemon::log(&realtime)).unwrap_or_default();
    ensure!(
        !said.contains("is not in force"),
        "no real-time priority (it takes root):\n{said}"
    );
    let hogs: anyhow::Result<Vec<_>> = (0..HOGS).map(|_| hog()).collect();
    let hogs = hogs?;
    // So that the address changes when this bench says it does.
    let niceness = getpriority_process(None)?;
    let _ = setpriority_process(None, -20);
    let measured = measure(&mut contestants, rounds::rounds(200));
    let _ = setpriority_process(None, niceness);
    drop(hogs);
    measured?;
    print(contestants)
}

fn hog() -> anyhow::Result<Process> {
    Process::start(Command::new("sh").args(["-c", "while :; do :; done"]))
}

fn contestants(ordinary: &Places, realtime: &Places) -> anyhow::Result<Vec<Contestant>> {
    let directory = ordinary.disk();
    let hook = &hook::compile(directory)?;
    let reports = |name: &str| Reports::make(directory.join(name));
    let route = |process| Ok((Lever::Route(Route::open()?), Some(process)));
    let floor = Contestant::new("floor: recv, posix_spawn", reports("floor")?, |reports| {
        route(floor::start(VIP, hook, reports, None)?)
    })?;
    let keepstart = |name, application, places| {
        Contestant::new(name, reports(name)?, |reports| {
            let file = daemon::configure_with(application, places, &[VIP], hook, reports, None)?;
            route(daemon::start(places, &file)?.process)
        })
    };
    Ok(vec![
        floor,
        keepstart("keepstart", "", ordinary)?,
        keepstart("keepstart, realtime-priority", PRIORITY, realtime)?,
    ])
}

fn print(contestants: Vec<Contestant>) -> anyhow::Result<()> {
    say(&format!(
        "\nFrom the address change to the hook's first instruction beside {HOGS} busy processes, gains and losses, µs:\n"
    ))?;
    let mut table = Table::new(&[
        "contestant",
        "flips",
        "p50",
        "p90",
        "p99",
        "max",
        "p50 ÷ floor",
        "p90 ÷ floor",
        "p99 ÷ floor",
    ]);
    let mut floor = None;
    for contestant in contestants {
        let samples = Samples::new([contestant.gains, contestant.losses].concat());
        let measured = [50, 90, 99].map(|percent| samples.quantile(percent));
        let floor = *floor.get_or_insert(measured);
        let first = [contestant.name.to_owned(), samples.count().to_string()];
        let figures = measured.into_iter().chain([samples.quantile(100)]).map(us);
        let ratios = measured
            .into_iter()
            .zip(floor)
            .map(|(value, of)| ratio(value, of));
        table.row(first.into_iter().chain(figures).chain(ratios));
    }
    table.print()
}

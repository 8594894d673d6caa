//! From the address change to the hook's first instruction: a floor, a shell loop, keepalived's own notify and
//! keepstart as shipped, in turns, each in a network namespace of its own. About two minutes. Prints
//! Markdown tables; fails where a contestant did not run its hook, whatever time it took.

use rustix::process::{getpriority_process, setpriority_process};

use crate::support::contest::{Contestant, Lever, VIP, measure};
use crate::support::hook::Reports;
use crate::support::keepalived::Keepalived;
use crate::support::places::Places;
use crate::support::route::{Observer, Route};
use crate::support::stats::{Samples, ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, keepalived, rounds, shell};

type Take = fn(&mut Contestant) -> &mut Vec<u64>;

pub(crate) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let mut contestants = contestants(&places)?;
    for contestant in &mut contestants {
        contestant.warm_up()?;
    }
    // So that this thread hears of keepalived's address as soon as keepalived itself can. Only root may.
    let niceness = getpriority_process(None)?;
    let _ = setpriority_process(None, -20);
    let measured = measure(&mut contestants, rounds::rounds(200));
    let _ = setpriority_process(None, niceness);
    measured?;
    print(contestants)
}

fn contestants(places: &Places) -> anyhow::Result<Vec<Contestant>> {
    let directory = places.disk();
    let hook = &hook::compile(directory)?;
    let reports = |name: &str| Reports::make(directory.join(name));
    let route = |process| Ok((Lever::Route(Route::open()?), Some(process)));
    let mut contestants = vec![
        Contestant::new("floor: recv, posix_spawn", reports("floor")?, |reports| {
            route(floor::start(VIP, hook, reports, None)?)
        })?,
        Contestant::new("keepstart", reports("keepstart")?, |reports| {
            let file = daemon::configure(places, &[VIP], hook, reports, None)?;
            route(daemon::start(places, &file)?.process)
        })?,
        Contestant::new("`ip monitor` shell loop", reports("shell")?, |reports| {
            route(shell::start(VIP, hook, reports, None)?)
        })?,
    ];
    if keepalived::installed() {
        let name = "keepalived notify_master, notify_fault";
        contestants.push(Contestant::new(name, reports("keepalived")?, |reports| {
            let observer = Observer::open(VIP)?;
            let keepalived = Keepalived::start(directory, VIP, hook, reports)?;
            Ok((
                Lever::Keepalived {
                    keepalived,
                    observer,
                },
                None,
            ))
        })?);
    } else {
        say("keepalived is not installed: it is not measured.")?;
    }
    Ok(contestants)
}

fn print(mut contestants: Vec<Contestant>) -> anyhow::Result<()> {
    let tables: [(&str, Take); 2] = [
        (
            "gains (bar for keepstart: p50 ≤ 1.25 × floor, p99 ≤ 2 × floor)",
            |it| &mut it.gains,
        ),
        ("losses", |it| &mut it.losses),
    ];
    for (title, take) in tables {
        say(&format!(
            "\nFrom the address change to the hook's first instruction, {title}, µs:\n"
        ))?;
        let mut table = Table::new(&[
            "contestant",
            "flips",
            "p50",
            "p90",
            "p99",
            "max",
            "p50 ÷ floor",
            "p99 ÷ floor",
        ]);
        let mut floor = None;
        for contestant in &mut contestants {
            let samples = Samples::new(std::mem::take(take(contestant)));
            let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| samples.quantile(percent));
            let (floor_p50, floor_p99) = *floor.get_or_insert((p50, p99));
            let figures = [p50, p90, p99, max].map(us);
            let ratios = [ratio(p50, floor_p50), ratio(p99, floor_p99)];
            let first = [contestant.name.to_owned(), samples.count().to_string()];
            table.row(first.into_iter().chain(figures).chain(ratios));
        }
        table.print()?;
    }
    say(
        "keepalived decides by itself, so its time begins when another listener hears of the address.",
    )
}

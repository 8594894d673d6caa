//! What the events of others cost: processor time for a million address events that concern nobody, of keepstart
//! with its filter, of keepstart where the kernel takes none, and of the floor, which receives each. Each has a
//! namespace of its own, and they take turns. About a minute.

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::support::hook::{self, Flip, Reports};
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::stats::ratio;
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, namespace, procfs, rounds};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
const STRANGERS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 0);
/// Addresses that come and go in one turn.
const STRANGERS_PER_TURN: u32 = 500;
const TURNS: usize = 500;
const SETTLE: Duration = Duration::from_secs(2);
/// What a socket may hold of filters. Since Linux 6.8 each namespace has its own.
const OPTMEM_MAX: &str = "/proc/sys/net/core/optmem_max";

struct Contestant {
    name: &'static str,
    process: Process,
    route: Route,
    places: Places,
    /// The `kind` of its filter, of keepstart.
    filter: Option<&'static str>,
    cpu_ns: u64,
}

impl Contestant {
    fn floor(hook: &Path) -> anyhow::Result<Self> {
        let places = Places::make()?;
        let fifo = places.disk().join("reports");
        let (process, route) = namespace::inside(|| {
            let floor = floor::start(VIP, hook, &fifo, None)?;
            Ok((floor, Route::open()?))
        })?;
        Ok(Self {
            name: "floor: receives each",
            process,
            route,
            places,
            filter: None,
            cpu_ns: 0,
        })
    }

    fn keepstart(
        name: &'static str,
        hook: &Path,
        filter: &'static str,
        prepare: impl FnOnce() -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<Self> {
        let places = Places::make()?;
        let reports = Reports::make(places.disk().join("reports"))?;
        let file = daemon::configure(&places, &[VIP], hook, reports.path(), None)?;
        let (daemon, route) = namespace::inside(|| {
            prepare()?;
            Ok((daemon::start(&places, &file)?, Route::open()?))
        })?;
        Ok(Self {
            name,
            process: daemon.process,
            route,
            places,
            filter: Some(filter),
            cpu_ns: 0,
        })
    }

    fn turn(&self) -> anyhow::Result<()> {
        let first = STRANGERS.to_bits();
        for flip in [Flip::Gain, Flip::Loss] {
            for number in 0..STRANGERS_PER_TURN {
                let address = Ipv4Addr::from_bits(first + number);
                self.route.flip(address, flip)?;
            }
        }
        Ok(())
    }

    /// That it had the filter it is said to have, and lost nothing; how many events reached it.
    fn account(&self) -> anyhow::Result<Option<u64>> {
        let Some(filter) = self.filter else {
            return Ok(None);
        };
        let file = self.places.disk().join("config.yaml");
        let output = daemon::command(&file, &["status", "--json"]).output()?;
        let status: Value = serde_json::from_slice(&output.stdout).context("no status")?;
        let daemon = status.get("daemon").context("no daemon in the status")?;
        let field = |path: &str| daemon.pointer(path).cloned().unwrap_or_default();
        ensure!(
            field("/filter/kind") == filter,
            "{}: {}",
            self.name,
            field("/filter")
        );
        ensure!(
            field("/kernel/overruns") == 0,
            "{} has lost events",
            self.name
        );
        Ok(field("/counters/netlink/decoded").as_u64())
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let hook = hook::compile(places.disk())?;
    let without = || std::fs::write(OPTMEM_MAX, "0").context("the filter cannot be forbidden");
    let mut contestants = [
        Contestant::floor(&hook)?,
        Contestant::keepstart("keepstart", &hook, "exact", || Ok(()))?,
        Contestant::keepstart("keepstart without its filter", &hook, "off", without)?,
    ];
    thread::sleep(SETTLE);
    let turns = rounds::rounds(TURNS);
    for _ in 0..turns {
        for contestant in &mut contestants {
            let before = procfs::cpu_ns(contestant.process.pid())?;
            contestant.turn()?;
            // Whoever hears has read all by then.
            thread::sleep(Duration::from_millis(5));
            contestant.cpu_ns += procfs::cpu_ns(contestant.process.pid())? - before;
        }
    }
    let events = u64::try_from(turns)? * u64::from(STRANGERS_PER_TURN) * 2;
    say(&format!(
        "\nProcessor time for address events of nobody, {events} of them for each:\n"
    ))?;
    let mut table = Table::new(&[
        "contestant",
        "s per million",
        "÷ floor",
        "events that reached it",
    ]);
    table.row(["bar for keepstart", "≤ 0.020", "", ""].map(String::from));
    let floor_ns = contestants.first().map_or(0, |floor| floor.cpu_ns);
    for contestant in &contestants {
        let us_per_million = contestant.cpu_ns * 1_000 / events;
        let reached = contestant.account()?;
        table.row([
            contestant.name.to_owned(),
            format!(
                "{}.{:03}",
                us_per_million / 1_000_000,
                us_per_million / 1_000 % 1_000
            ),
            ratio(contestant.cpu_ns, floor_ns),
            reached.map_or_else(|| "all".into(), |count| count.to_string()),
        ]);
    }
    table.print()
}

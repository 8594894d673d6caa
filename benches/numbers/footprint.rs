//! What keepstart costs while nothing happens, beside the floor and keepalived: memory, threads, wake-ups, and
//! how soon it is ready. About a minute.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use anyhow::ensure;

use crate::support::clock::now_ns;
use crate::support::hook::Reports;
use crate::support::keepalived::Keepalived;
use crate::support::places::Places;
use crate::support::stats::{Samples, ratio};
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, keepalived, namespace, procfs, rounds};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Everybody has come to rest by then.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE_SECONDS: usize = 30;
const STARTS: usize = 20;

/// What was seen of one contestant.
struct Seen {
    name: &'static str,
    processes: Vec<u32>,
    pss_kb: u64,
    threads: usize,
    wakeups_before: u64,
    wakeups: u64,
    ready_ns: Option<u64>,
}

impl Seen {
    fn new(name: &'static str, processes: Vec<u32>, ready_ns: Option<u64>) -> Self {
        Self {
            name,
            processes,
            pss_kb: 0,
            threads: 0,
            wakeups_before: 0,
            wakeups: 0,
            ready_ns,
        }
    }

    fn wakeups_now(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(|pid| procfs::wakeups(*pid)).sum()
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    namespace::inside(|| in_namespace(&places))
}

fn in_namespace(places: &Places) -> anyhow::Result<()> {
    let directory = places.disk();
    let hook = &hook::compile(directory)?;
    let fifo = Reports::make(directory.join("reports"))?;
    let file = daemon::configure(places, &[VIP], hook, fifo.path(), None)?;
    let (mut floor_ns, mut keepstart_ns) = (Vec::new(), Vec::new());
    for _ in 0..rounds::rounds(STARTS).min(STARTS) {
        let begin_ns = now_ns();
        drop(floor::start(VIP, hook, fifo.path(), None)?);
        floor_ns.push(now_ns() - begin_ns);
        keepstart_ns.push(daemon::start(places, &file)?.ready_ns);
    }
    let p50 = |ns| Some(Samples::new(ns).quantile(50));
    let floor = floor::start(VIP, hook, fifo.path(), None)?;
    let keepstart = daemon::start(places, &file)?.process;
    let mut seen = vec![
        Seen::new("floor: recv, posix_spawn", vec![floor.pid()], p50(floor_ns)),
        Seen::new("keepstart", vec![keepstart.pid()], p50(keepstart_ns)),
    ];
    let mut peer = None;
    if keepalived::installed() {
        let keepalived = peer.insert(Keepalived::start(directory, VIP, hook, fifo.path())?);
        thread::sleep(SETTLE);
        let first = keepalived.process.pid();
        let processes = [vec![first], procfs::children(first)?].concat();
        ensure!(processes.len() > 1, "keepalived has no VRRP process");
        seen.push(Seen::new("keepalived", processes, None));
    } else {
        say("keepalived is not installed: it is not measured.")?;
    }
    thread::sleep(SETTLE);
    let seconds = rounds::rounds(IDLE_SECONDS).min(IDLE_SECONDS);
    for one in &mut seen {
        one.wakeups_before = one.wakeups_now()?;
    }
    thread::sleep(Duration::from_secs(u64::try_from(seconds)?));
    for one in &mut seen {
        one.wakeups = one.wakeups_now()? - one.wakeups_before;
        for pid in &one.processes {
            one.pss_kb += procfs::pss_kb(*pid)?;
            one.threads += procfs::threads(*pid)?;
        }
    }
    print(&seen, seconds)
}

fn print(seen: &[Seen], seconds: usize) -> anyhow::Result<()> {
    say(&format!(
        "\nOne instance, idle; wake-ups counted over {seconds} s, p50 of the starts:\n"
    ))?;
    let mut table = Table::new(&[
        "contestant",
        "processes",
        "threads",
        "PSS, kB",
        "PSS ÷ floor",
        "wake-ups per second",
        "exec to ready, ms",
        "ready ÷ floor",
    ]);
    table.row(
        [
            "bar for keepstart",
            "1",
            "≤ 6",
            "≤ 5000",
            "",
            "≤ 0.1",
            "≤ 10",
            "",
        ]
        .map(String::from),
    );
    let floor_kb = seen.first().map_or(0, |floor| floor.pss_kb);
    let floor_ns = seen.first().and_then(|floor| floor.ready_ns).unwrap_or(0);
    let thousandths = |value: u64, of: u64| {
        let it = (value * 1_000).checked_div(of).unwrap_or_default();
        format!("{}.{:03}", it / 1_000, it % 1_000)
    };
    for one in seen {
        table.row([
            one.name.to_owned(),
            one.processes.len().to_string(),
            one.threads.to_string(),
            one.pss_kb.to_string(),
            ratio(one.pss_kb, floor_kb),
            thousandths(one.wakeups, u64::try_from(seconds)?),
            one.ready_ns
                .map_or("–".into(), |ns| thousandths(ns, 1_000_000)),
            one.ready_ns.map_or("–".into(), |ns| ratio(ns, floor_ns)),
        ]);
    }
    table.print()
}

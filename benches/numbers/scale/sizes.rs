//! One daemon with one, a thousand and ten thousand instances. All sizes run at once and take turns.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::support::clock::{MS, now_ns, sleep_until};
use crate::support::hook::{Flip, Reports};
use crate::support::places::Places;
use crate::support::process::Process;
use crate::support::route::Route;
use crate::support::stats::{Samples, ratio, us};
use crate::support::table::{Table, say};
use crate::support::{daemon, floor, hook, namespace, procfs, rounds};

const SIZES: [u32; 3] = [1, 1_000, 10_000];
const STARTS: usize = 10;
const ASKED: usize = 10;
/// Longer than the default debounce window.
const CALM_MS: u64 = 260;
const HOOK_DEADLINE_MS: u64 = 10_000;
/// Start-up has come to rest by then.
const SETTLE: Duration = Duration::from_secs(3);
/// What a user types, and how the table calls it.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("`status`", &["status"]),
    ("`why`", &["why", "web-0"]),
    ("`reload`, one of them changed", &["reload"]),
    ("`validate`", &["validate"]),
];

/// A daemon of one size. The process ends before its directories.
struct Contestant {
    instances: u32,
    ready: Samples,
    cpu_to_ready_ns: u64,
    pss_kb: u64,
    daemon: Process,
    flipper: Flipper,
    file: PathBuf,
    _places: Places,
}

/// What flips the VIP of one instance and hears its hook.
struct Flipper {
    vip: Ipv4Addr,
    route: Route,
    reports: Reports,
    gains: Vec<u64>,
}

impl Flipper {
    /// One gain, measured, and the loss after it.
    fn turn(&mut self) -> anyhow::Result<()> {
        for flip in [Flip::Gain, Flip::Loss] {
            sleep_until(now_ns() + CALM_MS * MS);
            let flipped_ns = now_ns();
            self.route.flip(self.vip, flip)?;
            let report = self
                .reports
                .expect(flip, now_ns() + HOOK_DEADLINE_MS * MS)?;
            if flip == Flip::Gain {
                self.gains.push(report.at_ns.saturating_sub(flipped_ns));
            }
        }
        Ok(())
    }
}

/// The VIP of an instance.
fn vip(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 99, 0, 1).to_bits() + number)
}

/// Instances as people write them. The one in the middle tells when its hook begins; the others never flip.
fn configure(
    places: &Places,
    hook: &Path,
    reports: &Path,
    instances: u32,
) -> anyhow::Result<PathBuf> {
    let (disk, memory) = (places.disk().display(), places.memory().display());
    let (hook, reports) = (hook.display(), reports.display());
    let mut text = format!(
        "application: {{runtime-dir: {memory}/run, state-dir: {disk}/state}}\ninstances:\n"
    );
    for number in 0..instances {
        let vip = vip(number);
        writeln!(text, "  web-{number}:\n    nic: lo\n    vip: {vip}")?;
        for action in ["start", "stop"] {
            if number == instances / 2 {
                writeln!(text, "    {action}: ['{hook}', '{reports}', {action}]")?;
            } else {
                writeln!(text, "    {action}: {hook}")?;
            }
        }
    }
    let file = places.disk().join("config.yaml");
    fs::write(&file, text).context("cannot write the daemon's configuration")?;
    Ok(file)
}

impl Contestant {
    fn new(hook: &Path, instances: u32) -> anyhow::Result<Self> {
        let places = Places::make()?;
        let reports = Reports::make(places.disk().join("reports"))?;
        let file = configure(&places, hook, reports.path(), instances)?;
        let started = namespace::inside(|| {
            let mut ready = Vec::new();
            for _ in 1..rounds::rounds(STARTS).min(STARTS) {
                ready.push(daemon::start(&places, &file)?.ready_ns);
            }
            let last = daemon::start(&places, &file)?;
            let cpu_ns = procfs::cpu_ns(last.process.pid())?;
            ready.push(last.ready_ns);
            Ok((last.process, ready, cpu_ns, Route::open()?))
        });
        let (daemon, ready, cpu_to_ready_ns, route) =
            started.with_context(|| format!("{instances} instances do not start"))?;
        let flipper = Flipper {
            vip: vip(instances / 2),
            route,
            reports,
            gains: Vec::new(),
        };
        Ok(Self {
            instances,
            ready: Samples::new(ready),
            cpu_to_ready_ns,
            pss_kb: 0,
            daemon,
            flipper,
            file,
            _places: places,
        })
    }

    /// The p50 of how long each command takes.
    fn ask(&self) -> anyhow::Result<Vec<u64>> {
        COMMANDS
            .iter()
            .map(|(_, words)| self.ask_one(words))
            .collect()
    }

    fn ask_one(&self, words: &[&str]) -> anyhow::Result<u64> {
        let mut took = Vec::new();
        for round in 0..rounds::rounds(ASKED).min(ASKED) {
            if words == ["reload"] {
                change_the_last(&self.file, round)?;
            }
            let mut command = daemon::command(&self.file, words);
            let begin_ns = now_ns();
            let output = command.stderr(Stdio::piped()).output()?;
            took.push(now_ns() - begin_ns);
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "{words:?} ended with {}: {said}",
                output.status
            );
        }
        Ok(Samples::new(took).quantile(50))
    }
}

/// Gives the last instance of the file another timeout.
fn change_the_last(file: &Path, round: usize) -> anyhow::Result<()> {
    let text = fs::read_to_string(file)?;
    let kept: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("start-cancel-after"))
        .collect();
    let seconds = round + 11;
    fs::write(
        file,
        format!("{}\n    start-cancel-after: {seconds}\n", kept.join("\n")),
    )?;
    Ok(())
}

pub(super) fn run() -> anyhow::Result<()> {
    let places = Places::make()?;
    let hook = hook::compile(places.disk())?;
    let make = |instances| Contestant::new(&hook, instances);
    let mut contestants = SIZES.into_iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let reports = Reports::make(places.disk().join("reports"))?;
    let (floor, route) = namespace::inside(|| {
        Ok((
            floor::start(vip(0), &hook, reports.path(), None)?,
            Route::open()?,
        ))
    })?;
    let mut floor_flipper = Flipper {
        vip: vip(0),
        route,
        reports,
        gains: Vec::new(),
    };
    thread::sleep(SETTLE);
    for one in &mut contestants {
        one.pss_kb = procfs::pss_kb(one.daemon.pid())?;
    }
    for _ in 0..rounds::rounds(100) {
        floor_flipper.turn().context("the floor fails")?;
        for one in &mut contestants {
            let instances = one.instances;
            one.flipper
                .turn()
                .with_context(|| format!("{instances} instances fail"))?;
        }
    }
    drop(floor);
    let asked = contestants
        .iter()
        .map(Contestant::ask)
        .collect::<Result<Vec<_>, _>>()?;
    print_sizes(&contestants)?;
    print_latency(&mut contestants, floor_flipper.gains)?;
    print_commands(&contestants, &asked)
}

fn print_sizes(contestants: &[Contestant]) -> anyhow::Result<()> {
    say("\nThe start and the memory of one daemon:\n")?;
    let mut table = Table::new(&[
        "instances",
        "exec to READY=1, ms",
        "processor until then, ms",
        "PSS, kB",
        "PSS of each further one, bytes",
    ]);
    table.row(["bar", "10,000: ≤ 150", "", "1: ≤ 5000", "≤ 2048"].map(String::from));
    let one_kb = contestants.first().map_or(0, |one| one.pss_kb);
    for it in contestants {
        let more_bytes = it.pss_kb.saturating_sub(one_kb) * 1_024;
        let each = more_bytes.checked_div(u64::from(it.instances - 1));
        table.row([
            it.instances.to_string(),
            tenths_of_ms(it.ready.quantile(50)),
            tenths_of_ms(it.cpu_to_ready_ns),
            it.pss_kb.to_string(),
            each.map_or("–".into(), |bytes| bytes.to_string()),
        ]);
    }
    table.print()
}

fn print_latency(contestants: &mut [Contestant], floor: Vec<u64>) -> anyhow::Result<()> {
    say("\nFrom the address change to the hook's first instruction, gains, µs:\n")?;
    let mut table = Table::new(&[
        "contestant",
        "flips",
        "p50",
        "p99",
        "p50 ÷ floor",
        "p99 ÷ floor",
    ]);
    let floor = Samples::new(floor);
    let [floor_p50, floor_p99] = [50, 99].map(|percent| floor.quantile(percent));
    let mut row = |name: String, samples: &Samples| {
        let [p50, p99] = [50, 99].map(|percent| samples.quantile(percent));
        let count = samples.count().to_string();
        let ratios = [ratio(p50, floor_p50), ratio(p99, floor_p99)];
        table.row([name, count, us(p50), us(p99)].into_iter().chain(ratios));
    };
    row("floor: recv, posix_spawn".into(), &floor);
    for it in contestants {
        let samples = Samples::new(std::mem::take(&mut it.flipper.gains));
        row(
            format!("keepstart with {} instances", it.instances),
            &samples,
        );
    }
    table.print()
}

fn print_commands(contestants: &[Contestant], asked: &[Vec<u64>]) -> anyhow::Result<()> {
    say("\nCommands, p50 in ms:\n")?;
    let sizes = contestants
        .iter()
        .map(|one| format!("{} instances", one.instances));
    let heading: Vec<_> = ["command".to_owned()].into_iter().chain(sizes).collect();
    let heading: Vec<_> = heading.iter().map(String::as_str).collect();
    let mut table = Table::new(&heading);
    for (index, (name, _)) in COMMANDS.iter().enumerate() {
        let took = asked.iter().filter_map(|of_size| of_size.get(index));
        let took = took.map(|ns| tenths_of_ms(*ns));
        table.row([(*name).to_owned()].into_iter().chain(took));
    }
    table.print()
}

fn tenths_of_ms(ns: u64) -> String {
    let tenths = ns / (MS / 10);
    format!("{}.{}", tenths / 10, tenths % 10)
}

//! The numbers of the README, each as a ratio to what was measured beside it in the same run. `cargo bench` prints
//! all of them, `cargo bench --bench numbers -- latency flaps` those that are named. Nothing here judges a
//! time; a contestant that does not do its work, or does it wrongly, is an error.
//!
//! It needs `ip` and `cc`, and root or the right to make user namespaces; keepalived takes part where it is
//! installed. `KEEPSTART_BENCH_ROUNDS` makes it shorter.

mod flaps;
mod flood;
mod footprint;
mod latency;
mod machine;
mod pressure;
mod scale;
mod support;

use anyhow::Context as _;

use support::{floor, namespace};

type Bench = fn() -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 7] = [
    ("latency", latency::run),
    ("flaps", flaps::run),
    ("flood", flood::run),
    ("footprint", footprint::run),
    ("machine", machine::run),
    ("scale", scale::run),
    ("pressure", pressure::run),
];

fn main() -> anyhow::Result<()> {
    if floor::run_if_asked()? {
        return Ok(());
    }
    namespace::prepare()?;
    // cargo adds an option of its own.
    let named: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for name in &named {
        let known = BENCHES.iter().any(|(bench, _)| bench == name);
        anyhow::ensure!(known, "there is no bench {name}");
    }
    for (name, run) in BENCHES {
        if named.is_empty() || named.iter().any(|it| it == name) {
            run().with_context(|| format!("the bench {name} fails"))?;
        }
    }
    Ok(())
}

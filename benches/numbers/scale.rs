//! What thousands of instances in one daemon cost, beside a daemon with one: the start, memory, latency, a reload and
//! questions; and a node that takes five hundred VIPs over at once. About two minutes.

mod burst;
mod sizes;

pub(crate) fn run() -> anyhow::Result<()> {
    sizes::run()?;
    burst::run()
}

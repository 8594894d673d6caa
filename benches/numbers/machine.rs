//! What one event costs with 1, 1,000 and 10,000 instances: the pure machine alone, and the daemon as a process
//! with a `status --watch` attached. About three minutes. The cost must not grow with the number of instances.

mod daemon;
mod pure;

/// The numbers of instances; the first is what the others are compared with.
const SIZES: [u32; 3] = [1, 1_000, 10_000];

pub(crate) fn run() -> anyhow::Result<()> {
    pure::run()?;
    pure::recorded()?;
    daemon::run()
}

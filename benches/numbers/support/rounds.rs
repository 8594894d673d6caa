//! How long the benches run.

/// The number of rounds: `KEEPSTART_BENCH_ROUNDS`, or the number that the published figures need.
pub(crate) fn rounds(default: usize) -> usize {
    let wanted = std::env::var("KEEPSTART_BENCH_ROUNDS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(default)
}

//! Quantiles and ratios.

/// Nanoseconds, sorted.
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    /// Takes measurements in any order.
    pub(crate) fn new(mut ns: Vec<u64>) -> Self {
        ns.sort_unstable();
        Self(ns)
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of all do not exceed (nearest rank); 0 without any.
    pub(crate) fn quantile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Nanoseconds as microseconds.
pub(crate) fn us(ns: u64) -> String {
    format!("{}", (ns + 500) / 1_000)
}

/// How many times `of` a value is.
pub(crate) fn ratio(value: u64, of: u64) -> String {
    let hundredths = (value * 100 + of / 2).checked_div(of);
    hundredths.map_or("–".into(), |it| format!("{}.{:02}", it / 100, it % 100))
}

//! A generator of numbers that look random; the same seed gives the same ones.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.below(2);
        random
    }

    /// The seed that this variable names, or another one each time. It is printed, for a second look at a failure.
    pub(crate) fn seed(variable: &str) -> u64 {
        let named = std::env::var(variable).ok();
        let seed = named.map_or_else(
            || u64::from(std::process::id()),
            |text| text.parse().unwrap(),
        );
        println!("{variable}={seed}");
        seed
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

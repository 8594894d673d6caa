//! Where a world's choices come from: a seed, or the bytes of a fuzzer. Nothing else in a world is random.

use std::time::Duration;

/// A source of choices.
#[derive(Debug, Clone)]
pub(crate) enum Choices {
    /// Vigna's `SplitMix64`: every seed gives an endless, well-mixed sequence.
    Seed(u64),
    /// Bytes from outside, two a choice; when they are used up, what a seed made of them gives.
    #[cfg(fuzzing)]
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
        /// How many are used.
        at: usize,
    },
}

impl Choices {
    /// The choices of a fuzzer.
    #[cfg(fuzzing)]
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes {
            bytes: bytes.to_vec(),
            at: 0,
        }
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        match self {
            Self::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^ (z >> 31)
            }
            #[cfg(fuzzing)]
            Self::Bytes { bytes, at } => {
                let Some([low, high]) = bytes.get(*at..*at + 2) else {
                    let seed = bytes.iter().fold(0, |seed: u64, byte| {
                        seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
                    });
                    *self = Self::Seed(seed);
                    return self.next();
                };
                *at += 2;
                // Over the whole range, and small numbers for small bytes: a remainder is what they say.
                u64::from(u16::from_le_bytes([*low, *high])) * 0x0001_0001_0001_0001
            }
        }
    }

    /// A number from 0 to `end - 1`; 0 for an `end` of 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// An index into something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let end = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.below(end)).unwrap_or(0)
    }

    /// True in this many of a thousand cases.
    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of these, of which there is at least one.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A span from 0 to `longest`.
    pub(crate) fn within(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// A span around one of these milliseconds: from half of it to one and a half.
    pub(crate) fn around_ms(&mut self, of: &[u64]) -> Duration {
        let middle = Duration::from_millis(self.pick(of));
        middle / 2 + self.within(middle)
    }
}

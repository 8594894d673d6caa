//! Sets of numbers as spans without gaps, and the same set made coarser so that fewer spans do. Pure.

/// All numbers from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: u32,
    pub(super) high: u32,
}

/// Spans in order, with at least one number between two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Span>);

impl FromIterator<u32> for Ranges {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let single = |number| Span {
            low: number,
            high: number,
        };
        let mut ranges = Self(numbers.into_iter().map(single).collect());
        ranges.close_gaps(0);
        ranges
    }
}

impl Ranges {
    pub(super) fn spans(&self) -> &[Span] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Makes it at most `count` spans (but for one at least), by taking in the smallest gaps between them.
    pub(super) fn reduce_to(&mut self, count: usize) {
        let Some(surplus) = self.0.len().checked_sub(count.max(1)).filter(|it| *it > 0) else {
            return;
        };
        let mut gaps: Vec<u32> = self
            .0
            .windows(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(gap(*left, *right)),
                _ => None,
            })
            .collect();
        // There is one gap less than there are spans, so `surplus` is at most their number.
        let (_, largest, _) = gaps.select_nth_unstable(surplus - 1);
        let largest = *largest;
        self.close_gaps(largest);
    }

    /// Takes in the gaps of at most this many numbers.
    fn close_gaps(&mut self, numbers: u32) {
        self.0.dedup_by(|right, left| {
            let close = right.low <= left.high || gap(*left, *right) <= numbers;
            if close {
                left.high = left.high.max(right.high);
            }
            close
        });
    }
}

/// How many numbers lie between two spans of which the left one ends before the right one begins.
fn gap(left: Span, right: Span) -> u32 {
    (right.low - left.high).saturating_sub(1)
}

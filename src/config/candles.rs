//! `[candles]`: how many bars are kept of each symbol.

use super::parse::whole;
use super::section::Section;
use crate::candles::Interval;

/// The most that may be kept of one interval.
const KEEP_MAX: usize = 10_000;

/// Bars kept of each symbol, 96 bytes each and only as many as there were. 0 keeps none of an interval, to 10,000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candles {
    /// By [`Interval`]. Default: 300 of `1s`, 500 of each other.
    keep: [usize; Interval::COUNT],
}

impl Candles {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut candles = Self::default();
        let keys = ["keep_1s", "keep_1m", "keep_5m", "keep_1h", "keep_1d"];
        for (keep, key) in candles.keep.iter_mut().zip(keys) {
            *keep = section.get(key, *keep, whole(0..=KEEP_MAX));
        }
        candles
    }

    /// Bars kept of an interval.
    pub fn keep(&self, interval: Interval) -> usize {
        self.keep[interval as usize]
    }

    /// Whether there are bars at all.
    pub fn keeps_any(&self) -> bool {
        self.keep.iter().any(|&keep| keep > 0)
    }
}

impl Default for Candles {
    fn default() -> Self {
        Self { keep: [300, 500, 500, 500, 500] }
    }
}

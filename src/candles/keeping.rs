//! How many bars are kept of each interval, and the counters of what is lost on the way into them.

use prometheus_client::metrics::counter::Counter;

use super::Interval;
use crate::config;
use crate::metrics::{ByInterval, ByReason, Metrics};

/// What all symbols' bars have in common.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    settings: config::Candles,
    late: [Counter; Interval::COUNT],
    corrections: [Counter; 3],
}

/// What became of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// Every bar with it was made anew.
    Exact,
    /// A bar with it is marked; its volume is right, its prices may be the old ones.
    Marked,
    /// The trade that it is about is not among those kept, or was none that counted.
    Unmatched,
}

/// What became of corrections, as metrics name it.
pub const CORRECTIONS: [&str; 3] = ["exact", "marked", "unmatched"];

impl Keeping {
    /// As configured, counted in `metrics`.
    pub fn new(settings: config::Candles, metrics: &Metrics) -> Self {
        let late = Interval::ALL.map(|interval| {
            metrics.candle_trades_late.get_or_create(&ByInterval { interval: interval.name() }).clone()
        });
        let corrections =
            CORRECTIONS.map(|reason| metrics.candle_corrections.get_or_create(&ByReason { reason }).clone());
        Self { settings, late, corrections }
    }

    /// Bars kept of an interval; 0 where there are none.
    pub fn most(&self, interval: Interval) -> usize {
        self.settings.keep(interval)
    }

    /// Whether there are bars at all.
    pub fn keeps_any(&self) -> bool {
        self.settings.keeps_any()
    }

    pub(super) fn late(&self, interval: Interval) {
        if self.most(interval) > 0 {
            self.late[interval as usize].inc();
        }
    }

    pub(super) fn corrected(&self, correction: Correction) {
        self.corrections[correction as usize].inc();
    }
}

//! How long events were under way: a histogram of microseconds, and the percentiles that a report gives.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest that is told apart, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Delays in microseconds, exact to three digits.
#[derive(Clone, Debug)]
pub struct Latency {
    delays: Histogram<u64>,
}

/// Percentiles in milliseconds; all `None` where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub samples: u64,
    /// Half were faster.
    pub p50_ms: Option<f64>,
    /// Nine of ten were faster.
    pub p90_ms: Option<f64>,
    /// 99 of a hundred were faster.
    pub p99_ms: Option<f64>,
    /// 999 of a thousand were faster.
    pub p999_ms: Option<f64>,
    /// The slowest.
    pub max_ms: Option<f64>,
}

impl Default for Latency {
    fn default() -> Self {
        let delays = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Self { delays: delays.expect("1 to ten minutes at three digits is a range that it takes") }
    }
}

impl Latency {
    /// Takes one delay in; what is over ten minutes counts as ten minutes, and 0 as 1 µs.
    pub fn record(&mut self, delay_us: u64) {
        self.delays.saturating_record(delay_us.max(1));
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.delays.reset();
    }

    /// The percentiles so far.
    pub fn percentiles(&self) -> Percentiles {
        let at =
            |quantile| (!self.delays.is_empty()).then(|| millis(self.delays.value_at_quantile(quantile)));
        Percentiles {
            samples: self.delays.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ten minutes in microseconds fit a float exactly")]
fn millis(us: u64) -> f64 {
    us.min(LONGEST_US) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand_delays_are_those_of_their_ranks() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|ms| latency.record(ms * 1000));
        let percentiles = latency.percentiles();
        assert_eq!(percentiles.samples, 1000);
        for (found, wanted) in [
            (percentiles.p50_ms, 500.0),
            (percentiles.p90_ms, 900.0),
            (percentiles.p99_ms, 990.0),
            (percentiles.p999_ms, 999.0),
            (percentiles.max_ms, 1000.0),
        ] {
            let found = found.unwrap();
            assert!((found - wanted).abs() <= wanted * 0.001, "{found} is not {wanted}");
        }
    }

    #[test]
    fn nothing_measured_is_no_value_rather_than_zero() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentiles(), Percentiles::default());
        latency.record(5);
        latency.clear();
        assert_eq!(latency.percentiles().p99_ms, None);
    }

    #[test]
    fn a_delay_beyond_the_range_is_kept_as_its_end() {
        let mut latency = Latency::default();
        latency.record(u64::MAX);
        assert_eq!(latency.percentiles().max_ms, Some(600_000.0));
        assert_eq!(latency.percentiles().samples, 1);
    }
}

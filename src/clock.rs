//! The clocks of the process: tokio's for durations, so that tests can pause it, and the system's for what is
//! shown to people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use governor::clock::{Clock, Reference};
use governor::nanos::Nanos;
use tickcast_feeds::UnixNanos;
use tokio::time::Instant;

use crate::consolidate::Moment;

/// Both clocks now.
pub fn now() -> Moment {
    Moment { at: Instant::now().into_std(), wall: wall() }
}

/// The system's clock.
pub fn wall() -> UnixNanos {
    let since = system().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The system's clock as dates in headers are compared with it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn system() -> SystemTime {
    SystemTime::now()
}

/// Whole milliseconds, for messages.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tokio's clock for rate limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

/// A reading of [`TokioClock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading(Instant);

impl Clock for TokioClock {
    type Instant = Reading;

    fn now(&self) -> Reading {
        Reading(Instant::now())
    }
}

impl Reference for Reading {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        let duration: Duration = duration.into();
        Self(self.0.checked_sub(duration).unwrap_or(self.0))
    }
}

impl std::ops::Add<Nanos> for Reading {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        let duration: Duration = duration.into();
        Self(self.0 + duration)
    }
}

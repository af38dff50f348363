//! How many messages a second a client may be sent, over all its streams. Nothing is dropped for it: a stream
//! that is over the budget flushes less often, so more of its changes are conflated.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::{Reading, TokioClock};

/// One client's budget, shared by its streams.
#[derive(Debug)]
pub struct Budget {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Reading>>,
    per_second: NonZeroU32,
}

impl Budget {
    /// So many messages in any second; as many at once after a quiet one.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct_with_clock(Quota::per_second(per_second), TokioClock),
            per_second,
        }
    }

    /// Messages per second.
    pub fn per_second(&self) -> u32 {
        self.per_second.get()
    }

    /// Pays for messages that were sent, as far as the budget goes. `Err` says how long to wait before the rest
    /// of `owed` can be paid; a debt larger than a second's worth is paid in parts.
    pub(super) fn pay(&self, owed: &mut u32) -> Result<(), Duration> {
        while let Some(part) = NonZeroU32::new((*owed).min(self.per_second.get())) {
            // A part is at most the quota's burst, so the limiter always has the capacity for it.
            if let Ok(Err(until)) = self.limiter.check_n(part) {
                return Err(until.wait_time_from(TokioClock.now()));
            }
            *owed -= part.get();
        }
        Ok(())
    }
}

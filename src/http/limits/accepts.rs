//! How many connections the node accepts in a second. The others wait in the kernel's queue, so after a restart a crowd
//! comes in evenly instead of being refused (P27).

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::{Reading, TokioClock};

/// The accept loop's pace.
#[derive(Debug)]
pub struct AcceptRate {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Reading>>>,
}

impl AcceptRate {
    /// So many in any second, as many at once after a quiet one; `None` (and 0, which the config does not let through) is
    /// without a limit.
    pub fn new(per_second: Option<u32>) -> Self {
        let quota = per_second.and_then(NonZeroU32::new).map(Quota::per_second);
        Self { limiter: quota.map(|quota| RateLimiter::direct_with_clock(quota, TokioClock)) }
    }

    /// Takes one connection's turn. `Err` says how long to wait before asking again; nothing was taken then.
    pub fn take(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|until| {
            // The timer's own grain is a millisecond, and a wait of nothing would spin.
            until.wait_time_from(TokioClock.now()).max(Duration::from_millis(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p27_a_crowd_is_let_in_at_the_rate_and_not_faster() {
        let rate = AcceptRate::new(Some(10));
        let start = tokio::time::Instant::now();
        for _ in 0..40 {
            while let Err(wait) = rate.take() {
                tokio::time::sleep(wait).await;
            }
        }
        // The first ten at once, then ten a second.
        let took = start.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_millis(3_100)).contains(&took), "{took:?}");
        let free = AcceptRate::new(None);
        assert!((0..100_000).all(|_| free.take().is_ok()));
    }
}

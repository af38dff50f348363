//! Drives the simulator: one price change per symbol every `interval`, evenly spread over it.

use std::time::Duration;

use tickcast_feeds::Events;
use tickcast_feeds::sim::Market;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::pipeline::Pipeline;
use crate::clock;

/// Steps made between two looks at the clock. Then others get their turn.
pub(super) const BATCH_MAX: u64 = 1024;
/// A driver that is further behind than this gives the time up: prices in a rush help nobody.
pub(super) const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Makes prices for ever. `wires` are the instruments, each of which changes once every `interval`.
pub async fn run(seed: u64, wires: Vec<String>, interval: Duration, mut pipeline: Pipeline) {
    let names: Vec<&str> = wires.iter().map(String::as_str).collect();
    let mut market = Market::new(seed, &names);
    let count = names.len() as u64;
    if count == 0 {
        return std::future::pending().await;
    }
    pipeline.connected();
    let mut spare = Events::default();
    let (mut start, mut made) = (Instant::now(), 0_u64);
    loop {
        let due = due(start.elapsed(), interval, count);
        if due <= made {
            sleep_until(start + when(made, interval, count)).await;
            continue;
        }
        for step in made..due.min(made + BATCH_MAX) {
            let now = clock::now();
            let mut events = std::mem::take(&mut spare).recycle();
            let index = usize::try_from(step % count).expect("an index of `wires`");
            market.step(index, now.wall, &mut events);
            pipeline.events(&mut events, now, |_| {});
            spare = events.recycle();
        }
        made = due.min(made + BATCH_MAX);
        let behind = start.elapsed().saturating_sub(when(made, interval, count));
        if behind > BEHIND_MAX {
            warn!(?behind, "the simulator cannot keep up with its rate");
            start += behind;
        }
        tokio::task::yield_now().await;
    }
}

/// How many steps are due after so long.
pub(super) fn due(elapsed: Duration, interval: Duration, count: u64) -> u64 {
    let steps = elapsed.as_nanos() * u128::from(count) / interval.as_nanos().max(1);
    u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1)
}

/// When a step is due, after the start.
pub(super) fn when(step: u64, interval: Duration, count: u64) -> Duration {
    // Rounded up: a timer that fires before its step is due would only be set again.
    let nanos = (u128::from(step) * interval.as_nanos()).div_ceil(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_spread_evenly_and_none_is_early() {
        let (interval, count) = (Duration::from_millis(200), 3);
        for step in 0..1000 {
            let at = when(step, interval, count);
            assert_eq!(due(at, interval, count), step + 1);
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                assert_eq!(due(before, interval, count), step);
            }
        }
    }
}

//! Drives the simulator: one price change per symbol every `interval`, evenly spread over it.

use std::time::Duration;

use tickcast_feeds::Events;
use tickcast_feeds::sim::Market;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::board::Feed;
use super::pipeline::Pipeline;
use crate::clock;

/// Steps made between two looks at the clock. Then others get their turn.
pub(super) const BATCH_MAX: u64 = 1024;
/// A driver that is further behind than this gives the time up: prices in a rush help nobody.
pub(super) const BEHIND_MAX: Duration = Duration::from_secs(1);

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// The same seed gives the same prices.
    pub seed: u64,
    /// The instruments.
    pub wires: Vec<String>,
    /// Each of them changes once in this time.
    pub interval: Duration,
}

/// Makes prices for ever, of what is wanted at the time. Instruments that stay go on where they are.
pub async fn run(mut wanted: watch::Receiver<Simulated>, feed: Feed, mut pipeline: Pipeline) {
    let mut market = Market::new(0, &[]);
    let mut seed = None;
    pipeline.connected();
    loop {
        let now = wanted.borrow_and_update().clone();
        let names: Vec<&str> = now.wires.iter().map(String::as_str).collect();
        if seed.replace(now.seed) != Some(now.seed) {
            market = Market::new(now.seed, &[]);
        }
        market.list(now.seed, &names);
        feed.simulates(names.len());
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return std::future::pending().await },
            () = play(&mut market, names.len() as u64, now.interval, &mut pipeline) => {}
        }
    }
}

/// Moves so many instruments for ever.
async fn play(market: &mut Market, count: u64, interval: Duration, pipeline: &mut Pipeline) {
    if count == 0 {
        return std::future::pending().await;
    }
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

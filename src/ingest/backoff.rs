//! How long to wait before the next attempt; pure, time and chance are arguments.
//!
//! Most ends deserve full jitter under a ceiling that doubles. It goes back to its start after a tick, not after a
//! connect: some venues accept and hang up. Others have policies of their own, so that a ban never grows worse.

use std::collections::VecDeque;
use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::Instant;

use super::board::FeedState;

const CEILING_MIN: Duration = Duration::from_millis(500);
const CEILING_MAX: Duration = Duration::from_secs(30);
/// However lucky the draw, nobody is asked again sooner.
const FLOOR: Duration = Duration::from_millis(20);
const SLOW_MIN: Duration = Duration::from_secs(10);
const SLOW_MAX: Duration = Duration::from_mins(5);
const LIMITED_MIN: Duration = Duration::from_secs(30);
const BANNED_MIN: Duration = Duration::from_mins(2);
const BANNED_MAX: Duration = Duration::from_mins(30);
/// A half-dead session of Alpaca's is kept for 90 s (QuantConnect/Lean.Brokerages.Alpaca PR#39).
const OCCUPIED: Duration = Duration::from_secs(90);
/// Who asks for longer is asked again once a day.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// So many ends within [`FLAPPING`], and a tick no longer sets the ceiling back.
const ENDS_MAX: usize = 10;
const FLAPPING: Duration = Duration::from_mins(5);

/// Why there is to be another attempt, as far as the wait depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A network's or a venue's everyday failure.
    Ordinary,
    /// HTTP 429: too many attempts. With the venue's own wish, where it has one.
    Limited(Option<Duration>),
    /// HTTP 418: banned for having gone on after 429.
    Banned(Option<Duration>),
    /// HTTP 451 or 403: this address serves nobody from here.
    Forbidden,
    /// A key that is wrong or missing.
    Unauthorized,
    /// HTTP 406 and the like: another connection holds the only place.
    Occupied,
    /// Close code 1008, not said to be for the rate.
    Policy,
    /// Close code 1008 for too many frames.
    PolicyRate,
}

/// The wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long.
    pub delay: Duration,
    /// What the feed is meanwhile.
    pub state: FeedState,
    /// Whether all connections to the venue have to wait.
    pub is_for_all: bool,
}

/// The memory of one connection's attempts.
#[derive(Debug, Default)]
pub struct Backoff {
    /// Ends in a row without a tick.
    ends: u32,
    /// Refusals of one kind in a row without a tick.
    refusals: u32,
    /// When the newest ends were.
    recent: VecDeque<Instant>,
}

impl Backoff {
    /// A tick came: what went wrong before is over, unless it goes wrong all the time.
    pub fn ticked(&mut self, now: Instant) {
        self.refusals = 0;
        let flaps = self.recent.len() == ENDS_MAX
            && self.recent.front().is_some_and(|&first| now.saturating_duration_since(first) < FLAPPING);
        if !flaps {
            self.ends = 0;
        }
    }

    /// Another attempt has failed, or the connection has ended.
    pub fn ended(&mut self, trouble: Trouble, now: Instant, rng: &mut impl Rng) -> Wait {
        if self.recent.len() == ENDS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let times = if trouble == Trouble::Ordinary { &mut self.ends } else { &mut self.refusals };
        let before = *times;
        *times = times.saturating_add(1);
        let doubled = |least: Duration, most: Duration| {
            least.saturating_mul(2_u32.saturating_pow(before)).min(most.max(least))
        };
        let asked = |wish: Option<Duration>, least: Duration| wish.unwrap_or(least).min(RETRY_AFTER_MAX);
        let (least, state, is_for_all) = match trouble {
            Trouble::Ordinary => {
                let ceiling = doubled(CEILING_MIN, CEILING_MAX);
                let delay = rng.random_range(FLOOR..=ceiling);
                return Wait { delay, state: FeedState::Waiting, is_for_all: false };
            }
            Trouble::Limited(Some(wish)) => {
                // Who keeps saying "at once" and keeps refusing is not believed.
                let own = doubled(Duration::from_secs(1), SLOW_MAX);
                (asked(Some(wish), own).max(own), FeedState::Banned, true)
            }
            Trouble::Limited(None) => (doubled(LIMITED_MIN, SLOW_MAX), FeedState::Banned, true),
            Trouble::Banned(wish) => {
                let own = doubled(BANNED_MIN, BANNED_MAX);
                (asked(wish, own).max(own), FeedState::Banned, true)
            }
            Trouble::Forbidden | Trouble::Unauthorized => {
                (doubled(SLOW_MIN, SLOW_MAX), FeedState::Blocked, true)
            }
            Trouble::Occupied => (OCCUPIED, FeedState::Blocked, true),
            Trouble::Policy => (doubled(SLOW_MIN, SLOW_MAX), FeedState::Waiting, false),
            Trouble::PolicyRate => (BANNED_MIN, FeedState::Banned, true),
        };
        // Never sooner than asked for, and not all at once.
        let delay = least + rng.random_range(Duration::ZERO..=least / 10);
        Wait { delay, state, is_for_all }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// The waits of so many failures in a row.
    fn waits(trouble: Trouble, count: usize, seed: u64) -> Vec<Wait> {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(seed));
        let now = Instant::now();
        (0..count).map(|_| backoff.ended(trouble, now, &mut rng)).collect()
    }

    #[test]
    fn m1_an_everyday_failure_waits_at_random_under_a_ceiling_that_doubles() {
        let ceilings_ms = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        let mut sums = [0_u128; 9];
        for seed in 0..400 {
            for (index, wait) in waits(Trouble::Ordinary, 9, seed).into_iter().enumerate() {
                assert!(wait.delay >= FLOOR && wait.delay <= Duration::from_millis(ceilings_ms[index]));
                assert_eq!((wait.state, wait.is_for_all), (FeedState::Waiting, false));
                sums[index] += wait.delay.as_millis();
            }
        }
        for (sum, ceiling) in sums.into_iter().zip(ceilings_ms) {
            let mean = sum / 400;
            // Over the whole range, not near its top: that is what spreads many.
            assert!(mean > u128::from(ceiling) * 4 / 10 && mean < u128::from(ceiling) * 6 / 10, "{mean}");
        }
    }

    #[test]
    fn m17_refusals_wait_as_long_as_each_kind_asks() {
        use FeedState::{Banned, Blocked, Waiting};
        let cases = [
            (Trouble::Limited(None), [30, 60, 120, 240, 300, 300], Banned),
            (Trouble::Limited(Some(secs(7))), [7, 7, 7, 8, 16, 32], Banned),
            (Trouble::Limited(Some(Duration::ZERO)), [1, 2, 4, 8, 16, 32], Banned),
            (Trouble::Limited(Some(secs(600))), [600; 6], Banned),
            (Trouble::Banned(None), [120, 240, 480, 960, 1800, 1800], Banned),
            (Trouble::Banned(Some(secs(5))), [120, 240, 480, 960, 1800, 1800], Banned),
            (Trouble::Banned(Some(secs(7200))), [7200; 6], Banned),
            (Trouble::Forbidden, [10, 20, 40, 80, 160, 300], Blocked),
            (Trouble::Unauthorized, [10, 20, 40, 80, 160, 300], Blocked),
            (Trouble::Occupied, [90; 6], Blocked),
            (Trouble::Policy, [10, 20, 40, 80, 160, 300], Waiting),
            (Trouble::PolicyRate, [120; 6], Banned),
        ];
        for (trouble, least, state) in cases {
            for seed in 0..50 {
                for (wait, least) in waits(trouble, 6, seed).into_iter().zip(least) {
                    let (least, most) = (secs(least), secs(least) * 11 / 10);
                    assert!(wait.delay >= least && wait.delay <= most, "{trouble:?}: {wait:?} for {least:?}");
                    assert_eq!(wait.state, state, "{trouble:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_tick_sets_the_ceiling_back() {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(1));
        let now = Instant::now();
        for _ in 0..5 {
            backoff.ended(Trouble::Ordinary, now, &mut rng);
        }
        assert_eq!(backoff.ends, 5);
        backoff.ticked(now);
        assert!(backoff.ended(Trouble::Ordinary, now, &mut rng).delay <= CEILING_MIN);
    }

    #[test]
    fn m20_a_connection_that_ticks_and_ends_all_the_time_slows_down_too() {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(1));
        let mut now = Instant::now();
        for _ in 0..20 {
            backoff.ended(Trouble::Ordinary, now, &mut rng);
            now += secs(1);
            backoff.ticked(now);
        }
        assert!(backoff.ends > 5, "{backoff:?}");
        now += FLAPPING;
        backoff.ticked(now);
        assert_eq!(backoff.ends, 0);
    }
}

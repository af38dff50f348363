//! How fast frames may go out: a rolling window without bursts. A bucket of tokens that fills up while nothing is
//! sent lets twice its size into one of the venue's seconds, and venues count those strictly.

use std::collections::VecDeque;

use tickcast_feeds::Pace;
use tokio::time::Instant;

/// What is kept free of each window, as one part in so many: frames reach the venue closer together than they left,
/// and a few milliseconds have been enough to be cut off (`nautilus_trader#5012`).
const MARGIN: u32 = 20;

/// The limiter of one connection.
///
/// Invariant: no window of the profile's length holds more than its frames, as long as the venue makes us answer
/// at most one ping in it: a slot is kept for that.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// When the newest frames went, control frames too; at most as many as the window takes.
    sent: VecDeque<Instant>,
}

impl Pacer {
    /// A limiter that has let nothing through yet.
    pub fn new(pace: Pace) -> Self {
        let pace = Pace { frames: pace.frames.max(1), window: pace.window + pace.window / MARGIN };
        Self { pace, sent: VecDeque::new() }
    }

    /// When the next frame may go: `now` or later.
    pub fn ready_at(&self, now: Instant) -> Instant {
        let Pace { frames, window } = self.pace;
        let Some(&newest) = self.sent.back() else { return now };
        let spaced = newest + window / frames;
        let share = (frames as usize - 1).max(1);
        let rolled = self.sent.len().checked_sub(share).map(|oldest| self.sent[oldest] + window);
        now.max(spaced).max(rolled.unwrap_or(now))
    }

    /// Counts a frame that went out, also one that could not wait (the answer to a ping).
    pub fn count(&mut self, now: Instant) {
        if self.sent.len() == self.pace.frames as usize {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// The most frames in any window of this length.
    fn most_in(times: &[Instant], window: Duration) -> usize {
        let within = |from: Instant| times.iter().filter(|&&t| t >= from && t < from + window).count();
        times.iter().map(|&from| within(from)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn m19_m113_no_window_ever_holds_more_than_its_frames_with_pings_counted(
            frames in 1..20_u32,
            window_ms in 50..5_000_u64,
            steps in prop::collection::vec((0..700_u64, prop::bool::weighted(0.15)), 1..200),
        ) {
            let window = Duration::from_millis(window_ms);
            let mut pacer = Pacer::new(Pace { frames, window });
            let mut now = Instant::now();
            let (mut all, mut ours, mut pong) = (Vec::new(), Vec::new(), None::<Instant>);
            for (wait, is_ping) in steps {
                now += Duration::from_millis(wait);
                if is_ping && pong.is_none_or(|last| now >= last + window) {
                    pong = Some(now);
                } else {
                    now = pacer.ready_at(now);
                    ours.push(now);
                }
                pacer.count(now);
                all.push(now);
            }
            // With one frame in a window there is no slot to keep: the answer to a ping comes on top.
            let most = if frames == 1 { 2 } else { frames as usize };
            prop_assert!(most_in(&all, window) <= most);
            prop_assert!(most_in(&ours, window) <= frames as usize);
            prop_assert!(ours.windows(2).all(|pair| pair[1] - pair[0] >= window / frames));
        }
    }

    #[test]
    fn what_was_saved_up_by_waiting_is_not_spent_in_a_burst() {
        let mut pacer = Pacer::new(Pace { frames: 4, window: Duration::from_secs(1) });
        let start = Instant::now();
        assert_eq!(pacer.ready_at(start), start);
        pacer.count(start);
        let later = start + Duration::from_secs(60);
        assert_eq!(pacer.ready_at(later), later);
        pacer.count(later);
        assert_eq!(pacer.ready_at(later), later + Duration::from_millis(1050) / 4);
    }
}

//! One clock for all streams of a thread: which of them has to be looked at when.
//!
//! A stream mostly waits for the end of a window, soon, or for its next heartbeat, late. The late one is seldom
//! moved, so it stays where it is while windows come and go: a busy stream costs one entry per flush.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// All deadlines, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Instant, u32)>>);

/// One stream's entries. What is not one of these is of a deadline that was replaced.
#[derive(Debug, Default)]
pub(super) struct Entries {
    soon: Option<Instant>,
    late: Option<Instant>,
}

impl Deadlines {
    /// Sees to it that a stream is looked at no later than at `at`.
    pub(super) fn set(&mut self, key: u32, entries: &mut Entries, at: Instant) {
        let is_before = |entry: Option<Instant>| entry.is_some_and(|entry| entry <= at);
        if is_before(entries.soon) || is_before(entries.late) {
            return;
        }
        let entry = if entries.late.is_none() { &mut entries.late } else { &mut entries.soon };
        *entry = Some(at);
        self.0.push(Reverse((at, key)));
    }

    /// The earliest, which may be one that was replaced.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next stream that is due, with the entry by which it is. It is for [`Entries::take`] to say whether
    /// that still holds.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u32, Instant)> {
        self.0.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.0.pop().map(|Reverse((at, key))| (key, at))
    }
}

impl Entries {
    /// Takes an entry that has come; `false` where it was replaced.
    pub(super) fn take(&mut self, at: Instant) -> bool {
        let entry = [&mut self.soon, &mut self.late].into_iter().find(|entry| **entry == Some(at));
        entry.and_then(Option::take).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Clock {
        start: Instant,
        deadlines: Deadlines,
        streams: Vec<Entries>,
    }

    impl Clock {
        fn new(streams: usize) -> Self {
            let streams = (0..streams).map(|_| Entries::default()).collect();
            Self { start: Instant::now(), deadlines: Deadlines::default(), streams }
        }

        fn set(&mut self, key: u32, ms: u64) {
            let at = self.start + Duration::from_millis(ms);
            self.deadlines.set(key, &mut self.streams[key as usize], at);
        }

        fn due(&mut self, ms: u64) -> Vec<u32> {
            let now = self.start + Duration::from_millis(ms);
            let mut due = Vec::new();
            while let Some((key, at)) = self.deadlines.next(now) {
                if self.streams[key as usize].take(at) {
                    due.push(key);
                }
            }
            due
        }
    }

    #[test]
    fn the_earliest_comes_first_and_none_too_soon() {
        let mut clock = Clock::new(3);
        for (key, ms) in [(0, 300), (1, 100), (2, 200)] {
            clock.set(key, ms);
        }
        assert_eq!(clock.deadlines.first(), Some(clock.start + Duration::from_millis(100)));
        assert!(clock.due(99).is_empty());
        assert_eq!(clock.due(250), [1, 2]);
        assert_eq!(clock.due(1000), [0]);
        assert_eq!(clock.deadlines.first(), None);
    }

    #[test]
    fn a_stream_with_windows_and_a_late_heartbeat_keeps_two_entries() {
        let mut clock = Clock::new(1);
        clock.set(0, 15_000);
        for window in (0..10_000).step_by(150) {
            // Woken, a flush, a window of 100 ms, and quiet again until the heartbeat.
            clock.set(0, window + 100);
            assert_eq!(clock.due(window + 100), [0]);
            clock.set(0, 15_000 + window);
            assert!(clock.deadlines.0.len() <= 2);
        }
        assert_eq!(clock.due(20_000), [0]);
    }

    #[test]
    fn a_deadline_that_moved_ahead_is_met_and_the_one_it_replaced_says_nothing() {
        let mut clock = Clock::new(1);
        for ms in [1_000, 500, 200] {
            clock.set(0, ms);
        }
        assert_eq!(clock.due(200), [0]);
        assert!(clock.due(500).is_empty(), "replaced");
        assert_eq!(clock.due(1_000), [0], "the late one stays");
    }
}

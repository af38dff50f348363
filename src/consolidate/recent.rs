//! The trades seen last, to tell one that is sent again from one that is late.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;
use tickcast_feeds::Trade;

/// How many trades are remembered: more than a venue sends again after a short break, and what they cost stays
/// below half a kilobyte a source.
const WINDOW: usize = 32;

/// The marks of the last trades that had an id.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// Zero where there has been none.
    marks: [u64; WINDOW],
    next: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { marks: [0; WINDOW], next: 0 }
    }
}

impl Recent {
    /// Notes a trade; returns whether it was seen before. One without an id never was, as far as one can tell.
    pub(super) fn has_seen(&mut self, trade: &Trade<'_>) -> bool {
        let Some(id) = &trade.id else { return false };
        let mut hasher = FxHasher::default();
        // Not the id alone: some are unique at one exchange of many, or within a day.
        (&id.0, trade.ts_event, trade.price).hash(&mut hasher);
        let mark = hasher.finish().max(1);
        if self.marks.contains(&mark) {
            return true;
        }
        self.marks[self.next] = mark;
        self.next = (self.next + 1) % WINDOW;
        false
    }
}

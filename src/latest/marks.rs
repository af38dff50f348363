//! Where the trades of a symbol's venues have got to: what a node that publishes them says, so that another one can go on
//! behind that, out of what it has heard itself.

use std::cmp::Ordering;

use smallvec::{Array, SmallVec};
use tickcast_feeds::{UnixNanos, Venue};

use super::history::Print;
use crate::consolidate::order;

/// The newest trade of a venue that somebody has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose trade it is.
    pub venue: Venue,
    /// By its clock.
    pub at: Option<UnixNanos>,
    /// By its numbers.
    pub id: Option<u64>,
    /// How many trades there were that these don't tell apart.
    pub count: u32,
}

impl Mark {
    /// At this trade.
    pub fn of(print: &Print) -> Option<Self> {
        let (at, id) = (print.ticker.ts_event, print.trade);
        Some(Self { venue: print.ticker.venue?, at, id, count: 1 })
    }

    /// Where another trade of the venue is from here. Nothing where the venue gives neither times nor numbers.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        let is_comparable =
            self.at.is_some() && other.at.is_some() || self.id.is_some() && other.id.is_some();
        is_comparable.then(|| order(other.at, self.at).then_with(|| order(other.id, self.id)))
    }
}

/// Passes one more trade.
pub fn pass<A: Array<Item = Mark>>(marks: &mut SmallVec<A>, print: &Print) {
    let Some(mark) = Mark::of(print) else { return };
    match marks.iter_mut().find(|known| known.venue == mark.venue) {
        Some(known) if (known.at, known.id) == (mark.at, mark.id) => known.count += 1,
        Some(known) => *known = mark,
        None => marks.push(mark),
    }
}

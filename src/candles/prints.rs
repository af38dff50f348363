//! The trades counted last, of symbols whose trades may be taken back: what a bar is made anew from.

use std::collections::VecDeque;

use tickcast_feeds::{Moves, Price, Size, Trade, TradeId, Undone, UnixNanos, Venue};

use super::Interval;

/// Trades kept of a symbol, 80 bytes each.
const PRINTS_MAX: usize = 256;

/// A trade as far as bars need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) at: UnixNanos,
    pub(super) price: Price,
    pub(super) size: Option<Size>,
    pub(super) moves: Moves,
    pub(super) venue: Venue,
}

impl Print {
    pub(super) fn of(trade: &Trade<'_>, at: UnixNanos, venue: Venue) -> Self {
        let Trade { price, size, moves, .. } = *trade;
        Self { at, price, size, moves, venue }
    }
}

/// A trade and what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) print: Print,
    pub(super) id: Option<u64>,
    pub(super) is_newest: bool,
    /// Bars of which intervals count it.
    pub(super) counted: Counted,
}

const _: () = assert!(size_of::<Kept>() <= 80, "the README states it");

/// A set of intervals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted(u8);

impl Counted {
    pub(super) fn add(&mut self, interval: Interval) {
        self.0 |= 1 << interval as u8;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, interval: Interval) -> bool {
        self.0 & 1 << interval as u8 != 0
    }
}

/// The newest of them, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Prints {
    kept: VecDeque<Kept>,
    /// Trades up to this moment may be missing.
    incomplete_through: Option<UnixNanos>,
}

impl Prints {
    pub(super) fn push(&mut self, kept: Kept) {
        if self.kept.len() == PRINTS_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.incomplete_through = self.incomplete_through.max(Some(oldest.print.at));
        }
        self.kept.push_back(kept);
    }

    /// Whether all trades since this moment are here.
    pub(super) fn covers(&self, since: UnixNanos) -> bool {
        self.incomplete_through.is_none_or(|through| through < since)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// Puts the correction in the place of the trade that it is about, or nothing; returns the old one and the new one.
    pub(super) fn replace(&mut self, undone: &Undone<'_>, venue: Venue) -> Option<(Kept, Option<Kept>)> {
        let index = self.find(undone, venue)?;
        let old = *self.kept.get(index)?;
        let Some(trade) = &undone.correction else {
            self.kept.remove(index);
            return Some((old, None));
        };
        // It is of the time of the trade that it corrects.
        let print = Print::of(trade, old.print.at, venue);
        let id = trade.id.as_ref().and_then(TradeId::number);
        self.kept[index] = Kept { print, id, ..old };
        Some((old, Some(self.kept[index])))
    }

    /// By all that the correction says: ids are unique at one exchange of many. Without an id it has to be of the same time.
    fn find(&self, undone: &Undone<'_>, venue: Venue) -> Option<usize> {
        let id = undone.id.as_ref().map(TradeId::number);
        self.kept.iter().rposition(|Kept { print, id: known, .. }| {
            let same = match id {
                Some(id) => id.is_some() && id == *known,
                None => undone.ts_event == Some(print.at) && undone.price.is_some(),
            };
            same && print.venue == venue
                && undone.price.is_none_or(|price| price == print.price)
                && undone.size.is_none_or(|size| Some(size) == print.size)
        })
    }
}

//! The store's bars: what comes into them beside trades, and who looks at them.

use std::sync::Arc;
use std::sync::PoisonError;

use tickcast_feeds::{Undone, UnixNanos, Venue};

use super::Latest;
use crate::candles::{Alignment, Bar, Interval, Keeping, News, Seen};
use crate::catalogue::SymbolId;
use crate::consolidate::Moment;

impl Latest {
    /// The same store with bars kept like this. To be called before the store is shared; without, the defaults hold.
    #[must_use]
    pub fn with_candles(mut self, keeping: Keeping) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.keeping = keeping;
        }
        self
    }

    /// How many bars are kept of an interval; 0 where there are none.
    pub fn candles_kept(&self, interval: Interval) -> usize {
        self.shared.keeping.most(interval)
    }

    /// Notes that a venue has taken back or corrected a trade. No price is moved by it: what was last before that trade
    /// is not known.
    pub fn undo(&self, venue: Venue, undone: &Undone<'_>, now: Moment) {
        for source in self.shared.catalogue.sources(venue, &undone.wire) {
            self.change(source.symbol, now, |row| {
                row.candles.undo(undone, venue, &self.shared.keeping);
                false
            });
        }
    }

    /// The newest bars of a symbol that begin before a moment, at most so many, the oldest first, each with whether it is
    /// over; and what they are aligned to.
    pub fn candles(
        &self,
        id: SymbolId,
        interval: Interval,
        before: Option<UnixNanos>,
        most: usize,
    ) -> Option<(Alignment, Vec<(Bar, bool)>)> {
        let row = self.shared.rows.get(&id)?;
        Some((row.candles.alignment(), row.candles.bars(interval, before, most)))
    }

    /// What a stream that follows a symbol's bars has not been told.
    pub fn candle_news(&self, id: SymbolId, interval: Interval, seen: &mut Seen) -> Option<News> {
        Some(self.shared.rows.get(&id)?.candles.news(interval, seen))
    }

    /// From now on each change of a symbol's bars is a change of the symbol.
    pub fn follow_candles(&self, id: SymbolId) {
        // No bar changes between the begin of a look and the begin of being told.
        let _guard = self.shared.commit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut row) = self.shared.rows.get_mut(&id) {
            row.candles.follow();
        }
    }

    /// One follower of a symbol's bars has left.
    pub fn unfollow_candles(&self, id: SymbolId) {
        if let Some(mut row) = self.shared.rows.get_mut(&id) {
            row.candles.unfollow();
        }
    }
}

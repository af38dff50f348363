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
        // Bars are made of trades, and an edge hears of none.
        if self.is_told() { 0 } else { self.shared.keeping.most(interval) }
    }

    /// Notes that a venue has taken back or corrected a trade. No price is moved by it: what was last before that trade
    /// is not known.
    pub fn undo(&self, venue: Venue, undone: &Undone<'_>, now: Moment) {
        for source in self.catalogue().sources(venue, &undone.wire) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tickcast_feeds::{Event, Price, Trade};

    use super::*;
    use crate::catalogue::{Catalogue, SourceRef};
    use crate::clock;
    use crate::config::{self, Class, Instrument, PriceRule, Source, StaleAfter};
    use crate::consolidate::tests::{quote, trade};
    use crate::fanout::Bells;
    use crate::latest::tests::apple;

    const BTC: SymbolId = SymbolId(0);

    /// A store of `BTC` at two venues, the first preferred.
    fn bitcoin() -> Latest {
        stale_after(StaleAfter::Fixed(Duration::from_hours(1)))
    }

    fn stale_after(stale_after: StaleAfter) -> Latest {
        let source = |venue| Source { venue, wire: "BTC-USD".to_owned() };
        let instrument = Instrument {
            symbol: "BTC".to_owned(),
            name: "Bitcoin".to_owned(),
            class: Class::Crypto,
            base: None,
            currency: "USD".to_owned(),
            decimals: 2,
            aliases: Vec::new(),
            sources: vec![source(Venue::Coinbase), source(Venue::Kraken)],
            price: PriceRule::Primary,
            min_sources: 1,
            stale_after,
        };
        let catalogue = Arc::new(Catalogue::new(vec![instrument]));
        let feeds = [Venue::Coinbase, Venue::Kraken].map(|venue| (venue, Duration::from_secs(10)));
        Latest::new(catalogue, &feeds, Arc::new(Bells::default()))
            .with_candles(Keeping::new(config::Candles::default(), &crate::metrics::Metrics::default()))
    }

    /// A trade of a source, so many seconds after the beginning by both clocks.
    fn give(latest: &Latest, index: usize, begin: Moment, seconds: u64, price: &str) {
        let now = after(begin, seconds);
        let trade = Trade { ts_event: Some(now.wall), ..trade(price) };
        latest.apply(SourceRef { symbol: BTC, index }, &[Event::Trade(trade)], now, |_, _| {});
    }

    fn after(begin: Moment, seconds: u64) -> Moment {
        let nanos = i64::try_from(seconds).expect("small") * 1_000_000_000;
        Moment { at: begin.at + Duration::from_secs(seconds), wall: UnixNanos(begin.wall.0 + nanos) }
    }

    /// Noon of a day without anything special.
    fn noon() -> Moment {
        let wall = UnixNanos::from_rfc3339("2026-10-08T12:00:00Z").expect("a time");
        Moment { wall, ..clock::now() }
    }

    /// Closes, and `!` where trades may be missing.
    fn minutes(latest: &Latest) -> Vec<String> {
        let (_, bars) = latest.candles(BTC, Interval::Minute, None, 100).expect("a symbol");
        let said = |bar: &Bar| format!("{}{}", bar.close, if bar.has_gap() { "!" } else { "" });
        bars.iter().map(|(bar, _)| said(bar)).collect()
    }

    #[test]
    fn m109_bars_are_made_of_the_trades_of_the_venue_that_makes_the_price() {
        let (latest, begin) = (bitcoin(), noon());
        give(&latest, 0, begin, 0, "100");
        // The other one stands by; what it trades is not in the bars.
        give(&latest, 1, begin, 1, "300");
        give(&latest, 0, begin, 60, "101");
        give(&latest, 1, begin, 61, "300");
        assert_eq!(minutes(&latest), ["100!", "101"]);
        latest.down(Venue::Kraken, &["BTC-USD"], after(begin, 62));
        assert_eq!(minutes(&latest), ["100!", "101"], "it is not whose trades these are");
        // Both are lost: the open bar is marked, and so is the first one of the venue that takes over.
        latest.down(Venue::Coinbase, &["BTC-USD"], after(begin, 63));
        give(&latest, 1, begin, 120, "300");
        give(&latest, 1, begin, 180, "301");
        assert_eq!(minutes(&latest), ["100!", "101!", "301!"], "with the trade of 120 it took over");
    }

    #[test]
    fn m109_the_bar_in_which_another_venue_takes_over_is_marked() {
        let (latest, begin) = (bitcoin(), noon());
        give(&latest, 0, begin, 0, "100");
        give(&latest, 1, begin, 60, "300");
        give(&latest, 0, begin, 61, "101");
        give(&latest, 1, begin, 62, "300");
        latest.down(Venue::Coinbase, &["BTC-USD"], after(begin, 63));
        give(&latest, 1, begin, 121, "301");
        give(&latest, 1, begin, 180, "302");
        assert_eq!(minutes(&latest), ["100!", "101!", "301!", "302"]);
        let (_, bars) = latest.candles(BTC, Interval::Minute, None, 1).expect("a symbol");
        assert_eq!(bars[0].0.venue, Venue::Kraken);
    }

    #[test]
    fn a_price_that_went_stale_marks_the_bars_before_and_after() {
        let (latest, begin) = (stale_after(StaleAfter::Auto), noon());
        give(&latest, 0, begin, 0, "100");
        give(&latest, 0, begin, 3_601, "101");
        give(&latest, 0, begin, 3_602, "102");
        latest.sweep(after(begin, 3_602 + 301));
        let hours = |latest: &Latest| {
            let (_, bars) = latest.candles(BTC, Interval::Hour, None, 100).expect("a symbol");
            bars.iter().map(|(bar, is_final)| (bar.has_gap(), *is_final)).collect::<Vec<_>>()
        };
        assert_eq!(hours(&latest), [(true, true), (true, false)]);
        give(&latest, 0, begin, 4_000, "103");
        give(&latest, 0, begin, 4_060, "104");
        assert_eq!(minutes(&latest), ["100!", "102", "103!", "104"]);
    }

    #[test]
    fn quotes_make_no_bars() {
        let (latest, begin) = (bitcoin(), noon());
        let quote = Event::Quote(quote("100", "101"));
        latest.apply(SourceRef { symbol: BTC, index: 0 }, &[quote], begin, |_, _| {});
        assert_eq!(
            latest.read(BTC, |view| view.ticker.price),
            Some(Price::parse("100.5").expect("a number"))
        );
        assert_eq!(minutes(&latest), [] as [&str; 0]);
    }

    #[test]
    fn m110_a_stocks_bars_are_aligned_to_its_session_and_say_so() {
        let latest = apple();
        assert_eq!(latest.candles(BTC, Interval::Hour, None, 1), Some((Alignment::Session, Vec::new())));
        assert_eq!(bitcoin().candles(BTC, Interval::Hour, None, 1), Some((Alignment::Utc, Vec::new())));
    }

    #[test]
    fn m91_a_symbol_that_is_taken_out_keeps_no_bars_and_one_that_comes_back_begins_anew() {
        let (latest, begin) = (bitcoin(), noon());
        give(&latest, 0, begin, 0, "100");
        give(&latest, 0, begin, 60, "101");
        let mut seen = Seen::default();
        assert_eq!(
            latest.candle_news(BTC, Interval::Minute, &mut seen).map(|news| news.finals.len()),
            Some(1)
        );
        let feeds = [(Venue::Coinbase, Duration::from_secs(10))];
        let before = latest.catalogue().entry(BTC).clone();
        let instrument = || Instrument {
            symbol: before.symbol.clone(),
            name: before.name.clone(),
            class: before.class,
            base: None,
            currency: before.currency.clone(),
            decimals: before.decimals,
            aliases: Vec::new(),
            sources: before.sources[..1].to_vec(),
            price: PriceRule::Primary,
            min_sources: 1,
            stale_after: StaleAfter::Fixed(Duration::from_hours(1)),
        };
        let without = latest.catalogue().revised(Vec::new());
        latest.revise(without, &feeds, after(begin, 61));
        assert_eq!(minutes(&latest), [] as [&str; 0]);
        let with = latest.catalogue().revised(vec![instrument()]);
        latest.revise(with, &feeds, after(begin, 62));
        give(&latest, 0, begin, 120, "102");
        give(&latest, 0, begin, 180, "103");
        assert_eq!(minutes(&latest), ["102!", "103"]);
        let news = latest.candle_news(BTC, Interval::Minute, &mut seen).expect("a symbol");
        assert_eq!((news.finals.len(), news.open.is_some()), (1, true), "told to who followed it before");
    }
}

//! What several sources say, at times that the tests pass in.

#![allow(clippy::disallowed_methods, reason = "any moment to count from; it never moves by itself")]

mod stocks;

use std::time::Duration;

use tickcast_feeds::{LastKind, Quote, Size, Summary, Trade, Venue};

use super::source::AUTO_MAX;
use super::*;
use crate::ticker::Figures;

/// A live print without a time of the venue's.
pub(crate) fn trade(price: &str) -> Trade<'static> {
    Trade {
        wire: "X".into(),
        price: some_price(price).expect("a price"),
        size: None,
        aggressor: None,
        id: None,
        ts_event: None,
        backfill: false,
        moves: tickcast_feeds::Moves::ALL,
    }
}

/// A best bid and ask; `"0"` is how a venue says that there is none.
pub(crate) fn quote(bid: &str, ask: &str) -> Quote<'static> {
    Quote {
        wire: "X".into(),
        bid: some_price(bid),
        bid_size: None,
        ask: some_price(ask),
        ask_size: None,
        sequence: None,
        ts_event: None,
    }
}

fn some_price(text: &str) -> Option<Price> {
    Price::parse(text).expect("a number")
}

fn summary(last: Option<&str>, ts_event: Option<i64>) -> Summary<'static> {
    Summary {
        wire: "X".into(),
        last: last.and_then(some_price),
        last_size: None,
        aggressor: None,
        id: None,
        top: None,
        open: None,
        high: None,
        low: None,
        volume: None,
        prev_close: None,
        ts_event: ts_event.and_then(UnixNanos::from_millis),
    }
}

fn at(mut trade: Trade<'static>, event_ms: i64, id: &'static str) -> Trade<'static> {
    trade.ts_event = UnixNanos::from_millis(event_ms);
    trade.id = Some(tickcast_feeds::TradeId(id.into()));
    trade
}

/// One symbol, its sources, and a clock that only the test moves.
struct Desk {
    start: Instant,
    after: Duration,
    rule: Rule,
    sources: Vec<Source>,
    ticker: Ticker,
}

const SILENCE: Duration = Duration::from_secs(10);

impl Desk {
    fn new(venues: &[Venue], price: PriceRule) -> Self {
        let rule = Rule { price, min_sources: 2, stale_after: StaleAfter::Fixed(SILENCE), hours: None };
        let sources = venues.iter().map(|&venue| Source::new(venue, SILENCE)).collect();
        let ticker = Ticker::unknown(Session::Open);
        Self { start: Instant::now(), after: Duration::ZERO, rule, sources, ticker }
    }

    fn one() -> Self {
        Self::new(&[Venue::Coinbase], PriceRule::Primary)
    }

    fn pair() -> Self {
        Self::new(&[Venue::Coinbase, Venue::Kraken], PriceRule::Primary)
    }

    fn now(&self) -> Moment {
        let wall = i64::try_from(self.after.as_nanos()).expect("short");
        Moment { at: self.start + self.after, wall: UnixNanos(1_790_000_000_000_000_000 + wall) }
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.after += time;
        self
    }

    fn wait_secs(&mut self, secs: u64) -> &mut Self {
        self.wait(Duration::from_secs(secs))
    }

    fn trade(&mut self, source: usize, price: &str) -> &mut Self {
        self.give(source, &trade(price));
        self
    }

    fn give(&mut self, source: usize, trade: &Trade<'_>) -> Effect {
        let now = self.now();
        self.sources[source].trade(trade, now)
    }

    fn quote(&mut self, source: usize, bid: &str, ask: &str) -> &mut Self {
        let now = self.now();
        assert_eq!(self.sources[source].quote(&quote(bid, ask), now), Effect::Taken);
        self
    }

    /// What a client sees now: price and status.
    fn shown(&mut self) -> (String, &'static str) {
        let now = self.now();
        self.ticker = consolidate(&mut self.sources, self.rule, &self.ticker, now);
        let price = self.ticker.price.map_or_else(|| "none".to_owned(), |price| price.to_string());
        (price, self.ticker.status.name())
    }

    fn parts(&self) -> Vec<&'static str> {
        self.ticker.sources.iter().map(|source| source.part.name()).collect()
    }

    fn shows(&mut self, price: &str, status: &str) {
        assert_eq!(self.shown(), (price.to_owned(), status), "after {:?}", self.after);
    }
}

#[test]
fn a_symbol_without_a_tick_has_no_price_and_is_stale() {
    let mut desk = Desk::pair();
    desk.shows("none", "stale");
    assert_eq!(desk.parts(), ["no_price", "no_price"]);
}

#[test]
fn the_last_trade_is_the_price_and_quotes_beside_it_are_not() {
    let mut desk = Desk::one();
    desk.quote(0, "99.00", "101.00").shows("100.00", "live");
    desk.trade(0, "100.50").shows("100.50", "live");
    desk.quote(0, "10.00", "11.00").shows("100.50", "live");
    assert_eq!(desk.ticker.mid().map(|mid| mid.to_string()).as_deref(), Some("10.50"));
}

#[test]
fn the_mid_is_the_price_only_while_both_sides_are_there_and_do_not_cross() {
    let mut desk = Desk::one();
    desk.quote(0, "0", "101").shows("none", "stale");
    desk.quote(0, "102", "101").shows("none", "stale");
    desk.quote(0, "100.1", "100.2").shows("100.15", "live");
    desk.quote(0, "100.3", "100.2").shows("100.15", "stale");
    desk.quote(0, "0", "0").shows("100.15", "stale");
    assert_eq!(desk.parts(), ["no_price"]);
    desk.quote(0, "100.2", "100.2").shows("100.2", "live");
}

#[test]
fn a_past_trade_sent_at_subscribe_moves_nothing() {
    let mut desk = Desk::one();
    let past = Trade { backfill: true, ..trade("90") };
    assert_eq!(desk.give(0, &past), Effect::Backfill);
    desk.shows("none", "stale");
    desk.trade(0, "100");
    assert_eq!(desk.give(0, &past), Effect::Backfill);
    desk.shows("100", "live");
}

#[test]
fn a_late_trade_moves_nothing_and_a_tie_is_settled_by_the_id() {
    let mut desk = Desk::one();
    assert_eq!(desk.give(0, &at(trade("100"), 1_000, "50")), Effect::Taken);
    assert_eq!(desk.give(0, &at(trade("99"), 999, "51")), Effect::Late);
    assert_eq!(desk.give(0, &at(trade("98"), 1_000, "49")), Effect::Late);
    desk.shows("100", "live");
    assert_eq!(desk.give(0, &at(trade("101"), 1_000, "51")), Effect::Taken);
    // Ids are numbers: as text `9` would be after `51`.
    assert_eq!(desk.give(0, &at(trade("97"), 1_000, "9")), Effect::Late);
    desk.shows("101", "live");
}

#[test]
fn a_duplicate_moves_nothing_and_keeps_nothing_fresh() {
    let mut desk = Desk::one();
    desk.give(0, &at(trade("100"), 1_000, "50"));
    desk.wait_secs(11);
    assert_eq!(desk.give(0, &at(trade("100"), 1_000, "50")), Effect::Duplicate);
    desk.shows("100", "stale");
}

#[test]
fn m35_trades_sent_again_after_a_break_are_duplicates_and_new_ones_are_not() {
    let mut desk = Desk::one();
    let sent = ["50", "51", "52", "53"].map(|id| at(trade("100"), 1_000, id));
    for trade in &sent {
        assert_eq!(desk.give(0, trade), Effect::Taken);
    }
    for trade in &sent {
        assert_eq!(desk.give(0, trade), Effect::Duplicate);
    }
    // The same id at another price, or without one, is another trade.
    assert_eq!(desk.give(0, &at(trade("101"), 1_000, "53")), Effect::Taken);
    desk.trade(0, "102").trade(0, "102").shows("102", "live");
    assert_eq!(desk.give(0, &trade("102")), Effect::Taken);
    // The window has an end: what is older than that is late, which moves nothing either.
    for index in 0..40 {
        assert_eq!(desk.give(0, &at(trade("103"), 2_000 + index, "60")), Effect::Taken);
    }
    assert_eq!(desk.give(0, &sent[0]), Effect::Late);
}

#[test]
fn the_clock_never_blocks_a_trade_without_a_time() {
    let mut desk = Desk::one();
    desk.give(0, &at(trade("100"), 1_000, "50"));
    desk.trade(0, "101").shows("101", "live");
    assert_eq!(desk.ticker.ts_event, None, "the receive time is shown instead");
    assert_eq!(desk.ticker.time_ms(), Some(desk.now().wall.as_millis()));
}

#[test]
fn a_summary_counts_until_the_first_trade_and_never_after_it() {
    let mut desk = Desk::one();
    let now = desk.now();
    desk.sources[0].summary(&summary(Some("99"), Some(2_000)), now);
    desk.shows("99", "live");
    assert_eq!(desk.give(0, &at(trade("100"), 1_000, "1")), Effect::Taken);
    desk.shows("100", "live");
    desk.sources[0].summary(&summary(Some("98"), Some(3_000)), now);
    desk.shows("100", "live");
}

#[test]
fn a_summary_older_than_the_quote_beside_it_brings_its_figures_and_no_top() {
    let mut desk = Desk::one();
    let mut newer = quote("99", "101");
    newer.ts_event = UnixNanos::from_millis(1_790_000_000_500);
    let mut older = summary(None, Some(1_790_000_000_000));
    older.open = some_price("90");
    older.top = Some(tickcast_feeds::Top { bid: some_price("50"), ..Default::default() });
    let now = desk.now();
    desk.sources[0].quote(&newer, now);
    assert_eq!(desk.sources[0].summary(&older, now), Effect::Taken);
    desk.shown();
    assert_eq!((desk.ticker.top.bid, desk.ticker.figures.open), (some_price("99"), some_price("90")));
}

#[test]
fn a_summary_without_a_field_leaves_what_was_known_of_it() {
    let mut desk = Desk::one();
    let now = desk.now();
    desk.sources[0].summary(&Summary { prev_close: some_price("80"), ..summary(Some("100"), None) }, now);
    desk.sources[0].summary(&Summary { high: some_price("110"), ..summary(None, None) }, now);
    desk.shows("100", "live");
    assert_eq!(
        (desk.ticker.figures.prev_close, desk.ticker.figures.high),
        (some_price("80"), some_price("110"))
    );
    assert_eq!(desk.ticker.change_pct().map(|change| change.to_string()).as_deref(), Some("25.00"));
    desk.trade(0, "120").shows("120", "live");
    assert_eq!(desk.ticker.figures.high, some_price("120"), "a trade above the venue's high is the high");
}

#[test]
fn a_silent_source_is_left_and_returned_to_once_it_has_been_fresh_for_ten_seconds() {
    let mut desk = Desk::pair();
    desk.trade(0, "100").trade(1, "101").shows("100", "live");
    assert_eq!(desk.parts(), ["used", "standby"]);
    desk.wait_secs(8).trade(1, "102").shows("100", "live");
    desk.wait_secs(2).shows("100", "live");
    desk.wait(Duration::from_millis(1)).shows("102", "degraded");
    assert_eq!(desk.parts(), ["stale", "used"]);
    assert_eq!(desk.ticker.venue, Some(Venue::Kraken));
    desk.trade(0, "103").shows("102", "degraded");
    assert_eq!(desk.parts(), ["settling", "used"]);
    desk.wait_secs(5).trade(0, "104").trade(1, "105").shows("105", "degraded");
    desk.wait(Duration::from_millis(4_999)).shows("105", "degraded");
    desk.wait(Duration::from_millis(1)).shows("104", "live");
    assert_eq!(desk.parts(), ["used", "standby"]);
}

#[test]
fn a_preferred_source_that_goes_silent_while_it_settles_starts_again() {
    let mut desk = Desk::pair();
    desk.trade(0, "100").trade(1, "101").shows("100", "live");
    desk.wait_secs(11).trade(1, "102").shows("102", "degraded");
    desk.trade(0, "103").shows("102", "degraded");
    desk.wait_secs(9).trade(1, "104").shows("104", "degraded");
    desk.wait_secs(2).shows("104", "degraded");
    assert_eq!(desk.parts(), ["stale", "used"]);
    desk.trade(0, "105").wait_secs(5).trade(1, "106").shows("106", "degraded");
    desk.trade(0, "107").wait_secs(5).shows("107", "live");
}

#[test]
fn with_nothing_else_fresh_the_preferred_source_is_back_at_once() {
    let mut desk = Desk::pair();
    desk.trade(0, "100").trade(1, "101").shows("100", "live");
    desk.wait_secs(11).shows("100", "stale");
    assert_eq!(desk.parts(), ["stale", "stale"]);
    desk.trade(0, "102").shows("102", "live");
}

#[test]
fn a_source_earlier_in_the_list_that_speaks_for_the_first_time_is_used_at_once() {
    let mut desk = Desk::pair();
    desk.trade(1, "101").shows("101", "degraded");
    desk.trade(0, "100").shows("100", "live");
}

#[test]
fn a_connection_that_is_down_leaves_the_last_price_stale_until_its_next_tick() {
    let mut desk = Desk::one();
    desk.trade(0, "100").shows("100", "live");
    desk.sources[0].up(false);
    desk.shows("100", "stale");
    assert_eq!((desk.parts(), desk.ticker.venue), (vec!["down"], Some(Venue::Coinbase)));
    desk.sources[0].up(true);
    desk.shows("100", "live");
    desk.sources[0].up(false);
    desk.trade(0, "101").shows("101", "live");
}

#[test]
fn stale_after_auto_is_twenty_usual_gaps_between_the_feeds_silence_and_five_minutes() {
    let mut source = Source::new(Venue::Coinbase, SILENCE);
    let start = Instant::now();
    let wall = UnixNanos(0);
    let tick = |source: &mut Source, after: Duration| {
        source.trade(&trade("100"), Moment { at: start + after, wall });
        source.age_max(StaleAfter::Auto)
    };
    assert_eq!(tick(&mut source, Duration::ZERO), SILENCE);
    for beat in 1..=50 {
        assert_eq!(
            tick(&mut source, Duration::from_millis(100 * beat)),
            SILENCE,
            "20 gaps of 100 ms are less"
        );
    }
    for beat in 1..=200 {
        tick(&mut source, Duration::from_secs(5 + beat));
    }
    let usual = source.age_max(StaleAfter::Auto);
    assert!(usual > Duration::from_millis(19_900) && usual <= Duration::from_secs(20), "{usual:?}");
    for beat in 1..=200 {
        tick(&mut source, Duration::from_secs(300 + 60 * beat));
    }
    assert_eq!(source.age_max(StaleAfter::Auto), AUTO_MAX);
    assert_eq!(source.age_max(StaleAfter::Fixed(Duration::from_secs(1))), Duration::from_secs(1));
    let slow = Source::new(Venue::Coinbase, Duration::from_secs(600));
    assert_eq!(slow.age_max(StaleAfter::Auto), Duration::from_secs(600), "its feed may be silent for longer");
}

#[test]
fn quiet_in_a_halted_market_is_halted_and_not_stale() {
    let mut desk = Desk::one();
    desk.trade(0, "100").shows("100", "live");
    desk.sources[0].halted(true);
    desk.shows("100", "halted");
    assert_eq!(desk.ticker.session, Session::Halted);
    desk.wait_secs(3_600).shows("100", "halted");
    desk.sources[0].halted(false);
    desk.shows("100", "stale");
    desk.trade(0, "101").shows("101", "live");
    assert_eq!(desk.ticker.session, Session::Open);
}

/// Four venues would need four names; the rule does not look at them.
fn median_of(prices: &[&str]) -> Desk {
    let mut desk = Desk::new(&vec![Venue::Kraken; prices.len()], PriceRule::Median);
    for (source, price) in prices.iter().enumerate() {
        desk.trade(source, price);
    }
    desk
}

#[test]
fn the_median_is_the_middle_price_or_exactly_half_way() {
    median_of(&["103", "100", "101"]).shows("101", "live");
    median_of(&["100.1", "100.2"]).shows("100.15", "live");
    median_of(&["100.10", "100.20"]).shows("100.15", "live");
}

#[test]
fn fewer_fresh_sources_than_wanted_make_a_median_degraded() {
    let mut desk = median_of(&["100", "102"]);
    desk.shows("101", "live");
    desk.wait_secs(8).trade(0, "104").wait_secs(3).shows("104", "degraded");
    assert_eq!(desk.parts(), ["used", "stale"]);
    desk.wait_secs(10).shows("104", "stale");
    desk.trade(0, "105").trade(1, "107").shows("106", "live");
}

#[test]
fn an_outlier_is_fresh_all_the_same_so_it_degrades_nothing() {
    let mut desk = median_of(&["100.00", "100.01", "99.99", "105.00"]);
    desk.rule.min_sources = 4;
    assert_eq!(desk.shown().1, "live");
    assert_eq!(desk.ticker.sources[3].part, Part::Outlier);
}

#[test]
fn an_outlier_among_four_is_left_out_and_shown_as_such() {
    let mut desk = median_of(&["100.00", "100.02", "100.04", "150"]);
    desk.shows("100.02", "live");
    assert_eq!(desk.parts(), ["used", "used", "used", "outlier"]);
    // Within 25 bp nobody is left out, however close the others are.
    let mut desk = median_of(&["100", "100", "100", "100.25"]);
    desk.shows("100", "live");
    assert_eq!(desk.parts(), ["used", "used", "used", "used"]);
    // Three are too few to tell who is wrong.
    let mut desk = median_of(&["100", "101", "150"]);
    desk.shows("101", "live");
    assert_eq!(desk.parts(), ["used", "used", "used"]);
}

#[test]
fn prices_at_the_edge_of_a_decimal_do_no_harm() {
    let most = Decimal::MAX.to_string();
    let mut desk = median_of(&[&most, &most, &most, "1"]);
    let (_, status) = desk.shown();
    assert!(["live", "stale"].contains(&status), "{status}");
    let mut desk = Desk::one();
    desk.quote(0, &most, &most);
    desk.shown();
}

//! Bars by a clock that is passed in: where they begin, what counts, what is marked, and that they are what one gets who
//! adds up the trades by hand.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rust_decimal::Decimal;
use tickcast_feeds::{LastKind, Moves, Price, Size, TradeId, UnixNanos};

use super::periods::{Calendar, Period};
use super::prints::Print;
use super::*;
use crate::clock;
use crate::config;
use crate::consolidate::tests::trade;
use crate::metrics::{ByInterval, ByReason, Metrics};

const EXTENDED: Moves = Moves { last: LastKind::Extended, range: false, volume: true };
const VOLUME: Moves = Moves { last: LastKind::No, range: false, volume: true };

/// One symbol's bars, and what was counted.
struct Book {
    candles: Candles,
    keeping: Keeping,
    metrics: Metrics,
    /// Our own clock when the venue's said 0.
    began: Instant,
}

fn at(text: &str) -> UnixNanos {
    UnixNanos::from_rfc3339(text).expect("a time")
}

fn later(time: UnixNanos, ms: i64) -> UnixNanos {
    UnixNanos(time.0 + ms * 1_000_000)
}

fn sized(price: &str, size: &str, time: UnixNanos) -> Trade<'static> {
    Trade { size: Size::parse(size).expect("a number"), ts_event: Some(time), ..trade(price) }
}

impl Book {
    fn new(alignment: Alignment) -> Self {
        Self::keeping(alignment, config::Candles::default())
    }

    fn keeping(alignment: Alignment, settings: config::Candles) -> Self {
        let metrics = Metrics::default();
        let keeping = Keeping::new(settings, &metrics);
        Self { candles: Candles::new(alignment), keeping, metrics, began: clock::now().at }
    }

    fn moment(&self, wall: UnixNanos) -> Moment {
        // All times of these tests are within a few weeks of each other.
        let since = wall.0.saturating_sub(at("2026-01-01T00:00:00Z").0);
        Moment {
            at: self.began + Duration::from_nanos(u64::try_from(since).expect("after 2026 began")),
            wall,
        }
    }

    fn give(&mut self, trade: &Trade<'_>, effect: Effect) {
        let now = self.moment(trade.ts_event.expect("a time"));
        self.candles.trade(trade, effect, Venue::Sim, now, &self.keeping);
    }

    fn trade(&mut self, time: &str, price: &str, size: &str) {
        self.give(&sized(price, size, at(time)), Effect::Taken);
    }

    fn sweep(&mut self, time: &str) {
        self.candles.sweep(self.moment(at(time)), &self.keeping);
    }

    fn late(&self, interval: Interval) -> u64 {
        self.metrics.candle_trades_late.get_or_create(&ByInterval { interval: interval.name() }).get()
    }

    fn corrections(&self, reason: &'static str) -> u64 {
        self.metrics.candle_corrections.get_or_create(&ByReason { reason }).get()
    }

    fn bars(&self, interval: Interval) -> Vec<(Bar, bool)> {
        self.candles.bars(interval, None, usize::MAX)
    }

    /// `start open/high/low/close volume trades`, a `*` behind what is not over.
    fn said(&self, interval: Interval) -> Vec<String> {
        self.bars(interval).iter().map(|(bar, is_final)| said(bar, *is_final)).collect()
    }

    fn starts(&self, interval: Interval) -> Vec<UnixNanos> {
        self.bars(interval).iter().map(|(bar, _)| bar.start).collect()
    }

    /// Which bars are marked as touched by a gap.
    fn gaps(&self, interval: Interval) -> Vec<bool> {
        self.bars(interval).iter().map(|(bar, _)| bar.has_gap()).collect()
    }
}

fn said(bar: &Bar, is_final: bool) -> String {
    let start = bar.start.0.rem_euclid(86_400_000_000_000) / 1_000_000_000;
    let (hour, minute, second) = (start / 3_600, start / 60 % 60, start % 60);
    let Bar { open, high, low, close, trades, .. } = bar;
    let volume = bar.volume().map_or("?".to_owned(), |volume| volume.to_string());
    let open_end = if is_final { "" } else { "*" };
    format!("{hour:02}:{minute:02}:{second:02} {open}/{high}/{low}/{close} {volume} {trades}{open_end}")
}

#[test]
fn a_trade_counts_in_the_bars_of_all_intervals_and_the_clock_ends_them() {
    let mut book = Book::new(Alignment::Utc);
    assert_eq!(book.said(Interval::Minute), [] as [&str; 0]);
    book.trade("2026-03-02T10:00:01.5Z", "100.10", "2");
    book.trade("2026-03-02T10:00:01.7Z", "99", "0.5");
    book.trade("2026-03-02T10:00:03Z", "101", "1");
    assert_eq!(
        book.said(Interval::Second),
        ["10:00:01 100.10/100.10/99/99 2.5 2", "10:00:03 101/101/101/101 1 1*"]
    );
    for interval in [Interval::Minute, Interval::FiveMinutes, Interval::Hour] {
        assert_eq!(book.said(interval), ["10:00:00 100.10/101/99/101 3.5 3*"]);
    }
    assert_eq!(book.said(Interval::Day), ["00:00:00 100.10/101/99/101 3.5 3*"]);
    // Two seconds of grace for what is on its way.
    book.sweep("2026-03-02T10:01:01.9Z");
    assert_eq!(book.said(Interval::Minute), ["10:00:00 100.10/101/99/101 3.5 3*"]);
    book.sweep("2026-03-02T10:01:02Z");
    assert_eq!(book.said(Interval::Minute), ["10:00:00 100.10/101/99/101 3.5 3"]);
    assert_eq!(book.said(Interval::FiveMinutes), ["10:00:00 100.10/101/99/101 3.5 3*"]);
    // Where nothing is traded there is no bar.
    book.trade("2026-03-02T10:04:00Z", "102", "1");
    assert_eq!(
        book.said(Interval::Minute),
        ["10:00:00 100.10/101/99/101 3.5 3", "10:04:00 102/102/102/102 1 1*"]
    );
}

#[test]
fn m110_bars_of_crypto_begin_at_the_utc_epoch_and_bars_of_stocks_with_their_session() {
    let mut crypto = Book::new(Alignment::Utc);
    let mut stock = Book::new(Alignment::Session);
    // 09:29:59, 09:30, 10:29:59 and 10:30 in New York.
    for time in ["13:29:59", "13:30:00", "14:29:59", "14:30:00"] {
        let time = format!("2026-10-08T{time}Z");
        crypto.trade(&time, "100", "1");
        stock.trade(&time, "100", "1");
    }
    let hours = |book: &Book| book.starts(Interval::Hour);
    assert_eq!(hours(&crypto), ["2026-10-08T13:00:00Z", "2026-10-08T14:00:00Z"].map(at));
    let expected = ["2026-10-08T13:00:00Z", "2026-10-08T13:30:00Z", "2026-10-08T14:30:00Z"].map(at);
    assert_eq!(hours(&stock), expected, "pre-market bars are of their own and end with it");
    assert_eq!(crypto.starts(Interval::Day), [at("2026-10-08T00:00:00Z")]);
    assert_eq!(stock.starts(Interval::Day), [at("2026-10-08T13:30:00Z")]);
}

#[test]
fn m67_a_stocks_hours_follow_new_york_over_the_change_of_clocks() {
    let mut stock = Book::new(Alignment::Session);
    // Friday before and Monday after clocks go forward: the open is at 14:30Z, then at 13:30Z.
    for time in ["2026-03-06T14:30:00Z", "2026-03-06T20:59:59Z", "2026-03-09T13:30:00Z"] {
        stock.trade(time, "100", "1");
    }
    let hours = ["2026-03-06T14:30:00Z", "2026-03-06T20:30:00Z", "2026-03-09T13:30:00Z"].map(at);
    assert_eq!(stock.starts(Interval::Hour), hours, "the last hour before the close is half a one");
    assert_eq!(stock.starts(Interval::Day), ["2026-03-06T14:30:00Z", "2026-03-09T13:30:00Z"].map(at));
    // And back in November.
    let mut stock = Book::new(Alignment::Session);
    for time in ["2026-10-30T13:30:00Z", "2026-11-02T14:29:59Z", "2026-11-02T14:30:00Z"] {
        stock.trade(time, "100", "1");
    }
    let hours = ["2026-10-30T13:30:00Z", "2026-11-02T14:00:00Z", "2026-11-02T14:30:00Z"].map(at);
    assert_eq!(stock.starts(Interval::Hour), hours);
}

#[test]
fn m71_on_a_day_of_early_close_extended_trading_begins_its_bars_at_one() {
    let mut stock = Book::new(Alignment::Session);
    for time in ["2026-11-27T17:59:00Z", "2026-11-27T18:00:01Z", "2026-11-27T21:59:00Z"] {
        stock.trade(time, "100", "1");
    }
    // 12:30 to 13:00 is half an hour; then hours from 13:00 to 17:00.
    let hours = ["2026-11-27T17:30:00Z", "2026-11-27T18:00:00Z", "2026-11-27T21:00:00Z"].map(at);
    assert_eq!(stock.starts(Interval::Hour), hours);
    // The day is over with extended trading, whatever the time of its last trade.
    stock.sweep("2026-11-27T22:00:01Z");
    assert_eq!(stock.said(Interval::Day), ["14:30:00 100/100/100/100 3 3*"]);
    stock.sweep("2026-11-27T22:00:02Z");
    assert_eq!(stock.said(Interval::Day), ["14:30:00 100/100/100/100 3 3"]);
}

#[test]
fn m63_a_stocks_day_is_its_regular_trading_with_the_closing_auction_and_without_extended_hours() {
    let mut stock = Book::new(Alignment::Session);
    let mut give = |time: &str, price: &str, moves: Moves| {
        stock.give(&Trade { moves, ..sized(price, "10", at(time)) }, Effect::Taken);
    };
    give("2026-10-08T12:00:00Z", "90", EXTENDED);
    give("2026-10-08T13:30:00Z", "100", Moves::ALL);
    // Reported late: it was traded outside regular hours and says nothing about them.
    give("2026-10-08T15:00:00Z", "80", EXTENDED);
    // The closing auction is printed a moment after the close, in one second with the first extended print.
    give("2026-10-08T20:00:00.2Z", "105", EXTENDED);
    give("2026-10-08T20:00:00.3Z", "101", Moves::ALL);
    give("2026-10-08T20:30:00Z", "120", EXTENDED);
    assert_eq!(stock.said(Interval::Day), ["13:30:00 100/101/100/101 20 2*"]);
    // The print of 15:00 has no price there, so its second has no bar.
    assert_eq!(
        stock.said(Interval::Hour),
        ["12:00:00 90/90/90/90 10 1", "13:30:00 100/100/100/100 10 1", "20:00:00 105/120/101/120 30 3*"]
    );
}

#[test]
fn m58_a_print_that_sets_no_price_counts_for_volume_in_a_bar_that_has_one() {
    let mut stock = Book::new(Alignment::Session);
    let odd_lot = |price, time| Trade { moves: VOLUME, ..sized(price, "7", at(time)) };
    stock.give(&odd_lot("500", "2026-10-08T14:00:00.1Z"), Effect::Ineligible);
    assert_eq!(stock.said(Interval::Second), [] as [&str; 0]);
    stock.trade("2026-10-08T14:00:00.5Z", "100", "3");
    stock.give(&odd_lot("1", "2026-10-08T14:00:01Z"), Effect::Ineligible);
    stock.trade("2026-10-08T14:00:02Z", "101", "1");
    assert_eq!(
        stock.said(Interval::Second),
        ["14:00:00 100/100/100/100 10 2", "14:00:02 101/101/101/101 1 1*"]
    );
    assert_eq!(stock.said(Interval::Minute), ["14:00:00 100/101/100/101 18 4*"]);
    assert_eq!(stock.said(Interval::Day), ["13:30:00 100/101/100/101 18 4*"]);
}

#[test]
fn a_late_trade_counts_while_its_bar_is_open_and_is_told_as_late_after_that() {
    let mut book = Book::new(Alignment::Utc);
    book.trade("2026-03-02T10:00:10Z", "100", "1");
    book.trade("2026-03-02T10:00:12Z", "101", "1");
    // Of 10:00:05: the first of its minute, and late for its second.
    book.give(&sized("97", "1", at("2026-03-02T10:00:05Z")), Effect::Late);
    // Before the newest of the second that is open.
    book.trade("2026-03-02T10:00:12.5Z", "102", "1");
    book.give(&sized("99", "1", at("2026-03-02T10:00:12.2Z")), Effect::Late);
    assert_eq!(book.said(Interval::Second), ["10:00:10 100/100/100/100 1 1", "10:00:12 101/102/99/102 3 3*"]);
    assert_eq!(book.said(Interval::Minute), ["10:00:00 97/102/97/102 5 5*"]);
    book.trade("2026-03-02T10:01:00Z", "103", "1");
    book.give(&sized("1", "1", at("2026-03-02T10:00:59Z")), Effect::Late);
    assert_eq!(book.said(Interval::Minute)[0], "10:00:00 97/102/97/102 5 5", "what is over stays");
    assert_eq!(book.said(Interval::Hour), ["10:00:00 97/103/1/103 7 7*"]);
    let late =
        [Interval::Second, Interval::Minute, Interval::FiveMinutes].map(|interval| book.late(interval));
    assert_eq!(late, [2, 1, 0]);
}

#[test]
fn past_trades_and_repeated_ones_count_for_nothing() {
    let mut book = Book::new(Alignment::Utc);
    for effect in [Effect::Backfill, Effect::Duplicate] {
        book.give(&sized("100", "1", at("2026-03-02T10:00:10Z")), effect);
    }
    assert!(book.bars(Interval::Minute).is_empty());
    assert!(book.candles.series.is_none(), "a symbol without trades costs nothing");
}

#[test]
fn bars_that_trades_may_be_missing_in_are_marked_and_no_others() {
    let mut book = Book::new(Alignment::Utc);
    let minute = |minute: u32, second: u32| format!("2026-03-02T10:{minute:02}:{second:02}Z");
    for (number, second) in [(0, 30), (1, 0), (2, 0)] {
        book.trade(&minute(number, second), "100", "1");
    }
    // What was before we came is not known.
    assert_eq!(book.gaps(Interval::Minute), [true, false, false]);
    assert_eq!(book.gaps(Interval::Hour), [true]);
    book.candles.interrupt(Some(Venue::Kraken));
    assert_eq!(book.gaps(Interval::Minute), [true, false, false], "not the venue whose trades these are");
    book.candles.interrupt(Some(Venue::Sim));
    book.trade(&minute(4, 0), "100", "1");
    book.trade(&minute(5, 0), "100", "1");
    assert_eq!(book.gaps(Interval::Minute), [true, false, true, true, false]);
    // A bar that is over is not touched by what comes after it.
    book.sweep(&minute(6, 2));
    book.candles.interrupt(None);
    book.trade(&minute(8, 0), "100", "1");
    assert_eq!(book.gaps(Interval::Minute), [true, false, true, true, false, true]);
    // Another venue makes the price now.
    let other = sized("100", "1", at(&minute(9, 0)));
    book.candles.trade(&other, Effect::Taken, Venue::Kraken, book.moment(at(&minute(9, 0))), &book.keeping);
    let last = book.bars(Interval::Minute).pop().expect("a bar").0;
    assert_eq!((last.venue, last.has_gap()), (Venue::Kraken, true));
}

#[test]
fn m91_bars_are_bounded_and_take_no_more_memory_than_they_need() {
    let mut book = Book::new(Alignment::Utc);
    let start = at("2026-03-02T10:00:00Z");
    for second in 0..2_000 {
        book.give(&sized("100", "1", later(start, second * 1_000)), Effect::Taken);
    }
    let keep = book.keeping.most(Interval::Second);
    assert_eq!(keep, 300);
    let starts = book.starts(Interval::Second);
    assert_eq!(starts.len(), keep + 1, "and the open one");
    assert_eq!(starts[0], later(start, (2_000 - 301) * 1_000));
    let series = book.candles.series.as_ref().expect("trades came");
    let (seconds, minutes) = (series.capacity(Interval::Second), series.capacity(Interval::Minute));
    assert!(seconds <= keep && minutes <= 64, "{seconds} {minutes}");
    assert!(size_of::<series::Series>() <= 1_280, "{}", size_of::<series::Series>());
}

#[test]
fn an_interval_that_keeps_none_has_none() {
    let toml = "[candles]\nkeep_1s = 0\nkeep_5m = 0\nkeep_1h = 2\n[feeds.sim]\ngenerate = 1\n";
    let settings = config::load(toml, "t", std::iter::empty()).expect("a config").candles;
    let mut book = Book::keeping(Alignment::Utc, settings);
    for hour in 0..4 {
        book.trade(&format!("2026-03-02T1{hour}:00:10Z"), "100", "1");
        book.trade(&format!("2026-03-02T1{hour}:00:12Z"), "101", "1");
    }
    assert_eq!(book.said(Interval::Second).len(), 1, "the open one alone, which the others are made of");
    assert_eq!(
        book.said(Interval::Hour),
        ["11:00:00 100/101/100/101 2 2", "12:00:00 100/101/100/101 2 2", "13:00:00 100/101/100/101 2 2*"]
    );
}

#[test]
fn m45_volume_is_exact_or_null() {
    let mut book = Book::new(Alignment::Utc);
    for size in ["0.1", "0.2", "0.00000001"] {
        book.trade("2026-03-02T10:00:10Z", "0.1", size);
    }
    assert_eq!(book.said(Interval::Minute), ["10:00:00 0.1/0.1/0.1/0.1 0.30000001 3*"]);
    // 28 digits and a sum that needs more of them than there are.
    book.trade("2026-03-02T10:01:10Z", "0.1", "7922816251426433759354395033");
    book.trade("2026-03-02T10:01:10Z", "0.1", "0.01");
    assert_eq!(book.said(Interval::Minute)[1], "10:01:00 0.1/0.1/0.1/0.1 ? 2*");
    // A venue that gives no size: then nobody knows.
    let unsized_trade = Trade { size: None, ..sized("0.1", "1", at("2026-03-02T10:02:00Z")) };
    book.give(&unsized_trade, Effect::Taken);
    assert_eq!(book.said(Interval::Minute)[2], "10:02:00 0.1/0.1/0.1/0.1 ? 1*");
}

/// A stock with three trades in two minutes, by id.
fn traded() -> Book {
    let mut stock = Book::new(Alignment::Session);
    for (id, time, price) in [("1", "14:00:10", "100"), ("2", "14:00:20", "120"), ("3", "14:01:00", "101")] {
        stock.give(&numbered(id, &format!("2026-10-08T{time}Z"), price), Effect::Taken);
    }
    stock
}

fn numbered(id: &'static str, time: &str, price: &str) -> Trade<'static> {
    Trade { id: Some(TradeId(id.into())), ..sized(price, "10", at(time)) }
}

fn undone(id: &'static str, price: &str, correction: Option<Trade<'static>>) -> Undone<'static> {
    Undone {
        wire: "AAPL".into(),
        id: Some(TradeId(id.into())),
        price: Price::parse(price).expect("a number"),
        size: Size::parse("10").expect("a number"),
        correction,
        ts_event: None,
    }
}

#[test]
fn m58_a_cancelled_or_corrected_trade_is_taken_out_of_its_bars_exactly_and_they_are_marked() {
    let mut stock = traded();
    stock.candles.undo(&undone("2", "120", None), Venue::Sim, &stock.keeping);
    assert_eq!(
        stock.said(Interval::Minute),
        ["14:00:00 100/100/100/100 10 1", "14:01:00 101/101/101/101 10 1*"]
    );
    assert_eq!(stock.said(Interval::Second).len(), 2, "a bar of which nothing is left is gone");
    assert_eq!(stock.said(Interval::Day), ["13:30:00 100/101/100/101 20 2*"]);
    assert_eq!(stock.said(Interval::Hour), ["13:30:00 100/101/100/101 20 2*"]);
    let corrected = |book: &Book, interval| {
        book.bars(interval).iter().map(|(bar, _)| bar.is_corrected()).collect::<Vec<_>>()
    };
    assert_eq!(corrected(&stock, Interval::Minute), [true, false]);
    assert_eq!(corrected(&stock, Interval::Day), [true]);
    // One of the second that is open, corrected: of the time of the trade that it corrects.
    let better = numbered("9", "2026-10-08T15:00:00Z", "90");
    stock.candles.undo(&undone("3", "101", Some(better)), Venue::Sim, &stock.keeping);
    assert_eq!(stock.said(Interval::Minute)[1], "14:01:00 90/90/90/90 10 1*");
    assert_eq!(stock.said(Interval::Hour), ["13:30:00 100/100/90/90 20 2*"]);
    assert_eq!(corrected(&stock, Interval::Minute), [true, true]);
    // Nobody knows this one, nor by this price.
    stock.candles.undo(&undone("7", "101", None), Venue::Sim, &stock.keeping);
    stock.candles.undo(&undone("1", "101", None), Venue::Sim, &stock.keeping);
    assert_eq!(["exact", "marked", "unmatched"].map(|reason| stock.corrections(reason)), [2, 0, 2]);
}

#[test]
fn m58_a_bar_whose_trades_are_no_longer_all_kept_is_marked_and_its_volume_is_right() {
    let mut stock = traded();
    let start = at("2026-10-08T14:02:00Z");
    for ms in 0..255 {
        stock.give(&sized("105", "1", later(start, ms)), Effect::Taken);
    }
    // Trade 3 is the oldest that is kept: its minute can be made anew, the hour cannot.
    stock.candles.undo(&undone("3", "101", None), Venue::Sim, &stock.keeping);
    assert_eq!(stock.said(Interval::Minute)[..1], ["14:00:00 100/120/100/120 20 2"]);
    assert_eq!(stock.said(Interval::Minute).len(), 2);
    assert_eq!(stock.said(Interval::Hour), ["13:30:00 100/120/100/105 275 257*"]);
    assert!(stock.bars(Interval::Hour)[0].0.is_corrected());
    assert_eq!((stock.corrections("marked"), stock.corrections("exact")), (1, 0));
}

#[test]
fn m111_a_stream_is_told_each_bar_once_as_final_in_order_and_never_goes_back() {
    let mut book = Book::new(Alignment::Utc);
    let told = |book: &Book, seen: &mut Seen| {
        let News { lost_through, finals, open } = book.candles.news(Interval::Second, seen);
        let finals = finals.iter().map(|bar| said(bar, true));
        let all: Vec<String> = finals.chain(open.iter().map(|bar| said(bar, false))).collect();
        (lost_through, all)
    };
    let mut early = Seen::default();
    assert_eq!(told(&book, &mut early), (None, vec![]));
    for second in 0..3 {
        book.trade(&format!("2026-03-02T10:00:0{second}Z"), "100", "1");
    }
    let bar = |second: u32, end: &str| format!("10:00:0{second} 100/100/100/100 1 1{end}");
    assert_eq!(told(&book, &mut early), (None, vec![bar(0, ""), bar(1, ""), bar(2, "*")]));
    // To who comes now: the last that is over, in case it ended on the way here, and the open one whole.
    let mut seen = Seen::default();
    assert_eq!(told(&book, &mut seen), (None, vec![bar(1, ""), bar(2, "*")]));
    assert_eq!(told(&book, &mut seen), (None, vec![]));
    book.sweep("2026-03-02T10:00:05Z");
    assert_eq!(told(&book, &mut seen), (None, vec![bar(2, "")]));
    assert_eq!(told(&book, &mut seen), (None, vec![]));
    // One that was away for longer than bars are kept is told so.
    let start = at("2026-03-02T10:00:05Z");
    for second in 0..400 {
        book.give(&sized("100", "1", later(start, second * 1_000)), Effect::Taken);
    }
    let (lost_through, all) = told(&book, &mut seen);
    assert_eq!((lost_through, all.len()), (Some(later(start, 98_000)), 301));
    // A recording that begins again begins its bars again.
    book.candles.restart(Venue::Sim);
    book.trade("2026-03-02T10:00:00Z", "100", "1");
    book.trade("2026-03-02T10:00:01Z", "100", "1");
    assert_eq!(told(&book, &mut seen), (None, vec![bar(0, ""), bar(1, "*")]));
}

/// A trade, whether it was the newest when it came, and its id.
type Handed = (Print, bool, usize);

/// What one gets who keeps every trade and adds up at the end.
#[derive(Debug)]
struct ByHand {
    calendar: Calendar,
    over: UnixNanos,
    /// By interval: each bar's trades.
    bars: [Vec<(Period, Vec<Handed>)>; Interval::COUNT],
}

impl ByHand {
    fn new(alignment: Alignment) -> Self {
        let (over, bars) = (UnixNanos(i64::MIN), std::array::from_fn(|_| Vec::new()));
        Self { calendar: Calendar::new(alignment), over, bars }
    }

    /// A later second ends what it is not part of.
    fn end(&mut self, time: UnixNanos) {
        let ends = self.bars.iter().filter_map(|bars| Some(bars.last()?.0.end));
        self.over = ends.filter(|&end| end <= time).fold(self.over, UnixNanos::max);
    }

    fn trade(&mut self, print: Print, is_newest: bool, id: usize) {
        let second = Period::second(print.at);
        if self.bars[0].last().is_none_or(|(last, _)| last.end <= second.start) && second.end > self.over {
            self.end(second.start);
        }
        for interval in Interval::ALL {
            let Some(period) = self.calendar.period_of(interval, &print) else { continue };
            let bars = &mut self.bars[interval as usize];
            if period.end <= self.over {
                continue;
            }
            match bars.last_mut() {
                Some((last, prints)) if *last == period => prints.push((print, is_newest, id)),
                Some((last, _)) if period.start < last.end => {}
                _ => bars.push((period, vec![(print, is_newest, id)])),
            }
        }
    }

    /// Takes one back, or corrects its price.
    fn undo(&mut self, id: usize, price: Option<Price>) {
        for (_, prints) in self.bars.iter_mut().flatten() {
            prints.retain(|(.., other)| price.is_some() || *other != id);
            prints
                .iter_mut()
                .filter(|(.., other)| *other == id)
                .for_each(|(print, ..)| print.price = price.unwrap_or(print.price));
        }
    }

    fn bars(&self, interval: Interval) -> Vec<(UnixNanos, [Price; 4], Decimal, usize)> {
        let mut calendar = self.calendar;
        let bars = self.bars[interval as usize].iter().filter_map(|(period, prints)| {
            let mut priced: Vec<(UnixNanos, bool, Price)> = Vec::new();
            for (print, is_newest, _) in prints {
                priced.extend(calendar.price(print).map(|price| (print.at, *is_newest, price)));
            }
            let first = priced.iter().map(|(at, ..)| *at).min()?;
            let last = priced.iter().map(|(at, ..)| *at).max()?;
            let open = priced.iter().find(|(at, ..)| *at == first)?.2;
            let at_last: Vec<_> = priced.iter().filter(|(at, ..)| *at == last).collect();
            let close = at_last.iter().rev().find(|(_, is_newest, _)| *is_newest).or(at_last.first())?.2;
            let high = priced.iter().map(|(.., price)| *price).max()?;
            let low = priced.iter().map(|(.., price)| *price).min()?;
            let volume = prints.iter().filter_map(|(print, ..)| print.size.map(Size::get)).sum();
            Some((period.start, [open, high, low, close], volume, prints.len()))
        });
        bars.collect()
    }
}

/// Milliseconds from the newest trade, price, size, what it may move, and whether the clock is looked at before.
type Step = (i64, i64, i64, u8, Option<i64>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ms =
        prop_oneof![8 => 0_i64..900, 3 => -2_500_i64..0, 2 => 900_i64..20_000, 1 => 20_000_i64..4_000_000];
    let sweep = prop_oneof![6 => Just(None), 1 => (0_i64..70_000).prop_map(Some)];
    prop::collection::vec((ms, 1_i64..40, 1_i64..1_000, 0_u8..8, sweep), 1..120)
}

/// `undone`: which trades are taken back in the end, or corrected to which price.
fn check(
    alignment: Alignment,
    start: UnixNanos,
    steps: &[Step],
    undone: &[(prop::sample::Index, Option<i64>)],
) -> Result<(), TestCaseError> {
    let mut book = Book::new(alignment);
    let mut by_hand = ByHand::new(alignment);
    let mut newest = start;
    let mut trades = Vec::new();
    for (id, &(ms, price, size, moves, sweep)) in steps.iter().enumerate() {
        if let Some(ms) = sweep {
            let now = later(newest, ms);
            book.candles.sweep(book.moment(now), &book.keeping);
            by_hand.end(later(now, -2_000));
        }
        // The first one shows the venue's clock: nothing is late before it.
        let time = later(newest, if id == 0 { ms.max(0) } else { ms });
        let moves = match (alignment, moves) {
            (Alignment::Session, 0) => EXTENDED,
            (Alignment::Session, 1) => VOLUME,
            _ => Moves::ALL,
        };
        let price = Price::new(Decimal::new(price, 1)).expect("above zero");
        let size = Size::new(Decimal::new(size, 3));
        let numbered = Some(TradeId(id.to_string().into()));
        let trade = Trade { price, size, moves, id: numbered, ts_event: Some(time), ..trade("1") };
        let is_newest = time >= newest;
        newest = newest.max(time);
        // Late or not, it comes now.
        let now = Moment { wall: newest, ..book.moment(newest) };
        let effect = if is_newest { Effect::Taken } else { Effect::Late };
        book.candles.trade(&trade, effect, Venue::Sim, now, &book.keeping);
        let print = Print::of(&trade, time, Venue::Sim);
        by_hand.trade(print, is_newest, id);
        trades.push(trade);
    }
    for (which, price) in undone {
        let id = which.index(trades.len());
        let price = price.and_then(|price| Price::new(Decimal::new(price, 1)));
        let Trade { wire, id: name, .. } = trades[id].clone();
        let correction = price.map(|price| Trade { price, ..trades[id].clone() });
        let undone = Undone { wire, id: name, price: None, size: None, correction, ts_event: None };
        book.candles.undo(&undone, Venue::Sim, &book.keeping);
        by_hand.undo(id, price);
    }
    for interval in Interval::ALL {
        let bars = book.bars(interval).into_iter().map(|(bar, _)| {
            let Bar { start, open, high, low, close, trades, .. } = bar;
            (start, [open, high, low, close], bar.volume().expect("sizes that add up"), trades as usize)
        });
        prop_assert_eq!(bars.collect::<Vec<_>>(), by_hand.bars(interval), "{}", interval);
    }
    Ok(())
}

proptest! {
    #[test]
    fn bars_are_what_one_gets_who_adds_up_the_trades_by_hand(steps in steps()) {
        check(Alignment::Utc, at("2026-03-02T23:59:50Z"), &steps, &[])?;
        // From pre-market on, a quarter of a minute before the open.
        check(Alignment::Session, at("2026-10-08T13:29:45Z"), &steps, &[])?;
        check(Alignment::Session, at("2026-10-08T19:59:55Z"), &steps, &[])?;
    }

    #[test]
    fn m58_after_corrections_too(
        steps in steps(),
        undone in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(1_i64..60)), 1..6),
    ) {
        check(Alignment::Session, at("2026-10-08T13:29:45Z"), &steps, &undone)?;
        check(Alignment::Session, at("2026-10-08T19:59:55Z"), &steps, &undone)?;
    }
}

//! A stock over its days: sessions, regular and extended prints, the close that changes are counted from.

use tickcast_feeds::Moves;

use super::*;

const EXTENDED: Moves = Moves { last: LastKind::Extended, range: false, volume: true };
const ODD_LOT: Moves = Moves { last: LastKind::No, range: false, volume: true };
const LATE_REPORT: Moves = Moves { last: LastKind::No, range: true, volume: true };

/// One stock at one venue, seen at times of the wall's clock.
struct Stock {
    desk: Desk,
    wall: UnixNanos,
}

impl Stock {
    fn new(now: &str) -> Self {
        let mut stock = Self { desk: Desk::one(), wall: UnixNanos(0) };
        stock.desk.rule.stale_after = StaleAfter::Fixed(SILENCE);
        stock.at(now);
        stock
    }

    /// Goes on to a time, given in UTC.
    fn at(&mut self, time: &str) -> &mut Self {
        let wall = UnixNanos::from_rfc3339(time).expect("a time");
        if self.wall.0 > 0 {
            let passed = u64::try_from(wall.0 - self.wall.0).expect("times go on");
            self.desk.wait(Duration::from_nanos(passed));
        }
        self.wall = wall;
        let session = hours::session_at(wall);
        self.desk.rule.hours = Some(session);
        self.desk.sources[0].enter(session.trading_date);
        self
    }

    fn now(&self) -> Moment {
        Moment { wall: self.wall, ..self.desk.now() }
    }

    fn print(&mut self, price: &str, moves: Moves) -> Effect {
        let trade = Trade { ts_event: Some(self.wall), moves, ..trade(price) };
        let now = self.now();
        self.desk.sources[0].trade(&trade, now)
    }

    fn regular(&mut self, price: &str) {
        assert_eq!(self.print(price, Moves::ALL), Effect::Taken);
    }

    fn extended(&mut self, price: &str) {
        assert_eq!(self.print(price, EXTENDED), Effect::Taken);
    }

    fn summary(&mut self, summary: &Summary<'_>) {
        let now = self.now();
        self.desk.sources[0].summary(summary, now);
    }

    fn ticker(&mut self) -> &Ticker {
        let now = self.now();
        self.desk.ticker = consolidate(&mut self.desk.sources, self.desk.rule, &self.desk.ticker, now);
        &self.desk.ticker
    }

    /// Price, last, session and status.
    fn shows(&mut self, price: &str, last: &str, session: &str, status: &str) {
        let time = self.wall;
        let ticker = self.ticker();
        let text = |price: Option<Price>| price.map_or_else(|| "none".to_owned(), |price| price.to_string());
        let shown = (text(ticker.price), text(ticker.last), ticker.session.name(), ticker.status.name());
        assert_eq!(shown, (price.to_owned(), last.to_owned(), session, status), "at {time:?}");
    }

    /// Previous close and the change from it.
    fn changed(&mut self, prev_close: Option<&str>, change: Option<&str>) {
        let time = self.wall;
        let ticker = self.ticker();
        let shown = (
            ticker.figures.prev_close.map(|price| price.to_string()),
            ticker.change().map(|change| change.to_string()),
        );
        assert_eq!(shown, (prev_close.map(str::to_owned), change.map(str::to_owned)), "at {time:?}");
    }
}

#[test]
fn m63_extended_prints_make_the_price_outside_regular_hours_and_never_the_last() {
    // Wednesday 2026-10-07, 15:59 in New York.
    let mut stock = Stock::new("2026-10-07T19:59:00Z");
    stock.regular("100.00");
    stock.shows("100.00", "100.00", "open", "live");
    stock.at("2026-10-07T20:05:00Z").extended("101.00");
    stock.shows("101.00", "100.00", "post", "live");
    stock.at("2026-10-08T12:00:00Z").extended("102.00");
    stock.shows("102.00", "100.00", "pre", "live");
    // At the open yesterday's close is older than the pre-market's last.
    stock.at("2026-10-08T13:30:00Z").shows("102.00", "100.00", "open", "stale");
    stock.at("2026-10-08T13:30:01Z").regular("103.00");
    stock.shows("103.00", "103.00", "open", "live");
    // Form T in regular hours is a late report.
    stock.at("2026-10-08T13:30:02Z").extended("90.00");
    stock.shows("103.00", "103.00", "open", "live");
}

#[test]
fn a_stock_known_by_extended_prints_alone_has_a_price_and_no_last() {
    let mut stock = Stock::new("2026-10-08T12:00:00Z");
    stock.extended("55.5");
    stock.shows("55.5", "none", "pre", "live");
    assert_eq!(stock.print("55.6", Moves { last: LastKind::Extended, ..Moves::ALL }), Effect::Taken);
}

#[test]
fn an_extended_print_that_comes_late_does_not_move_the_extended_price_back() {
    let mut stock = Stock::new("2026-10-08T12:00:00Z");
    stock.extended("55.5");
    let earlier = UnixNanos(stock.wall.0 - 1);
    let late = Trade { ts_event: Some(earlier), moves: EXTENDED, ..trade("50") };
    let now = stock.now();
    assert_eq!(stock.desk.sources[0].trade(&late, now), Effect::Late);
    stock.shows("55.5", "none", "pre", "live");
}

#[test]
fn m58_ineligible_prints_move_no_price_and_only_those_of_the_range_widen_it() {
    let mut stock = Stock::new("2026-10-08T15:00:00Z");
    let day = Summary { high: some_price("101"), low: some_price("99"), ..summary(None, None) };
    stock.summary(&day);
    stock.regular("100");
    assert_eq!(stock.print("150", ODD_LOT), Effect::Ineligible);
    stock.shows("100", "100", "open", "live");
    let range = |stock: &mut Stock| {
        let figures = stock.ticker().figures;
        (figures.high.map(|p| p.to_string()), figures.low.map(|p| p.to_string()))
    };
    assert_eq!(range(&mut stock), (Some("101".into()), Some("99".into())));
    assert_eq!(stock.print("98", LATE_REPORT), Effect::Ineligible);
    stock.shows("100", "100", "open", "live");
    assert_eq!(range(&mut stock), (Some("101".into()), Some("98".into())));
}

#[test]
fn ineligible_prints_do_not_keep_a_price_fresh() {
    let mut stock = Stock::new("2026-10-08T15:00:00Z");
    stock.regular("100");
    stock.shows("100", "100", "open", "live");
    stock.at("2026-10-08T15:00:11Z").print("100", ODD_LOT);
    stock.shows("100", "100", "open", "stale");
}

#[test]
fn m64_the_previous_close_rolls_at_the_next_sessions_first_moment_across_a_weekend() {
    // Thursday's close, then Friday's.
    let mut stock = Stock::new("2026-10-08T19:59:59Z");
    stock.regular("100.00");
    stock.changed(None, None);
    stock.at("2026-10-09T08:00:00Z").changed(Some("100.00"), Some("0.00"));
    stock.at("2026-10-09T19:59:59Z").regular("105.00");
    stock.changed(Some("100.00"), Some("5.00"));
    // Not at the close, not at midnight, not on Saturday or Sunday.
    for time in [
        "2026-10-09T20:00:00Z",
        "2026-10-10T00:00:00Z",
        "2026-10-10T04:00:00Z",
        "2026-10-10T15:00:00Z",
        "2026-10-11T15:00:00Z",
        "2026-10-12T07:59:59.999999999Z",
    ] {
        stock.at(time).changed(Some("100.00"), Some("5.00"));
    }
    stock.at("2026-10-12T08:00:00Z").changed(Some("105.00"), Some("0.00"));
    stock.extended("104.00");
    stock.changed(Some("105.00"), Some("-1.00"));
}

#[test]
fn a_new_day_voids_the_old_days_figures_and_the_venue_has_the_last_word_on_its_close() {
    let mut stock = Stock::new("2026-10-08T19:00:00Z");
    stock.summary(&Summary {
        open: some_price("98"),
        high: some_price("101"),
        low: some_price("97"),
        volume: Size::parse("5000").expect("a number"),
        prev_close: some_price("96"),
        ..summary(None, None)
    });
    stock.regular("100");
    stock.changed(Some("96"), Some("4"));
    stock.at("2026-10-09T08:00:00Z");
    assert_eq!(stock.ticker().figures, Figures { prev_close: some_price("100"), ..Figures::default() });
    stock.summary(&Summary { prev_close: some_price("100.02"), ..summary(None, None) });
    stock.changed(Some("100.02"), Some("-0.02"));
}

#[test]
fn m05_quiet_is_closed_while_the_market_is_and_stale_while_it_is_not() {
    let mut stock = Stock::new("2026-10-09T23:59:59Z");
    stock.extended("100");
    stock.shows("100", "none", "post", "live");
    stock.at("2026-10-10T00:00:05Z").shows("100", "none", "closed", "live");
    for time in ["2026-10-10T00:00:30Z", "2026-10-10T16:00:00Z", "2026-10-12T07:59:59Z"] {
        stock.at(time).shows("100", "none", "closed", "closed");
    }
    stock.at("2026-10-12T08:00:00Z").shows("100", "none", "pre", "stale");
}

#[test]
fn m70_a_holiday_is_closed_and_m71_so_is_the_afternoon_of_an_early_close() {
    let mut stock = Stock::new("2026-11-26T15:00:00Z");
    stock.shows("none", "none", "closed", "closed");
    stock.at("2026-11-27T17:59:59Z").regular("10");
    stock.shows("10", "10", "open", "live");
    stock.at("2026-11-27T18:00:00Z").shows("10", "10", "post", "live");
    stock.at("2026-11-27T22:00:00Z").shows("10", "10", "closed", "closed");
}

#[test]
fn m65_a_halted_stock_is_halted_and_neither_stale_nor_closed() {
    let mut stock = Stock::new("2026-10-09T15:00:00Z");
    stock.regular("10");
    stock.desk.sources[0].halted(true);
    stock.shows("10", "10", "halted", "halted");
    stock.at("2026-10-09T17:00:00Z").shows("10", "10", "halted", "halted");
    stock.at("2026-10-10T17:00:00Z").shows("10", "10", "halted", "halted");
    stock.desk.sources[0].halted(false);
    stock.shows("10", "10", "closed", "closed");
}

//! What the table shows: a row per symbol with what its newest price did, the order of the rows, and how the stream is.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use super::follow::{News, Price};

/// Prices that a sparkline is made of.
const TRAIL_MAX: usize = 48;
/// Between two of them: the line is of the last minutes, not of the last second.
const TRAIL_EVERY: Duration = Duration::from_secs(2);
/// How long a moved price is marked.
const FLASH: Duration = Duration::from_millis(400);

/// One symbol.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) price: Price,
    /// Which way the price went last, and when.
    moved: Option<(Ordering, Instant)>,
    trail: VecDeque<Decimal>,
    trail_at: Option<Instant>,
}

/// By what rows are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// As they were asked for.
    #[default]
    Asked,
    Symbol,
    Change,
    Age,
}

/// How the stream is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Connecting,
    Live,
    /// It ended, for this reason, and comes back.
    Lost(String),
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct List {
    rows: Vec<Row>,
    pub(super) order: Order,
    pub(super) reversed: bool,
    /// Rows stand still while somebody reads them: each symbol's newest waits here.
    held: Option<BTreeMap<String, Price>>,
    pub(super) state: State,
    pub(super) reconnects: u32,
    /// What was told last.
    pub(super) told: Option<String>,
    was_open: bool,
}

impl Row {
    /// Which way the price went, while that is new.
    pub(super) fn flash(&self, now: Instant) -> Option<Ordering> {
        let (way, at) = self.moved?;
        (now.saturating_duration_since(at) < FLASH).then_some(way)
    }

    /// The last minutes as a line of blocks: the lowest price of them at the bottom, the highest at the top.
    pub(super) fn spark(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let (Some(low), Some(high)) = (self.trail.iter().min(), self.trail.iter().max()) else {
            return String::new();
        };
        let range = *high - *low;
        let block = |price: &Decimal| {
            let share =
                (*price - *low).checked_mul(Decimal::from(7)).and_then(|part| part.checked_div(range));
            // All the same: a line in the middle.
            share
                .and_then(|share| usize::try_from(share.round()).ok())
                .map_or(BLOCKS[3], |index| BLOCKS[index.min(7)])
        };
        self.trail.iter().map(block).collect()
    }

    fn take(&mut self, price: Price, now: Instant) {
        let (before, after) = (number(self.price.price.as_deref()), number(price.price.as_deref()));
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            self.moved = Some((after.cmp(&before), now));
        }
        let is_due = self.trail_at.is_none_or(|at| now.saturating_duration_since(at) >= TRAIL_EVERY);
        match after {
            Some(after) if is_due => {
                if self.trail.len() == TRAIL_MAX {
                    self.trail.pop_front();
                }
                self.trail.push_back(after);
                self.trail_at = Some(now);
            }
            // The newest is always in it.
            Some(after) => {
                if let Some(last) = self.trail.back_mut() {
                    *last = after;
                }
            }
            None => {}
        }
        self.price = price;
    }
}

impl List {
    /// Takes what the stream said. Returns why, where it is over.
    pub(super) fn take(&mut self, news: News, now: Instant) -> Option<String> {
        match news {
            News::Open { resumed: _, rejected } => {
                self.reconnects += u32::from(std::mem::replace(&mut self.was_open, true));
                self.state = State::Live;
                self.told = (!rejected.is_empty()).then(|| rejected.join("; "));
            }
            News::Price(price) => {
                if let Some(held) = &mut self.held {
                    held.insert(price.symbol.clone(), *price);
                } else {
                    self.row(&price.symbol).take(*price, now);
                }
            }
            News::Notice(text) => self.told = Some(text),
            News::Lost(why) => {
                // Why it ended is told before that it did.
                if !matches!(self.state, State::Lost(_)) {
                    self.state = State::Lost(why);
                }
            }
            News::Refused(why) => return Some(why),
        }
        None
    }

    fn row(&mut self, symbol: &str) -> &mut Row {
        let place = self.rows.iter().position(|row| row.price.symbol == symbol);
        let place = place.unwrap_or_else(|| {
            let price = Price { symbol: symbol.to_owned(), ..Price::default() };
            self.rows.push(Row { price, moved: None, trail: VecDeque::new(), trail_at: None });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// Lets the rows stand still, or go on with the newest.
    pub(super) fn pause_or_go_on(&mut self, now: Instant) {
        match self.held.take() {
            None => self.held = Some(BTreeMap::new()),
            Some(held) => {
                held.into_values().for_each(|price| self.row(&price.symbol.clone()).take(price, now));
            }
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.held.is_some()
    }

    /// Takes a symbol out.
    pub(super) fn remove(&mut self, symbol: &str) {
        self.rows.retain(|row| row.price.symbol != symbol);
        if let Some(held) = &mut self.held {
            held.remove(symbol);
        }
    }

    /// A stream of another list is about to be opened.
    pub(super) fn reopening(&mut self) {
        (self.state, self.was_open) = (State::Connecting, false);
    }

    /// The rows in their order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        match self.order {
            Order::Asked => {}
            Order::Symbol => rows.sort_by(|one, other| one.price.symbol.cmp(&other.price.symbol)),
            // The largest first; what has none, last.
            Order::Change => {
                rows.sort_by_key(|row| std::cmp::Reverse(number(row.price.change_pct.as_deref())));
            }
            // The newest first.
            Order::Age => rows.sort_by_key(|row| std::cmp::Reverse(row.price.time)),
        }
        if self.reversed {
            rows.reverse();
        }
        rows
    }
}

impl Order {
    /// The next one, round and round.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Asked => Self::Symbol,
            Self::Symbol => Self::Change,
            Self::Change => Self::Age,
            Self::Age => Self::Asked,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Asked => "as asked",
            Self::Symbol => "by symbol",
            Self::Change => "by change",
            Self::Age => "by age",
        }
    }
}

fn number(text: Option<&str>) -> Option<Decimal> {
    text.and_then(|text| tickcast_feeds::number::parse_decimal(text).ok().flatten())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock;

    pub(in super::super) fn price(symbol: &str, price: &str, change: &str, time: i64) -> News {
        News::Price(Box::new(Price {
            symbol: symbol.to_owned(),
            price: Some(price.to_owned()).filter(|price| !price.is_empty()),
            change_pct: Some(change.to_owned()).filter(|change| !change.is_empty()),
            status: "live".to_owned(),
            time: Some(time),
            ..Price::default()
        }))
    }

    fn symbols(list: &List) -> String {
        list.rows().iter().map(|row| row.price.symbol.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_come_in_any_order_and_either_way() {
        let now = clock::now().at;
        let mut list = List::default();
        for news in
            [price("ETH", "5", "-1.20", 30), price("BTC", "9", "10.00", 10), price("AAPL", "", "", 20)]
        {
            assert_eq!(list.take(news, now), None);
        }
        let mut orders = Vec::new();
        for _ in 0..4 {
            orders.push(symbols(&list));
            list.order = list.order.next();
        }
        assert_eq!(orders, ["ETH BTC AAPL", "AAPL BTC ETH", "BTC ETH AAPL", "ETH AAPL BTC"]);
        list.reversed = true;
        assert_eq!(symbols(&list), "AAPL BTC ETH");
        list.remove("BTC");
        assert_eq!(symbols(&list), "AAPL ETH");
    }

    #[test]
    fn a_price_that_moved_is_marked_for_a_moment_and_leaves_a_trail() {
        let start = clock::now().at;
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut list = List::default();
        for (second, text) in [(0, "10"), (2, "11"), (4, "12.5"), (5, "17"), (6, "17")] {
            list.take(price("BTC", text, "", 0), at(second));
        }
        let row = list.rows()[0];
        assert_eq!(row.spark(), "▁▂██");
        assert_eq!(row.flash(at(5)), Some(Ordering::Greater), "the one at 6 did not move");
        assert_eq!(row.flash(at(5) + FLASH), None);
        list.take(price("BTC", "9", "", 0), at(8));
        assert_eq!(
            (list.rows()[0].flash(at(8)), list.rows()[0].spark()),
            (Some(Ordering::Less), "▂▃██▁".to_owned())
        );
        for second in 0..1_000 {
            list.take(price("BTC", "9", "", 0), at(10 + second * 2));
        }
        assert_eq!(list.rows()[0].spark(), "▄".repeat(TRAIL_MAX), "bounded, and level");
    }

    #[test]
    fn a_list_that_is_paused_stands_still_and_goes_on_with_the_newest() {
        let now = clock::now().at;
        let mut list = List::default();
        list.take(price("BTC", "1", "", 0), now);
        list.pause_or_go_on(now);
        for text in ["2", "3"] {
            list.take(price("BTC", text, "", 0), now);
        }
        list.take(price("ETH", "5", "", 0), now);
        assert!(list.is_paused());
        assert_eq!((symbols(&list), list.rows()[0].price.price.as_deref()), ("BTC".to_owned(), Some("1")));
        list.pause_or_go_on(now);
        assert_eq!(
            (symbols(&list), list.rows()[0].price.price.as_deref()),
            ("BTC ETH".to_owned(), Some("3"))
        );
    }

    #[test]
    fn the_state_tells_why_a_stream_is_away_and_how_often_it_was() {
        let now = clock::now().at;
        let mut list = List::default();
        let open = || News::Open { resumed: true, rejected: Vec::new() };
        assert_eq!(list.state, State::Connecting);
        list.take(open(), now);
        assert_eq!((&list.state, list.reconnects), (&State::Live, 0));
        list.take(News::Lost("draining".to_owned()), now);
        list.take(News::Lost("the stream ended".to_owned()), now);
        assert_eq!(list.state, State::Lost("draining".to_owned()), "the reason comes before the end");
        list.take(open(), now);
        assert_eq!((&list.state, list.reconnects), (&State::Live, 1));
        assert_eq!(list.take(News::Refused("no".to_owned()), now), Some("no".to_owned()));
    }
}

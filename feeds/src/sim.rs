//! A seeded market without clock or task: whoever drives it says which instrument moves and what time it is.
//!
//! Everything is counted in whole ticks, and every instrument's prices depend on the seed, its own wire name
//! and its own count of steps alone. So neither the clock, nor the order of the calls, nor other instruments
//! in the list can change them.

mod listing;
mod play;
mod scenario;
mod walk;

use std::borrow::Cow;
use std::fmt::Write;

use rust_decimal::Decimal;

use self::listing::{Class, Listing};
pub use self::play::{Link, Play, Role};
pub use self::scenario::{NotAScenario, Phase as ScenarioPhase, Scenario, Scene};
use self::walk::{Phase, STEP_SIGMA, Walk, low_16, noise};
use crate::{Event, Events, Moves, Price, Quote, Side, Size, Summary, Trade, TradeId, UnixNanos};

/// Simulated instruments, in the order of their wire names.
#[derive(Debug)]
pub struct Market {
    instruments: Vec<Instrument>,
}

impl Market {
    /// A market of these instruments, before its first step. The wire names are what stands behind `sim:` in
    /// the config: `BTC-USD`, `AAPL`, `S000`. A name with a `-` is a crypto pair, one without is a stock, and
    /// one that nobody knows gets a level derived from the name.
    pub fn new(seed: u64, wires: &[&str]) -> Self {
        Self { instruments: wires.iter().map(|wire| Instrument::new(seed, wire, wire, None)).collect() }
    }

    /// Makes it a market of these instruments: those it has go on where they are, in their new places.
    pub fn list(&mut self, seed: u64, wires: &[&str]) {
        let mut before = std::mem::take(&mut self.instruments);
        let mut kept = |wire: &str| {
            let place = before.iter().position(|instrument| &*instrument.wire == wire)?;
            Some(before.swap_remove(place))
        };
        self.instruments = wires
            .iter()
            .map(|wire| kept(wire).unwrap_or_else(|| Instrument::new(seed, wire, wire, None)))
            .collect();
    }

    /// A market in which several venues trade the same things. Instruments of one name walk the same path as long
    /// as they take the same number of steps; each venue's prices are a little beside it, its sizes its own.
    fn of_venues(seed: u64, roles: &[Role]) -> Self {
        let instrument = |role: &Role| {
            let venue = Walk::new(seed, &format!("\0{}\0{}", role.venue, role.name));
            Instrument::new(seed, &role.wire, &role.name, Some(venue))
        };
        Self { instruments: roles.iter().map(instrument).collect() }
    }

    /// One price change of the instrument at `index`: appends a quote, a trade at its bid or ask (never at the
    /// last trade's price), and at the first and then every 20th step a summary. All carry `now` as the venue's
    /// time. Appends nothing where there is no such instrument.
    ///
    /// Ids and sequences start at 1 and rise by 1.
    pub fn step<'m>(&'m mut self, index: usize, now: UnixNanos, events: &mut Events<'m>) {
        self.step_upset(index, Upset::default(), now, events);
    }

    /// As [`Market::step`], with what befalls the instrument meanwhile.
    fn step_upset<'m>(&'m mut self, index: usize, upset: Upset, now: UnixNanos, events: &mut Events<'m>) {
        let Some(instrument) = self.instruments.get_mut(index) else { return };
        let (book, print) = instrument.advance(upset);
        let instrument = &*instrument;
        events.push(Event::Quote(instrument.quote(&book, now)));
        events.push(Event::Trade(instrument.trade(&print, now)));
        if instrument.summary_is_due() {
            events.push(Event::Summary(instrument.summary(now)));
        }
    }
}

/// What befalls an instrument at one step, beside its walk. In millionths of its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Upset {
    /// How far the whole market in it is off. Down to -100,000, or prices could leave their level by half.
    shift: i64,
    /// How far its trades alone are off.
    print: i64,
    /// How much wider the spread is.
    spread: i64,
    /// Whether it trades on without moving.
    is_still: bool,
}

const MILLION: i64 = 1_000_000;
/// [`noise`] times two fifths is how far a venue is beside the others: its deviation is a seventh of a basis point.
const BESIDE_FIFTHS: i64 = 2;
/// A return of 1 in the unit of returns. Small enough that a level times a return fits an `i64`.
const WHOLE: i64 = 1 << 30;
/// No price leaves its level by more than a quarter: over four standard deviations of the liveliest listing.
const RETURN_MAX: i64 = WHOLE / 4;
/// Extra precision of [`Instrument::weight`].
const WEIGHT_SHIFT: u32 = 20;
/// Listings state the move of a day in hundredths of a percent. A day at five steps a second has 432,000 steps
/// and so 657 times the deviation of one; phases and jumps add a quarter to that.
const STEPS_TO_DAY_BP: i64 = 10_000 * 657 * 5 / 4;
/// The day that has passed before the first step has moved prices by no more than this.
const CHANGE_MAX: i64 = WHOLE * 3 / 100;
const SUMMARY_EVERY: u64 = 20;

/// One instrument with all it needs to go on by itself.
#[derive(Debug)]
struct Instrument {
    wire: Box<str>,
    listing: Listing,
    /// The market's walk. Every instrument of a class walks a copy of its own: the same seed gives the same
    /// path, so moves are correlated and yet nothing is shared whose place could depend on who stepped first.
    market: Walk,
    own: Walk,
    /// Where several venues trade the same: this venue's chance, so that `own` stays in step with theirs.
    venue: Option<Walk>,
    /// How much of `own` goes into a return, in percent; with `follows` the squares add up to one.
    own_percent: i64,
    /// From a walk's units to returns, times 2^20.
    weight: i64,
    /// Steps taken; the newest trade's id and quote's sequence.
    steps: u64,
    /// `steps` as text, kept here so that a trade can borrow it.
    id: String,
    last: i64,
    open: i64,
    high: i64,
    low: i64,
    prev_close: i64,
    /// In units of the size's last decimal.
    volume: i64,
}

/// Top of the book, prices in ticks.
struct Book {
    bid: i64,
    ask: i64,
    bid_size: i64,
    ask_size: i64,
}

/// A trade, its price in ticks.
struct Print {
    price: i64,
    size: i64,
    aggressor: Side,
}

impl Instrument {
    /// `name` says what it is; `venue` is the chance of one of several venues that trade it.
    fn new(seed: u64, wire: &str, name: &str, venue: Option<Walk>) -> Self {
        let listing = Listing::of(name);
        // A NUL keeps the factors' names apart from any instrument's.
        let factor = match listing.class {
            Class::Crypto => "\0crypto",
            Class::Stock => "\0stock",
        };
        let mut instrument = Self {
            wire: wire.into(),
            listing,
            market: Walk::new(seed, factor),
            own: Walk::new(seed, name),
            venue,
            own_percent: (10_000 - listing.follows * listing.follows).isqrt(),
            weight: listing.day_bp * (WHOLE << WEIGHT_SHIFT) / (STEPS_TO_DAY_BP * STEP_SIGMA),
            steps: 0,
            id: String::with_capacity(20),
            last: 0,
            open: 0,
            high: 0,
            low: 0,
            prev_close: 0,
            volume: 0,
        };
        instrument.begin_day();
        instrument
    }

    /// Makes up the day that has passed before the first step, so that a change in percent, a range and a
    /// volume are there from the start.
    fn begin_day(&mut self) {
        let now = self.place();
        let common = noise(self.market.draw()) * self.listing.follows;
        let own = noise(self.own.draw()) * self.own_percent;
        // 17/10 makes noise and hundredths of a percent a return of six tenths of a usual day.
        let change = ((common + own) / 100 * self.listing.day_bp * 17 / 10).clamp(-CHANGE_MAX, CHANGE_MAX);
        let close = now - change;
        // A stock opens with a gap to its last close; a pair never closed, its price a day ago is both.
        let open = match self.listing.class {
            Class::Crypto => close,
            Class::Stock => close + change / 4,
        };
        let excursion = |bits| noise(bits).abs() * self.listing.day_bp / 2;
        let (up, down) = (excursion(self.own.draw()), excursion(self.own.draw()));
        self.last = self.ticks(now);
        self.prev_close = self.ticks(close);
        self.open = self.ticks(open);
        self.high = self.ticks(open.max(now) + up);
        self.low = self.ticks(open.min(now) - down);
        // A third to two thirds of a day of trades.
        let trades = 150_000 + low_16(self.own.draw()) * 2;
        self.volume = self.listing.size * trades / 10 * mean_tenths(self.listing.class);
    }

    /// Where the walks stand, as a return on the level.
    fn place(&self) -> i64 {
        let place = (self.market.place() * self.listing.follows + self.own.place() * self.own_percent) / 100;
        ((place * self.weight) >> WEIGHT_SHIFT).clamp(-RETURN_MAX, RETURN_MAX)
    }

    /// A return as a price in ticks.
    fn ticks(&self, place: i64) -> i64 {
        self.listing.level * (WHOLE + place) / WHOLE
    }

    /// Takes one step and keeps the day's figures.
    fn advance(&mut self, upset: Upset) -> (Book, Print) {
        if !upset.is_still {
            self.market.step();
            self.own.step();
        }
        let book = self.book(upset);
        let mut print = self.print(&book);
        print.price += print.price * upset.print / MILLION;
        self.steps += 1;
        self.id.clear();
        // Writing into a String does not fail.
        let _ = write!(self.id, "{}", self.steps);
        self.last = print.price;
        self.high = self.high.max(print.price);
        self.low = self.low.min(print.price);
        self.volume = self.volume.saturating_add(print.size);
        (book, print)
    }

    /// Chance for anything but the path.
    fn draw(&mut self) -> u64 {
        self.venue.as_mut().unwrap_or(&mut self.own).draw()
    }

    /// How far this venue is beside the others, as a return.
    fn beside(&mut self) -> i64 {
        self.venue.as_mut().map_or(0, |venue| noise(venue.draw()) * BESIDE_FIFTHS / 5)
    }

    fn book(&mut self, upset: Upset) -> Book {
        let (bid_draw, ask_draw) = (self.draw(), self.draw());
        // The usual spread, half to one and a half times, and more of it in livelier phases.
        let phase_percent = match self.market.phase().max(self.own.phase()) {
            Phase::Quiet => 80,
            Phase::Normal => 130,
            Phase::Busy => 300,
        };
        let jitter_percent = 50 + low_16(bid_draw >> 48) % 101;
        let spread = ((self.listing.spread * phase_percent * jitter_percent + 5_000) / 10_000).max(1)
            + self.listing.level * upset.spread / MILLION;
        let whole = WHOLE + self.place() + self.beside();
        let middle_twice = self.listing.level * 2 * (whole + whole * upset.shift / MILLION) / WHOLE;
        let bid = (middle_twice - spread) / 2;
        Book { bid, ask: bid + spread, bid_size: self.resting(bid_draw), ask_size: self.resting(ask_draw) }
    }

    /// The size that waits at a price: several trades' worth, in stocks in round lots.
    fn resting(&self, bits: u64) -> i64 {
        let size = amount(self.listing.class, self.listing.size * 4, bits);
        if self.listing.class == Class::Stock { round_lots(size) } else { size }
    }

    /// A trade at one side of the book: by chance, but never at the last trade's price.
    fn print(&mut self, book: &Book) -> Print {
        let draw = self.draw();
        let at_ask = if book.ask == self.last { false } else { book.bid == self.last || draw >> 63 == 0 };
        let (price, aggressor) = if at_ask { (book.ask, Side::Buy) } else { (book.bid, Side::Sell) };
        let size = amount(self.listing.class, self.listing.size, draw);
        // Stocks that usually trade near a hundred at a time do half of that in round lots.
        let in_lots = self.listing.class == Class::Stock && self.listing.size >= 50 && draw >> 62 & 1 == 0;
        Print { price, size: if in_lots { round_lots(size) } else { size }, aggressor }
    }

    fn summary_is_due(&self) -> bool {
        self.steps % SUMMARY_EVERY == 1
    }

    fn quote(&self, book: &Book, now: UnixNanos) -> Quote<'_> {
        Quote {
            wire: Cow::Borrowed(&self.wire),
            bid: Some(self.price(book.bid)),
            bid_size: self.size(book.bid_size),
            ask: Some(self.price(book.ask)),
            ask_size: self.size(book.ask_size),
            sequence: Some(self.steps),
            ts_event: Some(now),
        }
    }

    fn trade(&self, print: &Print, now: UnixNanos) -> Trade<'_> {
        Trade {
            wire: Cow::Borrowed(&self.wire),
            price: self.price(print.price),
            size: self.size(print.size),
            aggressor: Some(print.aggressor),
            id: Some(TradeId(Cow::Borrowed(&self.id))),
            ts_event: Some(now),
            backfill: false,
            moves: Moves::ALL,
        }
    }

    /// The day's figures. The last trade is not among them: it has just been told as a trade.
    fn summary(&self, now: UnixNanos) -> Summary<'_> {
        Summary {
            wire: Cow::Borrowed(&self.wire),
            last: None,
            last_size: None,
            aggressor: None,
            id: None,
            top: None,
            open: Some(self.price(self.open)),
            high: Some(self.price(self.high)),
            low: Some(self.price(self.low)),
            volume: self.size(self.volume),
            prev_close: Some(self.price(self.prev_close)),
            ts_event: Some(now),
        }
    }

    fn price(&self, ticks: i64) -> Price {
        let price = Price::new(Decimal::new(ticks, self.listing.decimals));
        price.expect("a level is at least 1,000 ticks and no price leaves it by half")
    }

    fn size(&self, units: i64) -> Option<Size> {
        Size::new(Decimal::new(units, self.listing.size_decimals))
    }
}

/// How often a trade's size is doubled at most; half of that on average. Coins are traded in crumbs and in
/// heaps, shares less so.
fn coins(class: Class) -> u32 {
    match class {
        Class::Crypto => 16,
        Class::Stock => 8,
    }
}

/// The mean of [`amount`] in tenths of its median: 1.5 to the power of the coins, over 2 to that of half.
fn mean_tenths(class: Class) -> i64 {
    match class {
        Class::Crypto => 26,
        Class::Stock => 16,
    }
}

/// A size around `median`: mostly near it, now and then many times as much. At least 1. Uses the lower half of
/// `bits`.
fn amount(class: Class, median: i64, bits: u64) -> i64 {
    let coins = coins(class);
    let heads = (bits & ((1 << coins) - 1)).count_ones();
    let doubled = (median << heads) >> (coins / 2);
    // Then a half to one and a half of that, for digits of its own.
    ((doubled * ((1 << 15) + low_16(bits >> 16))) >> 16).max(1)
}

/// Shares as the next hundred.
fn round_lots(shares: i64) -> i64 {
    (shares + 99) / 100 * 100
}

#[cfg(test)]
mod tests;

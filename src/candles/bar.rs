//! One bar: as it is kept once it is over, and as it grows until then.

use rust_decimal::Decimal;
use tickcast_feeds::{Price, UnixNanos, Venue};

use super::periods::Period;
use super::prints::Print;

/// What else is to be said of a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// Trades may be missing in it.
    pub(super) const GAP: Self = Self(1);
    /// A trade in it was cancelled or corrected.
    pub(super) const CORRECTED: Self = Self(2);
    /// Its volume is not known: a trade has no size, or the sum has more digits than a decimal holds.
    pub(super) const NO_VOLUME: Self = Self(4);

    pub(super) fn add(&mut self, marks: Self) {
        self.0 |= marks.0;
    }

    pub(super) fn has(self, marks: Self) -> bool {
        self.0 & marks.0 == marks.0
    }
}

/// A bar in which something was traded. 96 bytes: there may be many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its first moment.
    pub start: UnixNanos,
    /// The first price.
    pub open: Price,
    /// The highest.
    pub high: Price,
    /// The lowest.
    pub low: Price,
    /// The last.
    pub close: Price,
    pub(super) sum: Decimal,
    /// How many trades it counts.
    pub trades: u32,
    pub(super) marks: Marks,
    /// Whose trades: of several, the last one's.
    pub venue: Venue,
}

const _: () = assert!(size_of::<Bar>() == 96, "the README and the config state it");

impl Bar {
    /// What changed hands; `None` where a trade came without its size or the sum cannot be held exactly.
    pub fn volume(&self) -> Option<Decimal> {
        (!self.marks.has(Marks::NO_VOLUME)).then_some(self.sum)
    }

    /// Whether trades may be missing in it: a gap, a lost connection, a stale price, another venue, or the time before we
    /// came.
    pub fn has_gap(&self) -> bool {
        self.marks.has(Marks::GAP)
    }

    /// Whether a trade in it was cancelled or corrected later.
    pub fn is_corrected(&self) -> bool {
        self.marks.has(Marks::CORRECTED)
    }
}

/// A bar that grows.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) period: Period,
    prices: Option<Prices>,
    sum: Decimal,
    trades: u32,
    pub(super) marks: Marks,
    venue: Venue,
}

#[derive(Clone, Copy, Debug)]
struct Prices {
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    opened: UnixNanos,
    closed: UnixNanos,
}

impl Draft {
    pub(super) fn new(period: Period, venue: Venue) -> Self {
        let (sum, marks) = (Decimal::ZERO, Marks::default());
        Self { period, prices: None, sum, trades: 0, marks, venue }
    }

    pub(super) fn venue(&self) -> Venue {
        self.venue
    }

    /// Counts a print. `price` is what it may set, `is_newest` whether it comes after all of the same time.
    pub(super) fn take(&mut self, print: &Print, price: Option<Price>, is_newest: bool) {
        if let Some(price) = price {
            let at = print.at;
            match &mut self.prices {
                None => {
                    self.prices = Some(Prices {
                        open: price,
                        high: price,
                        low: price,
                        close: price,
                        opened: at,
                        closed: at,
                    });
                }
                Some(prices) => {
                    prices.high = prices.high.max(price);
                    prices.low = prices.low.min(price);
                    if at < prices.opened {
                        (prices.open, prices.opened) = (price, at);
                    }
                    if at > prices.closed || at == prices.closed && is_newest {
                        (prices.close, prices.closed) = (price, at);
                    }
                }
            }
        }
        if print.moves.volume {
            match print.size {
                Some(size) => add(&mut self.sum, &mut self.marks, size.get()),
                None => self.marks.add(Marks::NO_VOLUME),
            }
        }
        self.venue = print.venue;
        self.trades = self.trades.saturating_add(1);
    }

    /// Takes in a shorter one that ends later than all that is in here.
    pub(super) fn absorb(&mut self, later: &Self) {
        match (&mut self.prices, later.prices) {
            (Some(prices), Some(new)) => {
                prices.high = prices.high.max(new.high);
                prices.low = prices.low.min(new.low);
                if new.opened < prices.opened {
                    (prices.open, prices.opened) = (new.open, new.opened);
                }
                if new.closed >= prices.closed {
                    (prices.close, prices.closed) = (new.close, new.closed);
                }
            }
            (prices, new) => *prices = prices.or(new),
        }
        add(&mut self.sum, &mut self.marks, later.sum);
        self.marks.add(later.marks);
        self.venue = later.venue;
        self.trades = self.trades.saturating_add(later.trades);
    }

    /// As it stands; `None` while no trade has set a price.
    pub(super) fn bar(&self) -> Option<Bar> {
        let Prices { open, high, low, close, .. } = self.prices?;
        let Self { sum, trades, marks, venue, .. } = *self;
        Some(Bar { start: self.period.start, open, high, low, close, sum, trades, marks, venue })
    }

    /// What cannot be made anew without a trade that is no longer kept: its part of the volume goes, its prices stay.
    pub(super) fn amend(&mut self, old: &Print, new: Option<&Print>, price: Option<Price>) {
        let amended = Amended { sum: &mut self.sum, trades: &mut self.trades, marks: &mut self.marks };
        amended.amend(old, new);
        if let (Some(prices), Some(price)) = (&mut self.prices, price) {
            prices.high = prices.high.max(price);
            prices.low = prices.low.min(price);
        }
    }
}

impl Bar {
    /// The same for a bar that is over.
    pub(super) fn amend(&mut self, old: &Print, new: Option<&Print>, price: Option<Price>) {
        let amended = Amended { sum: &mut self.sum, trades: &mut self.trades, marks: &mut self.marks };
        amended.amend(old, new);
        if let Some(price) = price {
            self.high = self.high.max(price);
            self.low = self.low.min(price);
        }
    }
}

struct Amended<'b> {
    sum: &'b mut Decimal,
    trades: &'b mut u32,
    marks: &'b mut Marks,
}

impl Amended<'_> {
    fn amend(self, old: &Print, new: Option<&Print>) {
        self.marks.add(Marks::CORRECTED);
        let counted =
            |print: &Print| print.size.filter(|_| print.moves.volume).map(tickcast_feeds::Size::get);
        if let Some(size) = counted(old) {
            add(self.sum, self.marks, -size);
        }
        match new {
            Some(new) => {
                if let Some(size) = counted(new) {
                    add(self.sum, self.marks, size);
                }
            }
            None => *self.trades = self.trades.saturating_sub(1),
        }
    }
}

/// Adds exactly, or notes that it cannot.
fn add(sum: &mut Decimal, marks: &mut Marks, size: Decimal) {
    // `checked_add` gives up digits rather than fail: then the scale is smaller than either's.
    match sum.checked_add(size).filter(|new| new.scale() >= sum.scale().max(size.scale())) {
        Some(new) => *sum = new,
        None => marks.add(Marks::NO_VOLUME),
    }
}

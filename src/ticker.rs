//! What a symbol costs now and why: the newest of each kind that its sources agreed on, as
//! `consolidate` made it and `Latest` keeps it.

use rust_decimal::Decimal;
use smallvec::SmallVec;
use tickcast_feeds::{Price, Size, Top, UnixNanos, Venue};
use utoipa::ToSchema;

/// The consolidated state of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticker {
    /// What the symbol costs now, by the instrument's rule; `None` before the first price.
    pub price: Option<Price>,
    /// Who made the price; `None` before the first price.
    pub venue: Option<Venue>,
    /// Best bid and ask of that venue.
    pub top: Top,
    /// Its last eligible trade.
    pub last: Option<Price>,
    /// The size of that trade.
    pub last_size: Option<Size>,
    /// Its figures of the last 24 h (crypto) or the session (stocks).
    pub figures: Figures,
    /// Where the market is in its day.
    pub session: Session,
    /// Whether the price can be relied on.
    pub status: Status,
    /// The venue's clock at the newest tick of that venue; `None` where it gives none.
    pub ts_event: Option<UnixNanos>,
    /// Our clock when that tick's frame was read whole; `None` before the first.
    pub ts_recv: Option<UnixNanos>,
    /// Each source's part in the price, in the order of the catalogue.
    pub sources: SmallVec<[SourceView; 2]>,
}

/// A venue's figures of its window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// First price.
    pub open: Option<Price>,
    /// Highest price.
    pub high: Option<Price>,
    /// Lowest price.
    pub low: Option<Price>,
    /// Base volume.
    pub volume: Option<Size>,
    /// What changes are counted from: the price 24 h ago (crypto), the last official close (stocks).
    pub prev_close: Option<Price>,
}

/// What one source says, and whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// Whose word it is.
    pub venue: Venue,
    /// Its price; `None` before its first.
    pub price: Option<Price>,
    /// Our clock at its newest tick; `None` before its first.
    pub ts_recv: Option<UnixNanos>,
    /// Its part in the price.
    pub part: Part,
}

/// A source's part in the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = SourcePart, rename_all = "snake_case")]
pub enum Part {
    /// It makes the price, alone or with others.
    Used,
    /// A source earlier in the list makes it.
    Standby,
    /// It was left and has not been fresh for long enough to be returned to.
    Settling,
    /// It is too far from the others.
    Outlier,
    /// Its newest tick is too old.
    Stale,
    /// Its connection is down or silent.
    Down,
    /// It has given no price yet.
    NoPrice,
}

impl Part {
    /// The word used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Standby => "standby",
            Self::Settling => "settling",
            Self::Outlier => "outlier",
            Self::Stale => "stale",
            Self::Down => "down",
            Self::NoPrice => "no_price",
        }
    }
}

/// Whether a price can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Status {
    /// It is what the instrument asks for.
    Live,
    /// Fewer or other sources than wanted make it.
    Degraded,
    /// Its newest tick is older than the instrument allows, or there has been none.
    Stale,
    /// The market is closed: quiet is right.
    Closed,
    /// Trading is halted.
    Halted,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Live, Self::Degraded, Self::Stale, Self::Closed, Self::Halted];

    /// The word used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Stale => "stale",
            Self::Closed => "closed",
            Self::Halted => "halted",
        }
    }
}

/// Where a market is in its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Session {
    /// Extended trading before the open.
    Pre,
    /// Regular trading; crypto always is.
    Open,
    /// Extended trading after the close.
    Post,
    /// Nights, weekends, holidays.
    Closed,
    /// Trading is halted.
    Halted,
    /// Nothing says.
    Unknown,
}

impl Session {
    /// The word used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Open => "open",
            Self::Post => "post",
            Self::Closed => "closed",
            Self::Halted => "halted",
            Self::Unknown => "unknown",
        }
    }
}

impl Ticker {
    /// A symbol that no source has spoken of yet.
    pub fn unknown(session: Session) -> Self {
        Self {
            price: None,
            venue: None,
            top: Top::default(),
            last: None,
            last_size: None,
            figures: Figures::default(),
            session,
            status: Status::Stale,
            ts_event: None,
            ts_recv: None,
            sources: SmallVec::new(),
        }
    }

    /// Ask minus bid; `None` without both, or while they cross.
    pub fn spread(&self) -> Option<Decimal> {
        let (bid, ask) = sides(&self.top)?;
        ask.checked_sub(bid)
    }

    /// Half-way between bid and ask, exact; `None` without both, or while they cross.
    pub fn mid(&self) -> Option<Decimal> {
        mid(&self.top).map(Price::get)
    }

    /// The price minus the previous close.
    pub fn change(&self) -> Option<Decimal> {
        self.price?.get().checked_sub(self.figures.prev_close?.get())
    }

    /// The change in percent of the previous close, rounded to two decimals, halves away from zero.
    pub fn change_pct(&self) -> Option<Decimal> {
        let percent =
            self.change()?.checked_mul(Decimal::ONE_HUNDRED)?.checked_div(self.figures.prev_close?.get())?;
        let mut rounded =
            percent.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        rounded.rescale(2);
        // A fall that rounds to nothing is `0.00`, not `-0.00`.
        rounded.set_sign_positive(rounded.is_sign_positive() || rounded.is_zero());
        Some(rounded)
    }

    /// The venue's clock in milliseconds, ours where it gives none; `None` before the first tick.
    pub fn time_ms(&self) -> Option<i64> {
        self.ts_event.or(self.ts_recv).map(UnixNanos::as_millis)
    }
}

/// Half-way between bid and ask, exact; `None` without both, while they cross, or where it has more digits
/// than a decimal holds.
pub fn mid(top: &Top) -> Option<Price> {
    let (bid, ask) = sides(top)?;
    Price::new(halfway(bid, ask)?)
}

/// Half-way between two values, exact; `None` where it has more digits than a decimal holds.
pub fn halfway(a: Decimal, b: Decimal) -> Option<Decimal> {
    let sum = a.checked_add(b)?;
    let half = sum.checked_mul(Decimal::new(5, 1))?;
    // Half of an even sum needs no further digit.
    let even = half.scale() > sum.scale() && half.mantissa() % 10 == 0;
    Some(if even { half.trunc_with_scale(sum.scale()) } else { half })
}

fn sides(top: &Top) -> Option<(Decimal, Decimal)> {
    let (bid, ask) = (top.bid?.get(), top.ask?.get());
    (bid <= ask).then_some((bid, ask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Option<Price> {
        Price::parse(text).expect("a number")
    }

    fn with_close(now: &str, close: &str) -> Ticker {
        let mut ticker = Ticker::unknown(Session::Open);
        ticker.price = price(now);
        ticker.figures.prev_close = price(close);
        ticker
    }

    #[test]
    fn change_is_exact_and_its_percent_has_two_decimals() {
        let ticker = with_close("67012.34", "66200.24");
        assert_eq!(ticker.change().map(|d| d.to_string()).as_deref(), Some("812.10"));
        assert_eq!(ticker.change_pct().map(|d| d.to_string()).as_deref(), Some("1.23"));
        let fallen = with_close("99.9999", "100");
        assert_eq!(fallen.change_pct().map(|d| d.to_string()).as_deref(), Some("0.00"));
        let half = with_close("100.125", "100");
        assert_eq!(half.change_pct().map(|d| d.to_string()).as_deref(), Some("0.13"));
    }

    #[test]
    fn a_mid_needs_two_sides_that_do_not_cross() {
        let top = |bid, ask| Top { bid: price(bid), ask: price(ask), ..Top::default() };
        let text = |t: &Top| mid(t).map(|p| p.to_string());
        assert_eq!(text(&top("67012.34", "67012.35")).as_deref(), Some("67012.345"));
        assert_eq!(text(&top("100.10", "100.12")).as_deref(), Some("100.11"));
        assert_eq!(text(&top("100.10", "100.10")).as_deref(), Some("100.10"));
        assert_eq!(text(&top("100.12", "100.10")), None);
        assert_eq!(text(&top("0", "100.10")), None);
    }
}

//! What a venue reports about one instrument: trades, quotes and its own summary.

use std::borrow::Cow;
use std::fmt;

use crate::{Price, Size, UnixNanos};

/// Who crossed the spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

impl Side {
    /// The other one: the aggressor, where a venue names the maker.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// The venue's id of a trade, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeId<'f>(pub Cow<'f, str>);

impl TradeId<'_> {
    /// The id as a number, where it is one that fits. Ids of one instrument at one venue rise with time.
    pub fn number(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl fmt::Display for TradeId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A print.
#[derive(Clone, Debug, PartialEq)]
pub struct Trade<'f> {
    /// The venue's spelling of the instrument.
    pub wire: Cow<'f, str>,
    /// What was paid.
    pub price: Price,
    /// How much changed hands; `None` where the venue gives none.
    pub size: Option<Size>,
    /// `None` where the venue does not say. Never guessed.
    pub aggressor: Option<Side>,
    /// The venue's id; `None` where it gives none.
    pub id: Option<TradeId<'f>>,
    /// The venue's clock; `None` where the frame carries no usable time.
    pub ts_event: Option<UnixNanos>,
    /// A past trade sent at subscribe. It never moves a price.
    pub backfill: bool,
    /// What the print may move; [`Moves::ALL`] except for stocks, whose sale conditions say.
    pub moves: Moves,
}

/// An earlier print was cancelled or corrected. It moves no price: what was last before that print is not
/// known, and a correction is not at the market's price now. Whoever counts volume or keeps bars can use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Undone<'f> {
    /// The venue's spelling of the instrument.
    pub wire: Cow<'f, str>,
    /// The id of the print that no longer holds; `None` where the frame carries none.
    pub id: Option<TradeId<'f>>,
    /// What that print said was paid.
    pub price: Option<Price>,
    /// How much that print said changed hands.
    pub size: Option<Size>,
    /// The print that holds in its place; `None` where it was cancelled.
    pub correction: Option<Trade<'f>>,
    /// The venue's clock; `None` where the frame carries no usable time.
    pub ts_event: Option<UnixNanos>,
}

/// What a print may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moves {
    /// Which last price.
    pub last: LastKind,
    /// The session's highest and lowest price.
    pub range: bool,
    /// The session's volume.
    pub volume: bool,
}

impl Moves {
    /// Everything: what an ordinary print does.
    pub const ALL: Self = Self { last: LastKind::Regular, range: true, volume: true };

    /// What both allow: of several conditions on one print the most restrictive wins, field by field.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            last: self.last.max(other.last),
            range: self.range && other.range,
            volume: self.volume && other.volume,
        }
    }
}

/// Which last price a print sets, the least restrictive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LastKind {
    /// The last of regular trading.
    Regular,
    /// The last outside regular hours, kept apart from the regular one.
    Extended,
    /// None: the print is reported, but it is not at the market's price now.
    No,
}

/// Best bid and ask, from a channel whose every frame carries the whole top of the book.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote<'f> {
    /// The venue's spelling of the instrument.
    pub wire: Cow<'f, str>,
    /// Best bid; `None` where nobody bids.
    pub bid: Option<Price>,
    /// Size at the best bid.
    pub bid_size: Option<Size>,
    /// Best ask; `None` where nobody offers.
    pub ask: Option<Price>,
    /// Size at the best ask.
    pub ask_size: Option<Size>,
    /// The venue's order of its quotes of this instrument, where it gives one.
    pub sequence: Option<u64>,
    /// The venue's clock; `None` where the frame carries no usable time.
    pub ts_event: Option<UnixNanos>,
}

/// The venue's own summary of one instrument. A field that the frame does not carry is `None`: what was known
/// of it before still holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary<'f> {
    /// The venue's spelling of the instrument.
    pub wire: Cow<'f, str>,
    /// The venue's last price.
    pub last: Option<Price>,
    /// The size of the last trade.
    pub last_size: Option<Size>,
    /// Who crossed the spread in the last trade.
    pub aggressor: Option<Side>,
    /// The id of the last trade.
    pub id: Option<TradeId<'f>>,
    /// The book's top, where this summary carries it whole: then a `None` inside means that the side is empty.
    pub top: Option<Top>,
    /// First price of the window: the last 24 h (crypto) or the session (stocks).
    pub open: Option<Price>,
    /// Highest price of the window.
    pub high: Option<Price>,
    /// Lowest price of the window.
    pub low: Option<Price>,
    /// Base volume of the window.
    pub volume: Option<Size>,
    /// What changes are counted from: the price 24 h ago (crypto), the last session's official close (stocks).
    pub prev_close: Option<Price>,
    /// The venue's clock; `None` where the frame carries no usable time.
    pub ts_event: Option<UnixNanos>,
}

/// The top of a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Best bid; `None` where nobody bids.
    pub bid: Option<Price>,
    /// Size at the best bid.
    pub bid_size: Option<Size>,
    /// Best ask; `None` where nobody offers.
    pub ask: Option<Price>,
    /// Size at the best ask.
    pub ask_size: Option<Size>,
}

/// What a venue says about trading in one instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Status<'f> {
    /// The venue's spelling of the instrument.
    pub wire: Cow<'f, str>,
    /// Whether it may be traded now.
    pub halted: bool,
    /// The venue's own words.
    pub text: Cow<'f, str>,
    /// The venue's clock; `None` where the frame carries no usable time.
    pub ts_event: Option<UnixNanos>,
}

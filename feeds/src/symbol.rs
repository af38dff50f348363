//! Venues, and what a venue's spelling of an instrument is in common asset codes.

use std::fmt;
use std::str::FromStr;

/// Where ticks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Venue {
    /// Binance, the global spot market.
    Binance,
    /// Coinbase Exchange (not Advanced Trade).
    Coinbase,
    /// Kraken spot, WebSocket v2.
    Kraken,
    /// The simulator.
    Sim,
}

impl Venue {
    /// Every venue, in alphabetical order, the simulator last.
    pub const ALL: &'static [Self] = &[Self::Binance, Self::Coinbase, Self::Kraken, Self::Sim];

    /// The name used in config, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binance => "binance",
            Self::Coinbase => "coinbase",
            Self::Kraken => "kraken",
            Self::Sim => "sim",
        }
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no venue's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown venue `{0}`")]
pub struct UnknownVenue(pub String);

impl FromStr for Venue {
    type Err = UnknownVenue;

    fn from_str(text: &str) -> Result<Self, UnknownVenue> {
        Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| UnknownVenue(text.to_owned()))
    }
}

/// An instrument in common asset codes, borrowed from the wire name: `BTC` and `USD`, or `AAPL` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair<'w> {
    /// The asset, or a stock's ticker.
    pub base: &'w str,
    /// The currency it is priced in; `None` for a stock, whose wire name does not say.
    pub quote: Option<&'w str>,
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quote {
            Some(quote) => write!(f, "{}-{quote}", self.base),
            None => f.write_str(self.base),
        }
    }
}

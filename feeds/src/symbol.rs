//! Venues, and what a venue's spelling of an instrument is in common asset codes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Where ticks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Venue {
    /// Alpaca market data v2, US stocks.
    Alpaca,
    /// Binance, the global spot market.
    Binance,
    /// Binance.US, a market of its own.
    BinanceUs,
    /// Bitfinex spot, WebSocket v2.
    Bitfinex,
    /// Bitstamp, WebSocket v2.
    Bitstamp,
    /// Bybit spot, WebSocket v5.
    Bybit,
    /// Coinbase Exchange (not Advanced Trade).
    Coinbase,
    /// Coinbase Advanced Trade, spot.
    CoinbaseAdvanced,
    /// Crypto.com Exchange v1.
    CryptoCom,
    /// Finnhub, US stocks and what else it relays.
    Finnhub,
    /// Gate.io v4 spot.
    GateIo,
    /// Gemini, the socket of 2026.
    Gemini,
    /// Hyperliquid, spot and perpetuals.
    Hyperliquid,
    /// Kraken spot, WebSocket v2.
    Kraken,
    /// KuCoin spot.
    KuCoin,
    /// OKX spot, WebSocket v5.
    Okx,
    /// Massive, formerly Polygon.io, US stocks.
    Polygon,
    /// Tiingo, US stocks as traded at IEX.
    Tiingo,
    /// Twelve Data, prices of stocks, currencies and crypto.
    TwelveData,
    /// Upbit.
    Upbit,
    /// The simulator.
    Sim,
}

impl Venue {
    /// Every venue, in alphabetical order, the simulator last.
    pub const ALL: &'static [Self] = &[
        Self::Alpaca,
        Self::Binance,
        Self::BinanceUs,
        Self::Bitfinex,
        Self::Bitstamp,
        Self::Bybit,
        Self::Coinbase,
        Self::CoinbaseAdvanced,
        Self::CryptoCom,
        Self::Finnhub,
        Self::GateIo,
        Self::Gemini,
        Self::Hyperliquid,
        Self::Kraken,
        Self::KuCoin,
        Self::Okx,
        Self::Polygon,
        Self::Tiingo,
        Self::TwelveData,
        Self::Upbit,
        Self::Sim,
    ];

    /// The name used in config, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Binance => "binance",
            Self::BinanceUs => "binance_us",
            Self::Bitfinex => "bitfinex",
            Self::Bitstamp => "bitstamp",
            Self::Bybit => "bybit",
            Self::Coinbase => "coinbase",
            Self::CoinbaseAdvanced => "coinbase_advanced",
            Self::CryptoCom => "cryptocom",
            Self::Finnhub => "finnhub",
            Self::GateIo => "gateio",
            Self::Gemini => "gemini",
            Self::Hyperliquid => "hyperliquid",
            Self::Kraken => "kraken",
            Self::KuCoin => "kucoin",
            Self::Okx => "okx",
            Self::Polygon => "polygon",
            Self::Tiingo => "tiingo",
            Self::TwelveData => "twelvedata",
            Self::Upbit => "upbit",
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

/// An instrument in common asset codes: `BTC` and `USD`, or `AAPL` alone. Borrowed from the wire name unless
/// the venue writes that in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair<'w> {
    /// The asset, or a stock's ticker.
    pub base: Cow<'w, str>,
    /// The currency it is priced in; `None` for a stock, whose wire name does not say.
    pub quote: Option<Cow<'w, str>>,
}

impl<'w> Pair<'w> {
    /// Two assets.
    pub fn new(base: impl Into<Cow<'w, str>>, quote: impl Into<Cow<'w, str>>) -> Self {
        Self { base: base.into(), quote: Some(quote.into()) }
    }

    /// Splits at the longest of these quote assets that the wire name ends with, in any case. `None` where none
    /// fits. The base is given in upper case.
    pub(crate) fn split(wire: &'w str, quotes: &[&'static str]) -> Option<Self> {
        let longest = quotes.iter().filter_map(|&quote| Some((before(wire, quote)?, quote)));
        let (base, quote) = longest.max_by_key(|(_, quote)| quote.len())?;
        Some(Self::new(upper(base), quote))
    }

    /// A stock, or whatever else has one name.
    pub fn single(base: impl Into<Cow<'w, str>>) -> Self {
        Self { base: base.into(), quote: None }
    }
}

/// What stands before `end`, which may be in any case; `None` where nothing does.
pub(crate) fn before<'w>(wire: &'w str, end: &str) -> Option<&'w str> {
    let (start, rest) = wire.split_at_checked(wire.len().checked_sub(end.len())?)?;
    (!start.is_empty() && rest.eq_ignore_ascii_case(end)).then_some(start)
}

/// An asset in upper case.
pub(crate) fn upper(asset: &str) -> Cow<'_, str> {
    if asset.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(asset.to_ascii_uppercase())
    } else {
        Cow::Borrowed(asset)
    }
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.quote {
            Some(quote) => write!(f, "{}-{quote}", self.base),
            None => f.write_str(&self.base),
        }
    }
}

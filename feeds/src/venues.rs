//! The one list: a [`Venue`] to its profile, its codec and its spelling.

pub mod alpaca;
pub mod binance;
pub mod binance_us;
pub mod bitfinex;
pub mod bitstamp;
pub mod bybit;
pub mod coinbase;
pub mod coinbase_advanced;
pub mod cryptocom;
pub mod finnhub;
pub mod gateio;
pub mod gemini;
pub mod hyperliquid;
pub mod kraken;
pub mod kucoin;
pub mod okx;
pub mod polygon;
pub mod tiingo;
pub mod twelvedata;
pub mod upbit;

use crate::{Auth, Codec, Pair, Profile, Venue};

impl Venue {
    /// Facts about the venue's socket; `None` for the simulator, which has none.
    pub fn profile(self) -> Option<&'static Profile> {
        match self {
            Self::Alpaca => Some(&alpaca::PROFILE),
            Self::Binance => Some(&binance::PROFILE),
            Self::BinanceUs => Some(&binance_us::PROFILE),
            Self::Bitfinex => Some(&bitfinex::PROFILE),
            Self::Bitstamp => Some(&bitstamp::PROFILE),
            Self::Bybit => Some(&bybit::PROFILE),
            Self::Coinbase => Some(&coinbase::PROFILE),
            Self::CoinbaseAdvanced => Some(&coinbase_advanced::PROFILE),
            Self::CryptoCom => Some(&cryptocom::PROFILE),
            Self::Finnhub => Some(&finnhub::PROFILE),
            Self::GateIo => Some(&gateio::PROFILE),
            Self::Gemini => Some(&gemini::PROFILE),
            Self::Hyperliquid => Some(&hyperliquid::PROFILE),
            Self::Kraken => Some(&kraken::PROFILE),
            Self::KuCoin => Some(&kucoin::PROFILE),
            Self::Okx => Some(&okx::PROFILE),
            Self::Polygon => Some(&polygon::PROFILE),
            Self::Tiingo => Some(&tiingo::PROFILE),
            Self::TwelveData => Some(&twelvedata::PROFILE),
            Self::Upbit => Some(&upbit::PROFILE),
            Self::Sim => None,
        }
    }

    /// A codec for one new connection; `None` for the simulator, which sends no frames.
    pub fn codec(self) -> Option<Box<dyn Codec>> {
        match self {
            Self::Alpaca => Some(Box::<alpaca::Alpaca>::default()),
            Self::Binance => Some(Box::<binance::Binance>::default()),
            Self::BinanceUs => Some(Box::<binance_us::BinanceUs>::default()),
            Self::Bitfinex => Some(Box::<bitfinex::Bitfinex>::default()),
            Self::Bitstamp => Some(Box::<bitstamp::Bitstamp>::default()),
            Self::Bybit => Some(Box::<bybit::Bybit>::default()),
            Self::Coinbase => Some(Box::<coinbase::Coinbase>::default()),
            Self::CoinbaseAdvanced => Some(Box::<coinbase_advanced::CoinbaseAdvanced>::default()),
            Self::CryptoCom => Some(Box::<cryptocom::CryptoCom>::default()),
            Self::Finnhub => Some(Box::<finnhub::Finnhub>::default()),
            Self::GateIo => Some(Box::<gateio::GateIo>::default()),
            Self::Gemini => Some(Box::<gemini::Gemini>::default()),
            Self::Hyperliquid => Some(Box::<hyperliquid::Hyperliquid>::default()),
            Self::Kraken => Some(Box::<kraken::Kraken>::default()),
            Self::KuCoin => Some(Box::<kucoin::KuCoin>::default()),
            Self::Okx => Some(Box::<okx::Okx>::default()),
            Self::Polygon => Some(Box::<polygon::Polygon>::default()),
            Self::Tiingo => Some(Box::<tiingo::Tiingo>::default()),
            Self::TwelveData => Some(Box::<twelvedata::TwelveData>::default()),
            Self::Upbit => Some(Box::<upbit::Upbit>::default()),
            Self::Sim => None,
        }
    }

    /// How it wants to be shown the operator's key.
    pub fn auth(self) -> Auth {
        match self {
            Self::Alpaca | Self::Polygon | Self::Tiingo => Auth::Frame,
            Self::Finnhub => Auth::Query("token"),
            Self::TwelveData => Auth::Query("apikey"),
            _ => Auth::None,
        }
    }

    /// What a wire name is in common asset codes; `None` where the venue's own list does not tell.
    pub fn pair(self, wire: &str) -> Option<Pair<'_>> {
        match self {
            Self::Alpaca => alpaca::pair(wire),
            Self::Binance => binance::pair(wire),
            Self::BinanceUs => binance_us::pair(wire),
            Self::Bitfinex => bitfinex::pair(wire),
            Self::Bitstamp => bitstamp::pair(wire),
            Self::Bybit => bybit::pair(wire),
            Self::Coinbase => coinbase::pair(wire),
            Self::CoinbaseAdvanced => coinbase_advanced::pair(wire),
            Self::CryptoCom => cryptocom::pair(wire),
            Self::Finnhub => finnhub::pair(wire),
            Self::GateIo => gateio::pair(wire),
            Self::Gemini => gemini::pair(wire),
            Self::Hyperliquid => hyperliquid::pair(wire),
            Self::Kraken => kraken::pair(wire),
            Self::KuCoin => kucoin::pair(wire),
            Self::Okx => okx::pair(wire),
            Self::Polygon => polygon::pair(wire),
            Self::Tiingo => tiingo::pair(wire),
            Self::TwelveData => twelvedata::pair(wire),
            Self::Upbit => upbit::pair(wire),
            Self::Sim => Some(match wire.split_once('-') {
                Some((base, quote)) => Pair::new(base, quote),
                None => Pair::single(wire),
            }),
        }
    }
}

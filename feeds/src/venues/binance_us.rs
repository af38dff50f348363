//! Binance.US, the spot market for the United States: the streams and the language of [`super::binance`]
//! at another address, with a list of instruments and prices of its own.
//!
//! Facts without another source are from the venue's repository `binance-us-api-docs` of 2024-06.

use std::time::Duration;

use super::binance::{self, Binance};
use crate::symbol::before;
use crate::{Codec, DecodeError, Events, Frame, Pair, Profile, UnixNanos, Venue};

/// Facts about the socket. Limits, pings (each 3 minutes, to be answered within 10) and the 24 h are the other
/// market's as far as we are concerned.
pub const PROFILE: Profile = Profile {
    venue: Venue::BinanceUs,
    urls: &["wss://stream.binance.us:9443/ws"],
    // Our choice: a thin market. In the recording of 2021-10-12 four pairs had 128 changes of their tops in 40 s.
    silence_max: Duration::from_secs(60),
    ..binance::PROFILE
};

/// The venue's quote assets by its exchangeInfo of 2021-10-12 (121 pairs), without BUSD.
const QUOTES: &[&str] = &["BTC", "USD", "USDC", "USDT"];

/// What that list prices in BUSD. Everything else that ends so is priced in USD, as `BNBUSD` is, which that list
/// has beside `BNBBUSD`.
const BASES_IN_BUSD: &[&str] =
    &["ALGO", "BNB", "BTC", "EOS", "ETH", "HBAR", "MATIC", "OMG", "ONE", "REP", "SHIB", "XRP", "XTZ", "ZIL"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct BinanceUs(Binance);

impl Codec for BinanceUs {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        self.0.subscribe(wires)
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        self.0.decode(frame, ts_recv, events)
    }
}

/// Splits `BTCUSD` by the venue's own list. `None` where no quote asset fits.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    match before(wire, "BUSD") {
        Some(base) if BASES_IN_BUSD.contains(&base) => Some(Pair::new(base, "BUSD")),
        _ => Pair::split(wire, QUOTES),
    }
}

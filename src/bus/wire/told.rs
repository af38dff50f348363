//! One symbol's newest state, as published.

use serde::{Deserialize, Serialize};
use tickcast_feeds::UnixNanos;

use super::ticker::WireTicker;
use super::{FORMAT, WireError, refusal};
use crate::http::sse::Epoch;
use crate::ticker::Ticker;

/// One symbol's ticker, as published.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Of the stream that it was published to.
    pub epoch: Epoch,
    /// The lease under which it was published: the higher one is right.
    pub fence: u64,
    /// When, by the publisher's clock.
    pub published: UnixNanos,
    /// What its prices are in: with another currency it is another symbol.
    pub currency: String,
    /// The ticker.
    pub ticker: Ticker,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u32,
    e: u32,
    f: u64,
    t: i64,
    c: &'a str,
    #[serde(borrow)]
    k: WireTicker<'a>,
}

impl Told {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            v: FORMAT,
            e: self.epoch.0,
            f: self.fence,
            t: self.published.0,
            c: &self.currency,
            k: WireTicker::of(&self.ticker),
        };
        serde_json::to_vec(&wire).expect("text keys and no failing parts")
    }

    /// From bytes.
    ///
    /// # Errors
    ///
    /// [`WireError`] where they are not what this version reads.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let wire = serde_json::from_slice::<Wire<'_>>(bytes).ok().filter(|wire| wire.v == FORMAT);
        let wire = wire.ok_or_else(|| refusal(bytes))?;
        Ok(Self {
            epoch: Epoch(wire.e),
            fence: wire.f,
            published: UnixNanos(wire.t),
            currency: wire.c.to_owned(),
            ticker: wire.k.read()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use rust_decimal::Decimal;
    use tickcast_feeds::{Price, Size, Top, Venue};

    use super::super::ticker::PARTS;
    use super::*;
    use crate::ticker::{Figures, Session, SourceView, Status};

    fn told(digits: i64, scale: u32) -> Told {
        let price = || Price::new(Decimal::new(digits, scale));
        let size = || Size::new(Decimal::new(digits, scale));
        let source =
            |part| SourceView { venue: Venue::Kraken, price: price(), ts_recv: Some(UnixNanos(7)), part };
        Told {
            epoch: Epoch(0x7f3a),
            fence: 12,
            published: UnixNanos(1_764_039_600_101_000_000),
            currency: "USD".to_owned(),
            ticker: Ticker {
                price: price(),
                venue: Some(Venue::Coinbase),
                top: Top { bid: price(), ask: None, bid_size: size(), ask_size: None },
                last: price(),
                last_size: None,
                figures: Figures { open: price(), volume: size(), prev_close: price(), ..Figures::default() },
                session: Session::Open,
                status: Status::Degraded,
                ts_event: None,
                ts_recv: Some(UnixNanos(8)),
                sources: PARTS.into_iter().map(source).collect(),
            },
        }
    }

    proptest! {
        #[test]
        fn m45_a_ticker_comes_out_as_it_went_in_with_all_its_digits(digits in 1..i64::MAX, scale in 0_u32..=28) {
            let before = told(digits, scale);
            let after = Told::decode(&before.encode()).expect("our own bytes");
            prop_assert_eq!(&after, &before);
            // Equal numbers may be written with other digits.
            let text = |told: &Told| told.ticker.price.map(|price| price.to_string());
            prop_assert_eq!(text(&after), text(&before));
        }

        #[test]
        fn any_bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Told::decode(&bytes).is_err());
        }

        #[test]
        fn a_message_that_was_cut_is_refused(length in 0_usize..400) {
            let bytes = told(12_345, 2).encode();
            let cut = &bytes[..length.min(bytes.len() - 1)];
            prop_assert_eq!(Told::decode(cut), Err(WireError::Malformed));
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_apart_from_garbage() {
        let text = String::from_utf8(told(1, 0).encode()).expect("text");
        let newer = text.replacen("\"v\":1", "\"v\":2", 1);
        assert_eq!(Told::decode(newer.as_bytes()), Err(WireError::Newer(2)));
        assert_eq!(Told::decode(br#"{"v":9,"x":[1,2]}"#), Err(WireError::Newer(9)));
        let more = text.replacen('{', "{\"new\":{\"key\":1},", 1);
        assert!(Told::decode(more.as_bytes()).is_ok(), "one more key says nothing against it");
        let zero = text.replacen("\"p\":\"1\"", "\"p\":\"zero\"", 1);
        assert_eq!(Told::decode(zero.as_bytes()), Err(WireError::Malformed));
    }
}

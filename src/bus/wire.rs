//! What a ticker looks like on the bus: JSON with short keys, decimals as text, and who published it when. A reader skips
//! keys that it does not know; what it could not understand without them has another [`FORMAT`].

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tickcast_feeds::{Price, Size, Top, UnixNanos, Venue};

use crate::http::sse::Epoch;
use crate::ticker::{Figures, Part, Session, SourceView, Status, Ticker};

/// The version of this format.
pub const FORMAT: u32 = 1;

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

/// Why bytes are no ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A newer tickcast wrote it.
    #[error("the message is of format {0}, we know {FORMAT}: this node is older than the one that publishes")]
    Newer(u32),
    /// It is not what any tickcast writes.
    #[error("the message cannot be understood")]
    Malformed,
}

/// The text of a decimal, exact.
type Text<'a> = Option<&'a str>;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u32,
    e: u32,
    f: u64,
    t: i64,
    c: &'a str,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    p: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    w: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    b: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    a: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    bs: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", rename = "as")]
    ask_size: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    l: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ls: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    o: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    h: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    lo: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    vo: Option<Number<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pc: Option<Number<'a>>,
    s: &'a str,
    st: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    te: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tr: Option<i64>,
    #[serde(borrow, default)]
    src: SmallVec<[WireSource<'a>; 2]>,
}

/// Venue, price, receive time, part.
#[derive(Serialize, Deserialize)]
struct WireSource<'a>(&'a str, #[serde(borrow)] Option<Number<'a>>, Option<i64>, &'a str);

/// A decimal as its text: written from the number, read as text.
enum Number<'a> {
    Value(Decimal),
    Text(&'a str),
}

impl Serialize for Number<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.collect_str(value),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a str>::deserialize(deserializer).map(Self::Text)
    }
}

/// Only what tells formats apart.
#[derive(Deserialize)]
struct Head {
    v: u32,
}

impl Told {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Ticker { top, figures, .. } = &self.ticker;
        let price = |price: Option<Price>| price.map(|price| Number::Value(price.get()));
        let size = |size: Option<Size>| size.map(|size| Number::Value(size.get()));
        let source = |source: &SourceView| {
            let at = source.ts_recv.map(|at| at.0);
            WireSource(source.venue.name(), price(source.price), at, source.part.name())
        };
        let wire = Wire {
            v: FORMAT,
            e: self.epoch.0,
            f: self.fence,
            t: self.published.0,
            c: &self.currency,
            p: price(self.ticker.price),
            w: self.ticker.venue.map(Venue::name),
            b: price(top.bid),
            a: price(top.ask),
            bs: size(top.bid_size),
            ask_size: size(top.ask_size),
            l: price(self.ticker.last),
            ls: size(self.ticker.last_size),
            o: price(figures.open),
            h: price(figures.high),
            lo: price(figures.low),
            vo: size(figures.volume),
            pc: price(figures.prev_close),
            s: self.ticker.session.name(),
            st: self.ticker.status.name(),
            te: self.ticker.ts_event.map(|at| at.0),
            tr: self.ticker.ts_recv.map(|at| at.0),
            src: self.ticker.sources.iter().map(source).collect(),
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
        if let Some(wire) = wire {
            return Self::of(&wire);
        }
        match serde_json::from_slice::<Head>(bytes) {
            Ok(Head { v }) if v > FORMAT => Err(WireError::Newer(v)),
            _ => Err(WireError::Malformed),
        }
    }

    fn of(wire: &Wire<'_>) -> Result<Self, WireError> {
        let source = |WireSource(venue, price, at, part): &WireSource<'_>| {
            Ok(SourceView {
                venue: read_venue(venue)?,
                price: read_price(price.as_ref())?,
                ts_recv: at.map(UnixNanos),
                part: named(part, &PARTS, Part::name)?,
            })
        };
        let ticker = Ticker {
            price: read_price(wire.p.as_ref())?,
            venue: wire.w.map(read_venue).transpose()?,
            top: Top {
                bid: read_price(wire.b.as_ref())?,
                ask: read_price(wire.a.as_ref())?,
                bid_size: read_size(wire.bs.as_ref())?,
                ask_size: read_size(wire.ask_size.as_ref())?,
            },
            last: read_price(wire.l.as_ref())?,
            last_size: read_size(wire.ls.as_ref())?,
            figures: Figures {
                open: read_price(wire.o.as_ref())?,
                high: read_price(wire.h.as_ref())?,
                low: read_price(wire.lo.as_ref())?,
                volume: read_size(wire.vo.as_ref())?,
                prev_close: read_price(wire.pc.as_ref())?,
            },
            session: named(wire.s, &SESSIONS, Session::name)?,
            status: named(wire.st, &STATUSES, Status::name)?,
            ts_event: wire.te.map(UnixNanos),
            ts_recv: wire.tr.map(UnixNanos),
            sources: wire.src.iter().map(source).collect::<Result<_, WireError>>()?,
        };
        let (epoch, fence, published) = (Epoch(wire.e), wire.f, UnixNanos(wire.t));
        Ok(Self { epoch, fence, published, currency: wire.c.to_owned(), ticker })
    }
}

const PARTS: [Part; 7] =
    [Part::Used, Part::Standby, Part::Settling, Part::Outlier, Part::Stale, Part::Down, Part::NoPrice];
const STATUSES: [Status; 5] = [Status::Live, Status::Degraded, Status::Stale, Status::Closed, Status::Halted];
const SESSIONS: [Session; 6] =
    [Session::Pre, Session::Open, Session::Post, Session::Closed, Session::Halted, Session::Unknown];

fn named<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, WireError> {
    all.iter().copied().find(|&one| name(one) == text).ok_or(WireError::Malformed)
}

fn read_venue(text: &str) -> Result<Venue, WireError> {
    text.parse().map_err(|_| WireError::Malformed)
}

fn read_price(number: Option<&Number<'_>>) -> Result<Option<Price>, WireError> {
    number.map(|number| read(number, Price::new, Price::parse)).transpose()
}

fn read_size(number: Option<&Number<'_>>) -> Result<Option<Size>, WireError> {
    number.map(|number| read(number, Size::new, Size::parse)).transpose()
}

/// What stands there must be a value: who has none leaves it out.
fn read<T, E>(
    number: &Number<'_>,
    new: fn(Decimal) -> Option<T>,
    parse: fn(&str) -> Result<Option<T>, E>,
) -> Result<T, WireError> {
    let value = match number {
        Number::Text(text) => parse(text).ok().flatten(),
        Number::Value(value) => new(*value),
    };
    value.ok_or(WireError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

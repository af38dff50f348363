//! A symbol's next trades, as published: one or several that came within the bus interval, each with what it left behind.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tickcast_feeds::{UnixNanos, Venue};

use super::ticker::{WireTicker, read_venue};
use super::{FORMAT, WireError, refusal};
use crate::http::sse::Epoch;
use crate::latest::{Mark, Missed};
use crate::ticker::Ticker;

/// Entries in one message: its share of the versions, which are the stream's sequences with so many places in each.
pub const BATCH_MAX: usize = 256;

/// Trades of one symbol, as published.
#[derive(Clone, Debug, PartialEq)]
pub struct Trades {
    /// Of the stream that they were published to.
    pub epoch: Epoch,
    /// The lease under which they were published.
    pub fence: u64,
    /// When, by the publisher's clock.
    pub published: UnixNanos,
    /// What their prices are in: with another currency it is another symbol.
    pub currency: String,
    /// The sequence of the symbol's message before this one; 0: there was none. Where a reader has another one, it missed some.
    pub before: u64,
    /// Which run of which node published them.
    pub node: u32,
    /// The newest of its own versions that are published with this.
    pub through: u64,
    /// Where each venue's trades have got to with this, for who publishes next.
    pub marks: SmallVec<[Mark; 2]>,
    /// The oldest first; [`BATCH_MAX`] at most.
    pub entries: Vec<TradesEntry>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub enum TradesEntry {
    /// A trade: the symbol's state with it, and the venue's number of it.
    Trade(Box<Ticker>, Option<u64>),
    /// A hole.
    Missed(Missed),
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u32,
    e: u32,
    f: u64,
    t: i64,
    c: &'a str,
    b: u64,
    n: u32,
    w: u64,
    #[serde(borrow)]
    m: SmallVec<[WireMark<'a>; 2]>,
    #[serde(borrow)]
    x: Vec<WireEntry<'a>>,
}

/// Venue, time, number, count.
#[derive(Serialize, Deserialize)]
struct WireMark<'a>(&'a str, Option<i64>, Option<u64>, u32);

#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    k: Option<WireTicker<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    g: Option<WireMissed<'a>>,
}

/// Venue, how many.
#[derive(Serialize, Deserialize)]
struct WireMissed<'a>(Option<&'a str>, Option<u64>);

impl Trades {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mark = |mark: &Mark| {
            let at = mark.at.map(|at| at.0);
            WireMark(mark.venue.name(), at, mark.id, mark.count)
        };
        let wire = Wire {
            v: FORMAT,
            e: self.epoch.0,
            f: self.fence,
            t: self.published.0,
            c: &self.currency,
            b: self.before,
            n: self.node,
            w: self.through,
            m: self.marks.iter().map(mark).collect(),
            x: self.entries.iter().map(WireEntry::of).collect(),
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
        if wire.x.len() > BATCH_MAX {
            return Err(WireError::Malformed);
        }
        let mark = |&WireMark(venue, at, id, count): &WireMark<'_>| {
            Ok(Mark { venue: read_venue(venue)?, at: at.map(UnixNanos), id, count })
        };
        Ok(Self {
            epoch: Epoch(wire.e),
            fence: wire.f,
            published: UnixNanos(wire.t),
            currency: wire.c.to_owned(),
            before: wire.b,
            node: wire.n,
            through: wire.w,
            marks: wire.m.iter().map(mark).collect::<Result<_, WireError>>()?,
            entries: wire.x.iter().map(WireEntry::read).collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> WireEntry<'a> {
    fn of(entry: &'a TradesEntry) -> Self {
        match entry {
            TradesEntry::Trade(ticker, id) => Self { k: Some(WireTicker::of(ticker)), i: *id, g: None },
            TradesEntry::Missed(Missed { venue, trades }) => {
                Self { k: None, i: None, g: Some(WireMissed(venue.map(Venue::name), *trades)) }
            }
        }
    }

    fn read(&self) -> Result<TradesEntry, WireError> {
        match self {
            Self { k: Some(ticker), i, g: None } => Ok(TradesEntry::Trade(Box::new(ticker.read()?), *i)),
            Self { k: None, g: Some(WireMissed(venue, trades)), .. } => {
                let venue = venue.map(read_venue).transpose()?;
                Ok(TradesEntry::Missed(Missed { venue, trades: *trades }))
            }
            _ => Err(WireError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use tickcast_feeds::Price;

    use super::*;
    use crate::ticker::Session;

    fn trades(digits: &[i64]) -> Trades {
        let trade = |digits: &i64| {
            let price = Price::new(Decimal::new(*digits, 2));
            let ticker = Ticker { price, last: price, ..Ticker::unknown(Session::Open) };
            TradesEntry::Trade(Box::new(ticker), u64::try_from(*digits).ok())
        };
        let missed = [Some(Venue::Kraken), None];
        let missed = missed.map(|venue| TradesEntry::Missed(Missed { venue, trades: Some(3) }));
        Trades {
            epoch: Epoch(0x7f3a),
            fence: 12,
            published: UnixNanos(1_764_039_600_101_000_000),
            currency: "USD".to_owned(),
            before: 41,
            node: 7,
            through: 99,
            marks: [Mark { venue: Venue::Kraken, at: Some(UnixNanos(5)), id: None, count: 2 }]
                .into_iter()
                .collect(),
            entries: digits.iter().map(trade).chain(missed).collect(),
        }
    }

    proptest! {
        #[test]
        fn m45_trades_come_out_as_they_went_in(digits in prop::collection::vec(1..i64::MAX, 0..20)) {
            let before = trades(&digits);
            prop_assert_eq!(Trades::decode(&before.encode()), Ok(before));
        }

        #[test]
        fn any_bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Trades::decode(&bytes).is_err());
        }

        #[test]
        fn a_message_that_was_cut_is_refused(length in 0_usize..900) {
            let bytes = trades(&[1, 2, 3]).encode();
            let cut = &bytes[..length.min(bytes.len() - 1)];
            prop_assert_eq!(Trades::decode(cut), Err(WireError::Malformed));
        }
    }

    #[test]
    fn an_entry_that_says_nothing_or_a_batch_that_is_too_long_is_refused() {
        let text = String::from_utf8(trades(&[]).encode()).expect("text");
        let empty = text.replacen("\"x\":[", "\"x\":[{},", 1);
        assert_eq!(Trades::decode(empty.as_bytes()), Err(WireError::Malformed));
        let newer = text.replacen("\"v\":1", "\"v\":2", 1);
        assert_eq!(Trades::decode(newer.as_bytes()), Err(WireError::Newer(2)));
        assert!(Trades::decode(&trades(&[1; BATCH_MAX - 2]).encode()).is_ok());
        assert_eq!(Trades::decode(&trades(&[1; BATCH_MAX - 1]).encode()), Err(WireError::Malformed));
    }
}

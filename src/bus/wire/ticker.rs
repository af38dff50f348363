//! A ticker as part of a message.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tickcast_feeds::{Price, Size, Top, UnixNanos, Venue};

use super::WireError;
use crate::ticker::{Figures, Part, Session, SourceView, Status, Ticker};

/// The text of a decimal, exact.
type Text<'a> = Option<&'a str>;

#[derive(Serialize, Deserialize)]
pub(super) struct WireTicker<'a> {
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

impl<'a> WireTicker<'a> {
    /// To be written.
    pub(super) fn of(ticker: &'a Ticker) -> Self {
        let Ticker { top, figures, .. } = ticker;
        let price = |price: Option<Price>| price.map(|price| Number::Value(price.get()));
        let size = |size: Option<Size>| size.map(|size| Number::Value(size.get()));
        let source = |source: &SourceView| {
            let at = source.ts_recv.map(|at| at.0);
            WireSource(source.venue.name(), price(source.price), at, source.part.name())
        };
        Self {
            p: price(ticker.price),
            w: ticker.venue.map(Venue::name),
            b: price(top.bid),
            a: price(top.ask),
            bs: size(top.bid_size),
            ask_size: size(top.ask_size),
            l: price(ticker.last),
            ls: size(ticker.last_size),
            o: price(figures.open),
            h: price(figures.high),
            lo: price(figures.low),
            vo: size(figures.volume),
            pc: price(figures.prev_close),
            s: ticker.session.name(),
            st: ticker.status.name(),
            te: ticker.ts_event.map(|at| at.0),
            tr: ticker.ts_recv.map(|at| at.0),
            src: ticker.sources.iter().map(source).collect(),
        }
    }

    /// What it says.
    pub(super) fn read(&self) -> Result<Ticker, WireError> {
        let source = |WireSource(venue, price, at, part): &WireSource<'_>| {
            Ok(SourceView {
                venue: read_venue(venue)?,
                price: read_price(price.as_ref())?,
                ts_recv: at.map(UnixNanos),
                part: named(part, &PARTS, Part::name)?,
            })
        };
        Ok(Ticker {
            price: read_price(self.p.as_ref())?,
            venue: self.w.map(read_venue).transpose()?,
            top: Top {
                bid: read_price(self.b.as_ref())?,
                ask: read_price(self.a.as_ref())?,
                bid_size: read_size(self.bs.as_ref())?,
                ask_size: read_size(self.ask_size.as_ref())?,
            },
            last: read_price(self.l.as_ref())?,
            last_size: read_size(self.ls.as_ref())?,
            figures: Figures {
                open: read_price(self.o.as_ref())?,
                high: read_price(self.h.as_ref())?,
                low: read_price(self.lo.as_ref())?,
                volume: read_size(self.vo.as_ref())?,
                prev_close: read_price(self.pc.as_ref())?,
            },
            session: named(self.s, &SESSIONS, Session::name)?,
            status: named(self.st, &STATUSES, Status::name)?,
            ts_event: self.te.map(UnixNanos),
            ts_recv: self.tr.map(UnixNanos),
            sources: self.src.iter().map(source).collect::<Result<_, WireError>>()?,
        })
    }
}

pub(super) const PARTS: [Part; 7] =
    [Part::Used, Part::Standby, Part::Settling, Part::Outlier, Part::Stale, Part::Down, Part::NoPrice];
const STATUSES: [Status; 5] = [Status::Live, Status::Degraded, Status::Stale, Status::Closed, Status::Halted];
const SESSIONS: [Session; 6] =
    [Session::Pre, Session::Open, Session::Post, Session::Closed, Session::Halted, Session::Unknown];

fn named<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, WireError> {
    all.iter().copied().find(|&one| name(one) == text).ok_or(WireError::Malformed)
}

pub(super) fn read_venue(text: &str) -> Result<Venue, WireError> {
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

//! The fields of a price message: their names, their order, which of them changed, and their JSON.
//!
//! The order of [`Field`] is the order in a message and in the README's table.

mod schema;

use std::fmt::{self, Write as _};

use bytes::{BufMut, BytesMut};
use rust_decimal::Decimal;
use tickcast_feeds::UnixNanos;

pub use schema::PriceMessage;

use crate::catalogue::Entry;
use crate::config::Class;
use crate::ticker::{Part, Ticker};

macro_rules! fields {
    ($($variant:ident $name:literal),+ $(,)?) => {
        /// One field of a price message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the contract's table says what each is")]
        pub enum Field { $($variant),+ }

        impl Field {
            /// All of them, in the order of a message.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in `fields=` and in messages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

fields! {
    Symbol "symbol", Price "price",
    Bid "bid", Ask "ask", BidSize "bid_size", AskSize "ask_size", Spread "spread", Mid "mid",
    Last "last", LastSize "last_size",
    Open "open", High "high", Low "low", Volume "volume",
    PrevClose "prev_close", Change "change", ChangePct "change_pct",
    Currency "currency", Class "class", Venue "venue", Sources "sources",
    Session "session", Status "status",
    Time "time", EventUs "event_us", RecvUs "recv_us", SentUs "sent_us", Version "version",
}

/// Which fields a stream wants.
///
/// Invariant: `symbol` is always among them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldSet(u32);

impl FieldSet {
    /// What a stream gets that names none.
    pub const DEFAULT: Self = Self(0)
        .with(Field::Symbol)
        .with(Field::Price)
        .with(Field::Bid)
        .with(Field::Ask)
        .with(Field::Change)
        .with(Field::ChangePct)
        .with(Field::Status)
        .with(Field::Time);

    /// Only `symbol`.
    pub const SYMBOL: Self = Self(0).with(Field::Symbol);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u32)
    }

    /// Whether a field is in it.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    /// This set without the numbers that tell messages apart and say nothing about the symbol.
    #[must_use]
    pub const fn without_counters(self) -> Self {
        Self(self.0 & !(1 << Field::SentUs as u32 | 1 << Field::Version as u32))
    }

    /// The fields in the order of a message.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.iter().copied().filter(move |&field| self.contains(field))
    }

    /// Reads a comma separated list of names; `symbol` joins by itself.
    ///
    /// # Errors
    ///
    /// The first name that is no field's.
    pub fn parse(text: &str) -> Result<Self, UnknownField> {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).try_fold(Self::SYMBOL, |set, name| {
            let known = Field::ALL.iter().find(|field| field.name() == name);
            known.map(|&field| set.with(field)).ok_or_else(|| UnknownField(name.to_owned()))
        })
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Field::name)).finish()
    }
}

/// A name that is no field's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown field `{0}`")]
pub struct UnknownField(pub String);

/// At which version each field changed last.
#[derive(Clone, Debug)]
pub struct Changes([u64; Field::COUNT]);

impl Changes {
    /// Everything is as new as `version`.
    pub fn all_at(version: u64) -> Self {
        Self([version; Field::COUNT])
    }

    /// Notes which fields differ between two states of one symbol. Returns whether any does.
    pub fn note(&mut self, old: &Ticker, new: &Ticker, version: u64) -> bool {
        let mut any = false;
        let mut mark = |differs: bool, fields: &[Field]| {
            if differs {
                any = true;
                for &field in fields {
                    self.0[field as usize] = version;
                }
            }
        };
        // Decimals that are equal but written with other digits are another text, so a change to a client.
        mark(!same_text(old.price, new.price), &[Field::Price, Field::Change, Field::ChangePct]);
        mark(!same_text(old.top.bid, new.top.bid), &[Field::Bid, Field::Spread, Field::Mid]);
        mark(!same_text(old.top.ask, new.top.ask), &[Field::Ask, Field::Spread, Field::Mid]);
        mark(!same_size(old.top.bid_size, new.top.bid_size), &[Field::BidSize]);
        mark(!same_size(old.top.ask_size, new.top.ask_size), &[Field::AskSize]);
        mark(!same_text(old.last, new.last), &[Field::Last]);
        mark(!same_size(old.last_size, new.last_size), &[Field::LastSize]);
        mark(!same_text(old.figures.open, new.figures.open), &[Field::Open]);
        mark(!same_text(old.figures.high, new.figures.high), &[Field::High]);
        mark(!same_text(old.figures.low, new.figures.low), &[Field::Low]);
        mark(!same_size(old.figures.volume, new.figures.volume), &[Field::Volume]);
        let close = !same_text(old.figures.prev_close, new.figures.prev_close);
        mark(close, &[Field::PrevClose, Field::Change, Field::ChangePct]);
        mark(old.venue != new.venue, &[Field::Venue]);
        mark(old.sources != new.sources, &[Field::Sources]);
        mark(old.session != new.session, &[Field::Session]);
        mark(old.status != new.status, &[Field::Status]);
        mark(old.time_ms() != new.time_ms(), &[Field::Time]);
        mark(old.ts_event != new.ts_event, &[Field::EventUs]);
        mark(old.ts_recv != new.ts_recv, &[Field::RecvUs]);
        any
    }

    /// The version at which any of these fields changed last: the `id` of a message that holds them. `version`
    /// and `sent_us` are about the message, not the symbol, and never are the reason for one.
    pub fn newest(&self, fields: FieldSet) -> u64 {
        fields.iter().map(|field| self.0[field as usize]).max().unwrap_or(0)
    }
}

fn same_text(a: Option<tickcast_feeds::Price>, b: Option<tickcast_feeds::Price>) -> bool {
    a == b && a.map(|p| p.get().scale()) == b.map(|p| p.get().scale())
}

fn same_size(a: Option<tickcast_feeds::Size>, b: Option<tickcast_feeds::Size>) -> bool {
    a == b && a.map(|s| s.get().scale()) == b.map(|s| s.get().scale())
}

/// Writes the chosen fields of a ticker as one JSON object.
pub fn write_json(
    out: &mut BytesMut,
    fields: FieldSet,
    entry: &Entry,
    ticker: &Ticker,
    version: u64,
    now: UnixNanos,
) {
    out.put_u8(b'{');
    for (position, field) in fields.iter().enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        out.put_u8(b'"');
        out.put_slice(field.name().as_bytes());
        out.put_slice(b"\":");
        write_field(out, field, entry, ticker, version, now);
    }
    out.put_u8(b'}');
}

fn write_field(
    out: &mut BytesMut,
    field: Field,
    entry: &Entry,
    ticker: &Ticker,
    version: u64,
    now: UnixNanos,
) {
    let (top, figures) = (&ticker.top, &ticker.figures);
    match field {
        // Symbols, currencies and venue names hold no character that JSON escapes: the config checks it.
        Field::Symbol => text(out, &entry.symbol),
        Field::Price => decimal(out, ticker.price.map(tickcast_feeds::Price::get)),
        Field::Bid => decimal(out, top.bid.map(tickcast_feeds::Price::get)),
        Field::Ask => decimal(out, top.ask.map(tickcast_feeds::Price::get)),
        Field::BidSize => decimal(out, top.bid_size.map(tickcast_feeds::Size::get)),
        Field::AskSize => decimal(out, top.ask_size.map(tickcast_feeds::Size::get)),
        Field::Spread => decimal(out, ticker.spread()),
        Field::Mid => decimal(out, ticker.mid()),
        Field::Last => decimal(out, ticker.last.map(tickcast_feeds::Price::get)),
        Field::LastSize => decimal(out, ticker.last_size.map(tickcast_feeds::Size::get)),
        Field::Open => decimal(out, figures.open.map(tickcast_feeds::Price::get)),
        Field::High => decimal(out, figures.high.map(tickcast_feeds::Price::get)),
        Field::Low => decimal(out, figures.low.map(tickcast_feeds::Price::get)),
        Field::Volume => decimal(out, figures.volume.map(tickcast_feeds::Size::get)),
        Field::PrevClose => decimal(out, figures.prev_close.map(tickcast_feeds::Price::get)),
        Field::Change => decimal(out, ticker.change()),
        Field::ChangePct => decimal(out, ticker.change_pct()),
        Field::Currency => text(out, &entry.currency),
        Field::Class => text(out, class_name(entry.class)),
        Field::Venue => optional_text(out, ticker.venue.map(tickcast_feeds::Venue::name)),
        Field::Sources => sources(out, ticker, now),
        Field::Session => text(out, ticker.session.name()),
        Field::Status => text(out, ticker.status.name()),
        Field::Time => integer(out, ticker.time_ms()),
        Field::EventUs => integer(out, ticker.ts_event.map(UnixNanos::as_micros)),
        Field::RecvUs => integer(out, ticker.ts_recv.map(UnixNanos::as_micros)),
        Field::SentUs => integer(out, Some(now.as_micros())),
        Field::Version => {
            out.put_slice(itoa::Buffer::new().format(version).as_bytes());
        }
    }
}

/// The word for a class in messages.
pub fn class_name(class: Class) -> &'static str {
    match class {
        Class::Crypto => "crypto",
        Class::Stock => "stock",
    }
}

fn sources(out: &mut BytesMut, ticker: &Ticker, now: UnixNanos) {
    out.put_u8(b'[');
    for (position, source) in ticker.sources.iter().enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        out.put_slice(b"{\"venue\":");
        text(out, source.venue.name());
        out.put_slice(b",\"price\":");
        decimal(out, source.price.map(tickcast_feeds::Price::get));
        out.put_slice(b",\"age_ms\":");
        integer(out, source.ts_recv.map(|at| UnixNanos(now.0.saturating_sub(at.0)).as_millis().max(0)));
        out.put_slice(if source.part == Part::Used { b",\"used\":true" } else { b",\"used\":false" });
        if source.part != Part::Used {
            out.put_slice(b",\"reason\":");
            text(out, source.part.name());
        }
        out.put_u8(b'}');
    }
    out.put_u8(b']');
}

fn text(out: &mut BytesMut, value: &str) {
    out.put_u8(b'"');
    out.put_slice(value.as_bytes());
    out.put_u8(b'"');
}

fn optional_text(out: &mut BytesMut, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => out.put_slice(b"null"),
    }
}

fn integer(out: &mut BytesMut, value: Option<i64>) {
    match value {
        Some(value) => out.put_slice(itoa::Buffer::new().format(value).as_bytes()),
        None => out.put_slice(b"null"),
    }
}

/// A decimal as a JSON string, all its digits, no exponent.
fn decimal(out: &mut BytesMut, value: Option<Decimal>) {
    let Some(value) = value else { return out.put_slice(b"null") };
    out.put_u8(b'"');
    match u64::try_from(value.mantissa().unsigned_abs()) {
        Ok(mantissa) => plain(out, mantissa, value.scale() as usize, value.is_sign_negative()),
        // More than 19 digits: rare enough for the formatter.
        Err(_) => write!(out, "{value}").expect("a BytesMut grows"),
    }
    out.put_u8(b'"');
}

/// What `Decimal`'s own formatter prints, several times faster: most of a message is decimals.
fn plain(out: &mut BytesMut, mantissa: u64, scale: usize, negative: bool) {
    const ZEROS: &[u8; 29] = b"00000000000000000000000000000";
    if negative && mantissa != 0 {
        out.put_u8(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(mantissa).as_bytes();
    if scale == 0 {
        out.put_slice(digits);
    } else if digits.len() > scale {
        let (whole, decimals) = digits.split_at(digits.len() - scale);
        out.put_slice(whole);
        out.put_u8(b'.');
        out.put_slice(decimals);
    } else {
        out.put_slice(b"0.");
        out.put_slice(&ZEROS[..scale - digits.len()]);
        out.put_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(value: Decimal) -> String {
        let mut out = BytesMut::new();
        decimal(&mut out, Some(value));
        String::from_utf8(out.to_vec()).expect("text")
    }

    proptest! {
        #[test]
        fn m45_decimals_print_as_the_library_prints_them(mantissa in any::<i128>(), scale in 0_u32..=28) {
            let value = Decimal::from_i128_with_scale(mantissa >> 33, scale);
            prop_assert_eq!(printed(value), format!("\"{value}\""));
            let short = Decimal::new((mantissa & 0xFFFF_FFFF) as i64, scale);
            prop_assert_eq!(printed(short), format!("\"{short}\""));
        }
    }

    #[test]
    fn trailing_zeros_stay_and_zero_has_no_sign() {
        assert_eq!(printed(Decimal::new(10010, 2)), "\"100.10\"");
        assert_eq!(printed(Decimal::new(1, 8)), "\"0.00000001\"");
        assert_eq!(printed(Decimal::new(-8121, 1)), "\"-812.1\"");
    }

    #[test]
    fn fields_keep_the_order_of_the_table_and_symbol_is_always_there() {
        let set = FieldSet::parse("status, price").expect("known");
        assert_eq!(set.iter().map(Field::name).collect::<Vec<_>>(), ["symbol", "price", "status"]);
        assert_eq!(FieldSet::parse("price,prise"), Err(UnknownField("prise".to_owned())));
    }
}

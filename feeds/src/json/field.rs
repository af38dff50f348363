//! One field of a frame, read as what a codec needs: a price or an id or a time, with its name in every refusal.

use std::borrow::Cow;

use super::{Cursor, Value, unescape};
use crate::number::parse_decimal;
use crate::{DecodeError, NumberError, Price, Side, Size, Top, TradeId, UnixNanos};

/// A field by its name, there or not. `null` is the same as not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'f> {
    name: &'static str,
    value: Option<Value<'f>>,
}

impl<'f> Field<'f> {
    #[inline]
    pub(super) fn absent(name: &'static str) -> Self {
        Self { name, value: None }
    }

    pub(super) fn new(name: &'static str, value: Value<'f>) -> Self {
        Self { name, value: Some(value) }
    }

    /// Gives it a value; returns the one that it had.
    #[inline]
    pub(super) fn replace(&mut self, value: Value<'f>) -> Option<Value<'f>> {
        self.value.replace(value)
    }

    pub(crate) fn is_there(self) -> bool {
        !matches!(self.value, None | Some(Value::Null))
    }

    /// Whether the venue wrote `null`.
    pub(crate) fn is_null(self) -> bool {
        self.value == Some(Value::Null)
    }

    /// A text; `None` where there is none.
    #[inline]
    pub(crate) fn text_if_any(self) -> Result<Option<Cow<'f, str>>, DecodeError> {
        match self.value {
            Some(Value::Text(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(Value::Escaped(quoted)) => {
                unescape(quoted).map(|t| Some(Cow::Owned(t))).ok_or(self.unknown())
            }
            None | Some(Value::Null) => Ok(None),
            _ => Err(self.unknown()),
        }
    }

    /// A text that must be there and not be empty.
    #[inline]
    pub(crate) fn text(self) -> Result<Cow<'f, str>, DecodeError> {
        self.text_if_any()?.filter(|text| !text.is_empty()).ok_or(DecodeError::Missing { field: self.name })
    }

    #[inline]
    pub(crate) fn bool_if_any(self) -> Result<Option<bool>, DecodeError> {
        match self.value {
            Some(Value::Bool(value)) => Ok(Some(value)),
            None | Some(Value::Null) => Ok(None),
            _ => Err(self.unknown()),
        }
    }

    /// Who crossed the spread, in the words of most venues; `None` where nobody is named.
    #[inline]
    pub(crate) fn side_if_any(self) -> Result<Option<Side>, DecodeError> {
        match self.text_if_any()?.as_deref() {
            None => Ok(None),
            Some("buy" | "BUY") => Ok(Some(Side::Buy)),
            Some("sell" | "SELL") => Ok(Some(Side::Sell)),
            Some(_) => Err(self.unknown()),
        }
    }

    /// A price, as JSON number or as text; `None` where there is none and where it says "no price".
    #[inline]
    pub(crate) fn price_if_any(self) -> Result<Option<Price>, DecodeError> {
        match self.number_text()? {
            Some(text) => Price::parse(text).map_err(|source| self.no_number(source)),
            None => Ok(None),
        }
    }

    /// A price that must be there.
    #[inline]
    pub(crate) fn price(self) -> Result<Price, DecodeError> {
        self.price_if_any()?.ok_or(DecodeError::Missing { field: self.name })
    }

    /// A price whose field must be there; `None` where it says "no price".
    #[inline]
    pub(crate) fn price_if_there(self) -> Result<Option<Price>, DecodeError> {
        if self.value.is_some() {
            self.price_if_any()
        } else {
            Err(DecodeError::Missing { field: self.name })
        }
    }

    /// An amount, as JSON number or as text; `None` where there is none and where it is zero.
    #[inline]
    pub(crate) fn size_if_any(self) -> Result<Option<Size>, DecodeError> {
        match self.number_text()? {
            Some(text) => Size::parse(text).map_err(|source| self.no_number(source)),
            None => Ok(None),
        }
    }

    /// Any decimal, zero and below too.
    pub(crate) fn decimal_if_any(self) -> Result<Option<rust_decimal::Decimal>, DecodeError> {
        match self.number_text()? {
            Some(text) => parse_decimal(text).map_err(|source| self.no_number(source)),
            None => Ok(None),
        }
    }

    /// A whole number of at most 19 digits, as JSON number or as text.
    #[inline]
    pub(crate) fn integer_if_any(self) -> Result<Option<i64>, DecodeError> {
        match self.number_text()? {
            Some(text) => text.parse().map(Some).map_err(|_| self.no_number(NumberError::Malformed)),
            None => Ok(None),
        }
    }

    /// A trade's id: digits. `None` where there is none and where it is negative (Binance: no trade yet).
    #[inline]
    pub(crate) fn id_if_any(self) -> Result<Option<TradeId<'f>>, DecodeError> {
        match self.number_text()? {
            None => Ok(None),
            Some(text) if text.starts_with('-') => Ok(None),
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Some(TradeId(Cow::Borrowed(text))))
            }
            Some(_) => Err(self.unknown()),
        }
    }

    /// An RFC 3339 time; `None` where there is none and where it is none: 1970 and the year 1 are how venues
    /// say so.
    #[inline]
    pub(crate) fn time_if_any(self) -> Result<Option<UnixNanos>, DecodeError> {
        match self.value {
            Some(Value::Text(text)) => Ok(UnixNanos::from_rfc3339(text).filter(|time| time.0 > 0)),
            None | Some(Value::Null) => Ok(None),
            _ => Err(self.unknown()),
        }
    }

    /// Milliseconds since 1970 as a time.
    #[inline]
    pub(crate) fn millis_if_any(self) -> Result<Option<UnixNanos>, DecodeError> {
        self.epoch(1_000_000)
    }

    /// Microseconds since 1970 as a time.
    #[inline]
    pub(crate) fn micros_if_any(self) -> Result<Option<UnixNanos>, DecodeError> {
        self.epoch(1_000)
    }

    /// Nanoseconds since 1970 as a time.
    #[inline]
    pub(crate) fn nanos_if_any(self) -> Result<Option<UnixNanos>, DecodeError> {
        self.epoch(1)
    }

    /// Best bid, its size, best ask, its size, as the top of a book that a summary carries whole. `None` where it
    /// does not have both sides; a side that is there and zero is empty.
    #[inline]
    pub(crate) fn top([bid, bid_size, ask, ask_size]: [Self; 4]) -> Result<Option<Top>, DecodeError> {
        let top = Top {
            bid: bid.price_if_any()?,
            bid_size: bid_size.size_if_any()?,
            ask: ask.price_if_any()?,
            ask_size: ask_size.size_if_any()?,
        };
        Ok((bid.is_there() && ask.is_there()).then_some(top))
    }

    /// One side of a book, `[[price, size, …], …]` from the best on, as its best price and the size there. `None`
    /// where the side is empty.
    #[inline]
    pub(crate) fn best(self) -> Result<(Option<Price>, Option<Size>), DecodeError> {
        let mut side = self.nested()?;
        side.array()?;
        if !side.element()? {
            return Ok((None, None));
        }
        side.array()?;
        let mut next = || if side.element()? { Ok(side.field(self.name)?) } else { Err(self.unknown()) };
        Ok((next()?.price_if_any()?, next()?.size_if_any()?))
    }

    /// Calls `read` with each element of a list of short texts or numbers, as it stands in the frame. Nothing
    /// where there is no list.
    #[inline]
    pub(crate) fn each_word(self, mut read: impl FnMut(&str)) -> Result<(), DecodeError> {
        let Some(mut list) = self.nested_if_any()? else { return Ok(()) };
        list.array()?;
        while list.element()? {
            match list.value()? {
                Value::Text(word) | Value::Number(word) => read(word),
                // Whatever it says, no table has it.
                Value::Escaped(quoted) => read(quoted),
                _ => return Err(self.unknown()),
            }
        }
        Ok(())
    }

    /// Where to read an object or array; `None` where there is none.
    pub(crate) fn nested_if_any(self) -> Result<Option<Cursor<'f>>, DecodeError> {
        match self.value {
            Some(Value::Nested(text)) => Ok(Some(Cursor::new(text))),
            None | Some(Value::Null) => Ok(None),
            _ => Err(self.unknown()),
        }
    }

    /// Where to read an object or array that must be there.
    pub(crate) fn nested(self) -> Result<Cursor<'f>, DecodeError> {
        self.nested_if_any()?.ok_or(DecodeError::Missing { field: self.name })
    }

    /// It has a value that it may not have.
    #[cold]
    pub(crate) fn unknown(self) -> DecodeError {
        DecodeError::Value { field: self.name }
    }

    /// A time of so many units of that many nanoseconds. `None` where it is before 2001: no venue is that old,
    /// so it is a zero, a digit too few or another unit.
    #[inline]
    fn epoch(self, nanos: i64) -> Result<Option<UnixNanos>, DecodeError> {
        const MIN: i64 = 1_000_000_000_000_000_000;
        let time = match self.number_text()? {
            None | Some("") => None,
            Some(text) => {
                let units: i64 = text.parse().map_err(|_| self.no_number(NumberError::Malformed))?;
                units.checked_mul(nanos).filter(|&time| time >= MIN)
            }
        };
        Ok(time.map(UnixNanos))
    }

    #[cold]
    fn no_number(self, source: NumberError) -> DecodeError {
        DecodeError::Number { field: self.name, source }
    }

    #[inline]
    fn number_text(self) -> Result<Option<&'f str>, DecodeError> {
        match self.value {
            Some(Value::Text(text) | Value::Number(text)) => Ok(Some(text)),
            None | Some(Value::Null) => Ok(None),
            // An escaped digit is nothing that a venue writes.
            _ => Err(self.no_number(NumberError::Malformed)),
        }
    }
}

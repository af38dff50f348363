//! Prices and sizes, exact from the venue's text.
//!
//! The digits are kept as they were written (`100.10` stays `100.10`), exponents are read and never printed,
//! and a number that does not fit 96 bits and 28 decimals is refused, never rounded.

use std::fmt;

use rust_decimal::Decimal;

/// The largest mantissa that a [`Decimal`] holds.
const MANTISSA_MAX: u128 = (1 << 96) - 1;
/// The most decimals that a [`Decimal`] holds.
const SCALE_MAX: i64 = 28;
/// Longer texts are refused unread. The longest number seen in a real frame has 30 characters.
const TEXT_MAX: usize = 128;

/// Units of the quote currency for one unit of the base.
///
/// Invariant: greater than zero. Zero and below is how venues say "no price", so it is no `Price`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(Decimal);

/// An amount of the base: coins, shares.
///
/// Invariant: greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(Decimal);

/// Why a text is no number that we can hold exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Something else than digits, one point and an exponent.
    #[error("not a decimal number")]
    Malformed,
    /// More than 96 bits of digits or more than 28 decimals: it could only be kept rounded.
    #[error("more digits than an exact 96-bit decimal holds")]
    Overflow,
}

macro_rules! positive {
    ($name:ident) => {
        impl $name {
            /// Returns the value, or `None` where it is zero or below.
            pub fn new(value: Decimal) -> Option<Self> {
                (value > Decimal::ZERO).then_some(Self(value))
            }

            /// Reads a decimal text, with or without an exponent. `None` where the text is empty, `NaN`, zero
            /// or negative: the venue's ways to say that there is no value.
            ///
            /// # Errors
            ///
            /// [`NumberError`] where it is no number, or one that would have to be rounded.
            pub fn parse(text: &str) -> Result<Option<Self>, NumberError> {
                Ok(parse_decimal(text)?.and_then(Self::new))
            }

            /// The value.
            pub fn get(self) -> Decimal {
                self.0
            }
        }

        /// Plain digits, never an exponent.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

positive!(Price);
positive!(Size);

impl Price {
    /// This price less a change: what it was before. `None` where that is none, or cannot be held exactly.
    pub(crate) fn less(self, change: Decimal) -> Option<Self> {
        let before = self.0.checked_sub(change)?;
        let exact = before.scale() >= self.0.scale().max(change.scale());
        if exact { Self::new(before) } else { None }
    }
}

/// Reads a decimal text exactly, with its trailing zeros. `None` where it is empty or a `NaN`.
///
/// # Errors
///
/// [`NumberError`] where it is no number, or one that would have to be rounded.
pub fn parse_decimal(text: &str) -> Result<Option<Decimal>, NumberError> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    if bytes.len() > TEXT_MAX {
        return Err(NumberError::Overflow);
    }
    let (negative, digits) = match bytes[0] {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    // The common case: at most 19 digits, so they fit a u64 and nothing can overflow.
    if digits.len() <= 19
        && let Some((mantissa, scale)) = short(digits)
    {
        return Ok(Some(from_parts(u128::from(mantissa), scale, negative)));
    }
    let (mantissa, scale) = long(digits)?;
    Ok(Some(from_parts(mantissa, scale, negative)))
}

/// Digits with at most one point among at most 19 bytes. `None` sends the caller to [`long`].
fn short(bytes: &[u8]) -> Option<(u64, u32)> {
    let (mut mantissa, mut scale, mut point, mut any) = (0_u64, 0_u32, false, false);
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
            scale += u32::from(point);
            any = true;
        } else if byte == b'.' && !point {
            point = true;
        } else {
            return None;
        }
    }
    any.then_some((mantissa, scale))
}

/// Any length, with an exponent. Zeros at the end of the decimals are given up where the number fits only
/// without them; everything else that does not fit is an error.
fn long(bytes: &[u8]) -> Result<(u128, u32), NumberError> {
    let end = bytes.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(bytes.len());
    let exponent = if end < bytes.len() { parse_exponent(&bytes[end + 1..])? } else { 0 };
    let (mut mantissa, mut scale, mut point, mut any) = (0_u128, -exponent, false, false);
    // Zeros not yet multiplied into the mantissa: they may turn out to be the end.
    let mut zeros = 0_u32;
    for &byte in &bytes[..end] {
        match byte {
            b'0'..=b'9' => {
                any = true;
                scale += i64::from(point);
                if byte == b'0' {
                    zeros += u32::from(mantissa != 0);
                } else {
                    mantissa = push(mantissa, zeros, u128::from(byte - b'0'))?;
                    zeros = 0;
                }
            }
            b'.' if !point => point = true,
            _ => return Err(NumberError::Malformed),
        }
    }
    if !any {
        return Err(NumberError::Malformed);
    }
    scale -= i64::from(zeros);
    // Give the zeros back as long as they fit, so that `1.50` stays `1.50`.
    while zeros > 0 && scale < SCALE_MAX && mantissa * 10 <= MANTISSA_MAX {
        (mantissa, scale, zeros) = (mantissa * 10, scale + 1, zeros - 1);
    }
    if mantissa == 0 {
        return Ok((0, u32::try_from(scale.clamp(0, SCALE_MAX)).unwrap_or(0)));
    }
    while scale < 0 {
        (mantissa, scale) = (push(mantissa, 0, 0)?, scale + 1);
    }
    if scale > SCALE_MAX {
        return Err(NumberError::Overflow);
    }
    Ok((mantissa, u32::try_from(scale).map_err(|_| NumberError::Overflow)?))
}

/// Appends `zeros` zeros and one digit.
fn push(mantissa: u128, zeros: u32, digit: u128) -> Result<u128, NumberError> {
    10_u128
        .checked_pow(zeros + 1)
        .and_then(|factor| mantissa.checked_mul(factor))
        .and_then(|larger| larger.checked_add(digit))
        .filter(|&larger| larger <= MANTISSA_MAX)
        .ok_or(NumberError::Overflow)
}

fn parse_exponent(bytes: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    // Three digits are beyond any decimal already; the cut keeps the loops above short.
    let value = digits.iter().fold(0_i64, |n, &b| (n * 10 + i64::from(b - b'0')).min(999));
    Ok(if negative { -value } else { value })
}

fn from_parts(mantissa: u128, scale: u32, negative: bool) -> Decimal {
    #[expect(clippy::cast_possible_truncation, reason = "three words of a mantissa below 2^96")]
    let (lo, mid, hi) = (mantissa as u32, (mantissa >> 32) as u32, (mantissa >> 64) as u32);
    Decimal::from_parts(lo, mid, hi, negative, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> Result<Option<String>, NumberError> {
        parse_decimal(input).map(|value| value.map(|v| v.to_string()))
    }

    fn same(input: &str, output: &str) {
        assert_eq!(text(input), Ok(Some(output.to_owned())), "{input}");
    }

    #[test]
    fn digits_stay_as_they_were_written() {
        for written in
            ["100.10", "0.00044780", "64311.0", "63510.15", "1", "0.1", "79228162514264337593543950335"]
        {
            same(written, written);
        }
        same("31901.40000000000000000000", "31901.40000000000000000000");
        same("0.12345678901234567890", "0.12345678901234567890");
        same("-1689.90", "-1689.90");
    }

    #[test]
    fn m45_m47_exponents_are_read_and_never_printed() {
        same("9.2E-7", "0.00000092");
        same("1e-08", "0.00000001");
        same("8.428e-05", "0.00008428");
        same("1e-18", "0.000000000000000001");
        same("1.5e3", "1500");
        same("1e28", "10000000000000000000000000000");
        same("0E-8", "0.00000000");
    }

    #[test]
    fn what_would_be_rounded_is_refused() {
        assert_eq!(text("79228162514264337593543950336"), Err(NumberError::Overflow));
        assert_eq!(text("0.00000000000000000000000000001"), Err(NumberError::Overflow));
        assert_eq!(text("1.23456789012345678901234567890123"), Err(NumberError::Overflow));
        assert_eq!(text("1e29"), Err(NumberError::Overflow));
        assert_eq!(text("1e-29"), Err(NumberError::Overflow));
        assert_eq!(text("1e999999999999999999999"), Err(NumberError::Overflow));
        assert_eq!(text(&"9".repeat(200)), Err(NumberError::Overflow));
    }

    #[test]
    fn zeros_that_do_not_fit_are_given_up_but_no_digit_is() {
        same("1.5000000000000000000000000000000000", "1.5000000000000000000000000000");
        same("10000000000000000000000000000.00", "10000000000000000000000000000");
        same("0.00000000000000000000000000000000", "0.0000000000000000000000000000");
        same("120000000000000000000e-30", "0.0000000001200000000000000000");
    }

    #[test]
    fn m56_zero_negative_empty_and_nan_are_no_value() {
        for none in ["", "0", "0.0", "-0", "-5.1", "NaN", "nan", "0E-8", "0.00000000"] {
            assert_eq!(Price::parse(none), Ok(None), "{none}");
            assert_eq!(Size::parse(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn what_is_no_number_is_said_to_be_none() {
        for bad in [
            "0.-10000", "1.2.3", "abc", ".", "-", "+", "1e", "1e+", "e5", "0x10", "1,5", " 1", "1 ",
            "Infinity", "١",
        ] {
            assert_eq!(text(bad), Err(NumberError::Malformed), "{bad}");
        }
    }
}

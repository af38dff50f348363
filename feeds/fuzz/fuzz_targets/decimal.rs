//! Numbers: what is read is exactly what is written, by the word of another implementation; what is refused could
//! not have been kept.

#![no_main]

use std::str::FromStr;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use libfuzzer_sys::fuzz_target;
use tickcast_feeds::NumberError;
use tickcast_feeds::number::parse_decimal;
use tickcast_feeds_fuzz::exact;

/// The most decimals that can be held.
const SCALE_MAX: i64 = 28;
/// Longer texts are refused unread.
const TEXT_MAX: usize = 128;

fuzz_target!(|text: &str| {
    match parse_decimal(text) {
        Ok(None) => assert!(text.is_empty() || text.eq_ignore_ascii_case("nan")),
        Ok(Some(value)) => {
            assert!(is_decimal(text), "`{text}` is no number and was read as {value}");
            let printed = value.to_string();
            assert!(printed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')), "{printed}");
            assert_eq!(
                BigDecimal::from_str(&printed).unwrap(),
                exact(text),
                "`{text}` was read as {printed}"
            );
            // Nor are the zeros at its end lost on the way out and in again.
            let again = parse_decimal(&printed).unwrap().unwrap();
            assert_eq!((again, again.scale()), (value, value.scale()), "{printed}");
            if let Some(written) = as_written(text) {
                assert_eq!(printed, written, "`{text}` has other digits");
            }
        }
        Err(NumberError::Malformed) => assert!(!is_decimal(text), "`{text}` is a number"),
        Err(NumberError::Overflow) => {
            assert!(text.len() > TEXT_MAX || !is_decimal(text) || !fits(&exact(text)), "`{text}` would fit");
        }
    }
});

/// `[+-] (digits [. [digits]] | . digits) [(e|E) [+-] digits]`
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = |text: &'_ str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(unsigned(exponent))),
        None => (text, None),
    };
    let number = unsigned(number);
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, ""));
    is_digits(whole)
        && is_digits(decimals)
        && whole.len() + decimals.len() > 0
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(&exponent))
}

/// Whether 96 bits and 28 decimals hold it.
fn fits(exact: &BigDecimal) -> bool {
    let (digits, scale) = exact.normalized().into_bigint_and_exponent();
    if digits == BigInt::from(0) {
        return true;
    }
    let zeros = u32::try_from((-scale).clamp(0, 100)).unwrap();
    scale <= SCALE_MAX && digits.magnitude() * BigInt::from(10).magnitude().pow(zeros) < (1_u128 << 96).into()
}

/// The digits as they are to be printed, where the text is plain and short enough to be kept to the last zero.
fn as_written(text: &str) -> Option<String> {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    if number.contains(['e', 'E']) || whole.len() + decimals.len() > 28 {
        return None;
    }
    let is_zero = whole.is_empty() && decimals.bytes().all(|byte| byte == b'0');
    let sign = if text.starts_with('-') && !is_zero { "-" } else { "" };
    let point = if decimals.is_empty() { "" } else { "." };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(format!("{sign}{whole}{point}{decimals}"))
}

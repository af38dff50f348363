//! Venue times as nanoseconds since 1970, whatever unit and notation the venue uses.

/// Nanoseconds since 1970-01-01T00:00:00Z. Covers the years 1678 to 2261.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// From whole seconds; `None` beyond the range.
    pub fn from_secs(secs: i64) -> Option<Self> {
        secs.checked_mul(1_000_000_000).map(Self)
    }

    /// From milliseconds; `None` beyond the range.
    pub fn from_millis(millis: i64) -> Option<Self> {
        millis.checked_mul(1_000_000).map(Self)
    }

    /// From microseconds; `None` beyond the range.
    pub fn from_micros(micros: i64) -> Option<Self> {
        micros.checked_mul(1_000).map(Self)
    }

    /// Whole milliseconds, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole microseconds, rounded down.
    pub fn as_micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Reads an RFC 3339 time with up to nine decimals of a second and `Z` or a numeric offset. `None` where
    /// the text is no such time, or one beyond the range (Coinbase's `0001-01-01` among them).
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20
            || bytes[4] != b'-'
            || bytes[7] != b'-'
            || !matches!(bytes[10], b'T' | b't' | b' ')
        {
            return None;
        }
        let year = digits(&bytes[0..4])?;
        let (month, day) = (digits(&bytes[5..7])?, digits(&bytes[8..10])?);
        let (hour, minute, second) =
            (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
        let separated = bytes[13] == b':' && bytes[16] == b':';
        // A leap second is written as :60; it is taken as the first of the next minute.
        if !separated
            || hour > 23
            || minute > 59
            || second > 60
            || day < 1
            || day > days_in_month(year, month)?
        {
            return None;
        }
        let (nanos, zone) = fraction(&bytes[19..])?;
        let offset = offset_secs(zone)?;
        let secs = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        secs.checked_mul(1_000_000_000)?.checked_add(nanos).map(Self)
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// The decimals of a second as nanoseconds, and what follows them.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = bytes.split_first() else { return Some((0, bytes)) };
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let nanos = digits(&rest[..len])? * 10_i64.pow(9 - u32::try_from(len).ok()?);
    Some((nanos, &rest[len..]))
}

fn offset_secs(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let secs = hours * 3_600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -secs } else { secs })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m55_no_digit_of_a_time_is_lost() {
        let cases = [
            ("2026-07-07T22:58:31.650548Z", 1_783_465_111_650_548_000),
            ("2026-09-25T17:48:26.844359566Z", 1_790_358_506_844_359_566),
            ("2019-01-30T13:33:45.383129126-05:00", 1_548_873_225_383_129_126),
            ("2023-04-06T13:15:42.83540958Z", 1_680_786_942_835_409_580),
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1),
        ];
        for (text, nanos) in cases {
            assert_eq!(UnixNanos::from_rfc3339(text), Some(UnixNanos(nanos)), "{text}");
        }
    }

    #[test]
    fn m50_what_is_no_time_is_none() {
        for text in [
            "",
            "0001-01-01T00:00:00.000000Z",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-07-07T24:00:00Z",
            "2026-07-07T22:58:31",
            "2026-07-07T22:58:31.Z",
            "2026-07-07T22:58:31.1234567890Z",
            "2026/07/07T22:58:31Z",
            "2026-07-07T22:58:31+0500",
            "2026-07-07T22:58:31+24:00",
            "2026-07-07T22:58:31-05:60",
            "١٩٧٠-01-01T00:00:00Z",
            "2026-07-0722:58:31.000000000Z",
        ] {
            assert_eq!(UnixNanos::from_rfc3339(text), None, "{text}");
        }
    }
}

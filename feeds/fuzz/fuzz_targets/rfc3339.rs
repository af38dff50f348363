//! Times: what is read is the moment that another implementation reads, to the nanosecond, and no time that it
//! reads is refused.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tickcast_feeds::UnixNanos;

fuzz_target!(|text: &str| {
    let ours = UnixNanos::from_rfc3339(text);
    if ours.is_some() {
        assert!(is_rfc3339(text), "`{text}` is no time and was read as {ours:?}");
    }
    // Ours holds whole years only.
    if !is_rfc3339(text) || !(1678..2262).contains(&text[..4].parse().unwrap_or(0)) {
        return;
    }
    // A leap second is the first of the next minute to us and the one before to the other.
    let is_leap = &text[17..19] == "60";
    let other = text.parse::<Timestamp>().ok().and_then(|time| {
        let nanos = time.as_nanosecond();
        i64::try_from(if is_leap { nanos + 1_000_000_000 } else { nanos }).ok()
    });
    // The other one gives a leap second no decimals.
    if is_leap && text.as_bytes()[19] == b'.' {
        assert_eq!(ours.is_some(), other.is_some(), "`{text}`");
    } else {
        assert_eq!(ours.map(|time| time.0), other, "`{text}`");
    }
});

/// The form alone: which days a month has is for the two to agree on.
fn is_rfc3339(text: &str) -> bool {
    let Some((clock, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let form = b"0000-00-00T00:00:00";
    let is_clock = clock.iter().zip(form).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    });
    let zone = match rest.strip_prefix(b".") {
        Some(rest) => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if len == 0 || len > 9 {
                return false;
            }
            &rest[len..]
        }
        None => rest,
    };
    let is_zone = match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', hours @ .., b':', minutes_1, minutes_2] => {
            let minutes = [*minutes_1, *minutes_2];
            hours.len() == 2
                && hours.iter().chain(&minutes).all(u8::is_ascii_digit)
                && hours < b"24".as_slice()
                && minutes[0] < b'6'
        }
        _ => false,
    };
    is_clock && is_zone
}

//! What the fuzz targets of the codecs share: a *session*, several frames to one codec, and what must hold after
//! each of them. One frame alone would never reach what a codec remembers: channels, trade ids, halts.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use tickcast_feeds::{
    Codec, Event, Events, Frame, Price, Quote, Size, Summary, Top, Trade, UnixNanos, Venue,
};

/// What a binary frame starts with in a session; the byte itself is no part of the frame.
const BINARY: u8 = 0x01;

/// Feeds a session to a codec of the venue: one frame a line. A line that starts with 0x01, or is no UTF-8, is a
/// binary frame. Longer frames than the profile allows are left out, as a connection does.
///
/// # Panics
///
/// Where the codec breaks its word.
pub fn session(venue: Venue, input: &[u8]) {
    let (Some(profile), Some(mut codec), Some(mut other)) = (venue.profile(), venue.codec(), venue.codec())
    else {
        return;
    };
    begin(&mut *codec);
    begin(&mut *other);
    for line in input.split(|&byte| byte == b'\n').filter(|line| line.len() <= profile.frame_bytes_max) {
        let frame = match line.split_first() {
            Some((&BINARY, rest)) => Frame::Binary(rest),
            _ => std::str::from_utf8(line).map_or(Frame::Binary(line), Frame::Text),
        };
        let Some(events) = decoded(venue, &mut *codec, frame) else { continue };
        // The other one never saw the refused frames. A refused frame costs itself and nothing else, so both say
        // the same.
        let same = decoded(venue, &mut *other, frame);
        assert_eq!(Some(&events), same.as_ref(), "a refused frame before changed what {frame:?} means");
    }
}

fn begin(codec: &mut dyn Codec) {
    let _ = codec.authenticate("key", "secret");
    let _ = codec.subscribe(&["BTC-USD", "tBTCUSD", "AAPL"]);
}

/// The frame's events as text; `None` where it was refused.
fn decoded(venue: Venue, codec: &mut dyn Codec, frame: Frame<'_>) -> Option<Vec<String>> {
    let len = match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) => bytes.len(),
    };
    let mut events = Events::default();
    events.push(Event::Reconnect);
    let result = codec.decode(frame, UnixNanos(1_790_000_000_000_000_000), &mut events);
    assert_eq!(events.iter().next(), Some(&Event::Reconnect), "what was there before is gone");
    if let Err(error) = result {
        assert_eq!(events.len(), 1, "half an answer beside `{error}`");
        return None;
    }
    events.iter().skip(1).for_each(|event| check(venue, event));
    if let Some(digits) = digits_of(frame) {
        for price in events.iter().flat_map(told_prices) {
            let printed = price.get().mantissa().to_string();
            assert!(digits.contains(printed.trim_end_matches('0')), "{price} is not in {frame:?}");
        }
    }
    // Beside what the frame has, a frame may tell a gap of each instrument that the codec knows.
    let made = events.iter().filter(|event| !matches!(event, Event::Gap { .. })).count() - 1;
    assert!(made <= len, "{made} events of {len} bytes");
    Some(events.iter().skip(1).map(|event| format!("{event:?}")).collect())
}

/// The frame without points, so that the digits of each number in it stand together; `None` where an escape may
/// hide one.
fn digits_of(frame: Frame<'_>) -> Option<String> {
    let text = match frame {
        Frame::Text(text) => text,
        Frame::Binary(bytes) => std::str::from_utf8(bytes).ok()?,
    };
    (!text.contains('\\')).then(|| text.replace('.', ""))
}

/// The prices that a venue tells itself; what is worked out from a change is not among them.
fn told_prices(event: &Event<'_>) -> Vec<Price> {
    match event {
        Event::Trade(trade) => vec![trade.price],
        Event::Quote(quote) => [quote.bid, quote.ask].into_iter().flatten().collect(),
        Event::Summary(Summary { last, high, low, top, .. }) => {
            let (bid, ask) = top.map_or((None, None), |top| (top.bid, top.ask));
            [*last, *high, *low, bid, ask].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

fn check(venue: Venue, event: &Event<'_>) {
    match event {
        Event::Trade(trade) => check_trade(venue, trade),
        Event::Quote(Quote { wire, bid, bid_size, ask, ask_size, ts_event, .. }) => {
            check_wire(venue, wire);
            check_time(*ts_event);
            check_top(Top { bid: *bid, bid_size: *bid_size, ask: *ask, ask_size: *ask_size });
        }
        Event::Summary(summary) => check_summary(venue, summary),
        Event::Status(status) => {
            check_wire(venue, &status.wire);
            check_time(status.ts_event);
        }
        Event::Undone(undone) => {
            check_wire(venue, &undone.wire);
            check_time(undone.ts_event);
            undone.price.into_iter().for_each(check_price);
            undone.size.into_iter().for_each(check_size);
            undone.correction.iter().for_each(|trade| check_trade(venue, trade));
        }
        Event::Gap { wire, missing } => {
            check_wire(venue, wire);
            assert_ne!(*missing, Some(0), "a gap of nothing");
        }
        Event::Acknowledged { wire } | Event::Refused { wire, .. } => {
            wire.iter().for_each(|wire| drop(venue.pair(wire)));
        }
        Event::Reply(text) => assert!(!text.is_empty()),
        Event::Authenticated | Event::Reconnect => {}
    }
}

fn check_trade(venue: Venue, trade: &Trade<'_>) {
    check_wire(venue, &trade.wire);
    check_time(trade.ts_event);
    check_price(trade.price);
    trade.size.into_iter().for_each(check_size);
}

fn check_summary(venue: Venue, summary: &Summary<'_>) {
    let Summary { wire, last, last_size, top, open, high, low, volume, prev_close, ts_event, .. } = summary;
    check_wire(venue, wire);
    check_time(*ts_event);
    [*last, *open, *high, *low, *prev_close].into_iter().flatten().for_each(check_price);
    [*last_size, *volume].into_iter().flatten().for_each(check_size);
    top.iter().copied().for_each(check_top);
}

fn check_top(top: Top) {
    [top.bid, top.ask].into_iter().flatten().for_each(check_price);
    [top.bid_size, top.ask_size].into_iter().flatten().for_each(check_size);
}

fn check_price(price: Price) {
    assert!(Price::new(price.get()).is_some(), "{price} is no price");
    assert_eq!(Price::parse(&price.to_string()), Ok(Some(price)), "{price} does not read back");
}

fn check_size(size: Size) {
    assert!(Size::new(size.get()).is_some(), "{size} is no size");
    assert_eq!(Size::parse(&size.to_string()), Ok(Some(size)), "{size} does not read back");
}

/// No venue is older than 1970: zero and below is how some say "no time".
fn check_time(time: Option<UnixNanos>) {
    assert!(time.is_none_or(|time| time.0 > 0), "{time:?} is no time");
}

/// A tick without a name could be anybody's. Whether the name is one is for [`Venue::pair`] to say.
fn check_wire(venue: Venue, wire: &str) {
    assert!(!wire.is_empty(), "a tick of no instrument");
    if let Some(pair) = venue.pair(wire) {
        assert!(!pair.base.is_empty(), "`{wire}` has no base");
        assert_ne!(pair.quote.as_deref(), Some(""), "`{wire}` has no quote");
    }
}

/// A decimal text as a number of any size, by another implementation. An exponent of more than four digits stands for
/// one that is beyond any decimal just the same.
///
/// # Panics
///
/// Where the text is no decimal.
pub fn exact(text: &str) -> BigDecimal {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let beyond = if exponent.starts_with('-') { -9_999 } else { 9_999 };
    let exponent = exponent.parse::<i64>().unwrap_or(beyond).clamp(-9_999, 9_999);
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = BigInt::from_str(&format!("{sign}0{whole}{decimals}"));
    BigDecimal::new(digits.expect("digits"), i64::try_from(decimals.len()).expect("a short text") - exponent)
}

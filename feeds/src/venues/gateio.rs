//! Gate.io v4 spot: channels `spot.trades` (every trade), `spot.book_ticker` (the top of the book) and
//! `spot.tickers` (the 24 h figures, once a second). Futures have another address and the same names; their
//! channels, and the socket v3, are not read.
//!
//! The venue's own pages could not be read. Facts are from clients (tardis-node, ccxt, gocryptotrader, read
//! 2026-07), an answer of its maintainers (gateio/gatews#25, 2022) and recordings of 2021 to 2026.

use std::borrow::Cow;
use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Summary, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::GateIo,
    urls: &["wss://api.gateio.ws/ws/v4/"],
    // No limit (2022). Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: the channels used send frames below 1 KB.
    frame_bytes_max: 1 << 20,
    // No limit either. Our choice: all of a connection is subscribed within 12 s.
    pace: Pace { frames: 50, window: Duration::from_secs(1) },
    // Protocol pings are enough; `spot.ping` is there for clients that cannot send those.
    ping: Ping::Protocol { every: Duration::from_secs(15) },
    lifetime: None,
    // Our choice: the tickers of any busy pair change each second.
    silence_max: Duration::from_secs(30),
};

const CHANNELS: [&str; 3] = ["spot.trades", "spot.book_ticker", "spot.tickers"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct GateIo;

impl Codec for GateIo {
    /// One pair a frame: a pair that the venue does not know refuses its whole frame. Without a time, which a
    /// codec has none of: a project on GitHub saw that accepted on 2026-09-02, no recording here shows it.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |wire: &str, channel: &str| {
            serde_json::json!({"channel": channel, "event": "subscribe", "payload": [wire]}).to_string()
        };
        wires.iter().flat_map(|wire| CHANNELS.map(|channel| frame(wire, channel))).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        let cursor = Cursor::new(text);
        let (channel, event) = kind(cursor)?;
        let before = events.len();
        let decoded = match (event.as_deref(), channel.as_ref()) {
            (Some("subscribe"), _) => answered(cursor, events),
            (Some("update"), "spot.trades") => result(cursor, |row| trade(row, events)),
            (Some("update"), "spot.book_ticker") => result(cursor, |row| quote(row, events)),
            (Some("update"), "spot.tickers") => {
                // The row has no time of its own; the milliseconds came after 2021.
                let [millis] = cursor.first(["time_ms"])?;
                let [secs] = cursor.first(["time"])?;
                let ts_event = match millis.millis_if_any()? {
                    None => secs.integer_if_any()?.filter(|&secs| secs > 0).and_then(UnixNanos::from_secs),
                    millis => millis,
                };
                result(cursor, |row| summary(row, ts_event, events))
            }
            // Books, candles, pongs.
            _ => Ok(()),
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

/// Looks ahead for the channel and the event, which come before the rest.
#[inline]
fn kind(mut cursor: Cursor<'_>) -> Result<(Cow<'_, str>, Option<Cow<'_, str>>), DecodeError> {
    let (mut channel, mut event) = (None, None);
    cursor.object()?;
    while channel.is_none() || event.is_none() {
        match cursor.key()? {
            Some(key) if key.is("channel") => channel = cursor.field("channel")?.text_if_any()?,
            Some(key) if key.is("event") => event = cursor.field("event")?.text_if_any()?,
            Some(_) => _ = cursor.value()?,
            None => break,
        }
    }
    Ok((channel.ok_or(DecodeError::Missing { field: "channel" })?, event))
}

/// Calls `read` where the result starts; it must take that whole.
#[inline]
fn result<'f>(
    mut cursor: Cursor<'f>,
    read: impl FnMut(&mut Cursor<'f>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let found = cursor.within("result", read)?;
    cursor.end()?;
    if found { Ok(()) } else { Err(DecodeError::Missing { field: "result" }) }
}

/// The ids count all pairs (2021), so a jump of them is no gap. What `id_market` counts is not known.
fn trade<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [id, time, taker, wire, size, price] =
        row.pick(["id", "create_time_ms", "side", "currency_pair", "amount", "price"])?;
    events.push(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: taker.side_if_any()?,
        id: id.id_if_any()?,
        ts_event: fine_millis(time)?,
        backfill: false,
        moves: Moves::ALL,
    }));
    Ok(())
}

fn quote<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [time, sequence, wire, bid, bid_size, ask, ask_size] =
        row.pick(["t", "u", "s", "b", "B", "a", "A"])?;
    events.push(Event::Quote(Quote {
        wire: wire.text()?,
        bid: bid.price_if_there()?,
        bid_size: bid_size.size_if_any()?,
        ask: ask.price_if_there()?,
        ask_size: ask_size.size_if_any()?,
        sequence: sequence.integer_if_any()?.and_then(|number| number.try_into().ok()),
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

/// It has a bid and an ask too. They are left out: without sizes and up to a second old they could only spoil
/// those of `spot.book_ticker`. The change is a rounded percentage: no exact price can be had from it.
fn summary<'f>(
    row: &mut Cursor<'f>,
    ts_event: Option<UnixNanos>,
    events: &mut Events<'f>,
) -> Result<(), DecodeError> {
    let [wire, last, volume, high, low] =
        row.pick(["currency_pair", "last", "base_volume", "high_24h", "low_24h"])?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: None,
        aggressor: None,
        id: None,
        top: None,
        open: None,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close: None,
        ts_event,
    }));
    Ok(())
}

/// Milliseconds with a fraction, as a text: `"1790359171119.653000"`.
fn fine_millis(field: Field<'_>) -> Result<Option<UnixNanos>, DecodeError> {
    let nanos = field.decimal_if_any()?.and_then(|millis| millis.checked_mul(Decimal::from(1_000_000)));
    Ok(nanos.and_then(|nanos| nanos.to_i64()).filter(|&nanos| nanos > 0).map(UnixNanos))
}

/// The answer to a subscription. Later ones repeat its payload, those of 2021 do not. The one refusal recorded is
/// of the futures socket.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [channel, payload, error] = cursor.pick(["channel", "payload", "error"])?;
    cursor.end()?;
    let mut wire = None;
    if let Some(mut payload) = payload.nested_if_any()? {
        payload.array()?;
        if payload.element()? {
            wire = Some(payload.field("payload")?.text()?);
        }
    }
    if let Some(mut error) = error.nested_if_any()? {
        let [message] = error.pick(["message"])?;
        let reason = message.text()?;
        // The venue's words in tardis-node's tests: "unknown currency pair: X".
        let named = reason.strip_prefix("unknown currency pair: ");
        let wire = wire.or_else(|| named.map(|wire| Cow::Owned(wire.to_owned())));
        events.push(Event::Refused { wire, reason });
    } else if channel.text()? == "spot.trades" {
        // One of the three is told.
        events.push(Event::Acknowledged { wire });
    }
    Ok(())
}

/// Splits `BTC_USDT`.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('_')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('_');
    whole.then(|| Pair::new(base, quote))
}

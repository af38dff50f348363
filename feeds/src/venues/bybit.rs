//! Bybit spot, WebSocket v5: channels `publicTrade` (every trade), `orderbook.1` (the top of the book) and
//! `tickers` (the 24 h figures; on the spot socket without bid and ask).
//!
//! Facts without another source are from the venue's repository `bybit-exchange/docs`, docs/v5, read 2026-07.

use std::time::Duration;

use crate::json::{Cursor, Field, JsonError};
use crate::{
    Codec, DecodeError, Event, Events, Frame, LastKind, Moves, Pace, Pair, Ping, Profile, Quote, Side,
    Summary, Trade, TradeId, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Bybit,
    // Some countries have hosts of their own (`stream.bybit.kz`), with their own lists of instruments.
    urls: &["wss://stream.bybit.com/v5/public/spot"],
    // The names of all channels of one connection may have 21,000 characters, and ours of one instrument have
    // 62 for BTCUSDT, 90 for the longest names.
    instruments_max: 200,
    // Our choice: up to 1,024 trades of 170 bytes come in one frame.
    frame_bytes_max: 1 << 20,
    // The venue states no limit. Our choice: a full connection is subscribed in 20 s.
    pace: Pace { frames: 10, window: Duration::from_secs(1) },
    // "Every 20 seconds"; a connection without one is closed after 10 minutes.
    ping: Ping::Text { text: r#"{"op":"ping"}"#, every: Duration::from_secs(20) },
    lifetime: None,
    // Our choice: `orderbook.1` says the same again each 3 s when nothing changes.
    silence_max: Duration::from_secs(10),
};

const CHANNELS: [&str; 3] = ["publicTrade", "orderbook.1", "tickers"];

/// What Bybit's spot market prices in, as other public projects of 2022 to 2026 use it; not checked against the
/// venue's list. `BTCUSD` and `BTCPERP` are contracts: neither USD nor PERP is among them.
const QUOTES: &[&str] =
    &["BRL", "BTC", "DAI", "ETH", "EUR", "MNT", "PLN", "TRY", "USDC", "USDE", "USDQ", "USDR", "USDT"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Bybit;

impl Codec for Bybit {
    /// One request for each instrument, though one may name 10 channels: a bad name refuses all of its request
    /// (several clients found so, 2023 to 2026). The answer repeats the request's id, which is the instrument.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |wire: &&str| {
            let args = CHANNELS.map(|channel| format!("{channel}.{wire}"));
            serde_json::json!({"req_id": wire, "op": "subscribe", "args": args}).to_string()
        };
        wires.iter().map(frame).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        let before = events.len();
        let decoded = whole(Cursor::new(text), events);
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

fn whole<'f>(cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [topic, success, op] = cursor.first(["topic", "success", "op"])?;
    if success.is_there() || op.is_there() {
        return answered(cursor, events);
    }
    let topic = topic.text()?;
    if topic.starts_with("publicTrade.") {
        trades(cursor, events)
    } else if topic.starts_with("orderbook.1.") {
        quote(cursor, events)
    } else if topic.starts_with("tickers.") {
        ticker(cursor, events)
    } else {
        // Depth and candles: nothing for a price service.
        Ok(())
    }
}

/// Each frame says `snapshot` and holds live trades; none are sent from before the subscription.
fn trades<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut read = false;
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        if !key.is("data") {
            cursor.value()?;
            continue;
        }
        if std::mem::replace(&mut read, true) {
            return Err(JsonError::Twice { name: "data" }.into());
        }
        cursor.array()?;
        while cursor.element()? {
            events.push(trade(&mut cursor)?);
        }
    }
    cursor.end()?;
    if read { Ok(()) } else { Err(DecodeError::Missing { field: "data" }) }
}

/// The ids of spot trades are numbers, of contracts' not. In the recording of 2026-09-03 one pair's rise by one,
/// the other's with jumps, so a jump is no proof of a gap.
#[inline]
fn trade<'f>(cursor: &mut Cursor<'f>) -> Result<Event<'f>, DecodeError> {
    let [id, time, price, size, taker, wire, block] = cursor.pick(["i", "T", "p", "v", "S", "s", "BT"])?;
    // A block trade's price was agreed on away from the book.
    let agreed = block.bool_if_any()? == Some(true);
    Ok(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: side_if_any(taker)?,
        id: id.text_if_any()?.filter(|id| !id.is_empty()).map(TradeId),
        ts_event: time.millis_if_any()?,
        backfill: false,
        moves: if agreed { Moves { last: LastKind::No, range: false, volume: true } } else { Moves::ALL },
    }))
}

fn side_if_any(field: Field<'_>) -> Result<Option<Side>, DecodeError> {
    match field.text_if_any()?.as_deref() {
        None => Ok(None),
        Some("Buy") => Ok(Some(Side::Buy)),
        Some("Sell") => Ok(Some(Side::Sell)),
        Some(_) => Err(field.unknown()),
    }
}

/// Since 2023 each frame is a `snapshot`. A `delta` (recorded in 2023-04) may hold one side only, so it is no
/// quote.
fn quote<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, time, kind, data, engine_time] = cursor.pick(["topic", "ts", "type", "data", "cts"])?;
    cursor.end()?;
    match kind.text()?.as_ref() {
        "snapshot" => {}
        "delta" => return Ok(()),
        _ => return Err(kind.unknown()),
    }
    let [wire, bids, asks, sequence] = data.nested()?.pick(["s", "b", "a", "seq"])?;
    let ((bid, bid_size), (ask, ask_size)) = (bids.best()?, asks.best()?);
    events.push(Event::Quote(Quote {
        wire: wire.text()?,
        bid,
        bid_size,
        ask,
        ask_size,
        // Not `u`, which starts again from 1 when the venue restarts its service.
        sequence: sequence.integer_if_any()?.and_then(|number| number.try_into().ok()),
        // The matching engine's; the other one is when the frame was made.
        ts_event: engine_time.millis_if_any()?.or(time.millis_if_any()?),
    }));
    Ok(())
}

/// The spot socket sends the whole each time. The one of contracts sends changes only, and bid and ask.
fn ticker<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, time, data] = cursor.pick(["topic", "ts", "data"])?;
    cursor.end()?;
    let [wire, last, high, low, prev_close, volume, bid, bid_size, ask, ask_size] = data.nested()?.pick([
        "symbol",
        "lastPrice",
        "highPrice24h",
        "lowPrice24h",
        "prevPrice24h",
        "volume24h",
        "bid1Price",
        "bid1Size",
        "ask1Price",
        "ask1Size",
    ])?;
    let prev_close = prev_close.price_if_any()?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: None,
        aggressor: None,
        id: None,
        top: Field::top([bid, bid_size, ask, ask_size])?,
        // The window rolls: its first price is the one of 24 h ago.
        open: prev_close,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close,
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

/// The answer to a request, pings too: with the request's id where it had one.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [success, message, request, op] = cursor.pick(["success", "ret_msg", "req_id", "op"])?;
    cursor.end()?;
    let wire = request.text_if_any()?.filter(|wire| !wire.is_empty());
    if success.bool_if_any()? == Some(false) {
        events.push(Event::Refused { wire, reason: message.text()? });
    } else if op.text_if_any()?.as_deref() == Some("subscribe") {
        events.push(Event::Acknowledged { wire });
    }
    Ok(())
}

/// Splits `BTCUSDT` at the longest of the venue's quote assets that it ends with. `None` where none fits, and
/// for dated contracts (`BTC-26DEC25`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    if wire.contains('-') { None } else { Pair::split(wire, QUOTES) }
}

//! Upbit: types `trade` (every trade), `orderbook` with one level (the top of the book) and `ticker` (the 24 h
//! volume). JSON in binary frames; text is taken too. Both forms are read, DEFAULT (which we ask for, as it is
//! the one recorded of each type) and SIMPLE with its short names.
//!
//! Facts without another source are from docs.upbit.com, read 2026-11.

use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Side, Summary, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Upbit,
    urls: &["wss://api.upbit.com/websocket/v1"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: the types used send frames of about 1 KB.
    frame_bytes_max: 1 << 20,
    // 5 requests a second and 100 a minute on one connection.
    pace: Pace { frames: 1, window: Duration::from_secs(1) },
    // A connection on which nothing flowed either way for about 120 s is closed.
    ping: Ping::Protocol { every: Duration::from_secs(60) },
    lifetime: None,
    // Our choice: the top of any busy market's book changes each second.
    silence_max: Duration::from_secs(30),
};

/// Names of the fields, in the order of the frames.
struct Names {
    trade: [&'static str; 7],
    book: [&'static str; 3],
    level: [&'static str; 4],
    ticker: [&'static str; 6],
}

const DEFAULT: Names = Names {
    trade: [
        "code",
        "trade_timestamp",
        "trade_price",
        "trade_volume",
        "ask_bid",
        "sequential_id",
        "stream_type",
    ],
    book: ["code", "timestamp", "orderbook_units"],
    level: ["ask_price", "bid_price", "ask_size", "bid_size"],
    ticker: ["code", "trade_price", "ask_bid", "trade_volume", "timestamp", "acc_trade_volume_24h"],
};

const SIMPLE: Names = Names {
    trade: ["cd", "ttms", "tp", "tv", "ab", "sid", "st"],
    book: ["cd", "tms", "obu"],
    level: ["ap", "bp", "as", "bs"],
    ticker: ["cd", "tp", "ab", "tv", "tms", "atv24h"],
};

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Upbit;

impl Codec for Upbit {
    fn replaces(&self) -> bool {
        true
    }

    /// All in one request, 10 KB at most: the pages do not say whether a second one adds to it or replaces it.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        if wires.is_empty() {
            return Vec::new();
        }
        // One of the depths that there are since 2025-07-02: 1, 5, 15, 30.
        let tops: Vec<_> = wires.iter().map(|wire| format!("{wire}.1")).collect();
        let request = serde_json::json!([
            {"ticket": "tickcast"},
            {"type": "trade", "codes": wires, "is_only_realtime": true},
            {"type": "orderbook", "codes": tops},
            {"type": "ticker", "codes": wires},
            {"format": "DEFAULT"},
        ]);
        vec![request.to_string()]
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(frame.utf8()?);
        let [kind, simple, error, status] = cursor.first(["type", "ty", "error", "status"])?;
        // The answer to a ping by text.
        if status.is_there() {
            return Ok(());
        }
        if error.is_there() {
            return refused(cursor, events);
        }
        let (kind, names) = if simple.is_there() { (simple, &SIMPLE) } else { (kind, &DEFAULT) };
        let event = match kind.text()?.as_ref() {
            "trade" => trade(&mut cursor, names)?,
            "orderbook" => quote(&mut cursor, names)?,
            "ticker" => summary(&mut cursor, names)?,
            // Candles.
            _ => return Ok(()),
        };
        cursor.end()?;
        events.push(event);
        Ok(())
    }
}

fn trade<'f>(cursor: &mut Cursor<'f>, names: &Names) -> Result<Event<'f>, DecodeError> {
    let [wire, time, price, size, taker, id, stream] = cursor.pick(names.trade)?;
    Ok(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: side(taker)?,
        // They tell trades apart; their order is not promised to be the trades'.
        id: id.id_if_any()?,
        // Whole seconds until 2021.
        ts_event: time_if_any(time)?,
        backfill: stream.text_if_any()?.is_some_and(|stream| stream == "SNAPSHOT"),
        moves: Moves::ALL,
    }))
}

fn quote<'f>(cursor: &mut Cursor<'f>, names: &Names) -> Result<Event<'f>, DecodeError> {
    let [wire, time, levels] = cursor.pick(names.book)?;
    let mut quote = Quote {
        wire: wire.text()?,
        bid: None,
        bid_size: None,
        ask: None,
        ask_size: None,
        sequence: None,
        ts_event: time_if_any(time)?,
    };
    let mut levels = levels.nested()?;
    levels.array()?;
    if levels.element()? {
        // Both sides of the best level. A price of zero says that there is none.
        let [ask, bid, ask_size, bid_size] = levels.pick(names.level)?;
        (quote.bid, quote.bid_size) = (bid.price_if_there()?, bid_size.size_if_any()?);
        (quote.ask, quote.ask_size) = (ask.price_if_there()?, ask_size.size_if_any()?);
    }
    Ok(Event::Quote(quote))
}

/// Opening, highest, lowest and previous closing price are those of the day from 00:00 UTC, not of 24 h: they are
/// left out rather than shown as what they are not.
fn summary<'f>(cursor: &mut Cursor<'f>, names: &Names) -> Result<Event<'f>, DecodeError> {
    let [wire, last, taker, last_size, time, volume] = cursor.pick(names.ticker)?;
    Ok(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: last_size.size_if_any()?,
        aggressor: side(taker)?,
        id: None,
        top: None,
        open: None,
        high: None,
        low: None,
        volume: volume.size_if_any()?,
        prev_close: None,
        ts_event: time_if_any(time)?,
    }))
}

/// The side of the book that the taker added to: `BID` for one who bought.
fn side(taker: Field<'_>) -> Result<Option<Side>, DecodeError> {
    match taker.text_if_any()?.as_deref() {
        None => Ok(None),
        Some("BID") => Ok(Some(Side::Buy)),
        Some("ASK") => Ok(Some(Side::Sell)),
        Some(_) => Err(taker.unknown()),
    }
}

/// Milliseconds; a book recorded in 2023 has microseconds.
fn time_if_any(field: Field<'_>) -> Result<Option<UnixNanos>, DecodeError> {
    match field.millis_if_any()? {
        None => field.micros_if_any(),
        millis => Ok(millis),
    }
}

/// Does not say what was refused.
fn refused<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [error] = cursor.pick(["error"])?;
    cursor.end()?;
    let [name, message] = error.nested()?.pick(["name", "message"])?;
    let reason = match message.text_if_any()? {
        Some(message) => message,
        None => name.text()?,
    };
    events.push(Event::Refused { wire: None, reason });
    Ok(())
}

/// Splits `KRW-BTC`, which is BTC in KRW.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (quote, base) = wire.split_once('-')?;
    let whole = !base.is_empty() && !quote.is_empty() && !base.contains('-');
    whole.then(|| Pair::new(base, quote))
}

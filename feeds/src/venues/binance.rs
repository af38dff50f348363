//! Binance spot, the global market: streams `@trade` (every trade), `@bookTicker` (the top of the book) and
//! `@miniTicker` (the 24 h figures, once a second). Frames may come raw or in the combined envelope.
//!
//! Facts without another source are from the venue's repository `binance-spot-api-docs`, web-socket-streams.md,
//! read 2026-07.

use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Side, Summary, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Binance,
    // The second host carries market data only, and is open where the first answers 451.
    urls: &["wss://stream.binance.com:9443/ws", "wss://data-stream.binance.vision/ws"],
    // 1024 streams on one connection, and we follow three of each instrument.
    instruments_max: 1024 / STREAMS.len(),
    // Our choice: the streams used send frames below 1 KB, but a ticker of 500 bytes for each of some 2,000
    // instruments in one array makes 1 MB.
    frame_bytes_max: 2 << 20,
    // 5 frames a second, pings and pongs counted, in a window that rolls. Users report that only one frame in
    // 250 ms is safe (QuantConnect/Lean#5583, nautechsystems/nautilus_trader#5012).
    pace: Pace { frames: 1, window: Duration::from_millis(250) },
    // A protocol ping each 20 s, to be answered within 60 s. Pongs that nobody asked for don't count.
    ping: Ping::Answer,
    lifetime: Some(Duration::from_hours(24)),
    // Our choice: any instrument's top of the book or 24 h figures change within seconds.
    silence_max: Duration::from_secs(10),
};

const STREAMS: [&str; 3] = ["trade", "bookTicker", "miniTicker"];

/// Instruments in one SUBSCRIBE frame: about 3 KB. Our choice, the venue states no limit.
const BATCH: usize = 50;

/// The venue's quote assets. The first block is all of its exchangeInfo of 2021-10-12 (1,695 pairs, and each is
/// split right by its longest suffix from here). The second came later; those names are as other public
/// projects of 2024 to 2026 use them, not checked against the venue's list. `AEUR` is left out: `ADAEUR` is ADA
/// in EUR.
const QUOTES: &[&str] = &[
    "AUD", "BIDR", "BKRW", "BNB", "BRL", "BTC", "BUSD", "BVND", "DAI", "ETH", "EUR", "GBP", "GYEN", "IDRT",
    "NGN", "PAX", "RUB", "TRX", "TRY", "TUSD", "UAH", "USDC", "USDP", "USDS", "USDT", "VAI", "XRP",
    "ZAR", //
    "ARS", "COP", "CZK", "DOGE", "EURI", "FDUSD", "JPY", "MXN", "PLN", "RON", "USD1",
];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Binance {
    requests: u64,
}

impl Codec for Binance {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::new();
        for batch in wires.chunks(BATCH) {
            self.requests += 1;
            let streams: Vec<_> = batch
                .iter()
                .map(|wire| wire.to_lowercase())
                .flat_map(|wire| STREAMS.map(|stream| format!("{wire}@{stream}")))
                .collect();
            let frame = serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": self.requests});
            frames.push(frame.to_string());
        }
        frames
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

/// What is next in a frame.
enum Kind {
    Trade,
    AggTrade,
    /// Or a book, should its fields ever come in another order.
    Quote,
    Ticker,
    Envelope,
    Answer,
    Reconnect,
    /// Depth, candles, averages, block trades, other windows than 24 h: nothing for a price service.
    Other,
}

/// Looks ahead in the next object. The order of the venue's fields makes this cheap, and another does no harm.
#[inline]
fn kind(cursor: Cursor<'_>) -> Result<Kind, DecodeError> {
    let [event, update, data, stream, result, error, code] =
        cursor.first(["e", "u", "data", "stream", "result", "error", "code"])?;
    if update.is_there() {
        return Ok(Kind::Quote);
    }
    if data.is_there() || stream.is_there() {
        return Ok(Kind::Envelope);
    }
    // An acknowledgement says `"result":null`.
    if result.is_null() || result.is_there() || error.is_there() || code.is_there() {
        return Ok(Kind::Answer);
    }
    if event.is_there() { named(event) } else { Ok(Kind::Other) }
}

#[inline]
fn named(event: Field<'_>) -> Result<Kind, DecodeError> {
    Ok(match event.text()?.as_ref() {
        "trade" => Kind::Trade,
        "aggTrade" => Kind::AggTrade,
        "bookTicker" => Kind::Quote,
        "24hrTicker" | "24hrMiniTicker" => Kind::Ticker,
        "serverShutdown" => Kind::Reconnect,
        _ => Kind::Other,
    })
}

fn whole<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    if cursor.peek() == Some(b'[') {
        return payloads(&mut cursor, events).and_then(|()| Ok(cursor.end()?));
    }
    match kind(cursor)? {
        Kind::Envelope => envelope(cursor, events),
        Kind::Answer => answered(cursor, events),
        Kind::Other => Ok(()),
        kind => payload(&kind, &mut cursor, events).and_then(|()| Ok(cursor.end()?)),
    }
}

/// `{"stream":…,"data":…}`. The data is read in place: a second pass over it costs a fifth of the speed.
fn envelope<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut read = false;
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        if !key.is("data") {
            cursor.value()?;
            continue;
        }
        if std::mem::replace(&mut read, true) {
            return Err(DecodeError::Value { field: "data" });
        }
        match cursor.peek() {
            Some(b'[') => payloads(&mut cursor, events)?,
            Some(b'{') => match kind(cursor)? {
                // Most of a mix is depth: no need to find its end.
                Kind::Other => return Ok(()),
                kind => payload(&kind, &mut cursor, events)?,
            },
            _ => return Err(DecodeError::Value { field: "data" }),
        }
    }
    cursor.end()?;
    if read { Ok(()) } else { Err(DecodeError::Missing { field: "data" }) }
}

/// An array of payloads.
fn payloads<'f>(cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    cursor.array()?;
    while cursor.element()? {
        let kind = if cursor.peek() == Some(b'{') { kind(*cursor)? } else { Kind::Other };
        payload(&kind, cursor, events)?;
    }
    Ok(())
}

/// Takes the next value whole.
#[inline]
fn payload<'f>(kind: &Kind, cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    match kind {
        Kind::Trade => {
            let [_, wire, id, price, size, time, sold] = cursor.pick(["e", "s", "t", "p", "q", "T", "m"])?;
            events.push(trade(wire, price, size, id, time, sold)?);
        }
        Kind::AggTrade => {
            let [_, wire, id, price, size, time, sold] = cursor.pick(["e", "s", "a", "p", "q", "T", "m"])?;
            events.push(trade(wire, price, size, id, time, sold)?);
        }
        Kind::Quote => {
            let [sequence, wire, bid, bid_size, ask, ask_size, time, event, first] =
                cursor.pick(["u", "s", "b", "B", "a", "A", "T", "e", "U"])?;
            // The spot bookTicker names no event. Books have an event, or an id of their first update.
            if first.is_there() || event.text_if_any()?.is_some_and(|event| event != "bookTicker") {
                return Ok(());
            }
            events.push(Event::Quote(Quote {
                wire: wire.text()?,
                bid: bid.price_if_there()?,
                bid_size: bid_size.size_if_any()?,
                ask: ask.price_if_there()?,
                ask_size: ask_size.size_if_any()?,
                sequence: sequence.integer_if_any()?.and_then(|number| number.try_into().ok()),
                // Spot has none.
                ts_event: time_if_any(time)?,
            }));
        }
        Kind::Ticker => events.push(ticker(cursor)?),
        Kind::Reconnect => {
            cursor.value()?;
            events.push(Event::Reconnect);
        }
        Kind::Envelope | Kind::Answer | Kind::Other => {
            cursor.value()?;
        }
    }
    Ok(())
}

#[inline]
fn trade<'f>(
    wire: Field<'f>,
    price: Field<'f>,
    size: Field<'f>,
    id: Field<'f>,
    time: Field<'f>,
    buyer_was_maker: Field<'f>,
) -> Result<Event<'f>, DecodeError> {
    Ok(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: buyer_was_maker.bool_if_any()?.map(|maker| if maker { Side::Sell } else { Side::Buy }),
        id: id.id_if_any()?,
        ts_event: time_if_any(time)?,
        backfill: false,
        moves: Moves::ALL,
    }))
}

/// The whole ticker or the mini one, which has no top of the book and no last trade.
fn ticker<'f>(cursor: &mut Cursor<'f>) -> Result<Event<'f>, DecodeError> {
    let [_, time, wire, last, last_size, bid, bid_size, ask, ask_size, open, high, low, volume, id] =
        cursor.pick(["e", "E", "s", "c", "Q", "b", "B", "a", "A", "o", "h", "l", "v", "L"])?;
    let open = open.price_if_any()?;
    Ok(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: last_size.size_if_any()?,
        aggressor: None,
        id: id.id_if_any()?,
        top: Field::top([bid, bid_size, ask, ask_size])?,
        open,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        // The window rolls: its first price is the one of 24 h ago.
        prev_close: open,
        ts_event: time_if_any(time)?,
    }))
}

/// The answer to a request. It does not say which streams it is about.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [result, code, message, error] = cursor.pick(["result", "code", "msg", "error"])?;
    cursor.end()?;
    if let Some(mut error) = error.nested_if_any()? {
        let [message] = error.pick(["msg"])?;
        events.push(Event::Refused { wire: None, reason: message.text()? });
    } else if code.is_there() {
        events.push(Event::Refused { wire: None, reason: message.text()? });
    } else if result.is_null() {
        events.push(Event::Acknowledged { wire: None });
    }
    Ok(())
}

/// Milliseconds, or microseconds where the URL asks for them by `timeUnit=MICROSECOND`. `None` where it is none.
#[inline]
fn time_if_any(field: Field<'_>) -> Result<Option<UnixNanos>, DecodeError> {
    // As milliseconds this is the year 5138, as microseconds 1973.
    const MICROS_MIN: i64 = 100_000_000_000_000;
    Ok(match field.integer_if_any()? {
        Some(micros) if micros >= MICROS_MIN => UnixNanos::from_micros(micros),
        Some(millis) if millis > 0 => UnixNanos::from_millis(millis),
        _ => None,
    })
}

/// Splits `BTCUSDT` at the longest of the venue's quote assets that it ends with. `None` where none fits, and
/// for what is no spot pair (`ETHUSD_PERP`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    if wire.contains('_') { None } else { Pair::split(wire, QUOTES) }
}

//! Gemini, the socket of 2026: streams `@trade` (every trade) and `@bookTicker` (the top of the book), in a
//! language like Binance's. There is no stream with 24 h figures.
//!
//! Trades of the older `v2/marketdata` are still understood, for recordings of it; it is not subscribed, and its
//! books, which hold changes only, are not read. `v1/marketdata` is not read at all: its frames have no symbol.
//!
//! Facts without another source are from docs.gemini.com/websocket and the venue's repository
//! `gemini/developer-platform`, read 2026-07.

use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::symbol::before;
use crate::{
    Codec, DecodeError, Event, Events, Frame, LastKind, Moves, Pace, Pair, Ping, Profile, Quote, Side, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Gemini,
    urls: &["wss://ws.gemini.com"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: the streams used send frames below 1 KB.
    frame_bytes_max: 1 << 20,
    // A weight of 7,000 in 10 s, by what another project's socket answered to `conninfo` in 2026-09. Our choice.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    // Whether the venue pings is not known, so we do.
    ping: Ping::Protocol { every: Duration::from_secs(30) },
    lifetime: None,
    // Our choice: the top of BTC-USD changes each second, a connection with quiet pairs needs more.
    silence_max: Duration::from_secs(60),
};

const STREAMS: [&str; 2] = ["trade", "bookTicker"];

/// Instruments in one request: about 2 KB. Our choice, the venue states no limit.
const BATCH: usize = 50;

/// The venue's quote assets: all of its list of 2021-06-24 (71 pairs), and those that came later, as frames of
/// 2026 (RLUSD) and other public projects use them.
const QUOTES: &[&str] = &[
    "BCH", "BTC", "DAI", "ETH", "EUR", "GBP", "GUSD", "LTC", "SGD", "USD", //
    "RLUSD", "SOL", "USDC", "USDT",
];

/// What ends with a quote asset's first letters, so that the longest quote asset is the wrong one: `PAXGUSD` is
/// PAXG in USD.
const BASES_IN_USD: &[&str] = &["PAXG"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Gemini {
    requests: u64,
}

impl Codec for Gemini {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::new();
        for batch in wires.chunks(BATCH) {
            self.requests += 1;
            let each = |wire: &&str| {
                let wire = wire.to_lowercase();
                STREAMS.map(|stream| format!("{wire}@{stream}"))
            };
            let streams: Vec<_> = batch.iter().flat_map(each).collect();
            let id = self.requests.to_string();
            frames.push(serde_json::json!({"id": id, "method": "subscribe", "params": streams}).to_string());
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

/// Neither a trade nor a top of the book names its kind: the one has a trade's id, the other an update's, as
/// books do, which have a kind.
fn whole<'f>(cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [event, id, update, kind, request, status, result, error] =
        cursor.first(["e", "t", "u", "type", "id", "status", "result", "error"])?;
    if id.is_there() {
        trade(cursor, events)
    } else if update.is_there() {
        quote(cursor, events)
    } else if kind.is_there() {
        older(kind, cursor, events)
    } else if [request, status, result, error].iter().any(|field| field.is_there() || field.is_null()) {
        answered(cursor, events)
    } else if event.is_there() {
        match event.text()?.as_ref() {
            "trade" => trade(cursor, events),
            "bookTicker" => quote(cursor, events),
            // Depth.
            _ => Ok(()),
        }
    } else {
        Ok(())
    }
}

fn trade<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [time, wire, id, price, size, buyer_was_maker] = cursor.pick(["E", "s", "t", "p", "q", "m"])?;
    cursor.end()?;
    events.push(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: buyer_was_maker.bool_if_any()?.map(|maker| if maker { Side::Sell } else { Side::Buy }),
        id: id.id_if_any()?,
        ts_event: time.nanos_if_any()?,
        backfill: false,
        moves: Moves::ALL,
    }));
    Ok(())
}

fn quote<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [sequence, time, wire, bid, bid_size, ask, ask_size, event, first] =
        cursor.pick(["u", "E", "s", "b", "B", "a", "A", "e", "U"])?;
    cursor.end()?;
    // Books have a kind, and an id of their first update.
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
        ts_event: time.nanos_if_any()?,
    }));
    Ok(())
}

/// A frame of `v2/marketdata`. The first one of an instrument has its book and up to 50 past trades, newest
/// first.
fn older<'f>(kind: Field<'f>, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    match kind.text()?.as_ref() {
        "trade" => {
            events.push(older_trade(&mut cursor, false)?);
            cursor.end()?;
        }
        "l2_updates" => {
            let [trades] = cursor.pick(["trades"])?;
            cursor.end()?;
            let Some(mut trades) = trades.nested_if_any()? else { return Ok(()) };
            trades.array()?;
            while trades.element()? {
                events.push(older_trade(&mut trades, true)?);
            }
        }
        // Heartbeats, auctions' indicative prices.
        _ => {}
    }
    Ok(())
}

fn older_trade<'f>(cursor: &mut Cursor<'f>, backfill: bool) -> Result<Event<'f>, DecodeError> {
    let [wire, id, time, price, size, taker] =
        cursor.pick(["symbol", "event_id", "timestamp", "price", "quantity", "side"])?;
    let aggressor = match taker.text_if_any()?.as_deref() {
        Some("buy") => Some(Side::Buy),
        Some("sell") => Some(Side::Sell),
        _ => None,
    };
    // `block` and `auction`: nobody crossed a spread, and the price was not made in the book.
    let in_book = aggressor.is_some() || !taker.is_there();
    Ok(Event::Trade(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor,
        id: id.id_if_any()?,
        ts_event: time.millis_if_any()?,
        backfill,
        moves: if in_book { Moves::ALL } else { Moves { last: LastKind::No, range: false, volume: true } },
    }))
}

/// The answer to a request. It does not say which streams it is about. The shapes of errors are those that other
/// clients look for (tardis-node, 2026-07): none was seen.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [status, result, error, reason, message] =
        cursor.pick(["status", "result", "error", "reason", "msg"])?;
    cursor.end()?;
    let status = status.integer_if_any()?.unwrap_or(200);
    if error.is_there() {
        let reason = if let Ok(Some(text)) = error.text_if_any() {
            text
        } else {
            let [short, long, code] = error.nested()?.pick(["msg", "message", "code"])?;
            match short.text_if_any()?.or(long.text_if_any()?) {
                Some(text) => text,
                None => format!("code {}", code.integer_if_any()?.unwrap_or(status)).into(),
            }
        };
        events.push(Event::Refused { wire: None, reason });
    } else if status >= 400 {
        let words = message.text_if_any()?.or(reason.text_if_any()?);
        let reason = words.unwrap_or_else(|| format!("status {status}").into());
        events.push(Event::Refused { wire: None, reason });
    } else if matches!(result.text_if_any(), Ok(Some(word)) if word == "error") {
        // Of `v2/marketdata`: "NoValidTradingPairs".
        events.push(Event::Refused { wire: None, reason: reason.text()? });
    } else {
        events.push(Event::Acknowledged { wire: None });
    }
    Ok(())
}

/// Splits `btcusd`, or `BTCUSD` on the older sockets, at the longest of the venue's quote assets that it ends
/// with. `None` where none fits, and for contracts (`btcgusdperp`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    match before(wire, "USD") {
        Some(base) if BASES_IN_USD.iter().any(|known| known.eq_ignore_ascii_case(base)) => {
            Some(Pair::new(crate::symbol::upper(base), "USD"))
        }
        _ => Pair::split(wire, QUOTES),
    }
}

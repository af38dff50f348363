//! Twelve Data: `price` events of stocks, currencies and crypto, in whole seconds: not for measuring delays.
//!
//! A price says neither its size nor its conditions. One of a US stock sets the regular last within regular
//! hours and the extended one outside of them; the calendar tells, by the venue's time.
//!
//! Facts without another source are from the venue's documentation for language models, read 2026-07.

use std::time::Duration;

use crate::hours::{self, Phase};
use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, LastKind, Moves, Pace, Pair, Ping, Profile, Summary, Top,
    Trade, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::TwelveData,
    // The key goes into the query: `?apikey=`.
    urls: &["wss://ws.twelvedata.com/v1/quotes/price"],
    // Three connections at most, the oldest is closed for a fourth: nothing is split. Trial plans have one
    // connection and 8 symbols.
    instruments_max: 10_000,
    // A frame may have up to 1 MB.
    frame_bytes_max: 1 << 20,
    // 100 frames of ours. The venue does not say in what time; our choice leaves room.
    pace: Pace { frames: 1, window: Duration::from_secs(1) },
    // Clients send it, the official text that we read does not name it.
    ping: Ping::Text { text: r#"{"action":"heartbeat"}"#, every: Duration::from_secs(10) },
    lifetime: None,
    // Our choice: all stocks are silent while the market is closed.
    silence_max: Duration::from_mins(5),
};

/// Instruments in one subscribe frame: about 10 KB. Our choice.
const BATCH: usize = 500;

/// US exchanges, as the venue names them. In recordings is NASDAQ alone.
const US_EXCHANGES: [&str; 5] = ["NASDAQ", "NYSE", "NYSE ARCA", "AMEX", "CBOE"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct TwelveData;

impl Codec for TwelveData {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |batch: &[&str]| {
            serde_json::json!({"action": "subscribe", "params": {"symbols": batch.join(",")}}).to_string()
        };
        wires.chunks(BATCH).map(frame).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        let cursor = Cursor::new(text);
        let before = events.len();
        let [kind] = cursor.first(["event"])?;
        let decoded = match kind.text()?.as_ref() {
            "price" => price(cursor, events),
            "subscribe-status" => subscribed(cursor, events),
            _ => Ok(()),
        };
        decoded.inspect_err(|_| events.truncate(before))
    }
}

fn price<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, currency, exchange, time, price, bid, ask, volume] =
        cursor.pick(["symbol", "currency", "exchange", "timestamp", "price", "bid", "ask", "day_volume"])?;
    cursor.end()?;
    let wire = wire.text()?;
    let ts_event = time.integer_if_any()?.filter(|&secs| secs > 0).and_then(UnixNanos::from_secs);
    let is_us_stock = currency.text_if_any()?.as_deref() == Some("USD")
        && exchange.text_if_any()?.is_some_and(|name| US_EXCHANGES.contains(&&*name));
    if let Some(price) = price.price_if_there()? {
        events.push(Event::Trade(Trade {
            wire: wire.clone(),
            price,
            size: None,
            aggressor: None,
            id: None,
            ts_event,
            backfill: false,
            moves: if is_us_stock { moves(ts_event) } else { Moves::ALL },
        }));
    }
    let top = Top { bid: bid.price_if_any()?, ask: ask.price_if_any()?, ..Top::default() };
    let top = (bid.is_there() && ask.is_there()).then_some(top);
    let volume = volume.size_if_any()?;
    if top.is_some() || volume.is_some() {
        events.push(Event::Summary(Summary {
            wire,
            last: None,
            last_size: None,
            aggressor: None,
            id: None,
            top,
            open: None,
            high: None,
            low: None,
            volume,
            prev_close: None,
            ts_event,
        }));
    }
    Ok(())
}

/// Without a time nobody knows: then it is no regular one.
fn moves(time: Option<UnixNanos>) -> Moves {
    match time.map(|time| hours::session_at(time).phase) {
        Some(Phase::Open) => Moves::ALL,
        _ => Moves { last: LastKind::Extended, range: false, volume: true },
    }
}

/// A part of a subscription can fail.
fn subscribed<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [status, success, fails] = cursor.pick(["status", "success", "fails"])?;
    cursor.end()?;
    each(success, |wire, _| {
        events.push(Event::Acknowledged { wire: Some(wire.text()?) });
        Ok(())
    })?;
    let mut any = false;
    each(fails, |wire, reason| {
        any = true;
        let reason = reason.text_if_any()?.unwrap_or("not accepted".into());
        events.push(Event::Refused { wire: Some(wire.text()?), reason });
        Ok(())
    })?;
    if status.text_if_any()?.as_deref() == Some("error") && !any {
        events.push(Event::Refused { wire: None, reason: "not accepted".into() });
    }
    Ok(())
}

/// Symbol and message of each row; nothing where there is no list.
fn each<'f>(
    rows: Field<'f>,
    mut read: impl FnMut(Field<'f>, Field<'f>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let Some(mut rows) = rows.nested_if_any()? else { return Ok(()) };
    rows.each(|row| {
        let [wire, message] = row.pick(["symbol", "message"])?;
        read(wire, message)
    })
}

/// `BTC/USD` and `EUR/USD`, or a stock as it is listed: `AAPL`, `BRK.B`, `0700`.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    match wire.split_once('/') {
        Some((base, quote)) => (!base.is_empty() && !quote.is_empty()).then(|| Pair::new(base, quote)),
        None => (!wire.is_empty()).then(|| Pair::single(wire)),
    }
}

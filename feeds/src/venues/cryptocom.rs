//! Crypto.com Exchange v1: channels `trade` (every trade) and `ticker` (the top of the book and the 24 h figures;
//! there is no channel for the top alone). Frames of v2, of 2022, have numbers for texts and are read alike.
//!
//! The venue's own pages could not be read. Facts are from clients (tardis-node, ccxt, skip-mev/connect, read
//! 2026-07) and from recordings of 2022 and 2026.

use std::borrow::Cow;
use std::time::Duration;

use smallvec::SmallVec;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Summary, Top, Trade, TradeId,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::CryptoCom,
    urls: &["wss://stream.crypto.com/exchange/v1/market"],
    // 400 subscriptions on one connection (skip-mev/connect, quoting the venue), and we follow two of each
    // instrument.
    instruments_max: 400 / CHANNELS.len(),
    // Our choice: the past trades sent at subscribe make some 10 KB.
    frame_bytes_max: 1 << 20,
    // 100 requests a second, counted by the second of the clock, so the second in which one connects counts in
    // part: clients wait for 1 s then. One in 100 ms stays within any part of it.
    pace: Pace { frames: 1, window: Duration::from_millis(100) },
    // The venue asks by its own frames, each 30 s; they are answered by `Event::Reply`.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: the ticker of any busy instrument changes within seconds.
    silence_max: Duration::from_secs(30),
};

const CHANNELS: [&str; 2] = ["trade", "ticker"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct CryptoCom {
    /// What the requests were for: the id of the first is 1. It comes back in the answer.
    requests: Vec<String>,
}

impl Codec for CryptoCom {
    /// One instrument a frame, so that one which the venue does not know refuses no other. Without a nonce: it is
    /// a time, which a codec has none of, and only signed requests need it.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::with_capacity(wires.len());
        for wire in wires {
            self.requests.push((*wire).to_owned());
            let frame = serde_json::json!({
                "id": self.requests.len(),
                "method": "subscribe",
                "params": {"channels": CHANNELS.map(|channel| format!("{channel}.{wire}"))},
            });
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
        let cursor = Cursor::new(text);
        let [method] = cursor.first(["method"])?;
        let before = events.len();
        let decoded = match method.text()?.as_ref() {
            "subscribe" => self.subscribed(cursor, events),
            "public/heartbeat" => heartbeat(cursor, events),
            _ => Ok(()),
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

impl CryptoCom {
    /// What is the answer to a request, and what was pushed later, have the same form.
    fn subscribed<'f>(&self, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let [code] = cursor.first(["code"])?;
        if code.integer_if_any()?.is_some_and(|code| code != 0) {
            return self.refused(cursor, events);
        }
        // What is pushed has the id -1, or none in 2022. An answer has its request's: what it holds is older.
        let [id] = cursor.first(["id"])?;
        let is_answer = id.integer_if_any()?.is_some_and(|id| id >= 0);
        let found = cursor.within("result", |result| {
            let [channel] = result.first(["channel"])?;
            let [name] = result.first(["instrument_name"])?;
            if is_answer {
                events.push(Event::Acknowledged { wire: name.text_if_any()? });
            }
            let read = match channel.text_if_any()?.as_deref() {
                Some("trade") => result.within("data", |rows| trades(rows, name, is_answer, events))?,
                Some("ticker") => {
                    result.within("data", |rows| rows.each(|rows| ticker(rows, name, events)))?
                }
                // Books, candles, prices of the index and the mark.
                _ => {
                    result.value()?;
                    true
                }
            };
            if read { Ok(()) } else { Err(DecodeError::Missing { field: "data" }) }
        })?;
        cursor.end()?;
        if !found && is_answer {
            events.push(Event::Acknowledged { wire: None });
        }
        Ok(())
    }

    /// No recording has one. `message` is what other answers of this API have.
    fn refused<'f>(&self, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let [id, code, message] = cursor.pick(["id", "code", "message"])?;
        cursor.end()?;
        let reason = match message.text_if_any()? {
            Some(message) => message,
            None => format!("code {}", code.integer_if_any()?.unwrap_or_default()).into(),
        };
        let index = id.integer_if_any()?.and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
        let wire = index.and_then(|index| self.requests.get(index)).map(|wire| Cow::Owned(wire.clone()));
        events.push(Event::Refused { wire, reason });
        Ok(())
    }
}

/// Newest first; they go out oldest first.
fn trades<'f>(
    rows: &mut Cursor<'f>,
    name: Field<'f>,
    backfill: bool,
    events: &mut Events<'f>,
) -> Result<(), DecodeError> {
    let mut trades = SmallVec::<[Trade<'f>; 4]>::new();
    rows.each(|rows| {
        let [id, time, price, size, taker, wire] = rows.pick(["d", "t", "p", "q", "s", "i"])?;
        trades.push(Trade {
            wire: if wire.is_there() { wire } else { name }.text()?,
            price: price.price()?,
            size: size.size_if_any()?,
            aggressor: taker.side_if_any()?,
            id: id.id_if_any()?,
            ts_event: time.millis_if_any()?,
            backfill,
            moves: Moves::ALL,
        });
        Ok::<_, DecodeError>(())
    })?;
    if trades.len() > 1 {
        trades.reverse();
        trades.sort_by_key(|trade| (trade.ts_event, trade.id.as_ref().and_then(TradeId::number)));
    }
    for trade in trades {
        events.push(Event::Trade(trade));
    }
    Ok(())
}

/// `a` is the last trade here and `k` the ask. The change `c` is rounded: no exact price can be had from it.
fn ticker<'f>(rows: &mut Cursor<'f>, name: Field<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [high, low, last, bid, bid_size, ask, ask_size, wire, volume, time] =
        rows.pick(["h", "l", "a", "b", "bs", "k", "ks", "i", "v", "t"])?;
    events.push(Event::Summary(Summary {
        wire: if wire.is_there() { wire } else { name }.text()?,
        last: last.price_if_any()?,
        last_size: None,
        aggressor: None,
        id: None,
        // Null on a side where nobody offers.
        top: (told(bid) && told(ask)).then_some(Top {
            bid: bid.price_if_any()?,
            bid_size: bid_size.size_if_any()?,
            ask: ask.price_if_any()?,
            ask_size: ask_size.size_if_any()?,
        }),
        open: None,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close: None,
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

fn told(field: Field<'_>) -> bool {
    field.is_there() || field.is_null()
}

/// Wants the same id back, within 5 s.
fn heartbeat<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [id] = cursor.pick(["id"])?;
    cursor.end()?;
    let id = id.integer_if_any()?.ok_or(DecodeError::Missing { field: "id" })?;
    events.push(Event::Reply(format!(r#"{{"id":{id},"method":"public/respond-heartbeat"}}"#).into()));
    Ok(())
}

/// Splits `BTC_USDT`. `None` for what is no spot pair (`BTCUSD-PERP`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('_')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains(['_', '-']);
    whole.then(|| Pair::new(base, quote))
}

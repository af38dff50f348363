//! Alpaca market data v2, US stocks: `trades` with their `corrections` and `cancelErrors` (which come along),
//! `quotes`, `dailyBars` (the session's figures) and `statuses` (halts). Minute bars, price bands and imbalances
//! say nothing that a price service shows.
//!
//! On the feed `iex` quotes and prints are those of one exchange, so its last price is IEX's own and not the
//! consolidated one; `sip` has all. Quote sizes are passed on as they come: round lots, of 100 shares for most
//! prices and of fewer for high ones, which the frame does not tell. Trade sizes are shares.
//!
//! Facts without another source are from the venue's repository `alpaca-docs`, 2025-04, and its pages on the
//! stock stream, read 2026-07.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::tape::{self, Tape};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Status, Summary,
    Trade, Undone, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Alpaca,
    // The feed that every account has. `/v2/sip` is paid for, `/v2/test` sends FAKEPACA day and night.
    urls: &["wss://stream.data.alpaca.markets/v2/iex"],
    // One connection for each feed and account: a second one would be refused (406), so nothing is split. A free
    // account follows 15 instruments (30 of trades and quotes together), more are refused (405).
    instruments_max: 10_000,
    // Our choice: frames are arrays of what came up at once, each message below 300 bytes.
    frame_bytes_max: 4 << 20,
    // Our choice, the venue states no limit. It closes a connection that shows no key within seconds.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: a quiet stock on one exchange may be silent for minutes, and all are while the market is closed.
    silence_max: Duration::from_mins(5),
};

/// Instruments in one subscribe frame. Our choice: some 6 KB, the venue states no limit.
const BATCH: usize = 200;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Alpaca;

impl Codec for Alpaca {
    fn authenticate(&mut self, key: &str, secret: &str) -> Option<String> {
        Some(serde_json::json!({"action": "auth", "key": key, "secret": secret}).to_string())
    }

    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::new();
        for batch in wires.chunks(BATCH) {
            let prices = serde_json::json!({
                "action": "subscribe", "trades": batch, "quotes": batch, "dailyBars": batch,
            });
            // By itself: an account whose plan has no statuses is refused this frame, not its prices.
            let statuses = serde_json::json!({"action": "subscribe", "statuses": batch});
            frames.extend([prices.to_string(), statuses.to_string()]);
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
        let mut cursor = Cursor::new(text);
        let read = cursor.each(|message| take(message, events));
        read.and_then(|()| Ok(cursor.end()?)).inspect_err(|_| events.truncate(before))
    }
}

fn take<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [kind] = message.first(["T"])?;
    match kind.text()?.as_ref() {
        "t" => trade(message, events),
        "q" => quote(message, events),
        "d" => daily_bar(message, events),
        "s" => status(message, events),
        "c" => correction(message, events),
        "x" => cancel(message, events),
        "subscription" => acknowledged(message, events),
        "success" => {
            let [text] = message.pick(["msg"])?;
            if text.text_if_any()?.as_deref() == Some("authenticated") {
                events.push(Event::Authenticated);
            }
            Ok(())
        }
        "error" => {
            let [code, text] = message.pick(["code", "msg"])?;
            let (code, text) = (code.integer_if_any()?, text.text_if_any()?.unwrap_or_default());
            let reason = code.map_or(text.clone(), |code| Cow::Owned(format!("{text} ({code})")));
            events.push(Event::Refused { wire: None, reason });
            Ok(())
        }
        _ => Ok(message.value().map(drop)?),
    }
}

fn trade<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, id, price, size, time, conditions, tape] =
        message.pick(["S", "i", "p", "s", "t", "c", "z"])?;
    // A price of zero is a placeholder and no print.
    let Some(price) = price.price_if_there()? else { return Ok(()) };
    events.push(Event::Trade(Trade {
        wire: wire.text()?,
        price,
        size: size.size_if_any()?,
        aggressor: None,
        id: id.id_if_any()?,
        ts_event: time.time_if_any()?,
        backfill: false,
        moves: moves(conditions, tape)?,
    }));
    Ok(())
}

fn quote<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, bid, bid_size, ask, ask_size, time] = message.pick(["S", "bp", "bs", "ap", "as", "t"])?;
    events.push(Event::Quote(Quote {
        wire: wire.text()?,
        bid: bid.price_if_there()?,
        bid_size: bid_size.size_if_any()?,
        ask: ask.price_if_there()?,
        ask_size: ask_size.size_if_any()?,
        sequence: None,
        ts_event: time.time_if_any()?,
    }));
    Ok(())
}

/// The session so far, sent each minute. Its time is the day's beginning, so no time of the figures.
fn daily_bar<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, open, high, low, close, volume] = message.pick(["S", "o", "h", "l", "c", "v"])?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: close.price_if_any()?,
        last_size: None,
        aggressor: None,
        id: None,
        top: None,
        open: open.price_if_any()?,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close: None,
        ts_event: None,
    }));
    Ok(())
}

/// Halts and resumptions; what else there is (imbalances, indications) halts nothing.
fn status<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, code, text, time, tape] = message.pick(["S", "sc", "sm", "t", "z"])?;
    let (code, tape) = (code.text_if_any()?, tape.text_if_any()?);
    let tape = tape.as_deref().and_then(Tape::from_letter);
    let halted = match (tape, code.as_deref()) {
        // On tape C a halt, a volatility pause, and quotes again but no trades yet.
        (Some(Tape::Cta), Some("2")) | (Some(Tape::Utp), Some("H" | "P" | "Q")) => true,
        (Some(Tape::Cta), Some("3")) | (Some(Tape::Utp), Some("T")) => false,
        _ => return Ok(()),
    };
    let text = text.text_if_any()?.unwrap_or_default();
    events.push(Event::Status(Status { wire: wire.text()?, halted, text, ts_event: time.time_if_any()? }));
    Ok(())
}

fn correction<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, id, price, size, new_id, new_price, new_size, conditions, tape, time] =
        message.pick(["S", "oi", "op", "os", "ci", "cp", "cs", "cc", "z", "t"])?;
    let (wire, ts_event) = (wire.text()?, time.time_if_any()?);
    let correction = match new_price.price_if_any()? {
        Some(price) => Some(Trade {
            wire: wire.clone(),
            price,
            size: new_size.size_if_any()?,
            aggressor: None,
            id: new_id.id_if_any()?,
            ts_event,
            backfill: false,
            moves: moves(conditions, tape)?,
        }),
        None => None,
    };
    events.push(Event::Undone(Undone {
        wire,
        id: id.id_if_any()?,
        price: price.price_if_any()?,
        size: size.size_if_any()?,
        correction,
        ts_event,
    }));
    Ok(())
}

/// `a` tells a cancel from an error; the print is gone either way.
fn cancel<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, id, price, size, time] = message.pick(["S", "i", "p", "s", "t"])?;
    events.push(Event::Undone(Undone {
        wire: wire.text()?,
        id: id.id_if_any()?,
        price: price.price_if_any()?,
        size: size.size_if_any()?,
        correction: None,
        ts_event: time.time_if_any()?,
    }));
    Ok(())
}

/// States the whole set of the connection, channel by channel: each instrument is told once.
fn acknowledged<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut told = HashSet::new();
    for channel in message.pick(["trades", "quotes"])? {
        let Some(mut wires) = channel.nested_if_any()? else { continue };
        wires.array()?;
        while wires.element()? {
            let wire = wires.field("trades")?.text()?;
            if told.insert(wire.clone()) {
                events.push(Event::Acknowledged { wire: Some(wire) });
            }
        }
    }
    Ok(())
}

fn moves(conditions: Field<'_>, tape: Field<'_>) -> Result<Moves, DecodeError> {
    let tape = tape.text_if_any()?.as_deref().and_then(Tape::from_letter);
    let mut moves = Moves::ALL;
    conditions.each_word(|code| moves = moves.and(tape::letter(tape, code)))?;
    Ok(moves)
}

/// A ticker as it is listed, classes with a point: `BRK.B`. The crypto stream's pairs have a slash.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    match wire.split_once('/') {
        Some((base, quote)) => (!base.is_empty() && !quote.is_empty()).then(|| Pair::new(base, quote)),
        None => (!wire.is_empty() && wire != "*").then(|| Pair::single(wire)),
    }
}

//! Massive, formerly Polygon.io, US stocks: `T` (trades), `Q` (the national best bid and offer) and `A` (bars of
//! a second, with the day's volume and official open). Price bands (`LULD`) do not say whether trading is halted,
//! and imbalances and derived prices are none of the market's: they mean nothing here.
//!
//! A print is named by `q`, which rises per ticker and day: its id `i` is unique at its exchange only, and times
//! are milliseconds. Quote sizes are passed on as they come: round lots, of 100 shares for most prices and of
//! fewer for high ones, which the frame does not tell. Trade sizes are shares.
//!
//! The terms forbid passing data on without a licence.
//!
//! Facts without another source are from the venue's pages and its repository `client-go`, 2026-07.

use std::borrow::Cow;
use std::time::Duration;

use crate::json::Cursor;
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Summary, Trade,
    UnixNanos, Venue, tape,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Polygon,
    // `delayed.massive.com` is 15 minutes behind; the old host `socket.polygon.io` still answers.
    urls: &["wss://socket.massive.com/stocks"],
    // One connection for each kind of asset, so nothing is split. There is no limit for who reads fast enough.
    instruments_max: 10_000,
    // Our choice: frames are arrays of what came up at once, each message below 250 bytes.
    frame_bytes_max: 4 << 20,
    // Our choice, nothing is stated.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: all stocks are silent while the market is closed.
    silence_max: Duration::from_mins(5),
};

/// Instruments in one subscribe frame. Our choice: some 6 KB, the venue states no limit.
const BATCH: usize = 200;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Polygon;

impl Codec for Polygon {
    fn authenticate(&mut self, key: &str, _secret: &str) -> Option<String> {
        Some(serde_json::json!({"action": "auth", "params": key}).to_string())
    }

    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |batch: &[&str]| {
            let params: Vec<_> = batch.iter().map(|wire| format!("T.{wire},Q.{wire},A.{wire}")).collect();
            serde_json::json!({"action": "subscribe", "params": params.join(",")}).to_string()
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
        let before = events.len();
        let mut cursor = Cursor::new(text);
        let read = cursor.each(|message| take(message, events));
        read.and_then(|()| Ok(cursor.end()?)).inspect_err(|_| events.truncate(before))
    }
}

fn take<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [kind] = message.first(["ev"])?;
    match kind.text()?.as_ref() {
        "T" => trade(message, events),
        "Q" => quote(message, events),
        "A" | "AM" => bar(message, events),
        "status" => status(message, events),
        _ => Ok(message.value().map(drop)?),
    }
}

/// Shares in parts come in `ds` beside a whole number in `s` (2026).
fn trade<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, price, size, conditions, time, sequence, part_size] =
        message.pick(["sym", "p", "s", "c", "t", "q", "ds"])?;
    // A price of zero is a placeholder and no print.
    let Some(price) = price.price_if_there()? else { return Ok(()) };
    let mut moves = Moves::ALL;
    conditions.each_word(|code| moves = moves.and(tape::massive(code)))?;
    events.push(Event::Trade(Trade {
        wire: wire.text()?,
        price,
        size: part_size.size_if_any()?.or(size.size_if_any()?),
        aggressor: None,
        id: sequence.id_if_any()?,
        ts_event: time.millis_if_any()?,
        backfill: false,
        moves,
    }));
    Ok(())
}

fn quote<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, bid, bid_size, ask, ask_size, time, sequence] =
        message.pick(["sym", "bp", "bs", "ap", "as", "t", "q"])?;
    events.push(Event::Quote(Quote {
        wire: wire.text()?,
        bid: bid.price_if_there()?,
        bid_size: bid_size.size_if_any()?,
        ask: ask.price_if_there()?,
        ask_size: ask_size.size_if_any()?,
        sequence: sequence.id_if_any()?.and_then(|id| id.number()),
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

/// Only the volume and the open are the day's; high and low are the bar's own. So is the close, which outside
/// regular hours is that of extended prints: trades tell the last price.
fn bar<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, volume, open, end, part_volume] = message.pick(["sym", "av", "op", "e", "dav"])?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: None,
        last_size: None,
        aggressor: None,
        id: None,
        top: None,
        open: open.price_if_any()?,
        high: None,
        low: None,
        volume: part_volume.size_if_any()?.or(volume.size_if_any()?),
        prev_close: None,
        ts_event: end.millis_if_any()?,
    }));
    Ok(())
}

/// An acknowledgement for each channel: that of the trades tells for all three.
fn status<'f>(message: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [status, text] = message.pick(["status", "message"])?;
    let text = text.text_if_any()?.unwrap_or_default();
    match status.text()?.as_ref() {
        "connected" => {}
        "auth_success" => events.push(Event::Authenticated),
        "success" => {
            let wire = match &text {
                Cow::Borrowed(text) => text.strip_prefix("subscribed to: T.").map(Cow::Borrowed),
                Cow::Owned(text) => {
                    text.strip_prefix("subscribed to: T.").map(|wire| Cow::Owned(wire.to_owned()))
                }
            };
            if let Some(wire) = wire {
                events.push(Event::Acknowledged { wire: Some(wire) });
            }
        }
        _ => events.push(Event::Refused { wire: None, reason: text }),
    }
    Ok(())
}

/// A ticker as it is listed, classes with a point: `BRK.B`.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    (!wire.is_empty() && wire != "*").then(|| Pair::single(wire))
}

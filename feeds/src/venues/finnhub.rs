//! Finnhub: the one channel there is, `trade`. It relays US stocks, and crypto and currencies of others.
//!
//! Rows with a volume of zero are prices without a print (currencies, indications): they hold until the first
//! trade comes, and never after it. The keepalive `ping` is no data, so a closed market is silent.
//!
//! The official page could not be read. Facts are from a third party's summary of it and from clients' sources,
//! read 2026-07, and from recordings.

use std::time::Duration;

use crate::json::{Cursor, JsonError};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Summary, Trade, UnixNanos,
    Venue, tape,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Finnhub,
    // The key goes into the query: `?token=`.
    urls: &["wss://ws.finnhub.io"],
    // One connection for each key, so nothing is split. A free key follows 50 (third party's word).
    instruments_max: 10_000,
    // Our choice: a frame batches what came up at once, each row below 100 bytes.
    frame_bytes_max: 4 << 20,
    // Our choice, nothing is stated; one frame subscribes to one instrument.
    pace: Pace { frames: 10, window: Duration::from_secs(1) },
    // It sends `{"type":"ping"}`, which wants no answer.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: pings are no ticks, and all stocks are silent while the market is closed.
    silence_max: Duration::from_mins(5),
};

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Finnhub;

impl Codec for Finnhub {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |wire: &&str| serde_json::json!({"type": "subscribe", "symbol": wire}).to_string();
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
        whole(Cursor::new(text), events).inspect_err(|_| events.truncate(before))
    }
}

/// The kind stands behind the rows, and only trades have rows: they are read in place and taken back if the kind
/// is another one.
fn whole<'f>(start: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let (mut cursor, before) = (start, events.len());
    let (mut kind, mut read) = (None, false);
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        if key.is("data") && !matches!(cursor.peek(), Some(b'n')) {
            if std::mem::replace(&mut read, true) {
                return Err(JsonError::Twice { name: "data" }.into());
            }
            cursor.each(|row| take(row, events))?;
        } else if key.is("type") {
            if kind.replace(cursor.field("type")?).is_some() {
                return Err(JsonError::Twice { name: "type" }.into());
            }
        } else {
            cursor.value()?;
        }
    }
    cursor.end()?;
    match kind.ok_or(DecodeError::Missing { field: "type" })?.text()?.as_ref() {
        "trade" => {}
        "error" => {
            events.truncate(before);
            let [reason] = { start }.pick(["msg"])?;
            let reason = reason.text_if_any()?.unwrap_or_default();
            events.push(Event::Refused { wire: None, reason });
        }
        _ => events.truncate(before),
    }
    Ok(())
}

fn take<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [conditions, price, wire, time, size] = row.pick(["c", "p", "s", "t", "v"])?;
    let Some(price) = price.price_if_there()? else { return Ok(()) };
    let (wire, ts_event) = (wire.text()?, time.millis_if_any()?);
    let Some(size) = size.size_if_any()? else {
        events.push(Event::Summary(Summary {
            wire,
            last: Some(price),
            last_size: None,
            aggressor: None,
            id: None,
            top: None,
            open: None,
            high: None,
            low: None,
            volume: None,
            prev_close: None,
            ts_event,
        }));
        return Ok(());
    };
    let mut moves = Moves::ALL;
    conditions.each_word(|code| moves = moves.and(tape::finnhub(code)))?;
    let size = Some(size);
    events.push(Event::Trade(Trade {
        wire,
        price,
        size,
        aggressor: None,
        id: None,
        ts_event,
        backfill: false,
        moves,
    }));
    Ok(())
}

/// A US ticker as it is listed (`AAPL`, `BRK.B`), or something at an exchange or broker: `BINANCE:BTCUSDT`,
/// `OANDA:EUR_USD`. Of the latter only those with a separator tell their assets.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let Some((_, name)) = wire.split_once(':') else {
        return (!wire.is_empty()).then(|| Pair::single(wire));
    };
    let (base, quote) = name.split_once(['_', '-', '/'])?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains(['_', '-', '/']);
    whole.then(|| Pair::new(base, quote))
}

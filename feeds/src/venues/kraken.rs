//! Kraken spot, WebSocket v2: channels `trade` (every trade) and `ticker` with trigger `bbo` (the top of the
//! book as it changes, with the 24 h figures). Version 1, arrays with XBT in their names, is not read.
//!
//! Facts without another source are from docs.kraken.com (WebSocket v2, API reference and guides), read 2026-07.

use std::time::Duration;

use smallvec::SmallVec;

use crate::json::{Cursor, Field};
use crate::trade_ids::TradeIds;
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Summary, Trade, UnixNanos,
    Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Kraken,
    urls: &["wss://ws.kraken.com/v2"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: ticker and trade frames stay below 10 KB.
    frame_bytes_max: 1 << 20,
    // The limit moves with the venue's load ("Exceeded msg rate"), figures are not stated. Our choice.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    // The server sends a heartbeat about each second when nothing else flows; a ping of ours is optional.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: BTC/USD alone changes its top each second, but a connection may follow quiet pairs only.
    silence_max: Duration::from_secs(30),
};

/// Instruments in one subscribe frame: below 1 KB. Our choice, the venue states no limit.
const BATCH: usize = 50;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Kraken {
    /// The venue: "`trade_id` is a sequential integer per pair". The recording of 2026-07-07 has no hole.
    ids: TradeIds,
    requests: u64,
}

impl Codec for Kraken {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::new();
        for batch in wires.chunks(BATCH) {
            let trade = serde_json::json!({"channel": "trade", "symbol": batch, "snapshot": false});
            let ticker = serde_json::json!({"channel": "ticker", "symbol": batch, "event_trigger": "bbo"});
            for params in [ticker, trade] {
                self.requests += 1;
                let frame =
                    serde_json::json!({"method": "subscribe", "params": params, "req_id": self.requests});
                frames.push(frame.to_string());
            }
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
        let [channel, method, error] = cursor.first(["channel", "method", "error"])?;
        if method.is_there() || error.is_there() {
            return answered(cursor, events);
        }
        let before = events.len();
        let decoded = match channel.text()?.as_ref() {
            "trade" => self.trades(cursor, events),
            "ticker" => tickers(cursor, events),
            // Books, candles, `status` and `heartbeat` say nothing about a price that the others don't.
            _ => Ok(()),
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

impl Kraken {
    fn trades<'f>(&mut self, cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        // Ids are noted once the whole frame is understood: the trades of a refused one count as missing.
        let mut trades = SmallVec::<[Trade<'f>; 4]>::new();
        each_row(cursor, |rows, past| {
            let [wire, taker, price, size, id, time] =
                rows.pick(["symbol", "side", "price", "qty", "trade_id", "timestamp"])?;
            trades.push(Trade {
                wire: wire.text()?,
                price: price.price()?,
                size: size.size_if_any()?,
                aggressor: taker.side_if_any()?,
                id: id.id_if_any()?,
                ts_event: time.time_if_any()?,
                backfill: past,
                moves: Moves::ALL,
            });
            Ok(())
        })?;
        for trade in trades {
            if let Some(number) = trade.id.as_ref().and_then(crate::TradeId::number) {
                if trade.backfill {
                    self.ids.past(&trade.wire, number);
                } else if let Some(missing) = self.ids.live(&trade.wire, number) {
                    events.push(Event::Gap { wire: trade.wire.clone(), missing: Some(missing) });
                }
            }
            events.push(Event::Trade(trade));
        }
        Ok(())
    }
}

fn tickers<'f>(cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    each_row(cursor, |rows, _| {
        let [wire, bid, bid_size, ask, ask_size, last, volume, low, high, change, time] = rows.pick([
            "symbol",
            "bid",
            "bid_qty",
            "ask",
            "ask_qty",
            "last",
            "volume",
            "low",
            "high",
            "change",
            "timestamp",
        ])?;
        let last = last.price_if_any()?;
        let open = last.zip(change.decimal_if_any()?).and_then(|(last, change)| last.less(change));
        events.push(Event::Summary(Summary {
            wire: wire.text()?,
            last,
            last_size: None,
            aggressor: None,
            id: None,
            // A bid or ask of zero is nobody's.
            top: Field::top([bid, bid_size, ask, ask_size])?,
            open,
            high: high.price_if_any()?,
            low: low.price_if_any()?,
            volume: volume.size_if_any()?,
            prev_close: open,
            ts_event: time.time_if_any()?,
        }));
        Ok(())
    })
}

/// Calls `row` with the place of each element of `data`, and whether this is a snapshot. It must take the
/// element whole.
fn each_row<'f>(
    mut cursor: Cursor<'f>,
    mut row: impl FnMut(&mut Cursor<'f>, bool) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let [_, kind, data] = cursor.pick(["channel", "type", "data"])?;
    cursor.end()?;
    let past = match kind.text()?.as_ref() {
        "snapshot" => true,
        "update" => false,
        _ => return Err(kind.unknown()),
    };
    let mut rows = data.nested()?;
    rows.array()?;
    while rows.element()? {
        row(&mut rows, past)?;
    }
    Ok(())
}

/// The answer to a request: one for each symbol.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [method, result, success, error, symbol] =
        cursor.pick(["method", "result", "success", "error", "symbol"])?;
    cursor.end()?;
    if let Some(reason) = error.text_if_any()? {
        events.push(Event::Refused { wire: symbol.text_if_any()?, reason });
    } else if method.text()? == "subscribe" && success.bool_if_any()? == Some(true) {
        let wire = match result.nested_if_any()? {
            Some(mut result) => {
                let [symbol] = result.pick(["symbol"])?;
                symbol.text_if_any()?
            }
            None => None,
        };
        events.push(Event::Acknowledged { wire });
    }
    Ok(())
}

/// Splits `BTC/USD`. The venue's REST names and old socket write XBT and XDG for BTC and DOGE. `None` for names
/// without a slash (dark pools and REST keys).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('/')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('/');
    whole.then(|| Pair::new(common(base), common(quote)))
}

fn common(asset: &str) -> &str {
    match asset {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

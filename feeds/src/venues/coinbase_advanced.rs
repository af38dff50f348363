//! Coinbase Advanced Trade: channels `market_trades` (every trade, collected over 250 ms), `ticker` (top of the
//! book and some of the 24 h figures, once per trade) and `heartbeats` (other channels close without it).
//!
//! Facts without another source are from the venue's own pages (docs.cdp.coinbase.com, Advanced Trade WebSocket),
//! read 2026-07.

use std::collections::HashSet;
use std::time::Duration;

use smallvec::SmallVec;

use crate::json::{Cursor, Field};
use crate::trade_ids::TradeIds;
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Side, Summary, Trade,
    TradeId, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::CoinbaseAdvanced,
    urls: &["wss://advanced-trade-ws.coinbase.com"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: the channels used send frames below 10 KB, an acknowledgement names each instrument twice.
    frame_bytes_max: 1 << 20,
    // 8 messages a second and IP without a key; half of it leaves room for a second connection.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    // Nothing is asked of the client; the heartbeats channel keeps bytes flowing.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice, as for the Exchange, whose trades these are.
    silence_max: Duration::from_secs(10),
};

/// Instruments in one subscribe frame: below 1 KB. Our choice, the venue states no limit.
const BATCH: usize = 50;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct CoinbaseAdvanced {
    /// The ids are the Exchange's, which have no holes: see `coinbase.rs`. The envelope's `sequence_num` counts
    /// frames of all products and channels, so a jump of it would not tell whose trades are lost.
    ids: TradeIds,
}

impl Codec for CoinbaseAdvanced {
    /// One channel a frame. A `-USDC` product answers under the name of its `-USD` one, whose book it shares
    /// (USDT-USDC and EURC-USDC apart): only the `-USD` name gets ticks here.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        if wires.is_empty() {
            return Vec::new();
        }
        let mut frames = vec![serde_json::json!({"type": "subscribe", "channel": "heartbeats"}).to_string()];
        for batch in wires.chunks(BATCH) {
            for channel in ["ticker", "market_trades"] {
                let frame =
                    serde_json::json!({"type": "subscribe", "channel": channel, "product_ids": batch});
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
        let [channel, kind] = cursor.first(["channel", "type"])?;
        if kind.is_there() {
            return if kind.text()? == "error" { refused(cursor, events) } else { Ok(()) };
        }
        let before = events.len();
        let decoded = match channel.text()?.as_ref() {
            "market_trades" => self.trades(cursor, events),
            "ticker" | "ticker_batch" => tickers(cursor, events),
            "subscriptions" => acknowledged(cursor, events),
            // Heartbeats, candles, books, the list of products.
            _ => Ok(()),
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

impl CoinbaseAdvanced {
    fn trades<'f>(&mut self, cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        // Ids are noted once the whole frame is understood: the trades of a refused one count as missing.
        let mut trades = SmallVec::<[Trade<'f>; 4]>::new();
        each_row(cursor, "trades", |rows, backfill| {
            let [wire, id, price, size, time, maker] =
                rows.pick(["product_id", "trade_id", "price", "size", "time", "side"])?;
            trades.push(Trade {
                wire: wire.text()?,
                price: price.price()?,
                size: size.size_if_any()?,
                // The maker's side, as in the Exchange's matches.
                aggressor: maker.side_if_any()?.map(Side::opposite),
                id: id.id_if_any()?,
                ts_event: time.time_if_any()?,
                backfill,
                moves: Moves::ALL,
            });
            Ok(())
        })?;
        if trades.len() > 1 {
            // Mostly the newest comes first, in some frames the oldest.
            trades.reverse();
            trades.sort_by_key(|trade| (trade.ts_event, trade.id.as_ref().and_then(TradeId::number)));
        }
        for trade in trades {
            if let Some(number) = trade.id.as_ref().and_then(TradeId::number) {
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

/// The batched one lacks the top of the book.
fn tickers<'f>(cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    // A row has no time of its own.
    let [time] = cursor.first(["timestamp"])?;
    let ts_event = time.time_if_any()?;
    each_row(cursor, "tickers", |rows, _| {
        let [wire, last, volume, low, high, bid, ask, bid_size, ask_size] = rows.pick([
            "product_id",
            "price",
            "volume_24_h",
            "low_24_h",
            "high_24_h",
            "best_bid",
            "best_ask",
            "best_bid_quantity",
            "best_ask_quantity",
        ])?;
        // Empty objects have been seen (ccxt's handling of this channel, read 2026-07).
        if !wire.is_there() && !last.is_there() {
            return Ok(());
        }
        events.push(Event::Summary(Summary {
            wire: wire.text()?,
            last: last.price_if_any()?,
            last_size: None,
            aggressor: None,
            id: None,
            top: Field::top([bid, bid_size, ask, ask_size])?,
            // The change comes as a rounded percentage only: no exact price can be had from that.
            open: None,
            high: high.price_if_any()?,
            low: low.price_if_any()?,
            volume: volume.size_if_any()?,
            prev_close: None,
            ts_event,
        }));
        Ok(())
    })
}

/// Calls `row` where each row called `name` of each event starts, and says whether it is of a snapshot. It must
/// take the row whole.
#[inline]
fn each_row<'f>(
    mut cursor: Cursor<'f>,
    name: &'static str,
    mut row: impl FnMut(&mut Cursor<'f>, bool) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let found = cursor.within("events", |events| {
        events.each(|event| {
            let [kind] = event.first(["type"])?;
            let past = match kind.text()?.as_ref() {
                "snapshot" => true,
                "update" => false,
                _ => return Err(kind.unknown()),
            };
            event.within(name, |rows| rows.each(|rows| row(rows, past))).map(drop)
        })
    })?;
    cursor.end()?;
    if found { Ok(()) } else { Err(DecodeError::Missing { field: "events" }) }
}

/// States the whole set of the connection, channel by channel: each product is told once.
fn acknowledged<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut told = HashSet::new();
    cursor.within("events", |list| {
        list.each(|event| {
            let found = event.within("subscriptions", |channels| {
                channels.object()?;
                while let Some(channel) = channels.key()? {
                    if channel.is("heartbeats") {
                        channels.value()?;
                        continue;
                    }
                    channels.each(|products| {
                        let wire = products.field("subscriptions")?.text()?;
                        if told.insert(wire.clone()) {
                            events.push(Event::Acknowledged { wire: Some(wire) });
                        }
                        Ok::<_, DecodeError>(())
                    })?;
                }
                Ok::<_, DecodeError>(())
            });
            found.map(drop)
        })
    })?;
    Ok(cursor.end()?)
}

/// It may mislead: a channel that does not exist is "authentication failure" (recording of 2026-09-05).
fn refused<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, message] = cursor.pick(["type", "message"])?;
    cursor.end()?;
    events.push(Event::Refused { wire: None, reason: message.text()? });
    Ok(())
}

/// Splits `BTC-USD`. `None` for what is no spot pair (`BTC-PERP-INTX`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('-')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('-');
    whole.then(|| Pair::new(base, quote))
}

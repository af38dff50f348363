//! Coinbase Exchange (not Advanced Trade): channels `ticker` (top of the book and the 24 h figures, once per
//! trade), `matches` (every trade) and `heartbeat` (which trades there should have been).
//!
//! Facts without another source are from the venue's own pages on its Exchange WebSocket feed, read 2026-07.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::trade_ids::TradeIds;
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Side, Summary, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Coinbase,
    // The other host, `ws-direct`, wants a key.
    urls: &["wss://ws-feed.exchange.coinbase.com"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 200,
    // Our choice: the channels used send frames below 1 KB, and an acknowledgement names each instrument three
    // times. Only the level2 snapshot is larger (1.1 MB seen), and that is not subscribed.
    frame_bytes_max: 1 << 20,
    // 8 requests a second and IP with bursts of 20 (2026-07); half of it leaves room for a second connection.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    // The feed pings by protocol frames, if at all; the heartbeat channel keeps bytes flowing.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice, for a connection with a busy instrument on it: between two trades of BTC-USD were at most 1.3 s
    // in the recording of 2026-07-07, of ETH-USD 8.4 s. One with quiet ones only needs more, by the config.
    silence_max: Duration::from_secs(10),
};

/// Instruments in one subscribe frame: about 1 KB. Our choice, the venue states no limit.
const BATCH: usize = 50;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Coinbase {
    /// Ids have no holes: 521 matches of 12 products and 116 heartbeats in recordings of 2021 and 2026.
    ids: TradeIds,
}

impl Codec for Coinbase {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |batch: &[&str]| {
            serde_json::json!({
                "type": "subscribe",
                "product_ids": batch,
                "channels": ["ticker", "matches", "heartbeat"],
            })
        };
        wires.chunks(BATCH).map(|batch| frame(batch).to_string()).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        let cursor = Cursor::new(text);
        let [kind] = cursor.first(["type"])?;
        // The venue asks to ignore kinds that one does not know.
        match kind.text()?.as_ref() {
            "match" => self.trade(cursor, false, events),
            "last_match" => self.trade(cursor, true, events),
            "ticker" => ticker(cursor, events),
            "heartbeat" => self.heartbeat(cursor, events),
            "subscriptions" => acknowledged(cursor, events),
            "error" => refused(cursor, events),
            _ => Ok(()),
        }
    }
}

impl Coinbase {
    fn trade<'f>(
        &mut self,
        mut cursor: Cursor<'f>,
        backfill: bool,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let [_, id, maker, size, price, wire, time] =
            cursor.pick(["type", "trade_id", "side", "size", "price", "product_id", "time"])?;
        cursor.end()?;
        let trade = Trade {
            wire: wire.text()?,
            price: price.price()?,
            size: size.size_if_any()?,
            // A match names the maker's side; the aggressor is the other one.
            aggressor: maker.side_if_any()?.map(Side::opposite),
            id: id.id_if_any()?,
            ts_event: time.time_if_any()?,
            backfill,
            moves: Moves::ALL,
        };
        if let Some(number) = trade.id.as_ref().and_then(crate::TradeId::number) {
            if backfill {
                self.ids.past(&trade.wire, number);
            } else if let Some(missing) = self.ids.live(&trade.wire, number) {
                events.push(Event::Gap { wire: trade.wire.clone(), missing: Some(missing) });
            }
        }
        events.push(Event::Trade(trade));
        Ok(())
    }

    /// Says which trade is the newest: those that should have come by now and did not are lost.
    fn heartbeat<'f>(&mut self, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let [_, wire, newest] = cursor.pick(["type", "product_id", "last_trade_id"])?;
        cursor.end()?;
        let wire = wire.text()?;
        let newest = newest.id_if_any()?.and_then(|id| id.number());
        if let Some(missing) = newest.and_then(|newest| self.ids.exists(&wire, newest)) {
            events.push(Event::Gap { wire, missing: Some(missing) });
        }
        Ok(())
    }
}

/// Frames of 2019 to 2021 lack the sizes of the top; some lack the time.
fn ticker<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, wire, last, open, volume, low, high, bid, bid_size, ask, ask_size, side, time, id, last_size] =
        cursor.pick([
            "type",
            "product_id",
            "price",
            "open_24h",
            "volume_24h",
            "low_24h",
            "high_24h",
            "best_bid",
            "best_bid_size",
            "best_ask",
            "best_ask_size",
            "side",
            "time",
            "trade_id",
            "last_size",
        ])?;
    cursor.end()?;
    let top = Field::top([bid, bid_size, ask, ask_size])?;
    let open = open.price_if_any()?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: last_size.size_if_any()?,
        // Here the side is the taker's, unlike in a match.
        aggressor: side.side_if_any()?,
        id: id.id_if_any()?,
        top,
        open,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close: open,
        ts_event: time.time_if_any()?,
    }));
    Ok(())
}

/// States the whole set of the connection, channel by channel: each product is told once.
fn acknowledged<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, channels] = cursor.pick(["type", "channels"])?;
    cursor.end()?;
    let mut wires = Vec::new();
    let mut channels = channels.nested()?;
    channels.array()?;
    while channels.element()? {
        let [products] = channels.pick(["product_ids"])?;
        let Some(mut products) = products.nested_if_any()? else { continue };
        products.array()?;
        while products.element()? {
            wires.push(products.field("product_ids")?.text()?);
        }
    }
    let mut told = HashSet::new();
    for wire in wires {
        if told.insert(wire.clone()) {
            events.push(Event::Acknowledged { wire: Some(wire) });
        }
    }
    Ok(())
}

fn refused<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [_, message, reason] = cursor.pick(["type", "message", "reason"])?;
    cursor.end()?;
    let reason = match reason.text_if_any()? {
        Some(reason) => reason,
        None => message.text()?,
    };
    // The venue's example: "GIBBERISH-USD is not a valid product" (docs.cloud.coinbase.com, overview, 2022).
    let wire = reason.strip_suffix(" is not a valid product").map(|wire| Cow::Owned(wire.to_owned()));
    events.push(Event::Refused { wire, reason });
    Ok(())
}

/// Splits `BTC-USD`. `None` for what is no spot pair (`BTC-PERP-INTX`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('-')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('-');
    whole.then(|| Pair::new(base, quote))
}

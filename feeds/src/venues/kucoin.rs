//! KuCoin spot, the unified socket that needs no token: channels `trade` (every trade) and `ticker` (the top of
//! the book with the last trade). It has no channel for the 24 h figures.
//!
//! The classic socket wants a token by a POST before each connection, so we do not follow it. Its frames are read
//! all the same, for recordings and for who puts an address with a token into the config. Facts are from the
//! venue's kucoin-api-docs (2023-06) and universal SDK (2025-11), of the unified socket from three clients that
//! use it (ccxt, cryptofeed, tigusigalpa/kucoin-go), read 2026-11. No recording of it was at hand, documented
//! frames only.

use std::borrow::Cow;
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Price, Profile, Quote, Size, Summary,
    Top, Trade, TradeId, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::KuCoin,
    urls: &["wss://x-push-spot.kucoin.com"],
    // 200 topics on one connection (cryptofeed), and we follow two of each instrument.
    instruments_max: 200 / CHANNELS.len(),
    // Our choice: the channels used send frames below 1 KB.
    frame_bytes_max: 1 << 20,
    // 100 messages in 10 s; eight tenths of it.
    pace: Pace { frames: 8, window: Duration::from_secs(1) },
    // Each 18 s on the classic socket, which is cut off at 60 s; each 30 s on this one, says its greeting.
    ping: Ping::Text { text: r#"{"id":"ping","type":"ping"}"#, every: Duration::from_secs(18) },
    // A token's age on the classic socket; the unified one states none.
    lifetime: Some(Duration::from_hours(24)),
    // Our choice: the ticker of any busy pair changes within seconds.
    silence_max: Duration::from_secs(30),
};

const CHANNELS: [&str; 2] = ["trade", "ticker"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct KuCoin;

impl Codec for KuCoin {
    /// One pair and channel a frame. The id comes back in the answer, so it names both.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |wire: &str, channel: &str| {
            serde_json::json!({
                "id": format!("{channel}.{wire}"),
                "action": "subscribe",
                "channel": channel,
                "tradeType": "SPOT",
                "symbol": wire,
            })
            .to_string()
        };
        wires.iter().flat_map(|wire| CHANNELS.map(|channel| frame(wire, channel))).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let cursor = Cursor::new(frame.utf8()?);
        let [unified, classic, result, message] = cursor.first(["T", "type", "result", "message"])?;
        let before = events.len();
        let decoded = if unified.is_there() {
            match unified.text()?.as_ref() {
                "trade.SPOT" => data(cursor, "d", |row| trade(row, events)),
                "ticker.SPOT" => data(cursor, "d", |row| ticker(row, events)),
                // Books, candles, futures.
                _ => Ok(()),
            }
        } else if result.is_there() || message.is_there() {
            answered(cursor, events)
        } else {
            match classic.text()?.as_ref() {
                "message" => self::classic(cursor, events),
                "ack" => acknowledged(cursor, events),
                "error" => classic_error(cursor, events),
                // The greeting and pongs.
                _ => Ok(()),
            }
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

/// Calls `read` where the data called `name` starts; it must take that whole.
#[inline]
fn data<'f>(
    mut cursor: Cursor<'f>,
    name: &'static str,
    read: impl FnMut(&mut Cursor<'f>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let found = cursor.within(name, read)?;
    cursor.end()?;
    if found { Ok(()) } else { Err(DecodeError::Missing { field: name }) }
}

fn trade<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [time, taker, price, size, wire, id] = row.pick(["M", "S", "p", "q", "s", "ti"])?;
    events.push(Event::Trade(print(wire, price, size, taker, id, time)?));
    Ok(())
}

fn ticker<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [ask_size, bid_size, time, taker, ask, bid, last, last_size, wire] =
        row.pick(["A", "B", "M", "S", "a", "b", "l", "q", "s"])?;
    let top = Top {
        bid: bid.price_if_there()?,
        bid_size: bid_size.size_if_any()?,
        ask: ask.price_if_there()?,
        ask_size: ask_size.size_if_any()?,
    };
    let summary = best(wire.text()?, top, last, last_size, time.nanos_if_any()?)?;
    events.push(Event::Summary(Summary { aggressor: taker.side_if_any()?, ..summary }));
    Ok(())
}

/// The answer to a request of ours, or the greeting, which has a message and no result.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [id, result, reason, message] = cursor.pick(["id", "result", "reason", "message"])?;
    cursor.end()?;
    let wire =
        id.text_if_any()?.as_deref().and_then(|id| id.split_once('.').map(|(_, wire)| wire.to_owned()));
    let wire = wire.map(Cow::Owned);
    match result.bool_if_any()? {
        Some(true) => events.push(Event::Acknowledged { wire }),
        Some(false) => {
            let reason = if reason.is_there() { reason } else { message };
            events.push(Event::Refused { wire, reason: reason.text()? });
        }
        None => {}
    }
    Ok(())
}

/// A frame of the classic socket. Its topic is `/channel:symbol`, and some channels have the symbol only there.
fn classic<'f>(cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [topic] = cursor.first(["topic"])?;
    let topic = topic.text()?;
    match topic.split(':').next() {
        Some("/market/match") => data(cursor, "data", |row| {
            let [wire, taker, size, price, time, id] =
                row.pick(["symbol", "side", "size", "price", "time", "tradeId"])?;
            events.push(Event::Trade(print(wire, price, size, taker, id, time)?));
            Ok(())
        }),
        Some("/market/ticker") => data(cursor, "data", |row| {
            // Of all pairs it has the symbol for its subject.
            let wire = match symbol(&topic)? {
                all if all == "all" => {
                    let [subject] = cursor.first(["subject"])?;
                    subject.text()?
                }
                wire => wire,
            };
            classic_ticker(row, wire, events)
        }),
        Some("/market/snapshot") => data(cursor, "data", |outer| {
            let found = outer.within("data", |row| classic_snapshot(row, events))?;
            if found { Ok(()) } else { Err(DecodeError::Missing { field: "data" }) }
        }),
        Some("/spotMarket/level1") => data(cursor, "data", |row| {
            let [asks, bids, time] = row.pick(["asks", "bids", "timestamp"])?;
            let ((bid, bid_size), (ask, ask_size)) = (level(bids)?, level(asks)?);
            events.push(Event::Quote(Quote {
                wire: symbol(&topic)?,
                bid,
                bid_size,
                ask,
                ask_size,
                sequence: None,
                ts_event: time.millis_if_any()?,
            }));
            Ok(())
        }),
        // Books, candles, call auctions, futures.
        _ => Ok(()),
    }
}

fn classic_ticker<'f>(
    row: &mut Cursor<'f>,
    wire: Cow<'f, str>,
    events: &mut Events<'f>,
) -> Result<(), DecodeError> {
    let [ask, ask_size, bid, bid_size, last, last_size, time, capital] =
        row.pick(["bestAsk", "bestAskSize", "bestBid", "bestBidSize", "price", "size", "time", "Time"])?;
    let top = Top {
        bid: bid.price_if_there()?,
        bid_size: bid_size.size_if_any()?,
        ask: ask.price_if_there()?,
        ask_size: ask_size.size_if_any()?,
    };
    // The venue's own sample writes it large.
    let time = if time.is_there() { time } else { capital };
    let summary = best(wire, top, last, last_size, time.millis_if_any()?)?;
    events.push(Event::Summary(summary));
    Ok(())
}

fn classic_snapshot<'f>(row: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [ask_size, bid_size, bid, time, high, last, low, open, ask, wire, volume] = row.pick([
        "askSize",
        "bidSize",
        "buy",
        "datetime",
        "high",
        "lastTradedPrice",
        "low",
        "open",
        "sell",
        "symbol",
        "vol",
    ])?;
    let top = Field::top([bid, bid_size, ask, ask_size])?;
    let open = open.price_if_any()?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: last.price_if_any()?,
        last_size: None,
        aggressor: None,
        id: None,
        top,
        open,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        // The window rolls: its first price is the one of 24 h ago.
        prev_close: open,
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

/// Has the id of our request, which the classic socket gives no use.
fn acknowledged<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    cursor.value()?;
    cursor.end()?;
    events.push(Event::Acknowledged { wire: None });
    Ok(())
}

fn classic_error<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [data] = cursor.pick(["data"])?;
    cursor.end()?;
    events.push(Event::Refused { wire: None, reason: data.text()? });
    Ok(())
}

/// Nanoseconds, and a trade id that is a hex text until 2022.
fn print<'f>(
    wire: Field<'f>,
    price: Field<'f>,
    size: Field<'f>,
    taker: Field<'f>,
    id: Field<'f>,
    time: Field<'f>,
) -> Result<Trade<'f>, DecodeError> {
    Ok(Trade {
        wire: wire.text()?,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: taker.side_if_any()?,
        id: id.text_if_any()?.filter(|id| !id.is_empty()).map(TradeId),
        ts_event: time.nanos_if_any()?,
        backfill: false,
        moves: Moves::ALL,
    })
}

/// A summary of the top and the last trade, with no figures of a day.
fn best<'f>(
    wire: Cow<'f, str>,
    top: Top,
    last: Field<'f>,
    last_size: Field<'f>,
    ts_event: Option<UnixNanos>,
) -> Result<Summary<'f>, DecodeError> {
    Ok(Summary {
        wire,
        last: last.price_if_any()?,
        last_size: last_size.size_if_any()?,
        aggressor: None,
        id: None,
        top: Some(top),
        open: None,
        high: None,
        low: None,
        volume: None,
        prev_close: None,
        ts_event,
    })
}

/// `["68145.8","0.51987471"]`; empty or null where the side is.
fn level(side: Field<'_>) -> Result<(Option<Price>, Option<Size>), DecodeError> {
    if side.is_null() {
        return Ok((None, None));
    }
    let mut level = side.nested()?;
    level.array()?;
    if !level.element()? {
        return Ok((None, None));
    }
    let price = level.field("price")?.price_if_any()?;
    let size = if level.element()? { level.field("size")?.size_if_any()? } else { None };
    Ok((price, size))
}

/// What stands after the colon.
fn symbol<'f>(topic: &Cow<'f, str>) -> Result<Cow<'f, str>, DecodeError> {
    let symbol = match topic {
        Cow::Borrowed(topic) => topic.split_once(':').map(|(_, symbol)| Cow::Borrowed(symbol)),
        Cow::Owned(topic) => topic.split_once(':').map(|(_, symbol)| Cow::Owned(symbol.to_owned())),
    };
    symbol.filter(|symbol| !symbol.is_empty()).ok_or(DecodeError::Value { field: "topic" })
}

/// Splits `BTC-USDT`. Some names keep a code that the asset no longer has (the venue's list of 2021-04-25).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('-')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('-');
    let base = match base {
        "BCHSV" => "BSV",
        "LOKI" => "OXEN",
        "R" => "REV",
        "WAX" => "WAXP",
        other => other,
    };
    whole.then(|| Pair::new(base, quote))
}

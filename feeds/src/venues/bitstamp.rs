//! Bitstamp, WebSocket v2: channels `live_trades` (every trade) and `order_book` (the hundred best prices of each
//! side, of which the first is the top). There is no channel with 24 h figures.
//!
//! Facts without another source are from how tardis-node and ccxt use the socket (2026); the venue's own page
//! could not be read.

use std::borrow::Cow;
use std::time::Duration;

use crate::json::{Cursor, Field, JsonError};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Side, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Bitstamp,
    urls: &["wss://ws.bitstamp.net"],
    // The venue states no limit. Our choice: a lost connection loses at most this many.
    instruments_max: 100,
    // Our choice: a book of 200 prices has 7 KB.
    frame_bytes_max: 1 << 20,
    // The venue states no limit. Our choice: a full connection is subscribed in 20 s.
    pace: Pace { frames: 10, window: Duration::from_secs(1) },
    // As other clients do each 10 s (crypto-ws-client, skip-mev/connect). The answer has the same name.
    ping: Ping::Text { text: r#"{"event":"bts:heartbeat"}"#, every: Duration::from_secs(10) },
    // 90 days, by the README of a client (slinky).
    lifetime: Some(Duration::from_hours(90 * 24)),
    // Our choice: the book of a busy pair changes some times a second, a quiet one's within half a minute.
    silence_max: Duration::from_secs(30),
};

/// The venue's quote assets: all of its list of 2022-01-05 (140 pairs, and each is split right by its longest
/// suffix from here), and RLUSD, which came later, as other public projects use it.
const QUOTES: &[&str] = &["BTC", "ETH", "EUR", "GBP", "PAX", "RLUSD", "USD", "USDC", "USDT"];

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Bitstamp;

impl Codec for Bitstamp {
    /// One channel a frame. The venue acknowledges also what it does not have
    /// (thrasher-corp/gocryptotrader#1620, 2024-12): a wrong name shows by its silence only.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |channel: &str, wire: &str| {
            let channel = format!("{channel}{wire}");
            serde_json::json!({"event": "bts:subscribe", "data": {"channel": channel}}).to_string()
        };
        wires.iter().flat_map(|wire| [TRADES, BOOK].map(|channel| frame(channel, wire))).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        whole(Cursor::new(text), events)
    }
}

const TRADES: &str = "live_trades_";
const BOOK: &str = "order_book_";

/// What a frame may have inside of `data`.
struct Data<'f> {
    id: Field<'f>,
    amount: Field<'f>,
    amount_text: Field<'f>,
    price: Field<'f>,
    price_text: Field<'f>,
    side: Field<'f>,
    time: Field<'f>,
    bids: Field<'f>,
    asks: Field<'f>,
    message: Field<'f>,
}

/// What a frame is stands at its end, so everything is picked up on the way there.
fn whole<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let (mut event, mut channel, mut data, mut seen) = (None, None, None, false);
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        let (name, twice) = if key.is("event") {
            ("event", event.replace(cursor.field("event")?).is_some())
        } else if key.is("channel") {
            ("channel", channel.replace(cursor.field("channel")?).is_some())
        } else if key.is("data") {
            if cursor.peek() == Some(b'{') {
                data = Some(picked(&mut cursor)?);
            } else {
                cursor.value()?;
            }
            ("data", std::mem::replace(&mut seen, true))
        } else {
            cursor.value()?;
            continue;
        };
        if twice {
            return Err(JsonError::Twice { name }.into());
        }
    }
    cursor.end()?;
    let event = event.ok_or(DecodeError::Missing { field: "event" })?.text()?;
    let channel = channel.map_or(Ok(None), Field::text_if_any)?;
    let wire = |prefix: &str| channel.as_ref().and_then(|channel| after(channel, prefix));
    let data = data.as_ref().ok_or(DecodeError::Missing { field: "data" });
    match event.as_ref() {
        "trade" => {
            if let Some(wire) = wire(TRADES) {
                events.push(trade(wire, data?)?);
            }
        }
        // Also of books that hold changes only, whose channels have other names.
        "data" => {
            if let Some(wire) = wire(BOOK) {
                events.push(quote(wire, data?)?);
            }
        }
        "bts:subscription_succeeded" => {
            events.push(Event::Acknowledged { wire: wire(TRADES).or_else(|| wire(BOOK)) });
        }
        "bts:error" => {
            let wire = wire(TRADES).or_else(|| wire(BOOK));
            events.push(Event::Refused { wire, reason: data?.message.text()? });
        }
        "bts:request_reconnect" => events.push(Event::Reconnect),
        // Heartbeats, single orders.
        _ => {}
    }
    Ok(())
}

#[inline]
fn picked<'f>(cursor: &mut Cursor<'f>) -> Result<Data<'f>, DecodeError> {
    let [id, amount, amount_text, price, price_text, side, time, bids, asks, message] = cursor.pick([
        "id",
        "amount",
        "amount_str",
        "price",
        "price_str",
        "type",
        "microtimestamp",
        "bids",
        "asks",
        "message",
    ])?;
    Ok(Data { id, amount, amount_text, price, price_text, side, time, bids, asks, message })
}

/// The rest of a channel's name.
fn after<'f>(channel: &Cow<'f, str>, prefix: &str) -> Option<Cow<'f, str>> {
    let wire = match channel {
        Cow::Borrowed(channel) => Cow::Borrowed(channel.strip_prefix(prefix)?),
        Cow::Owned(channel) => Cow::Owned(channel.strip_prefix(prefix)?.to_owned()),
    };
    (!wire.is_empty()).then_some(wire)
}

/// Ids rise with time, but all instruments share them.
#[inline]
fn trade<'f>(wire: Cow<'f, str>, data: &Data<'f>) -> Result<Event<'f>, DecodeError> {
    // The numbers went through a binary float at the venue (0.0016429999999999999 in 2019); their texts did not.
    let exact = |text: Field<'f>, number| if text.is_there() { text } else { number };
    Ok(Event::Trade(Trade {
        wire,
        price: exact(data.price_text, data.price).price()?,
        size: exact(data.amount_text, data.amount).size_if_any()?,
        aggressor: match data.side.integer_if_any()? {
            Some(0) => Some(Side::Buy),
            Some(1) => Some(Side::Sell),
            Some(_) => return Err(data.side.unknown()),
            None => None,
        },
        id: data.id.id_if_any()?,
        ts_event: data.time.micros_if_any()?,
        backfill: false,
        moves: Moves::ALL,
    }))
}

#[inline]
fn quote<'f>(wire: Cow<'f, str>, data: &Data<'f>) -> Result<Event<'f>, DecodeError> {
    let ((bid, bid_size), (ask, ask_size)) = (data.bids.best()?, data.asks.best()?);
    let ts_event = data.time.micros_if_any()?;
    Ok(Event::Quote(Quote { wire, bid, bid_size, ask, ask_size, sequence: None, ts_event }))
}

/// Splits `btcusd` at the longest of the venue's quote assets that it ends with. `None` where none fits, and for
/// contracts (`btcusd-perp`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    if wire.contains('-') { None } else { Pair::split(wire, QUOTES) }
}

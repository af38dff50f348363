//! Hyperliquid: subscriptions `trades` (every trade), `bbo` (the top of the book) and `activeAssetCtx` (the price
//! a day ago and the day's volume). Spot pairs and perpetuals are on one socket, at different prices.
//!
//! Facts without another source are from the venue's gitbook (WebSocket subscriptions, rate limits), read 2026-07.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Price, Profile, Quote, Side, Size,
    Summary, Trade, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Hyperliquid,
    urls: &["wss://api.hyperliquid.xyz/ws"],
    // 1000 subscriptions of one IP over all its connections, and we follow three of each instrument.
    instruments_max: 1000 / SUBSCRIPTIONS.len(),
    // Our choice: the subscriptions used send frames of some KB.
    frame_bytes_max: 1 << 20,
    // 2000 messages a minute from one IP; three quarters of it.
    pace: Pace { frames: 25, window: Duration::from_secs(1) },
    // A connection on which the server sent nothing for 60 s is closed.
    ping: Ping::Text { text: r#"{"method":"ping"}"#, every: Duration::from_secs(30) },
    lifetime: None,
    // Our choice: the top of the book of any busy coin changes each second or two.
    silence_max: Duration::from_secs(30),
};

const SUBSCRIPTIONS: [&str; 3] = ["trades", "bbo", "activeAssetCtx"];

/// Beyond so many coins their trades stay past ones, so no hostile frame makes the set grow. Far above the
/// profile's `instruments_max`.
const COINS_MAX: usize = 4_096;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Hyperliquid {
    /// Coins whose past trades have come: the first trades of each coin on a connection are those, and nothing in
    /// the frame says so (tardis-node, read 2026-07). Where a coin had none, a live trade is taken for one.
    begun: HashSet<Box<str>>,
}

impl Codec for Hyperliquid {
    /// One subscription a frame: there is no other way.
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |coin: &str, kind: &str| {
            serde_json::json!({"method": "subscribe", "subscription": {"type": kind, "coin": coin}})
                .to_string()
        };
        wires.iter().flat_map(|coin| SUBSCRIPTIONS.map(|kind| frame(coin, kind))).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        let cursor = Cursor::new(text);
        let [channel] = cursor.first(["channel"])?;
        let before = events.len();
        let decoded = match channel.text()?.as_ref() {
            "trades" => self.trades(cursor, events),
            "bbo" => data(cursor, |cursor| quote(cursor, events)),
            "activeAssetCtx" | "activeSpotAssetCtx" => data(cursor, |cursor| summary(cursor, events)),
            "subscriptionResponse" => data(cursor, |cursor| acknowledged(cursor, events)),
            "error" => data(cursor, |cursor| refused(cursor, events)),
            // Pongs, candles, books, and all mids: nobody offers to trade at those.
            _ => Ok(()),
        };
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

impl Hyperliquid {
    fn trades<'f>(&mut self, cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let before = events.len();
        data(cursor, |rows| {
            rows.each(|rows| {
                let [wire, taker, price, size, time, id] =
                    rows.pick(["coin", "side", "px", "sz", "time", "tid"])?;
                let wire = wire.text()?;
                let backfill = !self.begun.contains(&*wire);
                events.push(Event::Trade(Trade {
                    wire,
                    price: price.price()?,
                    size: size.size_if_any()?,
                    aggressor: side(taker)?,
                    id: id.id_if_any()?,
                    ts_event: time.millis_if_any()?,
                    backfill,
                    moves: Moves::ALL,
                }));
                Ok(())
            })
        })?;
        for event in events.iter().skip(before) {
            let Event::Trade(Trade { wire, backfill: true, .. }) = event else { continue };
            if self.begun.len() < COINS_MAX && !self.begun.contains(&**wire) {
                self.begun.insert((&**wire).into());
            }
        }
        Ok(())
    }
}

/// Calls `read` where the data starts; it must take that whole.
#[inline]
fn data<'f>(
    mut cursor: Cursor<'f>,
    read: impl FnMut(&mut Cursor<'f>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let found = cursor.within("data", read)?;
    cursor.end()?;
    if found { Ok(()) } else { Err(DecodeError::Missing { field: "data" }) }
}

/// `B` for a taker who bought, `A` (at the ask side of the book) for one who sold.
fn side(taker: Field<'_>) -> Result<Option<Side>, DecodeError> {
    match taker.text_if_any()?.as_deref() {
        None => Ok(None),
        Some("B") => Ok(Some(Side::Buy)),
        Some("A") => Ok(Some(Side::Sell)),
        Some(_) => Err(taker.unknown()),
    }
}

fn quote<'f>(cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, time, sides] = cursor.pick(["coin", "time", "bbo"])?;
    let mut sides = sides.nested()?;
    sides.array()?;
    let (bid, bid_size) = level(&mut sides)?;
    let (ask, ask_size) = level(&mut sides)?;
    events.push(Event::Quote(Quote {
        wire: wire.text()?,
        bid,
        bid_size,
        ask,
        ask_size,
        sequence: None,
        ts_event: time.millis_if_any()?,
    }));
    Ok(())
}

/// The next side of the book, bid first. Null, or missing at the end, where it is empty.
fn level(sides: &mut Cursor<'_>) -> Result<(Option<Price>, Option<Size>), DecodeError> {
    if !sides.element()? {
        return Ok((None, None));
    }
    let Some(mut level) = sides.field("bbo")?.nested_if_any()? else { return Ok((None, None)) };
    let [price, size] = level.pick(["px", "sz"])?;
    Ok((price.price_if_there()?, size.size_if_any()?))
}

/// The mid and the mark price in it are nobody's: only what trades made is taken.
fn summary<'f>(cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [wire, figures] = cursor.pick(["coin", "ctx"])?;
    let [day_ago, volume] = figures.nested()?.pick(["prevDayPx", "dayBaseVlm"])?;
    let day_ago = day_ago.price_if_any()?;
    events.push(Event::Summary(Summary {
        wire: wire.text()?,
        last: None,
        last_size: None,
        aggressor: None,
        id: None,
        top: None,
        open: day_ago,
        high: None,
        low: None,
        volume: volume.size_if_any()?,
        prev_close: day_ago,
        ts_event: None,
    }));
    Ok(())
}

/// Repeats the subscription. Only that of the trades is told, not each of the three.
fn acknowledged<'f>(cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [method, subscription] = cursor.pick(["method", "subscription"])?;
    if method.text()? == "subscribe" {
        let [kind, coin] = subscription.nested()?.pick(["type", "coin"])?;
        if kind.text()? == "trades" {
            events.push(Event::Acknowledged { wire: coin.text_if_any()? });
        }
    }
    Ok(())
}

/// A text, with the subscription in it as JSON or as `type:coin`; neither form is confirmed by a recording.
fn refused<'f>(cursor: &mut Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let reason = cursor.field("data")?.text()?;
    // A second request for what one has is harmless (ccxt/ccxt#28369).
    if reason.starts_with("Already subscribed") {
        return Ok(());
    }
    let coin = reason.split_once("\"coin\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let wire = coin.map(|(coin, _)| Cow::Owned(coin.to_owned()));
    events.push(Event::Refused { wire, reason });
    Ok(())
}

/// Splits `PURR/USDC`. `None` for other spot pairs, which the socket numbers (`@107`: only the venue's list names
/// them), and for perpetuals (`BTC`, `kPEPE`, `dex:COIN`), whose price is not the spot price.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('/')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains('/');
    whole.then(|| Pair::new(base, quote))
}

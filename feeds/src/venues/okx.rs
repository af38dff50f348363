//! OKX, spot, WebSocket v5: channels `trades`, `bbo-tbt` (the top of the book, as it changes, at most each
//! 10 ms) and `tickers` (the 24 h figures). Version 3, which came deflated, is not read.
//!
//! Facts without another source are from the venue's documentation of v5, read 2026-07. What is said of a sister
//! site's documentation only is marked.

use std::borrow::Cow;
use std::time::Duration;

use crate::json::{Cursor, Field, JsonError};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Quote, Summary, Trade,
    UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Okx,
    // The same for all but the EEA (`wseea`) and the US (`wsus`), which have their own lists of instruments.
    urls: &["wss://ws.okx.com:8443/ws/v5/public"],
    // Our choice: a lost connection loses at most this many. The venue limits the bytes of one request only.
    instruments_max: 100,
    // Our choice: the channels used send frames below 10 KB.
    frame_bytes_max: 1 << 20,
    // 480 requests in an hour on one connection (sister site), all of which may be used at once. Our choice: what
    // a full connection asks for needs 4.
    pace: Pace { frames: 3, window: Duration::from_secs(1) },
    // "If nothing came for N seconds, N below 30": a connection quiet for 30 s is cut. The answer is `pong`.
    ping: Ping::Text { text: "ping", every: Duration::from_secs(20) },
    lifetime: None,
    // Our choice: the top of a busy pair changes some times a second, a quiet one's within half a minute.
    silence_max: Duration::from_secs(30),
};

const CHANNELS: [&str; 3] = ["trades", "bbo-tbt", "tickers"];

/// Instruments in one request: about 4 KB of the 64 KB that its `args` may have.
const BATCH: usize = 25;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Okx;

impl Codec for Okx {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let args = |batch: &[&str]| -> Vec<_> {
            let each =
                |&wire| CHANNELS.map(|channel| serde_json::json!({"channel": channel, "instId": wire}));
            batch.iter().flat_map(each).collect()
        };
        let frame = |batch| serde_json::json!({"op": "subscribe", "args": args(batch)});
        wires.chunks(BATCH).map(|batch| frame(batch).to_string()).collect()
    }

    fn decode<'f>(
        &mut self,
        frame: Frame<'f>,
        _ts_recv: UnixNanos,
        events: &mut Events<'f>,
    ) -> Result<(), DecodeError> {
        let text = frame.text()?;
        // The answer to our ping is the only frame that is no JSON.
        if text == "pong" {
            return Ok(());
        }
        let before = events.len();
        let decoded = whole(Cursor::new(text), events);
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

#[derive(Clone, Copy)]
enum Channel {
    Trades,
    Quotes,
    Tickers,
    /// Depth, candles, funding: nothing for a price service.
    Other,
}

/// `{"arg":{"channel":…,"instId":…},"data":[…]}`, or the answer to a request. The data is read in place.
fn whole<'f>(start: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut cursor = start;
    let (mut arg, mut data, mut read) = (None, None, false);
    cursor.object()?;
    while let Some(key) = cursor.key()? {
        if key.is("event") {
            return answered(start, events);
        } else if key.is("arg") {
            let [channel, wire] = cursor.pick(["channel", "instId"])?;
            let channel = match channel.text()?.as_ref() {
                // Each fill by itself, on another address.
                "trades" | "trades-all" => Channel::Trades,
                "bbo-tbt" => Channel::Quotes,
                "tickers" => Channel::Tickers,
                _ => Channel::Other,
            };
            if arg.replace((channel, wire)).is_some() {
                return Err(JsonError::Twice { name: "arg" }.into());
            }
        } else if key.is("data") {
            if read || data.is_some() {
                return Err(JsonError::Twice { name: "data" }.into());
            }
            match arg {
                // Most of a mix is depth: no need to find its end.
                Some((Channel::Other, _)) => return Ok(()),
                Some((channel, wire)) => {
                    rows(channel, &mut cursor, wire, events)?;
                    read = true;
                }
                None => {
                    data = Some(cursor);
                    cursor.value()?;
                }
            }
        } else {
            cursor.value()?;
        }
    }
    cursor.end()?;
    match (arg, data) {
        (Some((Channel::Other, _)), _) => Ok(()),
        (Some((channel, wire)), Some(mut data)) => rows(channel, &mut data, wire, events),
        (Some(_), None) if !read => Err(DecodeError::Missing { field: "data" }),
        // Of a kind that we do not know.
        _ => Ok(()),
    }
}

/// Takes an array of rows.
fn rows<'f>(
    channel: Channel,
    cursor: &mut Cursor<'f>,
    wire: Field<'f>,
    events: &mut Events<'f>,
) -> Result<(), DecodeError> {
    cursor.array()?;
    while cursor.element()? {
        events.push(match channel {
            Channel::Trades => trade(cursor, wire.text()?)?,
            Channel::Quotes => quote(cursor, wire.text()?)?,
            Channel::Tickers => ticker(cursor, wire.text()?)?,
            Channel::Other => return Ok(()),
        });
    }
    Ok(())
}

/// Since 2023 several fills of one taker at one price may come as one trade, with how many they are in `count`
/// and the last one's id: a jump of the ids is no proof of a gap.
///
/// The first frame after a subscription holds the newest trade from before (up to 25 s old in the recording of
/// 2022-05-13) and does not say so. It is the last price all the same.
#[inline]
fn trade<'f>(cursor: &mut Cursor<'f>, wire: Cow<'f, str>) -> Result<Event<'f>, DecodeError> {
    let [id, price, size, taker, time] = cursor.pick(["tradeId", "px", "sz", "side", "ts"])?;
    Ok(Event::Trade(Trade {
        wire,
        price: price.price()?,
        size: size.size_if_any()?,
        aggressor: taker.side_if_any()?,
        id: id.id_if_any()?,
        ts_event: time.millis_if_any()?,
        backfill: false,
        moves: Moves::ALL,
    }))
}

#[inline]
fn quote<'f>(cursor: &mut Cursor<'f>, wire: Cow<'f, str>) -> Result<Event<'f>, DecodeError> {
    let [asks, bids, time, sequence] = cursor.pick(["asks", "bids", "ts", "seqId"])?;
    let ((bid, bid_size), (ask, ask_size)) = (bids.best()?, asks.best()?);
    Ok(Event::Quote(Quote {
        wire,
        bid,
        bid_size,
        ask,
        ask_size,
        sequence: sequence.integer_if_any()?.and_then(|number| number.try_into().ok()),
        ts_event: time.millis_if_any()?,
    }))
}

/// An absent side is an empty text.
#[inline]
fn ticker<'f>(cursor: &mut Cursor<'f>, wire: Cow<'f, str>) -> Result<Event<'f>, DecodeError> {
    let [last, last_size, ask, ask_size, bid, bid_size, open, high, low, volume, time] = cursor.pick([
        "last", "lastSz", "askPx", "askSz", "bidPx", "bidSz", "open24h", "high24h", "low24h", "vol24h", "ts",
    ])?;
    let open = open.price_if_any()?;
    Ok(Event::Summary(Summary {
        wire,
        last: last.price_if_any()?,
        last_size: last_size.size_if_any()?,
        aggressor: None,
        id: None,
        top: Field::top([bid, bid_size, ask, ask_size])?,
        open,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        // Of a spot pair in its base, of all else in contracts.
        volume: volume.size_if_any()?,
        // The window rolls: its first price is the one of 24 h ago.
        prev_close: open,
        ts_event: time.millis_if_any()?,
    }))
}

/// What is no data: one answer for each channel of each instrument, an error, a notice.
fn answered<'f>(mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let [event, arg, message, code] = cursor.pick(["event", "arg", "msg", "code"])?;
    cursor.end()?;
    match event.text()?.as_ref() {
        "subscribe" => {
            let [wire] = arg.nested()?.pick(["instId"])?;
            events.push(Event::Acknowledged { wire: wire.text_if_any()? });
        }
        "error" => {
            let reason = message.text()?;
            events.push(Event::Refused {
                wire: named(&reason).map(|wire| Cow::Owned(wire.to_owned())),
                reason,
            });
        }
        // The service is about to be upgraded, with half a minute's notice (sister site).
        "notice" if code.text_if_any()?.as_deref() == Some("64008") => events.push(Event::Reconnect),
        _ => {}
    }
    Ok(())
}

/// The instrument that a refusal names: "channel:tickers,instId:LTC-USD doesn't exist", since then with more text
/// around it (okxapi/python-okx#21 of 2023-05, sieblyio/okx-api#106 of 2025-03).
fn named(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once(",instId:")?;
    rest.split([' ', ',']).next().filter(|wire| !wire.is_empty())
}

/// Splits `BTC-USDT`. `None` for what is no spot pair: perpetuals (`BTC-USD-SWAP`), futures (`BTC-USD-220527`,
/// `BTC-USD_UM-261030`) and options (`BTC-USD-220624-50000-C`) have more parts.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let (base, quote) = wire.split_once('-')?;
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains(['-', '_']);
    whole.then(|| Pair::new(base, quote))
}

//! Tiingo, US stocks as traded at IEX: `T` (trades), `Q` (the top of IEX's book) and `B` (a trade that was broken).
//! Its last price is IEX's own and not the consolidated one.
//!
//! Frames hold arrays: kind, time, nanoseconds, ticker, bid size, bid, mid, ask, ask size, last, last size,
//! halted, after hours, sweep, odd lot, rule 611. The official samples of `Q` and `T` have this order; no frame
//! was recorded. Passing data on is a plan of its own.
//!
//! Facts without another source are from the openings of the venue's documentation pages, read 2026-07.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::symbol::upper;
use crate::{
    Codec, DecodeError, Event, Events, Frame, LastKind, Moves, Pace, Pair, Ping, Profile, Quote, Status,
    Trade, Undone, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Tiingo,
    urls: &["wss://api.tiingo.com/iex"],
    // The venue states no limit. Our choice: the list of halted ones is bounded by it.
    instruments_max: INSTRUMENTS_MAX,
    // Our choice: one message in a frame, below 300 bytes.
    frame_bytes_max: 1 << 20,
    // Our choice, nothing is stated.
    pace: Pace { frames: 4, window: Duration::from_secs(1) },
    // It sends a heartbeat that wants no answer.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: all stocks are silent while the market is closed.
    silence_max: Duration::from_mins(5),
};

const INSTRUMENTS_MAX: usize = 10_000;

/// Instruments in one subscribe frame. Our choice: some 2 KB.
const BATCH: usize = 200;

/// Every quote and every trade. A higher level sends less.
const THRESHOLD_LEVEL: u8 = 0;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Tiingo {
    key: Key,
    /// Said to be halted by their newest message: each message says it, and only a change is told.
    halted: HashSet<Box<str>>,
}

/// Shown in each subscription, and in no log.
#[derive(Default)]
struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Codec for Tiingo {
    fn authenticate(&mut self, key: &str, _secret: &str) -> Option<String> {
        self.key = Key(key.to_owned());
        None
    }

    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let frame = |batch: &[&str]| {
            serde_json::json!({
                "eventName": "subscribe",
                "authorization": self.key.0,
                "eventData": {"thresholdLevel": THRESHOLD_LEVEL, "tickers": batch},
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
        let mut cursor = Cursor::new(text);
        let before = events.len();
        let [kind, service, data, response] = cursor.pick(["messageType", "service", "data", "response"])?;
        cursor.end()?;
        let decoded = match kind.text()?.as_ref() {
            "A" if service.text_if_any()?.as_deref() == Some("iex") => self.message(data.nested()?, events),
            "I" => acknowledged(data.nested_if_any()?, events),
            "E" => refused(response.nested_if_any()?, events),
            _ => Ok(()),
        };
        decoded.inspect_err(|_| events.truncate(before))
    }
}

impl Tiingo {
    fn message<'f>(&mut self, mut data: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let fields = data.items([
            "kind",
            "date",
            "nanos",
            "ticker",
            "bidSize",
            "bidPrice",
            "midPrice",
            "askPrice",
            "askSize",
            "lastPrice",
            "lastSize",
            "halted",
            "afterHours",
            "intermarketSweepOrder",
            "oddlot",
        ])?;
        let [
            kind,
            date,
            nanos,
            wire,
            bid_size,
            bid,
            _,
            ask,
            ask_size,
            last,
            size,
            halted,
            after_hours,
            _,
            odd_lot,
        ] = fields;
        let kind = kind.text()?;
        if !matches!(&*kind, "Q" | "T" | "B") {
            return Ok(());
        }
        let wire = wire.text()?;
        let ts_event = match nanos.nanos_if_any()? {
            Some(time) => Some(time),
            None => date.time_if_any()?,
        };
        let tick = match &*kind {
            "Q" => Some(Event::Quote(Quote {
                wire: wire.clone(),
                bid: bid.price_if_any()?,
                bid_size: bid_size.size_if_any()?,
                ask: ask.price_if_any()?,
                ask_size: ask_size.size_if_any()?,
                sequence: None,
                ts_event,
            })),
            "T" => match last.price_if_any()? {
                Some(price) => Some(Event::Trade(Trade {
                    wire: wire.clone(),
                    price,
                    size: size.size_if_any()?,
                    aggressor: None,
                    id: None,
                    ts_event,
                    backfill: false,
                    moves: moves(is_set(after_hours)?, is_set(odd_lot)?),
                })),
                None => None,
            },
            _ => Some(Event::Undone(Undone {
                wire: wire.clone(),
                id: None,
                price: last.price_if_any()?,
                size: size.size_if_any()?,
                correction: None,
                ts_event,
            })),
        };
        if halted.is_there() && self.is_news(&wire, is_set(halted)?) {
            let halted = self.halted.contains(&*wire);
            let text = Cow::Borrowed(if halted { "halted" } else { "resumed" });
            events.push(Event::Status(Status { wire, halted, text, ts_event }));
        }
        if let Some(tick) = tick {
            events.push(tick);
        }
        Ok(())
    }

    /// Takes note of whether an instrument is halted; returns whether that is a change.
    fn is_news(&mut self, wire: &str, halted: bool) -> bool {
        if halted {
            self.halted.len() < INSTRUMENTS_MAX && self.halted.insert(wire.into())
        } else {
            self.halted.remove(wire)
        }
    }
}

fn is_set(flag: Field<'_>) -> Result<bool, DecodeError> {
    Ok(flag.integer_if_any()? == Some(1))
}

/// As the tape has it for form T and for odd lots.
fn moves(is_after_hours: bool, is_odd_lot: bool) -> Moves {
    let last = match (is_odd_lot, is_after_hours) {
        (true, _) => LastKind::No,
        (_, true) => LastKind::Extended,
        _ => LastKind::Regular,
    };
    Moves { last, range: last == LastKind::Regular, volume: true }
}

fn acknowledged<'f>(data: Option<Cursor<'f>>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let Some(mut data) = data else { return Ok(()) };
    let [tickers] = data.pick(["tickers"])?;
    let Some(mut tickers) = tickers.nested_if_any()? else { return Ok(()) };
    tickers.each(|ticker| {
        events.push(Event::Acknowledged { wire: Some(ticker.field("tickers")?.text()?) });
        Ok(())
    })
}

fn refused<'f>(response: Option<Cursor<'f>>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let reason = match response {
        Some(mut response) => response.pick(["message"])?[0].text_if_any()?.unwrap_or_default(),
        None => Cow::default(),
    };
    events.push(Event::Refused { wire: None, reason });
    Ok(())
}

/// A ticker in lower case, classes with a hyphen: `brk-b` is `BRK.B`.
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    if wire.is_empty() || wire == "*" {
        return None;
    }
    Some(Pair::single(match wire.split_once('-') {
        Some((stock, class)) if class.len() == 1 => Cow::Owned(format!("{stock}.{class}").to_uppercase()),
        _ => upper(wire),
    }))
}

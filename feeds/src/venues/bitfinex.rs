//! Bitfinex, WebSocket v2: channels `trades` (every trade) and `ticker` (best bid and ask and the 24 h figures,
//! as they change). Data frames are arrays that name a channel by its number on this connection only.
//!
//! Facts without another source are from docs.bitfinex.com (ws-general, ws-public), read 2026-07.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::json::{Cursor, Field};
use crate::{
    Codec, DecodeError, Event, Events, Frame, Moves, Pace, Pair, Ping, Profile, Side, Size, Summary, Top,
    Trade, UnixNanos, Venue,
};

/// Facts about the socket.
pub const PROFILE: Profile = Profile {
    venue: Venue::Bitfinex,
    // This one is for public data; 20 connections a minute.
    urls: &["wss://api-pub.bitfinex.com/ws/2"],
    // 25 channels on one connection (30 by another page), and we follow two of each instrument.
    instruments_max: 25 / CHANNELS.len(),
    // Our choice: the largest frame used is a snapshot of 30 trades, 2 KB.
    frame_bytes_max: 1 << 20,
    // The venue states no limit. Our choice: a full connection is subscribed in 3 s.
    pace: Pace { frames: 10, window: Duration::from_secs(1) },
    // Each quiet channel sends an `hb` each 15 s; a ping of ours is optional.
    ping: Ping::Answer,
    lifetime: None,
    // Our choice: between two frames of a quiet pair's ticker can be minutes, of a busy one's some seconds.
    silence_max: Duration::from_secs(60),
};

const CHANNELS: [&str; 2] = ["ticker", "trades"];

/// Asks for a time and a sequence number at the end of each frame (32,768 and 65,536).
const FLAGS: u32 = 98_304;
const FLAG_SEQUENCE: i64 = 65_536;

/// More channels are not kept, so no hostile frame makes the map grow. Far above what the venue allows.
const CHANNELS_MAX: usize = 1_024;

/// The language of one connection.
#[derive(Debug, Default)]
pub struct Bitfinex {
    configured: bool,
    channels: HashMap<u64, Channel>,
    /// Whether the venue said that it numbers all frames of this connection. It does so without holes: 1,670
    /// frames of the recording of 2021-04-17.
    is_numbered: bool,
    /// Of the newest frame that was understood: one that was not is a gap as good as one that never came.
    sequence: Option<u64>,
}

/// What a channel's number stands for.
#[derive(Clone, Debug)]
struct Channel {
    kind: Kind,
    wire: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ticker,
    Trades,
    /// Books, and whatever is about lending (`fUSD`), whose arrays mean something else.
    Other,
}

impl Codec for Bitfinex {
    fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        let mut frames = Vec::new();
        if !wires.is_empty() && !std::mem::replace(&mut self.configured, true) {
            frames.push(serde_json::json!({"event": "conf", "flags": FLAGS}).to_string());
        }
        for wire in wires {
            for channel in CHANNELS {
                let frame = serde_json::json!({"event": "subscribe", "channel": channel, "symbol": wire});
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
        let mut cursor = Cursor::new(text);
        if cursor.peek() != Some(b'[') {
            return self.event(cursor, events);
        }
        let before = events.len();
        let decoded = self.data(cursor, events);
        if decoded.is_err() {
            events.truncate(before);
        }
        decoded
    }
}

impl Bitfinex {
    /// `[channel, payload, …]` or `[channel, "te", payload, …]`. What was asked for by flags comes last: the
    /// sequence number, the time in milliseconds.
    fn data<'f>(&mut self, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let [channel, kind, second, third, fourth] =
            cursor.items(["chanId", "payload", "payload", "sequence", "time"])?;
        cursor.end()?;
        let (kind, payload, numbers) = match kind.text_if_any() {
            Ok(Some(kind)) if kind == "hb" => (Some(kind), None, [second, third]),
            Ok(Some(kind)) => (Some(kind), Some(second), [third, fourth]),
            _ => (None, Some(kind), [second, third]),
        };
        let (sequence, ts_sent) = sequence_and_time(numbers)?;
        let channel = channel.integer_if_any()?.and_then(|number| u64::try_from(number).ok());
        let channel = channel.ok_or(DecodeError::Missing { field: "chanId" })?;
        self.tell_gap(sequence, events);
        if let (Some(channel), Some(payload)) = (self.channels.get(&channel), payload) {
            match (channel.kind, kind.as_deref()) {
                (Kind::Ticker, None) => events.push(ticker(channel, payload, ts_sent)?),
                (Kind::Trades, None) => snapshot(channel, payload, events)?,
                // It comes again as `tu`, later and with the same id.
                (Kind::Trades, Some("te")) => events.push(trade(channel, &mut payload.nested()?, false)?),
                _ => {}
            }
        }
        if sequence.is_some() {
            self.sequence = sequence;
        }
        Ok(())
    }

    /// The frames of all channels are numbered together: what is missing may be of any instrument.
    fn tell_gap(&self, sequence: Option<u64>, events: &mut Events<'_>) {
        let (Some(newest), Some(sequence), true) = (self.sequence, sequence, self.is_numbered) else {
            return;
        };
        if sequence > newest && sequence - newest > 1 {
            let mut wires: Vec<_> =
                self.channels.values().filter(|c| c.kind != Kind::Other).map(|c| c.wire.clone()).collect();
            wires.sort_unstable();
            wires.dedup();
            for wire in wires {
                events.push(Event::Gap { wire, missing: None });
            }
        }
    }

    /// What is no data.
    fn event<'f>(&mut self, mut cursor: Cursor<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
        let [event, channel, number, wire, code, message, status, flags] =
            cursor.pick(["event", "channel", "chanId", "symbol", "code", "msg", "status", "flags"])?;
        cursor.end()?;
        match event.text()?.as_ref() {
            "subscribed" => {
                let number = number.integer_if_any()?.and_then(|number| u64::try_from(number).ok());
                let number = number.ok_or(DecodeError::Missing { field: "chanId" })?;
                let (channel, wire) = (channel.text()?, wire.text()?);
                let kind = match channel.as_ref() {
                    "ticker" if wire.starts_with('t') => Kind::Ticker,
                    "trades" if wire.starts_with('t') => Kind::Trades,
                    _ => Kind::Other,
                };
                if self.channels.len() < CHANNELS_MAX || self.channels.contains_key(&number) {
                    self.channels.insert(number, Channel { kind, wire: kept(&wire) });
                }
                events.push(Event::Acknowledged { wire: Some(wire) });
            }
            "unsubscribed" => {
                let number = number.integer_if_any()?.and_then(|number| u64::try_from(number).ok());
                number.and_then(|number| self.channels.remove(&number));
            }
            "conf" if status.text_if_any()?.as_deref() == Some("OK") => {
                let flags = flags.integer_if_any()?.unwrap_or_default();
                self.is_numbered = flags & FLAG_SEQUENCE != 0;
            }
            "error" => events.push(Event::Refused { wire: wire.text_if_any()?, reason: message.text()? }),
            // To be reconnected; maintenance begins; it is over, and all channels are to be subscribed again.
            "info" if matches!(code.integer_if_any()?, Some(20_051 | 20_060 | 20_061)) => {
                events.push(Event::Reconnect);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The numbers at a frame's end, told apart by their size.
fn sequence_and_time(fields: [Field<'_>; 2]) -> Result<(Option<u64>, Option<UnixNanos>), DecodeError> {
    let (mut sequence, mut time) = (None, None);
    for field in fields {
        // Some recorders append texts of their own.
        if let Ok(Some(number)) = field.integer_if_any() {
            match field.millis_if_any()? {
                Some(millis) => time = Some(millis),
                None => sequence = u64::try_from(number).ok(),
            }
        }
    }
    Ok((sequence, time))
}

/// Up to 30 past trades, newest first.
fn snapshot<'f>(channel: &Channel, payload: Field<'f>, events: &mut Events<'f>) -> Result<(), DecodeError> {
    let mut rows = payload.nested()?;
    rows.array()?;
    while rows.element()? {
        events.push(trade(channel, &mut rows, true)?);
    }
    Ok(())
}

/// Takes `[id, time, amount, price]`. The amount's sign is the aggressor's side. Ids rise with time, but all
/// instruments share them.
#[inline]
fn trade<'f>(channel: &Channel, cursor: &mut Cursor<'f>, backfill: bool) -> Result<Event<'f>, DecodeError> {
    let [id, time, amount, price] = cursor.items(["ID", "MTS", "AMOUNT", "PRICE"])?;
    let amount = amount.decimal_if_any()?.filter(|amount| !amount.is_zero());
    Ok(Event::Trade(Trade {
        wire: channel.wire.clone(),
        price: price.price()?,
        size: amount.and_then(|amount| Size::new(amount.abs())),
        aggressor: amount.map(|amount| if amount.is_sign_negative() { Side::Sell } else { Side::Buy }),
        id: id.id_if_any()?,
        ts_event: time.millis_if_any()?,
        backfill,
        moves: Moves::ALL,
    }))
}

/// Its sizes are sums of the 25 best prices, not what stands at the best one.
#[inline]
fn ticker<'f>(
    channel: &Channel,
    payload: Field<'f>,
    ts_sent: Option<UnixNanos>,
) -> Result<Event<'f>, DecodeError> {
    let [bid, _, ask, _, change, _, last, volume, high, low] = payload.nested()?.items([
        "BID",
        "BID_SIZE",
        "ASK",
        "ASK_SIZE",
        "DAILY_CHANGE",
        "DAILY_CHANGE_RELATIVE",
        "LAST_PRICE",
        "VOLUME",
        "HIGH",
        "LOW",
    ])?;
    let last = last.price_if_any()?;
    let change = change.decimal_if_any()?;
    Ok(Event::Summary(Summary {
        wire: channel.wire.clone(),
        last,
        last_size: None,
        aggressor: None,
        id: None,
        top: Some(Top { bid: bid.price_if_any()?, bid_size: None, ask: ask.price_if_any()?, ask_size: None }),
        open: None,
        high: high.price_if_any()?,
        low: low.price_if_any()?,
        volume: volume.size_if_any()?,
        prev_close: last.zip(change).and_then(|(last, change)| last.less(change)),
        // The ticker has no time of its own: this is when the frame was sent.
        ts_event: ts_sent,
    }))
}

/// The name as text that outlives the frame, so that no event has to copy it: kept for good, each once. There are
/// as many as instruments followed; beyond the bound they are copied.
fn kept(wire: &str) -> Cow<'static, str> {
    const NAMES_MAX: usize = 4_096;
    const BYTES_MAX: usize = 64;
    static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut names = NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&name) = names.get(wire) {
        return Cow::Borrowed(name);
    }
    if names.len() >= NAMES_MAX || wire.len() > BYTES_MAX {
        return Cow::Owned(wire.to_owned());
    }
    let name: &'static str = Box::leak(wire.into());
    names.insert(name);
    Cow::Borrowed(name)
}

/// Splits `tBTCUSD` or `tAVAX:USD` and gives the venue's short codes their common names. `None` for lending
/// (`fUSD`) and contracts (`tBTCF0:USTF0`).
pub fn pair(wire: &str) -> Option<Pair<'_>> {
    let name = wire.strip_prefix('t')?;
    let (base, quote) = match name.split_once(':') {
        Some(parts) => parts,
        None if name.len() == 6 => name.split_at_checked(3)?,
        None => return None,
    };
    let whole = !base.is_empty() && !quote.is_empty() && !quote.contains(':') && !quote.ends_with("F0");
    whole.then(|| Pair::new(common(base), common(quote)))
}

/// As far as the venue's map of symbols and other public projects agree. `DOG` is a million DOGE: 278,200 USD on
/// 2021-04-17.
fn common(asset: &str) -> &str {
    match asset {
        "ALG" => "ALGO",
        "AMP" => "AMPL",
        "ATO" => "ATOM",
        "DAT" => "DATA",
        "DOG" => "MDOGE",
        "DSH" => "DASH",
        "EUS" => "EURS",
        "EUT" => "EURT",
        "IOT" => "IOTA",
        "MNA" => "MANA",
        "OMN" => "OMNI",
        "QSH" => "QASH",
        "QTM" => "QTUM",
        "RBT" => "RBTC",
        "SNG" => "SNGLS",
        "STJ" => "STORJ",
        "TSD" => "TUSD",
        "UDC" => "USDC",
        "UST" => "USDT",
        "VSY" => "VSYS",
        "WBT" => "WBTC",
        other => other,
    }
}

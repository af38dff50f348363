//! `tickcast decode`: what a recording says, one JSON line per market event, for finding out what a feed really
//! sends. It shows what the codec makes of each frame and judges nothing: no de-duplication, no plausibility.

use std::error::Error;
use std::io::{self, BufRead, Write};

use serde::{Serialize, Serializer};
use tickcast_feeds::{
    Codec, Event, Events, Price, Quote, Side, Size, Status, Summary, Top, Trade, UnixNanos, Venue,
};

use crate::recording::{Direction, Recording};

/// So many refused frames and bad lines are shown; all are counted.
const SHOWN_MAX: u64 = 20;

/// What a recording held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames from the venue.
    pub frames: u64,
    /// Live trades.
    pub trades: u64,
    /// Past trades sent at subscribe.
    pub backfill: u64,
    /// Best bids and asks.
    pub quotes: u64,
    /// The venue's own summaries.
    pub tickers: u64,
    /// Halts and resumptions.
    pub statuses: u64,
    /// Gaps.
    pub gaps: u64,
    /// Frames that could not be understood.
    pub frames_refused: u64,
    /// Lines that are none of a recording.
    pub bad_lines: u64,
}

/// Prints the events of `input` to `out`; counts and what was not understood to `err`. Ends quietly when nobody
/// reads `out` any more.
///
/// # Errors
///
/// Where `out`, `err` or `input` fails, and [`io::ErrorKind::InvalidInput`] for a venue that has no frames.
pub fn run(
    venue: Venue,
    input: impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Counts> {
    let codec = new_codec(venue)?;
    let mut run = Run { venue, codec, counts: Counts::default(), err };
    match run.all(input, out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(run.counts),
        printed => printed?,
    }
    run.summary()?;
    Ok(run.counts)
}

fn new_codec(venue: Venue) -> io::Result<Box<dyn Codec>> {
    venue.codec().ok_or_else(|| {
        let text = format!("the venue `{venue}` sends no frames, so there is nothing of it to decode");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

struct Run<'e, E> {
    venue: Venue,
    codec: Box<dyn Codec>,
    counts: Counts,
    err: &'e mut E,
}

impl<E: Write> Run<'_, E> {
    fn all(&mut self, input: impl BufRead, out: &mut impl Write) -> io::Result<()> {
        let mut spare = Events::default();
        for line in Recording::new(input) {
            let line = match line {
                Ok(line) => line,
                Err(bad) => {
                    self.counts.bad_lines += 1;
                    self.show(bad.number, &bad.reason)?;
                    continue;
                }
            };
            match line.direction {
                Direction::Open => self.codec = new_codec(self.venue)?,
                Direction::Out => {}
                Direction::In => {
                    self.counts.frames += 1;
                    let mut events = spare.recycle();
                    let decoded =
                        self.codec.decode(line.content.frame(), line.t.unwrap_or_default(), &mut events);
                    if let Err(error) = decoded {
                        self.counts.frames_refused += 1;
                        self.show(line.number, &error)?;
                    }
                    for event in &events {
                        if let Some(row) = Row::of(self.venue, event, line.number) {
                            self.count(event);
                            serde_json::to_writer(&mut *out, &row)?;
                            out.write_all(b"\n")?;
                        }
                    }
                    spare = events.recycle();
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, event: &Event<'_>) {
        let count = match event {
            Event::Trade(Trade { backfill: false, .. }) => &mut self.counts.trades,
            Event::Trade(Trade { backfill: true, .. }) => &mut self.counts.backfill,
            Event::Quote(_) => &mut self.counts.quotes,
            Event::Summary(_) => &mut self.counts.tickers,
            Event::Status(_) => &mut self.counts.statuses,
            Event::Gap { .. } => &mut self.counts.gaps,
            Event::Undone(_)
            | Event::Reply(_)
            | Event::Authenticated
            | Event::Acknowledged { .. }
            | Event::Refused { .. }
            | Event::Reconnect => return,
        };
        *count += 1;
    }

    fn show(&mut self, line: u64, error: &dyn Error) -> io::Result<()> {
        let seen = self.counts.frames_refused + self.counts.bad_lines;
        if seen > SHOWN_MAX {
            return Ok(());
        }
        write!(self.err, "line {line}: {error}")?;
        let mut source = error.source();
        while let Some(reason) = source {
            write!(self.err, ": {reason}")?;
            source = reason.source();
        }
        writeln!(self.err)
    }

    fn summary(&mut self) -> io::Result<()> {
        let Counts { frames, trades, backfill, quotes, tickers, statuses, gaps, frames_refused, bad_lines } =
            self.counts;
        let hidden = (frames_refused + bad_lines).saturating_sub(SHOWN_MAX);
        if hidden > 0 {
            writeln!(self.err, "... and {hidden} more")?;
        }
        writeln!(
            self.err,
            "{frames} frames: {trades} trades, {backfill} backfill trades, {quotes} quotes, {tickers} tickers, \
             {statuses} statuses, {gaps} gaps; {frames_refused} frames refused, {bad_lines} bad lines"
        )?;
        self.err.flush()
    }
}

/// One printed line. The order of the fields is part of the promise.
#[derive(Serialize)]
struct Row<'e> {
    venue: &'static str,
    kind: &'static str,
    #[serde(serialize_with = "digits")]
    symbol: Option<tickcast_feeds::Pair<'e>>,
    wire: &'e str,
    #[serde(serialize_with = "digits")]
    price: Option<Price>,
    #[serde(serialize_with = "digits")]
    size: Option<Size>,
    aggressor: Option<&'static str>,
    #[serde(serialize_with = "digits")]
    bid: Option<Price>,
    #[serde(serialize_with = "digits")]
    bid_size: Option<Size>,
    #[serde(serialize_with = "digits")]
    ask: Option<Price>,
    #[serde(serialize_with = "digits")]
    ask_size: Option<Size>,
    event_ns: Option<i64>,
    id: Option<&'e str>,
    backfill: bool,
    line: u64,
}

/// As text, exactly as it displays.
#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn digits<T: ToString, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

impl<'e> Row<'e> {
    /// `None` for an event that says nothing about the market.
    fn of(venue: Venue, event: &'e Event<'_>, line: u64) -> Option<Self> {
        let empty = |kind, wire: &'e str, time: Option<UnixNanos>| Self {
            venue: venue.name(),
            kind,
            symbol: venue.pair(wire),
            wire,
            price: None,
            size: None,
            aggressor: None,
            bid: None,
            bid_size: None,
            ask: None,
            ask_size: None,
            event_ns: time.map(|time| time.0),
            id: None,
            backfill: false,
            line,
        };
        Some(match event {
            Event::Trade(Trade { wire, price, size, aggressor, id, ts_event, backfill, moves: _ }) => Self {
                price: Some(*price),
                size: *size,
                aggressor: aggressor.map(side),
                id: id.as_ref().map(|id| &*id.0),
                backfill: *backfill,
                ..empty("trade", wire, *ts_event)
            },
            Event::Quote(Quote { wire, bid, bid_size, ask, ask_size, ts_event, sequence: _ }) => Self {
                bid: *bid,
                bid_size: *bid_size,
                ask: *ask,
                ask_size: *ask_size,
                ..empty("quote", wire, *ts_event)
            },
            Event::Summary(Summary { wire, last, last_size, aggressor, id, top, ts_event, .. }) => {
                let Top { bid, bid_size, ask, ask_size } = top.unwrap_or_default();
                Self {
                    price: *last,
                    size: *last_size,
                    aggressor: aggressor.map(side),
                    bid,
                    bid_size,
                    ask,
                    ask_size,
                    id: id.as_ref().map(|id| &*id.0),
                    ..empty("ticker", wire, *ts_event)
                }
            }
            Event::Status(Status { wire, ts_event, .. }) => empty("status", wire, *ts_event),
            Event::Gap { wire, missing: _ } => empty("gap", wire, None),
            Event::Undone(_)
            | Event::Reply(_)
            | Event::Authenticated
            | Event::Acknowledged { .. }
            | Event::Refused { .. }
            | Event::Reconnect => return None,
        })
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(venue: Venue, input: &str) -> (String, String, Counts) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let counts = run(venue, input.as_bytes(), &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), counts)
    }

    fn incoming(frame: &str) -> String {
        format!("{}\n", serde_json::json!({"t": null, "dir": "in", "frame": frame}))
    }

    const TRADE: &str = r#"{"channel":"trade","type":"update","data":[{"symbol":"XBT/USD","side":"buy","price":67012.30,"qty":0.01,"trade_id":ID,"timestamp":"2025-11-25T01:20:00.101Z"}]}"#;

    #[test]
    fn the_keys_and_their_order_are_those_of_the_contract() {
        let (out, _, counts) = decode(Venue::Kraken, &incoming(&TRADE.replace("ID", "123")));
        assert_eq!(
            out,
            concat!(
                r#"{"venue":"kraken","kind":"trade","symbol":"BTC-USD","wire":"XBT/USD","price":"67012.30","#,
                r#""size":"0.01","aggressor":"buy","bid":null,"bid_size":null,"ask":null,"ask_size":null,"#,
                r#""event_ns":1764033600101000000,"id":"123","backfill":false,"line":1}"#,
                "\n"
            )
        );
        assert_eq!((counts.frames, counts.trades), (1, 1));
    }

    #[test]
    fn a_new_connection_has_a_new_codec_and_no_gap_from_the_one_before() {
        let (first, later) = (incoming(&TRADE.replace("ID", "1")), incoming(&TRADE.replace("ID", "9")));
        let (out, _, counts) = decode(Venue::Kraken, &format!("{first}{later}"));
        assert_eq!((counts.trades, counts.gaps), (2, 1));
        let gap = out.lines().nth(1).unwrap();
        assert!(gap.contains(r#""kind":"gap","symbol":"BTC-USD","wire":"XBT/USD","price":null"#), "{gap}");
        assert!(gap.ends_with(r#""event_ns":null,"id":null,"backfill":false,"line":2}"#), "{gap}");
        let open = "{\"t\":null,\"dir\":\"open\",\"frame\":\"wss://x\"}\n";
        assert_eq!(decode(Venue::Kraken, &format!("{first}{open}{later}")).2.gaps, 0);
    }

    #[test]
    fn what_is_not_understood_is_shown_with_its_line_and_counted() {
        let input = format!("rubbish\n{}{}", incoming("{"), incoming("{\"channel\":\"heartbeat\"}"));
        let (out, err, counts) = decode(Venue::Kraken, &input);
        assert_eq!(out, "");
        assert_eq!((counts.bad_lines, counts.frames_refused, counts.frames), (1, 1, 2));
        assert!(err.starts_with("line 1: not a line of a recording: "), "{err}");
        assert!(err.contains("\nline 2: not the expected JSON: the text ends too soon\n"), "{err}");
        assert!(err.ends_with("; 1 frames refused, 1 bad lines\n"), "{err}");
    }

    #[test]
    fn the_first_twenty_are_shown_and_all_are_counted() {
        let (_, err, counts) = decode(Venue::Binance, &incoming("{").repeat(50));
        assert_eq!(counts.frames_refused, 50);
        assert_eq!(err.lines().filter(|line| line.starts_with("line ")).count(), 20);
        assert!(err.contains("... and 30 more\n"), "{err}");
    }

    #[test]
    fn frames_that_we_sent_are_not_decoded() {
        let line = serde_json::json!({"t": 1, "dir": "out", "frame": TRADE.replace("ID", "1")}).to_string();
        assert_eq!(decode(Venue::Kraken, &line).2, Counts::default());
    }

    #[test]
    fn the_simulator_has_nothing_to_decode() {
        let error = run(Venue::Sim, &b""[..], &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("`sim`"), "{error}");
    }

    #[test]
    fn a_reader_that_goes_away_ends_it_quietly() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut err = Vec::new();
        run(Venue::Kraken, incoming(&TRADE.replace("ID", "1")).as_bytes(), &mut Closed, &mut err).unwrap();
        assert!(err.is_empty());
    }
}

//! Plays a recording through the pipeline, at the pace it was recorded or faster.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tickcast_feeds::{Codec, Event, Events, Price, UnixNanos, Venue};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::board::{Feed, FeedState};
use super::pipeline::{Heard, Pipeline};
use crate::clock;
use crate::config::{Class, Instrument, PriceRule, Source, StaleAfter};
use crate::latest::Latest;
use crate::recording::{self, Direction, Line, Recording};

/// Frames played between two chances for other tasks, where nothing else makes the player wait.
const BATCH_MAX: u32 = 64;
/// Instruments taken from a recording that comes without a config.
const INSTRUMENTS_MAX: usize = 1000;

/// What to play and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The recording.
    pub path: PathBuf,
    /// Whose frames they are.
    pub venue: Venue,
    /// How fast.
    pub speed: Speed,
    /// Whether to begin again at the end.
    pub repeat: bool,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// Without waiting.
    Max,
}

/// A text that is no speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0.01 to 10000 such as `1` or `10`, or `max`")]
pub struct NotASpeed;

impl FromStr for Speed {
    type Err = NotASpeed;

    fn from_str(text: &str) -> Result<Self, NotASpeed> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times: f64 = text.parse().map_err(|_| NotASpeed)?;
        if (0.01..=10_000.0).contains(&times) { Ok(Self::Times(times)) } else { Err(NotASpeed) }
    }
}

/// Plays the recording, then waits for ever: the service goes on with the last prices.
pub async fn run(options: Options, feed: Feed, latest: Latest, mut pipeline: Pipeline) {
    loop {
        match play(&options, &feed, &mut pipeline).await {
            Ok(frames) => info!(venue = %options.venue, frames, "the recording has ended"),
            Err(failure) => {
                error!(venue = %options.venue, error = &failure as &dyn std::error::Error, "the recording could not be read");
                feed.failed(failure.to_string());
                break;
            }
        }
        if !options.repeat {
            break;
        }
        latest.restart(options.venue, clock::now());
        // An empty recording must not become a busy loop.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    feed.enter(FeedState::Stopped);
    latest.down(options.venue, &latest.catalogue().wires(options.venue), clock::now());
    std::future::pending::<()>().await;
}

async fn play(options: &Options, feed: &Feed, pipeline: &mut Pipeline) -> io::Result<u64> {
    let recording = Recording::new(recording::open(&options.path)?);
    let mut pace = Pace::new(options.speed, options.venue);
    let (mut frames, mut in_a_row) = (0, 0);
    pipeline.connected();
    for line in recording {
        let line = match line {
            Ok(line) => line,
            Err(bad) => {
                warn!(error = &bad as &dyn std::error::Error, "a line of the recording was left out");
                continue;
            }
        };
        match line.direction {
            Direction::Out => continue,
            Direction::Open => {
                pipeline.connected();
                pace.connected();
                continue;
            }
            Direction::In => {}
        }
        in_a_row += 1;
        if let Some(at) = pace.due(&line) {
            sleep_until(at).await;
            in_a_row = 0;
        } else if in_a_row >= BATCH_MAX {
            tokio::task::yield_now().await;
            in_a_row = 0;
        }
        pipeline.frame(line.content.frame(), clock::now(), |heard| match heard {
            Heard::Acknowledged(_) => feed.acknowledged(),
            Heard::Refused { wire, reason } => feed.refused(wire, reason),
            _ => {}
        });
        frames += 1;
    }
    Ok(frames)
}

/// When each frame is due.
struct Pace {
    speed: Speed,
    venue: Venue,
    /// The time of the first frame that had one, and when it was played.
    start: Option<(UnixNanos, Instant)>,
    /// For recordings without receive times: reads each frame ahead of the pipeline, only for its time.
    scout: Option<Box<dyn Codec>>,
}

impl Pace {
    fn new(speed: Speed, venue: Venue) -> Self {
        Self { speed, venue, start: None, scout: venue.codec() }
    }

    fn connected(&mut self) {
        self.scout = self.venue.codec();
    }

    /// When to play a frame; `None` for now.
    fn due(&mut self, line: &Line) -> Option<Instant> {
        let Speed::Times(times) = self.speed else { return None };
        let at = line.t.or_else(|| self.newest_event(line))?;
        let (first, began) = *self.start.get_or_insert_with(|| (at, Instant::now()));
        let after = Duration::from_nanos(u64::try_from(at.0.saturating_sub(first.0)).ok()?);
        began.checked_add(after.div_f64(times)).filter(|due| *due > Instant::now())
    }

    fn newest_event(&mut self, line: &Line) -> Option<UnixNanos> {
        let mut events = Events::default();
        self.scout.as_mut()?.decode(line.content.frame(), UnixNanos::default(), &mut events).ok()?;
        let times = events.iter().filter_map(|event| match event {
            Event::Trade(trade) if !trade.backfill => trade.ts_event,
            Event::Quote(quote) => quote.ts_event,
            Event::Summary(summary) => summary.ts_event,
            _ => None,
        });
        times.max()
    }
}

/// The instruments that a recording speaks of, for playing it without a config. `BTC-USD` becomes the symbol
/// `BTC`; what is priced in anything else than dollars keeps its whole name.
///
/// # Errors
///
/// Where the file cannot be read.
pub fn instruments(path: &Path, venue: Venue) -> io::Result<Vec<Instrument>> {
    let recording = Recording::new(recording::open(path)?);
    let mut decimals: BTreeMap<String, u32> = BTreeMap::new();
    let Some(mut codec) = venue.codec() else { return Ok(Vec::new()) };
    for line in recording.flatten().filter(|line| line.direction == Direction::In) {
        let mut events = Events::default();
        // What cannot be understood is counted when it is played.
        let _ = codec.decode(line.content.frame(), UnixNanos::default(), &mut events);
        for event in &events {
            let (wire, price) = match event {
                Event::Trade(trade) => (&trade.wire, Some(trade.price)),
                Event::Quote(quote) => (&quote.wire, quote.bid),
                Event::Summary(summary) => (&summary.wire, summary.last),
                _ => continue,
            };
            let scale = price.map_or(0, |price: Price| price.get().scale());
            if let Some(most) = decimals.get_mut(wire.as_ref()) {
                *most = scale.max(*most);
            } else if decimals.len() < INSTRUMENTS_MAX {
                decimals.insert(wire.to_string(), scale);
            }
        }
    }
    Ok(decimals.into_iter().filter_map(|(wire, decimals)| instrument(venue, wire, decimals)).collect())
}

fn instrument(venue: Venue, wire: String, decimals: u32) -> Option<Instrument> {
    let pair = venue.pair(&wire)?;
    let symbol = if pair.quote.as_deref() == Some("USD") { pair.base.to_string() } else { pair.to_string() };
    Some(Instrument {
        name: pair.to_string(),
        class: if pair.quote.is_some() { Class::Crypto } else { Class::Stock },
        base: pair.quote.is_some().then(|| pair.base.to_string()),
        currency: pair.quote.as_deref().unwrap_or("USD").to_owned(),
        symbol,
        decimals,
        aliases: Vec::new(),
        sources: vec![Source { venue, wire }],
        price: PriceRule::Primary,
        min_sources: 1,
        stale_after: StaleAfter::Auto,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_number_or_max() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("10".parse(), Ok(Speed::Times(10.0)));
        assert_eq!("0.1".parse(), Ok(Speed::Times(0.1)));
        for bad in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert_eq!(bad.parse::<Speed>(), Err(NotASpeed), "{bad}");
        }
    }
}

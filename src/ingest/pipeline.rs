//! The frame's way to the store, in one synchronous function: no await between the two, so no lock crosses one
//! and nothing is half-taken when a task is cancelled.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tickcast_feeds::{Codec, DecodeError, Event, Events, Frame, UnixNanos, Venue};
use tracing::warn;

use super::board::{Feed, FeedState};
use crate::config::{Key, Secret};
use crate::consolidate::{Effect, Moment};
use crate::latest::Latest;
use crate::metrics::{ByKind, ByVenue, ByVenueReason, Metrics, VenueLabel, in_seconds};

/// A venue time before this is no time: 2000-01-01T00:00:00Z.
const TIME_MIN: UnixNanos = UnixNanos(946_684_800_000_000_000);
/// Nor is one further ahead of our clock than this.
const TIME_AHEAD_MAX: Duration = Duration::from_secs(60);
/// Kinds of refused frames that are logged, one line each; the rest is counted.
const KINDS_LOGGED_MAX: usize = 32;

/// What a driver may have to act upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<'e> {
    /// A live tick of this instrument came, whatever it moved.
    Tick(&'e str),
    /// Text to send back, ahead of anything that waits.
    Reply(Cow<'static, str>),
    /// The key was accepted.
    Authenticated,
    /// A subscription was accepted; `None` where the venue does not say which.
    Acknowledged(Option<&'e str>),
    /// A subscription was refused.
    Refused {
        /// Which; `None` where the venue does not say.
        wire: Option<&'e str>,
        /// The venue's own words.
        reason: &'e str,
    },
    /// The venue is about to close this connection.
    Reconnect,
}

/// One feed's way to the store.
pub struct Pipeline {
    feed: Feed,
    latest: Latest,
    codec: Option<Box<dyn Codec>>,
    /// The memory of the last frame's events.
    spare: Events<'static>,
    counters: Counters,
    /// Kinds of refusal that were logged.
    logged: HashSet<String>,
}

/// This venue's counters, looked up once.
struct Counters {
    metrics: Arc<Metrics>,
    venue: Venue,
    /// Whether the frames come as they are sent.
    is_live: bool,
    frames: Counter,
    lag: Histogram,
    trades: Counter,
    quotes: Counter,
    tickers: Counter,
    statuses: Counter,
}

impl Pipeline {
    /// The way of one feed, with the codec of its next connection.
    pub fn new(feed: Feed, latest: Latest, metrics: Arc<Metrics>) -> Self {
        let counters = Counters::new(metrics, feed.venue());
        let codec = feed.venue().codec();
        Self { feed, latest, codec, spare: Events::default(), counters, logged: HashSet::new() }
    }

    /// The way of a recording: how far its ticks are behind the venue's clock says nothing.
    pub fn recorded(feed: Feed, latest: Latest, metrics: Arc<Metrics>) -> Self {
        let mut this = Self::new(feed, latest, metrics);
        this.counters.is_live = false;
        this
    }

    /// A new connection: what the codec knew of the last one is void.
    pub fn connected(&mut self) {
        self.codec = self.feed.venue().codec();
        self.feed.enter(FeedState::Subscribing);
    }

    /// The frame that shows the operator's key; `None` where none has to be sent ahead of subscriptions.
    pub fn authenticate(&mut self, key: &Key) -> Option<String> {
        self.codec.as_mut()?.authenticate(key.key.expose(), key.secret.as_ref().map_or("", Secret::expose))
    }

    /// Whether a subscription may replace those sent before.
    pub fn replaces(&self) -> bool {
        self.codec.as_ref().is_some_and(|codec| codec.replaces())
    }

    /// The frames to send to follow these instruments.
    pub fn subscribe(&mut self, wires: &[&str]) -> Vec<String> {
        self.codec.as_mut().map(|codec| codec.subscribe(wires)).unwrap_or_default()
    }

    /// Takes one frame. What its driver may have to act upon is given to `heard`.
    pub fn frame(&mut self, frame: Frame<'_>, now: Moment, heard: impl FnMut(Heard<'_>)) {
        self.counters.frames.inc();
        self.feed.count(|counts| counts.frames += 1);
        let mut events = std::mem::take(&mut self.spare).recycle();
        let decoded = match &mut self.codec {
            Some(codec) => codec.decode(frame, now.wall, &mut events),
            None => Ok(()),
        };
        match decoded {
            Ok(()) => self.events(&mut events, now, heard),
            Err(error) => self.refuse(&error),
        }
        self.spare = events.recycle();
    }

    /// Takes the events of one frame. The ticks of one instrument that follow each other are one change.
    pub fn events(&mut self, events: &mut Events<'_>, now: Moment, mut heard: impl FnMut(Heard<'_>)) {
        for event in events.iter_mut() {
            self.check_time(event, now);
        }
        let mut rest = events.iter().as_slice();
        while let Some(first) = rest.first() {
            let Some(wire) = ticked_wire(first) else {
                self.other(first, now, &mut heard);
                rest = &rest[1..];
                continue;
            };
            let same = rest.iter().take_while(|event| ticked_wire(event) == Some(wire)).count();
            let (batch, others) = rest.split_at(same);
            if self.ticks(wire, batch, now) {
                heard(Heard::Tick(wire));
            }
            rest = others;
        }
    }

    /// Returns whether any of them is live.
    fn ticks(&mut self, wire: &str, batch: &[Event<'_>], now: Moment) -> bool {
        let (feed, counters) = (&self.feed, &self.counters);
        let catalogue = self.latest.catalogue();
        let sources = catalogue.sources(feed.venue(), wire);
        if sources.is_empty() {
            counters.ignored("unknown_symbol").inc_by(batch.len() as u64);
            return false;
        }
        let mut any = false;
        for (position, &source) in sources.iter().enumerate() {
            self.latest.apply(source, batch, now, |event, effect| {
                // Several symbols may have this source; its ticks are counted once.
                if position == 0 {
                    // What another connection brought first is a sign of life all the same.
                    any |= effect != Effect::Backfill;
                    counters.tick(feed, event, effect, now);
                }
            });
        }
        if any {
            feed.enter(FeedState::Live);
        }
        any
    }

    fn other(&self, event: &Event<'_>, now: Moment, heard: &mut impl FnMut(Heard<'_>)) {
        match event {
            Event::Gap { wire, missing } => {
                let venue = ByVenue::from(self.feed.venue());
                self.counters.metrics.gaps.get_or_create(&venue).inc();
                self.feed.count(|counts| counts.gaps += 1);
                warn!(venue = %self.feed.venue(), %wire, missing, "ticks were lost");
                self.latest.gap(self.feed.venue(), wire, *missing);
            }
            // No price is moved by it: what was last before the print that no longer holds is not known.
            Event::Undone(undone) => {
                self.counters.ignored("undone").inc();
                self.latest.undo(self.feed.venue(), undone, now);
            }
            Event::Reply(text) => heard(Heard::Reply(text.clone())),
            Event::Acknowledged { wire } => heard(Heard::Acknowledged(wire.as_deref())),
            Event::Refused { wire, reason } => heard(Heard::Refused { wire: wire.as_deref(), reason }),
            Event::Authenticated => heard(Heard::Authenticated),
            Event::Reconnect => heard(Heard::Reconnect),
            // Ticks, which are taken elsewhere.
            _ => {}
        }
    }

    /// A time that cannot be is no time.
    fn check_time(&self, event: &mut Event<'_>, now: Moment) {
        let time = match event {
            Event::Trade(trade) => &mut trade.ts_event,
            Event::Quote(quote) => &mut quote.ts_event,
            Event::Summary(summary) => &mut summary.ts_event,
            Event::Status(status) => &mut status.ts_event,
            _ => return,
        };
        if time.is_some_and(|time| !is_plausible(time, now.wall)) {
            *time = None;
            let venue = ByVenue::from(self.feed.venue());
            self.counters.metrics.times_refused.get_or_create(&venue).inc();
        }
    }

    fn refuse(&mut self, error: &DecodeError) {
        let venue = self.feed.venue();
        self.counters.metrics.frames_refused.get_or_create(&venue.into()).inc();
        self.feed.count(|counts| counts.frames_refused += 1);
        let kind = error.to_string();
        if self.logged.len() < KINDS_LOGGED_MAX && !self.logged.contains(&kind) {
            let error = error as &dyn std::error::Error;
            warn!(%venue, error, "a frame was not understood; others of this kind are only counted");
            self.logged.insert(kind);
        }
    }
}

impl Counters {
    fn new(metrics: Arc<Metrics>, venue: Venue) -> Self {
        let ticks = |kind| metrics.ticks.get_or_create(&ByKind { venue: VenueLabel(venue), kind }).clone();
        let (trades, quotes, tickers, statuses) =
            (ticks("trade"), ticks("quote"), ticks("ticker"), ticks("status"));
        let frames = metrics.frames.get_or_create(&venue.into()).clone();
        let lag = metrics.feed_lag.get_or_create(&venue.into()).clone();
        // Shown at 0 from the start: nobody can see a rise from what is not there.
        for losses in [&metrics.frames_refused, &metrics.gaps, &metrics.duplicates, &metrics.times_refused] {
            drop(losses.get_or_create(&venue.into()));
        }
        Self { venue, is_live: true, frames, lag, trades, quotes, tickers, statuses, metrics }
    }

    fn ignored(&self, reason: &'static str) -> Counter {
        let labels = ByVenueReason { venue: VenueLabel(self.venue), reason };
        self.metrics.ticks_ignored.get_or_create(&labels).clone()
    }

    fn tick(&self, feed: &Feed, event: &Event<'_>, effect: Effect, now: Moment) {
        let (ts_event, taken) = match event {
            Event::Trade(trade) => (trade.ts_event, &self.trades),
            Event::Quote(quote) => (quote.ts_event, &self.quotes),
            Event::Summary(summary) => (summary.ts_event, &self.tickers),
            _ => (None, &self.statuses),
        };
        match effect {
            Effect::Taken => {
                taken.inc();
                // A recording's lag would be its age.
                let live = ts_event.filter(|_| self.is_live);
                let lag = live.map(|event| UnixNanos(now.wall.0.saturating_sub(event.0)));
                feed.ticked(lag, now);
                if let Some(lag) = lag {
                    self.lag.observe(in_seconds(lag));
                }
            }
            Effect::Ineligible => {
                self.ignored("ineligible").inc();
                // It shows that the venue speaks, though it says nothing about the price.
                feed.ticked(None, now);
            }
            Effect::Late => _ = self.ignored("late").inc(),
            Effect::Backfill => _ = self.ignored("backfill").inc(),
            Effect::Duplicate => {
                self.metrics.duplicates.get_or_create(&self.venue.into()).inc();
                feed.count(|counts| counts.duplicates += 1);
            }
        }
    }
}

/// The wire name of a tick; `None` for what is no tick.
fn ticked_wire<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    match event {
        Event::Trade(trade) => Some(&trade.wire),
        Event::Quote(quote) => Some(&quote.wire),
        Event::Summary(summary) => Some(&summary.wire),
        Event::Status(status) => Some(&status.wire),
        _ => None,
    }
}

fn is_plausible(time: UnixNanos, now: UnixNanos) -> bool {
    let ahead = i64::try_from(TIME_AHEAD_MAX.as_nanos()).unwrap_or(i64::MAX);
    time >= TIME_MIN && time.0 <= now.0.saturating_add(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candles::Interval;
    use crate::catalogue::SymbolId;
    use crate::clock;
    use crate::ingest::Board;
    use crate::latest::tests::apple;

    #[test]
    fn m58_prints_that_set_no_last_price_and_corrections_of_others_move_nothing_and_are_counted() {
        let (latest, metrics) = (apple(), Arc::new(Metrics::default()));
        let feed = Board::new(Arc::clone(&metrics)).add(Venue::Alpaca, String::new(), 1);
        let mut pipeline = Pipeline::new(feed, latest.clone(), Arc::clone(&metrics));
        let trade = |id: u32, price: &str, conditions: &str| {
            format!(
                r#"[{{"T":"t","S":"AAPL","i":{id},"p":{price},"s":5,"c":[{conditions}],"z":"C","t":null}}]"#
            )
        };
        let frames = [
            trade(1, "100.10", r#""@""#),
            trade(2, "150", r#""@","I""#),
            trade(3, "150", r#""@","§""#),
            r#"[{"T":"x","S":"AAPL","i":1,"p":100.10,"s":5,"a":"C","z":"C","t":null}]"#.to_owned(),
            r#"[{"T":"c","S":"AAPL","oi":1,"op":100.1,"os":5,"ci":4,"cp":99,"cs":5,"cc":["@"],"z":"C"}]"#
                .to_owned(),
        ];
        for frame in &frames {
            pipeline.frame(Frame::Text(frame), clock::now(), |_| {});
        }
        let last = latest.read(SymbolId(0), |view| view.ticker.last.map(|price| price.to_string()));
        assert_eq!(last.flatten().as_deref(), Some("100.10"));
        let ignored = |reason| {
            let labels = ByVenueReason { venue: VenueLabel(Venue::Alpaca), reason };
            metrics.ticks_ignored.get_or_create(&labels).get()
        };
        assert_eq!((ignored("ineligible"), ignored("undone"), ignored("late")), (2, 2, 0));
        // The bars know better: the print of 100.10 is gone, and nothing is left that had a price. The correction is of a
        // print that was gone already.
        let (_, bars) = latest.candles(SymbolId(0), Interval::Minute, None, 9).expect("a symbol");
        assert_eq!(bars, []);
        assert_eq!(metrics.frames_refused.get_or_create(&Venue::Alpaca.into()).get(), 0);
    }

    #[test]
    fn m50_a_time_before_2000_or_a_minute_ahead_is_none() {
        let now = UnixNanos(1_790_000_000_000_000_000);
        let ahead = |secs: i64| UnixNanos(now.0 + secs * 1_000_000_000);
        assert!(is_plausible(now, now) && is_plausible(ahead(60), now) && is_plausible(TIME_MIN, now));
        assert!(!is_plausible(ahead(61), now) && !is_plausible(UnixNanos(0), now));
        assert!(!is_plausible(UnixNanos(TIME_MIN.0 - 1), now));
    }
}

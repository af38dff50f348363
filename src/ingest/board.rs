//! How every feed is: one [`Feed`] per connection, written by its driver, read by `/feeds`, health and metrics.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use serde_json::value::RawValue;
use tickcast_feeds::{UnixNanos, Venue};
use utoipa::ToSchema;

use crate::clock;
use crate::consolidate::Moment;
use crate::metrics::{ByState, INSTRUMENTS, Levels, Metrics, VenueLabel};

/// Lags kept for the percentiles.
const LAGS_MAX: usize = 512;
/// Refusals kept; a venue that refuses more is named by its first ones.
const REFUSED_MAX: usize = 100;

/// All feeds of this run. Every clone is the same board.
#[derive(Clone, Debug)]
pub struct Board {
    feeds: Arc<Mutex<Vec<Feed>>>,
    bus: Arc<Mutex<Bus>>,
    metrics: Arc<Metrics>,
}

/// What a node of several knows of the others.
#[derive(Debug, Default)]
struct Bus {
    /// Whether the feeds are another node's.
    is_told: bool,
    /// What that one said of them, as JSON.
    feeds: Option<Box<RawValue>>,
    /// Whether there is anything to serve.
    serves: bool,
    /// Why the bus is of no use now.
    problem: Option<String>,
    /// The same, of trades alone.
    trades_problem: Option<String>,
}

/// One connection to a venue, or what stands for one. Every clone is the same.
#[derive(Clone, Debug)]
pub struct Feed {
    venue: Venue,
    connection: u32,
    inner: Arc<Mutex<Inner>>,
    metrics: Arc<Metrics>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// Not open yet.
    Connecting,
    /// Open, no tick yet.
    Subscribing,
    /// Ticking.
    Live,
    /// Open, and no tick for too long.
    Silent,
    /// Between two attempts.
    Waiting,
    /// The venue told us to stay away for a while.
    Banned,
    /// The venue does not serve us: not from here, or not with this key.
    Blocked,
    /// Over for good: the recording has ended, or we are stopping.
    Stopped,
}

impl FeedState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Connecting,
        Self::Subscribing,
        Self::Live,
        Self::Silent,
        Self::Waiting,
        Self::Banned,
        Self::Blocked,
        Self::Stopped,
    ];

    /// The word in `/feeds` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Subscribing => "subscribing",
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Waiting => "waiting",
            Self::Banned => "banned",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
        }
    }
}

#[derive(Debug)]
struct Inner {
    state: FeedState,
    since: UnixNanos,
    url: String,
    wanted: usize,
    acknowledged: usize,
    refused: Vec<Refused>,
    last_tick: Option<Instant>,
    /// Microseconds, the newest last. Negative where the venue's clock is ahead of ours.
    lags: VecDeque<i64>,
    counts: Counts,
    last_error: Option<String>,
    next_attempt: Option<Instant>,
    /// Whether the board has it no longer, though its last frames may still come.
    is_removed: bool,
}

/// What was counted on one connection.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(super) struct Counts {
    /// Frames read.
    pub(super) frames: u64,
    /// Ticks made of them.
    pub(super) ticks: u64,
    /// Frames that were not understood.
    pub(super) frames_refused: u64,
    /// Holes in the venue's numbering.
    pub(super) gaps: u64,
    /// Ticks that were there already.
    pub(super) duplicates: u64,
    /// Connections after the first.
    pub(super) reconnects: u64,
}

/// What a venue will not send.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Refused {
    /// The instrument as the venue names it, where it says which.
    #[schema(required = true)]
    wire: Option<String>,
    /// The venue's words.
    reason: String,
}

/// How one connection to a venue is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Feed)]
pub struct Report {
    /// Whose.
    venue: &'static str,
    /// Which of the venue's, from 1.
    connection: u32,
    state: FeedState,
    /// In this state since, ms since 1970.
    since: i64,
    /// Where it goes, without secrets.
    url: String,
    /// Instruments that it is to follow.
    wanted: usize,
    /// Instruments that the venue said it sends.
    acknowledged: usize,
    /// Instruments that the venue will not send.
    refused: Vec<Refused>,
    /// Since the newest tick; null before the first.
    #[schema(required = true)]
    last_tick_age_ms: Option<u64>,
    /// How far ticks are behind the venue's clock; null where that is not known.
    #[schema(required = true)]
    lag_ms: Option<Lag>,
    #[serde(flatten)]
    #[schema(inline)]
    counts: Counts,
    /// Until it is tried again, where it is between two attempts.
    #[schema(required = true)]
    next_attempt_ms: Option<u64>,
    /// Why the last connection ended, where one did.
    #[schema(required = true)]
    last_error: Option<String>,
}

/// A delay in ms; negative where the venue's clock is ahead of ours.
#[derive(Debug, Serialize, ToSchema)]
struct Lag {
    /// The median.
    p50: i64,
    /// That of the slowest in a hundred.
    p99: i64,
}

impl Board {
    /// A board without feeds.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { feeds: Arc::default(), bus: Arc::default(), metrics }
    }

    /// Adds a feed that follows so many instruments at an address that holds no secret.
    pub fn add(&self, venue: Venue, url: String, wanted: usize) -> Feed {
        let others =
            lock(&self.feeds).iter().filter(|feed| feed.venue == venue).map(|feed| feed.connection).max();
        self.numbered(venue, others.unwrap_or(0).saturating_add(1), url, wanted)
    }

    /// Adds the connection that is to replace another: it has that one's number, and both are shown until the
    /// other is [removed](Self::remove).
    pub fn replacement(&self, of: &Feed, url: String) -> Feed {
        let wanted = of.lock().wanted;
        self.numbered(of.venue, of.connection, url, wanted)
    }

    /// Takes away a connection that was replaced. What was counted on it is its successor's from now on.
    pub fn remove(&self, feed: &Feed, successor: &Feed) {
        lock(&self.feeds).retain(|other| !Arc::ptr_eq(&other.inner, &feed.inner));
        let old = {
            let mut inner = feed.lock();
            if std::mem::replace(&mut inner.is_removed, true) {
                return;
            }
            feed.gauge(inner.state).dec();
            inner.counts
        };
        successor.lock().counts.add(old);
    }

    /// Takes away a connection that nothing replaces, or all of a venue that is followed no more.
    pub fn take_down(&self, is_over: impl Fn(&Feed) -> bool) {
        lock(&self.feeds).retain(|feed| {
            let over = is_over(feed);
            if over {
                let mut inner = feed.lock();
                if !std::mem::replace(&mut inner.is_removed, true) {
                    feed.gauge(inner.state).dec();
                }
            }
            !over
        });
    }

    fn numbered(&self, venue: Venue, connection: u32, url: String, wanted: usize) -> Feed {
        let mut feeds = lock(&self.feeds);
        let inner = Inner {
            state: FeedState::Connecting,
            since: clock::wall(),
            url,
            wanted,
            acknowledged: 0,
            refused: Vec::new(),
            last_tick: None,
            lags: VecDeque::with_capacity(LAGS_MAX),
            counts: Counts::default(),
            last_error: None,
            next_attempt: None,
            is_removed: false,
        };
        let feed = Feed {
            venue,
            connection,
            inner: Arc::new(Mutex::new(inner)),
            metrics: Arc::clone(&self.metrics),
        };
        self.metrics.show(venue);
        feed.gauge(FeedState::Connecting).inc();
        // Beside the one that it replaces.
        let is_before = |other: &Feed| (other.venue, other.connection) != (venue, connection);
        let place = feeds.iter().rposition(|other| !is_before(other)).map_or(feeds.len(), |at| at + 1);
        feeds.insert(place, feed.clone());
        feed
    }

    /// Every feed as it is now.
    pub fn report(&self) -> Vec<Report> {
        lock(&self.feeds).iter().map(Feed::report).collect()
    }

    /// From now on the feeds are another node's.
    pub fn be_told(&self) {
        lock(&self.bus).is_told = true;
    }

    /// Notes what another node says of its feeds.
    pub fn tell(&self, report: &[u8]) {
        lock(&self.bus).feeds = serde_json::from_slice(report).ok();
    }

    /// What another node says of its feeds, as a JSON list; `None` where they are this one's.
    pub fn told(&self) -> Option<Box<RawValue>> {
        let bus = lock(&self.bus);
        let nothing = || RawValue::from_string("[]".to_owned()).expect("that is JSON");
        bus.is_told.then(|| bus.feeds.clone().unwrap_or_else(nothing))
    }

    /// Notes whether there is anything to serve, where the feeds are another node's.
    pub fn serves(&self, serves: bool) {
        lock(&self.bus).serves = serves;
    }

    /// Notes why the bus is of no use now; `None` where it is.
    pub fn bus(&self, problem: Option<String>) {
        lock(&self.bus).problem = problem;
    }

    /// Notes why no trades come over the bus, where they are to; `None` where they do.
    pub fn bus_trades(&self, problem: Option<String>) {
        lock(&self.bus).trades_problem = problem;
    }

    /// Notes how old each venue's newest tick is, and what of its instruments it serves.
    pub fn measure(&self, levels: &Levels, now: Moment) {
        let mut newest: HashMap<Venue, Instant> = HashMap::new();
        for feed in lock(&self.feeds).iter() {
            let inner = feed.lock();
            if let Some(at) = inner.last_tick {
                newest.entry(feed.venue).and_modify(|known| *known = at.max(*known)).or_insert(at);
            }
            let counts = [inner.wanted, inner.acknowledged, inner.refused.len()];
            for (state, count) in INSTRUMENTS.into_iter().zip(counts) {
                let labels = ByState { venue: VenueLabel(feed.venue), state };
                levels.instruments.get_or_create(&labels).inc_by(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        for (venue, at) in newest {
            let age = now.at.saturating_duration_since(at).as_secs_f64();
            levels.tick_age.get_or_create(&venue.into()).set(age);
        }
    }

    /// Whether any feed is ticking. Where they are another node's: whether there is anything to serve.
    pub fn any_live(&self) -> bool {
        let bus = lock(&self.bus);
        if bus.is_told {
            return bus.serves;
        }
        drop(bus);
        lock(&self.feeds).iter().any(|feed| feed.state() == FeedState::Live)
    }

    /// Whether this node has something to tell others: a feed of its own is ticking, or there is none that could.
    pub fn is_able(&self) -> bool {
        let feeds = lock(&self.feeds);
        feeds.is_empty() || feeds.iter().any(|feed| feed.state() == FeedState::Live)
    }

    /// Why the bus is of no use, where it is to be of use.
    pub fn bus_problem(&self) -> Option<String> {
        let Bus { problem, trades_problem, .. } = &*lock(&self.bus);
        let trades = |problem: &String| format!("no trades come over the bus: {problem}");
        problem
            .as_ref()
            .map(|problem| format!("the bus is away: {problem}"))
            .or(trades_problem.as_ref().map(trades))
    }

    /// Why no feed is ticking.
    pub fn reasons(&self) -> Vec<String> {
        if lock(&self.bus).is_told {
            let nothing = "nothing has come over the bus yet".to_owned();
            return vec![self.bus_problem().unwrap_or(nothing)];
        }
        let feeds = lock(&self.feeds);
        if feeds.is_empty() {
            return vec!["no feed is configured".to_owned()];
        }
        feeds.iter().map(Feed::reason).collect()
    }
}

impl Feed {
    /// Whose it is.
    pub fn venue(&self) -> Venue {
        self.venue
    }

    /// What it is doing.
    pub fn state(&self) -> FeedState {
        self.lock().state
    }

    /// Notes what it is doing now.
    pub fn enter(&self, state: FeedState) {
        let mut inner = self.lock();
        if inner.state != state {
            if !inner.is_removed {
                self.gauge(inner.state).dec();
                self.gauge(state).inc();
            }
            (inner.state, inner.since, inner.next_attempt) = (state, clock::wall(), None);
        }
    }

    /// Notes that the next attempt is made then, and what the feed is until then.
    pub(super) fn wait(&self, state: FeedState, next_attempt: Instant) {
        self.enter(state);
        let mut inner = self.lock();
        (inner.next_attempt, inner.acknowledged) = (Some(next_attempt), 0);
    }

    /// Which connection of its venue it is, from 1.
    pub fn connection(&self) -> u32 {
        self.connection
    }

    /// Notes the address that is tried now, without secrets.
    pub(super) fn dialling(&self, url: String) {
        self.lock().url = url;
        self.enter(FeedState::Connecting);
    }

    /// Notes why it is not well.
    pub fn failed(&self, error: String) {
        self.lock().last_error = Some(error);
    }

    /// How long ago its newest tick came; `None` before the first.
    pub fn last_tick(&self) -> Option<Instant> {
        self.lock().last_tick
    }

    /// Whether it is ticking by its state, and has not ticked for longer than it may.
    pub fn has_gone_silent(&self, silence_max: Duration, now: Moment) -> bool {
        let inner = self.lock();
        let age = inner.last_tick.map(|at| now.at.saturating_duration_since(at));
        inner.state == FeedState::Live && age.is_some_and(|age| age > silence_max)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    /// So many instruments are wanted, and there without asking: the simulator's.
    pub(super) fn simulates(&self, instruments: usize) {
        let mut inner = self.lock();
        (inner.wanted, inner.acknowledged) = (instruments, instruments);
    }

    /// So many instruments are wanted from now on.
    pub(super) fn want(&self, wanted: usize) {
        self.lock().wanted = wanted;
    }

    /// One more instrument was accepted.
    pub(super) fn acknowledged(&self) {
        let mut inner = self.lock();
        inner.acknowledged = (inner.acknowledged + 1).min(inner.wanted);
    }

    /// So many instruments are accepted now.
    pub(super) fn acknowledged_count(&self, count: usize) {
        self.lock().acknowledged = count;
    }

    /// Notes what the venue will not send. Of each instrument the newest refusal is kept.
    pub(super) fn refused(&self, wire: Option<&str>, reason: &str) {
        let mut inner = self.lock();
        inner.refused.retain(|known| known.wire.as_deref() != wire);
        if inner.refused.len() < REFUSED_MAX {
            inner.refused.push(Refused { wire: wire.map(str::to_owned), reason: reason.to_owned() });
        }
    }

    /// What was refused is accepted after all.
    pub(super) fn not_refused(&self, wire: &str) {
        self.lock().refused.retain(|known| known.wire.as_deref() != Some(wire));
    }

    /// Notes a tick that moved something, and how far it was behind the venue's clock, where that can be known.
    pub(super) fn ticked(&self, lag: Option<UnixNanos>, now: Moment) {
        let mut inner = self.lock();
        inner.last_tick = Some(now.at);
        inner.counts.ticks += 1;
        if let Some(lag) = lag {
            if inner.lags.len() == LAGS_MAX {
                inner.lags.pop_front();
            }
            inner.lags.push_back(lag.as_micros());
        }
    }

    fn report(&self) -> Report {
        let inner = self.lock();
        let age = inner.last_tick.map(|at| clock::now().at.saturating_duration_since(at));
        Report {
            venue: self.venue.name(),
            connection: self.connection,
            state: inner.state,
            since: inner.since.as_millis(),
            url: inner.url.clone(),
            wanted: inner.wanted,
            acknowledged: inner.acknowledged,
            refused: inner.refused.clone(),
            last_tick_age_ms: age.map(clock::millis),
            lag_ms: percentiles(&inner.lags),
            counts: inner.counts,
            next_attempt_ms: inner
                .next_attempt
                .map(|at| clock::millis(at.saturating_duration_since(clock::now().at))),
            last_error: inner.last_error.clone(),
        }
    }

    fn reason(&self) -> String {
        let inner = self.lock();
        let state = inner.state.name();
        match &inner.last_error {
            Some(error) => format!("{} is {state}: {error}", self.venue),
            None => format!("{} is {state}", self.venue),
        }
    }

    /// How many connections of the venue are in this state.
    fn gauge(&self, state: FeedState) -> Gauge {
        let labels = ByState { venue: VenueLabel(self.venue), state: state.name() };
        self.metrics.feed_state.get_or_create(&labels).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.ticks += other.ticks;
        self.frames_refused += other.frames_refused;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.reconnects += other.reconnects;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn percentiles(lags: &VecDeque<i64>) -> Option<Lag> {
    let mut sorted: Vec<i64> = lags.iter().copied().collect();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    Some(Lag { p50: at(50)? / 1000, p99: at(99)? / 1000 })
}

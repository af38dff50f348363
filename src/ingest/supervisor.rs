//! One task for each venue: opens its connections, opens them again when they end, and replaces those that will
//! not last before they go. It owns every decision about attempts; what a connection does, it does by itself.
//!
//! Make before break: the replacement is opened and subscribed while the old connection serves, and the old one
//! retires with the replacement's first tick. Only where nothing serves any more do prices become stale.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt;
use rand::rngs::StdRng;
use tickcast_feeds::{Auth, Profile, Venue};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, debug, field, info, info_span, warn};

use super::backoff::{Backoff, Trouble};
use super::board::{Board, Feed, FeedState};
use super::connection::{self, ConnectionError, Means, News, Order, Report};
use super::dial::{Dial, Target};
use super::pipeline::Pipeline;
use super::plan;
use super::record::Recorder;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::config::{self, Class, Key, Proxy, url_without_secrets};
use crate::latest::Latest;
use crate::metrics::{ByVenueReason, Metrics, VenueLabel};

/// Between two handshakes with one venue: the strictest takes 3 a second (OKX).
const SPACING: Duration = Duration::from_millis(350);
/// The first attempts are spread over this, so that a restart of many services is no storm.
const START: Duration = Duration::from_millis(500);
/// Why a connection is replaced whose instruments are others now.
const REVISED: &str = "symbols";
/// Reports that wait: each connection has at most a few.
const REPORTS_MAX: usize = 64;

/// What a venue's task is to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whose connections.
    pub profile: &'static Profile,
    /// The addresses to try, in order.
    pub urls: Vec<String>,
    /// What to go through.
    pub proxy: Option<Proxy>,
    /// What to show the venue.
    pub key: Option<Key>,
    /// A connection is silent after this long without a tick.
    pub silence_max: Duration,
}

/// What all venues' tasks share.
#[derive(Clone)]
pub struct Surroundings {
    /// The store.
    pub latest: Latest,
    /// Where the state of each connection is shown.
    pub board: Board,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Opens sockets.
    pub dial: Arc<dyn Dial>,
    /// Changes when the catalogue has changed.
    pub revised: watch::Receiver<u64>,
    /// Cancelled when the service stops, or the venue is to be left.
    pub closing: CancellationToken,
}

impl Setup {
    /// The task of a configured venue; `None` for one that has no socket.
    pub fn of(venue: Venue, feed: &config::Feed) -> Option<Self> {
        let profile = venue.profile()?;
        let mut urls = feed.urls(venue);
        let in_query = match (venue.auth(), &feed.key) {
            (Auth::Query(name), Some(key)) => {
                Some((name, utf8_percent_encode(key.key.expose(), NON_ALPHANUMERIC)))
            }
            _ => None,
        };
        if let Some((name, key)) = in_query {
            for url in &mut urls {
                let separator = if url.contains('?') { '&' } else { '?' };
                *url = format!("{url}{separator}{name}={key}");
            }
        }
        Some(Self {
            profile,
            urls,
            proxy: feed.proxy.clone(),
            key: feed.key.clone(),
            silence_max: feed.silence_max.unwrap_or(profile.silence_max),
        })
    }
}

/// Keeps a venue's instruments followed, those of the catalogue as it is at the time, until it is told to stop.
pub async fn run(setup: Setup, around: Surroundings, recorder: Option<Recorder>) {
    let closing = around.closing.clone();
    let mut revised = around.revised.clone();
    let (reports, mut inbox) = mpsc::channel(REPORTS_MAX);
    let mut supervisor = Supervisor::new(setup, around, recorder, reports);
    loop {
        let next = supervisor.next_attempt();
        tokio::select! {
            () = closing.cancelled() => break,
            Some(Report { id, news }) = inbox.recv() => supervisor.heard(id, news),
            Some(ended) = supervisor.connections.join_next_with_id() => match ended {
                Ok((_, (id, error))) => supervisor.ended(id, &error),
                Err(panic) => supervisor.panicked(panic.id()),
            },
            Ok(()) = revised.changed() => supervisor.replan(),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => supervisor.attempt(),
        }
    }
    // Each sends its close frame, within a bound of its own, and none waits for us to listen.
    drop(inbox);
    while supervisor.connections.join_next().await.is_some() {}
}

struct Supervisor {
    setup: Setup,
    around: Surroundings,
    recorder: Option<Recorder>,
    reports: mpsc::Sender<Report>,
    connections: JoinSet<(u64, ConnectionError)>,
    lines: Vec<Line>,
    /// No attempt before this: spacing, or a ban that holds for all.
    not_before: Instant,
    /// Which of the addresses is tried, and how many in a row have refused us.
    host: usize,
    hosts_refused: usize,
    next_id: u64,
    rng: StdRng,
}

/// The instruments of one planned connection, and whoever serves them.
struct Line {
    wires: Arc<[String]>,
    has_hours: bool,
    backoff: Backoff,
    /// The board's place of the line: of the connection that serves, or is to.
    feed: Feed,
    serving: Option<Open>,
    replacement: Option<Open>,
    /// When the next attempt is due.
    due: Option<Instant>,
    /// Whether a replacement is wanted, and why.
    leaving: Option<&'static str>,
    /// Whether ticks came since the last end.
    is_live: bool,
    was_live: bool,
    /// What was logged last, so that the same is not logged again.
    told: Option<&'static str>,
}

/// A connection that is being opened, or is open.
struct Open {
    id: u64,
    /// What it was told to follow.
    wires: Arc<[String]>,
    task: tokio::task::Id,
    /// Which address it was sent to.
    host: usize,
    feed: Feed,
    retire: mpsc::Sender<oneshot::Sender<()>>,
}

impl Supervisor {
    fn new(
        setup: Setup,
        around: Surroundings,
        recorder: Option<Recorder>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let mut supervisor = Self {
            setup,
            around,
            recorder,
            reports,
            connections: JoinSet::new(),
            lines: Vec::new(),
            not_before: Instant::now(),
            host: 0,
            hosts_refused: 0,
            next_id: 0,
            rng: rand::make_rng(),
        };
        supervisor.replan();
        supervisor
    }

    /// Shares out the catalogue's instruments anew. A connection whose share has changed is replaced by another.
    fn replan(&mut self) {
        let catalogue = self.around.latest.catalogue();
        let Setup { profile, ref urls, .. } = self.setup;
        let venue = profile.venue;
        let now = Instant::now();
        let before: Vec<_> = self.lines.iter().map(|line| Arc::clone(&line.wires)).collect();
        let shares = plan::reshared(profile, &before, &catalogue.wires(venue));
        let url = urls.first().map(|url| url_without_secrets(url)).unwrap_or_default();
        for (place, wires) in shares.into_iter().enumerate() {
            let has_hours = wires.iter().all(|wire| has_hours(&catalogue, venue, wire));
            let due = Some(now + self.rng.random_range(Duration::ZERO..START));
            if let Some(line) = self.lines.get_mut(place) {
                line.has_hours = has_hours;
                if wires.iter().ne(line.wires.iter()) {
                    line.wires = wires.into_iter().map(str::to_owned).collect();
                    line.follow_other(&self.around, venue, due);
                }
                continue;
            }
            self.lines.push(Line {
                has_hours,
                feed: self.around.board.add(venue, url.clone(), wires.len()),
                wires: wires.into_iter().map(str::to_owned).collect(),
                backoff: Backoff::default(),
                serving: None,
                replacement: None,
                due,
                leaving: None,
                is_live: false,
                was_live: false,
                told: None,
            });
        }
        self.lines.retain(|line| !line.wires.is_empty());
    }

    fn next_attempt(&self) -> Option<Instant> {
        let first = self.lines.iter().filter_map(|line| line.due).min()?;
        Some(first.max(self.not_before))
    }

    /// Opens the connection that has been due the longest.
    fn attempt(&mut self) {
        let now = Instant::now();
        let due = self.lines.iter_mut().filter(|line| line.due.is_some_and(|due| due <= now));
        let Some(line) = due.min_by_key(|line| line.due) else { return };
        line.due = None;
        self.not_before = now + SPACING;
        self.next_id += 1;
        let id = self.next_id;
        let profile = self.setup.profile;
        let Some(url) = self.setup.urls.get(self.host).or_else(|| self.setup.urls.first()).cloned() else {
            return;
        };
        let shown = url_without_secrets(&url);
        let is_replacement = line.serving.is_some();
        let feed = if is_replacement {
            self.around.board.replacement(&line.feed, shown)
        } else {
            line.feed.dialling(shown);
            line.feed.clone()
        };
        let (retire, retired) = mpsc::channel(1);
        let latest = self.around.latest.clone();
        let means = Means {
            id,
            feed: feed.clone(),
            pipeline: Pipeline::new(feed.clone(), latest, Arc::clone(&self.around.metrics)),
            dial: Arc::clone(&self.around.dial),
            recorder: self.recorder.clone(),
            metrics: Arc::clone(&self.around.metrics),
            reports: self.reports.clone(),
            retire: retired,
            closing: self.around.closing.clone(),
        };
        let order = Order {
            target: Target { url, frame_bytes_max: profile.frame_bytes_max, proxy: self.setup.proxy.clone() },
            profile,
            wires: Arc::clone(&line.wires),
            silence_max: self.setup.silence_max,
            has_hours: line.has_hours,
            is_replacement,
            key: self.setup.key.clone(),
        };
        debug!(venue = %profile.venue, connection = feed.connection(), is_replacement, "connecting");
        let span =
            info_span!("feed", venue = %profile.venue, connection = feed.connection(), reason = field::Empty);
        let serving = async move {
            let error = connection::run(order, means).await;
            Span::current().record("reason", error.reason());
            (id, error)
        };
        let task = self.connections.spawn(serving.instrument(span)).id();
        let open = Some(Open { id, wires: Arc::clone(&line.wires), task, host: self.host, feed, retire });
        if is_replacement {
            line.replacement = open;
        } else {
            line.serving = open;
        }
    }

    fn heard(&mut self, id: u64, news: News) {
        let now = Instant::now();
        let venue = self.setup.profile.venue;
        let Some(line) = self.lines.iter_mut().find(|line| line.has(id)) else { return };
        let is_serving = line.serving.as_ref().is_some_and(|open| open.id == id);
        match news {
            News::Leaving { reason } if is_serving && line.leaving.is_none() => {
                info!(%venue, connection = line.feed.connection(), reason, "the connection will not last; replacing it");
                line.leaving = Some(reason);
                line.due = Some(now + self.rng.random_range(Duration::ZERO..START));
            }
            News::Leaving { .. } => {}
            News::Serving { go } => {
                if !is_serving {
                    // The old one, if it is still there, brings in its last frames and then answers `go`.
                    let old = std::mem::replace(&mut line.serving, line.replacement.take());
                    if let (Some(old), Some(go)) = (&old, go) {
                        let _ = old.retire.try_send(go);
                    }
                    line.reconnected(&self.around.metrics, venue, line.leaving.unwrap_or("replaced"));
                    line.leaving = None;
                    // The list changed once more while this one was on its way.
                    if line.serving.as_ref().is_some_and(|open| open.wires != line.wires) {
                        line.leaving = Some(REVISED);
                        line.due = Some(now + self.rng.random_range(Duration::ZERO..START));
                    }
                    info!(%venue, connection = line.feed.connection(), "the connection was replaced");
                    if let (Some(old), Some(new)) = (old, &line.serving) {
                        self.around.board.remove(&old.feed, &new.feed);
                        line.feed = new.feed.clone();
                    }
                }
                self.hosts_refused = 0;
                line.live(&self.around.metrics, venue, now);
            }
        }
    }

    fn ended(&mut self, id: u64, error: &ConnectionError) {
        let now = Instant::now();
        let venue = self.setup.profile.venue;
        // Who has retired is no line's any more.
        let Some(line) = self.lines.iter_mut().find(|line| line.has(id)) else { return };
        let mut trouble = error.trouble();
        if trouble == Trouble::Forbidden {
            // Another line may have found that out already.
            if line.host_of(id) == Some(self.host) {
                self.host = (self.host + 1) % self.setup.urls.len().max(1);
                self.hosts_refused += 1;
            }
            if self.hosts_refused < self.setup.urls.len() {
                trouble = Trouble::Ordinary;
            } else {
                self.hosts_refused = 0;
            }
        }
        let wait = line.backoff.ended(trouble, now, &mut self.rng);
        if wait.is_for_all {
            self.not_before = self.not_before.max(now + wait.delay);
        }
        let next = (now + wait.delay).max(self.not_before);
        if line.replacement.as_ref().is_some_and(|open| open.id == id) {
            // The old one still serves: nobody notices.
            debug!(%venue, connection = line.feed.connection(), error = error as &dyn std::error::Error, "a replacement failed");
            if let Some(open) = line.replacement.take() {
                self.around.board.remove(&open.feed, &line.feed);
            }
            line.due = Some(next);
            return;
        }
        line.feed.failed(told(error));
        line.reconnected(&self.around.metrics, venue, error.reason());
        line.leaving = None;
        let was_live = std::mem::take(&mut line.is_live);
        line.was_live |= was_live;
        if was_live {
            self.around.latest.down(venue, &line.wires, clock::now());
        }
        if was_live || line.told != Some(error.reason()) {
            line.told = Some(error.reason());
            let (connection, error) = (line.feed.connection(), error as &dyn std::error::Error);
            let next_attempt_ms = next.saturating_duration_since(now).as_millis();
            warn!(%venue, connection, error, next_attempt_ms, "connection ended; more of the same is only counted");
        }
        line.serving = line.replacement.take();
        if let Some(open) = &line.serving {
            // The replacement that was on its way is the connection now.
            self.around.board.remove(&line.feed, &open.feed);
            line.feed = open.feed.clone();
            let is_old = open.wires != line.wires;
            line.leaving = is_old.then_some(REVISED);
            line.due = is_old.then_some(next);
        } else {
            line.feed.wait(wait.state, next.into_std());
            line.due = Some(next);
        }
    }

    /// A connection's task failed by a mistake of ours: treated as a cut, so that the others go on.
    fn panicked(&mut self, task: tokio::task::Id) {
        let is_it = |open: &&Open| open.task == task;
        let open =
            self.lines.iter().flat_map(|line| [&line.serving, &line.replacement]).flatten().find(is_it);
        if let Some(id) = open.map(|open| open.id) {
            self.ended(id, &ConnectionError::Cut(None));
        }
    }
}

impl Line {
    fn has(&self, id: u64) -> bool {
        [&self.serving, &self.replacement].into_iter().flatten().any(|open| open.id == id)
    }

    /// Its list has changed.
    fn follow_other(&mut self, around: &Surroundings, venue: Venue, due: Option<Instant>) {
        self.feed.want(self.wires.len());
        // Where a key is good for one connection, or a few, there is no place for another beside the one that serves.
        let is_alone = venue.auth() != Auth::None;
        if !self.wires.is_empty() && !is_alone {
            if self.serving.is_some() {
                self.leaving = Some(REVISED);
            }
            // One that waits to be tried again goes on waiting: what is new is no reason to press a venue.
            if self.serving.is_some() && self.replacement.is_none() {
                self.due = due;
            }
            return;
        }
        let retired: Vec<_> = [self.serving.take(), self.replacement.take()].into_iter().flatten().collect();
        for open in &retired {
            // Nobody waits for its last frames.
            let _ = open.retire.try_send(oneshot::channel().0);
        }
        let mine = |feed: &Feed| feed.venue() == venue && feed.connection() == self.feed.connection();
        if self.wires.is_empty() {
            around.board.take_down(mine);
            return;
        }
        if retired.is_empty() {
            return;
        }
        self.was_live |= std::mem::take(&mut self.is_live);
        around.latest.down(venue, &self.wires, clock::now());
        self.reconnected(&around.metrics, venue, REVISED);
        self.feed.wait(FeedState::Waiting, due.unwrap_or_else(Instant::now).into_std());
        (self.leaving, self.due) = (None, due);
    }

    fn host_of(&self, id: u64) -> Option<usize> {
        let open = [&self.serving, &self.replacement].into_iter().flatten().find(|open| open.id == id);
        open.map(|open| open.host)
    }

    /// Ticks come.
    fn live(&mut self, metrics: &Metrics, venue: Venue, now: Instant) {
        self.backoff.ticked(now);
        let is_new = !std::mem::replace(&mut self.is_live, true);
        if is_new {
            info!(%venue, connection = self.feed.connection(), "the feed is live");
            self.told = None;
            if std::mem::take(&mut self.was_live) {
                // What was traded meanwhile is not known.
                let gaps = self.wires.len() as u64;
                metrics.gaps.get_or_create(&venue.into()).inc_by(gaps);
                self.feed.count(|counts| counts.gaps += gaps);
            }
        }
    }

    fn reconnected(&self, metrics: &Metrics, venue: Venue, reason: &'static str) {
        let labels = ByVenueReason { venue: VenueLabel(venue), reason };
        metrics.reconnects.get_or_create(&labels).inc();
        self.feed.count(|counts| counts.reconnects += 1);
    }
}

/// An error with its sources, for the board.
fn told(error: &ConnectionError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        // Some say what their source says.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

fn has_hours(catalogue: &Catalogue, venue: Venue, wire: &str) -> bool {
    catalogue.sources(venue, wire).iter().all(|source| catalogue.entry(source.symbol).class == Class::Stock)
}

#[cfg(test)]
mod tests;

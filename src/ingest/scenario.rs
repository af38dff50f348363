//! Drives a scenario of the simulator's: plays every venue of the config, each through a pipeline and a feed of
//! its own, with the changes of state that a bad day brings. No connection is opened.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tickcast_feeds::sim::{Link, Play, Role, Scenario};
use tickcast_feeds::{Events, UnixNanos, Venue, hours};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::board::{Board, Feed, FeedState};
use super::pipeline::Pipeline;
use super::sim::{BATCH_MAX, BEHIND_MAX, due, when};
use crate::catalogue::Catalogue;
use crate::clock;
use crate::consolidate::Moment;
use crate::latest::Latest;
use crate::metrics::{ByVenueReason, Metrics, VenueLabel};

/// How often feeds are looked at though no step is due.
const BEAT: Duration = Duration::from_millis(100);
/// The address that is shown for a feed that is played.
const URL: &str = "sim";

/// What to play and how.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The same seed gives the same prices.
    pub seed: u64,
    /// Which.
    pub scenario: Scenario,
    /// How many thousandths of a second of the timetable pass in a second.
    pub speed_milli: u32,
    /// The time between two price changes of one instrument at one venue.
    pub interval: Duration,
    /// How long a feed may be silent.
    pub silence_max: Duration,
}

/// The driver, and all that it has made of the config.
pub struct Stage {
    setup: Setup,
    play: Play,
    venues: Vec<Part>,
    /// Which of `venues` plays each role.
    part_of: Vec<usize>,
    latest: Latest,
    metrics: Arc<Metrics>,
    /// The phase and the round that were begun last.
    begun: Option<(&'static str, u64)>,
    /// The calendar's session that is played now.
    session: Option<hours::Session>,
}

/// One venue that is played.
struct Part {
    venue: Venue,
    wires: Vec<String>,
    feed: Feed,
    pipeline: Pipeline,
    link: Link,
    /// Whether a connection was lost since the last tick.
    was_lost: bool,
}

impl Stage {
    /// Gives each venue that is on, and that an instrument has as a source, a feed on the board. The catalogue's
    /// order is the order of the roles.
    pub fn new(
        setup: Setup,
        is_on: impl Fn(Venue) -> bool,
        board: &Board,
        latest: Latest,
        metrics: Arc<Metrics>,
    ) -> Self {
        let roles = roles(&latest.catalogue(), is_on);
        let mut venues: Vec<Part> = Vec::new();
        let mut part_of = Vec::with_capacity(roles.len());
        for role in &roles {
            let known = venues.iter().position(|part| part.venue == role.venue);
            part_of.push(known.unwrap_or_else(|| {
                let wires = roles.iter().filter(|other| other.venue == role.venue);
                let wires: Vec<String> = wires.map(|role| role.wire.clone()).collect();
                let feed = board.add(role.venue, URL.to_owned(), wires.len());
                let pipeline = Pipeline::new(feed.clone(), latest.clone(), Arc::clone(&metrics));
                let (venue, link) = (role.venue, Link::Dialling);
                venues.push(Part { venue, wires, feed, pipeline, link, was_lost: false });
                venues.len() - 1
            }));
        }
        let play = Play::new(setup.seed, setup.scenario, roles);
        Self { setup, play, venues, part_of, latest, metrics, begun: None, session: None }
    }

    /// Plays for ever.
    pub async fn run(mut self) {
        let count = self.part_of.len() as u64;
        if count == 0 {
            warn!(scenario = %self.setup.scenario, "no source is on: nothing is played");
            return std::future::pending().await;
        }
        // Said aloud: who left it in a config by mistake must hear of it.
        warn!(scenario = %self.setup.scenario, "every price and every feed is made up; nothing is connected to");
        let interval = self.setup.interval;
        let due_in_a_second = due(Duration::from_secs(1), interval, count);
        let mut spare = Events::default();
        // The timetable's clock never gives time up, so that it stays with the log.
        let (began, mut start, mut made) = (Instant::now(), Instant::now(), 0_u64);
        loop {
            let now = clock::now();
            let at = began.elapsed() * self.setup.speed_milli / 1000;
            self.look(at, now);
            let due = due(start.elapsed(), interval, count);
            if due <= made {
                sleep_until((start + when(made, interval, count)).min(Instant::now() + BEAT)).await;
                continue;
            }
            let at_once = self.play.steps_at_once(at, due_in_a_second);
            let batch = (BATCH_MAX / at_once).max(1);
            for step in made..due.min(made + batch) {
                let index = usize::try_from(step % count).expect("an index of the roles");
                for _ in 0..at_once {
                    spare = self.step(index, at, spare);
                }
            }
            made = due.min(made + batch);
            let behind = start.elapsed().saturating_sub(when(made, interval, count));
            if behind > BEHIND_MAX {
                warn!(?behind, "the simulator cannot keep up with its rate");
                start += behind;
            }
            tokio::task::yield_now().await;
        }
    }

    fn step(&mut self, index: usize, at: Duration, spare: Events<'_>) -> Events<'static> {
        let now = clock::now();
        let mut events = spare.recycle();
        self.play.step(index, at, now.wall, &mut events);
        let part = &mut self.venues[self.part_of[index]];
        part.pipeline.events(&mut events, now, |_| {});
        if part.was_lost && part.feed.state() == FeedState::Live {
            part.was_lost = false;
            info!(venue = %part.venue, "the simulated feed is live again");
            // As after any loss: what was traded meanwhile is not known.
            let gaps = part.wires.len() as u64;
            self.metrics.gaps.get_or_create(&part.venue.into()).inc_by(gaps);
            part.feed.count(|counts| counts.gaps += gaps);
        }
        events.recycle()
    }

    /// Does whatever is due by now, apart from ticks.
    fn look(&mut self, at: Duration, now: Moment) {
        self.begin(at);
        self.open_and_close(self.play.session(at), now);
        for part in &mut self.venues {
            let link = self.play.link(part.venue, at);
            part.follow(link, self.setup.speed_milli, &self.latest, &self.metrics, now);
            if !self.play.is_at_rest(part.venue, at) {
                part.watch(self.setup.silence_max, &self.latest, now);
            }
        }
    }

    /// Logs a phase's beginning.
    fn begin(&mut self, at: Duration) {
        let scene = self.setup.scenario.at(at);
        let is_new =
            self.begun.replace((scene.phase.name, scene.round)) != Some((scene.phase.name, scene.round));
        if is_new {
            let lasts = scene.phase.lasts * 1000 / self.setup.speed_milli.max(1);
            let (scenario, phase) = (self.setup.scenario.name(), scene.phase.name);
            let venue = self.play.venue().map(Venue::name);
            info!(scenario, phase, venue, ?lasts, "a phase begins");
        }
    }

    /// Follows the stocks' day. Each round is the calendar's next day of trading; its hours are the timetable's.
    fn open_and_close(&mut self, phase: hours::Phase, now: Moment) {
        if self.session.is_some_and(|session| session.phase == phase) {
            return;
        }
        let mut next = match self.session {
            Some(session) => hours::session_at(session.until),
            None => hours::session_at(now.wall),
        };
        while next.phase != phase {
            next = hours::session_at(next.until);
        }
        self.session = Some(next);
        // What is traded from now on is of this session, whatever the clock says.
        self.latest.play_session(hours::Session { since: now.wall, until: UnixNanos(i64::MAX), ..next }, now);
    }
}

impl Part {
    /// Does what the venue's connection does.
    fn follow(&mut self, link: Link, speed_milli: u32, latest: &Latest, metrics: &Metrics, now: Moment) {
        let before = std::mem::replace(&mut self.link, link);
        if std::mem::discriminant(&before) == std::mem::discriminant(&link) {
            return;
        }
        match link {
            Link::Closed(after) => {
                let (told, reason) = match before {
                    Link::Dialling => ("does not answer", "connect"),
                    Link::Mute => ("was silent", "silent"),
                    _ => ("closed the connection", "closed"),
                };
                if before != Link::Dialling {
                    warn!(venue = %self.venue, reason, "the simulated connection ended");
                    latest.down(self.venue, &self.wires, now);
                    self.was_lost = true;
                }
                let labels = ByVenueReason { venue: VenueLabel(self.venue), reason };
                metrics.reconnects.get_or_create(&labels).inc();
                self.feed.count(|counts| counts.reconnects += 1);
                self.feed.failed(format!("the simulated venue {told}"));
                self.feed.wait(FeedState::Waiting, now.at + after * 1000 / speed_milli.max(1));
            }
            Link::Dialling => self.feed.dialling(URL.to_owned()),
            Link::Subscribing => self.pipeline.connected(),
            // The same connection.
            Link::Open if before == Link::Mute => {}
            Link::Mute => {}
            Link::Open => {
                if before != Link::Subscribing {
                    self.pipeline.connected();
                }
                self.feed.acknowledged_count(self.wires.len());
            }
        }
    }

    /// Tells what has gone silent.
    fn watch(&self, silence_max: Duration, latest: &Latest, now: Moment) {
        if self.feed.has_gone_silent(silence_max, now) {
            warn!(venue = %self.venue, "no tick for too long");
            self.feed.enter(FeedState::Silent);
            latest.down(self.venue, &self.wires, now);
        }
    }
}

/// Every source whose venue is on, once, in the catalogue's order.
fn roles(catalogue: &Catalogue, is_on: impl Fn(Venue) -> bool) -> Vec<Role> {
    let mut known = HashSet::new();
    let sources = catalogue.ids().flat_map(|id| &catalogue.entry(id).sources);
    let new =
        sources.filter(|source| is_on(source.venue) && known.insert((source.venue, source.wire.as_str())));
    new.map(|source| Role::new(source.venue, &source.wire)).collect()
}

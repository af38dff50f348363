//! Wires everything, starts the long-lived tasks, changes what a new config changes, and stops all of it in order.

mod changes;
mod drivers;

use std::sync::Arc;
use std::time::Duration;

use tickcast_feeds::Venue;
use tickcast_feeds::sim::Scenario;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bus;
use crate::candles::Keeping;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::config::{self, Config, Sim};
use crate::fanout::{Bells, Fanout};
use crate::http::auth::{self, Auth};
use crate::http::sse::Epoch;
use crate::http::{self, cors::Cors, limits::Limits};
use crate::ingest::dial::Network;
use crate::ingest::scenario::{self, Stage};
use crate::ingest::supervisor::Surroundings;
use crate::ingest::{Board, FeedState, Pipeline, replay};
use crate::latest::Latest;
use crate::metrics::Metrics;
use changes::Changes;
use drivers::{Drivers, Silences, silence_max, sim_silence_max};

/// How often staleness and silence are judged. A flip reaches clients within a second, so this is well below.
const SWEEP: Duration = Duration::from_millis(200);
/// How often clients without a stream are forgotten.
const FORGET: Duration = Duration::from_secs(10);
/// How long venues, and then recordings, have for their part of a good-bye.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Where prices come from.
#[derive(Clone, Debug)]
pub enum Drive {
    /// The feeds of the config.
    Feeds,
    /// A recording instead of them.
    Replay(replay::Options),
}

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A task ended by itself; its failure was logged.
    #[error("a task ended by itself")]
    TaskEnded,
}

/// Runs the service on a listener until `stop`, then lets its streams say good-bye. Each config out of `reloads` takes the
/// place of the one before, as far as it can while the service runs.
///
/// # Errors
///
/// [`AppError`] where it stopped for another reason.
pub async fn run(
    config: Config,
    drive: Drive,
    listener: TcpListener,
    mut reloads: mpsc::Receiver<Config>,
    stop: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let closing = CancellationToken::new();
    let drain_max = config.http.drain_max;
    let (mut running, server) = start(config, drive, listener, &closing);
    tokio::pin!(server, stop);
    let mut served = false;
    let result = loop {
        tokio::select! {
            () = &mut stop => {
                info!("stopping");
                break Ok(());
            }
            Some(ended) = running.own.join_next() => {
                error!(?ended, "a task ended by itself; stopping");
                break Err(AppError::TaskEnded);
            }
            Some(ended) = running.bus.join_next() => {
                error!(?ended, "there is no bus; stopping");
                break Err(AppError::TaskEnded);
            }
            ended = running.drivers.next_ended() => {
                if let Err(error) = running.drivers.ended(&ended, &running.config) {
                    break Err(error);
                }
            }
            Some(config) = reloads.recv() => running.reload(config),
            () = &mut server => {
                served = true;
                break Err(AppError::TaskEnded);
            }
        }
    };
    closing.cancel();
    if !served && timeout(drain_max, server).await.is_err() {
        warn!("some streams did not end in time and are cut");
    }
    let said = async { while running.bus.join_next().await.is_some() {} };
    if timeout(CLOSE_MAX, said).await.is_err() {
        warn!("the bus was not left in time");
    }
    running.drivers.stop(CLOSE_MAX).await;
    running.own.shutdown().await;
    result
}

/// What runs, beside the server.
struct Running {
    config: Config,
    latest: Latest,
    drivers: Drivers,
    /// Whether the prices are those of the config's feeds, and not a recording's or a scenario's.
    by_config: bool,
    /// None of these ends before we stop.
    own: JoinSet<()>,
    /// This node's end of the bus, where there is one. It has a good-bye to say.
    bus: JoinSet<()>,
}

impl Running {
    /// Goes over to another config.
    fn reload(&mut self, config: Config) {
        let changes = Changes::between(&self.config, &config);
        if changes.is_none() {
            return info!("the config has not changed");
        }
        if config.is_edge() || self.config.is_edge() {
            return warn!("an edge's symbols come over the bus: a change of the config takes a restart");
        }
        if !self.by_config || playing(&config).is_some() {
            return warn!("a recording or a scenario is played: a change of the config takes a restart");
        }
        let catalogue = self.latest.catalogue().revised(config.instruments.clone());
        self.latest.revise(catalogue, &feeds_of(&config, &Drive::Feeds), clock::now());
        self.drivers.follow(&config);
        changes.log();
        // The rest stays as it was started, and is told again the next time.
        (self.config.instruments, self.config.feeds) = (config.instruments, config.feeds);
    }
}

/// Starts all but the server, which it returns: it ends when the last stream has.
fn start(
    config: Config,
    drive: Drive,
    listener: TcpListener,
    closing: &CancellationToken,
) -> (Running, impl Future<Output = ()> + use<>) {
    let metrics = Arc::new(Metrics::default());
    let board = Board::new(Arc::clone(&metrics));
    let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
    let bells = Arc::new(Bells::default());
    let is_edge = config.is_edge();
    let latest = if is_edge {
        Latest::told(Arc::clone(&bells), config.bus.as_ref().is_some_and(|bus| bus.history > 0))
    } else {
        Latest::new(Arc::clone(&catalogue), &feeds_of(&config, &drive), Arc::clone(&bells))
            .with_candles(Keeping::new(config.candles.clone(), &metrics))
    };
    let fanout = Fanout::new(latest.clone(), Arc::clone(&bells), Arc::clone(&metrics), Epoch(rand::random()));
    let (silences, judged) = watch::channel(Silences::new());
    let (revised, revisions) = watch::channel(latest.revision());
    let around = Surroundings {
        latest: latest.clone(),
        board: board.clone(),
        metrics: Arc::clone(&metrics),
        dial: Arc::new(Network::new()),
        revised: revisions,
        closing: closing.clone(),
    };
    let mut own = JoinSet::new();
    let mut by_config = false;
    let mut drivers = Drivers::new(around, revised, silences.clone());
    match drive {
        Drive::Replay(options) => {
            let venue = options.venue;
            let feed = board.add(venue, options.path.display().to_string(), catalogue.wires(venue).len());
            let pipeline = Pipeline::recorded(feed.clone(), latest.clone(), Arc::clone(&metrics));
            silences.send_modify(|silences| silences.push((feed.clone(), silence_max(venue, &config))));
            own.spawn(replay::run(options, feed, latest.clone(), pipeline));
        }
        Drive::Feeds if is_edge => {}
        Drive::Feeds if playing(&config).is_some() => {
            if let Some(stage) = stage(&config, &board, &latest, &metrics) {
                own.spawn(stage.run());
            }
        }
        Drive::Feeds => {
            by_config = true;
            drivers.follow(&config);
        }
    }

    let hub = fanout.clone();
    own.spawn(async move { hub.run().await });
    if !is_edge {
        own.spawn(watch_silence(latest.clone(), judged));
    }
    let mut on_the_bus = JoinSet::new();
    if let Some(bus) = config.bus.clone() {
        on_the_bus.spawn(on_bus(bus, &fanout, bells, board.clone(), Arc::clone(&metrics), closing.clone()));
    }
    let auth = Arc::new(Auth::new(&config));
    own.spawn(auth::reload::watch(Arc::clone(&auth)));
    let limits = Arc::new(Limits::new(config.limits.clone()));
    own.spawn(forget(Arc::clone(&limits), Arc::clone(&auth)));

    let cors = Cors::new(&config.http.cors_origins).with_cookies(config.auth.cookie.is_some());
    let cors = Arc::new(cors);
    let (stream, http) = (Arc::new(config.stream.clone()), Arc::new(config.http.clone()));
    let closing = closing.clone();
    let state =
        http::State { fanout, board, auth, limits, metrics, cors, stream, http, closing: closing.clone() };
    let running = Running { config, latest, drivers, by_config, own, bus: on_the_bus };
    (running, http::server::serve(listener, state, closing))
}

/// This node's end of the bus. Ends by itself only where the bus can never be: then the node is of no use.
fn on_bus(
    config: config::Bus,
    fanout: &Fanout,
    bells: Arc<Bells>,
    board: Board,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let latest = fanout.latest().clone();
    let interest = fanout.interest().cloned();
    async move {
        let ended = if let Some(interest) = interest {
            bus::Follower { latest, interest, board, metrics, closing }.run(config).await
        } else {
            bus::Publisher { latest, bells, board, metrics, closing }.run(config).await
        };
        if let Err(error) = ended {
            error!(error = &error as &dyn std::error::Error, "no bus");
        }
    }
}

/// The simulator's part of the config, where it plays a scenario: then nothing else runs.
fn playing(config: &Config) -> Option<(&Sim, Scenario)> {
    let sim = config.feeds.sim.as_ref()?;
    Some((sim, sim.playing()?))
}

/// What plays the scenario.
fn stage(config: &Config, board: &Board, latest: &Latest, metrics: &Arc<Metrics>) -> Option<Stage> {
    let (sim, scenario) = playing(config)?;
    let setup = scenario::Setup {
        seed: sim.seed,
        scenario,
        speed_milli: sim.scenario_speed_milli(),
        interval: sim.interval(),
        silence_max: sim_silence_max(sim),
    };
    let is_on = |venue| config.feeds.is_on(venue);
    Some(Stage::new(setup, is_on, board, latest.clone(), Arc::clone(metrics)))
}

/// The venues with sockets that are on.
fn live(config: &Config) -> impl Iterator<Item = Venue> {
    Venue::ALL.iter().copied().filter(|&venue| venue != Venue::Sim && config.feeds.is_on(venue))
}

/// The feeds that run, and how long each may be silent.
fn feeds_of(config: &Config, drive: &Drive) -> Vec<(Venue, Duration)> {
    match drive {
        Drive::Replay(options) => vec![(options.venue, silence_max(options.venue, config))],
        Drive::Feeds => {
            let sim = config.feeds.sim.as_ref().filter(|sim| sim.enabled);
            let sim = sim.map(|sim| (Venue::Sim, sim_silence_max(sim)));
            // A venue that is played is as silent as the simulator may be.
            let silence = |venue| match (playing(config), sim) {
                (Some(_), Some((_, silence_max))) => silence_max,
                _ => silence_max(venue, config),
            };
            sim.into_iter().chain(live(config).map(|venue| (venue, silence(venue)))).collect()
        }
    }
}

/// One timer for all: tells what has gone silent or stale though nothing ticks.
async fn watch_silence(latest: Latest, silences: watch::Receiver<Silences>) {
    let mut beat = interval(SWEEP);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = clock::now();
        for (feed, silence_max) in &*silences.borrow() {
            if feed.has_gone_silent(*silence_max, now) {
                warn!(venue = %feed.venue(), "no tick for too long");
                feed.enter(FeedState::Silent);
                latest.down(feed.venue(), &latest.catalogue().wires(feed.venue()), now);
            }
        }
        latest.sweep(now);
    }
}

/// Forgets clients that are gone and tickets that are too old, for ever.
async fn forget(limits: Arc<Limits>, auth: Arc<Auth>) {
    let mut beat = interval(FORGET);
    loop {
        beat.tick().await;
        limits.forget();
        auth.forget();
    }
}

//! Wires everything, starts the long-lived tasks, and stops them in order.

use std::sync::Arc;
use std::time::Duration;

use tickcast_feeds::Venue;
use tickcast_feeds::sim::Scenario;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::candles::Keeping;
use crate::catalogue::Catalogue;
use crate::clock;
use crate::config::{Config, Sim};
use crate::fanout::{Bells, Fanout};
use crate::http::auth::{self, Auth};
use crate::http::sse::Epoch;
use crate::http::{self, cors::Cors, limits::Limits};
use crate::ingest::dial::Network;
use crate::ingest::scenario::{self, Stage};
use crate::ingest::supervisor::{self, Setup, Surroundings};
use crate::ingest::{Board, Feed, FeedState, Pipeline, record, replay, sim};
use crate::latest::Latest;
use crate::metrics::Metrics;

/// How often staleness and silence are judged. A flip reaches clients within a second, so this is well below.
const SWEEP: Duration = Duration::from_millis(200);
/// How often clients without a stream are forgotten.
const FORGET: Duration = Duration::from_secs(10);
/// How long venues have for their part of a good-bye.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// The simulator never is silent by intention: at its slowest rate a symbol changes every few minutes.
const SIM_SILENCE_MIN: Duration = Duration::from_secs(10);

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

/// The long-lived tasks.
#[derive(Debug, Default)]
struct Tasks {
    /// None of these ends before we stop.
    own: JoinSet<()>,
    /// Nor one of these, and each has good-byes to say.
    venues: JoinSet<()>,
    /// These end with the venues, or where a disk fails, which stops nothing else.
    writers: JoinSet<()>,
}

impl Tasks {
    /// Waits a moment for whoever has something to finish, and cuts the rest.
    async fn stop(mut self) {
        for (tasks, what) in [(&mut self.venues, "venues"), (&mut self.writers, "recordings")] {
            let ended = async { while tasks.join_next().await.is_some() {} };
            if timeout(CLOSE_MAX, ended).await.is_err() {
                warn!(what, "not ended in time and cut");
            }
            tasks.abort_all();
        }
        self.own.shutdown().await;
    }
}

/// Runs the service on a listener until `stop`, then lets its streams say good-bye.
///
/// # Errors
///
/// [`AppError`] where it stopped for another reason.
pub async fn run(
    config: Config,
    drive: Drive,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let closing = CancellationToken::new();
    let drain_max = config.http.drain_max;
    let mut tasks = Tasks::default();
    let server = start(config, drive, listener, &closing, &mut tasks);
    tokio::pin!(server);
    let mut served = false;
    let result = tokio::select! {
        () = stop => {
            info!("stopping");
            Ok(())
        }
        Some(ended) = tasks.own.join_next() => {
            error!(?ended, "a task ended by itself; stopping");
            Err(AppError::TaskEnded)
        }
        Some(ended) = tasks.venues.join_next() => {
            error!(?ended, "a venue's task ended by itself; stopping");
            Err(AppError::TaskEnded)
        }
        () = &mut server => {
            served = true;
            Err(AppError::TaskEnded)
        }
    };
    closing.cancel();
    if !served && timeout(drain_max, server).await.is_err() {
        warn!("some streams did not end in time and are cut");
    }
    tasks.stop().await;
    result
}

/// Starts all but the server, which it returns: it ends when the last stream has.
fn start(
    config: Config,
    drive: Drive,
    listener: TcpListener,
    closing: &CancellationToken,
    tasks: &mut Tasks,
) -> impl Future<Output = ()> + use<> {
    let metrics = Arc::new(Metrics::default());
    let board = Board::new(Arc::clone(&metrics));
    let catalogue = Arc::new(Catalogue::new(config.instruments.clone()));
    let running = running(&config, &drive);
    let bells = Arc::new(Bells::new(catalogue.len()));
    let latest = Latest::new(Arc::clone(&catalogue), &running, Arc::clone(&bells))
        .with_candles(Keeping::new(config.candles.clone(), &metrics));
    let fanout = Fanout::new(latest.clone(), bells, Arc::clone(&metrics), Epoch(rand::random()));

    let mut feeds = Vec::new();
    match drive {
        Drive::Replay(options) => {
            let venue = options.venue;
            let feed = board.add(venue, options.path.display().to_string(), catalogue.wires(venue).len());
            let pipeline = Pipeline::recorded(feed.clone(), latest.clone(), Arc::clone(&metrics));
            feeds.push(feed.clone());
            tasks.own.spawn(replay::run(options, feed, latest.clone(), pipeline));
        }
        Drive::Feeds if playing(&config).is_some() => {
            if let Some(stage) = stage(&config, &board, &latest, &metrics) {
                tasks.own.spawn(stage.run());
            }
        }
        Drive::Feeds => {
            if let Some(sim) = config.feeds.sim.as_ref().filter(|sim| sim.enabled) {
                let wires: Vec<String> = catalogue.wires(Venue::Sim).into_iter().map(str::to_owned).collect();
                let feed = board.add(Venue::Sim, "sim".to_owned(), wires.len());
                feed.all_acknowledged();
                let pipeline = Pipeline::new(feed.clone(), latest.clone(), Arc::clone(&metrics));
                feeds.push(feed);
                tasks.own.spawn(sim::run(sim.seed, wires, sim.interval(), pipeline));
            }
            let around = Surroundings {
                latest: latest.clone(),
                board: board.clone(),
                metrics: Arc::clone(&metrics),
                dial: Arc::new(Network::new()),
                closing: closing.clone(),
            };
            connect(&config, &around, tasks);
        }
    }

    let hub = fanout.clone();
    tasks.own.spawn(async move { hub.run().await });
    tasks.own.spawn(watch(latest, feeds, running));
    let auth = Arc::new(Auth::new(&config, &catalogue));
    tasks.own.spawn(auth::reload::watch(Arc::clone(&auth)));
    let limits = Arc::new(Limits::new(config.limits));
    tasks.own.spawn(forget(Arc::clone(&limits), Arc::clone(&auth)));

    let cors = Cors::new(&config.http.cors_origins).with_cookies(config.auth.cookie.is_some());
    let cors = Arc::new(cors);
    let (stream, http) = (Arc::new(config.stream), Arc::new(config.http));
    let closing = closing.clone();
    let state =
        http::State { fanout, board, auth, limits, metrics, cors, stream, http, closing: closing.clone() };
    http::server::serve(listener, state, closing)
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

fn sim_silence_max(sim: &Sim) -> Duration {
    sim.silence_max.unwrap_or(SIM_SILENCE_MIN.max(sim.interval() * 3))
}

/// Starts a task for each venue that is on, and what records its frames.
fn connect(config: &Config, around: &Surroundings, tasks: &mut Tasks) {
    let catalogue = around.latest.catalogue();
    for venue in live(config).filter(|&venue| !catalogue.wires(venue).is_empty()) {
        let Some(setup) = config.feeds.feed(venue).and_then(|feed| Setup::of(venue, feed)) else { continue };
        let recorder = config.record.clone().map(|config| {
            let (recorder, writer) = record::recorder(venue, config, &around.metrics);
            // It ends with its last recorder, and where the disk fails: the service goes on without.
            tasks.writers.spawn_blocking(move || writer.run());
            recorder
        });
        tasks.venues.spawn(supervisor::run(setup, around.clone(), recorder));
    }
}

/// The venues with sockets that are on.
fn live(config: &Config) -> impl Iterator<Item = Venue> {
    Venue::ALL.iter().copied().filter(|&venue| venue != Venue::Sim && config.feeds.is_on(venue))
}

/// The feeds that run, and how long each may be silent.
fn running(config: &Config, drive: &Drive) -> Vec<(Venue, Duration)> {
    let silence = |venue: Venue| {
        let configured = config.feeds.feed(venue).and_then(|feed| feed.silence_max);
        configured.or_else(|| venue.profile().map(|profile| profile.silence_max)).unwrap_or(SIM_SILENCE_MIN)
    };
    match drive {
        Drive::Replay(options) => vec![(options.venue, silence(options.venue))],
        Drive::Feeds => {
            let sim = config.feeds.sim.as_ref().filter(|sim| sim.enabled);
            let sim = sim.map(|sim| (Venue::Sim, sim_silence_max(sim)));
            // A venue that is played is as silent as the simulator may be.
            let silence = |venue| match (playing(config), sim) {
                (Some(_), Some((_, silence_max))) => silence_max,
                _ => silence(venue),
            };
            sim.into_iter().chain(live(config).map(|venue| (venue, silence(venue)))).collect()
        }
    }
}

/// One timer for all: tells what has gone silent or stale though nothing ticks.
async fn watch(latest: Latest, feeds: Vec<Feed>, limits: Vec<(Venue, Duration)>) {
    let mut beat = interval(SWEEP);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = clock::now();
        for feed in &feeds {
            let limit = limits.iter().find(|(venue, _)| *venue == feed.venue()).map(|(_, limit)| *limit);
            if limit.is_some_and(|limit| feed.has_gone_silent(limit, now)) {
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

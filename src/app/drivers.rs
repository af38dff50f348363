//! What brings prices in by a config, a task for each venue and the simulator's, and how that changes with the config.

use std::collections::BTreeMap;
use std::time::Duration;

use tickcast_feeds::Venue;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::AppError;
use crate::clock;
use crate::config::{self, Config, Sim};
use crate::ingest::record::{self, Recorder};
use crate::ingest::sim::{self, Simulated};
use crate::ingest::supervisor::{self, Setup, Surroundings};
use crate::ingest::{Feed, FeedState, Pipeline};

/// The simulator never is silent by intention: at its slowest rate a symbol changes every few minutes.
const SIM_SILENCE_MIN: Duration = Duration::from_secs(10);

/// The feeds whose silence nobody else judges, and how long each may be silent.
pub(super) type Silences = Vec<(Feed, Duration)>;

/// The tasks of a config's feeds.
pub(super) struct Drivers {
    around: Surroundings,
    revised: watch::Sender<u64>,
    silences: watch::Sender<Silences>,
    running: BTreeMap<Venue, Running>,
    /// Each ends when its venue is to be left, with good-byes to say, and not before.
    tasks: JoinSet<Venue>,
    /// These end with their venues, or where a disk fails, which stops nothing else.
    writers: JoinSet<()>,
}

/// One venue's task.
struct Running {
    what: What,
    stop: CancellationToken,
    /// What is to follow once it has ended; `None` while it is to go on.
    next: Option<Next>,
}

/// What a task was started for.
enum What {
    Feed(config::Feed),
    Simulator(watch::Sender<Simulated>),
}

enum Next {
    Nothing,
    Again,
}

impl Drivers {
    /// Nothing runs yet. `revised` is what the surroundings' supervisors listen to.
    pub(super) fn new(
        around: Surroundings,
        revised: watch::Sender<u64>,
        silences: watch::Sender<Silences>,
    ) -> Self {
        Self {
            around,
            revised,
            silences,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            writers: JoinSet::new(),
        }
    }

    /// Runs what the config says, once the catalogue is the config's: starts, stops, and starts again what is set up in
    /// another way. What is as it was goes on; it finds its instruments in the catalogue.
    pub(super) fn follow(&mut self, config: &Config) {
        for &venue in Venue::ALL {
            let is_wanted =
                config.feeds.is_on(venue) && !self.around.latest.catalogue().wires(venue).is_empty();
            match self.running.get_mut(&venue) {
                None if is_wanted => self.start(venue, config),
                None => {}
                // It is on its way out.
                Some(Running { next: Some(next), .. }) => {
                    *next = if is_wanted { Next::Again } else { Next::Nothing };
                }
                Some(running) if !is_wanted => running.end(Next::Nothing),
                Some(running) if running.is_set_up_otherwise(venue, config) => {
                    info!(%venue, "set up in another way; starting it again");
                    running.end(Next::Again);
                }
                Some(running) => {
                    if let (What::Simulator(wanted), Some(sim)) = (&running.what, &config.feeds.sim) {
                        wanted.send_replace(simulated(sim, &self.around));
                        let silence_max = sim_silence_max(sim);
                        self.silences.send_modify(|silences| {
                            let own = silences.iter_mut().filter(|(feed, _)| feed.venue() == Venue::Sim);
                            own.for_each(|(_, most)| *most = silence_max);
                        });
                    }
                }
            }
        }
        self.revised.send_replace(self.around.latest.revision());
    }

    fn start(&mut self, venue: Venue, config: &Config) {
        // Connections are closed as soon as the service is told to stop, and the simulator with its last stream.
        let stop = match venue {
            Venue::Sim => CancellationToken::new(),
            _ => self.around.closing.child_token(),
        };
        let around = Surroundings { closing: stop.clone(), ..self.around.clone() };
        let what = if venue == Venue::Sim {
            let Some(sim) = &config.feeds.sim else { return };
            What::Simulator(self.start_simulator(sim, around))
        } else {
            let Some(feed) = config.feeds.feed(venue) else { return };
            let Some(setup) = Setup::of(venue, feed) else { return };
            let recorder = config.record.clone().map(|config| self.recorder(venue, config));
            self.tasks.spawn(async move {
                supervisor::run(setup, around, recorder).await;
                venue
            });
            What::Feed(feed.clone())
        };
        self.running.insert(venue, Running { what, stop, next: None });
    }

    fn start_simulator(&mut self, sim: &Sim, around: Surroundings) -> watch::Sender<Simulated> {
        let (wanted, seen) = watch::channel(simulated(sim, &around));
        let feed = around.board.add(Venue::Sim, "sim".to_owned(), 0);
        let pipeline = Pipeline::new(feed.clone(), around.latest, around.metrics);
        self.silences.send_modify(|silences| silences.push((feed.clone(), sim_silence_max(sim))));
        self.tasks.spawn(async move {
            tokio::select! {
                () = around.closing.cancelled() => {}
                () = sim::run(seen, feed.clone(), pipeline) => {}
            }
            feed.enter(FeedState::Stopped);
            Venue::Sim
        });
        wanted
    }

    fn recorder(&mut self, venue: Venue, config: config::Record) -> Recorder {
        let (recorder, writer) = record::recorder(venue, config, &self.around.metrics);
        // It ends with its last recorder, and where the disk fails: the service goes on without.
        self.writers.spawn_blocking(move || writer.run());
        recorder
    }

    /// The next task that has ended. Waits for ever where none runs.
    pub(super) async fn next_ended(&mut self) -> Result<Venue, JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Follows the end of a task, which was to be, or was not.
    ///
    /// # Errors
    ///
    /// [`AppError::TaskEnded`] where it ended by itself.
    pub(super) fn ended(
        &mut self,
        ended: &Result<Venue, JoinError>,
        config: &Config,
    ) -> Result<(), AppError> {
        let over =
            ended.as_ref().ok().and_then(|venue| self.running.remove(venue)).and_then(|over| over.next);
        let (Ok(venue), Some(next)) = (ended, over) else {
            error!(?ended, "a venue's task ended by itself; stopping");
            return Err(AppError::TaskEnded);
        };
        let venue = *venue;
        let latest = &self.around.latest;
        self.around.board.take_down(|feed| feed.venue() == venue);
        self.silences.send_modify(|silences| silences.retain(|(feed, _)| feed.venue() != venue));
        latest.down(venue, &latest.catalogue().wires(venue), clock::now());
        match next {
            Next::Again => self.start(venue, config),
            Next::Nothing => info!(%venue, "left"),
        }
        Ok(())
    }

    /// Waits a moment for whoever has something to finish, and cuts the rest. The surroundings' token is cancelled.
    pub(super) async fn stop(mut self, most: Duration) {
        self.running.values().for_each(|running| running.stop.cancel());
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(most, ended).await.is_err() {
            warn!("some venues did not end in time and were cut");
        }
        self.tasks.shutdown().await;
        let written = async { while self.writers.join_next().await.is_some() {} };
        if tokio::time::timeout(most, written).await.is_err() {
            warn!("some recordings did not end in time and were cut");
        }
    }
}

impl Running {
    fn end(&mut self, next: Next) {
        self.next = Some(next);
        self.stop.cancel();
    }

    fn is_set_up_otherwise(&self, venue: Venue, config: &Config) -> bool {
        match &self.what {
            What::Feed(feed) => config.feeds.feed(venue) != Some(feed),
            // It takes everything on its way.
            What::Simulator(_) => false,
        }
    }
}

fn simulated(sim: &Sim, around: &Surroundings) -> Simulated {
    let catalogue = around.latest.catalogue();
    let wires = catalogue.wires(Venue::Sim).into_iter().map(str::to_owned).collect();
    Simulated { seed: sim.seed, wires, interval: sim.interval() }
}

/// How long the simulator may be silent.
pub(super) fn sim_silence_max(sim: &Sim) -> Duration {
    sim.silence_max.unwrap_or(SIM_SILENCE_MIN.max(sim.interval() * 3))
}

/// How long a venue with a socket may be silent.
pub(super) fn silence_max(venue: Venue, config: &Config) -> Duration {
    let configured = config.feeds.feed(venue).and_then(|feed| feed.silence_max);
    configured.or_else(|| venue.profile().map(|profile| profile.silence_max)).unwrap_or(SIM_SILENCE_MIN)
}

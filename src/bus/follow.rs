//! The edge end of the bus: tells the store what was published, in the order of the stream, of the symbols that somebody
//! wants. What NATS does not hear from us costs it nothing; what we do not hear from it makes prices stale.

mod catalogue;
mod gather;
mod judge;
mod round;
mod trades;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::stream;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::names::What;
use super::nats::{BusError, Nats};
use super::wire::{FORMAT, Told};
use super::{Beat, names};
use crate::catalogue::SymbolId;
use crate::clock;
use crate::config::Bus;
use crate::fanout::Interest;
use crate::http::sse::Epoch;
use crate::ingest::Board;
use crate::latest::{Latest, Put};
use crate::metrics::{ByReason, Metrics, in_seconds};
use crate::ticker::Status;
use gather::{Batch, Gathered};
use round::{Lines, Published};
use tickcast_feeds::UnixNanos;
use trades::Trades;

/// Symbols that are followed one by one; of more than that, all are.
const FOLLOWED_MAX: usize = 256;
/// How often all that is judged.
const SWEEP: Duration = Duration::from_millis(50);
/// Between two attempts to find the stream, or the catalogue.
const RETRY: Duration = Duration::from_millis(200);

/// What an edge tells.
pub struct Follower {
    /// The store that is told.
    pub latest: Latest,
    /// What is wanted of it.
    pub interest: Arc<Interest>,
    /// How the feeds are.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the node is about to stop.
    pub closing: CancellationToken,
}

impl Follower {
    /// Follows the bus until the node stops.
    ///
    /// # Errors
    ///
    /// [`BusError::SetUp`] where it never can.
    pub async fn run(self, config: Bus) -> Result<(), BusError> {
        let name = format!("tickcast edge {:08x}", rand::random::<u32>());
        let nats = Nats::connect(&config, &name).await?;
        info!(servers = config.servers(), "the bus is at");
        self.board.be_told();
        self.board.bus(Some("not connected yet".to_owned()));
        let closing = self.closing.clone();
        let trades = Trades::new(&self, nats.clone());
        let trades = async {
            match config.history {
                0 => std::future::pending().await,
                _ => trades.run().await,
            }
        };
        tokio::select! {
            () = closing.cancelled() => Ok(()),
            ended = Edge::new(self, nats).run() => ended,
            ended = trades => ended,
        }
    }
}

/// A symbol that is followed.
#[derive(Debug)]
struct Followed {
    /// When it was heard of or asked for last.
    heard: Instant,
    /// Since when nobody wants it.
    unwanted: Option<Instant>,
}

type Work = FuturesUnordered<BoxFuture<'static, Done>>;

/// What was fetched.
enum Done {
    /// The stream, after a connection or a doubt, and the connection that it was found by.
    Stream(u64, Result<Box<(stream::Stream, Epoch)>, BusError>),
    /// Symbols, with the subscriptions that they come by from now on.
    Batch(Result<Gathered, BusError>),
    /// The catalogue and its revision.
    Catalogue(Result<Option<(u64, Vec<u8>)>, BusError>),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, answered by its own event")]
struct Edge {
    around: Follower,
    nats: Nats,
    /// `None` until the stream was found, and while it is in doubt: then nothing is told.
    stream: Option<(stream::Stream, Epoch)>,
    epoch: Option<Epoch>,
    /// The connection that all this is of.
    connects: u64,
    overflows: u64,
    fence: u64,
    lines: Lines,
    /// What was missed between two connections is being fetched.
    catches_up: bool,
    /// Everything is followed, by one subscription.
    all: bool,
    followed: HashMap<SymbolId, Followed>,
    /// On their way to be followed.
    coming: HashSet<SymbolId>,
    tokens: HashMap<String, SymbolId>,
    /// What was told and waits for its turn.
    carried: Vec<Published>,
    /// The newest sequence by the last sign of life.
    head: u64,
    /// What can be said to be here once that was told.
    arriving: Vec<(SymbolId, u64)>,
    work: Work,
    is_finding: bool,
    is_listing: bool,
    /// The revision of the catalogue that the store has.
    listed: Option<u64>,
    /// When somebody was last heard who publishes.
    beat: Instant,
    is_cut: bool,
    /// Logged once each.
    told: HashSet<&'static str>,
    problem: Option<String>,
}

impl Edge {
    fn new(around: Follower, nats: Nats) -> Self {
        Self {
            around,
            nats,
            stream: None,
            epoch: None,
            connects: 0,
            overflows: 0,
            fence: 0,
            lines: Lines::default(),
            catches_up: false,
            all: false,
            followed: HashMap::new(),
            coming: HashSet::new(),
            tokens: HashMap::new(),
            carried: Vec::new(),
            head: 0,
            arriving: Vec::new(),
            work: Work::new(),
            is_finding: false,
            is_listing: false,
            listed: None,
            beat: Instant::now(),
            is_cut: true,
            told: HashSet::new(),
            problem: None,
        }
    }

    async fn run(mut self) -> Result<(), BusError> {
        let refused = |error| BusError::Refused { what: "let us listen", source: Box::new(error) };
        let mut beats = self.nats.client.subscribe(self.nats.names.beat()).await.map_err(refused)?;
        let mut feeds = self.nats.client.subscribe(self.nats.names.feeds()).await.map_err(refused)?;
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.around.interest.served(false);
        let interest = Arc::clone(&self.around.interest);
        loop {
            let hears = self.stream.is_some() && !self.catches_up;
            tokio::select! {
                // Not biased: each of them may be busy for ever.
                published = self.lines.round(&mut self.carried), if hears => self.tell(published),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.take(done),
                Some(beat) = beats.next() => self.hear(&beat.payload),
                Some(report) = feeds.next() => self.around.board.tell(&report.payload),
                () = interest.changed() => self.follow(),
                _ = sweep.tick() => self.judge(),
            }
        }
    }

    /// Tells the store what was published, which is in the order of the stream.
    fn tell(&mut self, published: Vec<Published>) {
        // What comes after a connection is in doubt until the stream is known to be the same, and what was missed is here.
        if self.nats.connects() != self.connects {
            self.carried.extend(published);
            return self.doubt();
        }
        let now = Instant::now();
        for Published { token, sequence, payload } in published {
            let Some(&id) = self.tokens.get(&token) else { continue };
            if let Some(followed) = self.followed.get_mut(&id) {
                followed.heard = now;
            }
            if let Err(reason) = self.tell_one(id, sequence, &payload) {
                self.around.metrics.bus_refused.get_or_create(&ByReason { reason }).inc();
            }
        }
        self.arrived();
    }

    /// Says of symbols that they are here, once what was fetched of them was told.
    fn arrived(&mut self) {
        let heard = self.lines.heard();
        let mut here = self.arriving.extract_if(.., |(_, sequence)| *sequence <= heard).peekable();
        if here.peek().is_some() {
            self.around.interest.arrived(here.map(|(id, _)| id));
        }
    }

    fn tell_one(&mut self, id: SymbolId, sequence: u64, payload: &[u8]) -> Result<(), &'static str> {
        let Follower { latest, metrics, .. } = &self.around;
        metrics.bus_received.inc();
        let told = Told::decode(payload).map_err(|error| {
            let reason = error.name();
            if self.told.insert(reason) {
                warn!(
                    symbol = latest.catalogue().entry(id).symbol,
                    "{error}; skipped, and counted from now on"
                );
            }
            reason
        })?;
        if Some(told.epoch) != self.epoch {
            return Err("other_epoch");
        }
        if told.fence < self.fence {
            return Err("fenced");
        }
        self.fence = told.fence;
        if told.currency != latest.catalogue().entry(id).currency {
            return Err("other_currency");
        }
        let mut ticker = told.ticker;
        if self.is_cut {
            ticker.status = Status::Stale;
        }
        if latest.put(id, ticker, sequence) == Put::New {
            let delay = clock::wall().0.saturating_sub(told.published.0).max(0);
            metrics.bus_delay.observe(in_seconds(UnixNanos(delay)));
        }
        Ok(())
    }

    /// Nothing is told until the stream was looked at again.
    fn doubt(&mut self) {
        self.stream = None;
        self.find(Duration::ZERO);
    }

    fn find(&mut self, after: Duration) {
        if std::mem::replace(&mut self.is_finding, true) {
            return;
        }
        let nats = self.nats.clone();
        self.work.push(Box::pin(async move {
            sleep(after).await;
            let connects = nats.connects();
            Done::Stream(connects, nats.stream(What::Tickers).await.map(Box::new))
        }));
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Stream(connects, found) => {
                self.is_finding = false;
                match found {
                    Ok(found) => self.found(*found, connects),
                    Err(error) => {
                        self.report(error.line());
                        self.find(RETRY);
                    }
                }
            }
            Done::Batch(Ok(gathered)) => self.gathered(gathered),
            Done::Batch(Err(error)) => {
                self.coming.clear();
                self.report(error.line());
                self.doubt();
            }
            Done::Catalogue(found) => {
                self.is_listing = false;
                match found {
                    Ok(Some((revision, bytes))) => self.list(revision, &bytes),
                    Ok(None) => {}
                    Err(error) => self.report(error.line()),
                }
            }
        }
    }

    /// Goes on with this stream, and fetches what may have been missed.
    fn found(&mut self, (stream, epoch): (stream::Stream, Epoch), connects: u64) {
        let Follower { latest, interest, board, .. } = &self.around;
        let before = self.epoch.replace(epoch);
        if before != Some(epoch) {
            if before.is_some() {
                info!(
                    epoch = format!("{:x}", epoch.0),
                    "the bus has begun anew: everybody gets everything again"
                );
            }
            latest.cut();
            latest.begin(epoch);
            (self.fence, self.listed, self.is_cut) = (0, None, true);
            self.carried.clear();
            self.head = 0;
        }
        // What is stored by now is fetched, unless something newer of its symbol is.
        self.lines.begin(stream.cached_info().state.last_sequence);
        self.problem = None;
        board.bus(None);
        interest.served(true);
        (self.connects, self.overflows) = (connects, self.nats.overflows());
        self.stream = Some((stream, epoch));
        self.fetch_catalogue();
        self.catches_up = !self.followed.is_empty();
        self.refresh(Batch::CatchUp);
    }

    /// Asks for all that is followed.
    fn refresh(&mut self, batch: Batch) {
        let ids: Vec<SymbolId> = self.followed.keys().copied().collect();
        self.gather(ids, batch);
        self.follow();
    }

    fn gather(&mut self, ids: Vec<SymbolId>, batch: Batch) {
        let Some((stream, _)) = &self.stream else { return };
        if ids.is_empty() && batch != Batch::All {
            return;
        }
        let catalogue = self.around.latest.catalogue();
        let symbols =
            ids.into_iter().map(|id| (id, names::token(&catalogue.entry(id).symbol))).collect::<Vec<_>>();
        let gathering = gather::gather(self.nats.clone(), stream.clone(), symbols, batch, self.connects);
        self.work.push(Box::pin(async move { Done::Batch(gathering.await) }));
    }

    fn gathered(&mut self, gathered: Gathered) {
        let Gathered { batch, subscriptions, found, asked, connects } = gathered;
        let now = Instant::now();
        match batch {
            Batch::Refresh => {}
            Batch::CatchUp => self.catches_up = connects != self.connects,
            Batch::Some => {
                for (id, subscriber) in subscriptions {
                    self.add(subscriber, id);
                }
            }
            Batch::All => {
                self.lines.clear();
                for (_, subscriber) in subscriptions {
                    self.add(subscriber, None);
                }
                self.all = true;
            }
        }
        for &id in &asked {
            let is_coming = self.coming.remove(&id);
            if let Some(followed) = self.followed.get_mut(&id) {
                followed.heard = now;
            } else if is_coming {
                self.followed.insert(id, Followed { heard: now, unwanted: None });
            }
        }
        self.around.metrics.bus_followed.set(i64::try_from(self.followed.len()).unwrap_or(i64::MAX));
        // Of an earlier connection: it is asked for again anyway.
        if connects == self.connects {
            let sequences: HashMap<SymbolId, u64> =
                found.iter().filter_map(|it| Some((*self.tokens.get(&it.token)?, it.sequence))).collect();
            self.carried.extend(found);
            self.arriving.extend(asked.into_iter().map(|id| (id, sequences.get(&id).copied().unwrap_or(0))));
            if self.carried.is_empty() {
                self.arrived();
            }
        } else if batch != Batch::CatchUp {
            self.gather(asked, Batch::Refresh);
        }
        self.follow();
    }

    fn add(&mut self, subscriber: Subscriber, id: Option<SymbolId>) {
        self.lines.add(subscriber, id);
    }

    /// Follows what is wanted and not followed yet.
    fn follow(&mut self) {
        if self.stream.is_none() {
            return;
        }
        let catalogue = Arc::clone(&self.around.latest.catalogue());
        let is_wanted = |id: &SymbolId| self.around.interest.is_wanted(*id);
        let missing = |id: &SymbolId| !self.followed.contains_key(id) && !self.coming.contains(id);
        let new: Vec<SymbolId> = if self.all {
            // What has come into the catalogue since; its messages come anyway.
            catalogue.ids().filter(missing).collect()
        } else {
            catalogue.ids().filter(|id| is_wanted(id) && missing(id)).collect()
        };
        if new.is_empty() {
            return;
        }
        if self.all {
            self.coming.extend(&new);
            return self.gather(new, Batch::Refresh);
        }
        if self.followed.len() + self.coming.len() + new.len() > FOLLOWED_MAX {
            // Those that are on their way are asked for again: it is one question each.
            let ids: Vec<SymbolId> = catalogue.ids().collect();
            self.coming.extend(&ids);
            return self.gather(ids, Batch::All);
        }
        self.coming.extend(&new);
        self.gather(new, Batch::Some);
    }

    /// Somebody publishes.
    fn hear(&mut self, payload: &[u8]) {
        let Ok(beat) = serde_json::from_slice::<Beat>(payload) else { return };
        if beat.v > FORMAT {
            if self.told.insert("newer_beat") {
                error!(format = beat.v, ours = FORMAT, "who publishes is newer than this node: update it");
            }
            return;
        }
        if Some(Epoch(beat.epoch)) != self.epoch {
            if self.stream.is_some() {
                self.doubt();
            }
            return;
        }
        if beat.fence < self.fence {
            return;
        }
        self.fence = beat.fence;
        // By the one before: in a cluster the newest may have come another way, and faster.
        let head = std::mem::replace(&mut self.head, beat.head);
        self.lines.pass(head.min(beat.head));
        // What is published is not told yet.
        if self.catches_up {
            return;
        }
        self.beat = Instant::now();
        self.told.remove("reconnected");
        if self.problem.take_if(|problem| problem == judge::NOBODY).is_some() {
            self.around.board.bus(None);
        }
        self.around.latest.given(beat.head);
        if std::mem::take(&mut self.is_cut) && self.stream.is_some() {
            info!("somebody publishes: prices are as they say");
            self.refresh(Batch::Refresh);
        }
        if beat.catalogue.is_some() && beat.catalogue != self.listed {
            self.fetch_catalogue();
        }
    }

    fn report(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            // Of the connection itself is told where it is noticed.
            if self.nats.is_connected() {
                warn!(problem, "the bus cannot be followed");
            }
            self.around.board.bus(Some(problem.clone()));
            self.problem = Some(problem);
        }
    }
}

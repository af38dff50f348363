//! The trades of the symbols whose every trade somebody wants, in the order of the stream and without a hole that is not told.
//!
//! What comes by itself may miss something: each message says which one of its symbol came before it. Where that is not the one
//! that we have, or the connection was another one, nothing more is told until what is missing was fetched.

mod fetch;
mod message;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::super::Beat;
use super::super::names::{self, What};
use super::super::nats::{BusError, Nats};
use super::super::wire::{BATCH_MAX, FORMAT};
use super::round::{self, Lines, Published};
use super::{FOLLOWED_MAX, Follower, RETRY};
use crate::catalogue::SymbolId;
use crate::clock;
use crate::http::sse::Epoch;
use crate::ingest::Board;
use crate::latest::{Latest, TradesTold};
use crate::metrics::Metrics;
use fetch::{Fetched, Listen};
use message::{Decoded, end_of};

/// How often all that is judged.
const SWEEP: Duration = Duration::from_millis(100);
/// Between two looks for trades that nobody wants any more.
const FORGET: Duration = Duration::from_secs(1);
/// Between two doubts that a message raises: others may publish nonsense for ever.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// A symbol whose trades are followed.
#[derive(Debug)]
enum Followed {
    /// What is stored is being fetched; this has come meanwhile.
    Coming(Vec<Published>),
    /// Everything up to the message with this sequence was told.
    Here(u64),
}

/// What was fetched.
enum Done {
    /// The stream, and the connection that it was found by.
    Stream(u64, Result<Box<(stream::Stream, Epoch)>, BusError>),
    /// Trades, of symbols that come anew or of those that are here.
    Trades(Result<Fetched, BusError>),
}

pub(super) struct Trades {
    latest: Latest,
    board: Board,
    metrics: Arc<Metrics>,
    nats: Nats,
    /// `None` until the stream was found, and while it is in doubt.
    stream: Option<(stream::Stream, Epoch)>,
    epoch: Option<Epoch>,
    connects: u64,
    overflows: u64,
    lines: Lines,
    /// Everything is followed, by one subscription.
    all: bool,
    followed: HashMap<SymbolId, Followed>,
    tokens: HashMap<String, SymbolId>,
    /// What has come and was not told yet.
    carried: Vec<Published>,
    /// Symbols that are here and of which something may be missing: nothing is told while there are any.
    missing: HashSet<SymbolId>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    is_finding: bool,
    doubted: Option<Instant>,
    forgot: Instant,
    /// The newest sequence by the last sign of life.
    head: u64,
    /// Logged once each.
    told: HashSet<&'static str>,
}

impl Trades {
    pub(super) fn new(around: &Follower, nats: Nats) -> Self {
        Self {
            latest: around.latest.clone(),
            board: around.board.clone(),
            metrics: Arc::clone(&around.metrics),
            nats,
            stream: None,
            epoch: None,
            connects: 0,
            overflows: 0,
            lines: Lines::default(),
            all: false,
            followed: HashMap::new(),
            tokens: HashMap::new(),
            carried: Vec::new(),
            missing: HashSet::new(),
            work: FuturesUnordered::new(),
            is_finding: false,
            doubted: None,
            forgot: Instant::now(),
            head: 0,
            told: HashSet::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), BusError> {
        let refused = |error| BusError::Refused { what: "let us listen", source: Box::new(error) };
        let mut beats = self.nats.client.subscribe(self.nats.names.beat()).await.map_err(refused)?;
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let latest = self.latest.clone();
        loop {
            let hears = self.stream.is_some() && self.missing.is_empty();
            tokio::select! {
                // Not biased: each of them may be busy for ever.
                published = self.lines.round(&mut self.carried), if hears => self.tell(published),
                Some(done) = self.work.next(), if !self.work.is_empty() => self.take(done),
                Some(beat) = beats.next() => self.hear(&beat.payload),
                () = latest.trades_wanted() => self.follow(),
                _ = sweep.tick() => self.judge(),
            }
        }
    }

    /// Who publishes has said up to where all that is stored has come by here.
    fn hear(&mut self, payload: &[u8]) {
        let Ok(beat) = serde_json::from_slice::<Beat>(payload) else { return };
        if beat.v > FORMAT {
            return;
        }
        // Not by the newest one: in a cluster it may have come another way, and faster.
        let head = std::mem::replace(&mut self.head, beat.trades);
        self.latest.trades_given(end_of(beat.trades));
        if head > 0 && head <= self.head && self.stream.is_some() {
            self.lines.pass(head);
            self.carried.push(Published {
                token: String::new(),
                sequence: head,
                payload: bytes::Bytes::new(),
            });
        }
    }

    /// Tells the store what was published, which is in the order of the stream.
    fn tell(&mut self, published: Vec<Published>) {
        if self.is_doubtful() {
            self.carried.extend(published);
            return self.doubt();
        }
        let mut told = Vec::new();
        let mut through = 0;
        let mut rest = published.into_iter();
        while let Some(message) = rest.next() {
            match self.read(&message) {
                Read::Nothing => {}
                Read::Told(entries) => told.push(entries),
                Read::Hole(id) => {
                    self.missing.insert(id);
                    self.carried.push(message);
                    self.carried.extend(rest);
                    break;
                }
                Read::Doubt => {
                    self.carried.extend(rest);
                    self.latest.tell_trades(told, through);
                    return self.doubt();
                }
            }
            through = end_of(message.sequence);
        }
        self.latest.tell_trades(told, through);
        if !self.missing.is_empty() {
            self.doubt();
        }
    }

    fn read(&mut self, message: &Published) -> Read {
        let Some(&id) = self.tokens.get(&message.token) else { return Read::Nothing };
        let last = match self.followed.get_mut(&id) {
            Some(Followed::Here(last)) => last,
            Some(Followed::Coming(early)) => {
                early.push(message.clone());
                return Read::Nothing;
            }
            None => return Read::Nothing,
        };
        if message.sequence <= *last {
            return Read::Nothing;
        }
        let known = *last;
        let entries = match self.decode(id, message) {
            Decoded::Trades(before, _) if before > known => return Read::Hole(id),
            Decoded::Trades(_, entries) | Decoded::Nothing(entries) => entries,
            Decoded::OtherEpoch if self.doubted.is_none_or(|at| at.elapsed() > DOUBT_PAUSE) => {
                return Read::Doubt;
            }
            Decoded::OtherEpoch => Vec::new(),
        };
        self.followed.insert(id, Followed::Here(message.sequence));
        Read::Told(TradesTold { id, since: None, entries })
    }

    /// Nothing is told until the stream was looked at again, and what was missed is here.
    fn doubt(&mut self) {
        self.stream = None;
        self.doubted = Some(Instant::now());
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
            Done::Stream(connects, nats.stream(What::Trades).await.map(Box::new))
        }));
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Stream(connects, found) => {
                self.is_finding = false;
                match found {
                    Ok(found) => self.found(*found, connects),
                    Err(error) => {
                        self.report(&error);
                        self.find(RETRY);
                    }
                }
            }
            Done::Trades(Ok(fetched)) => self.fetched(fetched),
            Done::Trades(Err(error)) => {
                self.report(&error);
                self.followed.retain(|_, followed| matches!(followed, Followed::Here(_)));
                self.doubt();
            }
        }
    }

    fn report(&mut self, error: &BusError) {
        // Of the connection itself is told elsewhere.
        if self.nats.is_connected() && self.told.insert("stream") {
            warn!(problem = error.line(), "trades cannot be followed");
            self.board.bus_trades(Some(error.line()));
        }
    }

    /// Goes on with this stream, and fetches what may have been missed.
    fn found(&mut self, (stream, epoch): (stream::Stream, Epoch), connects: u64) {
        let before = self.epoch.replace(epoch);
        if before != Some(epoch) {
            if before.is_some() {
                info!(epoch = format!("{:x}", epoch.0), "trades begin anew: streams are told so");
            }
            // Of nothing that is followed: so everything up to there has come by.
            let newest = stream.cached_info().state.last_sequence;
            self.latest.begin_trades(epoch, end_of(newest));
            self.lines.begin(newest);
            self.carried.clear();
            self.lines.clear();
            self.followed.clear();
            (self.all, self.head) = (false, 0);
        }
        self.told.remove("stream");
        self.board.bus_trades(None);
        (self.connects, self.overflows) = (connects, self.nats.overflows());
        // Up to there nothing of them is missing, however long ago their last one was.
        let heard = self.latest.trades_committed() / BATCH_MAX as u64;
        let here = self.followed.iter().filter_map(|(&id, followed)| match followed {
            Followed::Here(last) => Some((id, heard.max(*last))),
            Followed::Coming(_) => None,
        });
        let here: Vec<(SymbolId, u64)> = here.collect();
        self.missing = here.iter().map(|(id, _)| *id).collect();
        self.stream = Some((stream, epoch));
        if !here.is_empty() {
            self.fetch(here, None);
        }
        self.follow();
    }

    /// Follows what is wanted and not followed yet.
    fn follow(&mut self) {
        if self.stream.is_none() {
            return;
        }
        let wanted = self.latest.wanted_trades();
        let new: Vec<SymbolId> = wanted.into_iter().filter(|id| !self.followed.contains_key(id)).collect();
        if new.is_empty() {
            return;
        }
        let all = self.all || self.followed.len() + new.len() > FOLLOWED_MAX;
        let listen = if self.all {
            Listen::Already
        } else if all {
            Listen::All
        } else {
            Listen::Each
        };
        let catalogue = Arc::clone(&self.latest.catalogue());
        for &id in &new {
            self.followed.insert(id, Followed::Coming(Vec::new()));
            self.tokens.insert(names::token(&catalogue.entry(id).symbol), id);
        }
        self.fetch(new.into_iter().map(|id| (id, 0)).collect(), Some(listen));
    }

    /// Fetches what is stored of symbols behind these sequences, after having begun to listen to them.
    fn fetch(&mut self, symbols: Vec<(SymbolId, u64)>, listen: Option<Listen>) {
        let Some((stream, _)) = &self.stream else { return };
        let (nats, stream, connects) = (self.nats.clone(), stream.clone(), self.connects);
        let catalogue = Arc::clone(&self.latest.catalogue());
        let symbols: Vec<_> = symbols
            .into_iter()
            .map(|(id, last)| (id, names::token(&catalogue.entry(id).symbol), last))
            .collect();
        self.work.push(Box::pin(async move {
            Done::Trades(fetch::fetch(nats, stream, symbols, listen, connects).await)
        }));
    }

    fn fetched(&mut self, fetched: Fetched) {
        let Fetched { subscriptions, found, all, connects } = fetched;
        if all {
            self.lines.clear();
            self.all = true;
        }
        for (id, mut subscriber) in subscriptions {
            // Where all are followed each of them comes already.
            if id.is_some() && self.all {
                continue;
            }
            // What was told of others may be newer than what waits here: it belongs to what was fetched.
            for message in round::drain(&mut subscriber) {
                let of = self.tokens.get(&message.token).and_then(|id| self.followed.get_mut(id));
                match of {
                    Some(Followed::Coming(early)) => early.push(message),
                    _ => self.carried.push(message),
                }
            }
            self.lines.add(subscriber, id);
        }
        if connects != self.connects || self.stream.is_none() {
            // Of an earlier connection: it is fetched again.
            self.followed.retain(|_, followed| matches!(followed, Followed::Here(_)));
            return self.doubt();
        }
        let mut told = Vec::new();
        for (id, stored, start) in found {
            self.missing.remove(&id);
            let (mut last, early, is_new) = match self.followed.remove(&id) {
                Some(Followed::Coming(early)) => (start, early, true),
                Some(Followed::Here(last)) => (last, Vec::new(), false),
                // Nobody wants it any more.
                None => continue,
            };
            // What has come by is older than what was left where it is.
            let mut since = is_new.then(|| end_of(start).min(self.latest.trades_committed()));
            let mut entries = Vec::new();
            for message in stored.iter().chain(&early) {
                if message.sequence <= last {
                    continue;
                }
                match self.decode(id, message) {
                    Decoded::Trades(before, more) => {
                        if before > last {
                            since = Some(end_of(before));
                            entries.clear();
                        }
                        entries.extend(more);
                    }
                    Decoded::Nothing(more) => entries.extend(more),
                    Decoded::OtherEpoch => {}
                }
                last = message.sequence;
            }
            self.followed.insert(id, Followed::Here(last));
            told.push(TradesTold { id, since, entries });
        }
        self.latest.tell_trades(told, 0);
        self.count();
        self.follow();
    }

    /// What time brings.
    fn judge(&mut self) {
        if self.forgot.elapsed() >= FORGET {
            self.forgot = Instant::now();
            self.forget();
        }
        if !self.nats.is_connected() || self.is_finding {
            return;
        }
        if self.is_doubtful() || self.stream.is_none() {
            self.doubt();
        }
    }

    /// Whether messages may have been lost: between two connections, or because they came faster than we took them.
    fn is_doubtful(&self) -> bool {
        self.nats.connects() != self.connects || self.nats.overflows() != self.overflows
    }

    /// Lets go of the symbols that nobody came back for.
    fn forget(&mut self) {
        for id in self.latest.forget_trades(clock::now()) {
            self.lines.remove(id);
            self.missing.remove(&id);
            self.followed.remove(&id);
            self.tokens.retain(|_, known| *known != id);
        }
        if self.all && self.followed.is_empty() {
            self.lines.clear();
            self.all = false;
        }
        self.count();
    }

    fn count(&self) {
        let here = self.followed.values().filter(|followed| matches!(followed, Followed::Here(_))).count();
        self.metrics.bus_trades_followed.set(i64::try_from(here).unwrap_or(i64::MAX));
    }
}

/// What a message that came comes to.
enum Read {
    Nothing,
    Told(TradesTold),
    /// Something of the symbol was missed before it.
    Hole(SymbolId),
    /// The stream may be another one.
    Doubt,
}

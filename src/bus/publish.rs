//! The ingest end of the bus: tells NATS what changed, each symbol no more often than the interval and one message of it at
//! a time. Nothing waits for it: a change marks its symbol, and what is newer when the symbol's turn comes is what goes out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{kv, stream};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::lease::{self, Held};
use super::nats::{self, BusError, Nats};
use super::wire::{FORMAT, Told};
use super::{Beat, listing, names};
use crate::catalogue::SymbolId;
use crate::clock;
use crate::config::Bus;
use crate::fanout::{Bells, Marks};
use crate::http::sse::Epoch;
use crate::ingest::Board;
use crate::latest::Latest;
use crate::metrics::{ByReason, Metrics};
use crate::ticker::Ticker;

/// Messages on their way to NATS, of different symbols. Where NATS is too slow each waits for all before it, so more of them would
/// only be older when they come; what does not fit is conflated.
const WINDOW: usize = 512;
/// Between two signs of life.
const BEAT: Duration = Duration::from_millis(200);
/// Between two reports of how the feeds are.
const REPORT: Duration = Duration::from_secs(1);
/// A message that failed is tried again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// Who takes over leaves a newer ticker of his predecessor's alone for so long: his own venues are about to say the same.
const CATCH_UP: Duration = Duration::from_secs(2);
/// A stream that is not ours is looked at again after this: an operator is at work.
const REPAIR: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// What an ingest node publishes.
pub struct Publisher {
    /// The store.
    pub latest: Latest,
    /// What the store rings.
    pub bells: Arc<Bells>,
    /// How the feeds are.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the node is about to stop.
    pub closing: CancellationToken,
}

impl Publisher {
    /// Publishes as long as this node holds the lease, until the node stops.
    ///
    /// # Errors
    ///
    /// [`BusError::SetUp`] where it never can.
    pub async fn run(self, config: Bus) -> Result<(), BusError> {
        let node = format!("{:08x}", rand::random::<u32>());
        let nats = Nats::connect(&config, &format!("tickcast ingest {node}")).await?;
        info!(servers = config.servers(), node, "the bus is at");
        let rung = Arc::new(Notify::new());
        let ring = Arc::clone(&rung);
        let Some(marks) = self.bells.hear(move || ring.notify_one()) else { return Ok(()) };
        let mut told = None;
        loop {
            let around =
                Around { publisher: &self, nats: &nats, config: &config, rung: &rung, marks: &marks };
            let ended = tokio::select! {
                () = self.closing.cancelled() => {
                    if let Ok(bucket) = nats.bucket_of_others(&nats.names.lease).await {
                        lease::release(&bucket, &node).await;
                    }
                    return Ok(());
                }
                ended = around.term(&node) => ended,
            };
            let Err(error) = ended else { continue };
            let line = error.line();
            self.board.bus(Some(line.clone()));
            let is_fixable = matches!(error, BusError::Differs { .. });
            // Once for each reason.
            if told.as_ref() != Some(&line) {
                if is_fixable {
                    error!("{line}; change the one or the other, or name another stream");
                } else {
                    warn!("{line}");
                }
                told = Some(line);
            }
            sleep(if is_fixable { REPAIR } else { RETRY }).await;
        }
    }
}

struct Around<'p> {
    publisher: &'p Publisher,
    nats: &'p Nats,
    config: &'p Bus,
    rung: &'p Notify,
    marks: &'p Marks,
}

impl Around<'_> {
    /// Goes on as long as the stream is the same one.
    async fn term(&self, node: &str) -> Result<(), BusError> {
        let Self { publisher, nats, .. } = *self;
        while !nats.is_connected() {
            publisher.board.bus(Some(nats.problem().unwrap_or_else(|| "not connected yet".to_owned())));
            let _ = timeout(RETRY, nats.connected()).await;
        }
        let connects = nats.connects();
        let (stream, epoch) = nats.stream_made().await?;
        let lease = nats.bucket(&nats.names.lease).await?;
        let catalogue = nats.bucket(&nats.names.catalogue).await?;
        publisher.board.bus(None);
        let (held, holds) = watch::channel(None);
        let head = AtomicU64::new(0);
        let mut desk = Desk::new(self, stream, epoch, &head);
        tokio::select! {
            () = lease::run(&lease, node, &held) => {}
            () = desk.run(holds.clone()) => {}
            () = self.speak(&catalogue, epoch, &head, holds) => {}
            () = self.is_another(connects, epoch) => {}
        }
        Ok(())
    }

    /// Comes back when the stream may be another one.
    async fn is_another(&self, mut connects: u64, epoch: Epoch) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet = Instant::now();
        loop {
            beat.tick().await;
            let now = self.nats.connects();
            let is_connected = self.nats.is_connected();
            self.publisher.board.bus(
                (!is_connected)
                    .then(|| self.nats.problem().unwrap_or_else(|| "the connection ended".to_owned())),
            );
            // After each connection, and now and then: an operator may have made it anew.
            let is_due = now != connects || quiet.elapsed() > REPAIR;
            if is_connected && is_due {
                match self.nats.stream().await {
                    Ok((_, found)) if found == epoch => (connects, quiet) = (now, Instant::now()),
                    Ok(_) | Err(BusError::NoStream(_) | BusError::Differs { .. }) => return,
                    Err(_) => {}
                }
            }
        }
    }

    /// Says that this node publishes, and what: while it does.
    async fn speak(
        &self,
        catalogue: &kv::Store,
        epoch: Epoch,
        head: &AtomicU64,
        holds: watch::Receiver<Option<Held>>,
    ) {
        let Self { publisher, nats, .. } = *self;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = None::<Instant>;
        let mut listed = None;
        loop {
            beat.tick().await;
            let Some(held) = (*holds.borrow()).filter(Held::holds) else {
                listed = None;
                continue;
            };
            let revision = publisher.latest.revision();
            if listed.is_none_or(|(before, _)| before != revision)
                && let Some(at) = self.list(catalogue).await
            {
                listed = Some((revision, at));
            }
            let says = Beat {
                v: FORMAT,
                epoch: epoch.0,
                fence: held.fence,
                head: head.load(Ordering::Relaxed),
                catalogue: listed.map(|(_, at)| at),
            };
            self.say(nats.names.beat(), &says).await;
            if reported.is_none_or(|at| at.elapsed() >= REPORT) {
                reported = Some(Instant::now());
                self.say(nats.names.feeds(), &publisher.board.report()).await;
            }
        }
    }

    async fn say(&self, subject: String, what: &impl Serialize) {
        let Ok(bytes) = serde_json::to_vec(what) else { return };
        // What cannot go out now is of no use later: it would tell of a life that is over.
        if !self.nats.is_connected() {
            return;
        }
        let _ = timeout(BEAT, self.nats.client.publish(subject, bytes.into())).await;
    }

    /// Puts the catalogue where edges find it, unless it is there. Returns its revision.
    async fn list(&self, bucket: &kv::Store) -> Option<u64> {
        let catalogue = Arc::clone(&self.publisher.latest.catalogue());
        let bytes =
            listing::encode(&catalogue).map_err(|error| error!(%error, "no catalogue for the bus")).ok()?;
        let most = self.nats.client.max_payload();
        if bytes.len() > most {
            error!(
                bytes = bytes.len(),
                most,
                "the catalogue is larger than NATS takes: raise its max_payload; edges keep what they have"
            );
            return None;
        }
        let there = bucket.entry(listing::KEY).await.ok()?;
        if let Some(entry) = there.filter(|entry| entry.value == bytes) {
            return Some(entry.revision);
        }
        let revision = bucket.put(listing::KEY, bytes.into()).await.ok()?;
        info!(symbols = catalogue.len(), "the catalogue is on the bus");
        Some(revision)
    }
}

/// What one symbol's turn is.
#[derive(Debug, Default)]
struct Line {
    /// It has something to say.
    is_dirty: bool,
    /// It is in `ready` or `delayed`.
    is_queued: bool,
    /// A message of it is on its way, or a question about it.
    is_out: bool,
    /// The sequence of its newest message: the next one is taken only as its successor. `None` where it must be asked.
    last: Option<u64>,
    /// Not before then.
    next: Option<Instant>,
    /// How many changes there had been with its last message.
    count: u64,
    /// What its message is published as.
    subject: Option<String>,
}

/// What came back of a symbol's message.
enum Outcome {
    /// It is stored.
    Stored(u64),
    /// This is what the stream has.
    Found(Option<(u64, Option<Box<Told>>)>),
    /// Somebody else has published the symbol.
    Overtaken,
    /// It is not known whether it is stored.
    Failed(&'static str),
}

/// Whose turn it is.
struct Desk<'d> {
    around: &'d Around<'d>,
    stream: stream::Stream,
    epoch: Epoch,
    head: &'d AtomicU64,
    lines: Vec<Line>,
    ready: VecDeque<SymbolId>,
    /// The first first.
    delayed: BinaryHeap<Reverse<(Instant, SymbolId)>>,
    out: FuturesUnordered<BoxFuture<'static, (SymbolId, Outcome)>>,
    held: Option<Held>,
    taken: Instant,
    revision: Option<u64>,
}

impl<'d> Desk<'d> {
    fn new(around: &'d Around<'d>, stream: stream::Stream, epoch: Epoch, head: &'d AtomicU64) -> Self {
        Self {
            around,
            stream,
            epoch,
            head,
            lines: Vec::new(),
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            out: FuturesUnordered::new(),
            held: None,
            taken: Instant::now(),
            revision: None,
        }
    }

    async fn run(&mut self, mut holds: watch::Receiver<Option<Held>>) {
        loop {
            self.look(&mut holds);
            self.send();
            let wake = self.delayed.peek().map(|Reverse((at, _))| *at);
            let timer = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((id, outcome)) = self.out.next(), if !self.out.is_empty() => {
                    self.settle(id, outcome);
                    // Whatever else has come back by now.
                    while let Some(Some((id, outcome))) = futures_util::FutureExt::now_or_never(self.out.next()) {
                        self.settle(id, outcome);
                    }
                }
                changed = holds.changed() => if changed.is_err() { return },
                () = self.around.rung.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Takes in what has changed: the lease, the catalogue, the symbols.
    fn look(&mut self, holds: &mut watch::Receiver<Option<Held>>) {
        let latest = &self.around.publisher.latest;
        let held = *holds.borrow_and_update();
        let is_new = held.map(|held| held.fence) != self.held.map(|held| held.fence);
        self.held = held;
        let revision = latest.revision();
        if self.revision != Some(revision) || is_new {
            let catalogue = latest.catalogue();
            let before = self.lines.len();
            for id in catalogue.ids() {
                if id.index() >= self.lines.len() {
                    self.lines.resize_with(id.index() + 1, Line::default);
                }
                self.around.marks.want(id);
            }
            self.around.publisher.metrics.bus_publishes.set(i64::from(held.is_some()));
            let ids: Vec<SymbolId> = catalogue
                .ids()
                .filter(|id| is_new || id.index() >= before || self.revision.is_none())
                .collect();
            for id in ids {
                let line = &mut self.lines[id.index()];
                if is_new {
                    line.last = None;
                }
                let token = names::token(&catalogue.entry(id).symbol);
                line.subject = Some(self.around.nats.names.last(&token));
                self.mark(id);
            }
            if is_new {
                self.taken = Instant::now();
            }
            self.revision = Some(revision);
        }
        let mut marked = Vec::new();
        self.around.marks.take(|id| marked.push(id));
        marked.into_iter().for_each(|id| self.mark(id));
    }

    fn mark(&mut self, id: SymbolId) {
        let Some(line) = self.lines.get_mut(id.index()) else { return };
        line.is_dirty = true;
        if line.is_queued || line.is_out {
            return;
        }
        line.is_queued = true;
        match line.next.filter(|at| *at > Instant::now()) {
            Some(at) => self.delayed.push(Reverse((at, id))),
            None => self.ready.push_back(id),
        }
    }

    /// Sends what may go, as far as there is room on the way.
    fn send(&mut self) {
        let now = Instant::now();
        while self.delayed.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            self.ready.extend(self.delayed.pop().map(|Reverse((_, id))| id));
        }
        let Some(held) = self.held else {
            // Another publishes. Should this node's turn come, it begins with everything.
            for id in self.ready.drain(..) {
                self.lines[id.index()].is_queued = false;
            }
            return;
        };
        while self.out.len() < WINDOW
            && held.holds()
            && let Some(id) = self.ready.pop_front()
        {
            self.send_one(id, held, now);
        }
    }

    fn send_one(&mut self, id: SymbolId, held: Held, now: Instant) {
        let Publisher { latest, metrics, .. } = self.around.publisher;
        let line = &mut self.lines[id.index()];
        (line.is_queued, line.is_dirty) = (false, false);
        let catalogue = latest.catalogue();
        let Some(subject) = line.subject.clone().filter(|_| catalogue.has(id)) else { return };
        line.is_out = true;
        let Some(last) = line.last else {
            line.is_dirty = true;
            let stream = self.stream.clone();
            self.out.push(Box::pin(async move {
                let outcome = match nats::last(&stream, subject).await {
                    Ok(found) => {
                        let told = nats::understood(found.as_ref()).map(Box::new);
                        Outcome::Found(found.map(|(sequence, _)| (sequence, told)))
                    }
                    Err(_) => Outcome::Failed("unanswered"),
                };
                (id, outcome)
            }));
            return;
        };
        let Some((ticker, count)) = latest.read(id, |view| (view.ticker.clone(), view.count)) else { return };
        let told = Told {
            epoch: self.epoch,
            fence: held.fence,
            published: clock::wall(),
            currency: catalogue.entry(id).currency.clone(),
            ticker,
        };
        metrics.bus_conflated.inc_by(count.saturating_sub(line.count).saturating_sub(1));
        (line.count, line.next) = (count, Some(now + self.around.config.interval));
        let message =
            PublishMessage::build().payload(told.encode().into()).expected_last_subject_sequence(last);
        self.out.push(Box::pin(publish(self.around.nats.context.clone(), id, subject, message)));
    }

    /// Takes note of what came of a message.
    fn settle(&mut self, id: SymbolId, outcome: Outcome) {
        let Publisher { latest, metrics, .. } = self.around.publisher;
        let line = &mut self.lines[id.index()];
        line.is_out = false;
        match outcome {
            Outcome::Stored(sequence) => {
                line.last = Some(sequence);
                metrics.bus_published.inc();
                self.head.fetch_max(sequence, Ordering::Relaxed);
            }
            Outcome::Found(found) => {
                let (sequence, told) = found.map_or((0, None), |(sequence, told)| (sequence, told));
                line.last = Some(sequence);
                self.head.fetch_max(sequence, Ordering::Relaxed);
                let ours = latest.read(id, |view| view.ticker.clone());
                if let (Some(told), Some(ours)) = (told, ours)
                    && told.epoch == self.epoch
                    && is_ahead(&told.ticker, &ours)
                    && self.taken.elapsed() < CATCH_UP
                {
                    // Asked again then: until it is ours to say, nothing goes back.
                    line.last = None;
                    line.next = Some(Instant::now() + AGAIN);
                }
            }
            Outcome::Overtaken => {
                line.last = None;
                line.is_dirty = true;
                line.next = Some(Instant::now() + AGAIN);
                metrics.bus_failed.get_or_create(&ByReason { reason: "overtaken" }).inc();
            }
            Outcome::Failed(reason) => {
                line.last = None;
                line.is_dirty = true;
                line.next = Some(Instant::now() + AGAIN);
                metrics.bus_failed.get_or_create(&ByReason { reason }).inc();
            }
        }
        if line.is_dirty {
            self.mark(id);
        }
    }
}

/// Whether what another node published is newer than what this one knows, by the clock of the venue that both look at.
fn is_ahead(theirs: &Ticker, ours: &Ticker) -> bool {
    let times = theirs.ts_event.zip(ours.ts_event);
    theirs.venue.is_some()
        && (ours.price.is_none()
            || theirs.venue == ours.venue && times.is_some_and(|(theirs, ours)| theirs.0 > ours.0))
}

async fn publish(
    context: Context,
    id: SymbolId,
    subject: String,
    message: PublishMessage,
) -> (SymbolId, Outcome) {
    let sent = async { context.send_publish(subject, message).await?.await };
    let outcome = match sent.await {
        Ok(ack) => Outcome::Stored(ack.sequence),
        Err(error) => match error.kind() {
            PublishErrorKind::WrongLastSequence => Outcome::Overtaken,
            PublishErrorKind::TimedOut => Outcome::Failed("unanswered"),
            PublishErrorKind::StreamNotFound => Outcome::Failed("no_stream"),
            PublishErrorKind::MaxPayloadExceeded => Outcome::Failed("too_large"),
            // NATS has no room, or no leader.
            _ => Outcome::Failed("refused"),
        },
    };
    (id, outcome)
}

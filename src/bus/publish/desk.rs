//! Whose turn it is: each symbol no more often than the interval, one message of it at a time, and so many in all.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::super::lease::Held;
use super::super::wire::Told;
use super::super::{names, nats};
use super::{Around, Publisher};
use crate::catalogue::SymbolId;
use crate::clock;
use crate::http::sse::Epoch;
use crate::metrics::ByReason;
use crate::ticker::Ticker;

/// Messages on their way to NATS, of different symbols. Where NATS is too slow each waits for all before it, so more of them would
/// only be older when they come; what does not fit is conflated.
const WINDOW: usize = 512;
/// A message that failed is tried again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// Who takes over leaves a newer ticker of his predecessor's alone for so long: his own venues are about to say the same.
const CATCH_UP: Duration = Duration::from_secs(2);

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
pub(super) struct Desk<'d> {
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
    pub(super) fn new(
        around: &'d Around<'d>,
        stream: stream::Stream,
        epoch: Epoch,
        head: &'d AtomicU64,
    ) -> Self {
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

    pub(super) async fn run(&mut self, mut holds: watch::Receiver<Option<Held>>) {
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
                    while let Some(Some((id, outcome))) = self.out.next().now_or_never() {
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

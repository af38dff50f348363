//! Whose turn it is: each symbol no more often than the interval, one message of it at a time, and so many in all. What a
//! message says is its [`Matter`]'s.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::super::lease::Held;
use super::super::names::What;
use super::super::nats::Refusal;
use super::super::{names, nats};
use super::Around;
use crate::catalogue::SymbolId;
use crate::fanout::{Bells, Marks};
use crate::metrics::ByReason;

/// Messages on their way to NATS, of different symbols. Where NATS is too slow each waits for all before it, so more of them would
/// only be older when they come; what does not fit is conflated.
const WINDOW: usize = 512;
/// A message that failed is tried again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// What is published of each symbol.
pub(super) trait Matter {
    /// In which stream.
    const WHAT: What;

    /// What it keeps of a symbol, under one lease.
    type Line: Default;

    /// This node publishes from now on, or no more.
    fn holds(&mut self, held: Option<Held>);

    /// Hears of the changes of a symbol from now on.
    fn join(&mut self, id: SymbolId);

    /// Whether there is something to say.
    fn has_news(&self, id: SymbolId, line: &Self::Line) -> bool;

    /// Takes note of the symbol's newest message, which somebody else may have published. Returns whether this node may
    /// go on behind it.
    fn found(&mut self, id: SymbolId, line: &mut Self::Line, found: Option<&[u8]>) -> bool;

    /// The next message, behind the one with this sequence; none where there is nothing to say after all.
    fn next(&mut self, id: SymbolId, line: &mut Self::Line, held: Held, before: u64) -> Option<Vec<u8>>;

    /// The message is stored. Returns whether there is more to say though nothing has changed since.
    fn stored(&mut self, id: SymbolId, line: &mut Self::Line) -> bool;
}

/// What a desk hears of the store, and what others hear of the desk.
pub(super) struct Bulletin {
    pub(super) rung: Arc<Notify>,
    pub(super) marks: Marks,
    /// The newest sequence of its stream that is known.
    pub(super) head: AtomicU64,
}

impl Bulletin {
    /// One more; `None` where too many listen to the store.
    pub(super) fn of(bells: &Bells) -> Option<Self> {
        let rung = Arc::new(Notify::new());
        let ring = Arc::clone(&rung);
        let marks = bells.hear(move || ring.notify_one())?;
        Some(Self { rung, marks, head: AtomicU64::new(0) })
    }
}

/// What one symbol's turn is.
#[derive(Debug, Default)]
struct Line<L> {
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
    /// What its message is published as.
    subject: Option<String>,
    own: L,
}

/// What came back of a symbol's message.
enum Outcome {
    /// It is stored.
    Stored(u64),
    /// This is what the stream has.
    Found(Option<(u64, Vec<u8>)>),
    /// Somebody else has published the symbol.
    Overtaken,
    /// NATS did not take it.
    Refused(Refusal),
    /// It is not known whether it is stored.
    Failed(&'static str),
}

/// Whose turn it is.
pub(super) struct Desk<'d, M: Matter> {
    around: &'d Around<'d>,
    matter: M,
    stream: stream::Stream,
    marks: &'d Marks,
    rung: &'d Notify,
    head: &'d AtomicU64,
    lines: Vec<Line<M::Line>>,
    ready: VecDeque<SymbolId>,
    /// The first first.
    delayed: BinaryHeap<Reverse<(Instant, SymbolId)>>,
    out: FuturesUnordered<BoxFuture<'static, (SymbolId, Outcome)>>,
    held: Option<Held>,
    revision: Option<u64>,
}

impl<'d, M: Matter> Desk<'d, M> {
    pub(super) fn new(
        around: &'d Around<'d>,
        matter: M,
        stream: stream::Stream,
        board: &'d Bulletin,
    ) -> Self {
        Self {
            around,
            matter,
            stream,
            marks: &board.marks,
            rung: &board.rung,
            head: &board.head,
            lines: Vec::new(),
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            out: FuturesUnordered::new(),
            held: None,
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
                () = self.rung.notified() => {}
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
        if is_new {
            self.matter.holds(held);
        }
        let revision = latest.revision();
        if self.revision != Some(revision) || is_new {
            let catalogue = latest.catalogue();
            let before = self.lines.len();
            for id in catalogue.ids() {
                if id.index() >= self.lines.len() {
                    self.lines.resize_with(id.index() + 1, Line::default);
                }
                self.marks.want(id);
                self.matter.join(id);
            }
            let ids: Vec<SymbolId> = catalogue
                .ids()
                .filter(|id| is_new || id.index() >= before || self.revision.is_none())
                .collect();
            for id in ids {
                let line = &mut self.lines[id.index()];
                if is_new {
                    line.last = None;
                    line.own = M::Line::default();
                }
                let token = names::token(&catalogue.entry(id).symbol);
                line.subject = Some(self.around.nats.names.stored(M::WHAT, &token));
                self.mark(id);
            }
            self.revision = Some(revision);
        }
        let mut marked = Vec::new();
        self.marks.take(|id| marked.push(id));
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
        let line = &mut self.lines[id.index()];
        (line.is_queued, line.is_dirty) = (false, false);
        let is_there = self.around.publisher.latest.catalogue().has(id);
        let Some(subject) = line.subject.clone().filter(|_| is_there) else { return };
        if !self.matter.has_news(id, &line.own) {
            return;
        }
        let Some(last) = line.last else {
            (line.is_out, line.is_dirty) = (true, true);
            let stream = self.stream.clone();
            self.out.push(Box::pin(async move {
                let outcome = match nats::last(&stream, subject).await {
                    Ok(found) => Outcome::Found(found),
                    Err(_) => Outcome::Failed("unanswered"),
                };
                (id, outcome)
            }));
            return;
        };
        let Some(payload) = self.matter.next(id, &mut line.own, held, last) else { return };
        line.is_out = true;
        line.next = Some(now + self.around.config.interval);
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(last);
        self.out.push(Box::pin(publish(self.around.nats.context.clone(), id, subject, message)));
    }

    /// Takes note of what came of a message.
    fn settle(&mut self, id: SymbolId, outcome: Outcome) {
        let line = &mut self.lines[id.index()];
        line.is_out = false;
        match outcome {
            Outcome::Stored(sequence) => {
                self.around.nats.refuses(M::WHAT.name(), None);
                line.last = Some(sequence);
                self.head.fetch_max(sequence, Ordering::Relaxed);
                line.is_dirty |= self.matter.stored(id, &mut line.own);
            }
            Outcome::Found(found) => {
                let sequence = found.as_ref().map_or(0, |(sequence, _)| *sequence);
                self.head.fetch_max(sequence, Ordering::Relaxed);
                let bytes = found.as_ref().map(|(_, bytes)| &**bytes);
                if self.matter.found(id, &mut line.own, bytes) {
                    line.last = Some(sequence);
                } else {
                    // Asked again then: until it is ours to say, nothing goes back.
                    line.next = Some(Instant::now() + AGAIN);
                }
            }
            Outcome::Overtaken => self.failed(id, "overtaken"),
            Outcome::Refused(refusal) => {
                self.around.nats.refuses(M::WHAT.name(), Some(&refusal));
                self.failed(id, if refusal.is_full { "full" } else { "refused" });
            }
            Outcome::Failed(reason) => self.failed(id, reason),
        }
        if self.lines[id.index()].is_dirty {
            self.mark(id);
        }
    }

    /// It is asked what there is, and then said again.
    fn failed(&mut self, id: SymbolId, reason: &'static str) {
        let line = &mut self.lines[id.index()];
        line.last = None;
        line.is_dirty = true;
        line.next = Some(Instant::now() + AGAIN);
        self.around.publisher.metrics.bus_failed.get_or_create(&ByReason { reason }).inc();
    }
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
            _ => Outcome::Refused(Refusal::of(&error)),
        },
    };
    (id, outcome)
}

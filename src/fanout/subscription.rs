//! One stream's subscription: the newest not yet sent, no sooner than the throttle allows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

use super::bells::Ear;
use super::budget::Budget;
use super::encodings::Encoded;
use super::pending::{Found, Pending};
use super::{Fanout, MinChange};
use crate::catalogue::SymbolId;
use crate::fields::FieldSet;
use crate::http::sse::Cursor;

/// What a stream asks for.
#[derive(Debug)]
pub struct Wanted {
    /// Which symbols, each once.
    pub symbols: Vec<SymbolId>,
    /// Which fields.
    pub fields: FieldSet,
    /// The least time between two flushes. Zero: whenever something changed and the last flush was taken.
    pub throttle: Duration,
    /// How far a price must move to be worth a message.
    pub min_change: Option<MinChange>,
    /// A change that `min_change` withholds goes out after this long all the same.
    pub max_silence: Duration,
    /// Where the client left off. With a `min_change` it gets everything: what it was not sent is not known.
    pub resume: Option<Cursor>,
    /// The messages that its client may be sent; `None` is without a limit.
    pub budget: Option<Arc<Budget>>,
}

/// All that was pending, as one write.
#[derive(Debug)]
pub struct Flush {
    /// Whole blocks, in ascending version.
    pub bytes: Bytes,
    /// How many.
    pub messages: usize,
    /// Whether the client's budget held it up.
    pub stretched: bool,
}

/// A stream's subscription. It holds no queue: memory is bounded by its symbols.
pub struct Subscription {
    fanout: Fanout,
    pending: Pending,
    ear: Ear,
    throttle: Duration,
    /// The window of the last flush: none before this.
    window_end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The last id sent, or passed.
    position: Cursor,
    budget: Option<Arc<Budget>>,
    /// Messages sent and not yet paid for.
    owed: u32,
    stretched: bool,
}

impl Subscription {
    pub(super) fn new(fanout: Fanout, wanted: Wanted) -> Self {
        let resume = wanted.resume.filter(|_| wanted.min_change.is_none());
        let since = resume.map(|cursor| cursor.version);
        let Wanted { symbols, fields, min_change, max_silence, .. } = wanted;
        Self {
            pending: Pending::new(&symbols, fields, min_change, max_silence, since),
            ear: Ear::new(Arc::clone(&fanout.bells), &symbols),
            throttle: wanted.throttle,
            window_end: None,
            timer: None,
            position: resume.unwrap_or_else(|| fanout.at(0)),
            budget: wanted.budget,
            owed: 0,
            stretched: false,
            fanout,
        }
    }

    /// The place this stream starts from, or has got to.
    pub fn position(&self) -> Cursor {
        self.position
    }

    /// The newest place that this stream has passed: every change up to it was sent, replaced or withheld.
    pub fn pass(&mut self) -> Cursor {
        let newest = self.fanout.cursor();
        if !self.pending.any(&self.fanout) && newest.version > self.position.version {
            self.position = newest;
        }
        self.position
    }

    /// Waits for something to send.
    pub async fn next(&mut self) -> Flush {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for something to send. Not to be called while the last flush is still unwritten: what is taken here
    /// counts as sent.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Flush> {
        loop {
            ready!(self.poll_window(cx));
            match self.pending.take(&self.fanout) {
                Found::Messages(messages) => return Poll::Ready(self.flush(&messages)),
                Found::Unfinished => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Found::Nothing => {}
            }
            self.ear.wait(cx.waker());
            if self.pending.any(&self.fanout) {
                self.ear.stop_waiting();
                continue;
            }
            // Quiet for a whole window: the next change goes out at once. Only what is withheld has a time.
            self.window_end = None;
            let Some(until) = self.pending.withheld_until() else {
                self.timer = None;
                return Poll::Pending;
            };
            ready!(self.poll_timer(until.into(), cx));
            self.ear.stop_waiting();
        }
    }

    /// Ready once the last flush is a throttle ago and paid for.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(end) = self.window_end {
            ready!(self.poll_timer(end, cx));
        }
        if let Some(budget) = &self.budget
            && let Err(wait) = budget.pay(&mut self.owed)
        {
            // Rounded up: the timer's own grain is a millisecond, and a wait of nothing would spin.
            let end = Instant::now() + wait.max(Duration::from_millis(1));
            self.window_end = Some(end);
            self.stretched = true;
            ready!(self.poll_timer(end, cx));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn poll_timer(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        match &mut self.timer {
            Some(timer) if timer.deadline() == at => {}
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
        self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx))
    }

    fn flush(&mut self, messages: &[Encoded]) -> Flush {
        self.window_end = (!self.throttle.is_zero()).then(|| Instant::now() + self.throttle);
        self.owed = self.owed.saturating_add(u32::try_from(messages.len()).unwrap_or(u32::MAX));
        let bytes = match messages {
            [only] if self.moves(only) => only.block().clone(),
            several => self.join(several),
        };
        if let Some(last) = messages.last().filter(|last| self.moves(last)) {
            self.position.version = last.version;
        }
        Flush { bytes, messages: messages.len(), stretched: std::mem::take(&mut self.stretched) }
    }

    /// Whether a message's id may be shown: it must not take the cursor back.
    fn moves(&self, message: &Encoded) -> bool {
        message.version >= self.position.version
    }

    fn join(&self, messages: &[Encoded]) -> Bytes {
        let mut joined = BytesMut::with_capacity(messages.iter().map(|message| message.block().len()).sum());
        for message in messages {
            if self.moves(message) {
                joined.extend_from_slice(message.block());
            } else {
                joined.extend_from_slice(message.data());
                joined.extend_from_slice(b"\n");
            }
        }
        joined.freeze()
    }
}

//! A stream that waits by itself: its place, and who wakes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::budget::{Budget, Counted};
use super::ear::Ear;
use super::place::{Place, Turn, Wait};
use super::shelf::Shelf;
use super::ticks::From;
use super::{Fanout, MinChange};
use crate::candles::Interval;
use crate::catalogue::SymbolId;
use crate::fields::FieldSet;
use crate::http::framing::Framing;
use crate::http::sse::{Cursor, Epoch};

/// What a stream asks for.
#[derive(Debug)]
pub struct Wanted {
    /// Which symbols, each once.
    pub symbols: Vec<SymbolId>,
    /// Which fields.
    pub fields: FieldSet,
    /// The newest only, or every trade.
    pub mode: Mode,
    /// The least time between two flushes. Zero: whenever something changed and the last flush was taken.
    pub throttle: Duration,
    /// How far a price must move to be worth a message.
    pub min_change: Option<MinChange>,
    /// A change that `min_change` withholds goes out after this long all the same.
    pub max_silence: Duration,
    /// Where the client left off. With a `min_change` it gets everything: what it was not sent is not known.
    pub resume: Option<Cursor>,
    /// The messages and bytes that its client may be sent; `None` is without a limit.
    pub budget: Option<Arc<Budget>>,
    /// Bars of this interval too.
    pub candles: Option<Interval>,
}

/// What a stream sends of each symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Its newest state.
    Latest,
    /// Every trade. `throttle`, `min_change` and `resume` say nothing to it.
    Ticks {
        /// Where to begin.
        from: From,
        /// Trades kept of a symbol that nobody has followed yet.
        history: usize,
    },
}

impl Wanted {
    /// The version of this epoch up to which the client needs nothing.
    pub(super) fn since(&self, epoch: Epoch) -> Option<u64> {
        let resume = self.resume.filter(|cursor| cursor.epoch == epoch && self.min_change.is_none());
        resume.map(|cursor| cursor.version)
    }
}

/// All that was pending, as one write.
#[derive(Debug)]
pub struct Flush {
    /// Whole blocks, in ascending version, framed as was asked.
    pub bytes: Bytes,
    /// The bytes of the blocks alone.
    pub payload: usize,
    /// How many.
    pub messages: usize,
}

/// A stream's subscription. It holds no queue: memory is bounded by its symbols.
pub struct Subscription {
    fanout: Fanout,
    place: Place,
    shelf: Shelf,
    waiter: Waiter,
}

impl Subscription {
    pub(super) fn new(fanout: Fanout, wanted: Wanted) -> Self {
        let place = fanout.place(wanted);
        let waiter = Waiter::new(&fanout, &place);
        Self { fanout, place, shelf: Shelf::alone(Framing::Bare), waiter }
    }

    /// The place this stream starts from, or has got to.
    pub fn position(&self) -> Cursor {
        self.place.at(self.place.position())
    }

    /// The newest place that this stream has passed: every change up to it was sent, replaced or withheld.
    pub fn pass(&mut self) -> Cursor {
        let version = self.place.pass(&self.fanout);
        self.place.at(version)
    }

    /// Whether a flush had to wait for this part of its client's budget.
    pub fn is_slowed_by(&self, counted: Counted) -> bool {
        self.place.is_slowed_by(counted)
    }

    /// Waits for something to send.
    pub async fn next(&mut self) -> Flush {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for something to send. Not to be called while the last flush is still unwritten: what is taken here
    /// counts as sent.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Flush> {
        loop {
            let wait = match self.place.turn(&self.fanout, &mut self.shelf, Instant::now()) {
                Turn::Flush(flush) => return Poll::Ready(flush),
                Turn::Wait(wait) => wait,
                Turn::Again => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            ready!(self.waiter.poll(&self.place, &self.fanout, wait, cx));
        }
    }
}

/// Who wakes a stream that waits by itself.
pub struct Waiter {
    ear: Ear,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Waiter {
    /// For the stream at this place.
    pub fn new(fanout: &Fanout, place: &Place) -> Self {
        Self { ear: Ear::new(Arc::clone(&fanout.sleepers), place.symbols()), timer: None }
    }

    /// Ready when what was to be waited for has come.
    pub fn poll(&mut self, place: &Place, fanout: &Fanout, wait: Wait, cx: &mut Context<'_>) -> Poll<()> {
        if wait.change {
            self.ear.wait(cx.waker());
            if place.is_behind(fanout) {
                self.ear.stop_waiting();
                return Poll::Ready(());
            }
        }
        let Some(until) = wait.until else {
            self.timer = None;
            return Poll::Pending;
        };
        ready!(self.poll_timer(until, cx));
        self.ear.stop_waiting();
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
}

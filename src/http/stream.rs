//! The bytes of one client's stream: `hello`, prices, heartbeats, and `bye` when the server stops.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::RngExt;
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::debug;

use super::State;
use super::limits::{Slot, jittered};
use super::link::Link;
use super::sse::{self, EventName};
use crate::clock;
use crate::fanout::{Flush, Subscription};
use crate::metrics::ByReason;

/// A comment goes out after so long without a byte: below the idle timeouts of all proxies we know (P4, P14).
const COMMENT_AFTER: Duration = Duration::from_secs(15);

/// One open stream. Dropping it closes it: its slot is given back, and it is on nobody's list any more.
pub(super) struct PriceStream {
    subscription: Subscription,
    state: State,
    link: Link,
    slot: Slot,
    /// `retry` and `hello`, until they are out.
    opening: Option<Bytes>,
    heartbeat: Heartbeat,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Our moment in the drain window, once the server is stopping.
    bye_at: Option<Pin<Box<Sleep>>>,
    ended: bool,
    /// The client was told that its budget slows the stream down.
    told_slowed: bool,
}

/// When to say that we are still here.
struct Heartbeat {
    /// Between events that a page can see; `None` for comments only.
    visible: Option<Duration>,
    visible_at: Instant,
    last_byte: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What is due.
enum Beat {
    Comment,
    Visible,
}

impl PriceStream {
    /// A stream that begins with `opening`.
    pub(super) fn new(
        subscription: Subscription,
        opening: Bytes,
        heartbeat: Duration,
        slot: Slot,
        state: State,
        link: Link,
        closing: &CancellationToken,
    ) -> Self {
        state.metrics.streams_open.inc();
        state.metrics.streams_opened.inc();
        debug!("stream opened");
        Self {
            subscription,
            link,
            slot,
            opening: Some(opening),
            heartbeat: Heartbeat::new(heartbeat),
            closing: Box::pin(closing.clone().cancelled_owned()),
            bye_at: None,
            ended: false,
            told_slowed: false,
            state,
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // What is made now must leave now: behind a blocked write it would be old before it is sent.
        ready!(self.link.poll_writable(cx));
        let bytes = match self.opening.take() {
            Some(opening) => opening,
            None => ready!(self.poll_next(cx)),
        };
        self.heartbeat.last_byte = Instant::now();
        self.state.metrics.bytes_sent.inc_by(bytes.len() as u64);
        Poll::Ready(Some(bytes))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.poll_bye(cx).is_ready() {
            self.ended = true;
            return Poll::Ready(self.bye());
        }
        if let Poll::Ready(flush) = self.subscription.poll_next(cx) {
            return Poll::Ready(self.prices(flush));
        }
        match ready!(self.heartbeat.poll(cx)) {
            Beat::Comment => Poll::Ready(sse::HEARTBEAT_COMMENT),
            Beat::Visible => Poll::Ready(self.visible_heartbeat()),
        }
    }

    fn prices(&mut self, flush: Flush) -> Bytes {
        self.state.metrics.sent.inc_by(flush.messages as u64);
        if !flush.stretched || std::mem::replace(&mut self.told_slowed, true) {
            return flush.bytes;
        }
        let limit = self.slot.budget().map(|budget| budget.per_second());
        let code = "messages_per_second";
        self.state.limited(code);
        let notice = json!({ "code": code, "limit": limit, "scope": "client" });
        let mut out = BytesMut::with_capacity(flush.bytes.len() + 128);
        sse::event(&mut out, EventName::Notice, &notice, None);
        out.put_slice(&flush.bytes);
        out.freeze()
    }

    fn visible_heartbeat(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(80);
        let position = self.subscription.pass();
        sse::event(
            &mut out,
            EventName::Heartbeat,
            &json!({ "time": clock::wall().as_millis() }),
            Some(position),
        );
        out.freeze()
    }

    /// Ready when this stream's end has come: at its own moment of the drain window, so that clients don't all
    /// come back at once.
    fn poll_bye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bye_at.is_none() {
            ready!(self.closing.as_mut().poll(cx));
            let share: f64 = rand::rng().random_range(0.0..1.0);
            self.bye_at =
                Some(Box::pin(sleep_until(Instant::now() + self.state.http.drain_window.mul_f64(share))));
        }
        self.bye_at.as_mut().map_or(Poll::Ready(()), |at| at.as_mut().poll(cx))
    }

    fn bye(&self) -> Bytes {
        let retry = jittered(self.state.stream.retry);
        let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        let mut out = BytesMut::with_capacity(128);
        sse::retry(&mut out, retry_ms);
        sse::event(&mut out, EventName::Bye, &json!({ "reason": "draining", "retry_ms": retry_ms }), None);
        out.freeze()
    }
}

impl Drop for PriceStream {
    fn drop(&mut self) {
        let reason = match (self.ended, self.link.stalled()) {
            (true, _) => "drained",
            (_, true) => "stalled",
            _ => "client",
        };
        debug!(reason, "stream closed");
        self.state.metrics.streams_open.dec();
        self.state.metrics.streams_closed.get_or_create(&ByReason { reason }).inc();
    }
}

impl Heartbeat {
    fn new(visible: Duration) -> Self {
        let now = Instant::now();
        let visible = Some(visible).filter(|every| !every.is_zero());
        let visible_at = now + visible.unwrap_or_default();
        let mut this = Self { visible, visible_at, last_byte: now, timer: Box::pin(sleep_until(now)) };
        let due = this.due();
        this.timer.as_mut().reset(due);
        this
    }

    fn due(&self) -> Instant {
        let comment = self.last_byte + COMMENT_AFTER;
        if self.visible.is_some() { comment.min(self.visible_at) } else { comment }
    }

    /// The timer is not moved at each byte, only looked at when it fires: most bytes cost nothing here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let visible = self.visible.filter(|_| now >= self.visible_at);
            let comment = now >= self.last_byte + COMMENT_AFTER;
            if let Some(every) = visible {
                self.visible_at = now + every;
            }
            if visible.is_some() || comment {
                self.last_byte = now;
            }
            let due = self.due();
            self.timer.as_mut().reset(due);
            match (visible, comment) {
                (Some(_), _) => return Poll::Ready(Beat::Visible),
                (None, true) => return Poll::Ready(Beat::Comment),
                (None, false) => {}
            }
        }
    }
}

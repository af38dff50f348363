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
use super::auth::lease::{self, LeaseEvent};
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
    /// Why it has ended, once it has.
    ended: Option<&'static str>,
    /// The client was told that its credential expires.
    told_expiring: bool,
    /// The client was told that its budget slows the stream down.
    told_slowed: bool,
}

/// When to say that we are still here.
struct Heartbeat {
    /// Between events that a page can see; `None` for comments only.
    visible: Option<Duration>,
    visible_at: Instant,
    last_byte: Instant,
    /// When the credential has something to say: the warning, then its end.
    lease: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// What is due.
enum Beat {
    Comment,
    Visible,
    Lease,
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
        let heartbeat = Heartbeat::new(heartbeat, slot.lease().due(Instant::now()));
        Self {
            subscription,
            link,
            slot,
            opening: Some(opening),
            heartbeat,
            closing: Box::pin(closing.clone().cancelled_owned()),
            bye_at: None,
            ended: None,
            told_expiring: false,
            told_slowed: false,
            state,
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended.is_some() {
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
        loop {
            if self.poll_bye(cx).is_ready() {
                return Poll::Ready(self.bye("draining"));
            }
            // A revoked key is seen here: with the next prices, or with the next heartbeat at the latest.
            match self.slot.lease().say(Instant::now()) {
                Some(LeaseEvent::Ended(end)) => return Poll::Ready(self.bye(end.reason())),
                Some(LeaseEvent::Expiring(left)) if !std::mem::replace(&mut self.told_expiring, true) => {
                    return Poll::Ready(self.expiring(left));
                }
                _ => {}
            }
            if let Poll::Ready(flush) = self.subscription.poll_next(cx) {
                return Poll::Ready(self.prices(flush));
            }
            match ready!(self.heartbeat.poll(cx)) {
                // It may have been revoked while nothing was sent.
                _ if self.slot.lease().end(Instant::now()).is_some() => {}
                Beat::Comment => return Poll::Ready(sse::HEARTBEAT_COMMENT),
                Beat::Visible => return Poll::Ready(self.visible_heartbeat()),
                Beat::Lease => {}
            }
        }
    }

    fn expiring(&mut self, left: Duration) -> Bytes {
        self.heartbeat.lease = self.slot.lease().due(Instant::now());
        let mut out = BytesMut::with_capacity(80);
        let notice = json!({ "code": lease::EXPIRING, "in_ms": clock::millis(left) });
        sse::event(&mut out, EventName::Notice, &notice, None);
        out.freeze()
    }

    fn prices(&mut self, flush: Flush) -> Bytes {
        self.state.metrics.sent.inc_by(flush.messages as u64);
        if !flush.stretched || std::mem::replace(&mut self.told_slowed, true) {
            return flush.bytes;
        }
        let limit = self.slot.budget().map(|budget| budget.per_second());
        let code = "messages_per_second";
        self.state.limited(code);
        let notice = json!({ "code": code, "limit": limit, "scope": self.slot.scope() });
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

    fn bye(&mut self, reason: &'static str) -> Bytes {
        self.ended = Some(reason);
        let retry = jittered(self.state.stream.retry);
        let retry_ms = clock::millis(retry);
        let mut out = BytesMut::with_capacity(128);
        sse::retry(&mut out, retry_ms);
        sse::event(&mut out, EventName::Bye, &json!({ "reason": reason, "retry_ms": retry_ms }), None);
        out.freeze()
    }
}

impl Drop for PriceStream {
    fn drop(&mut self) {
        let reason = match (self.ended, self.link.stalled()) {
            (Some("draining"), _) => "drained",
            (Some(reason), _) => reason,
            (None, true) => "stalled",
            _ => "client",
        };
        debug!(reason, "stream closed");
        self.state.metrics.streams_open.dec();
        self.state.metrics.streams_closed.get_or_create(&ByReason { reason }).inc();
    }
}

impl Heartbeat {
    fn new(visible: Duration, lease: Option<Instant>) -> Self {
        let now = Instant::now();
        let visible = Some(visible).filter(|every| !every.is_zero());
        let visible_at = now + visible.unwrap_or_default();
        let mut this = Self { visible, visible_at, last_byte: now, lease, timer: Box::pin(sleep_until(now)) };
        let due = this.due();
        this.timer.as_mut().reset(due);
        this
    }

    fn due(&self) -> Instant {
        let comment = self.last_byte + COMMENT_AFTER;
        let due = if self.visible.is_some() { comment.min(self.visible_at) } else { comment };
        self.lease.map_or(due, |lease| due.min(lease))
    }

    /// The timer is not moved at each byte, only looked at when it fires: most bytes cost nothing here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let visible = self.visible.filter(|_| now >= self.visible_at);
            let comment = now >= self.last_byte + COMMENT_AFTER;
            let lease = self.lease.take_if(|lease| now >= *lease);
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
                (None, false) if lease.is_some() => return Poll::Ready(Beat::Lease),
                (None, false) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test waits for its tasks")]

    use std::sync::Arc;

    use tokio::time::{advance, timeout};

    use super::*;
    use crate::config;
    use crate::fanout::Wanted;
    use crate::fanout::tests::Desk;
    use crate::http::auth::{Auth, Visitor};
    use crate::http::cors::Cors;
    use crate::http::limits::Limits;
    use crate::ingest::Board;
    use crate::metrics::Metrics;

    const EVER: Duration = Duration::from_secs(86_400);

    struct Node {
        desk: Desk,
        state: State,
    }

    impl Node {
        fn new(messages_per_second: Option<u32>) -> Self {
            let desk = Desk::new(2);
            let metrics = Arc::new(Metrics::default());
            let limits = config::Limits { messages_per_second, ..config::Limits::default() };
            let state = State {
                fanout: desk.fanout.clone(),
                board: Board::new(Arc::clone(&metrics)),
                auth: Arc::new(Auth::new(&config::Config::default(), desk.fanout.latest().catalogue())),
                limits: Arc::new(Limits::new(limits)),
                metrics,
                cors: Arc::new(Cors::new(&[])),
                stream: Arc::default(),
                http: Arc::default(),
                closing: CancellationToken::new(),
            };
            Self { desk, state }
        }

        /// A stream of the first symbol whose opening and snapshot are out.
        async fn open(&self, heartbeat: Duration) -> PriceStream {
            let slot = self
                .state
                .limits
                .open(&Visitor::at([127, 0, 0, 1].into(), self.state.limits.config()))
                .expect("room");
            let symbols = self.desk.latest.catalogue().ids().take(1).collect();
            let wanted = Wanted { symbols, budget: slot.budget(), ..self.desk.wanted() };
            let (subscription, opening) =
                (self.desk.fanout.subscribe(wanted), Bytes::from_static(b"hello\n\n"));
            let (state, link) = (self.state.clone(), Link::default());
            let mut stream =
                PriceStream::new(subscription, opening, heartbeat, slot, state, link, &self.state.closing);
            assert_eq!(next(&mut stream).await, "hello\n\n");
            assert_eq!(next(&mut stream).await, "data: {\"symbol\":\"S0\",\"price\":null}\nid: 7f3a.0\n\n");
            stream
        }

        fn closed(&self, reason: &'static str) -> u64 {
            self.state.metrics.streams_closed.get_or_create(&ByReason { reason }).get()
        }
    }

    async fn poll(stream: &mut PriceStream) -> Option<String> {
        let polled = timeout(EVER, std::future::poll_fn(|cx| stream.poll(cx))).await;
        polled.expect("something comes").map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn next(stream: &mut PriceStream) -> String {
        poll(stream).await.expect("the stream goes on")
    }

    /// What comes next, and after how many seconds.
    async fn timed(stream: &mut PriceStream) -> (u64, String) {
        let start = Instant::now();
        let text = next(stream).await;
        (start.elapsed().as_secs(), text)
    }

    #[tokio::test(start_paused = true)]
    async fn p4_a_comment_goes_out_after_fifteen_seconds_without_a_byte() {
        let node = Node::new(None);
        let mut stream = node.open(Duration::ZERO).await;
        for _ in 0..3 {
            assert_eq!(timed(&mut stream).await, (15, ": hb\n".to_owned()));
        }
        advance(Duration::from_secs(10)).await;
        node.desk.set(0, "100");
        assert_eq!(timed(&mut stream).await.0, 0);
        assert_eq!(timed(&mut stream).await, (15, ": hb\n".to_owned()), "counted from the last byte");
    }

    #[tokio::test(start_paused = true)]
    async fn p31_a_visible_heartbeat_carries_the_time_and_the_newest_place_passed() {
        let node = Node::new(None);
        let mut stream = node.open(Duration::from_secs(20)).await;
        node.desk.set(1, "5");
        assert_eq!(timed(&mut stream).await, (15, ": hb\n".to_owned()));
        let (after, text) = timed(&mut stream).await;
        assert_eq!(after, 5);
        assert!(text.starts_with("event: hb\ndata: {\"time\":1"), "{text}");
        assert!(text.ends_with("}\nid: 7f3a.1\n\n"), "{text}");
        node.desk.set(0, "100");
        assert!(next(&mut stream).await.ends_with("id: 7f3a.2\n\n"));
        // In time, whatever else was sent; and a byte is a byte: no comment in between.
        advance(Duration::from_secs(10)).await;
        node.desk.set(0, "101");
        next(&mut stream).await;
        let (after, text) = timed(&mut stream).await;
        assert_eq!((after, text.starts_with("event: hb\n")), (10, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_its_budget_slows_down_is_told_once() {
        let node = Node::new(Some(1));
        let mut stream = node.open(Duration::ZERO).await;
        let mut all = Vec::new();
        for price in ["100", "101", "102", "103"] {
            node.desk.set(0, price);
            all.push(timed(&mut stream).await);
        }
        let notice = "event: notice\ndata: {\"code\":\"messages_per_second\",\"limit\":1,\"scope\":\"client\"}\n\ndata: ";
        let told: Vec<_> = all.iter().filter(|(_, text)| text.starts_with(notice)).collect();
        assert_eq!(told.len(), 1, "{all:?}");
        assert_eq!(all.iter().map(|(after, _)| after).sum::<u64>(), 3, "one a second: {all:?}");
        assert!(all[3].1.contains("\"103\""));
    }

    #[tokio::test(start_paused = true)]
    async fn p62_a_stream_says_good_bye_within_the_drain_window_and_ends() {
        let node = Node::new(None);
        let mut stream = node.open(Duration::ZERO).await;
        let start = Instant::now();
        node.state.closing.cancel();
        node.desk.set(0, "100");
        let mut text = next(&mut stream).await;
        if text.starts_with("data: ") {
            text = next(&mut stream).await;
        }
        assert!(start.elapsed() <= node.state.http.drain_window + Duration::from_millis(1));
        let (retry, bye) = text.split_once('\n').expect("two lines at least");
        let retry_ms: u64 = retry.strip_prefix("retry: ").expect("a retry").parse().expect("milliseconds");
        assert_eq!(bye, format!("event: bye\ndata: {{\"reason\":\"draining\",\"retry_ms\":{retry_ms}}}\n\n"));
        assert!((1_000..3_000).contains(&retry_ms));
        assert_eq!(poll(&mut stream).await, None);
        drop(stream);
        assert_eq!((node.closed("drained"), node.state.metrics.streams_open.get()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn p27_good_byes_are_spread_over_the_drain_window_and_their_retries_differ() {
        let node = Node::new(None);
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(node.open(Duration::ZERO).await);
        }
        let start = Instant::now();
        node.state.closing.cancel();
        let byes = streams
            .into_iter()
            .map(|mut stream| tokio::spawn(async move { (next(&mut stream).await, Instant::now()) }));
        let mut thirds = [0; 3];
        let mut retries = std::collections::HashSet::new();
        for bye in byes.collect::<Vec<_>>() {
            let (text, at) = bye.await.expect("a bye");
            let third = (at - start).as_millis() * 3 / (node.state.http.drain_window.as_millis() + 1);
            thirds[usize::try_from(third).expect("within the window")] += 1;
            retries.insert(text);
        }
        // By chance alone one test run in a hundred million finds a third of the window empty.
        assert!(thirds.iter().all(|count| *count > 0), "{thirds:?}");
        assert!(retries.len() > 25, "{}", retries.len());
    }

    #[tokio::test(start_paused = true)]
    async fn p57_a_dropped_stream_gives_its_place_back_and_is_counted() {
        let node = Node::new(None);
        for _ in 0..3 {
            drop(node.open(Duration::ZERO).await);
        }
        assert_eq!((node.closed("client"), node.state.metrics.streams_open.get()), (3, 0));
        assert_eq!(node.state.metrics.streams_opened.get(), 3);
    }
}

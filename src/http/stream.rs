//! What one client's stream says, and when: `hello`, prices, heartbeats, and `bye` when the server stops. It waits for
//! nothing itself and knows no socket; it says what to wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use tokio::time::Instant;
use tracing::debug;

use super::State;
use super::auth::lease::LeaseEvent;
use super::events::{Bye, ByeReason, Heartbeat as Beaten, Notice};
use super::limits::{Slot, jittered};
use super::list::{Change, List};
use super::sse;
use crate::clock;
use crate::fanout::{self, Counted, Place, Shelf, Wait};
use crate::metrics::{ByReason, Metrics};

/// A comment goes out after so long without a byte: below the idle timeouts of all proxies we know (P4, P14).
const COMMENT_AFTER: Duration = Duration::from_secs(15);

/// One open stream. Dropping it closes it: its slot is given back.
pub(super) struct PriceStream {
    /// Its number in this process, for logs: it has no span, which would weigh more than itself.
    number: u64,
    place: Place,
    slot: Slot,
    list: List,
    /// What its client is to be told of its list.
    list_notice: Option<Bytes>,
    /// `retry` and `hello`, until they are out.
    opening: Option<Bytes>,
    heartbeat: Heartbeat,
    /// Our moment in the drain window, once the server is stopping.
    bye_at: Option<Instant>,
    /// Why it has ended, once it has.
    ended: Option<ByeReason>,
    /// The client was told that its credential expires.
    told_expiring: bool,
    stalled: bool,
    /// The client was told that its budget slows the stream down: by [`Counted`].
    told_slowed: [bool; 2],
    metrics: Arc<Metrics>,
}

/// When to say that we are still here.
struct Heartbeat {
    /// Between events that a page can see; `None` for comments only.
    visible: Option<Duration>,
    visible_at: Instant,
    last_byte: Instant,
}

/// What is due.
enum Beat {
    Comment,
    Visible,
}

/// What a stream's turn comes to.
pub(super) enum Turn {
    /// This is to be sent, framed as the shelf says, and the next turn may be taken at once.
    Say(Bytes),
    /// There is nothing to say before this.
    Wait(Wait),
    /// Something is just being written to the store: the next turn may be taken at once.
    Again,
    /// The stream is over.
    End,
}

impl PriceStream {
    /// A stream that begins with `opening`.
    pub(super) fn new(
        place: Place,
        opening: Bytes,
        heartbeat: Duration,
        slot: Slot,
        list: List,
        metrics: Arc<Metrics>,
    ) -> Self {
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        let number = STREAMS.fetch_add(1, Ordering::Relaxed) + 1;
        metrics.streams_open.inc();
        metrics.streams_opened.inc();
        debug!(stream = number, "stream opened");
        Self {
            number,
            place,
            slot,
            list,
            list_notice: None,
            opening: Some(opening),
            heartbeat: Heartbeat::new(heartbeat),
            bye_at: None,
            ended: None,
            told_expiring: false,
            stalled: false,
            told_slowed: [false; 2],
            metrics,
        }
    }

    /// Its place in the fan-out.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the catalogue is another than the one that the stream's list is answered by: then
    /// [`renew`](Self::renew) is to be called before its turn.
    pub(super) fn is_outdated(&self, state: &State) -> bool {
        self.list.is_outdated(state)
    }

    /// Answers its list by the catalogue of now; its place may follow other symbols after it. Who waits for changes must
    /// let go of the old ones before.
    pub(super) fn renew(&mut self, state: &State, now: Instant) {
        let Change { symbols, notice } = self.list.renew(state, self.place.symbols());
        if notice.is_some() {
            self.place.follow(&state.fanout, &symbols, now);
            self.list_notice = notice;
        }
    }

    /// Notes that its client took nothing for too long.
    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }

    /// Takes the stream's turn. What was said before must have been taken by the client's kernel: what is made now
    /// has to leave now. `closing` is whether the server is stopping.
    pub(super) fn turn(&mut self, state: &State, shelf: &mut Shelf, now: Instant, closing: bool) -> Turn {
        if self.ended.is_some() {
            return Turn::End;
        }
        if let Some(opening) = self.opening.take() {
            return self.say(opening, shelf, now);
        }
        if closing {
            // At its own moment of the drain window, so that clients don't all come back at once.
            let share = || state.http.drain_window.mul_f64(rand::rng().random_range(0.0..1.0));
            if now >= *self.bye_at.get_or_insert_with(|| now + share()) {
                return self.end(ByeReason::Draining, state, shelf, now);
            }
        }
        // A key that is taken back comes without a time: it is seen here, with the next prices or the next heartbeat.
        match self.slot.lease().say(now) {
            Some(LeaseEvent::Ended(end)) => return self.end(end.into(), state, shelf, now),
            Some(LeaseEvent::Expiring(left)) if !std::mem::replace(&mut self.told_expiring, true) => {
                return self.say(expiring(left), shelf, now);
            }
            _ => {}
        }
        if let Some(notice) = self.list_notice.take() {
            return self.say(notice, shelf, now);
        }
        let wait = match self.place.turn(&state.fanout, shelf, now) {
            fanout::Turn::Flush(flush) => {
                self.metrics.sent.inc_by(flush.messages as u64);
                self.said(flush.payload, now);
                return Turn::Say(flush.bytes);
            }
            fanout::Turn::Again => return Turn::Again,
            fanout::Turn::Wait(wait) => wait,
        };
        let is_news =
            |counted: &Counted| self.place.is_slowed_by(*counted) && !self.told_slowed[*counted as usize];
        if let Some(counted) = Counted::ALL.into_iter().find(is_news) {
            self.told_slowed[counted as usize] = true;
            let notice = self.slowed(state, counted);
            return self.say(notice, shelf, now);
        }
        match self.heartbeat.take(now) {
            Some(Beat::Comment) => self.say(sse::HEARTBEAT_COMMENT, shelf, now),
            Some(Beat::Visible) => {
                let heartbeat = self.visible_heartbeat(state);
                self.say(heartbeat, shelf, now)
            }
            None => {
                let others = [wait.until, self.bye_at, self.slot.lease().due(now)];
                let until = others.into_iter().flatten().fold(self.heartbeat.due(), Instant::min);
                Turn::Wait(Wait { until: Some(until), change: wait.change })
            }
        }
    }

    fn end(&mut self, reason: ByeReason, state: &State, shelf: &Shelf, now: Instant) -> Turn {
        self.ended = Some(reason);
        self.say(bye(reason, state), shelf, now)
    }

    fn say(&mut self, bytes: Bytes, shelf: &Shelf, now: Instant) -> Turn {
        self.said(bytes.len(), now);
        Turn::Say(shelf.framing().wrap(bytes))
    }

    fn said(&mut self, bytes: usize, now: Instant) {
        self.heartbeat.last_byte = now;
        self.metrics.bytes_sent.inc_by(bytes as u64);
    }

    fn slowed(&self, state: &State, counted: Counted) -> Bytes {
        let limit = self.slot.budget().and_then(|budget| budget.per_second(counted));
        state.limited(counted.limit());
        let scope = self.slot.scope();
        let notice = match counted {
            Counted::Messages => Notice::MessagesPerSecond { limit, scope },
            Counted::Bytes => Notice::BytesPerSecond { limit, scope },
        };
        let mut out = BytesMut::with_capacity(128);
        sse::event(&mut out, &notice, None);
        out.freeze()
    }

    fn visible_heartbeat(&mut self, state: &State) -> Bytes {
        let mut out = BytesMut::with_capacity(80);
        let position = self.place.pass(&state.fanout);
        let position = self.place.at(position);
        sse::event(&mut out, &Beaten { time: clock::wall().as_millis() }, Some(position));
        out.freeze()
    }
}

fn expiring(left: Duration) -> Bytes {
    let mut out = BytesMut::with_capacity(80);
    sse::event(&mut out, &Notice::CredentialExpiring { in_ms: clock::millis(left) }, None);
    out.freeze()
}

fn bye(reason: ByeReason, state: &State) -> Bytes {
    let retry_ms = clock::millis(jittered(state.stream.retry));
    let mut out = BytesMut::with_capacity(128);
    sse::retry(&mut out, retry_ms);
    sse::event(&mut out, &Bye { reason, retry_ms }, None);
    out.freeze()
}

impl Drop for PriceStream {
    fn drop(&mut self) {
        let reason = match (self.ended, self.stalled) {
            (Some(reason), _) => reason.name(),
            (None, true) => "stalled",
            _ => "client",
        };
        debug!(stream = self.number, reason, "stream closed");
        self.metrics.streams_open.dec();
        self.metrics.streams_closed.get_or_create(&ByReason { reason }).inc();
    }
}

impl Heartbeat {
    fn new(visible: Duration) -> Self {
        let now = Instant::now();
        let visible = Some(visible).filter(|every| !every.is_zero());
        Self { visible, visible_at: now + visible.unwrap_or_default(), last_byte: now }
    }

    fn due(&self) -> Instant {
        let comment = self.last_byte + COMMENT_AFTER;
        if self.visible.is_some() { comment.min(self.visible_at) } else { comment }
    }

    fn take(&mut self, now: Instant) -> Option<Beat> {
        if let Some(every) = self.visible.filter(|_| now >= self.visible_at) {
            self.visible_at = now + every;
            return Some(Beat::Visible);
        }
        (now >= self.last_byte + COMMENT_AFTER).then_some(Beat::Comment)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test waits for its tasks")]

    use std::sync::Arc;

    use tokio::time::{advance, timeout};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config;
    use crate::fanout::Wanted;
    use crate::fanout::tests::Desk;
    use crate::http::auth::{Auth, Visitor};
    use crate::http::body::StreamBody;
    use crate::http::cors::Cors;
    use crate::http::limits::Limits;
    use crate::http::link::Link;
    use crate::ingest::Board;
    use crate::metrics::{ByLimit, Metrics};

    const EVER: Duration = Duration::from_secs(86_400);

    struct Node {
        desk: Desk,
        state: State,
    }

    impl Node {
        fn new(messages_per_second: Option<u32>) -> Self {
            Self::with(config::Limits { messages_per_second, ..config::Limits::default() })
        }

        fn with(limits: config::Limits) -> Self {
            let desk = Desk::new(2);
            let metrics = Arc::new(Metrics::default());
            let state = State {
                fanout: desk.fanout.clone(),
                board: Board::new(Arc::clone(&metrics)),
                auth: Arc::new(Auth::new(&config::Config::default())),
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
        async fn open(&self, heartbeat: Duration) -> StreamBody {
            let visitor = Visitor::at([127, 0, 0, 1].into(), self.state.limits.config());
            let slot = self.state.limits.open(&visitor).expect("room");
            let symbols = self.desk.latest.catalogue().ids().take(1).collect();
            let wanted = Wanted { symbols, budget: slot.budget(), ..self.desk.wanted() };
            let (place, opening) = (self.desk.fanout.place(wanted), Bytes::from_static(b"hello\n\n"));
            let stream = PriceStream::new(
                place,
                opening,
                heartbeat,
                slot,
                List::default(),
                Arc::clone(&self.state.metrics),
            );
            let mut stream = StreamBody::new(stream, self.state.clone(), Link::default());
            assert_eq!(next(&mut stream).await, "hello\n\n");
            assert_eq!(next(&mut stream).await, "data: {\"symbol\":\"S0\",\"price\":null}\nid: 7f3a.0\n\n");
            stream
        }

        fn closed(&self, reason: &'static str) -> u64 {
            self.state.metrics.streams_closed.get_or_create(&ByReason { reason }).get()
        }
    }

    async fn poll(stream: &mut StreamBody) -> Option<String> {
        let polled = timeout(EVER, std::future::poll_fn(|cx| stream.poll(cx))).await;
        polled.expect("something comes").map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn next(stream: &mut StreamBody) -> String {
        poll(stream).await.expect("the stream goes on")
    }

    /// What comes next, and after how many seconds.
    async fn timed(stream: &mut StreamBody) -> (u64, String) {
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
        let notice =
            "event: notice\ndata: {\"code\":\"messages_per_second\",\"limit\":1,\"scope\":\"client\"}\n\n";
        let start = Instant::now();
        let mut notices = Vec::new();
        for price in ["100", "101", "102", "103"] {
            node.desk.set(0, price);
            let mut said = next(&mut stream).await;
            if said == notice {
                notices.push(start.elapsed().as_secs());
                said = next(&mut stream).await;
            }
            assert!(said.starts_with("data: ") && said.contains(&format!("\"{price}\"")), "{said}");
        }
        assert_eq!(notices, [1], "with the first that came late, and once");
        assert_eq!(start.elapsed().as_secs(), 3, "one a second");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_that_slows_a_stream_down_is_told_once_and_counted() {
        // One message has some 45 bytes.
        for (messages_per_second, bytes_per_second, limit, most) in
            [(2, 1_000, "messages_per_second", 2), (20, 90, "bytes_per_second", 90)]
        {
            let node = Node::with(config::Limits {
                messages_per_second: Some(messages_per_second),
                bytes_per_second: Some(bytes_per_second),
                ..config::Limits::default()
            });
            let mut stream = node.open(Duration::ZERO).await;
            let (start, mut bytes, mut notices) = (Instant::now(), 0, Vec::new());
            for price in 100..120 {
                node.desk.set(0, &price.to_string());
                let mut said = next(&mut stream).await;
                if let Some(notice) = said.strip_prefix("event: notice\ndata: ") {
                    notices.push(notice.trim_end().to_owned());
                    said = next(&mut stream).await;
                }
                assert!(said.contains(&format!("\"{price}\"")), "{said}");
                bytes += said.len() as u64;
            }
            let notice = format!("{{\"code\":\"{limit}\",\"limit\":{most},\"scope\":\"client\"}}");
            assert_eq!(notices, [notice]);
            // The snapshot took a part of the first second's worth, and the last message is not paid for yet.
            let due = if limit == "bytes_per_second" { bytes / 90 } else { 20 / 2 };
            let took = start.elapsed().as_secs();
            assert!((due - 2..=due).contains(&took), "{limit}: {took} s for what takes {due}");
            let counts = Counted::ALL
                .map(|counted| ByLimit { limit: counted.limit() })
                .map(|by| node.state.metrics.limited.get_or_create(&by).get());
            assert_eq!(counts, if most == 2 { [1, 0] } else { [0, 1] });
        }
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

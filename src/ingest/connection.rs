//! One WebSocket to a venue, from the dial to its end: asks for its instruments at the venue's pace, brings frames
//! into the pipeline, keeps the venue's ping, and notices when nothing comes any more.
//!
//! Two clocks judge it. The transport's: any byte counts, and a ping of ours must be answered. The data's: only
//! live ticks count, heartbeats don't. When to open another is the supervisor's decision.

mod error;
mod order;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use rand::RngExt;
use tickcast_feeds::{Codec, Event, Events, Frame, Ping, UnixNanos, hours};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};
use tracing::{debug, warn};

use super::board::FeedState;
use super::dial::Socket;
use super::pace::Pacer;
use super::pipeline::Heard;
use super::subscriptions::Subscriptions;
use crate::clock;
use crate::config::url_without_secrets;
use crate::consolidate::Moment;
use crate::recording::Direction;
pub use error::{ConnectionError, RECONNECT_REASONS};
pub use order::{Means, News, Order, Report};

/// Without a byte for so long we ping; after twice that the connection is dead. Every venue answers protocol pings.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// A frame that the socket does not take in this time: the other end reads no more.
const SEND_MAX: Duration = Duration::from_secs(5);
/// A close frame is answered in this time, or not at all.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// A replacement without ticks takes over after this: nothing at all may be traded at the time.
const TAKE_OVER_MAX: Duration = Duration::from_secs(60);
/// The old connection's last frames are taken within this time, or come late.
const HANDOVER_MAX: Duration = Duration::from_millis(250);
/// Frames that are taken at once when an old connection retires.
const LAST_FRAMES_MAX: usize = 10_000;
/// How often the clocks are read, at most.
const BEAT: Duration = Duration::from_millis(250);
/// Frames waiting to go out; a codec makes a few, and replies come one for one.
const WAITING_MAX: usize = 1000;

/// Opens a connection and serves it to its end.
pub async fn run(order: Order, mut means: Means) -> ConnectionError {
    let closing = means.closing.clone();
    let opened = tokio::select! {
        () = closing.cancelled() => return ConnectionError::Stopping,
        opened = means.dial.dial(&order.target) => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => return ConnectionError::Dial(error),
    };
    means.pipeline.connected();
    let url = url_without_secrets(&order.target.url);
    debug!(%url, "connection opened");
    if let Some(recorder) = &means.recorder {
        recorder.note(Direction::Open, Frame::Text(&url), clock::wall());
    }
    let ages = means.metrics.connection_age.get_or_create(&order.profile.venue.into()).clone();
    let opened = Instant::now();
    let error = Connection::new(order, means, socket).serve().await;
    ages.observe(opened.elapsed().as_secs_f64());
    error
}

struct Connection {
    order: Order,
    means: Means,
    socket: Socket,
    subscriptions: Subscriptions,
    pacer: Pacer,
    waiting: VecDeque<Message>,
    /// `None` once it serves.
    first_tick: Option<FirstTick>,
    opened: Instant,
    /// Since when the data's clock runs: the opening, or the market's.
    running_since: Instant,
    newest_byte: Instant,
    /// When the newest frame went out that counts for the venue's ping.
    newest_sent: Instant,
    has_pinged: bool,
    /// When to ask for a replacement; `None` once that is done.
    leaves_at: Option<Instant>,
    /// Whether subscriptions may be sent.
    is_authenticated: bool,
    notices: Notices,
}

/// What frames said that is to be acted upon after them.
#[derive(Debug, Default)]
struct Notices {
    replies: Vec<Cow<'static, str>>,
    leaving: bool,
    ticked: bool,
    authenticated: bool,
    fatal: Option<ConnectionError>,
}

/// Waits for the first tick.
struct FirstTick {
    /// Of a replacement: sees each frame before the pipeline does.
    scout: Option<Box<dyn Codec>>,
}

impl Connection {
    fn new(order: Order, mut means: Means, socket: Socket) -> Self {
        let now = Instant::now();
        let shown = order.key.as_ref().and_then(|key| means.pipeline.authenticate(key));
        let venue = order.profile.venue;
        let mut subscriptions = Subscriptions::new(&order.wires, order.silence_max, now);
        if means.pipeline.replaces() {
            subscriptions.ask_whole();
        }
        // Not all at once, and well before the venue's own end.
        let age = |lifetime: Duration| lifetime.mul_f64(rand::rng().random_range(0.8..0.95));
        Self {
            subscriptions,
            pacer: Pacer::new(order.profile.pace),
            is_authenticated: shown.is_none(),
            waiting: shown.into_iter().map(Message::text).collect(),
            first_tick: Some(FirstTick { scout: if order.is_replacement { venue.codec() } else { None } }),
            opened: now,
            running_since: now,
            newest_byte: now,
            newest_sent: now,
            has_pinged: false,
            leaves_at: order.profile.lifetime.map(|lifetime| now + age(lifetime)),
            notices: Notices::default(),
            order,
            means,
            socket,
        }
    }

    async fn serve(mut self) -> ConnectionError {
        let mut beat = interval((self.order.silence_max / 8).clamp(Duration::from_millis(5), BEAT));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = self.means.closing.clone();
        loop {
            let now = Instant::now();
            let send_at = self.pacer.ready_at(now);
            let step = tokio::select! {
                () = closing.cancelled() => {
                    self.close().await;
                    return ConnectionError::Stopping;
                }
                Some(go) = self.means.retire.recv() => {
                    self.retire(go).await;
                    return ConnectionError::Replaced;
                }
                message = self.socket.next() => self.message(message).await,
                () = sleep_until(send_at), if !self.waiting.is_empty() => self.send().await,
                _ = beat.tick() => self.beat(Instant::now()).await,
            };
            if let Err(error) = step {
                if !matches!(error, ConnectionError::Cut(_)) {
                    self.close().await;
                }
                return error;
            }
        }
    }

    async fn message(
        &mut self,
        message: Option<Result<Message, SocketError>>,
    ) -> Result<(), ConnectionError> {
        let now = Instant::now();
        (self.newest_byte, self.has_pinged) = (now, false);
        match message {
            None => Err(ConnectionError::Cut(None)),
            Some(Err(error)) => Err(ConnectionError::Cut(Some(Box::new(error)))),
            Some(Ok(Message::Text(text))) => self.frame(Frame::Text(&text)).await,
            Some(Ok(Message::Binary(bytes))) => self.frame(Frame::Binary(&bytes)).await,
            Some(Ok(Message::Ping(_))) => {
                // Its answer goes out with the next read, ahead of everything else.
                self.pacer.count(now);
                Ok(())
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
                let reason = frame.map(|frame| frame.reason.to_string()).filter(|text| !text.is_empty());
                Err(ConnectionError::Closed { code, reason })
            }
        }
    }

    async fn frame(&mut self, frame: Frame<'_>) -> Result<(), ConnectionError> {
        let now = clock::now();
        if let Some(recorder) = &self.means.recorder {
            recorder.note(Direction::In, frame, now.wall);
        }
        let brings_first_tick = self.first_tick.as_mut().is_some_and(|first| first.is_in(frame, now.wall));
        if brings_first_tick {
            self.take_over().await;
        }
        self.take(frame, now);
        self.act().await
    }

    /// One frame into the store; what it says beside that is noted.
    fn take(&mut self, frame: Frame<'_>, now: Moment) {
        let Self { means, subscriptions, notices, is_authenticated, .. } = self;
        let Means { feed, pipeline, .. } = means;
        let at = Instant::from_std(now.at);
        let mut is_changed = false;
        pipeline.frame(frame, now, |heard| match heard {
            Heard::Tick(wire) => {
                notices.ticked = true;
                is_changed |= subscriptions.ticked(wire, at);
            }
            Heard::Reply(text) => notices.replies.push(text),
            Heard::Acknowledged(wire) => {
                if let Some(wire) = wire {
                    feed.not_refused(wire);
                }
                subscriptions.acknowledged(wire);
                is_changed = true;
            }
            Heard::Authenticated => notices.authenticated = true,
            Heard::Refused { wire: None, reason } if !*is_authenticated => {
                let reason = reason.to_owned();
                // Alpaca's 406, "connection limit exceeded"; whoever else has one place says it alike.
                let is_occupied = reason.to_ascii_lowercase().contains("connection limit");
                notices.fatal = Some(if is_occupied {
                    ConnectionError::Occupied { reason }
                } else {
                    ConnectionError::Unauthorized { reason }
                });
            }
            Heard::Refused { wire, reason } => {
                is_changed = true;
                if let Some(wire) = subscriptions.refused(wire, at) {
                    warn!(wire, reason, "a subscription was refused");
                    feed.refused(Some(wire), reason);
                } else {
                    debug!(wire, reason, "the venue refused a request");
                }
            }
            Heard::Reconnect => notices.leaving = true,
        });
        if is_changed {
            feed.acknowledged_count(subscriptions.acknowledged_count());
        }
    }

    /// Acts upon what the last frame said.
    async fn act(&mut self) -> Result<(), ConnectionError> {
        for reply in self.notices.replies.drain(..) {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_front(Message::text(reply.into_owned()));
            }
        }
        self.is_authenticated |= std::mem::take(&mut self.notices.authenticated);
        if std::mem::take(&mut self.notices.leaving) {
            self.leaves_at = None;
            self.report(News::Leaving { reason: "notice" }).await;
        }
        if std::mem::take(&mut self.notices.ticked) && self.first_tick.take().is_some() {
            self.report(News::Serving { go: None }).await;
        }
        self.notices.fatal.take().map_or(Ok(()), Err)
    }

    /// Serves from now on, once the connection that served has brought in its last frames.
    async fn take_over(&mut self) {
        self.first_tick = None;
        let (go, gone) = oneshot::channel();
        self.report(News::Serving { go: Some(go) }).await;
        // Dropped without an answer means the same: there is nothing to wait for.
        let _ = timeout(HANDOVER_MAX, gone).await;
    }

    async fn report(&mut self, news: News) {
        // The supervisor is gone only when the service is about to be.
        let _ = self.means.reports.send(Report { id: self.means.id, news }).await;
    }

    /// Takes the frames that have come, lets the other connection go on, and closes.
    async fn retire(&mut self, go: oneshot::Sender<()>) {
        for _ in 0..LAST_FRAMES_MAX {
            // Outside the budget of the runtime, which would make it look empty after some.
            let Some(message) = tokio::task::unconstrained(self.socket.next()).now_or_never() else { break };
            if self.message(message).await.is_err() {
                break;
            }
        }
        // Nobody waits for it where the other one gave up.
        let _ = go.send(());
        self.close().await;
    }

    /// Sends a close frame and waits a moment for the venue's.
    async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let close = async {
            self.socket.close(Some(frame)).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<(), SocketError>(())
        };
        if !matches!(timeout(CLOSE_MAX, close).await, Ok(Ok(()))) {
            debug!("the venue did not answer our close frame");
        }
    }

    async fn send(&mut self) -> Result<(), ConnectionError> {
        let Some(message) = self.waiting.pop_front() else { return Ok(()) };
        let now = Instant::now();
        self.pacer.count(now);
        // A probe of our own is not what a venue means by a text.
        if message.is_text() || matches!(self.order.profile.ping, Ping::Protocol { .. }) {
            self.newest_sent = now;
        }
        // With a key, what we send may hold it.
        let recorder = self.means.recorder.as_ref().filter(|_| self.order.key.is_none());
        if let (Some(recorder), Message::Text(text)) = (recorder, &message) {
            recorder.note(Direction::Out, Frame::Text(text), clock::wall());
        }
        match timeout(SEND_MAX, self.socket.send(message)).await {
            Ok(Ok(())) => {
                if self.waiting.is_empty() {
                    self.subscriptions.is_out(now);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(ConnectionError::Cut(Some(Box::new(error)))),
            Err(_) => Err(ConnectionError::Dead { quiet_ms: self.newest_byte.elapsed().as_millis() }),
        }
    }

    /// Looks at all clocks.
    async fn beat(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.keep_open(now)?;
        self.expect_ticks(now)?;
        if self.leaves_at.is_some_and(|at| now >= at) {
            self.leaves_at = None;
            self.report(News::Leaving { reason: "lifetime" }).await;
        }
        let waited_for_long = now.saturating_duration_since(self.opened) > TAKE_OVER_MAX;
        let is_due = waited_for_long && self.subscriptions.is_all_sent();
        if self.order.is_replacement && self.first_tick.is_some() && is_due {
            self.take_over().await;
        }
        self.ask(now);
        Ok(())
    }

    /// The transport's clock, and the venue's wish for pings.
    fn keep_open(&mut self, now: Instant) -> Result<(), ConnectionError> {
        let quiet = now.saturating_duration_since(self.newest_byte);
        if quiet > QUIET_MAX * 2 {
            return Err(ConnectionError::Dead { quiet_ms: quiet.as_millis() });
        }
        let unsent = now.saturating_duration_since(self.newest_sent);
        let ping = match self.order.profile.ping {
            Ping::Text { text, every } if unsent >= every => Some(Message::text(text)),
            Ping::Protocol { every } if unsent >= every => Some(Message::Ping(Bytes::new())),
            _ if quiet > QUIET_MAX && !self.has_pinged => {
                self.has_pinged = true;
                Some(Message::Ping(Bytes::new()))
            }
            _ => None,
        };
        if let Some(ping) = ping {
            // One that waits already is enough.
            if !self.waiting.contains(&ping) {
                self.waiting.push_front(ping);
            }
        }
        Ok(())
    }

    /// The data's clock. It stands still while nothing is to be expected: the market is not open, or the venue has
    /// refused everything.
    fn expect_ticks(&mut self, now: Instant) -> Result<(), ConnectionError> {
        let is_open = !self.order.has_hours || hours::session_at(clock::wall()).phase == hours::Phase::Open;
        if !is_open || self.subscriptions.is_all_refused() {
            self.running_since = now;
            return Ok(());
        }
        let newest = self.subscriptions.newest().map_or(self.running_since, |at| at.max(self.running_since));
        let silence = now.saturating_duration_since(newest);
        if silence <= self.order.silence_max {
            return Ok(());
        }
        self.means.feed.enter(FeedState::Silent);
        Err(ConnectionError::Silent { silence_ms: silence.as_millis() })
    }

    /// Asks for what is due, once what was asked for before has gone out.
    fn ask(&mut self, now: Instant) {
        if !self.waiting.is_empty() || !self.is_authenticated {
            return;
        }
        let wires = self.subscriptions.due(now);
        if wires.is_empty() {
            return;
        }
        let frames = self.means.pipeline.subscribe(&wires);
        self.subscriptions.sent_as(frames.len());
        self.waiting.extend(frames.into_iter().map(Message::text));
    }
}

impl FirstTick {
    /// Whether a replacement's frame brings a live tick.
    fn is_in(&mut self, frame: Frame<'_>, ts_recv: UnixNanos) -> bool {
        let Some(scout) = &mut self.scout else { return false };
        let mut events = Events::default();
        // What cannot be understood is counted by the pipeline.
        scout.decode(frame, ts_recv, &mut events).is_ok()
            && events.iter().any(|event| match event {
                Event::Trade(trade) => !trade.backfill,
                Event::Quote(_) | Event::Summary(_) => true,
                _ => false,
            })
    }
}

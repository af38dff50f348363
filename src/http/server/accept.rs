//! Takes connections off the listener as long as there is room for them, and turns the others away: what is not taken
//! would wait in the kernel's queue, and its client for an answer.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::http::State;
use crate::http::limits::AcceptRate;
use crate::http::problem::{Kind, MEDIA_TYPE, Problem};
use crate::metrics::Metrics;

/// After an accept that failed and could not be helped the loop pauses: trying at once would spin.
const PAUSE: Duration = Duration::from_millis(50);
/// A burst of failures is over when there was none for this long.
const BURST_END: Duration = Duration::from_secs(10);
/// Who is turned away has so long to ask, so that the answer is read: with something unread of theirs, our kernel would
/// send a reset after it, and theirs would throw the answer away.
const ASK_MAX: Duration = Duration::from_millis(20);
/// Who is turned away at once with an answer; others just are closed.
const TURNED_AWAY_MAX: usize = 64;
/// What is read of who is turned away.
const READ_MAX: usize = 16 << 10;

/// A connection, with its place among those open.
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) counted: Counted,
}

/// One of the connections that are open. Dropping it counts it out.
pub(super) struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections_open.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections_open.dec();
    }
}

/// The door of the server.
pub(super) struct Acceptor {
    listener: TcpListener,
    metrics: Arc<Metrics>,
    connections_max: i64,
    /// Whether clients expect an answer without a handshake.
    is_plain: bool,
    pace: AcceptRate,
    /// The last connection is not paid for yet.
    owes: bool,
    /// A descriptor for bad days: given up when there are no others, it makes room to take one connection and close it.
    reserve: Option<File>,
    paused_until: Option<Instant>,
    burst: Option<Burst>,
    turned_away: JoinSet<()>,
}

/// Failures that come together, and are told together.
struct Burst {
    last: Instant,
    failures: u64,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, state: &State) -> Self {
        let connections_max = state.http.connections_max(state.limits.config());
        Self {
            listener,
            metrics: Arc::clone(&state.metrics),
            connections_max: connections_max.into(),
            is_plain: state.http.tls.is_none(),
            pace: AcceptRate::new(state.limits.config().accepts_per_second),
            owes: false,
            reserve: None,
            paused_until: None,
            burst: None,
            turned_away: JoinSet::new(),
        }
    }

    /// The next connection that there is room for. May be dropped at any time: then nobody is lost but who was just
    /// being turned away.
    pub(super) async fn next(&mut self) -> Accepted {
        loop {
            // Paid for afterwards: this future may be dropped while it waits, and nothing must be paid for nobody.
            if self.owes {
                match self.pace.take() {
                    Ok(()) => self.owes = false,
                    Err(wait) => self.paused_until = Some(Instant::now() + wait),
                }
            }
            if let Some(until) = self.paused_until {
                sleep_until(until).await;
                self.paused_until = None;
                continue;
            }
            if self.reserve.is_none() {
                // Any file will do. Where there is no descriptor for it, there may be one next time.
                self.reserve = File::open("/dev/null").ok();
            }
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    self.end_burst();
                    self.owes = true;
                    if self.metrics.connections_open.get() < self.connections_max {
                        return Accepted { socket, peer, counted: Counted::new(&self.metrics) };
                    }
                    self.has_no_room(socket);
                }
                Err(error) => self.failed(&error).await,
            }
        }
    }

    fn has_no_room(&mut self, socket: TcpStream) {
        while self.turned_away.try_join_next().is_some() {}
        self.metrics.limited.get_or_create(&crate::metrics::ByLimit { limit: "connections" }).inc();
        if self.turned_away.len() < TURNED_AWAY_MAX {
            self.turned_away.spawn(turn_away(socket, self.is_plain));
        }
    }

    async fn failed(&mut self, error: &io::Error) {
        self.metrics.accept_errors.inc();
        self.tell(error);
        if is_out_of_descriptors(error) && self.reserve.take().is_some() {
            // It is there already; unless somebody else took the descriptor.
            if let Ok(Ok((socket, _))) = timeout(PAUSE, self.listener.accept()).await {
                return turn_away(socket, self.is_plain).await;
            }
        }
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    fn tell(&mut self, error: &io::Error) {
        self.end_burst();
        let now = Instant::now();
        let burst = self.burst.get_or_insert_with(|| {
            let error = error as &dyn std::error::Error;
            warn!(error, "connections cannot be accepted and are turned away");
            Burst { last: now, failures: 0 }
        });
        burst.last = now;
        burst.failures += 1;
    }

    fn end_burst(&mut self) {
        if let Some(Burst { failures, .. }) = self.burst.take_if(|burst| burst.last.elapsed() >= BURST_END) {
            info!(failures, "connections are accepted again");
        }
    }
}

/// Out of descriptors: the process (`EMFILE`) or the machine (`ENFILE`), numbered alike on Linux and macOS.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Says that there is no room, and closes.
async fn turn_away(socket: TcpStream, is_plain: bool) {
    if !is_plain || timeout(ASK_MAX, socket.readable()).await.is_err() {
        return;
    }
    let mut asked = vec![0; READ_MAX];
    let Ok(count @ 1..) = socket.try_read(&mut asked) else { return };
    // A browser's EventSource would be dead for good after a 503, and comes back after a connection that just ends.
    if !is_event_source(&asked[..count]) {
        // A client that takes no answer of this size has no use for one.
        let _ = socket.try_write(&no_room());
    }
}

fn is_event_source(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().any(|line| {
        line.strip_prefix("accept:").is_some_and(|accepted| accepted.trim() == "text/event-stream")
    })
}

fn no_room() -> Vec<u8> {
    let seconds = rand::rng().random_range(5..15);
    let detail = format!("no other connection can be taken now; try again in {seconds} s");
    let body = Problem::new(Kind::Overloaded, detail).body();
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\nretry-after: {seconds}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

//! HTTP/2 on one connection: hyper makes a task for each of its streams, and they are this connection's own.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument as _, Span, debug, error};

use super::connection::Serving;
use super::outgoing::Answering;
use super::window::Watched;
use crate::http::link::{Link, Patience};

/// Streams that one connection has open. Clients know it and wait with more: a page that opens one stream per symbol
/// fits, and a connection cannot take a node for itself. What it may have of price streams is said by `[limits]`.
const STREAMS_MAX: u32 = 250;
/// What a client may send of a request's body unasked: no body may be longer, so none ever waits.
const STREAM_WINDOW: u32 = 64 << 10;
/// And of all bodies together, of which there seldom is one: clients send parameters.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// What h2 holds of one stream while the socket takes nothing. A piece that does not fit waits in the body, where no
/// newer one is made; and all streams of one connection hold 4 MiB at most.
const SEND_BUFFER_MAX: usize = 16 << 10;
/// A request's head, as HTTP/2 counts it (each header with 32 bytes on top): four times a URL of ours. More is 431.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// A client that answers no ping is gone. The kernel's own probes are answered by a client's kernel, or by a proxy's, on
/// behalf of a process that hangs.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// Rapid reset (CVE-2023-44487): requests that were taken back before we had looked at them. A browser that leaves a
/// page takes back a handful; with more of them the connection ends (`ENHANCE_YOUR_CALM`).
const TAKEN_BACK_MAX: usize = 32;
/// Streams that we had to reset for a client's breaking the protocol (CVE-2025-8671). Then the connection ends.
const BROKEN_MAX: usize = 32;
/// A connection that asked nothing for too long is told so, and has so long to send what crossed that.
const GOODBYE_MAX: Duration = Duration::from_secs(10);

impl Serving {
    /// Serves HTTP/2 on a connection to its end.
    pub(super) async fn http2<S>(self: Arc<Self>, socket: S, link: Link, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let streams = Streams::default();
        let service = service_fn(|request| {
            let (serving, answering) = (Arc::clone(&self), Answering::new(&link));
            // In a task of its own, yet within the connection's span.
            async move { serving.answer(request, peer, answering, None).await }.instrument(Span::current())
        });
        let executor = Executor {
            streams: Arc::downgrade(&streams.0),
            link: link.clone(),
            stall_max: self.state.stream.stall_max,
        };
        let mut serving = pin!(
            http2::Builder::new(executor)
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER_MAX)
                .max_header_list_size(HEAD_BYTES_MAX)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_ANSWERED_WITHIN)
                .max_pending_accept_reset_streams(TAKEN_BACK_MAX)
                .max_local_error_reset_streams(BROKEN_MAX)
                .serve_connection(TokioIo::new(socket), service)
        );
        let mut patience = Patience::default();
        let early = tokio::select! {
            ended = std::future::poll_fn(|cx| streams.drive(serving.as_mut(), cx)) => Some(ended),
            () = std::future::poll_fn(|cx| patience.poll(&link, cx)) => None,
            () = self.closing.cancelled() => None,
        };
        let ended = if let Some(ended) = early {
            ended
        } else {
            // GOAWAY: what is open goes on to its end, which for a price stream is its `bye`.
            serving.as_mut().graceful_shutdown();
            loop {
                let rest = std::future::poll_fn(|cx| streams.drive(serving.as_mut(), cx));
                match timeout(GOODBYE_MAX, rest).await {
                    Ok(ended) => break ended,
                    Err(_) if link.is_busy() => {}
                    Err(_) => break Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
        }
        streams.end().await;
    }
}

/// The tasks of one connection's streams. Dropping this ends them.
#[derive(Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl Streams {
    /// Goes on with the connection, and buries the tasks that have ended.
    fn drive<T>(&self, connection: Pin<&mut impl Future<Output = T>>, cx: &mut Context<'_>) -> Poll<T> {
        let ended = connection.poll(cx);
        while let Poll::Ready(Some(task)) = lock(&self.0).poll_join_next(cx) {
            if let Err(failure) = task {
                error!(error = &failure as &dyn std::error::Error, "a stream's task failed");
            }
        }
        ended
    }

    /// Cuts what is left, and waits until it is gone.
    async fn end(self) {
        let mut tasks = std::mem::take(&mut *lock(&self.0));
        tasks.shutdown().await;
    }
}

fn lock(tasks: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes hyper's tasks. Weak, since each of them holds a clone: the set would never go.
#[derive(Clone)]
struct Executor {
    streams: Weak<Mutex<JoinSet<()>>>,
    link: Link,
    stall_max: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, work: F) {
        // Where the connection is gone, so is who wants this.
        if let Some(streams) = self.streams.upgrade() {
            lock(&streams).spawn(Watched::new(work, self.link.clone(), self.stall_max));
        }
    }
}

//! One connection: hyper reads its requests and writes its answers; a stream on plain HTTP/1.1 takes the socket along
//! to the hub once its head is out.
//!
//! What hyper keeps for a connection (its buffers, its task, its state) is many times what a stream needs, and an idle
//! stream would hold it for hours.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::{Instrument as _, debug, warn};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{Method, Request, Response, StatusCode, Version, header};

use super::accept::Accepted;
use super::door::{Arrival, Doors};
use super::outgoing::{Answering, Handover, Outgoing};
use super::proxied::{self, BadHeader, Said};
use super::request::{Asked, connection_span, note_client};
use super::tls::{Protocol, Tls};
use crate::http::link::{HEAD_MAX, Link, Progress};
use crate::http::problem::{Kind, Problem};
use crate::http::stream::PriceStream;
use crate::http::{Answer, Probe, State, client};
use crate::metrics::ByReason;

/// Bytes the kernel keeps for a client that does not read. Its default grows to 4 MiB a connection.
const SEND_BUFFER: usize = 64 << 10;
/// A silent peer is probed after this long, and given up after three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A peer whose kernel acknowledges nothing is not given up before this: a mobile network may be away for so long.
const UNACKNOWLEDGED_MIN: Duration = Duration::from_secs(10);
/// What a request head may have. Longer ones are answered 431 by hyper, unread.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Headers of a request. On HTTP/1.1 it is hyper's own default, answered 431; set there, it would cost an allocation a
/// request.
const HEADERS_MAX: usize = 100;
/// While stopping, a connection that has asked nothing yet has so long to do it.
const LATE_REQUEST_MAX: Duration = Duration::from_secs(1);

/// Who sent a request, as a request extension: `warp::addr` knows only its own server's connections.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What all connections share.
pub(super) struct Serving {
    routes: BoxedFilter<(Answer,)>,
    pub(super) state: State,
    pub(super) closing: CancellationToken,
    doors: Doors,
    tls: Option<Arc<Tls>>,
    /// That a proxy says nothing good ahead of its connections was told.
    told_bad_header: AtomicBool,
}

/// How a connection ended for hyper.
enum End {
    /// By itself.
    Closed(Result<(), hyper::Error>),
    /// With a stream whose head is out: from here on it needs no hyper.
    Stream(Box<PriceStream>),
    /// It asked nothing in time, while the server is stopping.
    Late,
}

impl Serving {
    /// Serves the routes; streams that need no hyper go to the hub.
    pub(super) fn new(state: State, closing: CancellationToken, doors: Doors, tls: Option<Arc<Tls>>) -> Self {
        let routes = crate::http::routes(state.clone()).boxed();
        Self { routes, state, closing, doors, tls, told_bad_header: AtomicBool::new(false) }
    }

    /// Serves one connection to its end.
    pub(super) fn connection(self: Arc<Self>, accepted: Accepted) -> impl Future<Output = ()> + Send + use<> {
        self.serve(accepted).instrument(connection_span())
    }

    async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { mut socket, mut peer, counted } = accepted;
        let stall_max = self.state.stream.stall_max;
        if let Err(error) = tune(&socket, stall_max) {
            debug!(%peer, error = &error as &dyn std::error::Error, "a socket option could not be set");
        }
        if client::speaks_ahead(&self.state.http, peer.ip()) {
            let Some(client) = Box::pin(self.client_behind(&mut socket, peer)).await else { return };
            peer = client;
        }
        note_client(peer);
        let link = Link::default();
        let socket = Progress::new(socket, link.clone(), stall_max);
        if let Some(tls) = self.tls.clone() {
            // On the heap, so that the connections without are not as large as these.
            return Box::pin(self.secure(&tls, socket, link, peer)).await;
        }
        let direct = self.state.http.direct_streams;
        if let Some((socket, stream)) = self.http1(socket, link, peer, direct).await {
            match socket.into_socket().into_std() {
                Ok(socket) => self.doors.enter(Arrival { socket, stream: *stream, counted }),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(%peer, error, "a stream's socket could not be taken over");
                }
            }
        }
    }

    /// Who opened a connection that a trusted proxy passes on, as it says ahead of everything else; itself where it says
    /// nobody. `None` where there is nothing to serve.
    async fn client_behind(&self, socket: &mut TcpStream, proxy: SocketAddr) -> Option<SocketAddr> {
        let late = async {
            self.closing.cancelled().await;
            tokio::time::sleep(LATE_REQUEST_MAX).await;
        };
        let read = tokio::select! {
            read = tokio::time::timeout(HEAD_MAX, proxied::read(socket)) => read,
            () = late => return None,
        };
        match read.unwrap_or(Err(BadHeader::Slow)) {
            Ok(Said::Client(client)) => Some(client),
            Ok(Said::Nobody) => Some(proxy),
            Ok(Said::Gone) => None,
            Err(error) => {
                let reason = error.reason();
                self.state.metrics.proxy_headers_refused.get_or_create(&ByReason { reason }).inc();
                let error = &error as &dyn std::error::Error;
                // It may be every connection there is, and then nobody else tells why.
                if !self.told_bad_header.swap(true, Ordering::Relaxed) {
                    warn!(%proxy, error, "a trusted proxy's connection is closed; the next ones at level debug");
                }
                debug!(%proxy, error, "a trusted proxy's connection is closed");
                None
            }
        }
    }

    /// Serves one connection from its handshake on. Only here is there HTTP/2: over plain TCP clients would have to
    /// know beforehand (h2c), which no browser does.
    async fn secure(self: Arc<Self>, tls: &Tls, socket: Progress<TcpStream>, link: Link, peer: SocketAddr) {
        let mut socket = match tls.accept(socket).await {
            Ok(socket) => socket,
            Err(error) => {
                return debug!(%peer, error = &error as &dyn std::error::Error, "no TLS handshake");
            }
        };
        match Protocol::of(&socket) {
            Protocol::Http1 => {
                socket.get_mut().0.begin();
                self.http1(socket, link, peer, false).await;
            }
            Protocol::Http2 => {
                socket.get_mut().0.read_patiently();
                self.http2(socket, link, peer).await;
            }
        }
    }

    /// Serves HTTP/1.1 on a connection to its end, or, where streams are taken `direct`, to the moment when the head of
    /// one is out.
    async fn http1<S: AsyncRead + AsyncWrite + Send + Unpin>(
        &self,
        socket: S,
        link: Link,
        peer: SocketAddr,
        direct: bool,
    ) -> Option<(S, Box<PriceStream>)> {
        let ready = Handover::default();
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            Box::pin(self.answer(request, peer, Answering::new(&link), direct.then(|| ready.clone())))
        });
        let mut serving = http1::Builder::new()
            // The link times heads, silence and writes itself.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(socket), service);
        let mut poll = |cx: &mut Context<'_>, stopping: bool| {
            if stopping {
                // Ends at once where nothing is being answered. To say it again does no harm.
                Pin::new(&mut serving).graceful_shutdown();
            }
            match Pin::new(&mut serving).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(End::Closed(ended)),
                Poll::Pending if link.is_blocked() => Poll::Pending,
                // Hyper has written all it had, and would now wait with the stream's first bytes.
                Poll::Pending => {
                    ready.take().map_or(Poll::Pending, |stream| Poll::Ready(End::Stream(stream)))
                }
            }
        };
        let ended = tokio::select! {
            ended = std::future::poll_fn(|cx| poll(cx, false)) => ended,
            () = self.closing.cancelled() => {
                // One that has never asked may just have connected: hyper would close it unread.
                let first = std::future::poll_fn(|cx| match poll(cx, false) {
                    Poll::Pending if link.requests() > 0 => Poll::Ready(None),
                    other => other.map(Some),
                });
                match tokio::time::timeout(LATE_REQUEST_MAX, first).await {
                    Ok(Some(ended)) => ended,
                    Ok(None) => std::future::poll_fn(|cx| poll(cx, true)).await,
                    Err(_) => End::Late,
                }
            }
        };
        match ended {
            End::Stream(stream) => return Some((serving.into_parts().io.into_inner(), stream)),
            End::Closed(Err(error)) => {
                debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
            }
            End::Closed(Ok(())) | End::Late => {}
        }
        None
    }

    /// What every answer has in common: CORS, `HEAD`, `OPTIONS`, and the body that a stream brings along.
    pub(super) async fn answer(
        &self,
        mut request: Request<hyper::body::Incoming>,
        peer: SocketAddr,
        answering: Answering,
        ready: Option<Handover>,
    ) -> Result<Response<Outgoing<impl Body<Data = Bytes, Error = warp::Error> + use<>>>, Infallible> {
        let asked = Asked::new(&request);
        let head = request.method() == Method::HEAD;
        let ready = ready.filter(|_| request.version() == Version::HTTP_11);
        request.extensions_mut().insert(Peer(peer));
        let origin = request.headers().get(header::ORIGIN).cloned();
        let cors = &self.state.cors;
        let mut answer = if request.method() == Method::OPTIONS {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            cors.preflight(answer.headers_mut());
            answer
        } else if request.headers().len() > HEADERS_MAX {
            too_many_headers(request.headers().len())
        } else {
            if head {
                // A probe must not open a stream: the routes see it by the extension.
                request.extensions_mut().insert(Probe);
                *request.method_mut() = Method::GET;
            }
            let answering = warp::service(self.routes.clone()).call(request);
            let Ok(answer) = answering.instrument(asked.span().clone()).await;
            answer
        };
        cors.allow(origin.as_ref(), answer.headers_mut());
        asked.answered(&self.state.metrics, answer.status());
        let stream = answer.extensions_mut().remove::<Handover>().and_then(|handover| handover.take());
        Ok(answer.map(|other| match stream {
            None => Outgoing::other(other, head, answering),
            Some(stream) => Outgoing::stream(stream, ready, &self.state, answering),
        }))
    }
}

fn too_many_headers(count: usize) -> Answer {
    let detail = format!("the request has {count} headers");
    Problem::new(Kind::TooManyHeaders, detail).expecting(format!("at most {HEADERS_MAX}")).answer()
}

fn tune(socket: &TcpStream, stall_max: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // Who has vanished acknowledges nothing. By default the kernel tries again for a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(stall_max.max(UNACKNOWLEDGED_MIN)))?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn p17_no_write_waits_for_the_one_before_to_be_acknowledged() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("open");
        assert!(!socket.nodelay().expect("readable"));
        tune(&socket, Duration::from_secs(30)).expect("tuned");
        assert!(socket.nodelay().expect("readable"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn p55_a_peer_that_vanished_is_given_up_by_the_kernel_as_soon_as_one_that_reads_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("open");
        for (stall_max, given_up) in [(30, 30), (1, 10)] {
            tune(&socket, Duration::from_secs(stall_max)).expect("tuned");
            let timeout = SockRef::from(&socket).tcp_user_timeout().expect("readable");
            assert_eq!(timeout, Some(Duration::from_secs(given_up)));
        }
    }
}

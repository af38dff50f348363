//! Accepts connections and serves the routes on them: our own loop over hyper, because `warp::serve` sets no
//! `TCP_NODELAY`, times no request head and waits for ever for open streams when stopping.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::{debug, warn};
use warp::Filter;
use warp::http::{Method, Request, Response, StatusCode, header};

use super::cors::Cors;
use super::link::{Link, Progress};
use super::stream::PriceStream;
use super::{Answer, State};

/// Connections waiting to be accepted: a burst of browsers coming back must not be refused. The kernel cuts it
/// to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;
/// Bytes the kernel keeps for a client that does not read. Its default grows to 4 MiB a connection.
const SEND_BUFFER: usize = 64 << 10;
/// A silent peer is probed after this long, and given up after three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What a request head may have. Longer ones are answered 431 by hyper, unread.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// What a request line may have: some 2,000 symbols.
pub(super) const URL_BYTES_MAX: usize = 16 << 10;
/// While stopping, a connection that has asked nothing yet has so long to do it.
const LATE_REQUEST_MAX: Duration = Duration::from_secs(1);
/// After a failed accept (out of descriptors, most of the time) the loop pauses: trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds the address that clients connect to.
///
/// # Errors
///
/// Where it cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restart must not wait for the last run's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Who sent a request, as a request extension: `warp::addr` knows only its own server's connections.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves until `closing` is cancelled and every connection has ended, each by its own will: streams with their
/// `bye`, others after their answer.
pub async fn serve(listener: TcpListener, state: State, closing: CancellationToken) {
    let routes = super::routes(state.clone());
    let mut connections = JoinSet::new();
    let spawn = |connections: &mut JoinSet<()>, accepted: io::Result<(TcpStream, SocketAddr)>| match accepted
    {
        Ok((socket, peer)) => {
            connections.spawn(connection(socket, peer, routes.clone(), state.clone(), closing.clone()));
            None
        }
        Err(error) => {
            state.metrics.accept_errors.inc();
            warn!(error = &error as &dyn std::error::Error, "a connection could not be accepted");
            Some(ACCEPT_PAUSE)
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = closing.cancelled() => break,
        };
        if let Some(pause) = spawn(&mut connections, accepted) {
            tokio::time::sleep(pause).await;
        }
    }
    // While the open streams say good-bye, new requests are told that this node is about to stop.
    let mut late = JoinSet::new();
    loop {
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { break },
            accepted = listener.accept() => if let Some(pause) = spawn(&mut late, accepted) {
                tokio::time::sleep(pause).await;
            },
            Some(_) = late.join_next() => {}
        }
    }
    drop(listener);
    while late.join_next().await.is_some() {}
}

async fn connection<F>(
    socket: TcpStream,
    peer: SocketAddr,
    routes: F,
    state: State,
    closing: CancellationToken,
) where
    F: Filter<Extract = (Answer,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    if let Err(error) = tune(&socket) {
        debug!(%peer, error = &error as &dyn std::error::Error, "a socket option could not be set");
    }
    let link = Link::default();
    let io = TokioIo::new(Progress::new(socket, link.clone(), state.stream.stall_max));
    let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
        link.asked();
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(link.clone());
        answer(request, routes.clone(), state.cors.clone(), link.clone())
    });
    let serving = http1::Builder::new()
        // The link times heads, silence and writes itself.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closing.cancelled() => {
            // One that has never asked may just have connected: hyper would close it unread.
            let first = std::future::poll_fn(|cx| match serving.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if link.requests() > 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            match tokio::time::timeout(LATE_REQUEST_MAX, first).await {
                Ok(Some(ended)) => return log_end(peer, ended),
                Ok(None) => {}
                Err(_) => return,
            }
            // Ends at once where nothing is being answered.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    log_end(peer, ended);
}

fn log_end(peer: SocketAddr, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3))
}

/// What every answer has in common: CORS, `HEAD`, `OPTIONS`, and the body that a stream brings along.
async fn answer<F>(
    mut request: Request<hyper::body::Incoming>,
    routes: F,
    cors: Arc<Cors>,
    link: Link,
) -> Result<Response<Outgoing<impl Body<Data = Bytes, Error = warp::Error>>>, Infallible>
where
    F: Filter<Extract = (Answer,), Error = Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let head = request.method() == Method::HEAD;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut answer = if request.method() == Method::OPTIONS {
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::NO_CONTENT;
        cors.preflight(answer.headers_mut());
        answer
    } else {
        if head {
            // A probe must not open a stream: the routes see it by the extension.
            request.extensions_mut().insert(super::Probe);
            *request.method_mut() = Method::GET;
        }
        let Ok(answer) = warp::service(routes).call(request).await;
        answer
    };
    cors.allow(origin.as_ref(), answer.headers_mut());
    let stream = answer.extensions_mut().remove::<Handover>().and_then(Handover::take);
    let body =
        |other| Outgoing { body: stream.map_or(Kind::Other { body: other, head }, Kind::Prices), link };
    Ok(answer.map(body))
}

/// A stream on its way from its route to the connection, beside the empty body of warp's answer. The connection
/// needs the stream itself: a boxed body can neither be told to hold back nor be taken over.
#[derive(Clone)]
pub(super) struct Handover(Arc<std::sync::Mutex<Option<Box<PriceStream>>>>);

impl Handover {
    pub(super) fn new(stream: PriceStream) -> Self {
        Self(Arc::new(std::sync::Mutex::new(Some(Box::new(stream)))))
    }

    fn take(self) -> Option<Box<PriceStream>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

/// The body that hyper sends.
struct Outgoing<B> {
    body: Kind<B>,
    link: Link,
}

enum Kind<B> {
    Prices(Box<PriceStream>),
    Other { body: B, head: bool },
}

impl<B: Body<Data = Bytes, Error = warp::Error> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, warp::Error>>> {
        match &mut self.body {
            Kind::Prices(stream) => stream.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Other { head: true, .. } => Poll::Ready(None),
            Kind::Other { body, head: false } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Prices(_) => false,
            Kind::Other { body, head } => *head || body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Prices(_) => SizeHint::default(),
            Kind::Other { body, .. } => body.size_hint(),
        }
    }
}

impl<B> Drop for Outgoing<B> {
    fn drop(&mut self) {
        self.link.answered();
    }
}

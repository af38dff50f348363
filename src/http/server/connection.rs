//! One connection: hyper reads its requests and writes its answers; a stream on plain HTTP/1.1 takes the socket along
//! to the hub once its head is out.
//!
//! What hyper keeps for a connection (its buffers, its task, its state) is many times what a stream needs, and an idle
//! stream would hold it for hours.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::{debug, warn};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{Method, Request, Response, StatusCode, Version, header};

use super::door::{Arrival, Doors};
use crate::http::body::StreamBody;
use crate::http::link::{Link, Progress};
use crate::http::stream::PriceStream;
use crate::http::{Answer, Probe, State};

/// Bytes the kernel keeps for a client that does not read. Its default grows to 4 MiB a connection.
const SEND_BUFFER: usize = 64 << 10;
/// A silent peer is probed after this long, and given up after three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What a request head may have. Longer ones are answered 431 by hyper, unread.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// While stopping, a connection that has asked nothing yet has so long to do it.
const LATE_REQUEST_MAX: Duration = Duration::from_secs(1);

/// Who sent a request, as a request extension: `warp::addr` knows only its own server's connections.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What all connections share.
pub(super) struct Serving {
    routes: BoxedFilter<(Answer,)>,
    state: State,
    closing: CancellationToken,
    doors: Doors,
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
    pub(super) fn new(state: State, closing: CancellationToken, doors: Doors) -> Self {
        Self { routes: crate::http::routes(state.clone()).boxed(), state, closing, doors }
    }

    /// Serves one connection to its end.
    pub(super) async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        if let Err(error) = tune(&socket) {
            debug!(%peer, error = &error as &dyn std::error::Error, "a socket option could not be set");
        }
        let (link, ready) = (Link::default(), Handover::default());
        let io = TokioIo::new(Progress::new(socket, link.clone(), self.state.stream.stall_max));
        let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
            link.asked();
            request.extensions_mut().insert(Peer(peer));
            Box::pin(self.answer(request, link.clone(), ready.clone()))
        });
        let mut serving = http1::Builder::new()
            // The link times heads, silence and writes itself.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        // Hyper has written all it had, and would now wait with the stream's first bytes.
        let mut poll = |cx: &mut Context<'_>| match Pin::new(&mut serving).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(End::Closed(ended)),
            Poll::Pending if link.is_blocked() => Poll::Pending,
            Poll::Pending => ready.take().map_or(Poll::Pending, |stream| Poll::Ready(End::Stream(stream))),
        };
        let ended = tokio::select! {
            ended = std::future::poll_fn(&mut poll) => ended,
            () = self.closing.cancelled() => {
                // One that has never asked may just have connected: hyper would close it unread.
                let first = std::future::poll_fn(|cx| match poll(cx) {
                    Poll::Pending if link.requests() > 0 => Poll::Ready(None),
                    other => other.map(Some),
                });
                match tokio::time::timeout(LATE_REQUEST_MAX, first).await {
                    Ok(Some(ended)) => ended,
                    Ok(None) => {
                        // Ends at once where nothing is being answered.
                        Pin::new(&mut serving).graceful_shutdown();
                        std::future::poll_fn(|cx| match Pin::new(&mut serving).poll(cx) {
                            Poll::Ready(ended) => Poll::Ready(End::Closed(ended)),
                            Poll::Pending if link.is_blocked() => Poll::Pending,
                            Poll::Pending => ready.take().map_or(Poll::Pending, |stream| Poll::Ready(End::Stream(stream))),
                        }).await
                    }
                    Err(_) => End::Late,
                }
            }
        };
        match ended {
            End::Stream(stream) => {
                let socket = serving.into_parts().io.into_inner().into_socket();
                self.hand_over(socket, *stream, peer);
            }
            End::Closed(Err(error)) => {
                debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
            }
            End::Closed(Ok(())) | End::Late => {}
        }
    }

    fn hand_over(&self, socket: TcpStream, stream: PriceStream, peer: SocketAddr) {
        match socket.into_std() {
            Ok(socket) => self.doors.enter(Arrival { socket, stream }),
            Err(error) => {
                warn!(%peer, error = &error as &dyn std::error::Error, "a stream's socket could not be taken over");
            }
        }
    }

    /// What every answer has in common: CORS, `HEAD`, `OPTIONS`, and the body that a stream brings along.
    async fn answer(
        &self,
        mut request: Request<hyper::body::Incoming>,
        link: Link,
        ready: Handover,
    ) -> Result<Response<Outgoing<impl Body<Data = Bytes, Error = warp::Error> + use<>>>, Infallible> {
        let head = request.method() == Method::HEAD;
        let takes_socket = request.version() == Version::HTTP_11 && self.state.http.direct_streams;
        let origin = request.headers().get(header::ORIGIN).cloned();
        let cors = &self.state.cors;
        let mut answer = if request.method() == Method::OPTIONS {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            cors.preflight(answer.headers_mut());
            answer
        } else {
            if head {
                // A probe must not open a stream: the routes see it by the extension.
                request.extensions_mut().insert(Probe);
                *request.method_mut() = Method::GET;
            }
            let Ok(answer) = warp::service(self.routes.clone()).call(request).await;
            answer
        };
        cors.allow(origin.as_ref(), answer.headers_mut());
        let stream = answer.extensions_mut().remove::<Handover>().and_then(|handover| handover.take());
        let state = &self.state;
        Ok(answer.map(|other| {
            let body = match stream {
                None => Kind::Other { body: other, head },
                Some(stream) if takes_socket => Kind::Ready { stream: Some(stream), ready },
                Some(stream) => Kind::Stream(Box::new(StreamBody::new(*stream, state.clone(), link.clone()))),
            };
            Outgoing { body, link }
        }))
    }
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3))
}

/// A stream on its way: from its route to the answer's body, beside the empty body of warp's answer, and from there,
/// once the head is written, to who takes the socket. A boxed body could neither be told to hold back nor be taken over.
#[derive(Clone, Default)]
pub(in crate::http) struct Handover(Arc<Mutex<Option<Box<PriceStream>>>>);

impl Handover {
    pub(in crate::http) fn new(stream: PriceStream) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(stream)))))
    }

    fn put(&self, stream: Box<PriceStream>) {
        *self.lock() = Some(stream);
    }

    fn take(&self) -> Option<Box<PriceStream>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<PriceStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body that hyper sends.
struct Outgoing<B> {
    body: Kind<B>,
    link: Link,
}

enum Kind<B> {
    /// A stream that stays with hyper.
    Stream(Box<StreamBody>),
    /// One that waits for its head to be written.
    Ready {
        stream: Option<Box<PriceStream>>,
        ready: Handover,
    },
    Other {
        body: B,
        head: bool,
    },
}

impl<B: Body<Data = Bytes, Error = warp::Error> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, warp::Error>>> {
        match &mut self.body {
            Kind::Stream(stream) => stream.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Ready { stream, ready } => {
                // Hyper asks for the body when it has the head.
                if let Some(stream) = stream.take() {
                    ready.put(stream);
                }
                Poll::Pending
            }
            Kind::Other { head: true, .. } => Poll::Ready(None),
            Kind::Other { body, head: false } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Stream(_) | Kind::Ready { .. } => false,
            Kind::Other { body, head } => *head || body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Stream(_) | Kind::Ready { .. } => SizeHint::default(),
            Kind::Other { body, .. } => body.size_hint(),
        }
    }
}

impl<B> Drop for Outgoing<B> {
    fn drop(&mut self) {
        self.link.answered();
    }
}

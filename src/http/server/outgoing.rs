//! The body that hyper sends: a stream that stays with hyper, one that leaves it, or any other answer's.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::window::Window;
use crate::http::State;
use crate::http::body::StreamBody;
use crate::http::link::Link;
use crate::http::stream::PriceStream;

/// The most that is given to an HTTP/2 stream at once. h2 takes a piece whole as soon as there is window for a byte of
/// it, so a stream without window holds two of these at most; and whoever takes one within `stall_max` is only slow.
const PIECE_MAX: usize = 8 << 10;

/// A stream on its way: from its route to the answer's body, beside the empty body of warp's answer, and from there,
/// once the head is written, to who takes the socket. A boxed body could neither be told to hold back nor be taken over.
#[derive(Clone, Default)]
pub(in crate::http) struct Handover(Arc<Mutex<Option<Box<PriceStream>>>>);

impl Handover {
    pub(in crate::http) fn new(stream: PriceStream) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(stream)))))
    }

    pub(in crate::http) fn take(&self) -> Option<Box<PriceStream>> {
        self.lock().take()
    }

    fn put(&self, stream: Box<PriceStream>) {
        *self.lock() = Some(stream);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<PriceStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, from its head to the end of the answer's body, however that ends.
pub(super) struct Answering(Link);

impl Answering {
    pub(super) fn new(link: &Link) -> Self {
        link.asked();
        Self(link.clone())
    }

    pub(super) fn link(&self) -> &Link {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// The body of an answer.
pub(super) struct Outgoing<B> {
    body: Kind<B>,
    /// Only on HTTP/2.
    window: Option<Arc<Window>>,
    /// What of the body's last bytes was not given yet. Nothing more is made until it was.
    rest: Bytes,
    _answering: Answering,
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

impl<B> Outgoing<B> {
    /// The body of a stream. Where there is a handover, it leaves by that as soon as hyper has the head.
    pub(super) fn stream(
        stream: Box<PriceStream>,
        leaves: Option<Handover>,
        state: &State,
        answering: Answering,
    ) -> Self {
        let body = match leaves {
            Some(ready) => Kind::Ready { stream: Some(stream), ready },
            None => Kind::Stream(Box::new(StreamBody::new(*stream, state.clone(), answering.link().clone()))),
        };
        Self::new(body, answering)
    }

    /// Any other body; none of it where only the head was asked for.
    pub(super) fn other(body: B, head: bool, answering: Answering) -> Self {
        Self::new(Kind::Other { body, head }, answering)
    }

    fn new(body: Kind<B>, answering: Answering) -> Self {
        Self { body, window: Window::current(), rest: Bytes::new(), _answering: answering }
    }
}

impl<B: Body<Data = Bytes, Error = warp::Error> + Unpin> Kind<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, warp::Error>>> {
        match self {
            Self::Stream(stream) => stream.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Ready { stream, ready } => {
                // Hyper asks for the body when it has the head.
                if let Some(stream) = stream.take() {
                    ready.put(stream);
                }
                Poll::Pending
            }
            Self::Other { head: true, .. } => Poll::Ready(None),
            Self::Other { body, head: false } => Pin::new(body).poll_frame(cx),
        }
    }
}

impl<B: Body<Data = Bytes, Error = warp::Error> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, warp::Error>>> {
        let Self { body, window, rest, .. } = self.get_mut();
        let Some(window) = window else { return body.poll(cx) };
        window.taken();
        if rest.is_empty() {
            match ready!(body.poll(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => *rest = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE_MAX));
        window.gave();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Stream(_) | Kind::Ready { .. } => false,
            Kind::Other { body, head } => *head || (self.rest.is_empty() && body.is_end_stream()),
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
        if let Kind::Stream(stream) = &mut self.body
            && self.window.as_ref().is_some_and(|window| window.is_cut())
        {
            stream.stall();
        }
    }
}

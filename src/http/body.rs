//! A stream as the body of hyper's answer: it waits by itself, and holds back while the connection takes nothing.
//! Streams over TLS and HTTP/2 go this way; those on plain HTTP/1.1 need not.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::State;
use super::framing::Framing;
use super::link::Link;
use super::stream::{PriceStream, Turn};
use crate::fanout::{Shelf, Waiter};

/// One stream and who wakes it.
pub(super) struct StreamBody {
    stream: PriceStream,
    state: State,
    shelf: Shelf,
    waiter: Waiter,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    link: Link,
}

impl StreamBody {
    pub(super) fn new(stream: PriceStream, state: State, link: Link) -> Self {
        let waiter = Waiter::new(&state.fanout, stream.place());
        let closing = Box::pin(state.closing.clone().cancelled_owned());
        Self { stream, shelf: Shelf::alone(Framing::Bare), waiter, closing, link, state }
    }

    /// Notes that its client took nothing for too long.
    pub(super) fn stall(&mut self) {
        self.stream.stall();
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // What is made now must leave now: behind a blocked write it would be old before it is sent.
        ready!(self.link.poll_writable(cx));
        loop {
            let closing = self.closing.as_mut().poll(cx).is_ready();
            if self.stream.is_outdated(&self.state) {
                self.stream.renew(&self.state, Instant::now());
                self.waiter = Waiter::new(&self.state.fanout, self.stream.place());
            }
            match self.stream.turn(&self.state, &mut self.shelf, Instant::now(), closing) {
                Turn::Say(bytes) => return Poll::Ready(Some(bytes)),
                Turn::Wait(wait) => {
                    ready!(self.waiter.poll(self.stream.place(), &self.state.fanout, wait, cx));
                }
                Turn::Again => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Turn::End => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if self.link.stalled() {
            self.stream.stall();
        }
    }
}

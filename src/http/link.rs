//! The socket under a connection, with patience that ends: for a client that takes no byte, for one that sends
//! its request head byte by byte, and for one that sends nothing at all.
//!
//! While a write is blocked hyper does not poll the body, so no timer inside a body can notice (P54); and it would
//! queue further writes meanwhile, which a stream of newest values must not (they would be old when they leave).
//! Both are settled here, below hyper: [`Progress`] times the write, and [`Link`] tells the body to hold back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A request head, once begun, has to be there whole within this.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// A connection that asks nothing is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a connection and the answers on it tell each other. Every clone is the same connection.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// A write is waiting for the client to take it.
    blocked: AtomicBool,
    /// A request is being answered.
    busy: AtomicBool,
    /// The client took nothing for too long.
    stalled: AtomicBool,
    body: AtomicWaker,
}

impl Link {
    /// Ready when all that was handed over has left: what is made now goes out now.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.0.blocked.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.0.body.register(cx.waker());
        // It may have cleared in between.
        if self.0.blocked.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Tells that a request is being answered, or that the answer has ended.
    pub fn busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::Release);
    }

    /// Whether the client was cut for taking nothing.
    pub fn stalled(&self) -> bool {
        self.0.stalled.load(Ordering::Acquire)
    }

    fn block(&self) {
        self.0.blocked.store(true, Ordering::Release);
    }

    fn unblock(&self) {
        if self.0.blocked.swap(false, Ordering::AcqRel) {
            self.0.body.wake();
        }
    }
}

/// A socket whose patience ends.
#[derive(Debug)]
pub struct Progress<S> {
    socket: S,
    link: Link,
    stall_max: Duration,
    write_limit: Option<Pin<Box<Sleep>>>,
    /// When the head that is being read, or the silence, has lasted too long.
    read_limit: Option<Pin<Box<Sleep>>>,
    /// Whether the first byte of a head has come.
    head_begun: bool,
}

impl<S> Progress<S> {
    /// Watches a socket. A reader that takes no byte for `stall_max` is cut.
    pub fn new(socket: S, link: Link, stall_max: Duration) -> Self {
        Self { socket, link, stall_max, write_limit: None, read_limit: None, head_begun: false }
    }

    /// Ends a blocked write whose time is over.
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.link.block();
        let stall_max = self.stall_max;
        let limit = self.write_limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall_max)));
        std::task::ready!(limit.as_mut().poll(cx));
        self.link.0.stalled.store(true, Ordering::Release);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took no byte for too long")))
    }

    fn wrote<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            return self.poll_stalled(cx);
        }
        self.write_limit = None;
        self.link.unblock();
        result
    }

    /// Ends a read for a head that does not come.
    fn poll_impatient(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.0.busy.load(Ordering::Acquire) {
            (self.read_limit, self.head_begun) = (None, false);
            return Poll::Pending;
        }
        let patience = if self.head_begun { HEAD_MAX } else { IDLE_MAX };
        let limit = self.read_limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        std::task::ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buf);
        if result.is_pending() {
            return self.poll_impatient(cx);
        }
        if buf.filled().len() > before && !self.head_begun && !self.link.0.busy.load(Ordering::Acquire) {
            (self.read_limit, self.head_begun) = (None, true);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, data);
        self.wrote(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

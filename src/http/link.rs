//! The socket under a connection, with patience that ends: for a client that takes no byte, for one that sends
//! its request head byte by byte, and for one that sends nothing at all.
//!
//! While a write is blocked hyper does not poll the body, so no timer inside a body can notice (P54); and it would
//! queue further writes meanwhile, which a stream of newest values must not (they would be old when they leave).
//! Both are settled here, below hyper and TLS: [`Progress`] times the write, and [`Link`] tells the bodies to hold back.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A request head, once begun, has to be there whole within this.
pub(super) const HEAD_MAX: Duration = Duration::from_secs(10);
/// A connection that asks nothing is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a connection and the answers on it tell each other. Every clone is the same connection.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// A write is waiting for the client to take it.
    blocked: AtomicBool,
    /// Requests that are being answered: one at most, but on HTTP/2.
    busy: AtomicU32,
    /// Requests that came whole.
    requests: AtomicU32,
    /// The client took nothing for too long.
    stalled: AtomicBool,
    /// The bodies that hold back: one at most, but on HTTP/2, whose limit of streams bounds this.
    bodies: Mutex<Vec<Waker>>,
    /// Who reads the next request: it starts its clock when the answer before it has ended.
    reader: AtomicWaker,
}

impl Link {
    /// Ready when all that was handed over has left: what is made now goes out now.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.0.blocked.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut bodies = self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if !bodies.iter().any(|body| body.will_wake(cx.waker())) {
            bodies.push(cx.waker().clone());
        }
        drop(bodies);
        // It may have cleared in between.
        if self.0.blocked.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Tells that a request has come whole and is being answered.
    pub fn asked(&self) {
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        self.0.busy.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells that the answer has ended.
    pub fn answered(&self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
        self.0.reader.wake();
    }

    /// Whether a request is being answered.
    pub fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::Acquire) > 0
    }

    /// Requests that came whole so far.
    pub fn requests(&self) -> u32 {
        self.0.requests.load(Ordering::Acquire)
    }

    /// Whether a write is waiting for the client.
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Acquire)
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
            let bodies = std::mem::take(&mut *self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner));
            bodies.into_iter().for_each(Waker::wake);
        }
    }

    /// Notes what a socket failed with. The kernel gives up a peer that acknowledges nothing (`TCP_USER_TIMEOUT`):
    /// that one takes no byte either.
    fn failed<T>(&self, result: &Poll<io::Result<T>>) {
        if matches!(result, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            self.0.stalled.store(true, Ordering::Release);
        }
    }
}

/// How long the other side may ask nothing.
#[derive(Debug, Default)]
pub struct Patience {
    /// When the head that is being read, or the silence, has lasted too long.
    limit: Option<Pin<Box<Sleep>>>,
    /// Whether the first byte of a head has come.
    head_begun: bool,
    /// The requests that had come when that was last looked at.
    requests: u32,
}

impl Patience {
    /// Ready when no request came in time. One at a time may wait for a connection's.
    pub fn poll(&mut self, link: &Link, cx: &mut Context<'_>) -> Poll<()> {
        if link.requests() != self.requests {
            *self = Self { requests: link.requests(), ..Self::default() };
        }
        // Registered before the look: an answer that ends in between wakes us. Hyper alone would not look again
        // until the client sends something.
        link.0.reader.register(cx.waker());
        if link.is_busy() {
            return Poll::Pending;
        }
        let patience = if self.head_begun { HEAD_MAX } else { IDLE_MAX };
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        limit.as_mut().poll(cx)
    }

    /// The client has sent something that is not a whole request yet.
    fn heard(&mut self) {
        if !self.head_begun {
            (self.limit, self.head_begun) = (None, true);
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
    /// `None` where somebody else looks at silence.
    reading: Option<Patience>,
}

impl<S> Progress<S> {
    /// Watches a socket. A reader that takes no byte for `stall_max` is cut.
    pub fn new(socket: S, link: Link, stall_max: Duration) -> Self {
        Self { socket, link, stall_max, write_limit: None, reading: Some(Patience::default()) }
    }

    /// Tells that what was read so far belongs to no request: the client's time begins now.
    pub fn begin(&mut self) {
        self.reading = Some(Patience::default());
    }

    /// Reads without patience from here on: what comes may be part of no request, or of several.
    pub fn read_patiently(&mut self) {
        self.reading = None;
    }

    /// Gives the socket back, unwatched.
    pub fn into_socket(self) -> S {
        self.socket
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
        self.link.failed(&result);
        self.write_limit = None;
        self.link.unblock();
        result
    }

    /// Ends a read for a head that does not come.
    fn poll_impatient(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        std::task::ready!(reading.poll(&self.link, cx));
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
        self.link.failed(&result);
        if buf.filled().len() > before
            && !self.link.is_busy()
            && let Some(reading) = &mut self.reading
        {
            reading.heard();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test looks at its tasks from the other end")]

    use std::convert::Infallible;
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const STALL_MAX: Duration = Duration::from_secs(30);
    const EVER: Duration = Duration::from_secs(86_400);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// What the test's streams say: the newest number, padded to a line of 100 bytes.
    #[derive(Clone, Default)]
    struct Number(Arc<(AtomicU64, AtomicWaker)>);

    impl Number {
        fn set(&self, number: u64) {
            self.0.0.store(number, Ordering::SeqCst);
            self.0.1.wake();
        }
    }

    /// An empty answer, or a stream of the newest number.
    struct Answer {
        link: Link,
        stream: Option<(Number, u64)>,
    }

    impl Body for Answer {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Self { link, stream } = &mut *self;
            let Some((number, sent)) = stream else { return Poll::Ready(None) };
            std::task::ready!(link.poll_writable(cx));
            number.0.1.register(cx.waker());
            let newest = number.0.0.load(Ordering::SeqCst);
            if newest == *sent {
                return Poll::Pending;
            }
            *sent = newest;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!("{newest:099}\n"))))))
        }
    }

    impl Drop for Answer {
        fn drop(&mut self) {
            self.link.answered();
        }
    }

    /// The client's end of a connection whose kernel keeps so many bytes, and the server's link.
    fn connect(buffer: usize, stream: Option<&Number>) -> (DuplexStream, Link) {
        let (client, server) = duplex(buffer);
        let link = Link::default();
        let (io, stream) = (Progress::new(server, link.clone(), STALL_MAX), stream.cloned());
        let own = link.clone();
        let service = hyper::service::service_fn(move |_| {
            own.asked();
            let answer = Answer { link: own.clone(), stream: stream.clone().map(|number| (number, 0)) };
            std::future::ready(Ok::<_, Infallible>(hyper::Response::new(answer)))
        });
        tokio::spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            let serving = builder.header_read_timeout(None).serve_connection(TokioIo::new(io), service);
            // What ends a connection is what these tests look at from the client's side.
            drop(serving.await);
        });
        (client, link)
    }

    async fn read(client: &mut DuplexStream) -> String {
        let mut bytes = vec![0; 4096];
        let count = timeout(EVER, client.read(&mut bytes)).await.expect("something comes").expect("readable");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// Reads one whole head and whatever came with it.
    async fn head(client: &mut DuplexStream) -> String {
        let mut all = String::new();
        while !all.contains("\r\n\r\n") {
            let more = read(client).await;
            assert!(!more.is_empty(), "closed after {all:?}");
            all += &more;
        }
        all
    }

    async fn closed_after(client: &mut DuplexStream) -> Duration {
        let start = Instant::now();
        assert_eq!(read(client).await, "", "closed without a word");
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_closed_after_a_minute() {
        let (mut client, _) = connect(1024, None);
        assert_eq!(closed_after(&mut client).await, IDLE_MAX);
        let (mut client, _) = connect(1024, None);
        for _ in 0..3 {
            client.write_all(REQUEST).await.expect("open");
            assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
            sleep(Duration::from_secs(59)).await;
        }
        assert_eq!(closed_after(&mut client).await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_head_that_comes_byte_by_byte_is_cut_after_ten_seconds() {
        let (mut client, _) = connect(1024, None);
        sleep(Duration::from_secs(50)).await;
        let start = Instant::now();
        for byte in REQUEST {
            let mut nothing = [0];
            tokio::select! {
                biased;
                end = client.read(&mut nothing) => {
                    assert_eq!(end.expect("readable"), 0);
                    break;
                }
                () = sleep(Duration::from_secs(1)) => client.write_all(&[*byte]).await.expect("open"),
            }
        }
        assert_eq!(start.elapsed(), HEAD_MAX + Duration::from_secs(1), "counted from the first byte");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_leaves_the_next_request_all_its_time() {
        let (mut client, _) = connect(1024, None);
        client.write_all(&REQUEST[..10]).await.expect("open");
        sleep(Duration::from_secs(9)).await;
        client.write_all(&REQUEST[10..]).await.expect("open");
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
        assert_eq!(closed_after(&mut client).await, IDLE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_not_a_silent_connection() {
        let number = Number::default();
        let (mut client, _) = connect(1024, Some(&number));
        client.write_all(REQUEST).await.expect("open");
        head(&mut client).await;
        sleep(EVER / 2).await;
        number.set(1);
        assert!(read(&mut client).await.contains("0001\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_is_noticed_though_its_stream_is_quiet() {
        let number = Number::default();
        let (mut client, link) = connect(1024, Some(&number));
        client.write_all(REQUEST).await.expect("open");
        head(&mut client).await;
        let start = Instant::now();
        drop(client);
        timeout(EVER, async {
            while link.is_busy() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("noticed");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn p54_a_frozen_reader_is_cut() {
        let number = Number::default();
        let (mut client, link) = connect(1000, Some(&number));
        client.write_all(REQUEST).await.expect("open");
        let start = Instant::now();
        for step in 1..100 {
            number.set(step);
            sleep(Duration::from_secs(1)).await;
            if !link.is_busy() {
                break;
            }
        }
        assert!(link.stalled());
        // Its kernel took a head and some eight numbers, one a second; then nothing for the whole patience.
        assert!(start.elapsed() > STALL_MAX && start.elapsed() < STALL_MAX + Duration::from_secs(12));
    }

    #[tokio::test(start_paused = true)]
    async fn p52_a_reader_that_takes_a_byte_now_and_then_is_slow_and_not_cut() {
        let number = Number::default();
        let (mut client, link) = connect(100, Some(&number));
        client.write_all(REQUEST).await.expect("open");
        for step in 1..200 {
            number.set(step);
            sleep(Duration::from_secs(29)).await;
            assert_eq!(client.read(&mut [0]).await.expect("open"), 1);
        }
        assert!(!link.stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn p50_a_reader_that_wakes_up_gets_the_newest_and_not_the_backlog() {
        let number = Number::default();
        let (mut client, link) = connect(1000, Some(&number));
        client.write_all(REQUEST).await.expect("open");
        head(&mut client).await;
        for step in 1..=20_000 {
            number.set(step);
            advance(Duration::from_millis(1)).await;
        }
        let mut all = String::new();
        while !all.contains("020000\n") {
            all += &read(&mut client).await;
        }
        let numbers = all.lines().filter(|line| line.len() == 99).count();
        assert!(numbers < 15, "what its kernel held, one write on the way, and the newest: {numbers}");
        assert!(!link.stalled());
    }
}

//! Who takes too little on one of many HTTP/2 streams: a client may give a stream no window while the connection is
//! well, and the socket's clock, in [`link`](crate::http::link), sees nothing of that.
//!
//! Hyper's task of a stream polls the body, keeps the piece it got until the stream has window for a byte of it, hands
//! it to h2 and polls the body again (`PipeToSendStream` of hyper 1.12). So a body that gave a piece and is not polled
//! again is one whose client gives no window, and until then no other piece is made: prices conflate. Waiting for
//! news looks different: then the last poll was told to wait.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::link::Link;

tokio::task_local! {
    /// The window of the stream whose task this is: hyper makes the task, and the body inside it has to find it.
    static WINDOW: Arc<Window>;
}

/// What a stream's task and its body tell each other.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Since when the body's last piece waits for the client.
    owed_since: Mutex<Option<Instant>>,
    cut: AtomicBool,
}

impl Window {
    /// That of the HTTP/2 stream that is being polled; nothing on HTTP/1.1, where the socket alone judges.
    pub(super) fn current() -> Option<Arc<Self>> {
        WINDOW.try_with(Arc::clone).ok()
    }

    /// Tells that the body gave a piece.
    pub(super) fn gave(&self) {
        *self.owed_since() = Some(Instant::now());
    }

    /// Tells that the last piece was taken.
    pub(super) fn taken(&self) {
        *self.owed_since() = None;
    }

    /// Whether the stream was cut for its client's taking nothing.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    fn owed_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.owed_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hyper's work for one stream, ended where its client takes nothing for too long. Dropping the work makes h2 throw
/// away what it holds of the stream and reset it (`maybe_cancel` and `pop_frame` of h2 0.4.20).
pub(super) struct Watched<F> {
    work: Pin<Box<F>>,
    window: Arc<Window>,
    link: Link,
    stall_max: Duration,
    limit: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Watched<F> {
    pub(super) fn new(work: F, link: Link, stall_max: Duration) -> Self {
        Self { work: Box::pin(work), window: Arc::default(), link, stall_max, limit: None }
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { work, window, link, stall_max, limit } = self.get_mut();
        if WINDOW.sync_scope(Arc::clone(window), || work.as_mut().poll(cx)).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(since) = *window.owed_since() else { return Poll::Pending };
            let until = since + *stall_max;
            let limit = limit.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if limit.deadline() != until {
                limit.as_mut().reset(until);
            }
            ready!(limit.as_mut().poll(cx));
            if !link.is_blocked() {
                window.cut.store(true, Ordering::Release);
                return Poll::Ready(());
            }
            // The whole connection takes nothing: that is for the socket's clock to judge. Our time begins anew.
            window.gave();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const STALL_MAX: Duration = Duration::from_secs(30);

    /// Work that gives a piece every so often and is asked for the next after `taken`.
    fn stream(every: Duration, taken: Duration) -> Watched<impl Future<Output = ()>> {
        let work = async move {
            let window = Window::current().expect("polled by its task");
            loop {
                tokio::time::sleep(every).await;
                window.gave();
                tokio::time::sleep(taken).await;
                window.taken();
            }
        };
        Watched::new(work, Link::default(), STALL_MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn p56_a_stream_without_window_is_cut_and_a_slow_one_is_not() {
        let start = Instant::now();
        let stalled = stream(Duration::from_secs(5), Duration::from_secs(31));
        let window = Arc::clone(&stalled.window);
        stalled.await;
        assert_eq!((start.elapsed(), window.is_cut()), (Duration::from_secs(35), true));
        let slow = stream(Duration::from_secs(5), Duration::from_secs(29));
        assert!(timeout(Duration::from_hours(2), slow).await.is_err(), "goes on");
        let quiet = stream(Duration::from_mins(30), Duration::ZERO);
        assert!(timeout(Duration::from_hours(2), quiet).await.is_err(), "no news is no stall");
    }

    #[tokio::test]
    async fn a_body_without_such_a_task_has_no_window() {
        assert!(Window::current().is_none());
    }
}

//! How streams get to a fan-out thread, and how it is told to stop: what the thread shares with the rest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::accept::Counted;
use crate::http::stream::PriceStream;

/// A stream whose head is out, with its socket.
pub(super) struct Arrival {
    pub(super) socket: std::net::TcpStream,
    pub(super) stream: PriceStream,
    pub(super) counted: Counted,
}

/// What a thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// The streams end now, each at its moment; more may come.
    Close,
    /// No more come.
    Shut,
    /// Nobody waits for an end in order.
    Cut,
}

/// The way into one thread.
pub(super) struct Door {
    waker: Waker,
    /// The thread is about to wait, or waits: whoever has news must wake it.
    asleep: AtomicBool,
    news: AtomicBool,
    /// Streams on it and on their way to it.
    streams: AtomicUsize,
    /// Bounded by `limits.streams_total`: each arrival has its slot.
    inside: Mutex<(Vec<Arrival>, Order)>,
}

impl Door {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            waker,
            asleep: AtomicBool::new(false),
            news: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            inside: Mutex::new((Vec::new(), Order::Serve)),
        }
    }

    /// Wakes the thread if it sleeps.
    pub(super) fn ring(&self) {
        // Sequentially consistent with `falls_asleep`: either we see that it sleeps, or it sees what we ring for.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "a fan-out thread could not be woken");
        }
    }

    /// Tells that the thread is about to sleep. What it looks at after this, it is woken for.
    pub(super) fn falls_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Tells that the thread is up.
    pub(super) fn is_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether there is something to take.
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::SeqCst)
    }

    /// Takes who has come, and what to do now.
    pub(super) fn take(&self, arrivals: &mut Vec<Arrival>) -> Order {
        let mut inside = self.inside();
        self.news.store(false, Ordering::SeqCst);
        arrivals.append(&mut inside.0);
        inside.1
    }

    /// Tells that a stream has ended.
    pub(super) fn left(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    fn tell(&self, change: impl FnOnce(&mut (Vec<Arrival>, Order))) {
        change(&mut self.inside());
        self.news.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn inside(&self) -> MutexGuard<'_, (Vec<Arrival>, Order)> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The doors of all threads.
#[derive(Clone)]
pub(super) struct Doors(Arc<[Arc<Door>]>);

impl Doors {
    pub(super) fn new(doors: Vec<Arc<Door>>) -> Self {
        Self(doors.into())
    }

    /// Gives a stream to the thread that has the fewest.
    pub(super) fn enter(&self, arrival: Arrival) {
        let Some(door) = self.0.iter().min_by_key(|door| door.streams.load(Ordering::Relaxed)) else {
            return;
        };
        door.streams.fetch_add(1, Ordering::Relaxed);
        door.tell(|(arrivals, _)| arrivals.push(arrival));
    }

    /// Tells all threads what to do. An order is never taken back.
    pub(super) fn order(&self, order: Order) {
        for door in &*self.0 {
            door.tell(|(_, current)| *current = order.max(*current));
        }
    }
}

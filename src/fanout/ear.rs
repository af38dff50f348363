//! How a stream waits that nobody serves: it is woken by the next change of any of its symbols.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use slab::Slab;
use tokio::sync::Notify;

use super::bells::{Bell, Bells};
use crate::catalogue::SymbolId;
use crate::growing::Growing;

/// Who waits for which symbol.
pub(super) struct Sleepers {
    bell: Arc<Bell>,
    rung: Arc<Notify>,
    /// Per symbol, the streams to wake at its next change. A stream is at most once in each list, and takes
    /// itself out when it ends: the lists are bounded by the open streams' symbols.
    lists: Growing<Mutex<Slab<Waiting>>>,
}

/// A stream in one symbol's list.
#[derive(Debug)]
struct Waiting {
    sleeper: Arc<Sleeper>,
    /// Which of the stream's own symbols this list is.
    position: usize,
}

/// One stream's end of the bell.
#[derive(Debug)]
struct Sleeper {
    armed: AtomicBool,
    waker: AtomicWaker,
    /// Its place in the list of each of its symbols, plus one; 0 while it is not in it. Written under the list's lock.
    places: Box<[AtomicU32]>,
    symbols: Box<[SymbolId]>,
}

impl Sleepers {
    pub(super) fn new(bells: &Bells) -> Self {
        let rung = Arc::new(Notify::new());
        let ring = Arc::clone(&rung);
        let bell = bells.listen(move || ring.notify_one()).expect("nobody listens yet, so there is room");
        Self { bell, rung, lists: Growing::with(0) }
    }

    /// Wakes whoever waits for what was rung, for ever.
    pub(super) async fn run(&self) {
        let mut woken = Vec::new();
        loop {
            self.rung.notified().await;
            self.bell.marks(|id| self.take(id, &mut woken));
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// Empties a symbol's list into the wakers of those that still wait.
    fn take(&self, id: SymbolId, woken: &mut Vec<Waker>) {
        let mut list = self.list(id);
        self.bell.wait(id, 0);
        for Waiting { sleeper, position } in list.drain() {
            sleeper.places[position].store(0, Ordering::Relaxed);
            if sleeper.armed.swap(false, Ordering::AcqRel) {
                woken.extend(sleeper.waker.take());
            }
        }
    }

    fn list(&self, id: SymbolId) -> MutexGuard<'_, Slab<Waiting>> {
        self.lists[id.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's ear for the bell of its symbols.
pub(super) struct Ear {
    sleepers: Arc<Sleepers>,
    sleeper: Arc<Sleeper>,
}

impl Ear {
    /// An ear for these symbols, each given once.
    pub(super) fn new(sleepers: Arc<Sleepers>, symbols: &[SymbolId]) -> Self {
        let places = symbols.iter().map(|_| AtomicU32::new(0)).collect();
        let (armed, waker) = (AtomicBool::new(false), AtomicWaker::new());
        Self { sleepers, sleeper: Arc::new(Sleeper { armed, waker, places, symbols: symbols.into() }) }
    }

    /// Asks to be woken at the next change of any of the symbols. The caller must look at their versions again
    /// after this: what changed before may have rung for nobody.
    pub(super) fn wait(&self, waker: &Waker) {
        self.sleeper.waker.register(waker);
        // A swap, not a store: after it the places are at least as new as at the ring that disarmed us.
        self.sleeper.armed.swap(true, Ordering::SeqCst);
        for (position, (place, &id)) in self.sleeper.places.iter().zip(&self.sleeper.symbols).enumerate() {
            if place.load(Ordering::Relaxed) != 0 {
                continue;
            }
            let mut list = self.sleepers.list(id);
            let key = list.insert(Waiting { sleeper: Arc::clone(&self.sleeper), position });
            place.store(u32::try_from(key + 1).expect("streams are counted in u32"), Ordering::Relaxed);
            self.sleepers.bell.wait(id, list.len());
        }
    }

    /// Takes the request back.
    pub(super) fn stop_waiting(&self) {
        self.sleeper.armed.swap(false, Ordering::SeqCst);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        for (place, &id) in self.sleeper.places.iter().zip(&self.sleeper.symbols) {
            let mut list = self.sleepers.list(id);
            if let Some(key) = place.swap(0, Ordering::Relaxed).checked_sub(1) {
                list.remove(key as usize);
                self.sleepers.bell.wait(id, list.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test waits for its tasks")]

    use super::*;

    fn sleepers(bells: &Bells) -> Arc<Sleepers> {
        Arc::new(Sleepers::new(bells))
    }

    fn waiting(sleepers: &Sleepers) -> usize {
        sleepers.lists.iter().map(|list| list.lock().expect("no panic under it").len()).sum()
    }

    #[test]
    fn p57_ten_thousand_streams_on_quiet_symbols_leave_nothing_behind() {
        let sleepers = sleepers(&Bells::default());
        let symbols: Vec<_> = (0..10).map(|index| SymbolId(index * 10)).collect();
        let stay = Ear::new(Arc::clone(&sleepers), &symbols);
        stay.wait(Waker::noop());
        for _ in 0..10_000 {
            let ear = Ear::new(Arc::clone(&sleepers), &symbols);
            ear.wait(Waker::noop());
            // Waiting again, as after a timer, must not join a list twice.
            ear.wait(Waker::noop());
            assert_eq!(waiting(&sleepers), 20);
        }
        assert_eq!(waiting(&sleepers), 10);
        let capacity: usize =
            sleepers.lists.iter().map(|list| list.lock().expect("no panic under it").capacity()).sum();
        assert!(capacity <= 10 * 8, "places are used again: {capacity}");
        drop(stay);
        assert_eq!(waiting(&sleepers), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_wakes_whoever_waits_for_that_symbol_and_nobody_else() {
        let bells = Bells::default();
        let sleepers = sleepers(&bells);
        let run = Arc::clone(&sleepers);
        tokio::spawn(async move { run.run().await });
        let listen = |symbol: u32| {
            let ear = Ear::new(Arc::clone(&sleepers), &[SymbolId(symbol), SymbolId(129)]);
            let mut asked = false;
            std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut asked, true) {
                    return std::task::Poll::Ready(());
                }
                ear.wait(cx.waker());
                std::task::Poll::Pending
            })
        };
        let (one, other) = (tokio::spawn(listen(0)), tokio::spawn(listen(65)));
        tokio::task::yield_now().await;
        bells.ring(SymbolId(1));
        bells.ring(SymbolId(65));
        other.await.expect("woken");
        assert!(!one.is_finished());
        bells.ring(SymbolId(129));
        one.await.expect("woken");
        assert_eq!(waiting(&sleepers), 0);
    }
}

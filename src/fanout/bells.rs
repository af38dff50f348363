//! Wakes the streams that wait for a symbol's next change.
//!
//! A change costs its writer O(1) whoever follows: it marks the symbol and rings once for all that is marked.
//! One task ([`Bells::run`]) finds who waits. A stream waits only after a whole window without a flush; busy
//! ones are on nobody's list.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use slab::Slab;
use tokio::sync::Notify;

use crate::catalogue::SymbolId;

/// Who waits for which symbol.
#[derive(Debug)]
pub struct Bells {
    /// Per symbol, the streams to wake at its next change. A stream is at most once in each list, and takes
    /// itself out when it ends: the lists are bounded by the open streams' symbols.
    lists: Box<[Mutex<Slab<Waiting>>]>,
    /// The length of each list, for writers.
    waiting: Box<[AtomicU32]>,
    /// One bit per symbol that changed while somebody waited.
    marked: Box<[AtomicU64]>,
    rung: Notify,
}

/// A stream in one symbol's list.
#[derive(Debug)]
struct Waiting {
    sleeper: Arc<Sleeper>,
    /// Which of the stream's own symbols this list is.
    position: usize,
}

/// One stream's end of the bells.
#[derive(Debug)]
struct Sleeper {
    armed: AtomicBool,
    waker: AtomicWaker,
    /// Its place in the list of each of its symbols, plus one; 0 while it is not in it. Written under the list's lock.
    places: Box<[AtomicU32]>,
    symbols: Box<[SymbolId]>,
}

impl Bells {
    /// Bells for so many symbols.
    pub fn new(symbols: usize) -> Self {
        Self {
            lists: (0..symbols).map(|_| Mutex::default()).collect(),
            waiting: (0..symbols).map(|_| AtomicU32::new(0)).collect(),
            marked: (0..symbols.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            rung: Notify::new(),
        }
    }

    /// Tells that a symbol changed. The change must be visible before.
    pub fn ring(&self, id: SymbolId) {
        let index = id.0 as usize;
        // Sequentially consistent with `Ear::wait`: either the writer sees the list's length here, or the stream
        // sees the change when it looks again after having joined the list.
        if self.waiting[index].load(Ordering::SeqCst) == 0 {
            return;
        }
        let bit = 1 << (index % 64);
        if self.marked[index / 64].fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.rung.notify_one();
        }
    }

    /// Wakes whoever waits for what was rung, for ever.
    pub async fn run(&self) {
        let mut woken = Vec::new();
        loop {
            self.rung.notified().await;
            for (word, marked) in self.marked.iter().enumerate() {
                let mut bits = marked.swap(0, Ordering::AcqRel);
                while bits != 0 {
                    self.take(word * 64 + bits.trailing_zeros() as usize, &mut woken);
                    bits &= bits - 1;
                }
            }
            woken.drain(..).for_each(Waker::wake);
        }
    }

    /// Empties a symbol's list into the wakers of those that still wait.
    fn take(&self, index: usize, woken: &mut Vec<Waker>) {
        let mut list = self.list(index);
        self.waiting[index].store(0, Ordering::SeqCst);
        for Waiting { sleeper, position } in list.drain() {
            sleeper.places[position].store(0, Ordering::Relaxed);
            if sleeper.armed.swap(false, Ordering::AcqRel) {
                woken.extend(sleeper.waker.take());
            }
        }
    }

    fn list(&self, index: usize) -> MutexGuard<'_, Slab<Waiting>> {
        self.lists[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's ear for the bells of its symbols.
#[derive(Debug)]
pub struct Ear {
    bells: Arc<Bells>,
    sleeper: Arc<Sleeper>,
}

impl Ear {
    /// An ear for these symbols, each given once.
    pub fn new(bells: Arc<Bells>, symbols: &[SymbolId]) -> Self {
        let places = symbols.iter().map(|_| AtomicU32::new(0)).collect();
        let (armed, waker) = (AtomicBool::new(false), AtomicWaker::new());
        Self { bells, sleeper: Arc::new(Sleeper { armed, waker, places, symbols: symbols.into() }) }
    }

    /// Asks to be woken at the next change of any of the symbols. The caller must look at their versions again
    /// after this: what changed before may have rung for nobody.
    pub fn wait(&self, waker: &Waker) {
        self.sleeper.waker.register(waker);
        // A swap, not a store: after it the places are at least as new as at the ring that disarmed us.
        self.sleeper.armed.swap(true, Ordering::SeqCst);
        for (position, (place, id)) in self.sleeper.places.iter().zip(&self.sleeper.symbols).enumerate() {
            if place.load(Ordering::Relaxed) != 0 {
                continue;
            }
            let index = id.0 as usize;
            let mut list = self.bells.list(index);
            let key = list.insert(Waiting { sleeper: Arc::clone(&self.sleeper), position });
            place.store(u32::try_from(key + 1).expect("streams are counted in u32"), Ordering::Relaxed);
            self.bells.waiting[index].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Takes the request back.
    pub fn stop_waiting(&self) {
        self.sleeper.armed.swap(false, Ordering::SeqCst);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        for (place, id) in self.sleeper.places.iter().zip(&self.sleeper.symbols) {
            let index = id.0 as usize;
            let mut list = self.bells.list(index);
            if let Some(key) = place.swap(0, Ordering::Relaxed).checked_sub(1) {
                list.remove(key as usize);
                self.bells.waiting[index].fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test waits for its tasks")]

    use super::*;

    fn waiting(bells: &Bells) -> (usize, u32) {
        let lists = bells.lists.iter().map(|list| list.lock().expect("no panic under it").len()).sum();
        (lists, bells.waiting.iter().map(|waiting| waiting.load(Ordering::SeqCst)).sum())
    }

    #[test]
    fn p57_ten_thousand_streams_on_quiet_symbols_leave_nothing_behind() {
        let bells = Arc::new(Bells::new(100));
        let symbols: Vec<_> = (0..10).map(|index| SymbolId(index * 10)).collect();
        let stay = Ear::new(Arc::clone(&bells), &symbols);
        stay.wait(Waker::noop());
        for _ in 0..10_000 {
            let ear = Ear::new(Arc::clone(&bells), &symbols);
            ear.wait(Waker::noop());
            // Waiting again, as after a timer, must not join a list twice.
            ear.wait(Waker::noop());
            assert_eq!(waiting(&bells), (20, 20));
        }
        assert_eq!(waiting(&bells), (10, 10));
        let capacity: usize =
            bells.lists.iter().map(|list| list.lock().expect("no panic under it").capacity()).sum();
        assert!(capacity <= 10 * 8, "places are used again: {capacity}");
        drop(stay);
        assert_eq!(waiting(&bells), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_wakes_whoever_waits_for_that_symbol_and_nobody_else() {
        let bells = Arc::new(Bells::new(130));
        let ring = Arc::clone(&bells);
        tokio::spawn(async move { ring.run().await });
        let listen = |symbol: u32| {
            let ear = Ear::new(Arc::clone(&bells), &[SymbolId(symbol), SymbolId(129)]);
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
        assert_eq!(waiting(&bells), (0, 0));
    }
}

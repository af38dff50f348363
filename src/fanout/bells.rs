//! Tells that symbols changed to whoever has streams that wait for it.
//!
//! A change costs its writer O(1) whoever follows: for each listener that has a waiting stream it marks the symbol, and
//! rings once for all that is marked. A stream waits only after a whole window without a flush; busy ones are on
//! nobody's list.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::catalogue::SymbolId;
use crate::growing::Growing;

/// Listeners there may be: the fan-out threads, and one for the streams that wait by themselves.
const LISTENERS_MAX: usize = 65;

/// The bells of all listeners.
pub struct Bells {
    /// In the order they came.
    bells: Box<[OnceLock<Arc<Bell>>]>,
}

/// What one listener hears.
pub(super) struct Bell {
    /// Per symbol, how many of the listener's streams wait for it.
    waiting: Growing<AtomicU32>,
    /// One bit per symbol that changed while somebody waited.
    marked: Growing<AtomicU64>,
    /// Wakes the listener.
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Default for Bells {
    /// Nobody listens.
    fn default() -> Self {
        Self { bells: (0..LISTENERS_MAX).map(|_| OnceLock::new()).collect() }
    }
}

impl Bells {
    /// Tells that a symbol changed. The change must be visible before.
    pub fn ring(&self, id: SymbolId) {
        self.bells.iter().map_while(OnceLock::get).for_each(|bell| bell.ring(id));
    }

    /// The marks of a listener who wants to hear of symbols whoever waits, woken by `ring`; `None` where there are too many
    /// listeners.
    pub fn hear(&self, ring: impl Fn() + Send + Sync + 'static) -> Option<Marks> {
        self.listen(ring).map(Marks)
    }

    /// A bell for one more listener, whom `ring` wakes; `None` where there are too many.
    pub(super) fn listen(&self, ring: impl Fn() + Send + Sync + 'static) -> Option<Arc<Bell>> {
        let bell = Arc::new(Bell::new(Box::new(ring)));
        self.bells.iter().any(|place| place.set(Arc::clone(&bell)).is_ok()).then_some(bell)
    }
}

/// What has changed of the symbols that one listener wants.
pub struct Marks(Arc<Bell>);

impl Marks {
    /// Hears of every change of the symbol from now on; what it was before is not among the marks.
    pub fn want(&self, id: SymbolId) {
        self.0.wait(id, 1);
    }

    /// Takes the symbols that changed since they were taken last.
    pub fn take(&self, marked: impl FnMut(SymbolId)) {
        self.0.marks(marked);
    }
}

impl Bell {
    fn new(ring: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { ring, waiting: Growing::with(0), marked: Growing::with(0) }
    }

    fn ring(&self, id: SymbolId) {
        let index = id.index();
        // Sequentially consistent with the listener: either the writer sees here that somebody waits, or the stream
        // sees the change when it looks again after having begun to wait.
        if self.waiting[index].load(Ordering::SeqCst) == 0 {
            return;
        }
        let bit = 1 << (index % 64);
        if self.marked[index / 64].fetch_or(bit, Ordering::SeqCst) & bit == 0 {
            (self.ring)();
        }
    }

    /// Whether something is marked.
    pub(super) fn is_marked(&self) -> bool {
        self.marked.iter().any(|bits| bits.load(Ordering::SeqCst) != 0)
    }

    /// Takes the marks.
    pub(super) fn marks(&self, mut marked: impl FnMut(SymbolId)) {
        for (word, bits) in (0..).zip(self.marked.iter()) {
            if bits.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = bits.swap(0, Ordering::AcqRel);
            while bits != 0 {
                marked(SymbolId(word * 64 + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }

    /// Says how many streams wait for a symbol. They must look at its version again after this: a change before may
    /// have rung for nobody.
    pub(super) fn wait(&self, id: SymbolId, streams: usize) {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        self.waiting[id.index()].store(streams, Ordering::SeqCst);
    }
}

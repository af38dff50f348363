//! Which symbols somebody wants, for a driver that brings in those only: streams, by what they wish for, and requests while
//! they are answered. And which of them it has brought.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::catalogue::SymbolId;
use crate::growing::Growing;

/// What is wanted.
#[derive(Debug)]
pub struct Interest {
    /// Per symbol, the wishes and requests that it is in.
    counts: Growing<AtomicU32>,
    /// What the driver has brought and keeps up to date.
    here: Growing<AtomicBool>,
    changed: Notify,
    arrivals: watch::Sender<()>,
    /// Whether it is of any use to wait for the driver.
    is_served: AtomicBool,
}

/// Symbols that are wanted as long as this is kept.
#[derive(Debug)]
pub struct Hold {
    interest: Arc<Interest>,
    symbols: Vec<SymbolId>,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            counts: Growing::with(0),
            here: Growing::with(0),
            changed: Notify::new(),
            arrivals: watch::channel(()).0,
            is_served: AtomicBool::new(true),
        }
    }
}

impl Interest {
    pub(super) fn add(&self, symbols: &[SymbolId]) {
        let was_none = |id: &SymbolId| self.counts[id.index()].fetch_add(1, Ordering::SeqCst) == 0;
        // All of them are counted.
        if symbols.iter().filter(|&id| was_none(id)).count() > 0 {
            self.changed.notify_one();
        }
    }

    pub(super) fn remove(&self, symbols: &[SymbolId]) {
        let is_none = |id: &SymbolId| self.counts[id.index()].fetch_sub(1, Ordering::SeqCst) == 1;
        if symbols.iter().filter(|&id| is_none(id)).count() > 0 {
            self.changed.notify_one();
        }
    }

    /// Wants these symbols for a while.
    pub fn hold(self: &Arc<Self>, symbols: Vec<SymbolId>) -> Hold {
        self.add(&symbols);
        Hold { interest: Arc::clone(self), symbols }
    }

    /// Whether anybody wants the symbol.
    pub fn is_wanted(&self, id: SymbolId) -> bool {
        self.counts[id.index()].load(Ordering::SeqCst) > 0
    }

    /// Waits until something else is wanted than before.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes that these symbols were brought, or that there is nothing to bring.
    pub fn arrived(&self, symbols: impl IntoIterator<Item = SymbolId>) {
        for id in symbols {
            self.here[id.index()].store(true, Ordering::SeqCst);
        }
        self.arrivals.send_replace(());
    }

    /// Notes that a symbol is not kept up to date any more.
    pub fn left(&self, id: SymbolId) {
        self.here[id.index()].store(false, Ordering::SeqCst);
    }

    /// Whether the driver can bring anything now.
    pub fn served(&self, is_served: bool) {
        self.is_served.store(is_served, Ordering::SeqCst);
        self.arrivals.send_replace(());
    }
}

impl Hold {
    /// Waits until all of its symbols are there, where that is of use, and not longer than that.
    pub async fn here(&self, most: Duration) {
        let mut arrivals = self.interest.arrivals.subscribe();
        let all_here = async {
            while !self.is_here() && self.interest.is_served.load(Ordering::SeqCst) {
                // The interest is ours, so its end of the channel is there.
                if arrivals.changed().await.is_err() {
                    return;
                }
            }
        };
        // Who opens a stream after all gets the rest when it comes.
        let _ = timeout(most, all_here).await;
    }

    fn is_here(&self) -> bool {
        self.symbols.iter().all(|id| self.interest.here[id.index()].load(Ordering::SeqCst))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.interest.remove(&self.symbols);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_what_is_not_here_yet_and_not_for_ever() {
        let interest = Arc::new(Interest::default());
        let [a, b] = [SymbolId(1), SymbolId(5)];
        let hold = interest.hold(vec![a, b]);
        interest.changed().await;
        assert!(interest.is_wanted(b) && !interest.is_wanted(SymbolId(2)));
        interest.arrived([a]);
        let start = Instant::now();
        hold.here(Duration::from_secs(1)).await;
        assert_eq!(start.elapsed().as_secs(), 1, "one is missing");
        interest.arrived([b]);
        hold.here(Duration::from_secs(1)).await;
        assert_eq!(start.elapsed().as_secs(), 1);
        interest.left(a);
        interest.served(false);
        hold.here(Duration::from_secs(1)).await;
        assert_eq!(start.elapsed().as_secs(), 1, "nobody can bring it");
        drop(hold);
        assert!(!interest.is_wanted(a));
    }
}

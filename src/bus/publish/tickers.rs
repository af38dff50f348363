//! The newest state of each symbol: what changed while a message was on its way is conflated into the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::lease::Held;
use super::super::names::What;
use super::super::wire::Told;
use super::desk::Matter;
use crate::catalogue::SymbolId;
use crate::clock;
use crate::http::sse::Epoch;
use crate::latest::Latest;
use crate::metrics::Metrics;
use crate::ticker::Ticker;

/// Who takes over leaves a newer ticker of his predecessor's alone for so long: his own venues are about to say the same.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Tickers of a store.
pub(super) struct Tickers {
    pub(super) latest: Latest,
    pub(super) metrics: Arc<Metrics>,
    /// Of the stream that they are published to.
    pub(super) epoch: Epoch,
    /// When this node's lease began.
    pub(super) taken: Instant,
}

impl Matter for Tickers {
    const WHAT: What = What::Tickers;

    /// How many changes there had been with the last message.
    type Line = u64;

    fn holds(&mut self, held: Option<Held>) {
        self.metrics.bus_publishes.set(i64::from(held.is_some()));
        self.taken = Instant::now();
    }

    fn join(&mut self, _: SymbolId) {}

    fn has_news(&self, _: SymbolId, _: &u64) -> bool {
        true
    }

    fn found(&mut self, id: SymbolId, _: &mut u64, found: Option<&[u8]>) -> bool {
        let told = found.and_then(|bytes| Told::decode(bytes).ok()).filter(|told| told.epoch == self.epoch);
        let ours = self.latest.read(id, |view| view.ticker.clone());
        let is_ahead = told.zip(ours).is_some_and(|(told, ours)| is_ahead(&told.ticker, &ours));
        !is_ahead || self.taken.elapsed() >= CATCH_UP
    }

    fn next(&mut self, id: SymbolId, said: &mut u64, held: Held, _: u64) -> Option<Vec<u8>> {
        let (ticker, count) = self.latest.read(id, |view| (view.ticker.clone(), view.count))?;
        let told = Told {
            epoch: self.epoch,
            fence: held.fence,
            published: clock::wall(),
            currency: self.latest.catalogue().entry(id).currency.clone(),
            ticker,
        };
        self.metrics.bus_conflated.inc_by(count.saturating_sub(*said).saturating_sub(1));
        *said = count;
        Some(told.encode())
    }

    fn stored(&mut self, _: SymbolId, _: &mut u64) -> bool {
        self.metrics.bus_published.inc();
        false
    }
}

/// Whether what another node published is newer than what this one knows, by the clock of the venue that both look at.
fn is_ahead(theirs: &Ticker, ours: &Ticker) -> bool {
    let times = theirs.ts_event.zip(ours.ts_event);
    theirs.venue.is_some()
        && (ours.price.is_none()
            || theirs.venue == ours.venue && times.is_some_and(|(theirs, ours)| theirs.0 > ours.0))
}

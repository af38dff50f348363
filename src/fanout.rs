//! From the newest of every symbol to each stream: which symbols, which fields, how fast.
//!
//! Nothing is queued for a stream. A tick changes [`Latest`] and nothing else; each stream looks, when its
//! throttle allows, for what it has not sent yet, so a slow one skips what it was too slow for and costs memory
//! bounded by its symbols. How a stream waits ([`bells`]) and who encodes ([`encodings`]) is private to here.

mod bells;
mod budget;
mod encodings;
mod pending;
mod subscription;

use std::sync::Arc;

pub use bells::Bells;
pub use budget::Budget;
pub use pending::MinChange;
pub use subscription::{Flush, Subscription, Wanted};

use crate::catalogue::SymbolId;
use crate::http::sse::{Cursor, Epoch};
use crate::latest::Latest;
use crate::metrics::Metrics;
use encodings::Encodings;

/// What all streams share. Every clone is the same.
#[derive(Clone)]
pub struct Fanout {
    latest: Latest,
    bells: Arc<Bells>,
    encodings: Arc<Encodings>,
    metrics: Arc<Metrics>,
    epoch: Epoch,
}

impl Fanout {
    /// The fan-out of a store, with the bells that the store rings. `epoch` names this run in every cursor.
    pub fn new(latest: Latest, bells: Arc<Bells>, metrics: Arc<Metrics>, epoch: Epoch) -> Self {
        let encodings = Arc::new(Encodings::new(latest.catalogue().len()));
        Self { latest, bells, encodings, metrics, epoch }
    }

    /// Wakes streams at changes, for ever.
    pub async fn run(&self) {
        self.bells.run().await;
    }

    /// The store behind it.
    pub fn latest(&self) -> &Latest {
        &self.latest
    }

    /// The place of the newest change.
    pub fn cursor(&self) -> Cursor {
        self.at(self.latest.committed())
    }

    /// Follows what is wanted, from now on.
    pub fn subscribe(&self, wanted: Wanted) -> Subscription {
        Subscription::new(self.clone(), wanted)
    }

    /// The place that a client's cursor names, if it is one of this run that has been reached. Version 0 is none:
    /// who got no further than `hello` has no snapshot yet.
    pub fn resume(&self, text: &str) -> Option<Cursor> {
        let cursor: Cursor = text.parse().ok()?;
        let reached = (1..=self.latest.committed()).contains(&cursor.version);
        (cursor.epoch == self.epoch && reached).then_some(cursor)
    }

    fn at(&self, version: u64) -> Cursor {
        Cursor { epoch: self.epoch, version }
    }

    fn changed_since(&self, symbol: SymbolId, version: u64) -> bool {
        self.latest.version(symbol) > version
    }
}

#[cfg(test)]
pub(crate) mod tests;

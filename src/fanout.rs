//! From the newest of every symbol to each stream: which symbols, which fields, how fast.
//!
//! Nothing is queued for a stream. A tick changes [`Latest`] and nothing else; each stream looks, when its
//! throttle allows, for what it has not sent yet, so a slow one skips what it was too slow for and costs memory
//! bounded by its symbols. A stream is a [`Place`], which never waits. Who serves many of them takes their turns one
//! after the other with one [`Shelf`] and one set of lists ([`Waiting`]); a [`Subscription`] waits by itself.

mod bells;
mod budget;
mod candles;
mod choice;
mod ear;
mod encodings;
mod interest;
mod known;
mod min_change;
mod place;
mod shelf;
mod subscription;
mod ticks;
mod waiting;

use std::sync::Arc;

pub use bells::{Bells, Marks};
pub use budget::{Budget, Counted};
pub use interest::{Hold, Interest};
pub use min_change::MinChange;
pub use place::{Place, Turn, Wait};
pub use shelf::Shelf;
pub use subscription::{Flush, Mode, Subscription, Waiter, Wanted};
pub use ticks::From;
pub(crate) use ticks::Gap;
pub use waiting::{Places, Waiting};

use tokio::time::Instant;

use crate::http::sse::{Cursor, Epoch};
use crate::latest::Latest;
use crate::metrics::Metrics;
use choice::Choices;
use ear::Sleepers;
use encodings::Encodings;

/// What all streams share. Every clone is the same.
#[derive(Clone)]
pub struct Fanout {
    latest: Latest,
    bells: Arc<Bells>,
    sleepers: Arc<Sleepers>,
    choices: Arc<Choices>,
    encodings: Arc<Encodings>,
    metrics: Arc<Metrics>,
    interest: Option<Arc<Interest>>,
}

impl Fanout {
    /// The fan-out of a store, with the bells that the store rings. `epoch` names this run in every cursor.
    pub fn new(latest: Latest, bells: Arc<Bells>, metrics: Arc<Metrics>, epoch: Epoch) -> Self {
        let sleepers = Arc::new(Sleepers::new(&bells));
        let interest = latest.is_told().then(Arc::default);
        latest.name(epoch);
        Self {
            latest,
            bells,
            sleepers,
            choices: Arc::new(Choices::of(interest.clone())),
            encodings: Arc::new(Encodings::new()),
            metrics,
            interest,
        }
    }

    /// Wakes the streams that wait by themselves at changes, for ever.
    pub async fn run(&self) {
        self.sleepers.run().await;
    }

    /// The store behind it.
    pub fn latest(&self) -> &Latest {
        &self.latest
    }

    /// What streams want, where somebody has to bring it in.
    pub fn interest(&self) -> Option<&Arc<Interest>> {
        self.interest.as_ref()
    }

    /// Follows what is wanted, from now on.
    pub fn subscribe(&self, wanted: Wanted) -> Subscription {
        Subscription::new(self.clone(), wanted)
    }

    /// The place of a stream that wants this.
    pub fn place(&self, wanted: Wanted) -> Place {
        Place::new(self, wanted, Instant::now())
    }

    /// The lists of those that wait in one more fan-out thread, which `ring` wakes; `None` where there are too many.
    pub fn listen(&self, ring: impl Fn() + Send + Sync + 'static) -> Option<Waiting> {
        Some(Waiting::new(self.bells.listen(ring)?))
    }

    /// The place that a client's cursor names, if it is one of this run that has been reached. Version 0 is none:
    /// who got no further than `hello` has no snapshot yet.
    pub fn resume(&self, text: &str) -> Option<Cursor> {
        let cursor: Cursor = text.parse().ok()?;
        let is_reached = cursor.epoch == self.latest.epoch() && self.latest.is_reached(cursor.version);
        (is_reached && cursor.version > 0).then_some(cursor)
    }

    /// Where a stream of trades goes on for a client with this cursor.
    pub fn resume_ticks(&self, text: &str) -> From {
        let cursor = text.parse::<Cursor>().ok().filter(|cursor| {
            cursor.epoch == self.latest.trades_epoch() && self.latest.is_trade_reached(cursor.version)
        });
        cursor.map_or(From::Unknown, |cursor| From::Version(cursor.version))
    }

    /// The cursor of a version of this run.
    pub fn at(&self, version: u64) -> Cursor {
        Cursor { epoch: self.latest.epoch(), version }
    }
}

#[cfg(test)]
pub(crate) mod tests;

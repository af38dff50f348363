//! The newest trades of one symbol, in the order they came: what streams of mode `ticks` send, resume from, and are
//! told to have lost when they come too late. Kept only while somebody follows them, and a while longer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use smallvec::SmallVec;
use tickcast_feeds::{Trade, Venue};
use tokio::time::Instant;

use crate::consolidate::Moment;
use crate::fields::FieldSet;
use crate::ticker::Ticker;

/// Choices of fields whose message a trade keeps; more are made anew for each stream.
const ENCODINGS_MAX: usize = 4;

/// One trade and what it left behind.
#[derive(Debug)]
pub struct Print {
    /// Its own version: the `id` of its message.
    pub version: u64,
    /// The symbol's state with it, where price, size, venue and times are the trade's.
    pub ticker: Ticker,
    encoded: Mutex<SmallVec<[(FieldSet, Bytes); 1]>>,
}

impl Print {
    /// Its message with these fields, as `make` makes it when asked first.
    pub fn message(&self, fields: FieldSet, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, message)) = encoded.iter().find(|(choice, _)| *choice == fields) {
            return message.clone();
        }
        let message = make(self);
        if encoded.len() < ENCODINGS_MAX {
            encoded.push((fields, message.clone()));
        }
        message
    }
}

/// Trades that a venue has made and we have not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Which venue.
    pub venue: Venue,
    /// How many, where its numbering tells.
    pub trades: Option<u64>,
}

/// Something in a symbol's history.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A trade.
    Print(Arc<Print>),
    /// A hole.
    Missed {
        /// Its place among the trades.
        version: u64,
        /// What is missing.
        missed: Missed,
    },
}

impl Entry {
    /// Its place.
    pub fn version(&self) -> u64 {
        match self {
            Self::Print(print) => print.version,
            Self::Missed { version, .. } => *version,
        }
    }
}

/// A symbol's newest trades.
#[derive(Debug)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    /// Everything after this version is here.
    since: u64,
    most: usize,
    followers: u32,
    /// Since when nobody follows.
    left_at: Option<Instant>,
}

/// What a look into a history finds.
#[derive(Debug, Default)]
pub struct Past {
    /// In ascending version.
    pub entries: Vec<Entry>,
    /// There are more between the last of these and the newest that was asked for.
    pub more: bool,
    /// Entries up to this version are no longer there, though they were asked for.
    pub lost_through: Option<u64>,
}

impl History {
    /// From this version on, at most so many entries.
    pub(super) fn new(since: u64, most: usize) -> Self {
        Self { entries: VecDeque::new(), since, most, followers: 0, left_at: None }
    }

    pub(super) fn follow(&mut self) {
        self.followers += 1;
        self.left_at = None;
    }

    pub(super) fn unfollow(&mut self, now: Instant) {
        self.followers = self.followers.saturating_sub(1);
        if self.followers == 0 {
            self.left_at = Some(now);
        }
    }

    /// Since when nobody follows; `None` while somebody does.
    pub(super) fn left_at(&self) -> Option<Instant> {
        self.left_at
    }

    pub(super) fn trade(
        &mut self,
        version: u64,
        venue: Venue,
        trade: &Trade<'_>,
        state: &Ticker,
        now: Moment,
    ) {
        let ticker = Ticker {
            price: Some(trade.price),
            last: Some(trade.price),
            last_size: trade.size,
            venue: Some(venue),
            ts_event: trade.ts_event,
            ts_recv: Some(now.wall),
            ..state.clone()
        };
        self.push(Entry::Print(Arc::new(Print { version, ticker, encoded: Mutex::default() })));
    }

    pub(super) fn missed(&mut self, version: u64, missed: Missed) {
        self.push(Entry::Missed { version, missed });
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == self.most
            && let Some(oldest) = self.entries.pop_front()
        {
            self.since = oldest.version();
        }
        self.entries.push_back(entry);
    }

    /// What came after one version, up to another, the oldest first.
    pub(super) fn between(&self, after: u64, through: u64, most: usize) -> Past {
        let start = self.entries.partition_point(|entry| entry.version() <= after);
        let end = self.entries.partition_point(|entry| entry.version() <= through);
        let entries: Vec<_> = self.entries.range(start..end.max(start)).take(most).cloned().collect();
        let more = end.saturating_sub(start) > entries.len();
        Past { entries, more, lost_through: (self.since > after).then_some(self.since) }
    }
}

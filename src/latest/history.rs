//! The newest trades of one symbol, in the order they came: what streams of mode `ticks` send, resume from, and are
//! told to have lost when they come too late. Kept only while somebody follows them, and a while longer; or always, and not
//! for long, where they are published to other nodes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tickcast_feeds::{Trade, TradeId, Venue};
use tokio::time::Instant;

use super::marks::{self, Mark};
use crate::consolidate::Moment;
use crate::fields::FieldSet;
use crate::ticker::Ticker;

/// Choices of fields whose message a trade keeps; more are made anew for each stream.
const ENCODINGS_MAX: usize = 4;
/// The history of a symbol's trades is kept so long after its last follower left: who lost its connection comes back
/// within this, or for something else.
const KEPT: Duration = Duration::from_secs(300);
/// What was published is kept for so many nanoseconds, where no client wants it: another node that publishes from now on may be behind.
const PUBLISHED_KEPT: i64 = 10_000_000_000;
/// What was not published is kept no longer than this where no client wants it.
const UNPUBLISHED_KEPT: i64 = 60_000_000_000;
/// Of a node that has published nothing: what another one publishes it need not keep.
const UNPUBLISHED: u64 = u64::MAX;
/// Where a history begins whose trades have not been brought yet.
const NOWHERE: u64 = u64::MAX;

/// One trade and what it left behind.
#[derive(Debug)]
pub struct Print {
    /// Its own version: the `id` of its message.
    pub version: u64,
    /// The symbol's state with it, where price, size, venue and times are the trade's.
    pub ticker: Ticker,
    /// The venue's id of the trade, where it is a number.
    pub trade: Option<u64>,
    encoded: Mutex<SmallVec<[(FieldSet, Bytes); 1]>>,
}

impl Print {
    /// A trade that left this behind.
    pub fn new(version: u64, ticker: Ticker, trade: Option<u64>) -> Self {
        Self { version, ticker, trade, encoded: Mutex::default() }
    }

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

/// Trades that were made and are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The venue that we did not see; `None`: they were lost between two of our nodes, whosever they are.
    pub venue: Option<Venue>,
    /// How many, where that is known.
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
    /// Where they are published: what is up to this version need not be kept for that.
    published: Option<u64>,
    /// The newest trade of each venue that is no longer here.
    gone: SmallVec<[Mark; 2]>,
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

/// What there is of a symbol's trades for who is to publish them.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Everything after this version is here.
    pub since: u64,
    /// The newest trade of each venue before that.
    pub gone: SmallVec<[Mark; 2]>,
    /// Up to here this node has published them; 0 where it has not.
    pub published: u64,
}

impl History {
    /// From this version on, at most so many entries.
    pub(super) fn new(since: u64, most: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            since,
            most,
            followers: 0,
            left_at: None,
            published: None,
            gone: SmallVec::new(),
        }
    }

    /// The same, of trades that others bring: none of them is here.
    pub(super) fn awaited(most: usize) -> Self {
        Self::new(NOWHERE, most)
    }

    pub(super) fn follow(&mut self, most: usize) {
        self.followers += 1;
        self.left_at = None;
        self.most = self.most.max(most);
    }

    pub(super) fn unfollow(&mut self, now: Instant) {
        self.followers = self.followers.saturating_sub(1);
        if self.followers == 0 {
            self.left_at = Some(now);
        }
    }

    /// Keeps them to be published, at most so many.
    pub(super) fn publish(&mut self, most: usize) {
        self.published.get_or_insert(UNPUBLISHED);
        self.most = self.most.max(most);
    }

    /// Notes what was published.
    pub(super) fn published(&mut self, through: u64) {
        self.published = Some(through);
    }

    /// What there is to publish.
    pub(super) fn start(&self) -> Start {
        let published = self.published.filter(|&published| published != UNPUBLISHED).unwrap_or(0);
        Start { since: self.since, gone: self.gone.clone(), published }
    }

    /// Whether nobody needs any of it any more. Lets go of what nobody needs.
    pub(super) fn is_over(&mut self, now: Moment) -> bool {
        let left = self.left_at.map(|at| now.at.saturating_duration_since(at.into_std()));
        if self.followers > 0 || left.is_some_and(|left| left <= KEPT) {
            return false;
        }
        let Some(published) = self.published else { return left.is_some() };
        while self.entries.front().is_some_and(|oldest| {
            let Entry::Print(print) = oldest else { return true };
            let age = now.wall.0 - print.ticker.ts_recv.map_or(0, |at| at.0);
            age > if print.version <= published { PUBLISHED_KEPT } else { UNPUBLISHED_KEPT }
        }) {
            self.drop_oldest();
        }
        false
    }

    /// Whether its trades were brought.
    pub(super) fn is_here(&self) -> bool {
        self.since != NOWHERE
    }

    /// Takes over what was brought: everything after `since`, where that is said, or else after what is here. Nothing where it
    /// is not known what was before.
    pub(super) fn bring(&mut self, since: Option<u64>, brought: impl IntoIterator<Item = Entry>) {
        if let Some(since) = since
            && (!self.is_here() || since > self.newest().unwrap_or(self.since))
        {
            self.entries.clear();
            self.since = since;
        }
        if !self.is_here() {
            return;
        }
        for entry in brought {
            if entry.version() > self.newest().unwrap_or(self.since) {
                self.push(entry);
            }
        }
    }

    /// Begins again with what others bring.
    pub(super) fn await_again(&mut self) {
        self.entries.clear();
        self.since = NOWHERE;
    }

    /// The newest entry's version.
    pub(super) fn newest(&self) -> Option<u64> {
        self.entries.back().map(Entry::version)
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
        let id = trade.id.as_ref().and_then(TradeId::number);
        self.push(Entry::Print(Arc::new(Print::new(version, ticker, id))));
    }

    pub(super) fn missed(&mut self, version: u64, missed: Missed) {
        self.push(Entry::Missed { version, missed });
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == self.most {
            self.drop_oldest();
        }
        self.entries.push_back(entry);
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.since = oldest.version();
        if self.published.is_some()
            && let Entry::Print(print) = oldest
        {
            marks::pass(&mut self.gone, &print);
        }
    }

    /// What came after one version, up to another, the oldest first.
    pub(super) fn between(&self, after: u64, through: u64, most: usize) -> Past {
        let start = self.entries.partition_point(|entry| entry.version() <= after);
        let end = self.entries.partition_point(|entry| entry.version() <= through);
        let entries: Vec<_> = self.entries.range(start..end.max(start)).take(most).cloned().collect();
        let more = end.saturating_sub(start) > entries.len();
        let lost_through = (after < self.since && self.since <= through).then_some(self.since);
        Past { entries, more, lost_through }
    }
}

//! Mode `ticks`: every trade in order, out of the histories that the store keeps. A stream has no queue of its own: one
//! that is slow or away reads on where it was, and is told what is no longer there.

use std::collections::HashMap;
use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use utoipa::ToSchema;

use super::Fanout;
use super::choice::Choice;
use super::shelf::{Parcel, Shelf};
use crate::candles::Interval;
use crate::catalogue::SymbolId;
use crate::clock;
use crate::fields;
use crate::http::sse::{self, Cursor, Epoch, EventData, EventName};
use crate::latest::{HistoryEntry, Latest, Missed, Print};
use tickcast_feeds::Venue;

/// Entries of one flush. A stream that has more to catch up with takes several.
const ENTRIES_MAX: usize = 256;

/// How far one stream has come.
pub(super) struct Ticks {
    /// Everything up to this version was sent or told as lost.
    through: u64,
    /// Whose version that is.
    epoch: Epoch,
    /// The client asked to resume from where we cannot.
    unknown_cursor: bool,
    /// The trades of some symbols are still to come to this node.
    awaits: bool,
    latest: Latest,
    followed: Vec<Followed>,
    /// Trades kept of a symbol that nobody has followed yet.
    history: usize,
}

#[derive(Clone, Copy, Debug)]
struct Followed {
    id: SymbolId,
    /// What came up to this version is not its client's: it did not follow the symbol yet.
    begin: u64,
}

/// Trades (mode `ticks`) or bars that this stream does not have.
#[derive(Serialize, ToSchema)]
pub(crate) struct Gap<'a> {
    /// `null`: of any of the stream's symbols.
    #[schema(required = true)]
    symbol: Option<&'a str>,
    cause: Cause,
    /// The last id before the hole, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Cursor>, nullable = false)]
    after: Option<String>,
    /// The id up to which trades may be missing. Of bars there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Cursor>, nullable = false)]
    through: Option<String>,
    /// Whose trades they are, where it is one venue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    venue: Option<&'static str>,
    /// How many are missing, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    missing: Option<u64>,
    /// Of bars: how long they last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    interval: Option<Interval>,
    /// Of bars: the last one that is missing, by its `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    through_time: Option<i64>,
}

impl<'a> Gap<'a> {
    /// Trades of one symbol, or of any, up to an id.
    fn of_trades(symbol: Option<&'a str>, cause: Cause, through: String) -> Self {
        let (after, venue, missing, interval, through_time) = (None, None, None, None, None);
        Self { symbol, cause, after, through: Some(through), venue, missing, interval, through_time }
    }

    /// Bars of one symbol, up to one that begins at this time.
    pub(super) fn of_bars(symbol: &'a str, interval: Interval, through_time: i64) -> Self {
        let (after, through, venue, missing) = (None, None, None, None);
        let (interval, through_time) = (Some(interval), Some(through_time));
        Self {
            symbol: Some(symbol),
            cause: Cause::Candles,
            after,
            through,
            venue,
            missing,
            interval,
            through_time,
        }
    }
}

impl EventData for Gap<'_> {
    const NAME: EventName = EventName::Gap;
}

/// Why trades are missing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GapCause)]
pub(crate) enum Cause {
    /// They are older than what is kept of a symbol, here or on the way to this node.
    Overflow,
    /// The venue made them while we were not connected, or lost them on the way.
    Feed,
    /// The cursor is of another run, or no cursor of ours.
    UnknownCursor,
    /// Bars that were over are kept no longer.
    Candles,
}

impl Ticks {
    /// From now on, or from where a client was.
    pub(super) fn new(fanout: &Fanout, symbols: &[SymbolId], from: From, history: usize) -> Self {
        let latest = fanout.latest.clone();
        let epoch = latest.trades_epoch();
        // Followed one after the other, so the last one's version is the one after which all of them have everything.
        let mut now = latest.trades_committed();
        for &id in symbols {
            now = latest.follow_trades(id, history);
        }
        let (through, unknown_cursor) = match from {
            From::Now => (now, false),
            From::Version(version) => (version, false),
            From::Unknown => (now, true),
        };
        let followed = symbols.iter().map(|&id| Followed { id, begin: 0 }).collect();
        Self { through, epoch, unknown_cursor, awaits: latest.is_told(), latest, followed, history }
    }

    /// Follows other symbols from now on.
    pub(super) fn follow(&mut self, symbols: &[SymbolId]) {
        self.awaits = self.latest.is_told();
        let mut before: HashMap<_, _> =
            self.followed.drain(..).map(|followed| (followed.id, followed)).collect();
        for &id in symbols {
            let followed = before
                .remove(&id)
                .unwrap_or_else(|| Followed { id, begin: self.latest.follow_trades(id, self.history) });
            self.followed.push(followed);
        }
        before.into_keys().for_each(|id| self.latest.unfollow_trades(id));
    }

    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// Up to where everything is here.
    pub(super) fn newest(&self) -> u64 {
        if self.is_here() { self.latest.trades_committed() } else { self.through }
    }

    /// Begins again with the versions of another epoch. What its client missed on the way is not known.
    pub(super) fn begin(&mut self, epoch: Epoch) {
        // Where there was no epoch yet, nothing was missed.
        let is_first = std::mem::replace(&mut self.epoch, epoch) == Epoch(0);
        self.unknown_cursor |= !is_first;
        self.through = if is_first { self.latest.trades_committed() } else { 0 };
        self.followed.iter_mut().for_each(|followed| followed.begin = 0);
        self.awaits = true;
    }

    pub(super) fn is_behind(&self) -> bool {
        let newest = self.latest.trades_committed();
        self.unknown_cursor
            || newest > self.through
                && self.is_here()
                && self
                    .followed
                    .iter()
                    .any(|followed| self.latest.trades_version(followed.id) > Some(self.through))
    }

    /// Whether the trades of all symbols are here. Until then there are none: they would come out of their order.
    fn is_here(&self) -> bool {
        !self.awaits || self.followed.iter().all(|followed| self.latest.trades_version(followed.id).is_some())
    }

    /// Takes what is to be sent now, and whether there is more.
    pub(super) fn take(&mut self, choice: &Choice, fanout: &Fanout, shelf: &Shelf) -> Option<Parcel> {
        // In this order: what is here by then is so up to that version.
        let is_here = self.is_here();
        self.awaits &= !is_here;
        // A cursor may be ahead of what has come to this node.
        let mut through = self.latest.trades_committed().max(self.through);
        let mut found = Vec::new();
        let mut out = BytesMut::new();
        if std::mem::take(&mut self.unknown_cursor) {
            self.gap(&mut out, None, Cause::UnknownCursor, None, self.through);
        }
        if !is_here {
            through = self.through;
        }
        for &Followed { id, begin } in &self.followed {
            if self.latest.trades_version(id).is_none_or(|version| version <= self.through) {
                continue;
            }
            let past = self.latest.trades(id, self.through.max(begin), through, ENTRIES_MAX);
            if let Some(lost_through) = past.lost_through {
                self.gap(&mut out, Some(id), Cause::Overflow, Some(self.through), lost_through);
            }
            if past.more
                && let Some(last) = past.entries.last()
            {
                // Behind this there are more of this symbol: what others have behind it has to wait for them.
                through = through.min(last.version());
            }
            found.extend(past.entries.into_iter().map(|entry| (id, entry)));
        }
        found.retain(|(_, entry)| entry.version() <= through);
        found.sort_unstable_by_key(|(_, entry)| entry.version());
        if found.len() > ENTRIES_MAX {
            found.truncate(ENTRIES_MAX);
            through = found.last().map_or(through, |(_, entry)| entry.version());
        }
        let mut messages = 0;
        for (id, entry) in &found {
            match entry {
                HistoryEntry::Print(print) => {
                    messages += 1;
                    out.extend_from_slice(&self.message(fanout, *id, choice, print));
                }
                HistoryEntry::Missed { version, missed: Missed { venue, trades } } => {
                    let catalogue = fanout.latest.catalogue();
                    let symbol = Some(&*catalogue.entry(*id).symbol);
                    let cause = if venue.is_some() { Cause::Feed } else { Cause::Overflow };
                    let gap = Gap::of_trades(symbol, cause, self.at(*version).to_string());
                    let gap = Gap { venue: venue.map(Venue::name), missing: *trades, ..gap };
                    sse::event(&mut out, &gap, None);
                }
            }
        }
        self.through = through;
        if out.is_empty() {
            return None;
        }
        let payload = out.len();
        let bytes = shelf.framing().wrap(out.freeze());
        Some(Parcel { bytes, payload, messages, conflated: 0, last: through })
    }

    fn gap(&self, out: &mut BytesMut, id: Option<SymbolId>, cause: Cause, after: Option<u64>, through: u64) {
        let catalogue = self.latest.catalogue();
        let symbol = id.map(|id| &*catalogue.entry(id).symbol);
        let after = after.map(|version| self.at(version).to_string());
        let gap = Gap { after, ..Gap::of_trades(symbol, cause, self.at(through).to_string()) };
        sse::event(out, &gap, None);
    }

    fn at(&self, version: u64) -> Cursor {
        Cursor { epoch: self.epoch, version }
    }

    fn message(&self, fanout: &Fanout, id: SymbolId, choice: &Choice, print: &Print) -> Bytes {
        print.message(choice.fields, |print| {
            let mut out = BytesMut::with_capacity(256);
            let catalogue = fanout.latest.catalogue();
            let entry = catalogue.entry(id);
            sse::price_data(&mut out, |out| {
                fields::write_json(out, choice.fields, entry, &print.ticker, print.version, clock::wall());
            });
            sse::price_end(&mut out, self.at(print.version));
            out.freeze()
        })
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticks")
            .field("through", &self.through)
            .field("followed", &self.followed)
            .finish_non_exhaustive()
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.followed.iter().for_each(|followed| self.latest.unfollow_trades(followed.id));
    }
}

/// Where a stream of trades begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With what comes.
    Now,
    /// After this version, which this run has reached.
    Version(u64),
    /// With what comes, and with word of it: the client's cursor says nothing here.
    Unknown,
}

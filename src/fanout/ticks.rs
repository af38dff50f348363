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
use crate::http::sse::{self, Cursor, EventData, EventName};
use crate::latest::{HistoryEntry, Latest, Missed, Print};

/// Entries of one flush. A stream that has more to catch up with takes several.
const ENTRIES_MAX: usize = 256;

/// How far one stream has come.
pub(super) struct Ticks {
    /// Everything up to this version was sent or told as lost.
    through: u64,
    /// The client asked to resume from where we cannot.
    unknown_cursor: bool,
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
    /// They are older than what is kept of a symbol.
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
        // Followed one after the other, so the last one's version is the one after which all of them have everything.
        let mut now = latest.committed();
        for &id in symbols {
            now = latest.follow_trades(id, history);
        }
        let (through, unknown_cursor) = match from {
            From::Now => (now, false),
            From::Version(version) => (version, false),
            From::Unknown => (now, true),
        };
        let followed = symbols.iter().map(|&id| Followed { id, begin: 0 }).collect();
        Self { through, unknown_cursor, latest, followed, history }
    }

    /// Follows other symbols from now on.
    pub(super) fn follow(&mut self, symbols: &[SymbolId]) {
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

    pub(super) fn is_behind(&self) -> bool {
        self.unknown_cursor
            || self.followed.iter().any(|followed| self.latest.version(followed.id) > self.through)
    }

    /// Takes what is to be sent now, and whether there is more.
    pub(super) fn take(&mut self, choice: &Choice, fanout: &Fanout, shelf: &Shelf) -> Option<Parcel> {
        let mut through = self.latest.committed();
        let mut found = Vec::new();
        let mut out = BytesMut::new();
        if std::mem::take(&mut self.unknown_cursor) {
            self.gap(&mut out, fanout, None, Cause::UnknownCursor, None, self.through);
        }
        for &Followed { id, begin } in &self.followed {
            if self.latest.version(id) <= self.through {
                continue;
            }
            let past = self.latest.trades(id, self.through.max(begin), through, ENTRIES_MAX);
            if let Some(lost_through) = past.lost_through {
                self.gap(&mut out, fanout, Some(id), Cause::Overflow, Some(self.through), lost_through);
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
                    out.extend_from_slice(&message(fanout, *id, choice, print));
                }
                HistoryEntry::Missed { version, missed: Missed { venue, trades } } => {
                    let catalogue = fanout.latest.catalogue();
                    let symbol = Some(&*catalogue.entry(*id).symbol);
                    let gap = Gap::of_trades(symbol, Cause::Feed, fanout.at(*version).to_string());
                    let gap = Gap { venue: Some(venue.name()), missing: *trades, ..gap };
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

    fn gap(
        &self,
        out: &mut BytesMut,
        fanout: &Fanout,
        id: Option<SymbolId>,
        cause: Cause,
        after: Option<u64>,
        through: u64,
    ) {
        let catalogue = self.latest.catalogue();
        let symbol = id.map(|id| &*catalogue.entry(id).symbol);
        let after = after.map(|version| fanout.at(version).to_string());
        let gap = Gap { after, ..Gap::of_trades(symbol, cause, fanout.at(through).to_string()) };
        sse::event(out, &gap, None);
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

fn message(fanout: &Fanout, id: SymbolId, choice: &Choice, print: &Print) -> Bytes {
    print.message(choice.fields, |print| {
        let mut out = BytesMut::with_capacity(256);
        let catalogue = fanout.latest.catalogue();
        let entry = catalogue.entry(id);
        sse::price_data(&mut out, |out| {
            fields::write_json(out, choice.fields, entry, &print.ticker, print.version, clock::wall());
        });
        sse::price_end(&mut out, fanout.at(print.version));
        out.freeze()
    })
}

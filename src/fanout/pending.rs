//! What one stream has sent of each of its symbols, and what it has not: the part of a subscription that does
//! not wait.

use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use tickcast_feeds::{Price, UnixNanos};

use super::Fanout;
use super::encodings::Encoded;
use crate::catalogue::SymbolId;
use crate::fields::FieldSet;
use crate::metrics::in_seconds;
use crate::ticker::Status;

/// How far a price must move before it is worth a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinChange {
    /// By so much of the currency.
    Amount(Decimal),
    /// By this fraction of the price sent last: `0.0005` is 0.05 %.
    Fraction(Decimal),
}

impl MinChange {
    /// Whether a move from `sent` to `now` is far enough. From or to no price always is, and so is a move too
    /// large to calculate with.
    fn reached(self, sent: Option<Price>, now: Option<Price>) -> bool {
        let (Some(sent), Some(now)) = (sent.map(Price::get), now.map(Price::get)) else { return sent != now };
        let least = match self {
            Self::Amount(amount) => Some(amount),
            Self::Fraction(fraction) => sent.checked_mul(fraction),
        };
        let moved = now.checked_sub(sent).map(|change| change.abs());
        moved.zip(least).is_none_or(|(moved, least)| moved >= least)
    }
}

/// The symbols of one stream.
#[derive(Debug)]
pub(super) struct Pending {
    followed: Box<[Followed]>,
    fields: FieldSet,
    /// Only for streams with a `min_change`, one per symbol: the others need not pay for it.
    sent: Option<(MinChange, Box<[Sent]>)>,
    max_silence: Duration,
}

#[derive(Clone, Debug)]
struct Followed {
    id: SymbolId,
    /// The version of the symbol that was looked at last.
    seen: u64,
    /// How many changes it had had by then.
    count: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet; the client has what was true at this version, if any.
    New { since: Option<u64> },
    /// What was sent last said this.
    Sent { digest: u64 },
    /// The client has what was true when it left, and nothing has changed since.
    Resumed,
}

/// What `min_change` and `max_silence` are counted from.
#[derive(Clone, Debug)]
struct Sent {
    price: Option<Price>,
    status: Option<Status>,
    at: Instant,
    /// A change is being withheld.
    withheld: bool,
}

/// What a look found.
pub(super) enum Found {
    /// Messages in ascending version, at least one.
    Messages(Vec<Encoded>),
    /// Nothing to send.
    Nothing,
    /// Something that is just being written: look again at once.
    Unfinished,
}

/// One symbol, looked at.
struct Look {
    version: u64,
    count: u64,
    encoded: Encoded,
    /// From the frame to the message, where this look made it.
    made_after: Option<UnixNanos>,
}

/// The clock is read for streams with a `min_change` only: the others have no use for it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Pending {
    pub(super) fn new(
        symbols: &[SymbolId],
        fields: FieldSet,
        min_change: Option<MinChange>,
        max_silence: Duration,
        since: Option<u64>,
    ) -> Self {
        let followed = symbols
            .iter()
            .map(|&id| Followed { id, seen: 0, count: 0, state: State::New { since } })
            .collect::<Box<[_]>>();
        let sent = Sent { price: None, status: None, at: now(), withheld: false };
        let sent = min_change.map(|least| (least, vec![sent; symbols.len()].into_boxed_slice()));
        Self { followed, fields, sent, max_silence }
    }

    /// Whether any symbol has moved since it was looked at. Does not count what is withheld.
    pub(super) fn any(&self, fanout: &Fanout) -> bool {
        self.followed
            .iter()
            .any(|followed| followed.is_new() || fanout.changed_since(followed.id, followed.seen))
    }

    /// When the first withheld change has to go out.
    pub(super) fn withheld_until(&self) -> Option<Instant> {
        let (_, sent) = self.sent.as_ref()?;
        sent.iter().filter(|sent| sent.withheld).map(|sent| sent.at + self.max_silence).min()
    }

    /// Takes all that is to be sent now.
    pub(super) fn take(&mut self, fanout: &Fanout) -> Found {
        // Read first: a row that is newer than this is left for the next look, so that everything at or below
        // the last id of a flush has been in it or before it.
        let committed = fanout.latest.committed();
        let mut messages = Vec::new();
        let mut unfinished = false;
        for index in 0..self.followed.len() {
            let followed = &self.followed[index];
            let overdue = self.overdue(index);
            if !overdue && !followed.is_new() && !fanout.changed_since(followed.id, followed.seen) {
                continue;
            }
            let Some(Look { version, count, encoded, made_after }) = self.look(fanout, followed.id) else {
                continue;
            };
            if encoded.version > committed {
                unfinished = true;
                continue;
            }
            let before = std::mem::replace(&mut self.followed[index].count, count);
            self.followed[index].seen = version;
            let first = self.followed[index].is_new();
            if !self.wants(index, &encoded, overdue) {
                continue;
            }
            if !first {
                fanout.metrics.conflated.inc_by((count - before).saturating_sub(1));
                if let Some(delay) = made_after {
                    fanout.metrics.publish_delay.observe(in_seconds(delay));
                }
            }
            self.followed[index].state = State::Sent { digest: encoded.digest };
            messages.push(encoded);
        }
        messages.sort_unstable_by_key(|message| message.version);
        match (messages.is_empty(), unfinished) {
            (false, _) => Found::Messages(messages),
            (true, true) => Found::Unfinished,
            (true, false) => Found::Nothing,
        }
    }

    fn look(&self, fanout: &Fanout, id: SymbolId) -> Option<Look> {
        let entry = fanout.latest.catalogue().entry(id);
        fanout.latest.read(id, |view| {
            let (encoded, made) = fanout.encodings.get(id, entry, self.fields, view, fanout.epoch);
            let made_after =
                made.zip(view.ticker.ts_recv).map(|(at, from)| UnixNanos(at.0.saturating_sub(from.0).max(0)));
            Look { version: view.version, count: view.count, encoded, made_after }
        })
    }

    fn overdue(&self, index: usize) -> bool {
        self.sent.as_ref().is_some_and(|(_, sent)| {
            let sent = &sent[index];
            sent.withheld && now().saturating_duration_since(sent.at) >= self.max_silence
        })
    }

    /// Whether a message says anything that this stream wants to hear.
    fn wants(&mut self, index: usize, encoded: &Encoded, overdue: bool) -> bool {
        let followed = &mut self.followed[index];
        let first = match followed.state {
            State::New { since: Some(since) } if encoded.version <= since => {
                followed.state = State::Resumed;
                return false;
            }
            State::New { .. } => true,
            // A value that went and came back between two flushes is what the client already has.
            State::Sent { digest } if digest == encoded.digest => {
                if let Some((_, sent)) = &mut self.sent {
                    sent[index].withheld = false;
                }
                return false;
            }
            State::Sent { .. } | State::Resumed => false,
        };
        let Some((least, sent)) = &mut self.sent else { return true };
        let sent = &mut sent[index];
        let due = first
            || overdue
            || sent.status != Some(encoded.status)
            || least.reached(sent.price, encoded.price);
        if due {
            *sent = Sent { price: encoded.price, status: Some(encoded.status), at: now(), withheld: false };
        } else {
            sent.withheld = true;
        }
        due
    }
}

impl Followed {
    fn is_new(&self) -> bool {
        matches!(self.state, State::New { .. })
    }
}

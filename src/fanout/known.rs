//! What a client has of each of its symbols, and what of the newest it has not: the part of a stream's place that
//! knows no time but what `min_change` needs.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use smallvec::SmallVec;
use tickcast_feeds::UnixNanos;
use tokio::time::Instant;

use super::Fanout;
use super::choice::Choice;
use super::encodings::{Look, Message};
use super::min_change::Withheld;
use crate::catalogue::SymbolId;
use crate::metrics::in_seconds;

/// What a client has. Streams that wish for the same and are at the same place share one.
#[derive(Debug)]
pub(super) struct Known {
    /// Every change up to this version was sent, replaced or withheld.
    through: Through,
    /// Per symbol, what was sent last.
    said: Box<[Said]>,
    /// Whether this follows from the wish and `through` alone: then it is what any other stream at the same place has.
    complete: bool,
    /// Whether some symbols are followed since and were never sent.
    any_new: bool,
}

/// How far a client has come: to a version, or to nothing before its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Through(Option<u64>);

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// `None` where the client has it from before it came back to us.
    digest: Option<NonZeroU64>,
    /// How many changes there had been by then.
    count: u32,
    /// It is followed since, and was never sent.
    is_new: bool,
}

/// The messages of one flush, in ascending version.
pub(super) type Messages = SmallVec<[Arc<Message>; 16]>;

/// What a look found.
#[derive(Debug)]
pub(super) enum Found {
    /// This is to be sent; so many changes were replaced by newer ones.
    Messages { messages: Messages, conflated: u64 },
    /// Nothing to send.
    Nothing,
    /// Something that is just being written: look again at once.
    Unfinished,
}

impl Known {
    /// What a client has that begins, or comes back having had all up to a version.
    pub(super) fn new(symbols: usize, since: Option<u64>) -> Self {
        Self {
            through: Through(since),
            said: vec![Said::default(); symbols].into(),
            complete: since.is_none(),
            any_new: false,
        }
    }

    /// The same, to be changed for one stream alone.
    pub(super) fn copy(&self) -> Self {
        Self {
            through: self.through,
            said: self.said.clone(),
            complete: self.complete,
            any_new: self.any_new,
        }
    }

    /// What the client has of these symbols, where it followed others `before`. What it did not follow is sent however long
    /// ago it changed.
    pub(super) fn of(&self, symbols: &[SymbolId], before: &[SymbolId]) -> Self {
        let said: HashMap<SymbolId, Said> = before.iter().copied().zip(self.said.iter().copied()).collect();
        let new = Said { is_new: true, ..Said::default() };
        let said: Box<[Said]> = symbols.iter().map(|id| said.get(id).copied().unwrap_or(new)).collect();
        let any_new = said.iter().any(|said| said.is_new);
        Self { through: self.through, said, complete: false, any_new }
    }

    /// The client is to get these again, whatever their versions say, unless they say what it has.
    pub(super) fn look_again(&mut self, choice: &Choice, is_due: impl Fn(SymbolId) -> bool) {
        for (&id, said) in choice.symbols.iter().zip(&mut self.said) {
            said.is_new |= is_due(id);
            self.any_new |= said.is_new;
        }
        self.complete &= !self.any_new;
    }

    /// What names the place among streams of the same wish, if it is one that others can be at.
    pub(super) fn place(&self) -> Option<Through> {
        self.complete.then_some(self.through)
    }

    /// Whether any symbol has moved since it was looked at. Does not count what is withheld.
    pub(super) fn any(&self, choice: &Choice, fanout: &Fanout) -> bool {
        let (Through(Some(through)), false) = (self.through, self.any_new) else { return true };
        choice.symbols.iter().any(|&id| fanout.latest.version(id) > through)
    }

    /// Takes all that is to be sent now.
    pub(super) fn take(
        &mut self,
        choice: &Choice,
        fanout: &Fanout,
        withheld: &mut Option<Box<Withheld>>,
        now: Instant,
        mut look: impl FnMut(SymbolId) -> Option<(Look, Option<UnixNanos>)>,
    ) -> Found {
        // Read first: a row that is newer than this is left for the next look, so that everything at or below
        // the last id of a flush has been in it or before it.
        let committed = fanout.latest.committed();
        let Through(through) = self.through;
        let (mut messages, mut conflated, mut unfinished) = (Messages::new(), 0, false);
        for (index, (&id, said)) in choice.symbols.iter().zip(&mut self.said).enumerate() {
            let is_new = std::mem::take(&mut said.is_new);
            let overdue = withheld.as_ref().is_some_and(|withheld| withheld.is_overdue(index, now));
            let moved = through.is_none_or(|through| fanout.latest.version(id) > through);
            if !moved && !overdue && !is_new {
                continue;
            }
            let Some((Look { count, message, .. }, delay)) = look(id) else { continue };
            if message.version > committed {
                (unfinished, said.is_new) = (true, is_new);
                continue;
            }
            let before = std::mem::replace(&mut said.count, low(count));
            // Another field than the chosen ones moved.
            if !overdue && !is_new && through.is_some_and(|through| message.version <= through) {
                continue;
            }
            // A value that went and came back between two flushes is what the client already has.
            if said.digest == Some(message.digest) {
                if let Some(withheld) = withheld {
                    withheld.settle(index);
                }
                continue;
            }
            let first = through.is_none() || is_new;
            if let Some(delay) = delay.filter(|_| !first) {
                fanout.metrics.publish_delay.observe(in_seconds(delay));
            }
            if let Some(withheld) = withheld
                && !withheld.wants(index, &message, first || overdue, now)
            {
                continue;
            }
            if said.digest.replace(message.digest).is_some() {
                conflated += u64::from(said.count.wrapping_sub(before).saturating_sub(1));
            }
            messages.push(message);
        }
        // Where a client comes from another node it may be ahead of us.
        self.through = Through(Some(through.map_or(committed, |through| through.max(committed))));
        self.any_new = unfinished && self.said.iter().any(|said| said.is_new);
        self.complete = !unfinished && (self.complete || self.said.iter().all(|said| said.digest.is_some()));
        if messages.is_empty() {
            return if unfinished { Found::Unfinished } else { Found::Nothing };
        }
        messages.sort_unstable_by_key(|message| message.version);
        Found::Messages { messages, conflated }
    }
}

/// The count's low half: only differences count, and none of them is that large.
fn low(count: u64) -> u32 {
    u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

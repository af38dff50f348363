//! `min_change`: which changes of a price are worth a message, and which are withheld for a while.

use std::collections::HashMap;
use std::time::Duration;

use rust_decimal::Decimal;
use tickcast_feeds::Price;
use tokio::time::Instant;

use super::encodings::Message;
use crate::catalogue::SymbolId;
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

/// What one stream with a `min_change` was sent: only such streams pay for it.
#[derive(Debug)]
pub(super) struct Withheld {
    least: MinChange,
    max_silence: Duration,
    sent: Box<[Sent]>,
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

impl Withheld {
    pub(super) fn new(least: MinChange, max_silence: Duration, symbols: usize, now: Instant) -> Self {
        let sent = Sent { price: None, status: None, at: now, withheld: false };
        Self { least, max_silence, sent: vec![sent; symbols].into() }
    }

    /// What of these symbols was sent, where others were followed `before`.
    pub(super) fn of(&self, symbols: &[SymbolId], before: &[SymbolId], now: Instant) -> Self {
        let sent: HashMap<SymbolId, &Sent> = before.iter().copied().zip(&self.sent).collect();
        let new = Sent { price: None, status: None, at: now, withheld: false };
        let sent = symbols.iter().map(|id| sent.get(id).map_or(&new, |sent| *sent).clone()).collect();
        Self { sent, ..*self }
    }

    /// When the first withheld change has to go out.
    pub(super) fn until(&self) -> Option<Instant> {
        self.sent.iter().filter(|sent| sent.withheld).map(|sent| sent.at + self.max_silence).min()
    }

    /// Whether a symbol has been withheld for too long.
    pub(super) fn is_overdue(&self, index: usize, now: Instant) -> bool {
        let sent = &self.sent[index];
        sent.withheld && now.saturating_duration_since(sent.at) >= self.max_silence
    }

    /// Notes that the client has what there is.
    pub(super) fn settle(&mut self, index: usize) {
        self.sent[index].withheld = false;
    }

    /// Whether a message is worth sending, `anyway` or because it moved enough; notes what follows from it.
    pub(super) fn wants(&mut self, index: usize, message: &Message, anyway: bool, now: Instant) -> bool {
        let sent = &mut self.sent[index];
        let due =
            anyway || sent.status != Some(message.status) || self.least.reached(sent.price, message.price);
        if due {
            *sent = Sent { price: message.price, status: Some(message.status), at: now, withheld: false };
        } else {
            sent.withheld = true;
        }
        due
    }
}

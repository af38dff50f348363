//! What a message with trades comes to: entries of a history, or what is to be said in their place.

use std::sync::Arc;

use tracing::warn;

use super::super::super::wire::{BATCH_MAX, Trades as Message, TradesEntry};
use super::super::round::Published;
use super::Trades;
use crate::catalogue::SymbolId;
use crate::latest::{HistoryEntry, Missed, Print};
use crate::metrics::ByReason;

/// What a message says.
pub(super) enum Decoded {
    /// Behind the message with this sequence.
    Trades(u64, Vec<HistoryEntry>),
    OtherEpoch,
    /// It cannot be believed or understood; this is to be said of it.
    Nothing(Vec<HistoryEntry>),
}

impl Trades {
    /// What a message says.
    pub(super) fn decode(&mut self, id: SymbolId, published: &Published) -> Decoded {
        let refuse = |reason| self.metrics.bus_refused.get_or_create(&ByReason { reason }).inc();
        let message = match Message::decode(&published.payload) {
            Ok(message) => message,
            Err(error) => {
                refuse(error.name());
                let catalogue = self.latest.catalogue();
                if self.told.insert(error.name()) {
                    let symbol = &catalogue.entry(id).symbol;
                    warn!(symbol, "{error}; its trades are skipped, told as a gap, and counted from now on");
                }
                let missed = Missed { venue: None, trades: None };
                let version = version(published.sequence, 0);
                return Decoded::Nothing(vec![HistoryEntry::Missed { version, missed }]);
            }
        };
        if Some(message.epoch) != self.epoch {
            refuse("other_epoch");
            return Decoded::OtherEpoch;
        }
        if message.currency != self.latest.catalogue().entry(id).currency {
            refuse("other_currency");
            return Decoded::Nothing(Vec::new());
        }
        self.metrics.bus_trades_received.inc_by(message.entries.len() as u64);
        let entry = |(index, entry)| {
            let version = version(published.sequence, index);
            match entry {
                TradesEntry::Trade(ticker, trade) => {
                    HistoryEntry::Print(Arc::new(Print::new(version, *ticker, trade)))
                }
                TradesEntry::Missed(missed) => HistoryEntry::Missed { version, missed },
            }
        };
        Decoded::Trades(message.before, message.entries.into_iter().enumerate().map(entry).collect())
    }
}

/// The version of an entry: its message's sequence, and its place in it.
pub(super) fn version(sequence: u64, index: usize) -> u64 {
    sequence * BATCH_MAX as u64 + index as u64
}

/// The newest version that a message with this sequence may have; 0 where there is none.
pub(super) fn end_of(sequence: u64) -> u64 {
    if sequence == 0 { 0 } else { version(sequence, BATCH_MAX - 1) }
}

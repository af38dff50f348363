//! Every trade of each symbol, out of the histories that the store keeps. A message has all that came while the one before was on
//! its way. Who takes over goes on behind the trades that his predecessor's last message names, where his own venues have told
//! him of those too, and says so where they have not.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;
use tickcast_feeds::{UnixNanos, Venue};

use super::super::lease::Held;
use super::super::names::What;
use super::super::wire::{BATCH_MAX, Trades as Message, TradesEntry};
use super::desk::Matter;
use crate::catalogue::SymbolId;
use crate::clock;
use crate::http::sse::Epoch;
use crate::latest::{HistoryEntry, Latest, Mark, Missed, Print, Start, pass};
use crate::metrics::Metrics;

/// Entries that are looked at for one message: there may be a hole to tell before each venue's first.
const TAKEN_MAX: usize = BATCH_MAX - 1 - Venue::ALL.len();

/// Trades of a store.
pub(super) struct Trades {
    pub(super) latest: Latest,
    pub(super) metrics: Arc<Metrics>,
    /// Of the stream that they are published to.
    pub(super) epoch: Epoch,
    /// This run of this node.
    pub(super) node: u32,
    /// Entries of a symbol that wait, at most.
    pub(super) most: usize,
    /// The store's version when this node's lease began.
    pub(super) taken: u64,
}

/// Where a symbol's trades have got to.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Of our own versions, what is published, or was by somebody else.
    through: u64,
    marks: SmallVec<[Mark; 2]>,
    /// Of our own versions, what we have published ourselves.
    ours: u64,
    /// What somebody else has published and we may still come across.
    theirs: SmallVec<[Theirs; 2]>,
    /// Trades before this are neither here nor published.
    is_torn: bool,
    /// Where they are once the message on its way is stored.
    next: Option<Box<Next>>,
}

#[derive(Clone, Debug)]
struct Next {
    progress: Progress,
    /// Entries in the message.
    count: u64,
}

/// Up to where another node has published a venue's trades.
#[derive(Clone, Debug)]
struct Theirs {
    mark: Mark,
    /// When, by its clock: for trades without time and number.
    published: UnixNanos,
    /// Trades at the mark that we have not come across.
    left: u32,
    /// We know every trade between theirs and our next one.
    is_whole: bool,
}

impl Theirs {
    /// By a message of theirs, and the newest trades that we have let go of.
    fn of(mark: Mark, message: &Message, gone: &[Mark]) -> Self {
        let is_behind =
            |gone: &&Mark| gone.venue == mark.venue && mark.order(gone).is_some_and(Ordering::is_le);
        let is_whole = gone.iter().any(|gone| is_behind(&gone));
        Self { mark, published: message.published, left: mark.count, is_whole }
    }

    /// Whether they have published this trade too.
    fn passed(&mut self, print: &Print, mark: &Mark) -> bool {
        let passed = match self.mark.order(mark) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => {
                let left = self.left;
                self.left = left.saturating_sub(1);
                left > 0
            }
            Some(Ordering::Greater) => return false,
            // Whether it is the same trade cannot be known.
            None => return print.ticker.ts_recv.is_some_and(|at| at <= self.published),
        };
        self.is_whole |= passed;
        passed
    }
}

impl Matter for Trades {
    const WHAT: What = What::Trades;

    type Line = Progress;

    fn holds(&mut self, _: Option<Held>) {
        self.taken = self.latest.committed();
    }

    fn join(&mut self, id: SymbolId) {
        self.latest.publish_trades(id, self.most);
    }

    fn has_news(&self, id: SymbolId, line: &Progress) -> bool {
        !self.latest.trades(id, line.through, u64::MAX, 1).entries.is_empty()
    }

    fn found(&mut self, id: SymbolId, line: &mut Progress, found: Option<&[u8]>) -> bool {
        let Start { since, gone, published } = self.latest.trades_start(id);
        let message = found.map(|bytes| Message::decode(bytes).ok().filter(|it| it.epoch == self.epoch));
        let before = std::mem::take(line);
        *line = match message {
            Some(Some(message)) if message.node == self.node => {
                let next = before.next.clone().map(|next| next.progress);
                // The newest of ours, of which it was not known whether it is stored, or the one before it.
                let known = next.filter(|next| next.through == message.through).unwrap_or(before);
                // What came since and was somebody else's has been passed.
                let through = known.through.max(message.through);
                Progress { through, marks: message.marks, next: None, ..known }
            }
            // From the beginning, to find out where theirs end among ours.
            Some(Some(message)) => Progress {
                through: since,
                ours: published,
                theirs: message.marks.iter().map(|&mark| Theirs::of(mark, &message, &gone)).collect(),
                marks: message.marks.clone(),
                ..Progress::default()
            },
            // Nothing of the symbol was ever published to this stream.
            None => Progress { through: since.max(published), ..Progress::default() },
            // It is not known what was: only what came under this lease is certainly new.
            Some(None) => {
                let through = since.max(published).max(self.taken);
                Progress { through, is_torn: true, ..Progress::default() }
            }
        };
        self.latest.trades_published(id, line.through.max(published));
        true
    }

    fn next(&mut self, id: SymbolId, line: &mut Progress, held: Held, before: u64) -> Option<Vec<u8>> {
        let mut entries = Vec::new();
        let mut next = Progress { is_torn: false, next: None, ..line.clone() };
        let mut is_torn = line.is_torn;
        loop {
            let past = self.latest.trades(id, next.through, u64::MAX, TAKEN_MAX - entries.len());
            if is_torn || past.lost_through.is_some() {
                is_torn = false;
                self.metrics.bus_trades_torn.inc();
                entries.push(TradesEntry::Missed(Missed { venue: None, trades: None }));
            }
            past.entries.iter().for_each(|entry| next.take(entry, &mut entries));
            if !past.more || entries.len() >= TAKEN_MAX {
                break;
            }
        }
        if entries.is_empty() {
            self.latest.trades_published(id, next.through);
            *line = next;
            return None;
        }
        let message = Message {
            epoch: self.epoch,
            fence: held.fence,
            published: clock::wall(),
            currency: self.latest.catalogue().entry(id).currency.clone(),
            before,
            node: self.node,
            through: next.through,
            marks: next.marks.clone(),
            entries,
        };
        line.next = Some(Box::new(Next { progress: next, count: message.entries.len() as u64 }));
        Some(message.encode())
    }

    fn stored(&mut self, id: SymbolId, line: &mut Progress) -> bool {
        if let Some(next) = line.next.take() {
            *line = next.progress;
            self.latest.trades_published(id, line.through);
            self.metrics.bus_trades_published.inc_by(next.count);
        }
        self.has_news(id, line)
    }
}

impl Progress {
    /// Passes an entry and adds it, unless it was published before.
    fn take(&mut self, entry: &HistoryEntry, out: &mut Vec<TradesEntry>) {
        self.through = entry.version();
        match entry {
            HistoryEntry::Print(print) => {
                let Some(mark) = Mark::of(print) else { return };
                if let Some(index) = self.theirs.iter().position(|theirs| theirs.mark.venue == mark.venue) {
                    if self.theirs[index].passed(print, &mark) || print.version <= self.ours {
                        return;
                    }
                    if !self.theirs.remove(index).is_whole {
                        out.push(TradesEntry::Missed(Missed { venue: Some(mark.venue), trades: None }));
                    }
                }
                if print.version <= self.ours {
                    return;
                }
                pass(&mut self.marks, print);
                out.push(TradesEntry::Trade(Box::new(print.ticker.clone()), print.trade));
            }
            HistoryEntry::Missed { missed, version } => {
                let theirs = self.theirs.iter_mut().find(|theirs| Some(theirs.mark.venue) == missed.venue);
                match theirs {
                    // They may have seen what we have not.
                    Some(theirs) => theirs.is_whole = false,
                    None if *version <= self.ours => {}
                    None => out.push(TradesEntry::Missed(*missed)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

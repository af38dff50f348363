//! The bars that a stream asked for: what its client was told of each symbol's, and what of the newest it was not.
//!
//! Like prices, bars are not queued: a stream looks when it may send. What is over is told once, however late, as long as
//! it is kept; of the open bar only the newest state.

use std::collections::HashMap;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::Fanout;
use super::shelf::{Parcel, Shelf};
use super::ticks::Gap;
use crate::candles::{Bar, Candle, CandleEvent, Interval, News, Seen};
use crate::catalogue::SymbolId;
use crate::http::sse::{self, EventData, EventName};
use crate::latest::Latest;

/// No further symbol is looked at in a flush that has so many bars. The rest goes out with the next, at once.
const BARS_MAX: usize = 256;

/// How far one stream has come with its bars.
pub(super) struct Bars {
    interval: Interval,
    latest: Latest,
    symbols: Box<[SymbolId]>,
    seen: Box<[Seen]>,
    /// Every change up to this version was told; `None` before the first look.
    through: Option<u64>,
    /// They are to be looked at before anything else: they belong to the flush that went out last.
    due: bool,
}

impl Bars {
    /// Follows the bars of these symbols, each given once.
    pub(super) fn new(fanout: &Fanout, interval: Interval, symbols: &[SymbolId]) -> Self {
        let latest = fanout.latest.clone();
        symbols.iter().for_each(|&id| latest.follow_candles(id));
        let seen = vec![Seen::default(); symbols.len()].into();
        Self { interval, latest, symbols: symbols.into(), seen, through: None, due: false }
    }

    /// Follows other symbols from now on, each given once.
    pub(super) fn follow(&mut self, symbols: &[SymbolId]) {
        let before: HashMap<SymbolId, Seen> =
            self.symbols.iter().copied().zip(self.seen.iter().copied()).collect();
        let new = symbols.iter().filter(|id| !before.contains_key(id));
        new.for_each(|&id| self.latest.follow_candles(id));
        let gone = self.symbols.iter().filter(|id| !symbols.contains(id));
        gone.for_each(|&id| self.latest.unfollow_candles(id));
        self.seen = symbols.iter().map(|id| before.get(id).copied().unwrap_or_default()).collect();
        self.symbols = symbols.into();
        // All are looked at once more; what was told is not told again.
        self.through = None;
    }

    /// Whether any symbol has moved since it was looked at.
    pub(super) fn is_behind(&self) -> bool {
        let Some(through) = self.through else { return true };
        self.due || self.symbols.iter().any(|&id| self.latest.version(id) > through)
    }

    /// Whether there may be more for the flush that went out last.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Has them looked at next.
    pub(super) fn set_due(&mut self) {
        self.due = true;
    }

    /// Takes what is to be told now.
    pub(super) fn take(&mut self, fanout: &Fanout, shelf: &mut Shelf) -> Option<Parcel> {
        // Read first: what is newer is looked at again.
        let committed = self.latest.committed();
        let mut out = BytesMut::new();
        let mut messages = 0;
        self.due = false;
        for (&id, seen) in self.symbols.iter().zip(&mut self.seen) {
            if self.through.is_some_and(|through| self.latest.version(id) <= through) {
                continue;
            }
            if messages >= BARS_MAX {
                self.due = true;
                break;
            }
            let Some(news) = self.latest.candle_news(id, self.interval, seen) else { continue };
            messages += tell(&mut out, fanout, id, self.interval, &news);
            if let Some(bar) = &news.open {
                let make = || open(fanout, id, self.interval, bar);
                out.extend_from_slice(&shelf.bar(id, self.interval, seen.stamp(), make));
                messages += 1;
            }
        }
        if !self.due {
            self.through = Some(committed);
        }
        if out.is_empty() {
            return None;
        }
        let payload = out.len();
        let bytes = shelf.framing().wrap(out.freeze());
        Some(Parcel { bytes, payload, messages, conflated: 0, last: 0 })
    }
}

/// Writes what is over; returns how many bars. No event of a bar has an id: a cursor names a place among prices.
fn tell(out: &mut BytesMut, fanout: &Fanout, id: SymbolId, interval: Interval, news: &News) -> usize {
    let catalogue = fanout.latest.catalogue();
    let symbol = &*catalogue.entry(id).symbol;
    if let Some(through) = news.lost_through {
        fanout.metrics.candles_lost.inc();
        sse::event(out, &Gap::of_bars(symbol, interval, through.as_millis()), None);
    }
    for bar in &news.finals {
        sse::event(out, &CandleEvent { symbol, interval, candle: Candle::new(bar, true) }, None);
    }
    news.finals.len()
}

/// The event of an open bar.
fn open(fanout: &Fanout, id: SymbolId, interval: Interval, bar: &Bar) -> Bytes {
    let catalogue = fanout.latest.catalogue();
    let symbol = &*catalogue.entry(id).symbol;
    let mut out = BytesMut::with_capacity(288);
    sse::event(&mut out, &CandleEvent { symbol, interval, candle: Candle::new(bar, false) }, None);
    out.freeze()
}

impl EventData for CandleEvent<'_> {
    const NAME: EventName = EventName::Candle;
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bars")
            .field("interval", &self.interval)
            .field("through", &self.through)
            .field("symbols", &self.symbols)
            .finish_non_exhaustive()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.symbols.iter().for_each(|&id| self.latest.unfollow_candles(id));
    }
}

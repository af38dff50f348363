//! What one venue says about one symbol, and what each of its ticks may move.

use std::time::{Duration, Instant};

use tickcast_feeds::hours::{self, Phase};
use tickcast_feeds::{LastKind, Price, Quote, Size, Summary, Top, Trade, UnixNanos, Venue};

use super::recent::Recent;
use super::{Moment, Rule};
use crate::config::StaleAfter;
use crate::ticker::{self, Figures, Part, SourceView};

/// A preferred source is returned to once it has been fresh for so long.
const SETTLE: Duration = Duration::from_secs(10);
/// `stale_after = "auto"`: so many times the usual gap between a source's ticks.
const AUTO_GAPS: u32 = 20;
/// `stale_after = "auto"`: never more than this.
pub(super) const AUTO_MAX: Duration = Duration::from_secs(300);
/// The weight of the newest gap in the moving average is one in so many.
const GAP_WEIGHT: u32 = 16;

/// What one venue says about one symbol.
#[derive(Clone, Debug)]
pub struct Source {
    pub(super) venue: Venue,
    silence_max: Duration,
    pub(super) top: Top,
    top_sequence: Option<u64>,
    top_event: Option<UnixNanos>,
    /// Of regular trading.
    pub(super) last: Option<Last>,
    /// Outside regular hours: it can make the price, and is never `last`.
    extended: Option<Last>,
    recent: Recent,
    /// What it costs by this source, as judged last.
    pub(super) price: Option<Price>,
    pub(super) figures: Figures,
    /// The day whose figures these are, where the market has hours.
    trading_date: Option<hours::Date>,
    pub(super) halted: bool,
    /// Whether its connection is open and ticking.
    up: bool,
    /// Its newest tick, by both clocks, and by the venue's.
    pub(super) newest: Option<Moment>,
    pub(super) newest_event: Option<UnixNanos>,
    /// Moving average of the time between its ticks.
    gap: Option<Duration>,
    /// Since when it has been fresh without a break; `None` while it is not.
    fresh_since: Option<Instant>,
    /// Whether it was ever lost: then it has to settle before it is used again.
    was_lost: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) price: Price,
    pub(super) size: Option<Size>,
    ts_event: Option<UnixNanos>,
    id: Option<u64>,
    ts_recv: UnixNanos,
    /// From the venue's summary: good until the first trade comes.
    summary: bool,
}

/// What a tick did to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is the newest.
    Taken,
    /// It is older than what is known, and moved nothing.
    Late,
    /// It was known already, and moved nothing.
    Duplicate,
    /// A past trade sent at subscribe: it moves nothing.
    Backfill,
    /// A print that sets no last price. It may have widened the day's range.
    Ineligible,
}

impl Last {
    fn time(&self) -> UnixNanos {
        self.ts_event.unwrap_or(self.ts_recv)
    }
}

impl Source {
    /// A source that has said nothing. `silence_max` is its feed's.
    pub fn new(venue: Venue, silence_max: Duration) -> Self {
        Self {
            venue,
            silence_max,
            top: Top::default(),
            top_sequence: None,
            top_event: None,
            last: None,
            extended: None,
            recent: Recent::default(),
            price: None,
            figures: Figures::default(),
            trading_date: None,
            halted: false,
            up: false,
            newest: None,
            newest_event: None,
            gap: None,
            fresh_since: None,
            was_lost: false,
        }
    }

    /// Its feed may be silent for so long from now on.
    pub fn be_silent_for(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
    }

    /// Whose word it is.
    pub fn venue(&self) -> Venue {
        self.venue
    }

    /// Forgets everything that was said. The market's day goes on.
    pub fn restart(&mut self) {
        *self = Self { trading_date: self.trading_date, ..Self::new(self.venue, self.silence_max) };
    }

    /// Takes a print. Only a live one that may set a last price, and is not older than that one, moves it.
    pub fn trade(&mut self, trade: &Trade<'_>, now: Moment) -> Effect {
        if trade.backfill {
            return Effect::Backfill;
        }
        if self.recent.has_seen(trade) {
            return Effect::Duplicate;
        }
        let slot = match trade.moves.last {
            LastKind::Regular => &mut self.last,
            LastKind::Extended => &mut self.extended,
            LastKind::No => {
                self.widen(trade);
                return Effect::Ineligible;
            }
        };
        let id = trade.id.as_ref().and_then(tickcast_feeds::TradeId::number);
        let (ts_event, ts_recv) = (trade.ts_event, now.wall);
        let last = Last { price: trade.price, size: trade.size, ts_event, id, ts_recv, summary: false };
        let known = slot.filter(|known| !known.summary);
        if let Some(known) = known {
            // The venue's time first, then its id: two trades of one microsecond are told apart by it.
            let order = order(known.ts_event, last.ts_event).then_with(|| order(known.id, last.id));
            if order.is_gt() {
                return Effect::Late;
            }
        }
        *slot = Some(last);
        self.widen(trade);
        self.ticked(trade.ts_event, now);
        Effect::Taken
    }

    /// The day's range, where the venue has given one and the print is part of it.
    fn widen(&mut self, trade: &Trade<'_>) {
        if trade.moves.range {
            self.figures.high = self.figures.high.map(|high| high.max(trade.price));
            self.figures.low = self.figures.low.map(|low| low.min(trade.price));
        }
    }

    /// Takes a best bid and ask.
    pub fn quote(&mut self, quote: &Quote<'_>, now: Moment) -> Effect {
        let order =
            order(self.top_event, quote.ts_event).then_with(|| order(self.top_sequence, quote.sequence));
        if order.is_gt() {
            return Effect::Late;
        }
        if order.is_eq() && quote.sequence.is_some() && quote.sequence == self.top_sequence {
            return Effect::Duplicate;
        }
        self.top = Top { bid: quote.bid, bid_size: quote.bid_size, ask: quote.ask, ask_size: quote.ask_size };
        (self.top_event, self.top_sequence) = (quote.ts_event, quote.sequence);
        self.ticked(quote.ts_event, now);
        Effect::Taken
    }

    /// Takes the venue's summary. Its last price holds only until the first trade comes: trades are the finer
    /// word, and a summary may be older than the trade beside it.
    pub fn summary(&mut self, summary: &Summary<'_>, now: Moment) -> Effect {
        // A top that is older than the quote beside it moves nothing; the figures have no other word.
        if let Some(top) = summary.top.filter(|_| order(self.top_event, summary.ts_event).is_le()) {
            (self.top, self.top_event) = (top, summary.ts_event);
        }
        let from_trade = self.last.is_some_and(|last| !last.summary);
        if let (Some(price), false) = (summary.last, from_trade) {
            let id = summary.id.as_ref().and_then(tickcast_feeds::TradeId::number);
            let size = summary.last_size;
            let (ts_event, ts_recv) = (summary.ts_event, now.wall);
            self.last = Some(Last { price, size, ts_event, id, ts_recv, summary: true });
        }
        let figures = &mut self.figures;
        figures.open = summary.open.or(figures.open);
        figures.high = summary.high.or(figures.high);
        figures.low = summary.low.or(figures.low);
        figures.volume = summary.volume.or(figures.volume);
        figures.prev_close = summary.prev_close.or(figures.prev_close);
        self.ticked(summary.ts_event, now);
        Effect::Taken
    }

    /// Enters the market's day: with the first moment of a new one the last regular price is what changes are
    /// counted from, and the old day's figures are void. A venue that has a word of its own says it after that.
    pub fn enter(&mut self, trading_date: hours::Date) {
        let before = self.trading_date.replace(trading_date);
        if before.is_some_and(|before| before < trading_date) {
            let close = self.last.filter(|last| !last.summary).map(|last| last.price);
            let prev_close = close.or(self.figures.prev_close);
            self.figures = Figures { prev_close, ..Figures::default() };
        }
    }

    /// Takes the venue's word on a halt.
    pub fn halted(&mut self, halted: bool) {
        self.halted = halted;
    }

    /// Takes the state of its connection: open and ticking, or not.
    pub fn up(&mut self, up: bool) {
        self.up = up;
        if !up {
            // The numbering of quotes may start anew on the next connection.
            self.top_sequence = None;
        }
    }

    fn ticked(&mut self, ts_event: Option<UnixNanos>, now: Moment) {
        if let Some(before) = self.newest {
            let gap = now.at.saturating_duration_since(before.at).min(AUTO_MAX);
            self.gap = Some(match self.gap {
                Some(usual) => (usual * (GAP_WEIGHT - 1) + gap) / GAP_WEIGHT,
                None => gap,
            });
        }
        self.up = true;
        self.newest = Some(now);
        // A summary may be older than the trade beside it: what is shown never goes back.
        self.newest_event = ts_event.map(|new| self.newest_event.map_or(new, |known| known.max(new)));
        self.fresh_since.get_or_insert(now.at);
    }

    /// The last regular price, the extended one where that is the newer, the mid where there is neither.
    fn price_in(&self, hours: Option<hours::Session>) -> Option<Price> {
        let last = match (self.last, self.extended) {
            (Some(regular), Some(extended)) => {
                let is_newer = regular.summary || order(Some(regular.time()), Some(extended.time())).is_lt();
                // A print outside regular hours that is reported late says nothing about them, but until the
                // day's first regular print it is the best there is: yesterday's close is older.
                let is_due = hours.is_none_or(|hours| match hours.phase {
                    Phase::Open => !regular.summary && regular.time() < hours.since,
                    Phase::Pre | Phase::Post | Phase::Closed => true,
                });
                Some(if is_newer && is_due { extended } else { regular })
            }
            (regular, extended) => regular.or(extended),
        };
        last.map(|last| last.price).or_else(|| ticker::mid(&self.top))
    }

    /// How old its newest tick may be.
    pub(super) fn age_max(&self, stale_after: StaleAfter) -> Duration {
        match stale_after {
            StaleAfter::Fixed(limit) => limit,
            StaleAfter::Auto => {
                let usual = self.gap.unwrap_or_default() * AUTO_GAPS;
                // A feed that may be silent for longer than the ceiling has said so on purpose.
                usual.clamp(self.silence_max, AUTO_MAX.max(self.silence_max))
            }
        }
    }

    /// Its part if nothing else were there, and what it remembers of having been lost.
    pub(super) fn judge(&mut self, rule: Rule, now: Instant) -> Part {
        self.price = self.price_in(rule.hours);
        let age_max = self.age_max(rule.stale_after);
        let fresh = self.newest.is_some_and(|t| now.saturating_duration_since(t.at) <= age_max);
        let part = match (self.price, self.up, fresh) {
            (None, ..) => Part::NoPrice,
            (_, false, _) => Part::Down,
            (_, _, false) => Part::Stale,
            _ => Part::Used,
        };
        if matches!(part, Part::Down | Part::Stale) {
            self.fresh_since = None;
            self.was_lost = true;
        }
        part
    }

    pub(super) fn settled(&self, now: Instant) -> bool {
        let long_enough =
            self.fresh_since.is_some_and(|since| now.saturating_duration_since(since) >= SETTLE);
        !self.was_lost || long_enough
    }

    /// As it is shown.
    pub(super) fn view(&self, part: Part) -> SourceView {
        SourceView {
            venue: self.venue,
            price: self.price,
            ts_recv: self.newest.map(|newest| newest.wall),
            part,
        }
    }
}

/// Compares two of a kind; where either is absent nothing can be said, and they count as equal.
pub fn order<T: Ord>(known: Option<T>, new: Option<T>) -> std::cmp::Ordering {
    match (known, new) {
        (Some(known), Some(new)) => known.cmp(&new),
        _ => std::cmp::Ordering::Equal,
    }
}

//! What several sources say, made into one price and one status. Pure: time is an argument, nothing is shared.
//!
//! A [`Source`] is fed by the ticks of one venue; [`consolidate`] looks at all sources of a symbol and decides
//! who makes the price. It keeps no order of its own: what a source may do to the price is in [`Source`].

use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use smallvec::SmallVec;
use tickcast_feeds::hours::{self, Phase};
use tickcast_feeds::{LastKind, Price, Quote, Size, Summary, Top, Trade, UnixNanos, Venue};

use crate::config::{PriceRule, StaleAfter};
use crate::ticker::{self, Figures, Part, Session, SourceView, Status, Ticker};

/// A preferred source is returned to once it has been fresh for so long.
const SETTLE: Duration = Duration::from_secs(10);
/// `stale_after = "auto"`: so many times the usual gap between a source's ticks.
const AUTO_GAPS: u32 = 20;
/// `stale_after = "auto"`: never more than this.
const AUTO_MAX: Duration = Duration::from_secs(300);
/// The weight of the newest gap in the moving average is one in so many.
const GAP_WEIGHT: u32 = 16;
/// `median`: the outlier rule needs that many prices.
const OUTLIER_SOURCES: usize = 4;

/// Both clocks at one moment: the monotonic one judges ages, the other goes into messages.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For ages and limits; never jumps.
    pub at: Instant,
    /// For what is shown.
    pub wall: UnixNanos,
}

/// What one venue says about one symbol.
#[derive(Clone, Debug)]
pub struct Source {
    venue: Venue,
    silence_max: Duration,
    top: Top,
    top_sequence: Option<u64>,
    top_event: Option<UnixNanos>,
    /// Of regular trading.
    last: Option<Last>,
    /// Outside regular hours: it can make the price, and is never `last`.
    extended: Option<Last>,
    /// What it costs by this source, as judged last.
    price: Option<Price>,
    figures: Figures,
    /// The day whose figures these are, where the market has hours.
    trading_date: Option<hours::Date>,
    halted: bool,
    /// Whether its connection is open and ticking.
    up: bool,
    /// Its newest tick, by both clocks, and by the venue's.
    newest: Option<Moment>,
    newest_event: Option<UnixNanos>,
    /// Moving average of the time between its ticks.
    gap: Option<Duration>,
    /// Since when it has been fresh without a break; `None` while it is not.
    fresh_since: Option<Instant>,
    /// Whether it was ever lost: then it has to settle before it is used again.
    was_lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    price: Price,
    size: Option<Size>,
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
            if order.is_eq() && id.is_some() && known.id == id {
                return Effect::Duplicate;
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
        if order(self.top_event, summary.ts_event).is_gt() && summary.top.is_some() {
            return Effect::Late;
        }
        if let Some(top) = summary.top {
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
    fn age_max(&self, stale_after: StaleAfter) -> Duration {
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
    fn judge(&mut self, rule: Rule, now: Instant) -> Part {
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

    fn settled(&self, now: Instant) -> bool {
        let long_enough =
            self.fresh_since.is_some_and(|since| now.saturating_duration_since(since) >= SETTLE);
        !self.was_lost || long_enough
    }
}

/// Compares two of a kind; where either is absent nothing can be said, and they count as equal.
fn order<T: Ord>(known: Option<T>, new: Option<T>) -> std::cmp::Ordering {
    match (known, new) {
        (Some(known), Some(new)) => known.cmp(&new),
        _ => std::cmp::Ordering::Equal,
    }
}

/// The rule by which one symbol's price is made.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Which sources make it.
    pub price: PriceRule,
    /// `median`: fewer fresh ones make it degraded.
    pub min_sources: usize,
    /// How old a source's newest tick may be.
    pub stale_after: StaleAfter,
    /// The market's session now; `None` where it trades day and night.
    pub hours: Option<hours::Session>,
}

impl Rule {
    /// The session while no venue says otherwise.
    fn session(self) -> Session {
        match self.hours.map(|hours| hours.phase) {
            None | Some(Phase::Open) => Session::Open,
            Some(Phase::Pre) => Session::Pre,
            Some(Phase::Post) => Session::Post,
            Some(Phase::Closed) => Session::Closed,
        }
    }
}

/// Makes one ticker of all sources. `before` is the ticker made last: its price stays where nothing is fresh.
pub fn consolidate(sources: &mut [Source], rule: Rule, before: &Ticker, now: Moment) -> Ticker {
    let mut parts: SmallVec<[Part; 4]> =
        sources.iter_mut().map(|source| source.judge(rule, now.at)).collect();
    let lead = match rule.price {
        PriceRule::Primary => primary(sources, &mut parts, before, now.at),
        PriceRule::Median => median(sources, &mut parts),
    };
    let mut ticker = match lead {
        Some(Lead { source, price }) => from_source(&sources[source], price, rule),
        None => stale(sources, before),
    };
    let fresh = parts.iter().filter(|&&part| part == Part::Used).count();
    let degraded = match rule.price {
        PriceRule::Primary => lead.is_some_and(|lead| lead.source > 0),
        PriceRule::Median => fresh < rule.min_sources,
    };
    let halted = lead.is_some_and(|lead| sources[lead.source].halted)
        || lead.is_none() && sources.iter().any(|source| source.halted);
    let session = rule.session();
    ticker.status = match (halted, lead.is_some(), degraded) {
        (true, ..) => Status::Halted,
        (_, false, _) if session == Session::Closed => Status::Closed,
        (_, false, _) => Status::Stale,
        (_, _, true) => Status::Degraded,
        _ => Status::Live,
    };
    ticker.session = if halted { Session::Halted } else { session };
    ticker.sources = sources.iter().zip(&parts).map(|(source, &part)| source.view(part)).collect();
    ticker
}

/// Who makes the price, and at what.
#[derive(Clone, Copy, Debug)]
struct Lead {
    source: usize,
    price: Price,
}

/// The first fresh source of the list, with the settling time for one that was lost.
fn primary(sources: &[Source], parts: &mut [Part], before: &Ticker, now: Instant) -> Option<Lead> {
    let fresh = |parts: &[Part], index: usize| parts[index] == Part::Used;
    let candidates: SmallVec<[usize; 4]> = (0..sources.len()).filter(|&index| fresh(parts, index)).collect();
    let current = candidates.iter().copied().find(|&index| Some(sources[index].venue) == before.venue);
    let settled = candidates.iter().copied().find(|&index| sources[index].settled(now));
    let chosen = match (current, settled) {
        // The one in use stays until an earlier one has settled.
        (Some(current), Some(settled)) => current.min(settled),
        (Some(current), None) => current,
        (None, _) => *candidates.first()?,
    };
    for &index in &candidates {
        parts[index] = match index {
            _ if index == chosen => Part::Used,
            _ if index < chosen => Part::Settling,
            _ => Part::Standby,
        };
    }
    sources[chosen].price.map(|price| Lead { source: chosen, price })
}

/// The median of the fresh prices, without those that are too far from it.
fn median(sources: &[Source], parts: &mut [Part]) -> Option<Lead> {
    let prices = |parts: &[Part]| -> SmallVec<[Decimal; 8]> {
        let used = sources.iter().zip(parts).filter(|&(_, &part)| part == Part::Used);
        used.filter_map(|(source, _)| source.price).map(Price::get).collect()
    };
    let all = prices(parts);
    let middle = middle(all.clone())?;
    if all.len() >= OUTLIER_SOURCES {
        let distance = |price: Decimal| (price - middle).abs();
        let spread = self::middle(all.iter().map(|&price| distance(price)).collect())?;
        // max(5 MAD, 25 bp); a product that does not fit a decimal excludes nobody.
        let limit = spread.checked_mul(Decimal::from(5)).unwrap_or(Decimal::MAX);
        let limit = limit.max(middle.checked_mul(Decimal::new(25, 4)).unwrap_or(Decimal::MAX));
        for (source, part) in sources.iter().zip(parts.iter_mut()) {
            let far = source.price.is_some_and(|price| distance(price.get()) > limit);
            if *part == Part::Used && far {
                *part = Part::Outlier;
            }
        }
    }
    let price = Price::new(self::middle(prices(parts))?)?;
    let source = parts.iter().position(|&part| part == Part::Used)?;
    Some(Lead { source, price })
}

/// The middle of the values, or exactly half-way between the two in the middle.
fn middle(mut values: SmallVec<[Decimal; 8]>) -> Option<Decimal> {
    values.sort_unstable();
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[half]),
        _ => ticker::halfway(values[half - 1], values[half]),
    }
}

fn from_source(source: &Source, price: Price, rule: Rule) -> Ticker {
    Ticker {
        price: Some(price),
        venue: Some(source.venue),
        top: source.top,
        last: source.last.map(|last| last.price),
        last_size: source.last.and_then(|last| last.size),
        figures: source.figures,
        session: rule.session(),
        status: Status::Live,
        ts_event: source.newest_event,
        ts_recv: source.newest.map(|newest| newest.wall),
        sources: SmallVec::new(),
    }
}

/// Nothing is fresh: the last known price stays, as it was.
fn stale(sources: &[Source], before: &Ticker) -> Ticker {
    let mut ticker = before.clone();
    // The day may have moved on meanwhile.
    let own = sources.iter().find(|source| Some(source.venue) == ticker.venue && source.newest.is_some());
    if let Some(source) = own {
        ticker.figures = source.figures;
    }
    // A source may have got its first price in the same breath in which its connection went down.
    if ticker.price.is_none()
        && let Some(source) = sources.iter().find(|source| source.price.is_some())
    {
        (ticker.price, ticker.venue) = (source.price, Some(source.venue));
    }
    ticker
}

impl Source {
    fn view(&self, part: Part) -> SourceView {
        SourceView {
            venue: self.venue,
            price: self.price,
            ts_recv: self.newest.map(|newest| newest.wall),
            part,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

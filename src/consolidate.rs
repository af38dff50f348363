//! What several sources say, made into one price and one status. Pure: time is an argument, nothing is shared.
//!
//! A [`Source`] is fed by the ticks of one venue and decides what they may move; [`consolidate`] looks at all
//! sources of a symbol and decides who makes the price.

mod recent;
mod source;

use std::time::Instant;

use rust_decimal::Decimal;
use smallvec::SmallVec;
use tickcast_feeds::hours::{self, Phase};
use tickcast_feeds::{Price, UnixNanos};

pub(crate) use source::order;
pub use source::{Effect, Source};

use crate::config::{PriceRule, StaleAfter};
use crate::ticker::{self, Part, Session, Status, Ticker};

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
    let fresh = parts.iter().filter(|part| matches!(part, Part::Used | Part::Outlier)).count();
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
    let used = before.sources.iter().position(|source| source.part == Part::Used);
    let current = candidates.iter().copied().find(|&index| Some(index) == used);
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

#[cfg(test)]
pub(crate) mod tests;

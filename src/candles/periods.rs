//! Where bars begin and end: at multiples of the interval since 1970 (UTC), or counted from the first moment of each
//! part of a stock's day.

use serde::Serialize;
use tickcast_feeds::hours::{self, Phase};
use tickcast_feeds::{LastKind, Moves, Price, UnixNanos};

use utoipa::ToSchema;

use super::Interval;
use super::prints::Print;

/// What a symbol's bars are aligned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// UTC: what trades day and night.
    Utc,
    /// The session of US stocks: pre-market, regular and extended trading each begin bars of their own, and a day is one
    /// day's regular trading.
    Session,
}

/// From a first moment to the first one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
}

impl Period {
    pub(super) fn holds(self, at: UnixNanos) -> bool {
        self.start <= at && at < self.end
    }

    /// The one of this length since `origin` that holds a moment.
    fn since(origin: i64, interval: Interval, at: UnixNanos) -> Self {
        let length = interval.nanos();
        let into = at.0.saturating_sub(origin).rem_euclid(length);
        let start = at.0.saturating_sub(into);
        Self { start: UnixNanos(start), end: UnixNanos(start.saturating_add(length)) }
    }

    pub(super) fn second(at: UnixNanos) -> Self {
        Self::since(0, Interval::Second, at)
    }
}

/// Tells periods for one symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    alignment: Alignment,
    /// The session asked for last: the next question mostly is about the same one.
    session: Option<hours::Session>,
}

impl Calendar {
    pub(super) fn new(alignment: Alignment) -> Self {
        Self { alignment, session: None }
    }

    fn session(&mut self, at: UnixNanos) -> hours::Session {
        let session =
            self.session.filter(|session| session.holds(at)).unwrap_or_else(|| hours::session_at(at));
        self.session = Some(session);
        session
    }

    /// Whether bars of this interval are made of their trades, not of shorter bars.
    pub(super) fn takes_trades(self, interval: Interval) -> bool {
        match self.alignment {
            Alignment::Utc => interval == Interval::Second,
            Alignment::Session => matches!(interval, Interval::Second | Interval::Day),
        }
    }

    /// The bar that counts a print; `None` where it is a stock's day and not of it.
    pub(super) fn period_of(&mut self, interval: Interval, print: &Print) -> Option<Period> {
        match (self.alignment, interval) {
            (Alignment::Session, Interval::Day) => self.day(print),
            _ => Some(self.period(interval, print.at)),
        }
    }

    /// The bar that a moment is in. Not for a stock's day, which not every moment is in.
    pub(super) fn period(&mut self, interval: Interval, at: UnixNanos) -> Period {
        if self.alignment == Alignment::Utc || interval == Interval::Second {
            return Period::since(0, interval, at);
        }
        let session = self.session(at);
        let Period { start, end } = Period::since(session.since.0, interval, at);
        Period { start: start.max(session.since), end: end.min(session.until) }
    }

    /// The day of a stock whose bar counts this print: its regular trades, from the open to the end of extended
    /// trading, since the closing auction is printed after the close.
    fn day(&mut self, print: &Print) -> Option<Period> {
        let session = self.session(print.at);
        let day = hours::trading_day(session.trading_date)?;
        let until = match print.moves.last {
            LastKind::Regular => day.end,
            LastKind::No => day.close,
            LastKind::Extended => return None,
        };
        let counted = Period { start: day.open, end: until };
        counted.holds(print.at).then_some(Period { start: day.open, end: day.end })
    }

    /// The price that a print may set in a bar of its time: a print outside regular hours that is reported late says
    /// nothing about them.
    pub(super) fn price(&mut self, print: &Print) -> Option<Price> {
        let Print { price, moves: Moves { last, .. }, at, .. } = *print;
        let sets = match last {
            LastKind::Regular => true,
            LastKind::No => false,
            LastKind::Extended => {
                self.alignment == Alignment::Session && self.session(at).phase != Phase::Open
            }
        };
        sets.then_some(price)
    }
}

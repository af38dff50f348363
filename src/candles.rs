//! Trades made into bars of 1 s to 1 day, per symbol and bounded. It knows no task and no clock: time is an argument.
//!
//! A trade changes the bar of its second and nothing else; that bar is merged into the larger ones when its second is
//! over, and into a copy of them when somebody looks before. So a trade costs one bar's work, not five. Only the day
//! of a stock takes its trades one by one: it counts regular trading alone.

mod bar;
mod keeping;
mod message;
mod periods;
mod prints;
mod series;

use std::fmt;
use std::str::FromStr;

pub use bar::Bar;
pub use keeping::{CORRECTIONS, Keeping};
pub use message::{Candle, CandleEvent};
pub use periods::Alignment;
pub use series::{News, Seen, Stamp};

use serde::Serialize;
use tickcast_feeds::{Trade, Undone, Venue};
use utoipa::ToSchema;

use crate::consolidate::{Effect, Moment};
use series::Series;

/// How long a bar lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
pub enum Interval {
    /// `1s`.
    #[serde(rename = "1s")]
    Second,
    /// `1m`.
    #[serde(rename = "1m")]
    Minute,
    /// `5m`.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// `1h`.
    #[serde(rename = "1h")]
    Hour,
    /// `1d`.
    #[serde(rename = "1d")]
    Day,
}

impl Interval {
    /// All of them, the shortest first: each holds whole ones of those before it.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];
    /// Their names.
    pub const NAMES: &'static [&'static str] = &[
        Self::Second.name(),
        Self::Minute.name(),
        Self::FiveMinutes.name(),
        Self::Hour.name(),
        Self::Day.name(),
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The word in parameters and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    const fn nanos(self) -> i64 {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        };
        seconds * 1_000_000_000
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no interval of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an interval such as `1m`")]
pub struct NotAnInterval;

impl FromStr for Interval {
    type Err = NotAnInterval;

    fn from_str(text: &str) -> Result<Self, NotAnInterval> {
        Self::ALL.into_iter().find(|interval| interval.name() == text).ok_or(NotAnInterval)
    }
}

/// One symbol's bars. Nothing is allocated before its first trade.
#[derive(Debug)]
pub struct Candles {
    alignment: Alignment,
    series: Option<Box<Series>>,
    /// How often all was forgotten.
    run: u32,
    /// Streams that are told of changes.
    followers: u32,
    /// Something changed since a follower could last be told.
    changed: bool,
}

impl Candles {
    /// None yet.
    pub fn new(alignment: Alignment) -> Self {
        Self { alignment, series: None, run: 0, followers: 0, changed: false }
    }

    /// Where its bars begin.
    pub fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// Begins anew where its bars are to begin elsewhere from now on.
    pub fn align(&mut self, alignment: Alignment) {
        if alignment != self.alignment {
            self.alignment = alignment;
            self.clear();
        }
    }

    /// Forgets all bars. Who follows them goes on doing so.
    pub fn clear(&mut self) {
        if self.series.take().is_some() {
            self.run = self.run.wrapping_add(1);
        }
    }

    /// Takes a live trade of the venue that makes the symbol's price. `effect` is what it did to its source: a trade that
    /// was known already or is of the past counts for nothing.
    pub fn trade(&mut self, trade: &Trade<'_>, effect: Effect, venue: Venue, now: Moment, keeping: &Keeping) {
        if matches!(effect, Effect::Backfill | Effect::Duplicate) || !keeping.keeps_any() {
            return;
        }
        let (alignment, run) = (self.alignment, self.run);
        let series = self.series.get_or_insert_with(|| Box::new(Series::new(alignment, run)));
        self.changed |= series.trade(trade, effect == Effect::Taken, venue, now, keeping);
    }

    /// Ends the bars whose time is over.
    pub fn sweep(&mut self, now: Moment, keeping: &Keeping) {
        if let Some(series) = &mut self.series {
            self.changed |= series.sweep(now.at, keeping);
        }
    }

    /// Marks the bars of this moment, and those of the next trade: trades may be missing in between. `venue` is whose;
    /// `None` where it is the price as a whole that went stale.
    pub fn interrupt(&mut self, venue: Option<Venue>) {
        if let Some(series) = &mut self.series {
            self.changed |= series.interrupt(venue);
        }
    }

    /// Takes back or corrects a trade.
    pub fn undo(&mut self, undone: &Undone<'_>, venue: Venue, keeping: &Keeping) {
        if let Some(series) = &mut self.series {
            self.changed |= series.undo(undone, venue, keeping);
        }
    }

    /// Forgets all bars: a recording that starts again is older than its own end.
    pub fn restart(&mut self, venue: Venue) {
        if self.series.as_ref().is_some_and(|series| series.venue() == Some(venue)) {
            self.clear();
        }
    }

    /// One more stream is to be told of changes.
    pub fn follow(&mut self) {
        self.followers += 1;
    }

    /// One less.
    pub fn unfollow(&mut self) {
        self.followers = self.followers.saturating_sub(1);
    }

    /// Whether there is something to tell, and somebody to be told.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.changed) && self.followers > 0
    }

    /// The newest bars that begin before a moment, at most so many, the oldest first. The last one may be open.
    pub fn bars(
        &self,
        interval: Interval,
        before: Option<tickcast_feeds::UnixNanos>,
        most: usize,
    ) -> Vec<(Bar, bool)> {
        self.series.as_ref().map(|series| series.bars(interval, before, most)).unwrap_or_default()
    }

    /// What a stream has not been told yet.
    pub fn news(&self, interval: Interval, seen: &mut Seen) -> News {
        let Some(series) = &self.series else {
            seen.begin();
            return News::default();
        };
        series.news(interval, seen)
    }
}

#[cfg(test)]
mod tests;

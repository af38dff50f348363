//! The bars of one symbol in all intervals: those that are over, and the ones that grow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tickcast_feeds::{LastKind, Trade, TradeId, Undone, UnixNanos, Venue};

use super::Interval;
use super::bar::{Bar, Draft, Marks};
use super::keeping::{Correction, Keeping};
use super::periods::{Alignment, Calendar, Period};
use super::prints::{Counted, Kept, Print, Prints};
use crate::consolidate::Moment;

/// A bar that no later trade has ended is over so long after its time: trades of its last moment may be on their way.
const GRACE: Duration = Duration::from_secs(2);

/// One symbol's bars.
#[derive(Debug)]
pub(super) struct Series {
    calendar: Calendar,
    /// By [`Interval`].
    tiers: [Tier; Interval::COUNT],
    /// The newest trade's time, and when it came by our own clock: how late it is by the venue's clock follows from
    /// both, however that one is set, and also where a recording is played.
    newest: Option<(UnixNanos, Instant)>,
    /// Whose trade came last.
    venue: Option<Venue>,
    /// The end of the last bar of whatever interval that is over: so is every bar that ended by then, and a trade of such a
    /// one is late.
    over: UnixNanos,
    /// Tells it from those of the same symbol that were forgotten.
    run: u32,
    /// Only where trades may be taken back.
    prints: Option<Prints>,
}

/// One interval's bars.
#[derive(Debug)]
struct Tier {
    /// The bar that grows, without what is in the draft of the second.
    draft: Option<Draft>,
    /// Those that are over, in ascending order.
    bars: VecDeque<Bar>,
    /// The beginning of the last bar that had to make room.
    forgotten: Option<UnixNanos>,
    /// Trades may be missing before the next one that it takes itself. At first: what was traded before we came is not
    /// known.
    interrupted: bool,
    /// Counts everything that happened to it.
    changes: u64,
}

/// How far a stream has come with one symbol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    begun: bool,
    run: u32,
    /// The beginning of the last bar that was told as final.
    last: Option<UnixNanos>,
    /// The changes of the open bar that were told.
    changes: u64,
}

/// Names a state of a symbol's open bar: equal ones are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    run: u32,
    changes: u64,
}

impl Seen {
    /// The state that was told last.
    pub fn stamp(&self) -> Stamp {
        Stamp { run: self.run, changes: self.changes }
    }

    /// Notes that there was nothing yet: all that comes is new.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }
}

/// What a stream has not been told.
#[derive(Debug, Default)]
pub struct News {
    /// Bars up to the one that begins here were not told and are no longer kept.
    pub lost_through: Option<UnixNanos>,
    /// Bars that are over, in ascending order. To a stream that begins, the last one.
    pub finals: Vec<Bar>,
    /// The open one, where something happened to it.
    pub open: Option<Bar>,
}

impl Series {
    pub(super) fn new(alignment: Alignment, run: u32) -> Self {
        Self {
            calendar: Calendar::new(alignment),
            tiers: std::array::from_fn(|_| Tier::new()),
            newest: None,
            venue: None,
            over: UnixNanos(i64::MIN),
            run,
            prints: (alignment == Alignment::Session).then(Prints::default),
        }
    }

    /// Takes a trade; returns whether a bar changed. `is_newest`: it is not older than any before it of its kind.
    pub(super) fn trade(
        &mut self,
        trade: &Trade<'_>,
        is_newest: bool,
        venue: Venue,
        now: Moment,
        keeping: &Keeping,
    ) -> bool {
        let print = Print::of(trade, trade.ts_event.unwrap_or(now.wall), venue);
        if print.moves.last == LastKind::No && !print.moves.volume {
            return false;
        }
        // Another venue's trades were not counted while this one's were, and the other way round.
        if self.venue.replace(venue).is_some_and(|before| before != venue) {
            self.tiers.iter_mut().for_each(|tier| tier.interrupted = true);
        }
        if self.newest.is_none_or(|(newest, _)| print.at >= newest) {
            self.newest = Some((print.at, now.at));
        }
        let counted = self.count(&print, is_newest, keeping);
        if let Some(prints) = &mut self.prints {
            let id = trade.id.as_ref().and_then(TradeId::number);
            prints.push(Kept { print, id, is_newest, counted });
        }
        !counted.is_empty()
    }

    /// Counts a print in all bars of its time that are not over; returns in which.
    fn count(&mut self, print: &Print, is_newest: bool, keeping: &Keeping) -> Counted {
        let second = Period::second(print.at);
        let base = &self.tiers[0];
        let begins = base.draft.as_ref().is_none_or(|draft| draft.period.end <= second.start);
        if begins && second.end > self.over {
            self.end(second.start, keeping);
            self.tiers[0].draft = Some(Draft::new(second, print.venue));
        }
        let base = self.tiers[0].draft.as_ref().map(|draft| draft.period);
        let price = self.calendar.price(print);
        let mut counted = Counted::default();
        for interval in Interval::ALL {
            let takes = self.calendar.takes_trades(interval);
            if interval != Interval::Second && keeping.most(interval) == 0 {
                continue;
            }
            if base == Some(second) && !takes {
                // With the rest of its second.
                counted.add(interval);
                continue;
            }
            // What a day does not count is not late for it.
            let Some(period) = self.calendar.period_of(interval, print) else { continue };
            let begins = match base {
                _ if takes => interval != Interval::Second,
                Some(base) => period.holds(base.start),
                None => false,
            };
            let tier = &mut self.tiers[interval as usize];
            if begins && tier.draft.is_none() && period.end > self.over {
                tier.draft = Some(Draft::new(period, print.venue));
            }
            match tier.draft.as_mut().filter(|draft| draft.period == period) {
                Some(draft) => {
                    draft.take(print, price, is_newest);
                    if takes && std::mem::take(&mut tier.interrupted) {
                        draft.marks.add(Marks::GAP);
                    }
                    tier.changes += 1;
                    counted.add(interval);
                }
                None => keeping.late(interval),
            }
        }
        counted
    }

    /// Ends all bars whose time is over at this moment; returns whether there was one.
    fn end(&mut self, at: UnixNanos, keeping: &Keeping) -> bool {
        let mut any = false;
        if let Some(base) = self.tiers[0].draft.take_if(|draft| draft.period.end <= at) {
            for interval in Interval::ALL {
                if !self.calendar.takes_trades(interval) && keeping.most(interval) > 0 {
                    let period = self.calendar.period(interval, base.period.start);
                    self.tiers[interval as usize].absorb(&base, period, keeping.most(interval));
                }
            }
            self.tiers[0].close(&base, keeping.most(Interval::Second));
            self.over = self.over.max(base.period.end);
            any = true;
        }
        for interval in &Interval::ALL[1..] {
            let tier = &mut self.tiers[*interval as usize];
            if let Some(draft) = tier.draft.take_if(|draft| draft.period.end <= at) {
                tier.close(&draft, keeping.most(*interval));
                self.over = self.over.max(draft.period.end);
                any = true;
            }
        }
        any
    }

    /// Ends the bars that are over by the venue's clock, as far as it can be told; returns whether there was one.
    pub(super) fn sweep(&mut self, now: Instant, keeping: &Keeping) -> bool {
        let Some((event, at)) = self.newest else { return false };
        let since = now.saturating_duration_since(at).saturating_sub(GRACE);
        if since.is_zero() {
            return false;
        }
        let since = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        self.end(UnixNanos(event.0.saturating_add(since)), keeping)
    }

    /// Marks what grows, and what the next trade comes into; returns whether a bar changed.
    pub(super) fn interrupt(&mut self, venue: Option<Venue>) -> bool {
        if venue.is_some() && venue != self.venue {
            return false;
        }
        let mut any = false;
        for tier in &mut self.tiers {
            tier.interrupted = true;
            if let Some(draft) = tier.draft.as_mut().filter(|draft| !draft.marks.has(Marks::GAP)) {
                draft.marks.add(Marks::GAP);
                tier.changes += 1;
                any = true;
            }
        }
        any
    }

    /// Takes back or corrects a trade; returns whether a bar changed.
    pub(super) fn undo(&mut self, undone: &Undone<'_>, venue: Venue, keeping: &Keeping) -> bool {
        let replaced = self.prints.as_mut().and_then(|prints| prints.replace(undone, venue));
        let Some((old, new)) = replaced else {
            keeping.corrected(Correction::Unmatched);
            return false;
        };
        let mut correction = Correction::Exact;
        for interval in Interval::ALL.into_iter().filter(|&interval| old.counted.has(interval)) {
            if !self.amend(interval, &old, new.as_ref()) {
                correction = Correction::Marked;
            }
        }
        keeping.corrected(correction);
        true
    }

    /// Makes the bar anew that counted a trade; returns whether it is exact.
    fn amend(&mut self, interval: Interval, old: &Kept, new: Option<&Kept>) -> bool {
        let at = old.print.at;
        let is_in_base = old.counted.has(Interval::Second)
            && self.tiers[0].draft.as_ref().is_some_and(|base| base.period.holds(at));
        let takes = self.calendar.takes_trades(interval);
        if is_in_base && !takes {
            // It comes with its second.
            return true;
        }
        let Some(period) = self.calendar.period_of(interval, &old.print) else { return true };
        let is_exact = self.prints.as_ref().is_some_and(|prints| prints.covers(period.start));
        let anew = is_exact.then(|| self.anew(interval, period));
        let price = new.and_then(|new| self.calendar.price(&new.print));
        let (old, new) = (&old.print, new.map(|new| &new.print));
        let tier = &mut self.tiers[interval as usize];
        tier.changes += 1;
        if let Some(draft) = tier.draft.as_mut().filter(|draft| draft.period == period) {
            match anew {
                Some(anew) => {
                    let marks = std::mem::replace(draft, anew).marks;
                    draft.marks.add(marks);
                    draft.marks.add(Marks::CORRECTED);
                }
                None => draft.amend(old, new, price),
            }
        } else if let Ok(index) = tier.bars.binary_search_by_key(&period.start, |bar| bar.start) {
            let bar = &mut tier.bars[index];
            match anew.map(|anew| anew.bar()) {
                Some(Some(anew)) => {
                    let marks = std::mem::replace(bar, anew).marks;
                    bar.marks.add(marks);
                    bar.marks.add(Marks::CORRECTED);
                }
                // Nothing was traded after all.
                Some(None) => _ = tier.bars.remove(index),
                None => bar.amend(old, new, price),
            }
        }
        is_exact
    }

    /// A bar made of the trades that are kept, without those that are in the draft of the second.
    fn anew(&self, interval: Interval, period: Period) -> Draft {
        let mut calendar = self.calendar;
        let takes = calendar.takes_trades(interval);
        let base = self.tiers[0].draft.as_ref().map(|base| base.period).filter(|_| !takes);
        let mut draft = Draft::new(period, self.venue.unwrap_or(Venue::Sim));
        for Kept { print, is_newest, counted, .. } in self.prints.iter().flat_map(Prints::iter) {
            let is_in_base = counted.has(Interval::Second) && base.is_some_and(|base| base.holds(print.at));
            if counted.has(interval) && period.holds(print.at) && !is_in_base {
                draft.take(print, calendar.price(print), *is_newest);
            }
        }
        draft
    }

    /// Whose trade came last.
    pub(super) fn venue(&self) -> Option<Venue> {
        self.venue
    }

    /// The bar that grows.
    fn open(&self, interval: Interval) -> Option<Bar> {
        let own = self.tiers[interval as usize].draft.as_ref();
        let base = self.tiers[0].draft.as_ref().filter(|_| !self.calendar.takes_trades(interval));
        let Some(base) = base else { return own?.bar() };
        let mut calendar = self.calendar;
        let mut draft = own.cloned().unwrap_or_else(|| {
            Draft::new(calendar.period(interval, base.period.start), self.venue.unwrap_or(Venue::Sim))
        });
        draft.absorb(base);
        draft.bar()
    }

    /// The newest bars that begin before a moment, the oldest first, and whether each is over.
    pub(super) fn bars(
        &self,
        interval: Interval,
        before: Option<UnixNanos>,
        most: usize,
    ) -> Vec<(Bar, bool)> {
        let bars = &self.tiers[interval as usize].bars;
        let is_asked = |start: UnixNanos| before.is_none_or(|before| start < before);
        let open = self.open(interval).filter(|bar| is_asked(bar.start) && most > 0);
        let end = bars.partition_point(|bar| is_asked(bar.start));
        let start = end.saturating_sub(most - usize::from(open.is_some()));
        let over = bars.range(start..end).map(|bar| (*bar, true));
        over.chain(open.map(|bar| (bar, false))).collect()
    }

    /// What a stream has not been told.
    pub(super) fn news(&self, interval: Interval, seen: &mut Seen) -> News {
        let tier = &self.tiers[interval as usize];
        let base = if self.calendar.takes_trades(interval) { 0 } else { self.tiers[0].changes };
        let changes = tier.changes + base;
        if seen.begun && seen.run == self.run && seen.changes == changes {
            return News::default();
        }
        let mut news = News::default();
        if seen.begun {
            let last = seen.last.filter(|_| seen.run == self.run);
            news.lost_through = tier.forgotten.filter(|&forgotten| last.is_none_or(|last| last < forgotten));
            let from = tier.bars.partition_point(|bar| last.is_some_and(|last| bar.start <= last));
            news.finals.extend(tier.bars.range(from..));
            seen.last = last;
        } else {
            news.finals.extend(tier.bars.back());
        }
        news.open = self.open(interval);
        let last = news.finals.last().map(|bar| bar.start).or(seen.last);
        *seen = Seen { begun: true, run: self.run, last, changes };
        news
    }
}

impl Tier {
    fn new() -> Self {
        Self { draft: None, bars: VecDeque::new(), forgotten: None, interrupted: true, changes: 0 }
    }

    /// Takes in what a shorter bar is over with.
    fn absorb(&mut self, shorter: &Draft, period: Period, most: usize) {
        if let Some(other) = self.draft.take_if(|draft| draft.period != period) {
            self.close(&other, most);
        }
        self.draft.get_or_insert_with(|| Draft::new(period, shorter.venue())).absorb(shorter);
        self.changes += 1;
    }

    /// Keeps a bar that is over, if anything was traded in it.
    fn close(&mut self, draft: &Draft, most: usize) {
        self.changes += 1;
        let Some(bar) = draft.bar().filter(|_| most > 0) else { return };
        if self.bars.len() >= most
            && let Some(oldest) = self.bars.pop_front()
        {
            self.forgotten = Some(oldest.start);
        }
        if self.bars.len() == self.bars.capacity() {
            // Doubled, as it would by itself, but never beyond what is kept.
            self.bars.reserve_exact(self.bars.len().max(4).min(most - self.bars.len()));
        }
        self.bars.push_back(bar);
    }
}

#[cfg(test)]
impl Series {
    /// Bars for which there is room already.
    pub(super) fn capacity(&self, interval: Interval) -> usize {
        self.tiers[interval as usize].bars.capacity()
    }
}

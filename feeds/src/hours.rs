//! When US stocks trade: sessions, holidays and early closes in New York's wall-clock time, so that quiet can be
//! told from broken. A calendar for one market; halts are the venues' word, not its.
//!
//! Standing holidays are rules with the year they began, so that no year is without them; what follows no rule
//! is listed. Both together give exactly the calendars that NYSE has published for 2025 to 2028 (a test compares
//! them). Nasdaq keeps the same days. The time zone's rules are bundled by `jiff` (tz database): no file is read.

mod holidays;

use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use self::holidays::Trades;
use crate::UnixNanos;

/// The market's clock.
static NEW_YORK: TimeZone = jiff::tz::get!("America/New_York");

/// Pre-market trading begins. These four hours: Massive's overview of its stock feeds, read 2026-11.
const PRE: civil::Time = civil::time(4, 0, 0, 0);
/// Regular trading begins.
const OPEN: civil::Time = civil::time(9, 30, 0, 0);
/// Regular trading ends.
const CLOSE: civil::Time = civil::time(16, 0, 0, 0);
/// Extended trading ends.
const POST_END: civil::Time = civil::time(20, 0, 0, 0);
/// Regular trading ends on the day after Thanksgiving and the like; extended trading then ends at [`EARLY_POST_END`]
/// (NYSE Group's release of 2025-12-23).
const EARLY_CLOSE: civil::Time = civil::time(13, 0, 0, 0);
/// Extended trading ends on a day of early close.
const EARLY_POST_END: civil::Time = civil::time(17, 0, 0, 0);

/// Where the market is in its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Extended trading before the open.
    Pre,
    /// Regular trading.
    Open,
    /// Extended trading after the close.
    Post,
    /// Nights, weekends, holidays.
    Closed,
}

/// A day on the market's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

impl Date {
    /// A day of the Gregorian calendar; `None` where there is none such.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        civil::Date::new(year, month, day).ok().map(Self)
    }
}

/// `2026-11-27`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One stretch of the market's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it is.
    pub phase: Phase,
    /// Its first moment.
    pub since: UnixNanos,
    /// The first moment of the next one.
    pub until: UnixNanos,
    /// The day whose trading this is, or was last: it moves on at the first moment of pre-market trading, not at
    /// midnight and not at the close, so a weekend belongs to its Friday.
    pub trading_date: Date,
}

impl Session {
    /// Whether it lasts at this moment.
    pub fn holds(&self, time: UnixNanos) -> bool {
        self.since <= time && time < self.until
    }
}

/// Returns the session of US stocks at this moment.
pub fn session_at(time: UnixNanos) -> Session {
    let today = date_of(time);
    let Some(day) = Day::of(today) else { return closed(before(today), after(today)) };
    let (phase, since, until) = match time {
        _ if time < day.pre => return closed(before(today), day),
        _ if time < day.open => (Phase::Pre, day.pre, day.open),
        _ if time < day.close => (Phase::Open, day.open, day.close),
        _ if time < day.end => (Phase::Post, day.close, day.end),
        _ => return closed(day, after(today)),
    };
    Session { phase, since, until, trading_date: Date(today) }
}

/// The moments of regular trading on one day, and of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingDay {
    /// Regular trading begins.
    pub open: UnixNanos,
    /// Regular trading is over, extended trading begins.
    pub close: UnixNanos,
    /// Extended trading is over.
    pub end: UnixNanos,
}

/// Returns the moments of a day; `None` where the market stays closed that day.
pub fn trading_day(date: Date) -> Option<TradingDay> {
    Day::of(date.0).map(|Day { open, close, end, .. }| TradingDay { open, close, end })
}

/// The moments of one day of trading.
#[derive(Clone, Copy)]
struct Day {
    date: civil::Date,
    pre: UnixNanos,
    open: UnixNanos,
    close: UnixNanos,
    end: UnixNanos,
}

impl Day {
    /// `None` where the market stays closed that day.
    fn of(date: civil::Date) -> Option<Self> {
        let (close, end) = match holidays::trades(date) {
            Trades::No => return None,
            Trades::Short => (EARLY_CLOSE, EARLY_POST_END),
            Trades::Full => (CLOSE, POST_END),
        };
        let at = |time| moment(date, time);
        Some(Self { date, pre: at(PRE), open: at(OPEN), close: at(close), end: at(end) })
    }
}

fn closed(last: Day, next: Day) -> Session {
    Session { phase: Phase::Closed, since: last.end, until: next.pre, trading_date: Date(last.date) }
}

fn before(date: civil::Date) -> Day {
    nearest(date, -1)
}

fn after(date: civil::Date) -> Day {
    nearest(date, 1)
}

/// The next day of trading in this direction. No rule closes more than four days in a row.
fn nearest(from: civil::Date, step: i64) -> Day {
    let mut date = from;
    loop {
        date = date.saturating_add(step.days());
        if let Some(day) = Day::of(date) {
            return day;
        }
    }
}

fn date_of(time: UnixNanos) -> civil::Date {
    let timestamp = Timestamp::from_nanosecond(i128::from(time.0));
    let timestamp = timestamp.expect("nanoseconds in 64 bits end in 2262, jiff's years at 9999");
    NEW_YORK.to_datetime(timestamp).date()
}

/// None of the hours falls into the hour that a change of clocks skips or repeats (01:00 to 03:00).
fn moment(date: civil::Date, time: civil::Time) -> UnixNanos {
    let timestamp = NEW_YORK.to_timestamp(date.to_datetime(time));
    let nanos = timestamp.map_or(i128::MAX, Timestamp::as_nanosecond);
    UnixNanos(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> UnixNanos {
        UnixNanos::from_rfc3339(text).unwrap()
    }

    fn at(text: &str) -> (Phase, String) {
        let session = session_at(utc(text));
        assert!(session.holds(utc(text)), "{text}: {session:?}");
        (session.phase, session.trading_date.to_string())
    }

    /// Each change within a stretch of time, as its moment, what begins and the trading date.
    fn changes(from: &str, to: &str) -> Vec<(UnixNanos, Phase, String)> {
        let (mut session, to) = (session_at(utc(from)), utc(to));
        let mut found = Vec::new();
        while session.until < to {
            let next = session_at(session.until);
            assert_eq!(next.since, session.until, "sessions leave no hole");
            assert_ne!(next.phase, session.phase);
            found.push((next.since, next.phase, next.trading_date.to_string()));
            session = next;
        }
        found
    }

    fn day(moments: [&str; 4], date: &str) -> Vec<(UnixNanos, Phase, String)> {
        let phases = [Phase::Pre, Phase::Open, Phase::Post, Phase::Closed];
        moments.iter().zip(phases).map(|(time, phase)| (utc(time), phase, date.to_owned())).collect()
    }

    #[test]
    fn m67_the_days_on_which_clocks_change_have_their_sessions_at_new_yorks_wall_clock() {
        // Clocks go forward on Sunday 2026-03-08: 16:00 is 21:00Z on Friday and 20:00Z on Monday.
        let (friday, monday) = (
            ["2026-03-06T09:00:00Z", "2026-03-06T14:30:00Z", "2026-03-06T21:00:00Z", "2026-03-07T01:00:00Z"],
            ["2026-03-09T08:00:00Z", "2026-03-09T13:30:00Z", "2026-03-09T20:00:00Z", "2026-03-10T00:00:00Z"],
        );
        let expected = [day(friday, "2026-03-06"), day(monday, "2026-03-09")].concat();
        assert_eq!(changes("2026-03-06T05:00:00Z", "2026-03-10T04:00:00Z"), expected);
        // And back on Sunday 2026-11-01.
        let (friday, monday) = (
            ["2026-10-30T08:00:00Z", "2026-10-30T13:30:00Z", "2026-10-30T20:00:00Z", "2026-10-31T00:00:00Z"],
            ["2026-11-02T09:00:00Z", "2026-11-02T14:30:00Z", "2026-11-02T21:00:00Z", "2026-11-03T01:00:00Z"],
        );
        let expected = [day(friday, "2026-10-30"), day(monday, "2026-11-02")].concat();
        assert_eq!(changes("2026-10-30T05:00:00Z", "2026-11-03T04:00:00Z"), expected);
        // The Sundays themselves, hour by hour.
        for (first, friday) in
            [("2026-03-08T05:00:00Z", "2026-03-06"), ("2026-11-01T04:00:00Z", "2026-10-30")]
        {
            for hour in 0..25 {
                let session = session_at(UnixNanos(utc(first).0 + hour * 3_600_000_000_000));
                assert_eq!(
                    (session.phase, session.trading_date.to_string().as_str()),
                    (Phase::Closed, friday)
                );
            }
        }
    }

    #[test]
    fn m68_new_york_and_london_are_four_hours_apart_for_some_weeks_a_year() {
        // London's 14:00 on 2026-03-16 is 14:00Z and 10:00 in New York; a week before, 09:00.
        assert_eq!(at("2026-03-16T14:00:00Z").0, Phase::Open);
        assert_eq!(at("2026-03-06T14:00:00Z").0, Phase::Pre);
    }

    #[test]
    fn m69_a_holiday_is_new_yorks_day_and_not_utcs() {
        // 2025-12-25 begins at 05:00Z. In between is the night after an early close.
        assert_eq!(at("2025-12-24T21:59:59.999999999Z"), (Phase::Post, "2025-12-24".to_owned()));
        assert_eq!(at("2025-12-25T01:00:00Z"), (Phase::Closed, "2025-12-24".to_owned()));
        assert_eq!(at("2025-12-25T15:00:00Z"), (Phase::Closed, "2025-12-24".to_owned()));
        // It is the 26th already in UTC.
        assert_eq!(at("2025-12-26T04:59:00Z"), (Phase::Closed, "2025-12-24".to_owned()));
        assert_eq!(at("2025-12-26T09:00:00Z"), (Phase::Pre, "2025-12-26".to_owned()));
        // A post-market that ends when it is the next day in UTC.
        assert_eq!(at("2026-01-06T00:59:59Z"), (Phase::Post, "2026-01-05".to_owned()));
    }

    #[test]
    fn m70_on_a_holiday_the_market_is_closed_all_day() {
        for hour in 5..24 {
            let text = format!("2026-11-26T{hour:02}:00:00Z");
            assert_eq!(at(&text), (Phase::Closed, "2026-11-25".to_owned()), "{text}");
        }
    }

    #[test]
    fn m71_an_early_close_ends_regular_hours_at_one() {
        let friday =
            ["2026-11-27T09:00:00Z", "2026-11-27T14:30:00Z", "2026-11-27T18:00:00Z", "2026-11-27T22:00:00Z"];
        assert_eq!(changes("2026-11-26T05:00:00Z", "2026-11-28T05:00:00Z"), day(friday, "2026-11-27"));
    }

    #[test]
    fn m73_a_weekend_belongs_to_the_trading_date_of_its_friday() {
        assert_eq!(at("2026-10-10T12:00:00Z"), (Phase::Closed, "2026-10-09".to_owned()));
        assert_eq!(at("2026-10-12T07:59:59.999999999Z"), (Phase::Closed, "2026-10-09".to_owned()));
        // Columbus Day is none of the market's holidays.
        assert_eq!(at("2026-10-12T08:00:00Z"), (Phase::Pre, "2026-10-12".to_owned()));
        let session = session_at(utc("2026-10-10T12:00:00Z"));
        assert_eq!(
            (session.since, session.until),
            (utc("2026-10-10T00:00:00Z"), utc("2026-10-12T08:00:00Z"))
        );
    }

    #[test]
    fn sessions_follow_each_other_without_a_hole_from_2010_to_2040() {
        let all = changes("2010-01-02T05:00:00Z", "2040-01-01T05:00:00Z");
        let days = all.iter().filter(|(_, phase, _)| *phase == Phase::Open).count();
        // About 252 a year.
        assert!((7_500..7_620).contains(&days), "{days}");
    }

    #[test]
    fn the_ends_of_time_have_a_session_too() {
        for nanos in [i64::MIN, 0, i64::MAX] {
            session_at(UnixNanos(nanos));
        }
    }
}

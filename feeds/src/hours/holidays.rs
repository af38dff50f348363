//! The days on which US stocks do not trade, and those on which they trade until 13:00. Rules for what returns
//! each year, lists for what does not.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday, date};

/// Whether there is trading on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trades {
    No,
    /// Until 13:00.
    Short,
    Full,
}

/// A holiday that returns each year.
struct Holiday {
    /// The first year it was one.
    since: i16,
    rule: Rule,
}

enum Rule {
    /// A day of the month. On a Saturday it is observed the Friday before, on a Sunday the Monday after.
    Fixed(i8, i8),
    /// As `Fixed`, but on a Saturday not at all: the Friday before would be the last day of a year's books.
    NewYear,
    /// The so-many-th such weekday of a month; -1 is its last.
    Weekday(i8, i8, Weekday),
    /// Two days before Easter Sunday.
    GoodFriday,
}

/// The days are those of NYSE's published calendars; since when each is kept is general knowledge.
const HOLIDAYS: &[Holiday] = &[
    Holiday { since: 1871, rule: Rule::NewYear },
    // Martin Luther King, Jr. Day.
    Holiday { since: 1998, rule: Rule::Weekday(1, 3, Weekday::Monday) },
    // Washington's Birthday, on a Monday since then.
    Holiday { since: 1971, rule: Rule::Weekday(2, 3, Weekday::Monday) },
    Holiday { since: 1908, rule: Rule::GoodFriday },
    // Memorial Day, on a Monday since then.
    Holiday { since: 1971, rule: Rule::Weekday(5, -1, Weekday::Monday) },
    // Juneteenth.
    Holiday { since: 2022, rule: Rule::Fixed(6, 19) },
    // Independence Day.
    Holiday { since: 1871, rule: Rule::Fixed(7, 4) },
    // Labor Day.
    Holiday { since: 1887, rule: Rule::Weekday(9, 1, Weekday::Monday) },
    // Thanksgiving.
    Holiday { since: 1942, rule: Rule::Weekday(11, 4, Weekday::Thursday) },
    // Christmas.
    Holiday { since: 1871, rule: Rule::Fixed(12, 25) },
];

/// Closed once, each for a reason of its own. Earlier ones than these are not listed.
const CLOSED_ONCE: &[Date] = &[
    // Hurricane Sandy.
    date(2012, 10, 29),
    date(2012, 10, 30),
    // Days of mourning for presidents: George H. W. Bush, Jimmy Carter.
    date(2018, 12, 5),
    date(2025, 1, 9),
];

/// What trading there is on a day.
pub(super) fn trades(day: Date) -> Trades {
    let closed = is_weekend(day) || HOLIDAYS.iter().any(|h| h.is_on(day)) || CLOSED_ONCE.contains(&day);
    match (closed, is_short(day)) {
        (true, _) => Trades::No,
        (_, true) => Trades::Short,
        _ => Trades::Full,
    }
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// The day after Thanksgiving, and the days before Independence Day and Christmas where those are on weekdays: in
/// 2026 the 4th of July is a Saturday, its Friday the holiday, and the Thursday before a whole day.
fn is_short(day: Date) -> bool {
    let after_thanksgiving = HOLIDAYS
        .iter()
        .any(|h| matches!(h.rule, Rule::Weekday(11, ..)) && h.is_on(day.saturating_sub(1.days())));
    let eve = matches!((day.month(), day.day()), (7, 3) | (12, 24));
    after_thanksgiving || eve && !is_weekend(day.saturating_add(1.days()))
}

impl Holiday {
    fn is_on(&self, day: Date) -> bool {
        day.year() >= self.since && self.rule.is_on(day)
    }
}

impl Rule {
    fn is_on(&self, day: Date) -> bool {
        match *self {
            Self::Fixed(month, of_month) => {
                let is = |date: Date| date.month() == month && date.day() == of_month;
                is(day)
                    || day.weekday() == Weekday::Friday && is(day.saturating_add(1.days()))
                    || day.weekday() == Weekday::Monday && is(day.saturating_sub(1.days()))
            }
            Self::NewYear => {
                let is = |date: Date| date.month() == 1 && date.day() == 1;
                is(day) || day.weekday() == Weekday::Monday && is(day.saturating_sub(1.days()))
            }
            Self::Weekday(month, nth, weekday) => {
                day.month() == month && day.nth_weekday_of_month(nth, weekday).is_ok_and(|date| date == day)
            }
            Self::GoodFriday => {
                let sunday = day.saturating_add(2.days());
                easter(sunday.year()).is_some_and(|easter| easter == sunday)
            }
        }
    }
}

/// Easter Sunday of the Gregorian calendar, by the method of Meeus, Jones and Butcher.
fn easter(year: i16) -> Option<Date> {
    let year_of = i32::from(year);
    let (golden, century, rest) = (year_of % 19, year_of / 100, year_of % 100);
    let drift = (8 * century + 13) / 25;
    let moon = (19 * golden + century - century / 4 - drift + 15) % 30;
    let sunday = (32 + 2 * (century % 4) + 2 * (rest / 4) - moon - rest % 4) % 7;
    let exception = (golden + 11 * moon + 22 * sunday) / 451;
    let days = moon + sunday - 7 * exception + 114;
    Date::new(year, i8::try_from(days / 31).ok()?, i8::try_from(days % 31 + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Months and days.
    type Days = &'static [(i8, i8)];

    /// NYSE Group's releases of 2024-11-08 (2025) and 2025-12-23 (2026 to 2028), and the day of mourning of 2025.
    const PUBLISHED: &[(i16, Days, Days)] = &[
        (
            2025,
            &[
                (1, 1),
                (1, 9),
                (1, 20),
                (2, 17),
                (4, 18),
                (5, 26),
                (6, 19),
                (7, 4),
                (9, 1),
                (11, 27),
                (12, 25),
            ],
            &[(7, 3), (11, 28), (12, 24)],
        ),
        (
            2026,
            &[(1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25)],
            &[(11, 27), (12, 24)],
        ),
        (
            2027,
            &[(1, 1), (1, 18), (2, 15), (3, 26), (5, 31), (6, 18), (7, 5), (9, 6), (11, 25), (12, 24)],
            &[(11, 26)],
        ),
        (
            2028,
            &[(1, 17), (2, 21), (4, 14), (5, 29), (6, 19), (7, 4), (9, 4), (11, 23), (12, 25)],
            &[(7, 3), (11, 24)],
        ),
    ];

    #[test]
    fn m70_holidays_and_early_closes_are_those_that_nyse_published() {
        for &(year, closed, short) in PUBLISHED {
            let (mut found_closed, mut found_short) = (Vec::new(), Vec::new());
            let mut day = date(year, 1, 1);
            while day.year() == year {
                match trades(day) {
                    Trades::No if !is_weekend(day) => found_closed.push((day.month(), day.day())),
                    Trades::Short => found_short.push((day.month(), day.day())),
                    _ => {}
                }
                day = day.saturating_add(1.days());
            }
            assert_eq!((found_closed.as_slice(), found_short.as_slice()), (closed, short), "{year}");
        }
    }

    #[test]
    fn holidays_that_fall_on_a_weekend_are_observed_as_they_were() {
        // 2021: Juneteenth was no holiday yet, the 4th a Sunday, Christmas a Saturday. 2022: New Year a Saturday.
        let cases = [
            (date(2021, 6, 18), Trades::Full),
            (date(2021, 7, 5), Trades::No),
            (date(2021, 7, 2), Trades::Full),
            (date(2021, 12, 24), Trades::No),
            (date(2021, 12, 31), Trades::Full),
            (date(2022, 1, 3), Trades::Full),
            (date(2022, 6, 20), Trades::No),
            (date(2022, 12, 26), Trades::No),
            (date(2023, 1, 2), Trades::No),
            (date(2023, 7, 3), Trades::Short),
            (date(2024, 7, 3), Trades::Short),
            (date(2024, 11, 29), Trades::Short),
            (date(2024, 12, 24), Trades::Short),
        ];
        for (day, expected) in cases {
            assert_eq!(trades(day), expected, "{day}");
        }
    }

    #[test]
    fn easter_is_on_its_known_days() {
        let known =
            [(1818, 3, 22), (1943, 4, 25), (2000, 4, 23), (2024, 3, 31), (2025, 4, 20), (2038, 4, 25)];
        for (year, month, day) in known {
            assert_eq!(easter(year), Some(date(year, month, day)));
        }
    }
}

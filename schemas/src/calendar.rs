//! The trading days and hours of the New York exchanges, by the exchange's own rules.
//!
//! Holidays follow the rules that hold since 1971, when the holidays of the law moved to Mondays, with the days on which
//! the exchange was closed beside them. Of earlier years only weekends are known to be free. Early closes are known
//! from 1993 on.

use crate::{Day, Timestamp, Zone};
use chrono::{Datelike, NaiveDate, Weekday};

/// The first year whose holidays are known.
pub const KNOWN_FROM: i32 = 1971;

/// The hours of one trading day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    /// The first instant at which is traded.
    pub opens: Timestamp,
    /// The instant of the close.
    pub closes: Timestamp,
}

/// Days, year, month and day, on which the exchange did not open, and why, beside those that follow a rule.
const CLOSURES: [(i32, u32, u32, &str); 18] = [
    (1972, 12, 28, "mourning for President Truman"),
    (1973, 1, 25, "mourning for President Johnson"),
    (1977, 7, 14, "blackout in New York"),
    (1985, 9, 27, "hurricane Gloria"),
    (1994, 4, 27, "mourning for President Nixon"),
    (2001, 9, 11, "attack on the World Trade Center"),
    (2001, 9, 12, "attack on the World Trade Center"),
    (2001, 9, 13, "attack on the World Trade Center"),
    (2001, 9, 14, "attack on the World Trade Center"),
    (2004, 6, 11, "mourning for President Reagan"),
    (2007, 1, 2, "mourning for President Ford"),
    (2012, 10, 29, "hurricane Sandy"),
    (2012, 10, 30, "hurricane Sandy"),
    (2018, 12, 5, "mourning for President George H. W. Bush"),
    (2025, 1, 9, "mourning for President Carter"),
    // Until 1980 the days on which presidents were elected.
    (1972, 11, 7, "presidential election"),
    (1976, 11, 2, "presidential election"),
    (1980, 11, 4, "presidential election"),
];

/// Days on which the exchange closed at one o'clock beside those that follow a rule.
const EARLY: [(i32, u32, u32); 3] = [(1997, 12, 26), (1999, 12, 31), (2003, 12, 26)];

/// Why a weekday is no trading day; none on a trading day and on a weekend.
#[must_use]
pub fn holiday(day: Day) -> Option<&'static str> {
    let date = day.to_date();
    let (year, month, of_month, weekday) = (date.year(), date.month(), date.day(), date.weekday());
    if year < KNOWN_FROM || day.is_weekend() {
        return None;
    }
    // The nth weekday of a month lies within one week of its days.
    let nth = |day: Weekday, nth: u32| weekday == day && (of_month - 1) / 7 + 1 == nth;
    // A fixed day that falls on a Saturday is kept on the Friday before, one on a Sunday on the Monday after.
    let kept = |on: u32| match weekday {
        Weekday::Fri if of_month + 1 == on => true,
        Weekday::Mon if of_month == on + 1 => true,
        _ => of_month == on,
    };
    let rule = match month {
        // The Friday before belongs to another year's books and is a trading day.
        1 if of_month == 1 || (weekday == Weekday::Mon && of_month == 2) => Some("New Year's Day"),
        1 if year >= 1998 && nth(Weekday::Mon, 3) => Some("Martin Luther King Jr. Day"),
        2 if nth(Weekday::Mon, 3) => Some("Washington's Birthday"),
        3 | 4 if weekday == Weekday::Fri && easter(year).pred_opt()?.pred_opt()? == date => {
            Some("Good Friday")
        }
        5 if weekday == Weekday::Mon && of_month + 7 > 31 => Some("Memorial Day"),
        6 if year >= 2022 && kept(19) => Some("Juneteenth"),
        7 if kept(4) => Some("Independence Day"),
        9 if nth(Weekday::Mon, 1) => Some("Labor Day"),
        11 if nth(Weekday::Thu, 4) => Some("Thanksgiving"),
        12 if kept(25) => Some("Christmas"),
        _ => None,
    };
    rule.or_else(|| {
        let closure = CLOSURES.iter().find(|(y, m, d, _)| (*y, *m, *d) == (year, month, of_month));
        closure.map(|(.., reason)| *reason)
    })
}

/// Whether the exchange opens on a day.
#[must_use]
pub fn is_trading_day(day: Day) -> bool {
    !day.is_weekend() && holiday(day).is_none()
}

/// Whether a trading day ends at one o'clock.
#[must_use]
pub fn closes_early(day: Day) -> bool {
    let date = day.to_date();
    let (year, month, of_month, weekday) = (date.year(), date.month(), date.day(), date.weekday());
    if year < 1993 || !is_trading_day(day) {
        return false;
    }
    let by_rule = match (month, of_month) {
        // The Wednesday joined in 2013; until then it was the Friday after.
        (7, 3) => year >= 1995 && (weekday != Weekday::Wed || year >= 2013),
        (7, 5) => (1996..2013).contains(&year) && weekday == Weekday::Fri,
        (11, 23..=29) => weekday == Weekday::Fri,
        (12, 24) => true,
        _ => false,
    };
    by_rule || EARLY.contains(&(year, month, of_month))
}

/// The hours of a day; none if it is no trading day.
#[must_use]
pub fn hours(day: Day) -> Option<Hours> {
    is_trading_day(day).then(|| Hours { opens: day.at_in(9, 30, Zone::NEW_YORK), closes: close_of(day) })
}

/// The instant of a day's close; of a day that is no trading day, four in the afternoon.
#[must_use]
pub fn close_of(day: Day) -> Timestamp {
    day.at_in(if closes_early(day) { 13 } else { 16 }, 0, Zone::NEW_YORK)
}

/// The last trading day that is not after this one.
#[must_use]
pub fn on_or_before(day: Day) -> Day {
    // The exchange was never closed for two weeks since the rules hold.
    (0..14).map(|back| day.plus_days(-back)).find(|day| is_trading_day(*day)).unwrap_or(day)
}

/// The first trading day that is not before this one.
#[must_use]
pub fn on_or_after(day: Day) -> Day {
    (0..14).map(|ahead| day.plus_days(ahead)).find(|day| is_trading_day(*day)).unwrap_or(day)
}

/// The last trading day that had closed at an instant.
#[must_use]
pub fn last_closed(at: Timestamp) -> Day {
    let today = at.day_in(Zone::NEW_YORK);
    let candidate = on_or_before(today);
    if close_of(candidate) <= at { candidate } else { on_or_before(candidate.plus_days(-1)) }
}

/// Whether the exchange trades at an instant.
#[must_use]
pub fn is_open(at: Timestamp) -> bool {
    hours(at.day_in(Zone::NEW_YORK)).is_some_and(|hours| hours.opens <= at && at < hours.closes)
}

/// Easter Sunday of the Gregorian calendar (the anonymous algorithm of 1876).
fn easter(year: i32) -> NaiveDate {
    let a = year.rem_euclid(19);
    let (b, c) = (year.div_euclid(100), year.rem_euclid(100));
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    let part = |part: i32| u32::try_from(part).unwrap_or(1);
    NaiveDate::from_ymd_opt(year, part(month), part(day)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn of_year(year: i32, is: impl Fn(Day) -> bool) -> Vec<String> {
        let first = Day::from_ymd(year, 1, 1).unwrap();
        (0..366)
            .map(|ahead| first.plus_days(ahead))
            .filter(|day| day.to_date().year() == year && is(*day))
            .map(|day| day.to_string()[5..].to_owned())
            .collect()
    }

    /// The exchange's published lists.
    #[test]
    fn the_holidays_of_a_year_are_those_that_the_exchange_published() {
        for (year, published) in [
            (2001, "01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25"),
            (2004, "01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24"),
            (2007, "01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25"),
            (2010, "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24"),
            (2011, "01-17 02-21 04-22 05-30 07-04 09-05 11-24 12-26"),
            (2012, "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25"),
            (2018, "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25"),
            (2021, "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24"),
            (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26"),
            (2023, "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25"),
            (2024, "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25"),
            (2025, "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25"),
            (2026, "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25"),
            (2027, "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24"),
            (2028, "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25"),
        ] {
            assert_eq!(of_year(year, |day| holiday(day).is_some()).join(" "), published, "{year}");
        }
    }

    #[test]
    fn the_early_closes_of_a_year_are_those_that_the_exchange_published() {
        for (year, published) in [
            (1999, "11-26 12-31"),
            (2002, "07-05 11-29 12-24"),
            (2003, "07-03 11-28 12-24 12-26"),
            (2013, "07-03 11-29 12-24"),
            (2020, "11-27 12-24"),
            (2021, "11-26"),
            (2023, "07-03 11-24"),
            (2024, "07-03 11-29 12-24"),
            (2025, "07-03 11-28 12-24"),
            (2026, "11-27 12-24"),
            (2027, "11-26"),
            (2028, "07-03 11-24"),
        ] {
            assert_eq!(of_year(year, closes_early).join(" "), published, "{year}");
        }
    }

    #[test]
    fn a_year_has_as_many_trading_days_as_were_traded() {
        for (year, days) in [
            (1998, 252),
            (2001, 248),
            (2012, 250),
            (2019, 252),
            (2020, 253),
            (2022, 251),
            (2024, 252),
            (2025, 250),
        ] {
            assert_eq!(of_year(year, is_trading_day).len(), days, "{year}");
        }
    }

    #[test]
    fn hours_follow_new_york_and_its_clocks() {
        let hours_of = |text| hours(day(text)).unwrap();
        assert_eq!(hours_of("2024-01-05").opens.to_string(), "2024-01-05T14:30:00Z");
        assert_eq!(hours_of("2024-01-05").closes.to_string(), "2024-01-05T21:00:00Z");
        assert_eq!(hours_of("2024-07-05").closes.to_string(), "2024-07-05T20:00:00Z");
        assert_eq!(hours_of("2024-11-29").closes.to_string(), "2024-11-29T18:00:00Z");
        assert_eq!(hours(day("2024-11-28")), None);
        assert_eq!(hours(day("2024-11-30")), None);
        assert!(is_open(Timestamp::parse("2024-11-29T17:59:59Z").unwrap()));
        assert!(!is_open(Timestamp::parse("2024-11-29T18:00:00Z").unwrap()));
        assert!(!is_open(Timestamp::parse("2024-11-29T14:29:59Z").unwrap()));
    }

    #[test]
    fn the_last_closed_day_skips_what_was_not_traded() {
        for (at, closed) in [
            ("2024-11-29T17:59:59Z", "2024-11-27"),
            ("2024-11-29T18:00:00Z", "2024-11-29"),
            ("2024-12-02T03:00:00Z", "2024-11-29"),
            ("2001-09-17T13:00:00Z", "2001-09-10"),
        ] {
            assert_eq!(last_closed(Timestamp::parse(at).unwrap()), day(closed), "{at}");
        }
        assert_eq!(on_or_after(day("2001-09-11")), day("2001-09-17"));
    }

    proptest! {
        #[test]
        fn every_day_of_two_centuries_has_its_neighbours_among_trading_days(number in -25_567i32..84_000) {
            let day = Day::from_number(number);
            prop_assert!(is_trading_day(on_or_before(day)) && is_trading_day(on_or_after(day)));
            prop_assert!(on_or_before(day) <= day && day <= on_or_after(day));
            prop_assert_eq!(is_trading_day(day), hours(day).is_some());
            let closed = last_closed(day.start_in(Zone::UTC));
            prop_assert!(is_trading_day(closed) && closed < day);
        }

        #[test]
        fn easter_is_a_sunday_between_its_first_and_its_last_day(year in 1583i32..2200) {
            let easter = easter(year);
            prop_assert_eq!(easter.weekday(), Weekday::Sun);
            let within = (easter.month(), easter.day());
            prop_assert!(((3, 22)..=(4, 25)).contains(&within));
        }
    }
}

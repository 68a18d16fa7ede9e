//! When New York trades: sessions, holidays and early closes by the exchange's rules, for any year.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use daybook_schemas::{Day, Timestamp, Zone};

/// One day's regular session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The day in New York.
    pub day: Day,
    /// 09:30 New York.
    pub open: Timestamp,
    /// 16:00 New York, or 13:00 where the exchange closes early.
    pub close: Timestamp,
    /// Whether it is one of the short days.
    pub early: bool,
}

/// The day's session; none at weekends and holidays.
#[must_use]
pub fn session(day: Day) -> Option<Session> {
    let date = day.to_date();
    if is_weekend(date) || is_holiday(date) {
        return None;
    }
    let early = closes_early(date);
    let hour = if early { 13 } else { 16 };
    Some(Session {
        day,
        open: day.at_in(9, 30, Zone::NEW_YORK),
        close: day.at_in(hour, 0, Zone::NEW_YORK),
        early,
    })
}

/// The session whose close is the first after the instant: the one that runs, else the next.
#[must_use]
pub fn session_after(at: Timestamp) -> Session {
    let first = at.day_in(Zone::NEW_YORK);
    (0..30)
        .filter_map(|days| session(first.plus_days(days)))
        .find(|session| session.close > at)
        .expect("there is a session in any thirty days")
}

/// The session whose open is the last at or before the instant: the one that runs, else the one before.
#[must_use]
pub fn session_before(at: Timestamp) -> Session {
    let first = at.day_in(Zone::NEW_YORK);
    (0..30)
        .filter_map(|days| session(first.plus_days(-days)))
        .find(|session| session.open <= at)
        .expect("there is a session in any thirty days")
}

/// The first session on a later day.
#[must_use]
pub fn next_session_day(day: Day) -> Session {
    (1..30)
        .filter_map(|days| session(day.plus_days(days)))
        .next()
        .expect("there is a session in any thirty days")
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// A fixed day's observance: Friday when it falls on a Saturday, Monday when on a Sunday.
fn observed(date: NaiveDate, month: u32, day: u32) -> bool {
    let is = |date: Option<NaiveDate>| date.is_some_and(|date| date.month() == month && date.day() == day);
    match date.weekday() {
        Weekday::Fri => is(Some(date)) || is(date.succ_opt()),
        Weekday::Mon => is(Some(date)) || is(date.pred_opt()),
        _ => is(Some(date)),
    }
}

fn nth(date: NaiveDate, month: u32, weekday: Weekday, n: u32) -> bool {
    date.month() == month && date.weekday() == weekday && (date.day() - 1) / 7 + 1 == n
}

fn is_holiday(date: NaiveDate) -> bool {
    // New Year's Day on a Saturday is not made up for on the last day of the old year.
    let new_year = observed(date, 1, 1) && date.month() == 1;
    let memorial = date.month() == 5 && date.weekday() == Weekday::Mon && date.day() > 24;
    new_year
        || nth(date, 1, Weekday::Mon, 3)
        || nth(date, 2, Weekday::Mon, 3)
        || good_friday(date.year()) == Some(date)
        || memorial
        || (date.year() >= 2022 && observed(date, 6, 19))
        || observed(date, 7, 4)
        || nth(date, 9, Weekday::Mon, 1)
        || nth(date, 11, Weekday::Thu, 4)
        || observed(date, 12, 25)
}

fn closes_early(date: NaiveDate) -> bool {
    let day_after_thanksgiving = date.pred_opt().is_some_and(|before| nth(before, 11, Weekday::Thu, 4));
    let eve = |month, day| date.month() == month && date.day() == day;
    // July 3 is short only where July 4 is itself a weekday.
    let before_the_fourth = eve(7, 3) && date.weekday() != Weekday::Fri;
    day_after_thanksgiving || before_the_fourth || eve(12, 24)
}

/// Two days before Easter Sunday (the anonymous Gregorian computus).
fn good_friday(year: i32) -> Option<NaiveDate> {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?
        .checked_sub_days(Days::new(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn the_exchange_rests_on_its_holidays_of_2024_and_2025() {
        let closed = [
            "2024-01-01",
            "2024-01-15",
            "2024-02-19",
            "2024-03-29",
            "2024-05-27",
            "2024-06-19",
            "2024-07-04",
            "2024-09-02",
            "2024-11-28",
            "2024-12-25",
            "2025-01-01",
            "2025-01-20",
            "2025-02-17",
            "2025-04-18",
            "2025-05-26",
            "2025-06-19",
            "2025-07-04",
            "2025-09-01",
            "2025-11-27",
            "2025-12-25",
        ];
        for year in ["2024", "2025"] {
            let first = day(&format!("{year}-01-01"));
            let rests: Vec<String> = (0..365)
                .map(|days| first.plus_days(days))
                .filter(|day| !day.is_weekend() && session(*day).is_none())
                .map(|day| day.to_string())
                .collect();
            let expected: Vec<&str> = closed.into_iter().filter(|day| day.starts_with(year)).collect();
            assert_eq!(rests, expected);
        }
        assert!(
            session(day("2021-12-31")).is_some(),
            "New Year's Day 2022 was a Saturday and not made up for"
        );
    }

    #[test]
    fn short_days_close_at_one() {
        for short in ["2024-07-03", "2024-11-29", "2024-12-24", "2025-07-03", "2025-11-28", "2025-12-24"] {
            let session = session(day(short)).unwrap();
            assert!(session.early, "{short}");
            assert_eq!(session.close, day(short).at_in(13, 0, Zone::NEW_YORK));
        }
        assert!(!session(day("2026-07-02")).unwrap().early);
    }

    #[test]
    fn the_session_around_an_instant_is_the_running_one() {
        let noon = day("2024-07-05").at_in(12, 0, Zone::NEW_YORK);
        assert_eq!(session_after(noon), session_before(noon));
        let night = day("2024-07-05").at_in(20, 0, Zone::NEW_YORK);
        assert_eq!(session_before(night).day, day("2024-07-05"));
        assert_eq!(session_after(night).day, day("2024-07-08"));
    }
}

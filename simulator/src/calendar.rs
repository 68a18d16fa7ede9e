//! The exchange's sessions around an instant, by the calendar of the vocabulary.

use daybook_schemas::{Day, Timestamp, Zone, calendar};

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
    calendar::hours(day).map(|hours| Session {
        day,
        open: hours.opens,
        close: hours.closes,
        early: calendar::closes_early(day),
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
    (1..30).find_map(|days| session(day.plus_days(days))).expect("there is a session in any thirty days")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn the_session_around_an_instant_is_the_running_one() {
        let noon = day("2024-07-03").at_in(12, 0, Zone::NEW_YORK);
        assert_eq!(session_after(noon), session_before(noon));
        assert!(session_after(noon).early);
        let night = day("2024-07-03").at_in(20, 0, Zone::NEW_YORK);
        assert_eq!(session_before(night).day, day("2024-07-03"));
        assert_eq!(session_after(night).day, day("2024-07-05"), "a holiday lies between");
        assert_eq!(next_session_day(day("2024-07-05")).day, day("2024-07-08"));
    }

    #[test]
    fn there_is_a_session_around_any_instant_that_can_be_told() {
        for text in ["1900-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2200-12-31T23:59:59.999999999Z"] {
            let at = Timestamp::parse(text).unwrap();
            assert!(session_before(at).open <= at && session_after(at).close > at, "{text}");
        }
    }
}

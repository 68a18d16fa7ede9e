//! What a feed can be asked for at an instant, and when it is to be asked again.

use super::feed::{Market, Moment};
use crate::config::{BarSize, Cadence};
use daybook_schemas::{Day, Timestamp, Zone, calendar};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// So long after a close a bar may still appear that the feed did not have yet. Until then it is asked for again.
fn grace(size: BarSize) -> i64 {
    match size {
        BarSize::Day => 5 * DAY,
        BarSize::Hour | BarSize::Minute => DAY,
    }
}

/// The length of a bar within a day, in nanoseconds; that of a day, where days have no hours.
const fn length(size: BarSize) -> i64 {
    match size {
        BarSize::Minute => 60 * SECOND,
        BarSize::Hour => 3600 * SECOND,
        BarSize::Day => DAY,
    }
}

/// How the size is written in identities and cursors.
pub(super) const fn code(size: BarSize) -> &'static str {
    match size {
        BarSize::Day => "1d",
        BarSize::Hour => "1h",
        BarSize::Minute => "1m",
    }
}

/// The instant of a duration after another.
pub(super) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.plus_nanos(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX))
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    at.plus_nanos(-i64::try_from(by.as_nanos()).unwrap_or(i64::MAX))
}

/// When a bar closes. The last one of a session closes with it.
pub(super) fn closes(moment: Moment, size: BarSize, market: Market) -> Timestamp {
    match (moment, market) {
        (Moment::Day(day), Market::Stocks) => calendar::close_of(day),
        (Moment::Day(day), _) => day.end_in(Zone::UTC),
        (Moment::DayUntil(_, ends), _) => ends,
        (Moment::From(opens), _) => {
            let closes = opens.plus_nanos(length(size));
            let session = calendar::hours(opens.day_in(Zone::NEW_YORK)).filter(|_| market == Market::Stocks);
            match session {
                Some(hours) if opens < hours.closes && hours.closes < closes => hours.closes,
                _ => closes,
            }
        }
    }
}

/// The last instant by which a bar can have closed that the feed has in full, seen at an instant.
pub(super) fn settled(market: Market, size: BarSize, now: Timestamp, delay: Duration) -> Timestamp {
    let at = before(now, delay);
    let whole = at.plus_nanos(-at.nanos().rem_euclid(length(size)));
    match (market, size) {
        (Market::Stocks, BarSize::Day) => calendar::close_of(calendar::last_closed(at)),
        (Market::Stocks, _) => match calendar::hours(at.day_in(Zone::NEW_YORK)) {
            Some(hours) if hours.closes <= at => hours.closes,
            Some(hours) if hours.opens < whole => whole,
            _ => calendar::close_of(calendar::last_closed(at)),
        },
        (Market::Crypto | Market::Rates, BarSize::Day) => {
            at.plus_nanos(1).day_in(Zone::UTC).plus_days(-1).end_in(Zone::UTC)
        }
        (Market::Crypto | Market::Rates, _) => whole,
    }
}

/// How far back a feed reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Depth {
    /// Days that are filled of what has no bars yet.
    pub(super) backfill_days: u32,
    /// Trading days that are read again once a day.
    pub(super) restated_days: u32,
}

/// The bars that are asked for: those that close after the first instant and not after the second; none if all that is
/// settled was read.
pub(super) fn window(
    read_until: Option<Timestamp>,
    settled: Timestamp,
    market: Market,
    depth: Depth,
) -> Option<(Timestamp, Timestamp)> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let Some(read) = read_until else {
        let first = settled.day_in(Zone::NEW_YORK).plus_days(-days(depth.backfill_days));
        // Before its first day began nothing of it had closed.
        return Some((first.start_in(Zone::NEW_YORK).plus_nanos(-1), settled));
    };
    if read >= settled {
        return None;
    }
    let zone = if market == Market::Stocks { Zone::NEW_YORK } else { Zone::UTC };
    let (day_read, day_settled) = (read.day_in(zone), settled.day_in(zone));
    if day_read == day_settled || depth.restated_days == 0 {
        return Some((read, settled));
    }
    // With the first question of a day the days before it are read again.
    let mut back = day_read;
    for _ in 0..depth.restated_days.min(370) {
        back = previous(market, back);
    }
    let again = match market {
        Market::Stocks => calendar::close_of(back),
        _ => back.end_in(zone),
    };
    Some((again.min(read), settled))
}

fn previous(market: Market, day: Day) -> Day {
    match market {
        Market::Stocks => calendar::on_or_before(day.plus_days(-1)),
        _ => day.plus_days(-1),
    }
}

/// Up to where bars count as read after a question that was answered: everything it asked for, save what may still
/// appear.
pub(super) fn read_until(last: Option<Timestamp>, settled: Timestamp, size: BarSize) -> Option<Timestamp> {
    let certain = settled.plus_nanos(-grace(size));
    Some(last.map_or(certain, |last| last.max(certain)))
}

/// When a feed is asked again that was asked now and answered.
pub(super) fn next_look(cadence: Cadence, now: Timestamp, delay: Duration) -> Timestamp {
    match cadence {
        Cadence::Daily => next_settling(now, delay),
        Cadence::Hourly => now.plus_nanos(3600 * SECOND - now.nanos().rem_euclid(3600 * SECOND)),
        Cadence::Every(every) => after(now, every.max(Duration::from_secs(1))),
        Cadence::MarketHours(every) => {
            let soon = after(now, every.max(Duration::from_secs(1)));
            let today = now.day_in(Zone::NEW_YORK);
            match calendar::hours(today) {
                Some(hours) if hours.opens <= now && soon < after(hours.closes, delay) => soon,
                _ => {
                    // The last look of a day is the one after its close.
                    let settles = next_settling(now, delay);
                    let opens = next_opening(now);
                    settles.min(after(opens, every))
                }
            }
        }
    }
}

/// The next instant at which a trading day's close has settled.
fn next_settling(now: Timestamp, delay: Duration) -> Timestamp {
    let today = now.day_in(Zone::NEW_YORK);
    let mut day = calendar::on_or_after(today.plus_days(-1));
    loop {
        let settles = after(calendar::close_of(day), delay);
        if settles > now {
            return settles;
        }
        day = calendar::on_or_after(day.plus_days(1));
    }
}

fn next_opening(now: Timestamp) -> Timestamp {
    let mut day = calendar::on_or_after(now.day_in(Zone::NEW_YORK));
    loop {
        match calendar::hours(day) {
            Some(hours) if hours.opens > now => return hours.opens,
            _ => day = calendar::on_or_after(day.plus_days(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUARTER: Duration = Duration::from_secs(900);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn only_what_has_closed_and_come_through_is_asked_for() {
        let of = |market, size, now| settled(market, size, at(now), QUARTER).to_string();
        use BarSize::{Day, Hour, Minute};
        use Market::{Crypto, Stocks};
        for (market, size, now, settled) in [
            // A Friday before its close, within the delay after it, and past that.
            (Stocks, Day, "2024-01-05T20:59:00Z", "2024-01-04T21:00:00Z"),
            (Stocks, Day, "2024-01-05T21:14:59Z", "2024-01-04T21:00:00Z"),
            (Stocks, Day, "2024-01-05T21:15:00Z", "2024-01-05T21:00:00Z"),
            (Stocks, Day, "2024-01-07T12:00:00Z", "2024-01-05T21:00:00Z"),
            // The day after Thanksgiving closes at one.
            (Stocks, Day, "2024-11-29T18:15:00Z", "2024-11-29T18:00:00Z"),
            (Stocks, Minute, "2024-01-05T15:00:30Z", "2024-01-05T14:45:00Z"),
            (Stocks, Minute, "2024-01-05T14:45:30Z", "2024-01-04T21:00:00Z"),
            (Stocks, Minute, "2024-01-05T14:46:00Z", "2024-01-05T14:31:00Z"),
            (Stocks, Minute, "2024-01-06T14:45:30Z", "2024-01-05T21:00:00Z"),
            (Stocks, Hour, "2024-01-05T16:20:00Z", "2024-01-05T16:00:00Z"),
            (Crypto, Day, "2024-01-06T00:14:00Z", "2024-01-04T23:59:59.999999999Z"),
            (Crypto, Day, "2024-01-06T00:15:00Z", "2024-01-05T23:59:59.999999999Z"),
            (Crypto, Minute, "2024-01-06T03:17:59Z", "2024-01-06T03:02:00Z"),
        ] {
            assert_eq!(of(market, size, now), settled, "{market:?} {size:?} {now}");
        }
    }

    #[test]
    fn a_bar_closes_with_its_session() {
        let from = |text| Moment::From(at(text));
        for (opens, size, close) in [
            ("2024-01-05T20:59:00Z", BarSize::Minute, "2024-01-05T21:00:00Z"),
            ("2024-01-05T20:30:00Z", BarSize::Hour, "2024-01-05T21:00:00Z"),
            ("2024-11-29T17:30:00Z", BarSize::Hour, "2024-11-29T18:00:00Z"),
            ("2024-01-05T14:00:00Z", BarSize::Hour, "2024-01-05T15:00:00Z"),
        ] {
            assert_eq!(closes(from(opens), size, Market::Stocks).to_string(), close);
        }
        assert_eq!(
            closes(from("2024-01-05T20:30:00Z"), BarSize::Hour, Market::Crypto).to_string(),
            "2024-01-05T21:30:00Z"
        );
    }

    #[test]
    fn a_window_fills_the_gap_and_reads_again_what_may_be_restated_once_a_day() {
        let depth = Depth { backfill_days: 10, restated_days: 2 };
        let friday = at("2024-01-05T21:00:00Z");
        let of = |read: Option<&str>, settled| {
            window(read.map(at), settled, Market::Stocks, depth)
                .map(|(after, until)| format!("{after} {until}"))
        };
        assert_eq!(
            of(None, friday).unwrap(),
            "2023-12-26T04:59:59.999999999Z 2024-01-05T21:00:00Z",
            "what has no bars is filled from the beginning of a day on"
        );
        assert_eq!(of(Some("2024-01-05T21:00:00Z"), friday), None);
        assert_eq!(
            of(Some("2024-01-04T21:00:00Z"), friday).unwrap(),
            "2024-01-02T21:00:00Z 2024-01-05T21:00:00Z"
        );
        assert_eq!(
            of(Some("2024-01-05T15:00:00Z"), at("2024-01-05T15:05:00Z")).unwrap(),
            "2024-01-05T15:00:00Z 2024-01-05T15:05:00Z",
            "within a day nothing is read again"
        );
        let none = Depth { restated_days: 0, ..depth };
        assert_eq!(
            window(Some(at("2023-11-01T20:00:00Z")), friday, Market::Stocks, none),
            Some((at("2023-11-01T20:00:00Z"), friday)),
            "a gap is filled however long it is"
        );
    }

    #[test]
    fn a_bar_that_came_late_is_asked_for_again() {
        let settled = at("2024-01-05T21:00:00Z");
        let read = |last: Option<&str>, size| read_until(last.map(at), settled, size).unwrap().to_string();
        assert_eq!(read(Some("2024-01-04T21:00:00Z"), BarSize::Day), "2024-01-04T21:00:00Z");
        assert_eq!(read(Some("2023-12-01T21:00:00Z"), BarSize::Day), "2023-12-31T21:00:00Z");
        assert_eq!(read(None, BarSize::Minute), "2024-01-04T21:00:00Z");
    }

    #[test]
    fn a_cadence_follows_the_market_and_its_clocks() {
        let minute = Duration::from_secs(60);
        let next = |cadence, now| next_look(cadence, at(now), QUARTER).to_string();
        for (cadence, now, then) in [
            (Cadence::Daily, "2024-01-05T15:00:00Z", "2024-01-05T21:15:00Z"),
            (Cadence::Daily, "2024-01-05T21:15:00Z", "2024-01-08T21:15:00Z"),
            // From winter time into summer time the close moves an hour.
            (Cadence::Daily, "2024-03-08T22:00:00Z", "2024-03-11T20:15:00Z"),
            (Cadence::Daily, "2024-11-27T22:00:00Z", "2024-11-29T18:15:00Z"),
            (Cadence::Hourly, "2024-01-05T15:20:01Z", "2024-01-05T16:00:00Z"),
            (Cadence::Every(minute), "2024-01-06T15:20:01Z", "2024-01-06T15:21:01Z"),
            (Cadence::MarketHours(minute), "2024-01-05T15:00:00Z", "2024-01-05T15:01:00Z"),
            (Cadence::MarketHours(minute), "2024-01-05T21:14:30Z", "2024-01-05T21:15:00Z"),
            (Cadence::MarketHours(minute), "2024-01-05T21:15:00Z", "2024-01-08T14:31:00Z"),
            (Cadence::MarketHours(minute), "2024-01-05T09:00:00Z", "2024-01-05T14:31:00Z"),
            (Cadence::MarketHours(minute), "2024-11-28T15:00:00Z", "2024-11-29T14:31:00Z"),
        ] {
            assert_eq!(next(cadence, now), then, "{cadence:?} at {now}");
        }
    }

    proptest! {
        #[test]
        fn the_next_look_lies_ahead_and_what_is_settled_behind(now in 0i64..4_000_000_000, every in 0u64..100_000, delay in 0u64..10_000) {
            let now = Timestamp::from_nanos(now * SECOND);
            let (every, delay) = (Duration::from_secs(every), Duration::from_secs(delay));
            for cadence in [Cadence::Daily, Cadence::Hourly, Cadence::Every(every), Cadence::MarketHours(every)] {
                prop_assert!(next_look(cadence, now, delay) > now);
            }
            for market in [Market::Stocks, Market::Crypto] {
                for size in [BarSize::Day, BarSize::Hour, BarSize::Minute] {
                    let settled = settled(market, size, now, delay);
                    prop_assert!(settled <= now);
                    let depth = Depth { backfill_days: 30, restated_days: 3 };
                    prop_assert_eq!(window(Some(settled), settled, market, depth), None);
                }
            }
        }
    }
}

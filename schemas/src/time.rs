//! Instants, days, phases of a day and time zones, as events state them.

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Timelike, Utc};
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a time was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text has not the form of an instant.
    #[error(
        "`{0}` is not a time: write RFC 3339, such as 2024-03-01T15:30:00Z, or a date, such as 2024-03-01"
    )]
    NotATime(String),
    /// A fraction of a second with more digits than nanoseconds have.
    #[error("`{0}` is finer than a nanosecond: write at most nine digits after the point")]
    TooFine(String),
    /// A second that clocks put in now and then; counted in seconds, it would be the next one.
    #[error(
        "`{0}` is a leap second, which cannot be told from the second after it: write :59 or the next minute's :00"
    )]
    LeapSecond(String),
    /// The text has not the form of a day.
    #[error("`{0}` is not a date: write year-month-day, such as 2024-03-01")]
    NotADay(String),
    /// A year in which no entry of a daybook can lie.
    #[error("the year {0} is outside 1900 to 2200: correct the date")]
    OutOfRange(i32),
    /// The zone is not in the time zone database.
    #[error("`{0}` is not a time zone: write an IANA name, such as America/New_York")]
    NotAZone(String),
}

/// First and last year that an entry may state.
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// An instant from nanoseconds since the epoch, UTC.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch, UTC.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 (an offset is required) with up to nine digits of a second's fraction.
    ///
    /// # Errors
    /// [`TimeError::NotATime`], [`TimeError::TooFine`], [`TimeError::LeapSecond`] or [`TimeError::OutOfRange`].
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let not_a_time = || TimeError::NotATime(crate::decimal::shorten(text));
        // More digits would be cut without a word.
        let digits =
            text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
        if digits > 9 {
            return Err(TimeError::TooFine(crate::decimal::shorten(text)));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| not_a_time())?.with_timezone(&Utc);
        // chrono has a leap second as the second before it with more than a second's nanoseconds.
        if time.nanosecond() >= 1_000_000_000 {
            return Err(TimeError::LeapSecond(crate::decimal::shorten(text)));
        }
        if !YEARS.contains(&time.year()) {
            return Err(TimeError::OutOfRange(time.year()));
        }
        time.timestamp_nanos_opt().map(Self).ok_or_else(not_a_time)
    }

    /// The same instant as chrono has it.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }

    /// The day on which the instant lies in a zone.
    #[must_use]
    pub fn day_in(self, zone: Zone) -> Day {
        Day::from_date(self.to_utc().with_timezone(&zone.0).date_naive())
    }

    /// So many nanoseconds later (earlier, when negative), stopping at the ends of the range.
    #[must_use]
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.to_utc();
        write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S"))?;
        let nanos = time.nanosecond() % 1_000_000_000;
        if nanos != 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

/// A calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(i32);

impl Day {
    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day so many days after 1970-01-01.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// A day of the proleptic Gregorian calendar, if it exists.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, day).map(Self::from_date)
    }

    /// The same day, from chrono.
    #[must_use]
    pub fn from_date(date: NaiveDate) -> Self {
        Self(date.to_epoch_days())
    }

    /// The same day, for chrono.
    #[must_use]
    pub fn to_date(self) -> NaiveDate {
        NaiveDate::from_epoch_days(self.0).unwrap_or(if self.0 < 0 { NaiveDate::MIN } else { NaiveDate::MAX })
    }

    /// Reads `2024-03-01`.
    ///
    /// # Errors
    /// [`TimeError::NotADay`] or [`TimeError::OutOfRange`].
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        let formed = bytes.len() == 10
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let date = formed.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
        let date = date.ok_or_else(|| TimeError::NotADay(crate::decimal::shorten(text)))?;
        if YEARS.contains(&date.year()) {
            Ok(Self::from_date(date))
        } else {
            Err(TimeError::OutOfRange(date.year()))
        }
    }

    /// The day so many days later (earlier, when negative).
    #[must_use]
    pub const fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Whether it is a Saturday or a Sunday.
    #[must_use]
    pub fn is_weekend(self) -> bool {
        matches!((i64::from(self.0) + 3).rem_euclid(7), 5 | 6)
    }

    /// The first instant of the day in a zone. Where the clocks skip midnight, the first instant that exists. Of a day
    /// centuries beyond [`YEARS`], the end of what an instant can be.
    #[must_use]
    pub fn start_in(self, zone: Zone) -> Timestamp {
        match self.to_date().year() {
            ..1678 => return Timestamp(i64::MIN),
            2262.. => return Timestamp(i64::MAX),
            _ => {}
        }
        let midnight = self.to_date().and_hms_opt(0, 0, 0).expect("every day has a midnight to ask for");
        let mut local = midnight;
        for _ in 0..=48 {
            if let Some(time) = zone.0.from_local_datetime(&local).earliest() {
                return Timestamp(time.timestamp_nanos_opt().expect("an instant holds these years"));
            }
            local += chrono::TimeDelta::minutes(30);
        }
        // A whole day that a zone skipped (Samoa, 2011-12-30): it begins and ends where the next one begins.
        Self(self.0 + 1).start_in(zone)
    }

    /// The last nanosecond of the day in a zone.
    #[must_use]
    pub fn end_in(self, zone: Zone) -> Timestamp {
        match self.plus_days(1).start_in(zone) {
            Timestamp(i64::MAX) => Timestamp(i64::MAX),
            next => next.plus_nanos(-1),
        }
    }

    /// The instant at which a wall clock in the zone shows this time of the day (the earlier of two).
    #[must_use]
    pub fn at_in(self, hour: u32, minute: u32, zone: Zone) -> Timestamp {
        self.to_date()
            .and_hms_opt(hour, minute, 0)
            .and_then(|local| zone.0.from_local_datetime(&local).earliest())
            .and_then(|time| time.timestamp_nanos_opt())
            .map_or_else(|| self.start_in(zone), Timestamp)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_date().format("%Y-%m-%d").to_string())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Day {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

/// A time zone by its IANA name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(chrono_tz::Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(chrono_tz::UTC);
    /// The zone of the New York exchanges.
    pub const NEW_YORK: Self = Self(chrono_tz::America::New_York);

    /// Reads an IANA name.
    ///
    /// # Errors
    /// [`TimeError::NotAZone`].
    pub fn parse(name: &str) -> Result<Self, TimeError> {
        name.parse().map(Self).map_err(|_| TimeError::NotAZone(crate::decimal::shorten(name)))
    }

    /// The IANA name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The zone as chrono has it.
    #[must_use]
    pub const fn tz(self) -> chrono_tz::Tz {
        self.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

/// Where in a day an entry without a time of day stands.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before all timed entries: splits and exchanges.
    Open,
    /// After all timed entries.
    Close,
}

/// When an entry happened in the world: an instant, or a day with a phase and a rank within the phase.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At an instant.
    At(Timestamp),
    /// On a day, with no time of day known.
    #[serde(rename_all = "snake_case")]
    On {
        /// The day, in the portfolio's zone.
        day: Day,
        /// Where in the day.
        phase: Phase,
        /// Order among the entries of one source on that day and phase, from 0.
        rank: u32,
    },
}

impl When {
    /// The day of the entry in a zone.
    #[must_use]
    pub fn day(self, zone: Zone) -> Day {
        match self {
            Self::At(time) => time.day_in(zone),
            Self::On { day, .. } => day,
        }
    }

    /// The instant at which the entry counts as having occurred: the day's first for the open, its last for the close.
    #[must_use]
    pub fn occurs(self, zone: Zone) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::On { day, phase: Phase::Open, .. } => day.start_in(zone),
            Self::On { day, phase: Phase::Close, .. } => day.end_in(zone),
        }
    }
}

macro_rules! text_or_number {
    ($name:ident, $number:ty, $expecting:literal, $schema:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Text)
                } else {
                    <$number>::deserialize(deserializer).map(Self)
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $schema })
            }
        }
    };
}

text_or_number!(Timestamp, i64, "an RFC 3339 time", "date-time");
text_or_number!(Day, i32, "a date, year-month-day", "date");

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Zone;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IANA time zone")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Zone, E> {
                Zone::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

impl schemars::JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "An IANA time zone" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_they_are_read_up_to_the_nanosecond() {
        for text in ["2022-02-02T18:55:09.981482Z", "1969-12-31T23:59:59.999999999Z", "2024-03-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2024-03-01T10:00:00-05:00").unwrap().to_string(),
            "2024-03-01T15:00:00Z"
        );
    }

    #[test]
    fn times_outside_two_centuries_and_what_is_no_time_are_refused() {
        assert_eq!(Timestamp::parse("1899-12-31T23:59:59Z"), Err(TimeError::OutOfRange(1899)));
        assert_eq!(Day::parse("2201-01-01"), Err(TimeError::OutOfRange(2201)));
        assert!(matches!(Timestamp::parse("2024-01-02T10:00:00.1234567891Z"), Err(TimeError::TooFine(_))));
        for bad in ["2024-02-30", "24-01-01", "2024/01/01", "2024-1-1", "", "2024-01-01T00:00:00"] {
            assert!(Day::parse(bad).is_err(), "{bad}");
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_leap_second_is_refused_and_the_seconds_around_it_are_not() {
        for leap in ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.5+01:00", "2024-03-01T15:30:60Z"] {
            assert!(matches!(Timestamp::parse(leap), Err(TimeError::LeapSecond(_))), "{leap}");
        }
        let (before, after) = ("2016-12-31T23:59:59.999999999Z", "2017-01-01T00:00:00Z");
        let nanos = |text| Timestamp::parse(text).unwrap().nanos();
        assert_eq!(nanos(after) - nanos(before), 1);
    }

    #[test]
    fn a_day_is_bounded_by_its_zone_also_where_the_clocks_change() {
        let day = Day::parse("2024-03-10").unwrap();
        let length = day.end_in(Zone::NEW_YORK).nanos() - day.start_in(Zone::NEW_YORK).nanos() + 1;
        assert_eq!(length, 23 * 3_600_000_000_000);
        let samoa = Zone::parse("Pacific/Apia").unwrap();
        let skipped = Day::parse("2011-12-30").unwrap();
        assert_eq!(skipped.start_in(samoa), skipped.plus_days(1).start_in(samoa));
        let beirut = Zone::parse("Asia/Beirut").unwrap();
        assert_eq!(Day::parse("2024-03-31").unwrap().start_in(beirut).to_string(), "2024-03-30T22:00:00Z");
    }

    #[test]
    fn days_beyond_all_calendars_begin_and_end_without_a_panic() {
        for zone in [Zone::UTC, Zone::NEW_YORK, Zone::parse("Pacific/Apia").unwrap()] {
            for number in [i32::MIN, -200_000_000, -110_000, 106_000, 107_000, 200_000_000, i32::MAX] {
                let day = Day::from_number(number);
                assert!(day.start_in(zone) <= day.end_in(zone), "{day} in {zone}");
                assert!(day.at_in(16, 0, zone) >= day.start_in(zone), "{day} in {zone}");
                assert!(!day.to_string().is_empty());
            }
        }
    }

    #[test]
    fn weekends_are_saturday_and_sunday() {
        assert!(!Day::parse("2024-03-01").unwrap().is_weekend());
        assert!(Day::parse("2024-03-02").unwrap().is_weekend());
        assert!(Day::parse("2024-03-03").unwrap().is_weekend());
        assert!(Day::parse("1969-12-28").unwrap().is_weekend());
        assert!(!Day::from_number(i32::MAX).is_weekend(), "and no day is beyond asking");
    }
}

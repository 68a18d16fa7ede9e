//! The two clocks of a question: what had occurred by then, and what had been recorded by then.

use daybook_schemas::{Day, ImportId, Timestamp, Zone};
use serde::{Deserialize, Serialize};

/// What the log says of an event beside its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// The event's place in the log, from 1.
    pub sequence: u64,
    /// When it happened in the world.
    pub occurred_at: Timestamp,
    /// When it was written down.
    pub recorded_at: Timestamp,
    /// The import that brought it.
    pub import: Option<ImportId>,
    /// Which source stands first where two speak of the same moment; lower is earlier.
    pub source_rank: u8,
}

/// Up to when things must have occurred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsOf {
    /// The end of a day in the portfolio's zone; entries count by their trade date.
    Day(Day),
    /// An instant; entries count by when they occurred.
    Instant(Timestamp),
}

impl AsOf {
    /// Without a limit.
    pub const ALWAYS: Self = Self::Instant(Timestamp::from_nanos(i64::MAX));

    /// The instant at which values are taken: the day's last nanosecond in the zone, or the instant itself.
    #[must_use]
    pub fn instant(self, zone: Zone) -> Timestamp {
        match self {
            Self::Day(day) => day.end_in(zone),
            Self::Instant(instant) => instant,
        }
    }

    /// The day on which the moment lies in the zone.
    #[must_use]
    pub fn day(self, zone: Zone) -> Day {
        match self {
            Self::Day(day) => day,
            Self::Instant(instant) => instant.day_in(zone),
        }
    }
}

/// A point of view: what had occurred by then, of what had been recorded by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Up to when things must have occurred.
    pub as_of: AsOf,
    /// The highest sequence known.
    pub known: u64,
}

impl View {
    /// All that ever occurred, as far as it is recorded.
    pub const EVERYTHING: Self = Self { as_of: AsOf::ALWAYS, known: u64::MAX };
}

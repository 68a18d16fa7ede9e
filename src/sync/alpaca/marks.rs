//! How far an account was read: the source cursor that moves in the commit of what it stands for.

use super::books::BROKER;
use daybook_ledger::CursorMove;
use daybook_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of activities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Fills.
    Fills,
    /// Everything else.
    Others,
}

/// How far an account was read. What is older may still arrive, so reading begins some time before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// The latest fill of all that were read in order.
    pub(crate) fills: Option<Timestamp>,
    /// The latest of the other activities that were read in order.
    pub(crate) others: Option<Timestamp>,
    /// The sequence of the last reversion of an import that the marks allow for.
    #[serde(default)]
    pub(crate) taken_back: u64,
}

impl Marks {
    /// The source cursor's name.
    pub(crate) fn cursor_name(account: &str) -> String {
        format!("{BROKER}:{account}")
    }

    /// Reads a source cursor; one that cannot be read counts for none, and everything is asked for anew.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The move of the source cursor to here.
    pub(crate) fn to_move(self, account: &str) -> CursorMove {
        let to = serde_json::to_vec(&self).unwrap_or_default();
        CursorMove { source: Self::cursor_name(account).into(), to: to.into() }
    }

    /// Where a kind was read to.
    pub(crate) const fn of(&self, kind: Kind) -> Option<Timestamp> {
        match kind {
            Kind::Fills => self.fills,
            Kind::Others => self.others,
        }
    }

    /// With a kind read to here, never back.
    pub(crate) fn advanced(mut self, kind: Kind, to: Option<Timestamp>) -> Self {
        let mark = match kind {
            Kind::Fills => &mut self.fills,
            Kind::Others => &mut self.others,
        };
        *mark = (*mark).max(to);
        self
    }
}

impl std::fmt::Display for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown =
            |mark: Option<Timestamp>| mark.map_or_else(|| "never".to_owned(), |mark| mark.to_string());
        write!(f, "fills {}, others {}", shown(self.fills), shown(self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_ledger_and_never_goes_back() {
        let at = |text: &str| Some(Timestamp::parse(text).unwrap());
        let marks = Marks::default().advanced(Kind::Fills, at("2024-03-01T15:00:00.123456Z"));
        let marks = marks.advanced(Kind::Fills, at("2024-02-01T15:00:00Z")).advanced(Kind::Others, None);
        assert_eq!(marks.fills, at("2024-03-01T15:00:00.123456Z"));
        assert_eq!(Marks::parse(&marks.to_move("a").to), marks);
        assert_eq!(Marks::parse(b"nonsense"), Marks::default());
    }
}

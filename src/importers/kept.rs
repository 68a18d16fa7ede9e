//! Rows of a report that names none of them: in which order they happened, by what they are recognised when they come
//! again, and which are kept aside.

use super::faults::printable;
use super::{Context, Draft, PortfolioFacts, Role, identity};
use daybook_schemas::events::{Event, QuarantineReason, RawRow, RecordQuarantined};
use daybook_schemas::{AccountId, Day, KeyRing, Sealed, SealedError, Timestamp, stream};
use std::collections::HashMap;

/// Why a row is kept aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Aside {
    pub(super) reason: QuarantineReason,
    /// The column or the field at fault; none where it is the whole row.
    pub(super) column: Option<&'static str>,
    pub(super) detail: String,
}

impl Aside {
    pub(super) fn new(reason: QuarantineReason, column: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, column: Some(column), detail: detail.into() }
    }

    /// The whole row is at fault.
    pub(super) fn of_row(detail: impl Into<String>) -> Self {
        Self { reason: QuarantineReason::BadRow, column: None, detail: detail.into() }
    }

    /// A row of a kind lacks a column; `what` names the kind.
    pub(super) fn missing(column: &'static str, what: &str) -> Self {
        Self::new(QuarantineReason::MissingField, column, format!("{what} needs `{column}`"))
    }
}

/// Where a row that is kept aside comes from.
pub(super) struct Origin<'r> {
    /// The format, as the command names it.
    pub(super) format: &'static str,
    pub(super) portfolio: &'r PortfolioFacts,
    pub(super) account: AccountId,
    /// Its line, from 1; none where it stands in no file.
    pub(super) line: Option<u64>,
    /// Its day, as far as that can be read.
    pub(super) day: Option<Day>,
}

impl Origin<'_> {
    /// The event of a row that is kept aside.
    ///
    /// # Errors
    /// [`SealedError::NoKey`].
    pub(super) fn aside(
        &self,
        keys: &KeyRing,
        aside: Aside,
        raw: Sealed<RawRow>,
    ) -> Result<Event, SealedError> {
        Ok(RecordQuarantined {
            format: self.format.into(),
            portfolio: Some(self.portfolio.id),
            account: Some(self.account),
            line: self.line,
            column: aside.column.map(Into::into),
            reason: aside.reason,
            detail: Sealed::seal(keys, self.portfolio.key, &printable(aside.detail))?,
            day: self.day,
            raw,
        }
        .into())
    }
}

/// A row as it stands in the file, and what it says if that can be read.
pub(super) struct Kept<L> {
    pub(super) number: u64,
    pub(super) raw: String,
    pub(super) content: [u8; 32],
    /// Its number among equal rows.
    pub(super) ordinal: u64,
    pub(super) line: Result<L, Aside>,
}

impl<L> Kept<L> {
    /// A row that says something, with the hash of what that is.
    pub(super) fn good(number: u64, raw: String, content: [u8; 32], line: L) -> Self {
        Self { number, raw, content, ordinal: 0, line: Ok(line) }
    }

    /// A row that cannot be read: it is recognised by its text.
    pub(super) fn bad(number: u64, raw: String, aside: Aside) -> Self {
        let content = identity::content([("raw", raw.as_str())].into_iter());
        Self { number, raw, content, ordinal: 0, line: Err(aside) }
    }

    /// What is recorded of it: its event, in its portfolio, or that it is kept aside, in the stream of its account's
    /// synchronisation.
    ///
    /// # Errors
    /// [`SealedError::NoKey`].
    pub(super) fn draft(
        &self,
        event: Result<Event, Aside>,
        origin: &Origin<'_>,
        keys: &KeyRing,
        raw: Sealed<RawRow>,
        occurred_at: Timestamp,
    ) -> Result<Draft, SealedError> {
        let (format, portfolio) = (origin.format, origin.portfolio.id);
        let identity = identity::of_content(&self.content, self.ordinal);
        let (event, stream, identity, role) = match event {
            Ok(event) => {
                (event, stream::portfolio(portfolio), format!("{format}:{portfolio}:{identity}"), Role::Entry)
            }
            Err(aside) => {
                let identity = format!("quarantine:{format}:{portfolio}:{identity}");
                let stream = stream::sync(format, &origin.account.to_string());
                (origin.aside(keys, aside, raw)?, stream, identity, Role::Quarantine)
            }
        };
        let (identity, content_hash) = (Some(identity), self.content);
        Ok(Draft { event, stream, occurred_at, identity, content_hash, line: self.number, role })
    }
}

/// Puts rows that may run from the newest to the oldest into the order in which they happened, hashes what they say under
/// the key of the portfolio's owner, and numbers those that say the same.
pub(super) fn in_order<L>(
    rows: &mut [Kept<L>],
    day: impl Fn(&L) -> Day,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
) {
    let days: Vec<Day> = rows.iter().filter_map(|row| row.line.as_ref().ok().map(&day)).collect();
    let back = days.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let forward = days.windows(2).filter(|pair| pair[1] > pair[0]).count();
    // On one day, too, the brokers write the newest first.
    if back >= forward {
        rows.reverse();
    }
    let mut equals: HashMap<[u8; 32], u64> = HashMap::new();
    for row in rows {
        row.content = identity::under_key(row.content, context.keys(), portfolio)
            .expect("that the key is there was asked before the first row");
        let count = equals.entry(row.content).or_default();
        row.ordinal = *count;
        *count += 1;
    }
}

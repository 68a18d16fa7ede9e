//! Where the ledger and a source differ, and which of the differences are open: found once, settled once, never patched.

use crate::journal::{Draft, Journal, JournalError, decode};
use daybook_ledger::Direction;
use daybook_schemas::events::{BreakSubject, ReconciliationBreakFound, ReconciliationBreakResolved};
use daybook_schemas::{AccountId, Currency, Event, InstrumentId, Quantity, Timestamp};
use rust_decimal::Decimal;
use std::ops::ControlFlow;

/// What the two sides differ on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum On {
    /// The units of an instrument.
    Position(InstrumentId),
    /// The units of something that the ledger does not know by this symbol.
    Symbol(String),
    /// The cash of a currency.
    Cash(Currency),
    /// What is filled of an order.
    Order(String),
}

impl On {
    /// As it stands in an event.
    pub(crate) fn subject(&self) -> BreakSubject {
        match self {
            Self::Position(_) | Self::Symbol(_) => BreakSubject::Position,
            Self::Cash(_) => BreakSubject::Cash,
            Self::Order(_) => BreakSubject::Order,
        }
    }
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// On what.
    pub(crate) on: On,
    /// What the ledger has.
    pub(crate) ours: Decimal,
    /// What the broker has.
    pub(crate) theirs: Decimal,
}

/// A difference that was found and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenBreak {
    sequence: u64,
    difference: Difference,
}

/// The differences that are open, as the stream of a synchronisation tells.
pub(crate) fn open_breaks(journal: &Journal, name: &str) -> Result<Vec<OpenBreak>, JournalError> {
    let mut open: Vec<OpenBreak> = Vec::new();
    let mut fault = None;
    journal
        .ledger()
        .scan_stream(name, 1, usize::MAX, Direction::Forward, &mut |record| {
            match decode(record) {
                Ok(Event::ReconciliationBreakFound(found)) => {
                    if let Some(difference) = difference_of(&found) {
                        open.push(OpenBreak { sequence: record.sequence, difference });
                    }
                }
                Ok(Event::ReconciliationBreakResolved(resolved)) => {
                    open.retain(|found| found.sequence != resolved.found);
                }
                Ok(_) => {}
                Err(error) => {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(JournalError::from)?;
    fault.map_or(Ok(open), Err)
}

fn difference_of(found: &ReconciliationBreakFound) -> Option<Difference> {
    let external = || found.external_id.as_ref().map(ToString::to_string);
    let on = match (&found.subject, found.instrument, found.currency) {
        (BreakSubject::Position, Some(instrument), _) => On::Position(instrument),
        (BreakSubject::Position, None, _) => On::Symbol(external()?),
        (BreakSubject::Cash, _, Some(currency)) => On::Cash(currency),
        (BreakSubject::Order, ..) => On::Order(external()?),
        _ => return None,
    };
    Some(Difference { on, ours: found.ours?.get(), theirs: found.theirs?.get() })
}

impl OpenBreak {
    /// What differed when it was found.
    pub(crate) const fn difference(&self) -> &Difference {
        &self.difference
    }
}

/// What is to be recorded in the stream of an account's synchronisation so that exactly these differences are open.
pub(crate) fn settle(
    name: &str,
    account: AccountId,
    open: &[OpenBreak],
    now_open: &[Difference],
    now: Timestamp,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for found in open.iter().filter(|found| !now_open.contains(&found.difference)) {
        let changed = now_open.iter().any(|difference| difference.on == found.difference.on);
        let explanation = if changed { "the difference changed" } else { "both sides agree" };
        let resolved =
            ReconciliationBreakResolved { found: found.sequence, explanation: Some(explanation.into()) };
        let mut draft = Draft::new(name.to_owned(), now, resolved);
        draft.key = Some(format!("settled:{}#0", found.sequence));
        drafts.push(draft);
    }
    for difference in now_open.iter().filter(|new| open.iter().all(|found| found.difference != **new)) {
        let (instrument, currency, external) = match &difference.on {
            On::Position(instrument) => (Some(*instrument), None, None),
            On::Symbol(symbol) => (None, None, Some(symbol.as_str())),
            On::Cash(currency) => (None, Some(*currency), None),
            On::Order(order) => (None, None, Some(order.as_str())),
        };
        let found = ReconciliationBreakFound {
            account,
            subject: difference.on.subject(),
            instrument,
            currency,
            external_id: external.map(Into::into),
            ours: Some(Quantity::new(difference.ours)),
            theirs: Some(Quantity::new(difference.theirs)),
            as_of: now,
        };
        drafts.push(Draft::new(name.to_owned(), now, found));
    }
    drafts
}

/// A difference in words.
pub(crate) fn in_words(journal: &Journal, difference: &Difference) -> String {
    let on = match &difference.on {
        On::Position(instrument) => {
            let symbol = journal
                .library()
                .ok()
                .and_then(|library| library.instruments.symbol(*instrument, None).map(str::to_owned));
            format!("units of {}", symbol.unwrap_or_else(|| instrument.to_string()))
        }
        On::Symbol(symbol) => format!("units of {symbol}"),
        On::Cash(currency) => format!("cash in {currency}"),
        On::Order(order) => format!("units filled of order {order}"),
    };
    format!("{on}: {} here, {} at the broker", difference.ours, difference.theirs)
}

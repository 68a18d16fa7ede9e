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

/// The differences that stand, of those that a look found: those that the look before it found in the same way, and
/// those of what differs openly already, whose numbers may have moved. Any other may be a fill between two answers.
pub(crate) fn standing(found: &[Difference], before: &[Difference], open: &[OpenBreak]) -> Vec<Difference> {
    let is_open = |on: &On| open.iter().any(|found| found.difference.on == *on);
    let stands = |found: &&Difference| before.contains(found) || is_open(&found.on);
    found.iter().filter(stands).cloned().collect()
}

/// What the other side said last to be filled of the orders that differ openly. It stands for as long as the other side
/// does not speak of them again: an order that scrolled off its list did not come to agree by that.
pub(crate) fn said_last(open: &[OpenBreak]) -> impl Iterator<Item = (&str, Decimal)> {
    open.iter().filter_map(|found| match &found.difference.on {
        On::Order(order) => Some((order.as_str(), found.difference.theirs)),
        _ => None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(on: On, ours: i64, theirs: i64) -> Difference {
        Difference { on, ours: ours.into(), theirs: theirs.into() }
    }

    /// What is settled, with why, and what is found.
    fn settled(open: &[OpenBreak], now_open: &[Difference]) -> (Vec<(u64, String)>, usize) {
        let (mut resolved, mut found) = (Vec::new(), 0);
        for draft in settle("sync", AccountId::from_bytes([1; 16]), open, now_open, Timestamp::default()) {
            match draft.event {
                Event::ReconciliationBreakResolved(event) => {
                    resolved.push((event.found, event.explanation.unwrap().to_string()));
                }
                Event::ReconciliationBreakFound(_) => found += 1,
                other => panic!("{other:?}"),
            }
        }
        (resolved, found)
    }

    #[test]
    fn a_difference_stands_when_it_is_seen_twice_or_is_open_already() {
        let (cash, units) = (On::Cash(Currency::USD), On::Position(InstrumentId::from_bytes([1; 16])));
        let seen = [differs(cash.clone(), 5, 6), differs(units, 1, 2)];
        assert_eq!(standing(&seen, &[], &[]), []);
        assert_eq!(standing(&seen, &seen[..1], &[]), seen[..1]);
        let other = [differs(cash.clone(), 5, 7)];
        assert_eq!(standing(&seen, &other, &[]), [], "another number is another difference");
        let open = [OpenBreak { sequence: 9, difference: differs(cash, 5, 100) }];
        assert_eq!(standing(&seen, &[], &open), seen[..1], "an open one whose numbers move");
    }

    #[test]
    fn an_open_difference_whose_numbers_move_is_told_as_changed_and_never_as_agreed() {
        let open = [OpenBreak { sequence: 9, difference: differs(On::Cash(Currency::USD), 5, 100) }];
        let seen = [differs(On::Cash(Currency::USD), 5, 6)];
        let standing = standing(&seen, &[], &open);
        assert_eq!(settled(&open, &standing), (vec![(9, "the difference changed".to_owned())], 1));
        assert_eq!(settled(&open, &[]), (vec![(9, "both sides agree".to_owned())], 0));
    }
}
